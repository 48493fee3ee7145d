/* Statements asked one by one: with parameters and without, refused, and where a round ends the program. */
#include "mesh/store/pg.h"
#include "tests/support/check.h"
#include "tests/support/store/pg_fixture.h"

#include <signal.h>
#include <string.h>

struct number {
    int64_t value;
};

static const struct pg_column number_columns[] = { PG_COLUMN(struct number, value, PG_INT8),
                                                   { 0 } };

static const struct pg_statement number_count = {
    .name = "number_count",
    .sql = "SELECT count(*) FROM number",
    .is_single = true,
    .out = number_columns,
    .out_bytes = sizeof(struct number),
};
static const struct pg_statement number_add = {
    .name = "number_add",
    .sql = "INSERT INTO number SELECT * FROM generate_series(1, $1::bigint)",
    .in = number_columns,
    .is_single = true,
};
static const struct pg_statement number_above = {
    .name = "number_above",
    .sql = "SELECT value FROM number WHERE value > $1 ORDER BY value",
    .in = number_columns,
    .is_single = true,
    .out = number_columns,
    .out_bytes = sizeof(struct number),
};

static struct pg_fixture fixture;
static struct pg *pg;
static struct arena *arena;

static void
set_up(void)
{
    static const struct pg_statement *const statements[] = { &number_count, &number_add,
                                                             &number_above, NULL };

    pg = pg_new(fixture.conninfo, "test", statements);
    arena = arena_new();
}

static void
tear_down(void)
{
    pg = pg_free(pg);
    arena_free(arena);
    pg_fixture_run(fixture.conninfo, "TRUNCATE number");
}

START_TEST(one_statement_is_asked)
{
    const struct number five = { 5 }, three = { 3 };
    const struct number *found;
    struct pg_answer answer;

    ck_assert_int_eq(pg_ask(pg, &number_add, &five, arena, &answer), ERR_OK); /* it connects */
    ck_assert_uint_eq(answer.count, 0);
    ck_assert_uint_eq(answer.changed, 5);
    ck_assert_int_eq(pg_ask(pg, &number_above, &three, arena, &answer), ERR_OK);
    ck_assert_uint_eq(answer.count, 2);
    found = answer.rows;
    ck_assert_int_eq(found[0].value, 4);
    ck_assert_int_eq(found[1].value, 5);
    ck_assert_int_eq(pg_ask(pg, &number_count, NULL, arena, &answer), ERR_OK);
    found = answer.rows;
    ck_assert_int_eq(found[0].value, 5);
}
END_TEST

START_TEST(an_error_leaves_nothing_behind)
{
    const struct number two = { 2 };
    struct pg_answer answer;

    ck_assert_int_eq(pg_ask(pg, &number_add, &two, arena, NULL), ERR_OK);
    memset(&answer, 0xff, sizeof answer);
    ck_assert_int_eq(pg_ask(pg, &number_add, &two, arena, &answer), ERR_CONFLICT);
    ck_assert_ptr_null(answer.rows);
    ck_assert_uint_eq(answer.count + answer.changed, 0);
    ck_assert_int_eq(pg_why(pg), PG_WHY_DUPLICATE);
    ck_assert_int_eq(pg_ask(pg, &number_count, NULL, arena, &answer), ERR_OK);
    ck_assert_int_eq(((const struct number *)answer.rows)->value, 2);
}
END_TEST

/* A connection that went in between would be another one, outside the transaction. */
START_TEST(asking_in_a_transaction_is_a_defect)
{
    struct pg_step step = { .statement = &number_count };

    ck_assert_int_eq(pg_connect(pg), ERR_OK);
    ck_assert_int_eq(pg_round(pg, true, &step, 1, arena), ERR_OK);
    pg_ask(pg, &number_count, NULL, arena, NULL);
}
END_TEST

START_TEST(a_round_has_a_limit)
{
    struct pg_step steps[PG_STEPS_MAX];

    for (size_t i = 0; i < PG_STEPS_MAX; i++)
        steps[i] = (struct pg_step){ .statement = &number_count };
    ck_assert_int_eq(pg_connect(pg), ERR_OK);
    ck_assert_int_eq(pg_round(pg, false, steps, PG_STEPS_MAX, arena), ERR_OK);
    ck_assert_uint_eq(steps[PG_STEPS_MAX - 1].ret_count, 1);
}
END_TEST

/* Counts of steps come from the code, never from a caller. */
START_TEST(a_round_that_is_too_long_is_a_defect)
{
    struct pg_step steps[PG_STEPS_MAX + 1];

    for (size_t i = 0; i <= PG_STEPS_MAX; i++)
        steps[i] = (struct pg_step){ .statement = &number_count };
    ck_assert_int_eq(pg_connect(pg), ERR_OK);
    pg_round(pg, false, steps, PG_STEPS_MAX + 1, arena);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("rounds");
    int failed;

    pg_fixture_open(&fixture, "store_pg", "mesh/store/mesh.sql");
    pg_fixture_run(fixture.conninfo, "CREATE TABLE number (value bigint PRIMARY KEY)");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, one_statement_is_asked);
    tcase_add_test(cases, an_error_leaves_nothing_behind);
    tcase_add_test(cases, a_round_has_a_limit);
    if (check_forks()) { /* an assertion ends the process */
        tcase_add_test_raise_signal(cases, asking_in_a_transaction_is_a_defect, SIGABRT);
        tcase_add_test_raise_signal(cases, a_round_that_is_too_long_is_a_defect, SIGABRT);
    }
    failed = check_run("store_pg", cases);
    pg_fixture_close(&fixture);
    return failed;
}
