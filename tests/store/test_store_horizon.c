/* How far the news may be sent: who holds it up, who does not, and what a heartbeat may promise. */
#include "mesh/store/horizon.h"
#include "tests/support/check.h"
#include "tests/support/store/batch_fixture.h"

static struct pg *relay;
static struct arena *arena;
static PGconn *other;
static struct horizon found[64]; /* by find(), of one test */
static size_t found_count;

static void
open_relay(void)
{
    static const struct pg_statement *const statements[] = { FOLLOWER_STATEMENTS, NULL };

    open_pg();
    pg_fixture_run(fixture.conninfo, "ALTER SEQUENCE event_seq RESTART");
    relay = pg_new(fixture.conninfo, "relay-test", statements);
    ck_assert_int_eq(pg_connect(relay), ERR_OK);
    arena = arena_new();
    other = pg_fixture_connect(fixture.conninfo);
}

static void
close_relay(void)
{
    PQfinish(other);
    while (found_count > 0)
        horizon_free(&found[--found_count]);
    arena = arena_free(arena);
    relay = pg_free(relay);
    service_end();
}

static void
other_says(const char *sql)
{
    char text[PG_FIXTURE_TEXT_BYTES];

    pg_fixture_ask(other, sql, text);
}

static struct horizon
find(void)
{
    struct horizon *horizon = &found[found_count++];

    ck_assert_uint_le(found_count, sizeof found / sizeof *found);
    horizon_init(horizon, "event_seq");
    ck_assert_int_eq(horizon_aim(horizon, relay, true), ERR_OK);
    ck_assert_int_gt(horizon->time_us, 0);
    ck_assert_int_le(horizon->time_us, horizon->now_us);
    return *horizon;
}

static bool
is_settled(struct horizon *horizon, struct horizon_writer *ret_oldest)
{
    bool is_settled;

    ck_assert_int_eq(horizon_look(horizon, relay, arena, &is_settled, ret_oldest), ERR_OK);
    return is_settled;
}

static const char insert_event[] =
    "INSERT INTO event (id, aggregatetype, aggregateid, version, type, payload, time_us, "
    "traceparent)"
    " SELECT mesh_uuid_floor(now()), 'note', mesh_uuid_floor(now()), 1, 'note.written', '{}',"
    " (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, ''";

/* clang-format off */
static const struct {
    const char *what, *begin, *end;
    bool is_elsewhere; /* in another database of the server */
} strangers[] = {
    { "another table",             "BEGIN; INSERT INTO stranger VALUES (1)",                            "ROLLBACK", false },
    { "only a transaction id",     "BEGIN; SELECT pg_current_xact_id()",                                "ROLLBACK", false },
    { "a snapshot that stays",     "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM event", "ROLLBACK", false },
    { "prepared and forgotten",    "BEGIN; INSERT INTO stranger VALUES (1); PREPARE TRANSACTION 'lost'", "ROLLBACK PREPARED 'lost'", false },
    { "another database",          "BEGIN; CREATE TABLE stranger_there (x int)",                        "ROLLBACK", true },
    { "a writer of another database", "BEGIN; SELECT pg_advisory_xact_lock_shared(1296388936, 1)",      "ROLLBACK", true },
};
/* clang-format on */

START_TEST(strangers_do_not_hold_the_news)
{
    PGconn *there = pg_fixture_connect(fixture.admin);
    PGconn *stranger = strangers[_i].is_elsewhere ? there : other;
    char text[PG_FIXTURE_TEXT_BYTES];
    struct horizon horizon;
    struct horizon_writer oldest;

    pg_fixture_run(fixture.conninfo, "CREATE TABLE IF NOT EXISTS stranger (x int)");
    pg_fixture_ask(stranger, strangers[_i].begin, text);
    run_one(counter_call(new_id(), "a", NULL, 1), ERR_OK);
    horizon = find();
    ck_assert_msg(horizon.writer_count == 0, "%s", strangers[_i].what);
    ck_assert_msg(is_settled(&horizon, &oldest), "%s", strangers[_i].what);
    ck_assert_msg(horizon.time_us == horizon.now_us, "%s", strangers[_i].what);
    pg_fixture_ask(stranger, strangers[_i].end, text);
    PQfinish(there);
}
END_TEST

