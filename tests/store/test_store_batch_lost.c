/* Batches on a real PostgreSQL: everything that can be lost, and what others hear meanwhile. */
#include "tests/support/store/batch_fixture.h"

#include <stdio.h>
#include <unistd.h>

static void
kill_backend(PGconn *admin, int pid)
{
    char sql[128], text[PG_FIXTURE_TEXT_BYTES];

    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%d, 5000)", pid);
    pg_fixture_ask(admin, sql, text);
    ck_assert_str_eq(text, "t");
}

/* Adds 1 to "a" until a COMMIT waits for the standby: the setting reaches a running backend late.
 * Returns that backend's pid; 0 when none did. The calls that were done without are added up. */
static int
await_standby(PGconn *admin, struct rival *rival, int *ret_done)
{
    int64_t until_us = clock_steady_us() + 10 * SECOND_US;
    int pid = 0;

    while (pid == 0 && clock_steady_us() < until_us) {
        rival_start(rival, counter_call(new_id(), "a", NULL, 1));
        while (pid == 0 && !call_fixture_wait(rival->test, 1000))
            pid = find_backend(admin, "wait_event = 'SyncRep'");
        if (pid == 0) {
            pthread_join(rival->thread, NULL);
            call_fixture_free(rival->test);
            ++*ret_done;
        }
    }
    return pid;
}

/* The server commits, waits for a standby that does not exist, and is killed: done, and not said. */
START_TEST(lost_commit_that_happened)
{
    PGconn *admin = pg_fixture_connect(fixture.admin);
    struct rival rival = { .pg = pg };
    struct uuid id;
    int pid, done = 0;

    run_one(counter_call(new_id(), "a", NULL, 0), ERR_OK);
    pg_fixture_standby(admin, "ghost");
    pid = await_standby(admin, &rival, &done);
    if (pid != 0)
        kill_backend(admin, pid);
    pg_fixture_standby(admin, ""); /* before anything can fail: it is the whole server's */
    ck_assert_int_ne(pid, 0);
    pthread_join(rival.thread, NULL);
    expect_answer(rival.test, ERR_OK);
    id = rival.test->call.op->id;
    ck_assert_int_eq(counter_op(rival.test)->decided, 1); /* the second time it found its record */
    ck_assert_int_eq(counter_op(rival.test)->value, done + 1);
    expect_value("a", done + 1);
    run_one(counter_call(id, "a", NULL, 1), ERR_OK);
    expect_value("a", done + 1);
    call_fixture_free(rival.test);
    PQfinish(admin);
}
END_TEST

/* A deferred trigger holds COMMIT up until the backend is killed: not done, and not said. */
static PGconn *
hold_up_commits(void)
{
    PGconn *holder = pg_fixture_connect(fixture.conninfo);
    char text[PG_FIXTURE_TEXT_BYTES];

    pg_fixture_ask(holder,
                   "CREATE OR REPLACE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS"
                   " $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$;"
                   "CREATE CONSTRAINT TRIGGER hold_up AFTER INSERT OR UPDATE ON counter"
                   " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold_up();"
                   "SELECT pg_advisory_lock(42)",
                   text);
    return holder;
}

START_TEST(lost_commit_that_did_not_happen)
{
    PGconn *admin = pg_fixture_connect(fixture.admin), *holder = hold_up_commits();
    char text[PG_FIXTURE_TEXT_BYTES];
    struct rival rival = { .pg = pg };

    rival_start(&rival, counter_call(new_id(), "a", NULL, 1));
    kill_backend(admin, await_backend(admin, "wait_event = 'advisory'"));
    pg_fixture_ask(holder, "SELECT pg_advisory_unlock(42)", text);
    pthread_join(rival.thread, NULL);
    expect_answer(rival.test, ERR_OK);
    ck_assert_int_eq(counter_op(rival.test)->decided, 2);
    expect_value("a", 1);
    pg_fixture_ask(holder, "DROP TRIGGER hold_up ON counter", text);
    call_fixture_free(rival.test);
    PQfinish(holder);
    PQfinish(admin);
}
END_TEST

