/* Which weeks of a partitioned table are dropped, and which must stay: by the orchestrator's schema. */
#include "mesh/base/clock.h"
#include "mesh/base/uuid.h"
#include "tests/store/pg_fixture.h"

#include <check.h>

static struct pg_fixture fixture;

/* The weeks from 100 to 60 days ago, as a service that has run for long has them. */
static void
make_old_weeks(void)
{
    pg_fixture_run(fixture.conninfo,
                   "SELECT mesh_partitions_make('journal_final', now() - interval '100 days',"
                   " now() - interval '60 days', 100)");
}

static void
drop_weeks(const char *open, const char *pinned_by)
{
    pg_fixture_run(fixture.conninfo, "SELECT mesh_partitions_drop('journal_final', '%s', %s)", open,
                   pinned_by);
}

static long long
old_weeks(void)
{
    return pg_fixture_int(fixture.conninfo,
                          "SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                          " WHERE i.inhparent = 'journal_final'::regclass AND"
                          " to_date(right(c.relname, 7), 'IYYY\"w\"IW') <"
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

int
main(void)
{
    Suite *suite = suite_create("store partitions");
    TCase *weeks = tcase_create("weeks");
    SRunner *runner = srunner_create(suite);
    int failed;

    pg_fixture_open(&fixture, "store_partitions", "saga/schema.sql");
    suite_add_tcase(suite, weeks);
    tcase_set_timeout(weeks, 120);
    tcase_add_test(weeks, old_weeks_are_dropped);
    tcase_add_test(weeks, a_week_with_an_open_row_stays);
    tcase_add_test(weeks, the_week_of_a_saga_that_has_not_ended_stays);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    pg_fixture_close(&fixture);
    return failed == 0 ? 0 : 1;
}
