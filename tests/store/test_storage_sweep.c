/* The sweep that ends holds: thousands that end at once, and a database that goes away meanwhile. */
#include "tests/support/check.h"
#include "tests/support/storage/storage_fixture.h"

static size_t fail_from; /* ops after so many of the run are answered STORE_DOWN */
static size_t ops_run;
static bool is_idle; /* ops are answered, and change nothing */
static struct method expire;
static struct keeper_task task;

/* fail_from: as when the database goes away in the middle of a run. */
static void
expire_decide_or_not(void *op, struct batch_rows *rows)
{
    if (ops_run++ >= fail_from)
        problem_set(&((struct op *)op)->problem, ERR_STORE_DOWN, NULL, "away");
    else if (!is_idle)
        storage_expire_method.decide(op, rows);
}

static void
sweep(enum error expected)
{
    ops_run = 0;
    service_task_run(&task, expected);
}

static void
open_pg(void)
{
    service_begin();
    task = storage_tasks[0];
    expire = storage_expire_method;
    expire.decide = expire_decide_or_not;
    task.sweep.method = &expire;
    fail_from = SIZE_MAX;
    is_idle = false;
    pg_fixture_run(fixture.conninfo, "TRUNCATE hold, product; UPDATE sweep SET floor_us = 0");
}

/* count holds of a piece each, that ended `ago` seconds ago, all in one microsecond. */
static void
make_holds(int count, int ago)
{
    pg_fixture_run(fixture.conninfo,
                   "INSERT INTO product VALUES ('tea', 'JPY', 1, %d, 0, %d, 0)"
                   " ON CONFLICT (sku) DO UPDATE SET on_hand = product.on_hand + %d,"
                   " held = product.held + %d",
                   count, count, count, count);
    pg_fixture_run(fixture.conninfo,
                   "INSERT INTO hold SELECT (left(mesh_uuid_floor(now())::text, 14) || '7' ||"
                   " substr(md5(random()::text), 1, 3) || '-8' || substr(md5(i::text), 4, 3) || '-'"
                   " || substr(md5(random()::text), 7, 12))::uuid, 1, '', '', 1, 'r',"
                   " '1 1 tea' || chr(10), 'JPY', 1,"
                   " (extract(epoch FROM now())::bigint - %d) * 1000000"
                   " FROM generate_series(1, %d) AS i",
                   ago, count);
}

static void
expect_held(long long held)
{
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT held FROM product"), held);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM hold WHERE state = 1"),
                     held);
}

START_TEST(only_what_ended_is_ended)
{
    make_holds(3, 10);
    make_holds(2, -60);
    sweep(ERR_OK);
    expect_held(2);
    sweep(ERR_OK);
    expect_held(2);
}
END_TEST

/* An op that leaves its row as it was must not be asked for ever. */
START_TEST(op_that_does_nothing_ends_the_run)
{
    make_holds(3, 10);
    is_idle = true;
    sweep(ERR_STORE_DOWN);
    is_idle = false;
    ck_assert_uint_eq(ops_run, 3);
    sweep(ERR_OK);
    expect_held(0);
}
END_TEST

START_TEST(more_than_a_page_in_a_microsecond)
{
    make_holds(2300, 10);
    sweep(ERR_OK);
    expect_held(0);
}
END_TEST

START_TEST(what_failed_is_met_again)
{
    make_holds(5, 7200); /* long ended: the floor must not pass them */
    fail_from = 2;
    sweep(ERR_STORE_DOWN);
    expect_held(3);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT floor_us FROM sweep"), 0);
    sweep(ERR_STORE_DOWN);
    expect_held(1);
    fail_from = SIZE_MAX;
    sweep(ERR_OK);
    expect_held(0);
    ck_assert_int_gt(pg_fixture_int(fixture.conninfo, "SELECT floor_us FROM sweep"), 0);
}
END_TEST

static long long
floor_now(void)
{
    return pg_fixture_int(fixture.conninfo, "SELECT floor_us FROM sweep");
}

static long long
database_now(void)
{
    return pg_fixture_int(fixture.conninfo,
                          "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint");
}

START_TEST(the_floor_stays_behind_and_does_not_fall)
{
    long long floor_us;

    sweep(ERR_OK);
    floor_us = floor_now();
    ck_assert_int_gt(floor_us, 0);
    /* a slow commit may appear behind now */
    ck_assert_int_le(floor_us, database_now() - 60 * SECOND_US);
    for (int i = 0; i < 61; i++) /* one of them looks back, and tells */
        sweep(ERR_OK);
    ck_assert_int_ge(floor_now(), floor_us);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    long long floor_ahead_s; /* of the database's clock, as it is after the step */
} steps[] = {
    { "the clock was a minute ahead",   0 },
    { "the clock was 10 minutes ahead", 540 },
    { "the clock was 60 days ahead",    60 * 86400 },
};
/* clang-format on */

/* The clock stepped back: what ends now is before the floor. The next run finds it, and the floor goes
 * back, so that one that begins anew finds more of it. */
START_TEST(a_clock_that_stepped_back_hides_no_hold)
{
    sweep(ERR_OK);
    pg_fixture_run(fixture.conninfo, "UPDATE sweep SET floor_us = %lld",
                   database_now() + steps[_i].floor_ahead_s * SECOND_US);
    make_holds(3, 10);
    sweep(ERR_OK);
    expect_held(0);
    ck_assert_msg(floor_now() <= database_now() - 60 * SECOND_US, "%s", steps[_i].what);
}
END_TEST

/* Holds that ended before the floor, which should not be: more than a page of others before it. */
START_TEST(the_slow_walk_finds_all)
{
    pg_fixture_run(fixture.conninfo, "UPDATE sweep SET floor_us = %lld",
                   database_now() - 100 * SECOND_US);
    sweep(ERR_OK);
    make_holds(6000, -600);
    make_holds(3, 7200);
    for (int i = 0; i < 31; i++) /* three pages: the first ones, the others, none */
        sweep(ERR_OK);
    expect_held(6000);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("sweep");

    tcase_add_checked_fixture(cases, open_pg, service_end);
    tcase_add_test(cases, only_what_ended_is_ended);
    tcase_add_test(cases, op_that_does_nothing_ends_the_run);
    tcase_add_test(cases, more_than_a_page_in_a_microsecond);
    tcase_add_test(cases, what_failed_is_met_again);
    tcase_add_test(cases, the_floor_stays_behind_and_does_not_fall);
    tcase_add_loop_test(cases, a_clock_that_stepped_back_hides_no_hold, 0, ROWS(steps));
    tcase_add_test(cases, the_slow_walk_finds_all);
    return service_fixture_check(&storage_parts, "storage_sweep", cases);
}
