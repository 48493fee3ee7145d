/* The queue between threads: its limit, its order, its end. Runs under ThreadSanitizer too. */
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/queue.h"
#include "tests/support/check.h"

#include <pthread.h>
#include <stdlib.h>

struct thing {
    struct queue_item item; /* first */
    int number, pusher;
};

static struct queue *queue;

static void
open_queue(void)
{
    queue = queue_new(3);
}

static void
close_queue(void)
{
    queue = queue_free(queue);
}

START_TEST(limit_is_an_answer)
{
    struct thing things[5] = { 0 };
    size_t count;

    for (int i = 0; i < 3; i++)
        ck_assert(queue_push(queue, &things[i].item));
    ck_assert(!queue_push(queue, &things[3].item));
    ck_assert(queue_push_always(queue, &things[4].item)); /* promised already */
    ck_assert_uint_eq(queue_count(queue), 4);
    ck_assert_ptr_eq(queue_take(queue, 1, 0, &count), &things[0].item);
    ck_assert(!queue_push(queue, &things[3].item)); /* still at it */
    ck_assert_ptr_eq(queue_take(queue, 1, 0, &count), &things[1].item);
    ck_assert(queue_push(queue, &things[3].item));
}
END_TEST

START_TEST(taken_in_order_up_to_max)
{
    struct thing things[3] = { { .number = 0 }, { .number = 1 }, { .number = 2 } };
    struct queue_item *item;
    size_t count = 9;
    int number = 0;

    ck_assert_ptr_null(queue_take(queue, 2, 0, &count));
    ck_assert_uint_eq(count, 0);
    for (int i = 0; i < 3; i++)
        ck_assert(queue_push(queue, &things[i].item));
    item = queue_take(queue, 2, -1, &count);
    ck_assert_uint_eq(count, 2);
    for (; item != NULL; item = item->next)
        ck_assert_int_eq(((struct thing *)item)->number, number++);
    ck_assert_int_eq(number, 2);
    item = queue_take(queue, 100, -1, &count);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(((struct thing *)item)->number, 2);
    ck_assert_ptr_null(item->next);
    ck_assert(queue_push(queue, &things[0].item)); /* the end was found again */
    ck_assert_uint_eq(queue_count(queue), 1);
}
END_TEST

/* What is pushed, a letter a lane, in a queue of 3; what is refused stands in capitals. Then what is taken, 4 at a time. */
/* clang-format off */
static const struct {
    const char *pushed, *taken;
} lanes[] = {
    { "aaaA",       "aaa" },
    { "aaabB",      "abaa" },
    { "aaabc",      "abca a" },
    { "aaabA",      "abaa" },
    { "bbba",       "abbb" },
    { "cab",        "abc" },
};
/* clang-format on */

START_TEST(lanes_take_turns)
{
    struct thing things[16] = { 0 };
    char taken[32] = "";
    size_t bytes = 0, count;

    for (size_t i = 0; lanes[_i].pushed[i] != '\0'; i++) {
        char letter = lanes[_i].pushed[i];
        bool is_refused = letter >= 'A' && letter <= 'Z';

        things[i].item.lane = (unsigned)((letter | 0x20) - 'a') + 1;
        things[i].number = letter;
        ck_assert_msg(queue_push(queue, &things[i].item) == !is_refused, "%s: %zu",
                      lanes[_i].pushed, i);
    }
    while (queue_count(queue) > 0) {
        struct queue_item *item = queue_take(queue, 4, 0, &count);

        if (bytes > 0)
            taken[bytes++] = ' ';
        for (; item != NULL; item = item->next)
            taken[bytes++] = (char)((struct thing *)item)->number;
    }
    ck_assert_str_eq(taken, lanes[_i].taken);
}
END_TEST

START_TEST(not_behind_too_many)
{
    struct thing things[3] = { 0 };

    ck_assert(queue_push_behind(queue, &things[0].item, 1));
    ck_assert(!queue_push_behind(queue, &things[1].item, 1));
    things[1].item.lane = 1; /* in a lane of its own none is before it */
    ck_assert(queue_push_behind(queue, &things[1].item, 1));
    things[2].item.lane = 2; /* two lanes: each takes its turn before it */
    ck_assert(queue_push_behind(queue, &things[2].item, 1));
}
END_TEST

