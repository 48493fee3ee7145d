/* Reads that may wait: parked without a thread, answered by what a writer saved, by the poll, or by the
 * end. */
#include "mesh/store/reader.h"
#include "tests/support/check.h"
#include "tests/support/store/call_fixture.h"
#include "tests/support/store/pg_fixture.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct pg_fixture fixture;

struct get {
    struct op op; /* op.id is the row's */
    int64_t wait_us, known;
    int64_t version; /* result */
    char note[16];
};

struct row {
    struct uuid id;
    int64_t version;
    const char *note;
};

static const struct pg_column key_columns[] = { { "id", PG_UUID, 0 }, { 0 } };
static const struct pg_column row_columns[] = {
    PG_COLUMN(struct row, id, PG_UUID),
    PG_COLUMN(struct row, version, PG_INT8),
    PG_COLUMN(struct row, note, PG_TEXT),
    { 0 },
};
static const struct pg_statement row_get = {
    .name = "row_get",
    .sql = "SELECT id, version, 'read' FROM row WHERE id = ANY($1::uuid[])",
    .in = key_columns,
    .out = row_columns,
    .out_bytes = sizeof(struct row),
};
/* Rows of another table. */
static const struct pg_statement other_get = { .name = "other_get",
                                               .out = row_columns,
                                               .out_bytes = sizeof(struct row) };

static void
get_take(void *op, const void *row)
{
    struct get *get = op;

    get->version = ((const struct row *)row)->version;
    snprintf(get->note, sizeof get->note, "%s", ((const struct row *)row)->note);
}

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
                get_take(ops[i], &rows[j]);
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

static int64_t
get_known(const void *op)
{
    return ((const struct get *)op)->known;
}

