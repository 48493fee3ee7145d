/* Batches on a real PostgreSQL: repeats, other writers, poison, and the store thread. */
#include "tests/support/metrics_text.h"
#include "tests/support/store/batch_fixture.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

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

/* ---- the store thread ---- */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* held: the store thread stands still */

static void
wait_at_gate(void *owner, const struct batch_rows *rows)
{
    (void)owner;
    (void)rows;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

START_TEST(full_queue_is_busy_and_stop_does_what_waits)
{
    enum { QUEUE = 4 };
    struct batch_service service = counter_service;
    struct batch_options options = {
        .service = &service, .conninfo = fixture.conninfo, .queue_max = QUEUE, .batch_max = 2
    };
    struct batch *batch;
    struct test_call *tests[QUEUE + 4];
    struct metrics *metrics = options.metrics = metrics_new();

    service.committed = wait_at_gate;
    run_one(counter_call(new_id(), "a", NULL, 0), ERR_OK);
    batch = batch_open(&options);
    for (int i = 0; i < QUEUE + 4; i++)
        tests[i] = counter_call(new_id(), "a", NULL, 1);
    pthread_mutex_lock(&gate);
    batch_submit(batch, &tests[0]->call);
    AWAIT(metric_shown(metrics, "sagamesh_batch_commits_total") == 1, 10);
    for (int i = 1; i <= QUEUE; i++)
        batch_submit(batch, &tests[i]->call);
    batch_submit(batch, &tests[QUEUE + 1]->call);
    expect_answer(tests[QUEUE + 1], ERR_BUSY);
    batch_submit_always(batch, &tests[QUEUE + 2]->call);
    ck_assert(metric_shown(metrics, "sagamesh_batch_refused_total") == 1);
    ck_assert(metric_shown(metrics, "sagamesh_batch_queue_calls") == QUEUE + 1);
    pthread_mutex_unlock(&gate);
    batch_stop(batch); /* returns when all that waited is done */
    for (int i = 0; i <= QUEUE; i++)
        expect_answer(tests[i], ERR_OK);
    expect_answer(tests[QUEUE + 2], ERR_OK);
    batch_submit(batch, &tests[QUEUE + 3]->call);
    expect_answer(tests[QUEUE + 3], ERR_STOPPING);
    expect_value("a", QUEUE + 2);
    ck_assert(metric_shown(metrics, "sagamesh_batch_calls_sum") == QUEUE + 2);
    /* One alone, then two and two and one. */
    ck_assert(metric_shown(metrics, "sagamesh_batch_commits_total") == 1 + (QUEUE + 2) / 2);
    ck_assert(metric_shown(metrics, "sagamesh_batch_calls_bucket{le=\"1\"}") == 2);
    ck_assert(metric_shown(metrics, "sagamesh_batch_duration_seconds_count") ==
              1 + (QUEUE + 2) / 2);
    for (int i = 0; i < QUEUE + 4; i++)
        call_fixture_free(tests[i]);
    batch_close(batch);
    metrics_free(metrics);
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
    TCase *cases = check_case("batch");

    tcase_add_checked_fixture(cases, open_pg, service_end);
    tcase_add_test(cases, same_id_twice_in_a_batch);
    tcase_add_test(cases, same_id_other_content);
    tcase_add_test(cases, refusal_is_kept);
    tcase_add_test(cases, later_op_sees_the_earlier_one);
    tcase_add_test(cases, too_old_id_is_refused);
    tcase_add_test(cases, expired_call_does_nothing);
    tcase_add_test(cases, note_of_a_later_table_is_changed);
    tcase_add_test(cases, same_id_on_two_connections);
    tcase_add_test(cases, deadlock_runs_the_batch_again);
    tcase_add_test(cases, row_made_by_another_writer_runs_the_batch_again);
    tcase_add_test(cases, poison_op_is_alone_in_its_failure);
    tcase_add_test(cases, full_queue_is_busy_and_stop_does_what_waits);
    tcase_add_test(cases, two_store_threads_and_many_callers);
    return service_fixture_check(&counter_parts, "store_batch", cases);
}