static void
alter_database(PGconn *admin, const char *how)
{
    char sql[256], text[PG_FIXTURE_TEXT_BYTES];

    snprintf(sql, sizeof sql, "ALTER DATABASE %s %s", fixture.database, how);
    pg_fixture_ask(admin, sql, text);
}

static void
database_goes(PGconn *admin)
{
    char sql[256], text[PG_FIXTURE_TEXT_BYTES];

    alter_database(admin, "ALLOW_CONNECTIONS false");
    snprintf(sql, sizeof sql,
             "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
             " WHERE datname = '%s' AND application_name = 'counter-test'",
             fixture.database);
    pg_fixture_ask(admin, sql, text);
}

static void
database_comes_back(PGconn *admin)
{
    alter_database(admin, "ALLOW_CONNECTIONS true");
}

/* Adds 1 to "a" once the database can be reached again: a tenth of a second after the last try. */
static void
run_when_back(struct uuid id)
{
    int64_t until_us = clock_steady_us() + patient_us(2 * SECOND_US);
    enum error error;

    do {
        struct test_call *test = counter_call(id, "a", NULL, 1);
        struct call *call = &test->call;

        batch_run(&counter_service, pg, &call, 1);
        error = test->call.op->problem.error;
        call_fixture_free(test);
        usleep(5000);
    } while (error == ERR_STORE_DOWN && clock_steady_us() < until_us);
    ck_assert_int_eq(error, ERR_OK);
}

START_TEST(uncertain_only_at_the_deadline)
{
    PGconn *admin = pg_fixture_connect(fixture.admin), *holder = hold_up_commits();
    struct rival rival = { .pg = pg };
    struct test_call *test = counter_call(new_id(), "a", NULL, 1);
    struct uuid id = test->call.op->id;
    int64_t deadline_us = clock_steady_us() + 700 * 1000;

    test->call.deadline_us = deadline_us;
    rival_start(&rival, test);
    await_backend(admin, "wait_event = 'advisory'");
    database_goes(admin);
    pthread_join(rival.thread, NULL);
    ck_assert(clock_steady_us() >= deadline_us);
    expect_answer(test, ERR_UNCERTAIN);
    database_comes_back(admin);
    pg_fixture_run(fixture.conninfo, "DROP TRIGGER hold_up ON counter");
    run_when_back(id); /* only asking again tells */
    expect_value("a", 1);
    call_fixture_free(test);
    PQfinish(holder);
    PQfinish(admin);
}
END_TEST

/* ---- a COMMIT in doubt, and the server stays away ---- */

struct doubt {
    PGconn *admin, *holder;
    struct batch *batch;
    struct test_call *test; /* its COMMIT was sent, and nobody says what became of it */
};

static void
submit_bounded(struct batch *batch, struct call *call)
{
    batch_submit(batch, call);
}

/* The call has a day, as one without a deadline. */
static void
doubt_begin(struct doubt *doubt)
{
    const struct batch_options options = {
        .service = &counter_service, .conninfo = fixture.conninfo, .queue_max = 8, .batch_max = 4
    };

    doubt->admin = pg_fixture_connect(fixture.admin);
    doubt->holder = hold_up_commits();
    doubt->batch = batch_open(&options);
    doubt->test = counter_call(new_id(), "a", NULL, 1);
    doubt->test->call.deadline_us = clock_steady_us() + DAY_US;
    batch_submit(doubt->batch, &doubt->test->call);
    await_backend(doubt->admin, "wait_event = 'advisory'");
    database_goes(doubt->admin);
}

static void
doubt_end(struct doubt *doubt)
{
    batch_stop(doubt->batch);
    batch_close(doubt->batch);
    call_fixture_free(doubt->test);
    PQfinish(doubt->holder);
    PQfinish(doubt->admin);
}