static const struct method get_method = { .name = "Get", .op_bytes = sizeof(struct get) };
static const struct read reads[] = {
    { .name = "Get",
      .read = get_read,
      .wait_us = get_wait_us,
      .is_ready = get_is_ready,
      .row = &row_get,
      .known_version = get_known,
      .take = get_take },
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

/* What the store thread says after its commit. The row and its text are gone once it has said so. */
static void
saved(const struct pg_statement *layout, struct uuid id, int64_t version)
{
    char note[] = "saved";
    struct row row = { id, version, note };
    struct read_saved saved = { id, version, &row };

    reader_wake(reader, layout, &saved, 1);
    memset(note, 'x', sizeof note - 1);
    memset(&row, 0, sizeof row);
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

/* The same, of a saved row. */
static void
expect_saved(struct test_call *test, int64_t version)
{
    ck_assert(call_fixture_wait(test, 5 * SECOND_US));
    ck_assert_str_eq(((struct get *)test->call.op)->note, "saved");
    expect(test, ERR_OK, version);
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

START_TEST(answered_from_what_a_writer_saved)
{
    struct uuid id = make_row(1), other = make_row(1);
    struct test_call *test = ask(id, 4, 10 * SECOND_US), *first = ask(id, 1, 10 * SECOND_US);

    settle(other, 1);
    saved(&row_get, other, 7); /* somebody else's row */
    saved(&row_get, id, 4);
    expect_saved(first, 4);
    settle(other, 1);
    ck_assert_int_eq(test->finished, 0); /* it knew that one */
    saved(&row_get, id, 6);
    expect_saved(test, 6);
    reader_stop(reader);
}
END_TEST

/* The row is in no table: whoever reads finds nothing. */
START_TEST(parked_without_a_read_when_nothing_is_newer)
{
    struct uuid id = uuid_v7(clock_now_us());
    struct test_call *test;

    saved(&row_get, id, 5);
    test = ask(id, 5, 10 * SECOND_US);
    saved(&row_get, id, 6);
    expect_saved(test, 6);
    expect(ask(id, 6, 0), ERR_NOT_FOUND, 0);         /* without wait it is read */
    expect(ask(id, 5, SECOND_US), ERR_NOT_FOUND, 0); /* there is something newer: read */
    reader_stop(reader);
}
END_TEST

/* A wait that is over is read, and never ends with an old row. */
START_TEST(a_wait_that_is_over_is_read)
{
    struct uuid id = make_row(9);
    struct test_call *test;

    saved(&row_get, id, 5);
    test = ask(id, 5, 50 * 1000);
    expect(test, ERR_OK, 9);
    reader_stop(reader);
}
END_TEST

/* What another replica saved after our own thread did is found at the next look. */
START_TEST(parked_without_a_read_is_polled_too)
{
    struct uuid id = make_row(6);
    int64_t began_us = clock_steady_us();

    saved(&row_get, id, 5);
    expect(ask(id, 5, 10 * SECOND_US), ERR_OK, 6);
    ck_assert(clock_steady_us() - began_us < patient_us(4 * READER_POLL_US));
    reader_stop(reader);
}
END_TEST

START_TEST(rows_of_another_table_answer_nothing)
{
    struct uuid id = make_row(1);
    struct test_call *test = ask(id, 1, 10 * SECOND_US);
    int64_t began_us;

    settle(id, 1);
    change_row(id);
    began_us = clock_steady_us();
    saved(&other_get, id, 7);
    expect(test, ERR_OK, 2); /* looked at again */
    ck_assert(clock_steady_us() - began_us < patient_us(READER_POLL_US));
    expect(ask(id, 1, SECOND_US), ERR_OK, 2);
    reader_stop(reader);
}
END_TEST

/* Many rows saved at once; not those of the tests. */
static void
saved_others(size_t count)
{
    struct read_saved *saved = memory_take(count * sizeof *saved);
    struct row row = { .version = 1, .note = "other" };

    for (size_t i = 0; i < count; i++)
        saved[i] = (struct read_saved){ uuid_v7(clock_now_us()), 1, &row };
    reader_wake(reader, &row_get, saved, count);
    free(saved);
}

/* More saves than are remembered: a forgotten one costs a read, and nothing else. */
START_TEST(only_the_last_saves_are_remembered)
{
    struct uuid id = make_row(3);

    saved(&row_get, id, 3);
    for (int i = 0; i < 8; i++) {
        saved_others(READER_RECENT_MAX);
        settle(id, 3);
    }
    expect(ask(id, 3, 20 * 1000), ERR_OK, 3);
    expect(ask(id, 2, SECOND_US), ERR_OK, 3);
    reader_stop(reader);
}
END_TEST

/* More saves than may wait for a reader that hangs: those too many are found at the next look. */
START_TEST(too_many_saves_are_dropped)
{
    struct uuid id = make_row(1);
    struct test_call *test = ask(id, 1, 10 * SECOND_US), *stuck;
    PGconn *locker = pg_fixture_connect(fixture.conninfo);
    char text[PG_FIXTURE_TEXT_BYTES] = "0";

    settle(id, 1);
    PQclear(PQexec(locker, "BEGIN; LOCK TABLE row"));
    stuck = ask(id, 0, 0);
    while (strcmp(text, "1") != 0)
        pg_fixture_ask(locker,
                       "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
                       " WHERE datname = current_database() AND NOT granted",
                       text);
    saved_others(READER_SAVED_MAX);
    saved(&row_get, id, 7);
    PQclear(PQexec(locker, "UPDATE row SET version = 2; COMMIT"));
    PQfinish(locker);
    expect(stuck, ERR_OK, 2);
    expect(test, ERR_OK, 2); /* the 7 was dropped */
    settle(id, 2);
    test = ask(id, 2, 10 * SECOND_US);
    settle(id, 2);
    saved(&row_get, id, 8); /* all is well again */
    expect_saved(test, 8);
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
    ck_assert(clock_steady_us() - began_us < patient_us(4 * READER_POLL_US));
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
    ck_assert_msg(took_us < patient_us(300 * 1000), "it took %lld us", (long long)took_us);
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
    saved(&row_get, id, 2);
    expect_saved(parked[0], 2);
    expect_saved(parked[1], 2);
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
    ck_assert(clock_steady_us() - began_us < patient_us(2 * SECOND_US));
    expect(test, ERR_OK, 1);
    late = ask(id, 0, 0);
    expect(late, ERR_STOPPING, 0);
    saved(&row_get, id, 2); /* a store thread that still works: no harm */
}
END_TEST

enum { CROWD = 30000, CROWD_FACTOR = 10 };

/* Without a test_call's arena of its own: there are many. */
struct one_of_crowd {
    struct call call; /* first */
    struct get get;
};

static atomic_int crowd_left;

static void
crowd_finish(struct call *call)
{
    (void)call;
    atomic_fetch_sub(&crowd_left, 1);
}

static int64_t
cpu_us(void)
{
    struct timespec used;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return used.tv_sec * SECOND_US + used.tv_nsec / 1000;
}

/* Each is taken out without a look at the others of its id: it costs about what it cost to park it, and not
 * a walk over thousands. */
START_TEST(a_crowd_may_wait_for_one_row)
{
    struct one_of_crowd *crowd = memory_take(CROWD * sizeof *crowd);
    const struct reader_options options = { .conninfo = fixture.conninfo,
                                            .application = "reader-test",
                                            .statements = statements,
                                            .reads = reads,
                                            .queue_max = 2 * CROWD,
                                            .batch_max = 1000,
                                            .parked_max = CROWD };
    struct uuid id = make_row(1);
    int64_t park_us = -cpu_us(), answer_us;

    reader_stop(reader);
    reader = reader_close(reader);
    reader = reader_open(&options);
    atomic_store(&crowd_left, CROWD);
    for (size_t i = 0; i < CROWD; i++) {
        struct one_of_crowd *one = &crowd[i];

        one->get = (struct get){ .op.id = id, .known = 1, .wait_us = 600 * SECOND_US };
        one->call = (struct call){ .method = &get_method,
                                   .op = &one->get.op,
                                   .deadline_us = INT64_MAX,
                                   .finish = crowd_finish };
        reader_submit(reader, &one->call);
    }
    settle(id, 1); /* it came behind them */
    park_us += cpu_us();
    answer_us = -cpu_us();
    reader_stop(reader);
    answer_us += cpu_us();
    ck_assert_int_eq(atomic_load(&crowd_left), 0);
    ck_assert_msg(answer_us < CROWD_FACTOR * park_us, "%lld us, and %lld us to park them",
                  (long long)answer_us, (long long)park_us);
    free(crowd);
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
    TCase *cases = check_case("reader");
    int failed;

    pg_fixture_open(&fixture, "store_reader", NULL);
    pg_fixture_run(fixture.conninfo,
                   "CREATE TABLE row (id uuid PRIMARY KEY, version bigint NOT NULL)");
    tcase_add_checked_fixture(cases, open_reader, close_reader);
    tcase_add_test(cases, reads_do_not_wait_unless_asked);
    tcase_add_test(cases, more_than_a_batch_at_once);
    tcase_add_test(cases, answered_from_what_a_writer_saved);
    tcase_add_test(cases, parked_without_a_read_when_nothing_is_newer);
    tcase_add_test(cases, a_wait_that_is_over_is_read);
    tcase_add_test(cases, parked_without_a_read_is_polled_too);
    tcase_add_test(cases, rows_of_another_table_answer_nothing);
    tcase_add_test(cases, only_the_last_saves_are_remembered);
    tcase_add_test(cases, too_many_saves_are_dropped);
    tcase_add_test(cases, polled_when_nobody_tells);
    tcase_add_test(cases, wait_ends_in_time);
    tcase_add_test(cases, call_deadline_ends_the_wait);
    tcase_add_test(cases, one_more_than_may_park_is_answered);
    tcase_add_test(cases, stop_answers_what_waits);
    tcase_add_test(cases, a_crowd_may_wait_for_one_row);
    tcase_add_test(cases, connection_that_died_is_replaced);
    tcase_add_test(cases, database_away);
    failed = check_run("store_reader", cases);
    pg_fixture_close(&fixture);
    return failed;
}
