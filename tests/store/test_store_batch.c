/* Batches on a real PostgreSQL: repeats, other writers, poison, and everything that can be lost. */
#include "mesh/store/batch.h"
#include "tests/store/counter_service.h"
#include "tests/store/pg_fixture.h"

#include <check.h>
#include <stdatomic.h>
#include <unistd.h>

static struct pg_fixture fixture;
static struct pg *pg;

static void
open_pg(void)
{
    pg_fixture_run(fixture.conninfo, "TRUNCATE counter, note, op, event");
    pg = batch_pg_new(&counter_service, fixture.conninfo);
}

static void
close_pg(void)
{
    pg = pg_free(pg);
}

static struct uuid
new_id(void)
{
    return uuid_v7(clock_now_us());
}

static void
expect_value(const char *name, long long value)
{
    long long is = pg_fixture_int(
        fixture.conninfo, "SELECT coalesce(sum(value), -1) FROM counter WHERE name = '%s'", name);

    ck_assert_msg(is == value, "'%s' is %lld and should be %lld", name, is, value);
}

static void
expect_answer(const struct test_call *test, enum error error)
{
    ck_assert_int_eq(test->finished, 1);
    ck_assert_msg(test->call.op->problem.error == error, "got %s and not %s: %s",
                  error_name(test->call.op->problem.error), error_name(error),
                  test->call.op->problem.text);
}

/* Decides one call, expects its answer and frees it. */
static void
run_one(struct test_call *test, enum error error)
{
    struct call *call = &test->call;

    batch_run(&counter_service, pg, &call, 1);
    expect_answer(test, error);
    call_fixture_free(test);
}

/* ---- repeats ---- */

START_TEST(same_id_twice_in_a_batch)
{
    struct uuid id = new_id();
    struct test_call *first = counter_call(id, "a", NULL, 5);
    struct test_call *second = counter_call(id, "a", NULL, 5);
    struct call *calls[] = { &first->call, &second->call };

    batch_run(&counter_service, pg, calls, 2);
    expect_answer(first, ERR_OK);
    expect_answer(second, ERR_OK);
    ck_assert_int_eq(counter_op(first)->decided, 1);
    ck_assert_int_eq(counter_op(second)->decided, 0);
    ck_assert_int_eq(counter_op(second)->value, 5);
    expect_value("a", 5);
    call_fixture_free(first);
    call_fixture_free(second);
}
END_TEST

START_TEST(same_id_other_content)
{
    struct uuid id = new_id();
    struct test_call *first = counter_call(id, "a", NULL, 5);
    struct test_call *second = counter_call(id, "a", NULL, 6);
    struct call *calls[] = { &first->call, &second->call };

    batch_run(&counter_service, pg, calls, 2);
    expect_answer(first, ERR_OK);
    expect_answer(second, ERR_ID_REUSED);
    run_one(counter_call(id, "a", NULL, 7), ERR_ID_REUSED); /* and in a batch of its own */
    run_one(counter_call(id, "b", NULL, 5), ERR_ID_REUSED);
    run_one(counter_call(id, "a", NULL, 5), ERR_OK);
    expect_value("a", 5);
    expect_value("b", -1);
    call_fixture_free(first);
    call_fixture_free(second);
}
END_TEST

START_TEST(refusal_is_kept)
{
    struct uuid id = new_id();
    struct test_call *first = counter_call(id, "a", NULL, -5);
    struct test_call *again = counter_call(id, "a", NULL, -5);
    struct call *call = &first->call;

    batch_run(&counter_service, pg, &call, 1);
    expect_answer(first, ERR_REFUSED);
    ck_assert_str_eq(first->call.op->problem.field, "amount");
    call = &again->call;
    run_one(counter_call(new_id(), "a", NULL, 100), ERR_OK);
    batch_run(&counter_service, pg, &call, 1); /* now it would be possible */
    expect_answer(again, ERR_REFUSED);
    ck_assert_str_eq(again->call.op->problem.reason, "TOO_LOW");
    ck_assert_str_eq(again->call.op->problem.text, "'a' would fall below 0");
    ck_assert(again->call.op->problem.is_stored);
    ck_assert_mem_eq(&again->call.op->problem, &first->call.op->problem, sizeof(struct problem));
    ck_assert_int_eq(counter_op(again)->decided, 0);
    expect_value("a", 100);
    call_fixture_free(first);
    call_fixture_free(again);
}
END_TEST