static void
database_comes_back_whole(struct doubt *doubt)
{
    database_comes_back(doubt->admin);
    pg_fixture_run(fixture.conninfo, "DROP TRIGGER hold_up ON counter");
}

/* Callers and the program's own work: nothing was done, and they hear it within a second. */
static void
expect_refused_quickly(struct doubt *doubt)
{
    struct test_call *tests[4];
    int64_t began_us = clock_steady_us();

    for (int i = 0; i < 4; i++) {
        tests[i] = counter_call(new_id(), "b", NULL, 1);
        tests[i]->call.deadline_us = began_us + DAY_US;
        (i % 2 == 0 ? submit_bounded : batch_submit_always)(doubt->batch, &tests[i]->call);
    }
    for (int i = 0; i < 4; i++) {
        ck_assert(
            call_fixture_wait(tests[i], began_us + patient_us(SECOND_US) - clock_steady_us()));
        expect_answer(tests[i], ERR_STORE_DOWN);
        ck_assert_int_eq(counter_op(tests[i])->decided, 0);
        call_fixture_free(tests[i]);
    }
}

START_TEST(nobody_waits_behind_a_commit_in_doubt)
{
    struct doubt doubt;

    doubt_begin(&doubt);
    for (int i = 0; i < 5; i++)
        expect_refused_quickly(&doubt);
    ck_assert(!call_fixture_wait(doubt.test, 0));
    database_comes_back_whole(&doubt);
    ck_assert(call_fixture_wait(doubt.test, 5 * SECOND_US)); /* its answer is the true one */
    expect_answer(doubt.test, ERR_OK);
    expect_value("a", 1);
    expect_value("b", -1);
    doubt_end(&doubt);
}
END_TEST

START_TEST(doubt_ends_without_a_deadline_too)
{
    struct doubt doubt;
    int64_t began_us = clock_steady_us();

    doubt_begin(&doubt);
    expect_refused_quickly(&doubt);
    ck_assert(call_fixture_wait(doubt.test, BATCH_DOUBT_US_MAX + 5 * SECOND_US));
    ck_assert(clock_steady_us() - began_us >= BATCH_DOUBT_US_MAX);
    expect_answer(doubt.test, ERR_UNCERTAIN);
    expect_refused_quickly(&doubt);
    database_comes_back_whole(&doubt);
    run_when_back(doubt.test->call.op->id);
    expect_value("a", 1);
    doubt_end(&doubt);
}
END_TEST

struct run_all {
    struct call **calls;
    size_t count;
};

static void *
run_all_main(void *context)
{
    struct run_all *all = context;

    batch_run(&counter_service, pg, all->calls, all->count);
    return NULL;
}

/* Of a batch with a poison op each runs alone; those behind the one in doubt hear that nothing was
 * done for them. */
START_TEST(nobody_waits_behind_a_doubt_in_a_poisoned_batch)
{
    enum { COUNT = 3 };
    struct test_call *tests[COUNT] = { counter_call(new_id(), "a", NULL, 1),
                                       counter_call(new_id(), "b", NULL, COUNTER_VALUE_MAX + 1),
                                       counter_call(new_id(), "c", NULL, 1) };
    struct call *calls[COUNT] = { &tests[0]->call, &tests[1]->call, &tests[2]->call };
    PGconn *admin = pg_fixture_connect(fixture.admin), *holder = hold_up_commits();
    struct run_all all = { calls, COUNT };
    pthread_t thread;

    tests[0]->call.deadline_us = clock_steady_us() + 2 * SECOND_US;
    ck_assert_int_eq(pthread_create(&thread, NULL, run_all_main, &all), 0);
    await_backend(admin, "wait_event = 'advisory'");
    database_goes(admin);
    for (int i = 1; i < COUNT; i++) {
        ck_assert(call_fixture_wait(tests[i], SECOND_US));
        expect_answer(tests[i], ERR_STORE_DOWN);
    }
    pthread_join(thread, NULL);
    expect_answer(tests[0], ERR_UNCERTAIN);
    database_comes_back(admin);
    pg_fixture_run(fixture.conninfo, "DROP TRIGGER hold_up ON counter");
    for (int i = 0; i < COUNT; i++)
        call_fixture_free(tests[i]);
    PQfinish(holder);
    PQfinish(admin);
}
END_TEST

