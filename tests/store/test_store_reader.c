/* Reads that may wait: parked without a thread, woken by a writer, by the poll, or by the end. */
#include "mesh/store/reader.h"
#include "tests/store/call_fixture.h"
#include "tests/store/pg_fixture.h"

#include <check.h>

static struct pg_fixture fixture;

struct get {
    struct op op; /* op.id is the row's */
    int64_t wait_us, known;
    int64_t version; /* result */
};

struct row {
    struct uuid id;
    int64_t version;
};

static const struct pg_column key_columns[] = { { "id", PG_UUID, 0 }, { 0 } };
static const struct pg_column row_columns[] = {
    PG_COLUMN(struct row, id, PG_UUID),
    PG_COLUMN(struct row, version, PG_INT8),
    { 0 },
};
static const struct pg_statement row_get = {
    .name = "row_get",
    .sql = "SELECT id, version FROM row WHERE id = ANY($1::uuid[])",
    .in = key_columns,
    .out = row_columns,
    .out_bytes = sizeof(struct row),
};

static enum error
get_read(struct pg *pg, struct op *const *ops, size_t count, struct arena *arena)
{
    const void **keys = arena_take(arena, count * sizeof *keys);
    struct pg_step step = { .statement = &row_get, .rows = keys, .count = count };
    const struct row *rows;
    enum error error;

    for (size_t i = 0; i < count; i++)
        keys[i] = &ops[i]->id;
    error = pg_round(pg, false, &step, 1, arena);
    rows = step.ret_rows;
    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        problem_set(&ops[i]->problem, ERR_NOT_FOUND, "id", "no such row");
        for (size_t j = 0; j < step.ret_count; j++) {
            if (uuid_equal(rows[j].id, ops[i]->id)) {
                ((struct get *)ops[i])->version = rows[j].version;
                ops[i]->problem.error = ERR_OK;
            }
        }
    }
    return error;
}

static int64_t
get_wait_us(const void *op)
{
    return ((const struct get *)op)->wait_us;
}

static bool
get_is_ready(const void *op)
{
    return ((const struct get *)op)->version > ((const struct get *)op)->known;
}

static const struct method get_method = { .name = "Get", .op_bytes = sizeof(struct get) };
static const struct read reads[] = {
    { .name = "Get", .read = get_read, .wait_us = get_wait_us, .is_ready = get_is_ready },
    { 0 },
};
static const struct pg_statement *const statements[] = { &row_get, NULL };

static struct reader *reader;

static void
open_reader(void)
{
    struct reader_options options = { .conninfo = fixture.conninfo,
                                      .application = "reader-test",
                                      .statements = statements,
                                      .reads = reads,
                                      .queue_max = 100,
                                      .batch_max = 10,
                                      .parked_max = 2 };

    reader = reader_open(&options);
}

static void
close_reader(void)
{
    reader = reader_close(reader);
}

static struct uuid
make_row(int64_t version)
{
    struct uuid id = uuid_v7(clock_now_us());
    char text[UUID_TEXT_BYTES + 1];

    pg_fixture_run(fixture.conninfo, "INSERT INTO row VALUES ('%s', %lld)", uuid_print(id, text),
                   (long long)version);
    return id;
}

static void
change_row(struct uuid id)
{
    char text[UUID_TEXT_BYTES + 1];

    pg_fixture_run(fixture.conninfo, "UPDATE row SET version = version + 1 WHERE id = '%s'",
                   uuid_print(id, text));
}

static struct test_call *
ask(struct uuid id, int64_t known, int64_t wait_us)
{
    struct test_call *test = call_fixture_new(&get_method);
    struct get *get = (struct get *)test->call.op;

    get->op.id = id;
    get->known = known;
    get->wait_us = wait_us;
    reader_submit(reader, &test->call);
    return test;
}

/* Waits for the answer, expects it, and frees the call. */
static void
expect(struct test_call *test, enum error error, int64_t version)
{
    ck_assert(call_fixture_wait(test, 5 * SECOND_US));
    ck_assert_msg(test->call.op->problem.error == error, "got %s",
                  error_name(test->call.op->problem.error));
    if (error == ERR_OK)
        ck_assert_int_eq(((struct get *)test->call.op)->version, version);
    call_fixture_free(test);
}

/* A read that is answered after everything that was submitted before it was looked at once. */
static void
settle(struct uuid id, int64_t version)
{
    expect(ask(id, -1, 0), ERR_OK, version);
}

START_TEST(reads_do_not_wait_unless_asked)
{
    struct uuid id = make_row(3);

    expect(ask(id, 0, 0), ERR_OK, 3);
    expect(ask(id, 3, 0), ERR_OK, 3);         /* not ready, and not willing to wait */
    expect(ask(id, 2, SECOND_US), ERR_OK, 3); /* ready at once */
    expect(ask(uuid_v7(0), 0, SECOND_US), ERR_NOT_FOUND, 0);
    reader_stop(reader);
}
END_TEST

START_TEST(more_than_a_batch_at_once)
{
    enum { COUNT = 35 };
    struct uuid ids[2] = { make_row(1), make_row(2) };
    struct test_call *tests[COUNT];

    for (int i = 0; i < COUNT; i++)
        tests[i] = ask(ids[i % 2], 0, 0);
    for (int i = 0; i < COUNT; i++)
        expect(tests[i], ERR_OK, i % 2 + 1);
    reader_stop(reader);
}
END_TEST