START_TEST(later_op_sees_the_earlier_one)
{
    struct test_call *low = counter_call(new_id(), "a", NULL, -3);
    struct test_call *put = counter_call(new_id(), "a", NULL, 3);
    struct test_call *take = counter_call(new_id(), "a", NULL, -2);
    struct call *calls[] = { &low->call, &put->call, &take->call };

    batch_run(&counter_service, pg, calls, 3);
    expect_answer(low, ERR_REFUSED);
    ck_assert(low->call.op->problem.is_stored);
    expect_answer(put, ERR_OK);
    expect_answer(take, ERR_OK);
    expect_value("a", 1);
    for (size_t i = 0; i < 3; i++)
        call_fixture_free((struct test_call *)calls[i]);
}
END_TEST

START_TEST(too_old_id_is_refused)
{
    int64_t now_us = clock_now_us();

    run_one(counter_call(uuid_v7(now_us - (ID_DAYS_KEPT * DAY_US + 60 * SECOND_US)), "a", NULL, 1),
            ERR_ID_TOO_OLD);
    run_one(counter_call(uuid_v7(now_us - (ID_DAYS_KEPT * DAY_US - 60 * SECOND_US)), "a", NULL, 1),
            ERR_OK);
    expect_value("a", 1);
}
END_TEST

START_TEST(expired_call_does_nothing)
{
    /* batch_run() takes what it is given; the deadline is looked at where the queue is emptied. */
    struct batch_options options = {
        .service = &counter_service, .conninfo = fixture.conninfo, .queue_max = 4, .batch_max = 4
    };
    struct batch *batch = batch_open(&options);
    struct test_call *late = counter_call(new_id(), "a", NULL, 1);
    struct test_call *fine = counter_call(new_id(), "a", NULL, 2);

    late->call.deadline_us = clock_steady_us() - 1;
    batch_submit(batch, &late->call);
    batch_submit(batch, &fine->call);
    batch_stop(batch);
    expect_answer(late, ERR_EXPIRED);
    expect_answer(fine, ERR_OK);
    expect_value("a", 2);
    batch_close(batch);
    call_fixture_free(late);
    call_fixture_free(fine);
}
END_TEST

START_TEST(note_of_a_later_table_is_changed)
{
    struct uuid note = new_id();

    for (int i = 0; i < 3; i++) {
        struct test_call *test = counter_call(new_id(), "a", NULL, 1);

        counter_op(test)->note_id = note;
        run_one(test, ERR_OK);
    }
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT version FROM note"), 3);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM event"), 3);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT max(version) FROM event"), 3);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo,
                                    "SELECT count(*) FROM (SELECT version, lag(version) OVER"
                                    " (ORDER BY seq) AS before FROM event) AS e"
                                    " WHERE version <= before"),
                     0);
}
END_TEST

/* ---- other writers ---- */

struct rival {
    struct pg *pg;
    struct test_call *test;
    pthread_t thread;
};

static void *
rival_main(void *context)
{
    struct rival *rival = context;
    struct call *call = &rival->test->call;

    batch_run(&counter_service, rival->pg, &call, 1);
    return NULL;
}

static void
rival_start(struct rival *rival, struct test_call *test)
{
    rival->test = test;
    ck_assert_int_eq(pthread_create(&rival->thread, NULL, rival_main, rival), 0);
}

START_TEST(same_id_on_two_connections)
{
    enum { ROUNDS = 150 };
    struct rival rivals[2] = { { .pg = pg },
                               { .pg = batch_pg_new(&counter_service, fixture.conninfo) } };

    for (int round = 0; round < ROUNDS; round++) {
        struct uuid id = new_id(), note = new_id();

        for (int i = 0; i < 2; i++) {
            struct test_call *test = counter_call(id, "a", round % 3 == 0 ? "b" : NULL, 1);

            counter_op(test)->note_id = note;
            rival_start(&rivals[i], test);
        }
        for (int i = 0; i < 2; i++) {
            pthread_join(rivals[i].thread, NULL);
            expect_answer(rivals[i].test, ERR_OK);
            ck_assert_int_eq(counter_op(rivals[i].test)->value, round + 1);
            call_fixture_free(rivals[i].test);
        }
    }
    expect_value("a", ROUNDS);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM op"), ROUNDS);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM event"), ROUNDS);
    pg_free(rivals[1].pg);
}
END_TEST

