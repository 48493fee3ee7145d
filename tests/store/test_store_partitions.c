/* Which weeks of a partitioned table are dropped, and which must stay: by the orchestrator's schema. */
#include "mesh/base/clock.h"
#include "mesh/base/uuid.h"
#include "tests/support/check.h"
#include "tests/support/store/pg_fixture.h"

static struct pg_fixture fixture;

static void
put_row(int days_ago)
{
    char id[UUID_TEXT_BYTES + 1];

    uuid_print(uuid_v7(clock_now_us() - days_ago * DAY_US), id);
    pg_fixture_run(fixture.conninfo, "INSERT INTO journal_final VALUES ('%s', 0, 1, 'ENDED', '')",
                   id);
}

/* The weeks from 100 to 60 days ago, as a service that has run for long has them, and a row of today. */
static void
make_old_weeks(void)
{
    pg_fixture_run(fixture.conninfo,
                   "DELETE FROM partition_floor; TRUNCATE journal_final;"
                   "SELECT mesh_partitions_make('journal_final', now() - interval '100 days',"
                   " now() - interval '60 days', 100)");
    put_row(0);
}

static void
drop_weeks(const char *open, const char *pinned_by)
{
    pg_fixture_run(fixture.conninfo, "SELECT mesh_partitions_drop('journal_final', '%s', %s, %lld)",
                   open, pinned_by, (long long)clock_now_us());
}

static long long
old_weeks(void)
{
    return pg_fixture_int(
        fixture.conninfo,
        "WITH names AS MATERIALIZED (SELECT c.relname AS name FROM pg_inherits i"
        " JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'journal_final'::regclass)"
        " SELECT count(*) FROM names WHERE to_date(right(name, 7), 'IYYY\"w\"IW') <"
        " (now() - interval '59 days')::date");
}

static void
id_of_days_ago(int days, char text[UUID_TEXT_BYTES + 1])
{
    uuid_print(uuid_v7(clock_now_us() - days * DAY_US), text);
}

START_TEST(old_weeks_are_dropped)
{
    long long kept = pg_fixture_int(
        fixture.conninfo,
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'journal_final'::regclass");

    make_old_weeks();
    ck_assert_int_ge(old_weeks(), 5);
    drop_weeks("false", "NULL");
    ck_assert_int_eq(old_weeks(), 0);
    ck_assert_int_eq(
        pg_fixture_int(
            fixture.conninfo,
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'journal_final'::regclass"),
        kept);
}
END_TEST

START_TEST(a_week_with_an_open_row_stays)
{
    char id[UUID_TEXT_BYTES + 1];

    make_old_weeks();
    id_of_days_ago(80, id);
    pg_fixture_run(fixture.conninfo, "INSERT INTO journal_final VALUES ('%s', 0, 1, 'open', '')",
                   id);
    drop_weeks("phase = $$open$$", "NULL");
    ck_assert_int_eq(old_weeks(), 1);
    drop_weeks("false", "NULL");
    ck_assert_int_eq(old_weeks(), 0);
}
END_TEST

/* Else the end of a saga that was stuck for months could not be written, and with it no page of the
 * journal. */
START_TEST(the_week_of_a_saga_that_has_not_ended_stays)
{
    char id[UUID_TEXT_BYTES + 1];

    make_old_weeks();
    id_of_days_ago(80, id);
    pg_fixture_run(fixture.conninfo, "INSERT INTO journal_parked VALUES ('%s', 0, 1, 1, 0, '', '')",
                   id);
    drop_weeks("false", "$$journal_parked$$");
    ck_assert_int_eq(old_weeks(), 1);
    pg_fixture_run(fixture.conninfo, "INSERT INTO journal_final VALUES ('%s', 0, 1, 'ENDED', '')",
                   id);
    pg_fixture_run(fixture.conninfo, "DELETE FROM journal_parked");
    drop_weeks("false", "$$journal_parked$$");
    ck_assert_int_eq(old_weeks(), 0);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    int database_days, program_days, newest_days; /* ahead of the truth */
    bool is_dropped;
} clocks[] = {
    { "all agree",                                 0,   0,   0, true },
    { "the database is 60 days ahead",            60,   0,   0, true },
    { "the program is 60 days ahead",              0,  60,   0, true },
    { "both are, and the ids are not",            60,  60,   0, true },
    { "the database is 60 days behind",          -60,   0,   0, false },
    { "the program is 60 days behind",             0, -60,   0, false },
    { "the newest id is 60 days old",              0,   0, -60, false },
};
/* clang-format on */

/* The weeks from 100 to 60 days ago go when no clock doubts it, and those of this month never, also when a
 * clock says so. */
START_TEST(one_wrong_clock_drops_nothing)
{
    long long weeks, after;

    make_old_weeks();
    pg_fixture_run(fixture.conninfo, "SELECT mesh_partitions_keep('journal_final', 100);"
                                     "TRUNCATE journal_final");
    put_row(-clocks[_i].newest_days);
    weeks = pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM pg_inherits"
                                             " WHERE inhparent = 'journal_final'::regclass");
    pg_fixture_run(
        fixture.conninfo,
        "CREATE SCHEMA clock; CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql"
        " AS $$ SELECT pg_catalog.now() + interval '%d days' $$;"
        "SET search_path = clock, public, pg_catalog;"
        "SELECT mesh_partitions_drop('journal_final', 'false', NULL, %lld);"
        "DROP SCHEMA clock CASCADE",
        clocks[_i].database_days, (long long)(clock_now_us() + clocks[_i].program_days * DAY_US));
    after = pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM pg_inherits"
                                             " WHERE inhparent = 'journal_final'::regclass");
    ck_assert_msg((old_weeks() == 0) == clocks[_i].is_dropped, "%s", clocks[_i].what);
    if (clocks[_i].is_dropped)
        ck_assert_msg(weeks - after >= 5 && weeks - after <= 7, "%s: %lld of %lld are left",
                      clocks[_i].what, after, weeks);
    else
        ck_assert_msg(after == weeks, "%s: %lld of %lld are left", clocks[_i].what, after, weeks);
}
END_TEST