START_TEST(closed_queue_gives_what_waits)
{
    struct thing things[2] = { 0 };
    size_t count;

    ck_assert(queue_push(queue, &things[0].item));
    ck_assert(!queue_is_closed(queue));
    queue_close(queue);
    ck_assert(queue_is_closed(queue));
    ck_assert(!queue_push(queue, &things[1].item));
    ck_assert(!queue_push_always(queue, &things[1].item));
    ck_assert_ptr_eq(queue_take(queue, 9, -1, &count), &things[0].item);
    ck_assert_ptr_null(queue_take(queue, 9, -1, &count)); /* and does not wait */
}
END_TEST

START_TEST(empty_take_waits_its_time)
{
    int64_t began_us = clock_steady_us();
    size_t count;

    ck_assert_ptr_null(queue_take(queue, 1, 20 * 1000, &count));
    ck_assert_int_ge(clock_steady_us() - began_us, 20 * 1000);
}
END_TEST

static void *
wake_main(void *context)
{
    (void)context;
    queue_wake(queue);
    return NULL;
}

START_TEST(wake_ends_a_wait_once)
{
    struct thing thing = { .number = 0 };
    pthread_t thread;
    size_t count;

    ck_assert_int_eq(pthread_create(&thread, NULL, wake_main, NULL), 0);
    ck_assert_ptr_null(queue_take(queue, 1, -1, &count)); /* before or after the wake, it returns */
    pthread_join(thread, NULL);
    ck_assert_ptr_null(queue_take(queue, 1, 1000, &count)); /* a time-out: that wake is used up */
    queue_wake(queue);
    ck_assert(queue_push(queue, &thing.item));
    ck_assert_ptr_eq(queue_take(queue, 1, -1, &count), &thing.item); /* not lost to a wake */
}
END_TEST

enum { PUSHERS = 4, EACH = 5000 };

static void *
push_main(void *context)
{
    struct thing *things = context;

    for (int i = 0; i < EACH; i++) {
        while (!queue_push(queue, &things[i].item))
            sched_yield();
    }
    return NULL;
}

START_TEST(many_push_and_one_takes)
{
    struct thing *things[PUSHERS];
    pthread_t threads[PUSHERS];
    int next[PUSHERS] = { 0 }, taken = 0;

    for (int i = 0; i < PUSHERS; i++) {
        things[i] = memory_take(EACH * sizeof *things[i]);
        for (int j = 0; j < EACH; j++)
            things[i][j] = (struct thing){ .number = j, .pusher = i };
        ck_assert_int_eq(pthread_create(&threads[i], NULL, push_main, things[i]), 0);
    }
    while (taken < PUSHERS * EACH) {
        size_t count;
        struct queue_item *item = queue_take(queue, 7, -1, &count), *after;

        ck_assert_ptr_nonnull(item);
        for (; item != NULL; item = after) {
            struct thing *thing = (struct thing *)item;

            after = item->next;
            ck_assert_int_eq(thing->number, next[thing->pusher]++); /* each one's own order */
            taken++;
            count--;
        }
        ck_assert_uint_eq(count, 0);
    }
    for (int i = 0; i < PUSHERS; i++) {
        pthread_join(threads[i], NULL);
        free(things[i]);
    }
    ck_assert_uint_eq(queue_count(queue), 0);
}
END_TEST

int
main(void)
{
    TCase *test = check_case("queue");

    tcase_add_checked_fixture(test, open_queue, close_queue);
    tcase_add_test(test, limit_is_an_answer);
    tcase_add_test(test, taken_in_order_up_to_max);
    tcase_add_loop_test(test, lanes_take_turns, 0, ROWS(lanes));
    tcase_add_test(test, not_behind_too_many);
    tcase_add_test(test, closed_queue_gives_what_waits);
    tcase_add_test(test, empty_take_waits_its_time);
    tcase_add_test(test, wake_ends_a_wait_once);
    tcase_add_test(test, many_push_and_one_takes);
    return check_run("base_queue", test);
}