START_TEST(woken_by_a_writer)
{
    struct uuid id = make_row(1), other = make_row(1);
    struct test_call *test = ask(id, 1, 10 * SECOND_US);
    int64_t began_us;

    settle(other, 1);
    reader_wake(reader, &other, 1); /* somebody else's row */
    settle(other, 1);
    ck_assert_int_eq(test->finished, 0);
    began_us = clock_steady_us();
    change_row(id);
    reader_wake(reader, &id, 1);
    expect(test, ERR_OK, 2);
    ck_assert(clock_steady_us() - began_us < READER_POLL_US);
    reader_stop(reader);
}
END_TEST

START_TEST(polled_when_nobody_tells)
{
    struct uuid id = make_row(1);
    struct test_call *test = ask(id, 1, 10 * SECOND_US);
    int64_t began_us = clock_steady_us();

    change_row(id); /* by another replica */
    expect(test, ERR_OK, 2);
    ck_assert(clock_steady_us() - began_us < 4 * READER_POLL_US);
    reader_stop(reader);
}
END_TEST

/* A short wait ends when it was to end, not at the next poll. */
START_TEST(wait_ends_in_time)
{
    struct uuid id = make_row(1);
    int64_t began_us = clock_steady_us(), took_us;

    expect(ask(id, 1, 50 * 1000), ERR_OK, 1);
    took_us = clock_steady_us() - began_us;
    ck_assert_msg(took_us >= 50 * 1000, "it took %lld us", (long long)took_us);
    ck_assert_msg(took_us < 300 * 1000, "it took %lld us", (long long)took_us);
    reader_stop(reader);
}
END_TEST

START_TEST(call_deadline_ends_the_wait)
{
    struct uuid id = make_row(1);
    struct test_call *test = call_fixture_new(&get_method);
    struct get *get = (struct get *)test->call.op;

    test->call.deadline_us = clock_steady_us() + 60 * 1000;
    get->op.id = id;
    get->known = 1;
    get->wait_us = 10 * SECOND_US;
    reader_submit(reader, &test->call);
    expect(test, ERR_OK, 1);
    test = call_fixture_new(&get_method);
    test->call.deadline_us = clock_steady_us() - 1;
    reader_submit(reader, &test->call);
    expect(test, ERR_EXPIRED, 0);
    reader_stop(reader);
}
END_TEST

START_TEST(one_more_than_may_park_is_answered)
{
    struct uuid id = make_row(1);
    struct test_call *parked[2] = { ask(id, 1, 10 * SECOND_US), ask(id, 1, 10 * SECOND_US) };

    settle(id, 1);
    expect(ask(id, 1, 10 * SECOND_US), ERR_OK, 1); /* at once, with what there is */
    ck_assert_int_eq(parked[0]->finished + parked[1]->finished, 0);
    change_row(id);
    reader_wake(reader, &id, 1);
    expect(parked[0], ERR_OK, 2);
    expect(parked[1], ERR_OK, 2);
    reader_stop(reader);
}
END_TEST

START_TEST(stop_answers_what_waits)
{
    struct uuid id = make_row(1);
    struct test_call *test = ask(id, 1, 10 * SECOND_US), *late;
    int64_t began_us = clock_steady_us();

    settle(id, 1);
    reader_stop(reader);
    ck_assert(clock_steady_us() - began_us < 2 * SECOND_US);
    expect(test, ERR_OK, 1);
    late = ask(id, 0, 0);
    expect(late, ERR_STOPPING, 0);
    reader_wake(reader, &id, 1); /* a store thread that still works: no harm */
}
END_TEST

START_TEST(connection_that_died_is_replaced)
{
    struct uuid id = make_row(1);

    settle(id, 1);
    for (int i = 0; i < 3; i++) {
        pg_fixture_run(fixture.admin,
                       "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                       " WHERE datname = '%s' AND application_name = 'reader-test'",
                       fixture.database);
        settle(id, 1);
    }
    reader_stop(reader);
}
END_TEST

START_TEST(database_away)
{
    struct uuid id = make_row(1);
    struct test_call *parked = ask(id, 1, 10 * SECOND_US);

    settle(id, 1);
    pg_fixture_run(fixture.admin, "ALTER DATABASE %s ALLOW_CONNECTIONS false", fixture.database);
    pg_fixture_run(fixture.admin,
                   "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                   " WHERE datname = '%s' AND application_name = 'reader-test'",
                   fixture.database);
    expect(ask(id, 0, SECOND_US), ERR_STORE_DOWN, 0);
    expect(parked, ERR_STORE_DOWN, 0); /* at its next look */
    pg_fixture_run(fixture.admin, "ALTER DATABASE %s ALLOW_CONNECTIONS true", fixture.database);
    reader_stop(reader);
}
END_TEST

int
main(void)
{
    const TTest *const tests[] = {
        reads_do_not_wait_unless_asked,
        more_than_a_batch_at_once,
        woken_by_a_writer,
        polled_when_nobody_tells,
        wait_ends_in_time,
        call_deadline_ends_the_wait,
        one_more_than_may_park_is_answered,
        stop_answers_what_waits,
        connection_that_died_is_replaced,
        database_away,
    };
    Suite *suite = suite_create("store_reader");
    TCase *cases = tcase_create("reader");
    SRunner *runner = srunner_create(suite);
    int failed;

    pg_fixture_open(&fixture, "store_reader", NULL);
    pg_fixture_run(fixture.conninfo,
                   "CREATE TABLE row (id uuid PRIMARY KEY, version bigint NOT NULL)");
    tcase_set_timeout(cases, 30);
    tcase_add_checked_fixture(cases, open_reader, close_reader);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(cases, tests[i]);
    suite_add_tcase(suite, cases);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    pg_fixture_close(&fixture);
    return failed == 0 ? 0 : 1;
}