/* The pid of a backend of this database that is as the condition on pg_stat_activity says; 0: none. */
static int
find_backend(PGconn *admin, const char *condition)
{
    char sql[512], text[PG_FIXTURE_TEXT_BYTES];

    snprintf(sql, sizeof sql,
             "SELECT pid FROM pg_stat_activity WHERE datname = '%s' AND %s ORDER BY pid LIMIT 1",
             fixture.database, condition);
    pg_fixture_ask(admin, sql, text);
    return atoi(text);
}

/* Waits for one. */
static int
await_backend(PGconn *admin, const char *condition)
{
    int64_t until_us = clock_steady_us() + 10 * SECOND_US;
    int pid;

    while ((pid = find_backend(admin, condition)) == 0 && clock_steady_us() < until_us)
        usleep(1000);
    ck_assert_msg(pid != 0, "no backend came to: %s", condition);
    return pid;
}

START_TEST(deadlock_runs_the_batch_again)
{
    char conninfo[1024], text[PG_FIXTURE_TEXT_BYTES];
    PGconn *other = pg_fixture_connect(fixture.conninfo);
    PGconn *admin = pg_fixture_connect(fixture.admin);
    struct rival rival = { 0 };

    /* Who waits for this long looks for a deadlock, and is the victim. */
    snprintf(conninfo, sizeof conninfo, "%s options='-c deadlock_timeout=50ms'", fixture.conninfo);
    rival.pg = batch_pg_new(&counter_service, conninfo);
    run_one(counter_call(new_id(), "a", "b", 10), ERR_OK);
    pg_fixture_ask(other, "SET deadlock_timeout = '60s'", text);
    pg_fixture_ask(other, "BEGIN", text);
    pg_fixture_ask(other, "UPDATE counter SET value = value + 100 WHERE name = 'b'", text);
    rival_start(&rival, counter_call(new_id(), "a", "b", 1)); /* locks a, waits for b */
    await_backend(admin, "wait_event_type = 'Lock' AND application_name = 'counter-test'");
    pg_fixture_ask(other, "UPDATE counter SET value = value + 100 WHERE name = 'a'", text);
    pg_fixture_ask(other, "COMMIT", text);
    pthread_join(rival.thread, NULL);
    expect_answer(rival.test, ERR_OK);
    ck_assert_int_eq(counter_op(rival.test)->decided, 1);
    expect_value("a", 111);
    expect_value("b", 111);
    call_fixture_free(rival.test);
    pg_free(rival.pg);
    PQfinish(other);
    PQfinish(admin);
}
END_TEST

START_TEST(row_made_by_another_writer_runs_the_batch_again)
{
    char text[PG_FIXTURE_TEXT_BYTES];
    PGconn *other = pg_fixture_connect(fixture.conninfo);
    PGconn *admin = pg_fixture_connect(fixture.admin);
    struct rival rival = { .pg = pg };

    pg_fixture_ask(other, "BEGIN", text);
    pg_fixture_ask(other, "INSERT INTO counter VALUES ('a', 100)", text);
    rival_start(&rival, counter_call(new_id(), "a", NULL, 1)); /* sees none, so it makes one */
    await_backend(admin, "wait_event_type = 'Lock' AND application_name = 'counter-test'");
    pg_fixture_ask(other, "COMMIT", text);
    pthread_join(rival.thread, NULL);
    expect_answer(rival.test, ERR_OK);
    ck_assert_int_eq(counter_op(rival.test)->decided, 2);
    expect_value("a", 101);
    call_fixture_free(rival.test);
    PQfinish(other);
    PQfinish(admin);
}
END_TEST

/* ---- poison ---- */

START_TEST(poison_op_is_alone_in_its_failure)
{
    enum { COUNT = 5, POISON = 2 };
    struct test_call *tests[COUNT];
    struct call *calls[COUNT];
    struct uuid poison = new_id();

    for (int i = 0; i < COUNT; i++) {
        tests[i] = i == POISON ? counter_call(poison, "a", NULL, COUNTER_VALUE_MAX)
                               : counter_call(new_id(), i < POISON ? "a" : "b", NULL, 1);
        calls[i] = &tests[i]->call;
    }
    batch_run(&counter_service, pg, calls, COUNT);
    for (int i = 0; i < COUNT; i++) {
        expect_answer(tests[i], i == POISON ? ERR_INTERNAL : ERR_OK);
        call_fixture_free(tests[i]);
    }
    expect_value("a", 2);
    expect_value("b", 2);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM op"), COUNT - 1);
    run_one(counter_call(poison, "c", NULL, 1), ERR_OK); /* nothing was done under its id */
}
END_TEST

