/* Rows, keys and tables that another transaction keeps locked, and partitions that are missing: whose calls they
 * are wait, and all others go on. */
#include "mesh/observe/metrics.h"
#include "tests/support/check.h"
#include "tests/support/metrics_text.h"
#include "tests/support/store/batch_fixture.h"

#include <unistd.h>

enum { STRANGERS = 40, QUEUE_MAX = 1024 };

static struct metrics *metrics; /* of the batch */
static struct batch *batch;
static PGconn *person; /* has a transaction open, and thinks */

static struct test_call *
submit(struct test_call *test, int64_t live_us)
{
    test->call.deadline_us = clock_steady_us() + patient_us(live_us);
    batch_submit(batch, &test->call);
    return test;
}

static void
expect_waited(struct test_call *test, enum error error)
{
    ck_assert(call_fixture_wait(test, patient_us(20 * SECOND_US)));
    expect_answer(test, error);
    call_fixture_free(test);
}

static void
open_batch(void)
{
    static const struct partitions partitions[] = {
        { .table = "op", .fill = 100, .open = "false" },
        { .table = "event", .fill = 100, .open = NULL },
        { 0 },
    };
    struct batch_options options = { .service = &counter_service,
                                     .conninfo = fixture.conninfo,
                                     .partitions = partitions,
                                     .metrics = metrics = metrics_new(),
                                     .queue_max = QUEUE_MAX,
                                     .batch_max = 256 };

    open_pg();
    run_one(counter_call(new_id(), "a", NULL, 1), ERR_OK);
    batch = batch_open(&options);
    person = pg_fixture_connect(fixture.conninfo);
    expect_waited(submit(counter_call(new_id(), "b", NULL, 1), 9 * SECOND_US), ERR_OK);
}

static void
close_batch(void)
{
    batch_stop(batch);
    batch = batch_close(batch);
    metrics = metrics_free(metrics);
    PQfinish(person);
    service_end();
}

static void
person_says(const char *sql)
{
    char text[PG_FIXTURE_TEXT_BYTES];

    pg_fixture_ask(person, sql, text);
}

static bool
is_finished(struct test_call *test)
{
    bool is;

    pthread_mutex_lock(&call_fixture_lock);
    is = test->finished > 0;
    pthread_mutex_unlock(&call_fixture_lock);
    return is;
}

static uint64_t
count_aside(void)
{
    return (uint64_t)metric_shown(metrics, "sagamesh_batch_aside_total");
}

static void
wait_aside(uint64_t least)
{
    int64_t until_us = clock_steady_us() + patient_us(10 * SECOND_US);

    while (count_aside() < least && clock_steady_us() < until_us)
        usleep(1000);
    ck_assert_uint_ge(count_aside(), least);
}

/* Each comes alone, and would wait behind a batch that waits for the lock: that took 16 s. */
static void
strangers_are_served(const char *name)
{
    for (int i = 0; i < STRANGERS; i++)
        expect_waited(submit(counter_call(new_id(), name, NULL, 1), 2 * SECOND_US), ERR_OK);
}

START_TEST(a_locked_row_delays_no_stranger)
{
    struct test_call *blocked[3];

    person_says("BEGIN; SELECT * FROM counter WHERE name = 'a' FOR UPDATE");
    for (int i = 0; i < 3; i++)
        blocked[i] = submit(counter_call(new_id(), "a", NULL, 1), 9 * SECOND_US);
    strangers_are_served("b");
    for (int i = 0; i < 3; i++)
        ck_assert(!is_finished(blocked[i]));
    person_says("COMMIT");
    for (int i = 0; i < 3; i++)
        expect_waited(blocked[i], ERR_OK);
    expect_value("a", 4);
    expect_value("b", 1 + STRANGERS);
}
END_TEST

/* One of two rows is locked, and by UPDATE, as a batch of another replica would. */
START_TEST(a_call_waits_for_each_of_its_rows)
{
    struct test_call *blocked;

    person_says("BEGIN; UPDATE counter SET value = 100 WHERE name = 'a'");
    blocked = submit(counter_call(new_id(), "b", "a", 1), 9 * SECOND_US);
    wait_aside(1);
    strangers_are_served("b");
    ck_assert(!is_finished(blocked));
    person_says("COMMIT");
    expect_waited(blocked, ERR_OK);
    expect_value("a", 101);
    expect_value("b", 2 + STRANGERS);
}
END_TEST

START_TEST(whose_row_stays_locked_hears_that_nothing_was_done)
{
    struct test_call *blocked;
    int64_t deadline_us;

    person_says("BEGIN; SELECT * FROM counter WHERE name = 'a' FOR UPDATE");
    blocked = submit(counter_call(new_id(), "a", NULL, 1), 1 * SECOND_US);
    deadline_us = blocked->call.deadline_us;
    ck_assert(call_fixture_wait(blocked, patient_us(20 * SECOND_US)));
    /* In time, where the machine lets it: else it is too late for any answer. */
    if (clock_steady_us() < deadline_us)
        expect_answer(blocked, ERR_BUSY);
    ck_assert_int_eq(counter_op(blocked)->decided, 0);
    person_says("ROLLBACK");
    call_fixture_free(blocked);
    strangers_are_served("a");
    expect_value("a", 1 + STRANGERS);
}
END_TEST

/* The keeper waits for the ops of a sweep, and comes again anyway: one row that is locked must not keep
 * it from all others. */