/* It has drawn a number, and its row cannot be seen yet. */
START_TEST(a_writer_is_waited_for_and_named)
{
    struct horizon horizon;
    struct horizon_writer oldest;

    other_says("SET application_name = 'a person'; BEGIN");
    other_says(insert_event);
    horizon = find();
    ck_assert_uint_eq(horizon.writer_count, 1);
    ck_assert_int_eq(horizon.last, 1);
    ck_assert_int_lt(horizon.time_us, horizon.now_us);
    ck_assert(!is_settled(&horizon, &oldest));
    ck_assert_int_eq(oldest.pid, PQbackendPID(other));
    ck_assert_str_eq(oldest.application, "a person");
    ck_assert_str_eq(oldest.state, "idle in transaction");
    ck_assert_str_eq(oldest.prepared, "");
    other_says("COMMIT");
    ck_assert(is_settled(&horizon, &oldest));
    ck_assert_int_gt(find().time_us, horizon.time_us);
}
END_TEST

START_TEST(a_prepared_writer_is_waited_for_and_named)
{
    struct horizon before, horizon;
    struct horizon_writer oldest = { 0 };
    bool is_free;

    other_says("BEGIN");
    other_says(insert_event);
    before = find();
    other_says("PREPARE TRANSACTION 'forgotten'");
    horizon = find();
    is_free = is_settled(&before, &oldest) || is_settled(&horizon, &oldest);
    other_says("ROLLBACK PREPARED 'forgotten'"); /* first: it would outlive a test that fails */
    ck_assert(!is_free);
    ck_assert_str_eq(oldest.prepared, "forgotten");
    ck_assert_int_eq(oldest.pid, 0);
    ck_assert(is_settled(&horizon, &oldest));
}
END_TEST

START_TEST(a_writer_that_came_later_is_not_waited_for)
{
    struct horizon horizon = find();
    struct horizon_writer oldest;

    other_says("BEGIN");
    other_says(insert_event);
    ck_assert(is_settled(&horizon, &oldest));
    other_says("COMMIT");
}
END_TEST

/* A batch stands still between its time and its end, for as long as a row is locked. No heartbeat of
 * that while may be later than its events. */
START_TEST(no_heartbeat_is_ahead_of_a_batch_under_way)
{
    struct rival rival = { .pg = batch_pg_new(&counter_service, fixture.conninfo) };
    struct test_call *late = counter_call(new_id(), "a", NULL, 1);
    PGconn *admin = pg_fixture_connect(fixture.admin);
    struct horizon horizon;
    int64_t time_us;

    counter_op(late)->note_id = new_id();
    run_one(counter_call(new_id(), "a", NULL, 1), ERR_OK);
    ck_assert_int_eq(pg_connect(rival.pg), ERR_OK);
    other_says("BEGIN; LOCK TABLE op IN SHARE MODE");
    rival_start(&rival, late);
    await_backend(admin, "wait_event_type = 'Lock' AND application_name = 'counter-test'");
    horizon = find();
    while (horizon.writer_count == 0) /* it gives up waiting now and then, and begins again */
        ck_assert_int_eq(horizon_aim(&horizon, relay, true), ERR_OK);
    other_says("ROLLBACK");
    pthread_join(rival.thread, NULL);
    expect_answer(late, ERR_OK);
    time_us = late->call.op->now_us;
    ck_assert_int_ge(time_us, horizon.time_us);
    call_fixture_free(late);
    pg_free(rival.pg);
    PQfinish(admin);
}
END_TEST

/* Its time is taken when it has the lock, and so after a heartbeat that did not see it. */
START_TEST(a_batch_is_later_than_a_heartbeat_before_it)
{
    for (int i = 0; i < 20; i++) {
        struct test_call *test = counter_call(new_id(), "a", NULL, 1);
        struct call *call = &test->call;
        int64_t time_us = find().time_us;

        batch_run(&counter_service, pg, &call, 1);
        ck_assert_int_ge(test->call.op->now_us, time_us);
        ck_assert_int_ge(find().time_us, test->call.op->now_us);
        call_fixture_free(test);
    }
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("horizon");

    tcase_add_checked_fixture(cases, open_relay, close_relay);
    tcase_add_loop_test(cases, strangers_do_not_hold_the_news, 0, ROWS(strangers));
    tcase_add_test(cases, a_writer_is_waited_for_and_named);
    tcase_add_test(cases, a_prepared_writer_is_waited_for_and_named);
    tcase_add_test(cases, a_writer_that_came_later_is_not_waited_for);
    tcase_add_test(cases, no_heartbeat_is_ahead_of_a_batch_under_way);
    tcase_add_test(cases, a_batch_is_later_than_a_heartbeat_before_it);
    return service_fixture_check(&counter_parts, "store_horizon", cases);
}
