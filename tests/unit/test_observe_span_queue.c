/* The ring of spans: in order, full is an answer, texts are cut to the room there is, and many threads put. */
#include "mesh/base/die.h"
#include "mesh/observe/span_queue.h"
#include "tests/support/check.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define TRACE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static const struct span begun = { .start_us = 5, .parent_id = "1111111111111111" };

static bool
put(struct span_queue *queue, const char *name, int64_t number)
{
    return span_queue_put(queue, &begun, TRACE, 7,
                          &(struct span_note){ .kind = SPAN_CLIENT,
                                               .name = name,
                                               .attributes = { { "n", NULL, number } } });
}

START_TEST(it_is_in_order_and_full)
{
    int places = _i;
    struct span_queue *queue = span_queue_open((size_t)places);

    ck_assert_ptr_null(span_queue_first(queue));
    for (int round = 0, number = 0; round < 5; round++) {
        for (int i = 0; i < places; i++)
            ck_assert(put(queue, "x", number + i));
        ck_assert(!put(queue, "x", 99));
        ck_assert_uint_eq(span_queue_count(queue), (size_t)places);
        for (int i = 0; i < places; i++, number++) {
            ck_assert_int_eq(span_queue_first(queue)->attributes[0].number, number);
            span_queue_took(queue);
        }
        ck_assert_ptr_null(span_queue_first(queue));
        ck_assert_uint_eq(span_queue_count(queue), 0);
    }
    span_queue_close(queue);
}
END_TEST

START_TEST(what_is_put_is_a_copy)
{
    struct span_queue *queue = span_queue_open(1);
    char name[] = "name", text[] = "text", error[] = "INTERNAL", link[] = TRACE;
    const struct span_copy *copy;

    ck_assert(span_queue_put(
        queue, &begun, TRACE, 3,
        &(struct span_note){ .kind = SPAN_SERVER,
                             .name = name,
                             .error = error,
                             .link = link,
                             .attributes = { { "a", text, 0 }, { "b", NULL, -1 } } }));
    name[0] = text[0] = error[0] = link[0] = '#';
    copy = span_queue_first(queue);
    ck_assert_str_eq(copy->name, "name");
    ck_assert_str_eq(copy->error, "INTERNAL");
    ck_assert_str_eq(copy->link, TRACE);
    ck_assert_str_eq(copy->parent_id, begun.parent_id);
    ck_assert_uint_eq(copy->attribute_count, 2);
    ck_assert_str_eq(copy->attributes[0].text, "text");
    ck_assert_ptr_null(copy->attributes[1].text);
    ck_assert_int_eq(copy->start_us, 5);
    ck_assert_int_eq(copy->end_us, 5); /* no span ends before it begins */
    span_queue_close(queue);
}
END_TEST

START_TEST(texts_are_cut)
{
    struct span_queue *queue = span_queue_open(1);
    char text[SPAN_TEXT_BYTES] = "";
    struct span_note note = { .kind = SPAN_CLIENT, .name = text };
    const struct span_copy *copy;
    size_t bytes = 0;

    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 3); /* characters of two bytes */
    for (int i = 0; i < SPAN_ATTRIBUTES_MAX; i++)
        note.attributes[i] = (struct span_attribute){ "key", i == 0 ? "z" : text, 0 };
    ck_assert(span_queue_put(queue, &begun, TRACE, 7, &note));
    copy = span_queue_first(queue);
    ck_assert_str_eq(copy->name, text);
    ck_assert_uint_eq(copy->attribute_count, SPAN_ATTRIBUTES_MAX);
    for (int i = 0; i < SPAN_ATTRIBUTES_MAX; i++) {
        bytes += strlen(copy->attributes[i].text);
        ck_assert(copy->attributes[i].text + strlen(copy->attributes[i].text) <
                  copy->text + sizeof copy->text);
    }
    ck_assert_uint_le(bytes, 1);
    span_queue_close(queue);
}
END_TEST

enum { THREADS = 4, EACH = 2000 };
static struct span_queue *shared;
static atomic_int threads_begun;

static void *
put_many(void *context)
{
    int thread = atomic_fetch_add(&threads_begun, 1);

    (void)context;
    for (int i = 0; i < EACH; i++) {
        while (!put(shared, "many", thread * EACH + i))
            sched_yield();
    }
    return NULL;
}

/* Each span comes once, whole, and those of a thread in its order. */
START_TEST(many_threads_put)
{
    pthread_t threads[THREADS];
    int64_t next[THREADS];

    shared = span_queue_open(64);
    for (int i = 0; i < THREADS; i++) {
        next[i] = i * EACH;
        thread_start(&threads[i], put_many, NULL);
    }
    for (int taken = 0; taken < THREADS * EACH;) {
        const struct span_copy *copy = span_queue_first(shared);

        if (copy == NULL) {
            sched_yield();
            continue;
        }
        ck_assert_str_eq(copy->name, "many");
        ck_assert_int_eq(copy->attributes[0].number, next[copy->attributes[0].number / EACH]++);
        span_queue_took(shared);
        taken++;
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_ptr_null(span_queue_first(shared));
    span_queue_close(shared);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("queue");

    tcase_add_loop_test(cases, it_is_in_order_and_full, 1, 4);
    tcase_add_test(cases, what_is_put_is_a_copy);
    tcase_add_test(cases, texts_are_cut);
    tcase_add_test(cases, many_threads_put);
    return check_run("observe_span_queue", cases);
}