START_TEST(an_op_of_the_program_itself_is_answered_soon)
{
    struct test_call *own = counter_call(new_id(), "a", NULL, 1);
    int64_t began_us = clock_steady_us();

    own->call.is_own = true;
    person_says("BEGIN; SELECT * FROM counter WHERE name = 'a' FOR UPDATE");
    submit(own, 30 * SECOND_US);
    ck_assert(call_fixture_wait(own, patient_us(20 * SECOND_US)));
    expect_answer(own, ERR_BUSY);
    ck_assert_int_lt(clock_steady_us() - began_us, patient_us(5 * SECOND_US));
    person_says("ROLLBACK");
    call_fixture_free(own);
    expect_value("a", 1);
}
END_TEST

/* It cannot be seen, so it cannot be looked for. */
START_TEST(a_key_that_is_being_inserted_delays_no_stranger)
{
    struct test_call *blocked, *strangers[STRANGERS];

    person_says("BEGIN; INSERT INTO counter VALUES ('new', 50)");
    blocked = submit(counter_call(new_id(), "new", NULL, 1), 9 * SECOND_US);
    for (int i = 0; i < STRANGERS; i++)
        strangers[i] =
            submit(counter_call(new_id(), i % 2 == 0 ? "a" : "newer", NULL, 1), 9 * SECOND_US);
    for (int i = 0; i < STRANGERS; i++)
        expect_waited(strangers[i], ERR_OK);
    strangers_are_served("b");
    ck_assert(!is_finished(blocked));
    person_says("COMMIT");
    expect_waited(blocked, ERR_OK);
    expect_value("new", 51);
}
END_TEST

START_TEST(a_locked_table_delays_only_those_who_need_it)
{
    struct test_call *blocked = counter_call(new_id(), "a", NULL, 1);

    counter_op(blocked)->note_id = new_id();
    person_says("BEGIN; LOCK TABLE note");
    submit(blocked, 9 * SECOND_US);
    wait_aside(1);
    strangers_are_served("a");
    ck_assert(!is_finished(blocked));
    person_says("COMMIT");
    expect_waited(blocked, ERR_OK);
    expect_value("a", 2 + STRANGERS);
}
END_TEST

/* More than are set aside at once are tried in turn. */
START_TEST(many_wait_and_all_are_done)
{
    enum { MANY = 600 };
    static struct test_call *blocked[MANY];

    person_says("BEGIN; SELECT * FROM counter WHERE name = 'a' FOR UPDATE");
    for (int i = 0; i < MANY; i++)
        blocked[i] = submit(counter_call(new_id(), "a", NULL, 1), 9 * SECOND_US);
    wait_aside(MANY);
    strangers_are_served("b");
    person_says("COMMIT");
    for (int i = 0; i < MANY; i++)
        expect_waited(blocked[i], ERR_OK);
    expect_value("a", 1 + MANY);
}
END_TEST

START_TEST(who_is_set_aside_is_answered_when_the_program_stops)
{
    struct test_call *blocked;

    person_says("BEGIN; SELECT * FROM counter WHERE name = 'a' FOR UPDATE");
    blocked = submit(counter_call(new_id(), "a", NULL, 1), 9 * SECOND_US);
    wait_aside(1);
    batch_stop(batch);
    expect_answer(blocked, ERR_BUSY);
    call_fixture_free(blocked);
    batch = batch_close(batch);
    metrics = metrics_free(metrics);
    person_says("ROLLBACK");
    expect_value("a", 1);
    PQfinish(person);
    service_end();
    open_batch(); /* for the end of the test */
}
END_TEST

/* ---- partitions ---- */

static void
drop_this_week(const char *table)
{
    pg_fixture_run(fixture.conninfo,
                   "DO $$ BEGIN EXECUTE format('DROP TABLE %%I',"
                   " '%s' || to_char(now() AT TIME ZONE 'UTC', '\"_\"IYYY\"w\"IW')); END $$",
                   table);
}

START_TEST(a_missing_partition_is_made)
{
    static const char *const tables[] = { "op", "event" };
    struct test_call *noted;

    for (size_t i = 0; i < 2; i++) {
        drop_this_week(tables[i]);
        noted = counter_call(new_id(), "a", NULL, 1);
        counter_op(noted)->note_id = new_id(); /* makes an event */
        expect_waited(submit(noted, 9 * SECOND_US), ERR_OK);
    }
    expect_value("a", 3);
}
END_TEST

/* A clock that runs behind the truth must not bring an id back whose record was dropped. */
START_TEST(an_id_of_a_dropped_week_is_too_old)
{
    drop_this_week("op");
    pg_fixture_run(fixture.conninfo,
                   "INSERT INTO partition_floor VALUES ('op', now() + interval '7 days')");
    expect_waited(submit(counter_call(new_id(), "a", NULL, 1), 9 * SECOND_US), ERR_ID_TOO_OLD);
    pg_fixture_run(fixture.conninfo,
                   "DELETE FROM partition_floor; SELECT mesh_partitions_keep('op', 100)");
    expect_value("a", 1);
    strangers_are_served("a");
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("aside");

    tcase_add_checked_fixture(cases, open_batch, close_batch);
    tcase_add_test(cases, a_locked_row_delays_no_stranger);
    tcase_add_test(cases, a_call_waits_for_each_of_its_rows);
    tcase_add_test(cases, whose_row_stays_locked_hears_that_nothing_was_done);
    tcase_add_test(cases, an_op_of_the_program_itself_is_answered_soon);
    tcase_add_test(cases, a_key_that_is_being_inserted_delays_no_stranger);
    tcase_add_test(cases, a_locked_table_delays_only_those_who_need_it);
    tcase_add_test(cases, many_wait_and_all_are_done);
    tcase_add_test(cases, who_is_set_aside_is_answered_when_the_program_stops);
    tcase_add_test(cases, a_missing_partition_is_made);
    tcase_add_test(cases, an_id_of_a_dropped_week_is_too_old);
    return service_fixture_check(&counter_parts, "store_batch_aside", cases);
}