START_TEST(idle_connection_that_died_is_not_noticed)
{
    PGconn *admin = pg_fixture_connect(fixture.admin);

    for (int i = 1; i <= 3; i++) {
        run_one(counter_call(new_id(), "a", NULL, 1), ERR_OK);
        expect_value("a", i);
        kill_backend(admin, pg_backend_pid(pg));
    }
    PQfinish(admin);
}
END_TEST

/* Another server has become the primary: this one is left, and not connected to again. */
START_TEST(database_that_became_read_only_is_away)
{
    PGconn *admin = pg_fixture_connect(fixture.admin);
    struct uuid id = new_id();

    run_one(counter_call(new_id(), "a", NULL, 1), ERR_OK);
    ck_assert_int_eq(pg_run(pg, "SET default_transaction_read_only = on"), ERR_OK);
    run_one(counter_call(new_id(), "a", NULL, 1), ERR_OK); /* by a new connection */
    expect_value("a", 2);

    alter_database(admin, "SET default_transaction_read_only = on");
    kill_backend(admin, pg_backend_pid(pg));
    run_one(counter_call(id, "a", NULL, 1), ERR_STORE_DOWN);
    alter_database(admin, "RESET default_transaction_read_only");
    run_when_back(id);
    expect_value("a", 3);
    PQfinish(admin);
}
END_TEST

START_TEST(database_away_is_said_quickly)
{
    PGconn *admin = pg_fixture_connect(fixture.admin);
    struct uuid id = new_id();
    int64_t began_us;

    run_one(counter_call(new_id(), "a", NULL, 1), ERR_OK);
    database_goes(admin);
    began_us = clock_steady_us();
    for (int i = 0; i < 20; i++)
        run_one(counter_call(id, "a", NULL, 1), ERR_STORE_DOWN);
    ck_assert_msg(clock_steady_us() - began_us < patient_us(SECOND_US), "20 answers took %lld us",
                  (long long)(clock_steady_us() - began_us));
    database_comes_back(admin);
    expect_value("a", 1);
    run_when_back(id);
    expect_value("a", 2);
    PQfinish(admin);
}
END_TEST

START_TEST(no_server_at_all)
{
    struct pg *nowhere = batch_pg_new(&counter_service, "host=/nonexistent port=1 user=nobody");
    struct test_call *test = counter_call(new_id(), "a", NULL, 1);
    struct call *call = &test->call;

    batch_run(&counter_service, nowhere, &call, 1);
    expect_answer(test, ERR_STORE_DOWN);
    ck_assert_int_eq(pg_backend_pid(nowhere), 0);
    call_fixture_free(test);
    pg_free(nowhere);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("batch");

    tcase_add_checked_fixture(cases, open_pg, service_end);
    tcase_add_test(cases, lost_commit_that_happened);
    tcase_add_test(cases, lost_commit_that_did_not_happen);
    tcase_add_test(cases, uncertain_only_at_the_deadline);
    tcase_add_test(cases, nobody_waits_behind_a_commit_in_doubt);
    tcase_add_test(cases, doubt_ends_without_a_deadline_too);
    tcase_add_test(cases, nobody_waits_behind_a_doubt_in_a_poisoned_batch);
    tcase_add_test(cases, idle_connection_that_died_is_not_noticed);
    tcase_add_test(cases, database_that_became_read_only_is_away);
    tcase_add_test(cases, database_away_is_said_quickly);
    tcase_add_test(cases, no_server_at_all);
    return service_fixture_check(&counter_parts, "store_batch_lost", cases);
}
