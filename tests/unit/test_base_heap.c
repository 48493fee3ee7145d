/* A heap against a plain list of the same items: what is put in, moved, taken out and popped. */
#include "mesh/base/heap.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

enum { ITEMS = 200, STEPS = 20000 };

struct waiting {
    int number;
    struct heap_item due;
};

/* The least key of those that are in; INT64_MAX: none is. */
static int64_t
least(const struct waiting *waiting, size_t *ret_count)
{
    int64_t key = INT64_MAX;

    *ret_count = 0;
    for (int i = 0; i < ITEMS; i++) {
        if (!heap_has(&waiting[i].due))
            continue;
        ++*ret_count;
        if (waiting[i].due.key < key)
            key = waiting[i].due.key;
    }
    return key;
}

START_TEST(what_comes_first_is_known)
{
    struct waiting waiting[ITEMS];
    struct heap heap = { 0 };
    unsigned random = 1;

    memset(waiting, 0, sizeof waiting);
    for (int step = 0; step < STEPS; step++) {
        struct waiting *one = &waiting[rand_r(&random) % ITEMS];
        size_t count;
        int64_t key;
        struct heap_item *first;

        switch (rand_r(&random) % 4) {
        case 0:
        case 1:
            heap_set(&heap, &one->due, rand_r(&random) % 100 - 50);
            break;
        case 2:
            heap_remove(&heap, &one->due);
            break;
        default:
            key = least(waiting, &count);
            first = heap_pop(&heap);
            if ((first == NULL) != (count == 0) || (first != NULL && first->key != key))
                ck_abort_msg("step %d: what was popped is not the first", step);
        }
        key = least(waiting, &count);
        first = heap_first(&heap);
        if (heap.count != count || (first == NULL ? INT64_MAX : first->key) != key)
            ck_abort_msg("step %d: %zu items, not %zu", step, heap.count, count);
    }
    heap_free(&heap);
}
END_TEST

START_TEST(items_come_in_order_and_know_their_owner)
{
    static const int64_t keys[] = { 5, INT64_MAX, -3, 0, 5, INT64_MIN, 7 };
    static const int order[] = { 5, 2, 3, 0, 4, 6, 1 };
    struct waiting waiting[7] = { 0 };
    struct heap heap = { 0 };

    for (int i = 0; i < 7; i++) {
        waiting[i].number = i;
        heap_set(&heap, &waiting[i].due, keys[i]);
    }
    for (int i = 0; i < 7; i++) {
        const struct heap_item *first = heap_first(&heap), *popped = heap_pop(&heap);
        const struct waiting *owner = HEAP_OWNER(popped, struct waiting, due);

        ck_assert_ptr_eq(first, popped);
        ck_assert_int_eq(popped->key, keys[order[i]]); /* which of two that are equal is not said */
        ck_assert_int_eq(owner->due.key, keys[owner->number]);
        ck_assert(!heap_has(popped));
    }
    ck_assert_ptr_null(heap_first(&heap));
    ck_assert_ptr_null(heap_pop(&heap));
    heap_free(&heap);
}
END_TEST

START_TEST(only_what_is_due_is_popped)
{
    struct heap_item soon = { 0 }, late = { 0 };
    struct heap heap = { 0 };

    ck_assert_ptr_null(heap_pop_due(&heap, INT64_MAX));
    heap_set(&heap, &late, 20);
    heap_set(&heap, &soon, 10);
    ck_assert_ptr_null(heap_pop_due(&heap, 9));
    ck_assert_ptr_eq(heap_pop_due(&heap, 10), &soon);
    ck_assert_ptr_null(heap_pop_due(&heap, 19));
    heap_set(&heap, &late, 5);
    ck_assert_uint_eq(heap.count, 1); /* it was moved */
    heap_remove(&heap, &soon);        /* it is in none */
    ck_assert_ptr_eq(heap_pop_due(&heap, 5), &late);
    heap_free(&heap);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("heap");

    tcase_add_test(cases, what_comes_first_is_known);
    tcase_add_test(cases, items_come_in_order_and_know_their_owner);
    tcase_add_test(cases, only_what_is_due_is_popped);
    return check_run("base_heap", cases);
}