/* ---- what can be lost ---- */

static void
kill_backend(PGconn *admin, int pid)
{
    char sql[128], text[PG_FIXTURE_TEXT_BYTES];

    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%d, 5000)", pid);
    pg_fixture_ask(admin, sql, text);
    ck_assert_str_eq(text, "t");
}

static void
set_standby(PGconn *admin, const char *name)
{
    char sql[128], text[PG_FIXTURE_TEXT_BYTES];

    snprintf(sql, sizeof sql, "ALTER SYSTEM SET synchronous_standby_names = '%s'", name);
    pg_fixture_ask(admin, sql, text);
    pg_fixture_ask(admin, "SELECT pg_reload_conf()", text);
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
    set_standby(admin, "ghost");
    pid = await_standby(admin, &rival, &done);
    if (pid != 0)
        kill_backend(admin, pid);
    set_standby(admin, ""); /* before anything can fail: it is the whole server's */
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
database_goes(PGconn *admin)
{
    char sql[256], text[PG_FIXTURE_TEXT_BYTES];

    snprintf(sql, sizeof sql, "ALTER DATABASE %s ALLOW_CONNECTIONS false", fixture.database);
    pg_fixture_ask(admin, sql, text);
    snprintf(sql, sizeof sql,
             "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
             " WHERE datname = '%s' AND application_name = 'counter-test'",
             fixture.database);
    pg_fixture_ask(admin, sql, text);
}

static void
database_comes_back(PGconn *admin)
{
    char sql[256], text[PG_FIXTURE_TEXT_BYTES];

    snprintf(sql, sizeof sql, "ALTER DATABASE %s ALLOW_CONNECTIONS true", fixture.database);
    pg_fixture_ask(admin, sql, text);
}

/* Adds 1 to "a" once the database can be reached again: a tenth of a second after the last try. */
static void
run_when_back(struct uuid id)
{
    int64_t until_us = clock_steady_us() + 2 * SECOND_US;
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
        ck_assert(call_fixture_wait(tests[i], began_us + SECOND_US - clock_steady_us()));
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
    ck_assert_msg(clock_steady_us() - began_us < SECOND_US, "20 answers took %lld us",
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

/* ---- the store thread ---- */

START_TEST(full_queue_is_busy_and_stop_does_what_waits)
{
    enum { QUEUE = 4 };
    struct batch_options options = { .service = &counter_service,
                                     .conninfo = fixture.conninfo,
                                     .queue_max = QUEUE,
                                     .batch_max = 2 };
    PGconn *other = pg_fixture_connect(fixture.conninfo);
    PGconn *admin = pg_fixture_connect(fixture.admin);
    struct batch *batch;
    struct test_call *tests[QUEUE + 4];
    struct batch_counters counters;
    char text[PG_FIXTURE_TEXT_BYTES];

    run_one(counter_call(new_id(), "a", NULL, 0), ERR_OK);
    pg_fixture_ask(other, "BEGIN", text);
    pg_fixture_ask(other, "UPDATE counter SET value = value WHERE name = 'a'", text);
    batch = batch_open(&options);
    for (int i = 0; i < QUEUE + 4; i++)
        tests[i] = counter_call(new_id(), "a", NULL, 1);
    batch_submit(batch, &tests[0]->call);
    await_backend(admin, "wait_event_type = 'Lock' AND application_name = 'counter-test'");
    for (int i = 1; i <= QUEUE; i++)
        batch_submit(batch, &tests[i]->call);
    batch_submit(batch, &tests[QUEUE + 1]->call);
    expect_answer(tests[QUEUE + 1], ERR_BUSY);
    batch_submit_always(batch, &tests[QUEUE + 2]->call);
    pg_fixture_ask(other, "COMMIT", text);
    batch_stop(batch); /* returns when all that waited is done */
    for (int i = 0; i <= QUEUE; i++)
        expect_answer(tests[i], ERR_OK);
    expect_answer(tests[QUEUE + 2], ERR_OK);
    batch_submit(batch, &tests[QUEUE + 3]->call);
    expect_answer(tests[QUEUE + 3], ERR_STOPPING);
    expect_value("a", QUEUE + 2);
    batch_count(batch, &counters);
    ck_assert_uint_eq(counters.ops, QUEUE + 2);
    ck_assert_uint_eq(counters.commits,
                      1 + (QUEUE + 2) / 2); /* one alone, then two and two and one */
    for (int i = 0; i < QUEUE + 4; i++)
        call_fixture_free(tests[i]);
    batch_close(batch);
    PQfinish(other);
    PQfinish(admin);
}
END_TEST

struct pusher {
    struct batch *batch;
    struct test_call *tests[64];
    pthread_t thread;
};

static void *
pusher_main(void *context)
{
    struct pusher *pusher = context;

    for (size_t i = 0; i < 64; i++)
        batch_submit(pusher->batch, &pusher->tests[i]->call);
    return NULL;
}

static atomic_int committed_rows;

static void
count_committed(void *owner, const struct batch_rows *rows)
{
    enum batch_row_state state;
    size_t cursor = 0;

    ck_assert_ptr_eq(owner, &committed_rows);
    while (batch_saved_next(rows, COUNTER_OP, &cursor, &state) != NULL) {
        ck_assert_int_eq(state, BATCH_ROW_NEW);
        atomic_fetch_add(&committed_rows, 1);
    }
}

START_TEST(two_store_threads_and_many_callers)
{
    enum { PUSHERS = 4, EACH = 64 };
    static struct pusher pushers[PUSHERS];
    struct batch_service service = counter_service;
    struct batch_options options = {
        .service = &service, .conninfo = fixture.conninfo, .queue_max = 1024, .batch_max = 16
    };
    struct batch *batches[2];

    service.committed = count_committed;
    service.owner = &committed_rows;
    atomic_store(&committed_rows, 0);
    for (int i = 0; i < 2; i++)
        batches[i] = batch_open(&options);
    for (int i = 0; i < PUSHERS; i++) {
        pushers[i].batch = batches[i % 2];
        for (int j = 0; j < EACH; j++)
            pushers[i].tests[j] = counter_call(new_id(), "a", j % 2 == 0 ? "b" : "c", 1);
        ck_assert_int_eq(pthread_create(&pushers[i].thread, NULL, pusher_main, &pushers[i]), 0);
    }
    for (int i = 0; i < PUSHERS; i++)
        pthread_join(pushers[i].thread, NULL);
    for (int i = 0; i < 2; i++)
        batch_stop(batches[i]);
    for (int i = 0; i < PUSHERS * EACH; i++) {
        expect_answer(pushers[i / EACH].tests[i % EACH], ERR_OK);
        call_fixture_free(pushers[i / EACH].tests[i % EACH]);
    }
    expect_value("a", PUSHERS * EACH);
    expect_value("b", PUSHERS * EACH / 2);
    ck_assert_int_eq(atomic_load(&committed_rows), PUSHERS * EACH);
    for (int i = 0; i < 2; i++)
        batch_close(batches[i]);
}
END_TEST

int
main(void)
{
    const TTest *const tests[] = {
        same_id_twice_in_a_batch,
        same_id_other_content,
        refusal_is_kept,
        later_op_sees_the_earlier_one,
        too_old_id_is_refused,
        expired_call_does_nothing,
        note_of_a_later_table_is_changed,
        same_id_on_two_connections,
        deadlock_runs_the_batch_again,
        row_made_by_another_writer_runs_the_batch_again,
        poison_op_is_alone_in_its_failure,
        lost_commit_that_happened,
        lost_commit_that_did_not_happen,
        uncertain_only_at_the_deadline,
        nobody_waits_behind_a_commit_in_doubt,
        doubt_ends_without_a_deadline_too,
        nobody_waits_behind_a_doubt_in_a_poisoned_batch,
        idle_connection_that_died_is_not_noticed,
        database_away_is_said_quickly,
        no_server_at_all,
        full_queue_is_busy_and_stop_does_what_waits,
        two_store_threads_and_many_callers,
    };
    Suite *suite = suite_create("store_batch");
    TCase *cases = tcase_create("batch");
    SRunner *runner = srunner_create(suite);
    int failed;

    pg_fixture_open(&fixture, "store_batch", "mesh/store/mesh.sql");
    pg_fixture_run(fixture.conninfo, "%s", counter_schema);
    tcase_set_timeout(cases, 30);
    tcase_add_checked_fixture(cases, open_pg, close_pg);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(cases, tests[i]);
    suite_add_tcase(suite, cases);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    pg_fixture_close(&fixture);
    return failed == 0 ? 0 : 1;
}
