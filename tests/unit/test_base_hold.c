/* Wake-ups that a thread holds back: none is lost, none comes twice. */
#include "mesh/base/hold.h"
#include "mesh/base/queue.h"
#include "tests/support/check.h"

#include <pthread.h>
#include <stdlib.h>

enum { TAKERS = 10, ITEMS = 100 };

static int woken[TAKERS];

static void
count_wake(void *owner)
{
    ++*(int *)owner;
}

static void
forget_wakes(void)
{
    for (int i = 0; i < TAKERS; i++)
        woken[i] = 0;
}

START_TEST(without_a_hold_the_caller_wakes)
{
    ck_assert(!hold_wake(count_wake, &woken[0]));
    hold_begin();
    hold_end();
    ck_assert(!hold_wake(count_wake, &woken[0]));
    ck_assert_int_eq(woken[0], 0);
}
END_TEST

START_TEST(each_is_woken_once_at_the_outermost_end)
{
    hold_begin();
    ck_assert(hold_wake(count_wake, &woken[0]));
    hold_begin();
    ck_assert(hold_wake(count_wake, &woken[0]));
    ck_assert(hold_wake(count_wake, &woken[1]));
    hold_end();
    ck_assert_int_eq(woken[0] + woken[1], 0);
    hold_end();
    ck_assert_int_eq(woken[0], 1);
    ck_assert_int_eq(woken[1], 1);
    hold_begin();
    hold_end();
    ck_assert_int_eq(woken[0] + woken[1], 2);
}
END_TEST

START_TEST(what_does_not_fit_is_the_callers)
{
    int held = 0;

    hold_begin();
    for (int i = 0; i < TAKERS; i++)
        held += hold_wake(count_wake, &woken[i]);
    ck_assert_int_lt(held, TAKERS);
    hold_end();
    for (int i = 0; i < TAKERS; i++)
        ck_assert_int_eq(woken[i], i < held);
}
END_TEST

static void *
take_all(void *context)
{
    struct queue *queue = context;
    size_t taken = 0, count;

    while (taken < ITEMS) {
        queue_take(queue, ITEMS, -1, &count);
        taken += count;
    }
    return NULL;
}

/* Hangs, and so fails, when the wake is lost. */
START_TEST(taker_gets_what_was_pushed_in_a_hold)
{
    static struct queue_item items[ITEMS];

    for (int round = 0; round < 100; round++) {
        struct queue *queue = queue_new(ITEMS);
        pthread_t taker;

        ck_assert_int_eq(pthread_create(&taker, NULL, take_all, queue), 0);
        hold_begin();
        for (int i = 0; i < ITEMS; i++)
            ck_assert(queue_push(queue, &items[i]));
        hold_end();
        pthread_join(taker, NULL);
        queue_free(queue);
    }
}
END_TEST

int
main(void)
{
    TCase *test = check_case("hold");

    tcase_add_checked_fixture(test, forget_wakes, NULL);
    tcase_add_test(test, without_a_hold_the_caller_wakes);
    tcase_add_test(test, each_is_woken_once_at_the_outermost_end);
    tcase_add_test(test, what_does_not_fit_is_the_callers);
    tcase_add_test(test, taker_gets_what_was_pushed_in_a_hold);
    return check_run("base_hold", test);
}
