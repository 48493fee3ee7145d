/* The rows of a batch, without a database: found, made, changed, and walked when they were saved. */
#include "mesh/store/batch_rows.h"
#include "tests/support/check.h"
#include "tests/support/store/counter_service.h"

#include <stdio.h>

static struct arena *arena;
static struct batch_rows *rows;
static struct batch_touch *touch;

static void
open_rows(void)
{
    arena = arena_new();
    rows = batch_rows_new(&counter_service, arena);
    touch = batch_rows_touch(rows);
}

static void
close_rows(void)
{
    arena = arena_free(arena);
}

START_TEST(touched_row_is_found_once_it_is_made)
{
    char key[] = "a";
    struct counter *counter;

    batch_touch_text(touch, COUNTER_COUNTER, key);
    batch_touch_text(touch, COUNTER_COUNTER, "a"); /* twice is once */
    ck_assert_ptr_null(batch_find_text(rows, COUNTER_COUNTER, "a"));
    ck_assert(!batch_rows_is_dirty(rows));
    counter = batch_add_text(rows, COUNTER_COUNTER, key);
    key[0] = 'x'; /* the key is the rows' own */
    ck_assert_str_eq(counter->name, "a");
    ck_assert_int_eq(counter->value, 0);
    ck_assert_ptr_eq(batch_find_text(rows, COUNTER_COUNTER, "a"), counter);
    ck_assert(batch_rows_is_dirty(rows));
}
END_TEST

START_TEST(keys_of_tables_are_apart)
{
    struct uuid id = uuid_v7(clock_now_us());

    batch_touch_uuid(touch, COUNTER_NOTE, id);
    batch_rows_touch_records(rows, id);
    ck_assert_ptr_nonnull(batch_add_uuid(rows, COUNTER_NOTE, id));
    ck_assert_ptr_null(batch_find_uuid(rows, COUNTER_OP, id));
    ck_assert_ptr_null(batch_rows_record(rows, id));
}
END_TEST

START_TEST(many_keys_share_buckets)
{
    enum { COUNT = 5000 };
    char key[16];

    for (int i = 0; i < COUNT; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        batch_touch_text(touch, COUNTER_COUNTER, key);
        ((struct counter *)batch_add_text(rows, COUNTER_COUNTER, key))->value = i;
    }
    for (int i = 0; i < COUNT; i++) {
        struct counter *counter;

        snprintf(key, sizeof key, "key-%d", i);
        counter = batch_find_text(rows, COUNTER_COUNTER, key);
        ck_assert_int_eq(counter->value, i);
        batch_changed(rows, counter); /* new and changed is new */
    }
}
END_TEST

START_TEST(saved_rows_are_walked)
{
    enum batch_row_state state;
    size_t cursor = 0, count = 0;

    batch_touch_text(touch, COUNTER_COUNTER, "a");
    batch_touch_text(touch, COUNTER_COUNTER, "b");
    batch_touch_text(touch, COUNTER_COUNTER, "c");
    batch_add_text(rows, COUNTER_COUNTER, "c");
    batch_add_text(rows, COUNTER_COUNTER, "a");
    while (batch_saved_next(rows, COUNTER_COUNTER, &cursor, &state) != NULL) {
        ck_assert_int_eq(state, BATCH_ROW_NEW);
        count++;
    }
    ck_assert_uint_eq(count, 2); /* "b" was only touched */
}
END_TEST

START_TEST(record_tells_the_decision)
{
    struct op op = { .id = uuid_v7(clock_now_us()), .fingerprint = 7 };
    const struct batch_record *record;

    batch_rows_touch_records(rows, op.id);
    ck_assert_ptr_null(batch_rows_record(rows, op.id));
    problem_refuse(&op.problem, "TOO_LOW", NULL, "it is %d", 3);
    op_record(rows, &op, "Add");
    record = batch_rows_record(rows, op.id);
    ck_assert_uint_eq(record->fingerprint, 7);
    ck_assert_str_eq(record->reason, "TOO_LOW");
    ck_assert_str_eq(record->detail, "it is 3");
}
END_TEST

START_TEST(untouched_row_is_a_defect)
{
    batch_find_text(rows, COUNTER_COUNTER, "never named");
}
END_TEST

START_TEST(second_row_of_a_key_is_a_defect)
{
    batch_touch_text(touch, COUNTER_COUNTER, "a");
    batch_add_text(rows, COUNTER_COUNTER, "a");
    batch_add_text(rows, COUNTER_COUNTER, "a");
}
END_TEST

START_TEST(row_of_nobody_is_a_defect)
{
    struct counter counter = { "a", 1 };

    batch_changed(rows, &counter);
}
END_TEST

int
main(void)
{
    TCase *test = check_case("rows");

    tcase_add_checked_fixture(test, open_rows, close_rows);
    tcase_add_test(test, touched_row_is_found_once_it_is_made);
    tcase_add_test(test, keys_of_tables_are_apart);
    tcase_add_test(test, many_keys_share_buckets);
    tcase_add_test(test, saved_rows_are_walked);
    tcase_add_test(test, record_tells_the_decision);
    if (check_forks()) { /* an assertion ends the process */
        tcase_add_test_raise_signal(test, untouched_row_is_a_defect, 6);
        tcase_add_test_raise_signal(test, second_row_of_a_key_is_a_defect, 6);
        tcase_add_test_raise_signal(test, row_of_nobody_is_a_defect, 6);
    }
    return check_run("store_batch_rows", test);
}