/* What was dropped is forgotten: were it made again, what was done once would be done twice. */
START_TEST(a_week_that_was_dropped_is_never_made_again)
{
    make_old_weeks();
    drop_weeks("false", "NULL");
    ck_assert_int_eq(
        pg_fixture_int(fixture.conninfo,
                       "SELECT mesh_partitions_make('journal_final',"
                       " now() - interval '100 days', now() - interval '60 days', 100)"),
        0);
    ck_assert_int_eq(old_weeks(), 0);
    ck_assert_int_ge(
        pg_fixture_int(fixture.conninfo,
                       "SELECT mesh_partitions_make('journal_final',"
                       " now() + interval '60 days', now() + interval '70 days', 100)"),
        1);
}
END_TEST

/* The program's clock is far from the database's: ids are the program's. */
START_TEST(weeks_are_made_around_both_clocks)
{
    static const int ahead_days[] = { 200, -200 };

    for (size_t i = 0; i < 2; i++) {
        int64_t then_us = clock_now_us() + ahead_days[i] * DAY_US;
        char id[UUID_TEXT_BYTES + 1];

        pg_fixture_run(fixture.conninfo,
                       "DELETE FROM partition_floor;"
                       "SELECT mesh_partitions_keep('journal_final', 100, %lld)",
                       (long long)then_us);
        uuid_print(uuid_v7(then_us), id);
        pg_fixture_run(fixture.conninfo,
                       "INSERT INTO journal_final VALUES ('%s', 0, 1, 'ENDED', '')", id);
        ck_assert_int_eq(pg_fixture_int(fixture.conninfo,
                                        "SELECT count(*) FROM journal_final WHERE id = '%s' AND"
                                        " abs(extract(epoch FROM mesh_uuid_time(id)) - %lld) < 1",
                                        id, (long long)(then_us / SECOND_US)),
                         1);
    }
}
END_TEST

/* Detaching must not stop all others for as long as one transaction is open. */
START_TEST(a_table_in_use_is_left_for_later)
{
    PGconn *user = pg_fixture_connect(fixture.conninfo);
    PGconn *dropper = pg_fixture_connect(fixture.conninfo);
    char text[PG_FIXTURE_TEXT_BYTES];
    PGresult *result;

    make_old_weeks();
    pg_fixture_ask(user, "BEGIN; SELECT count(*) FROM journal_final", text);
    result = PQexec(dropper, "SELECT mesh_partitions_drop('journal_final', 'false', NULL,"
                             " (extract(epoch FROM now()) * 1000000)::bigint)");
    ck_assert_str_eq(PQresultErrorField(result, PG_DIAG_SQLSTATE), "55P03");
    PQclear(result);
    pg_fixture_ask(user, "COMMIT", text);
    ck_assert_int_ge(old_weeks(), 5);
    drop_weeks("false", "NULL");
    ck_assert_int_eq(old_weeks(), 0);
    PQfinish(user);
    PQfinish(dropper);
}
END_TEST

int
main(void)
{
    TCase *weeks = check_case("weeks");

    tcase_add_test(weeks, old_weeks_are_dropped);
    tcase_add_test(weeks, a_week_with_an_open_row_stays);
    tcase_add_test(weeks, the_week_of_a_saga_that_has_not_ended_stays);
    tcase_add_loop_test(weeks, one_wrong_clock_drops_nothing, 0, ROWS(clocks));
    tcase_add_test(weeks, a_week_that_was_dropped_is_never_made_again);
    tcase_add_test(weeks, weeks_are_made_around_both_clocks);
    tcase_add_test(weeks, a_table_in_use_is_left_for_later);
    return pg_fixture_check(&fixture, "store_partitions", "saga/schema", weeks);
}
