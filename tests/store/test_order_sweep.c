/* The sweep on a real PostgreSQL: whatever became of a Start, the order is asked for again, until it
 * is final; and the floor never passes one that is open. */
#include "order-svc/order_sweep.h"
#include "tests/store/order_fixture.h"
#include "tests/store/pg_fixture.h"

static struct pg_fixture fixture;
static struct pg *pg, *sweep_pg;
static struct order_sweep *sweep;
static struct arena *arena;
static int64_t steady_us;

static void
set_up(void)
{
    pg = batch_pg_new(&order_service, fixture.conninfo);
    sweep_pg = pg_new(fixture.conninfo, "test", order_statements);
    ck_assert_int_eq(pg_connect(sweep_pg), ERR_OK);
    sweep = order_sweep_new(SWEEP_OPEN_MAX);
    arena = arena_new();
    steady_us = clock_steady_us();
    pg_fixture_run(fixture.conninfo, "TRUNCATE orders; UPDATE sweep SET floor_us = 0");
}

static void
tear_down(void)
{
    sweep = order_sweep_free(sweep);
    arena = arena_free(arena);
    sweep_pg = pg_free(sweep_pg);
    pg = pg_free(pg);
}

static void
run(struct test_call *test)
{
    ck_assert_int_eq(order_do(&order_service, pg, test, NULL, NULL), ERR_OK);
}

/* Places an order, and makes it age_us old. */
static struct uuid
placed(int64_t age_us)
{
    struct uuid id = order_id();
    char text[UUID_TEXT_BYTES + 1];

    run(order_place(id, "alice", 1));
    pg_fixture_run(fixture.conninfo,
                   "UPDATE orders SET placed_at_us = placed_at_us - %lld WHERE id = '%s'",
                   (long long)age_us, uuid_print(id, text));
    return id;
}

/* What a sweep sent. */
struct sent {
    struct uuid ids[100];
    bool cancel[100];
    int count, max; /* max: one more is not taken */
};

static bool
take(void *owner, const struct order *order)
{
    struct sent *sent = owner;

    if (sent->count >= sent->max)
        return false;
    sent->cancel[sent->count] = order->cancel_wanted;
    sent->ids[sent->count++] = order->record.id;
    ck_assert_str_eq(order->lines, "1 pen\n1 \"ink\\\n"); /* the whole order, not its id alone */
    return true;
}

static struct sent
swept_up_to(int max)
{
    struct sent sent = { .max = max };

    arena_reset(arena);
    ck_assert_int_eq(order_sweep_run(sweep, sweep_pg, arena, steady_us, take, &sent), ERR_OK);
    return sent;
}

static struct sent
swept(void)
{
    return swept_up_to(100);
}

START_TEST(an_order_without_a_saga_is_asked_for_again_and_again)
{
    struct uuid id = placed(10 * SECOND_US);
    static const int waits_s[] = { 2, 4, 8, 16, 32, 60, 60 };
    struct sent sent = swept();

    ck_assert_int_eq(sent.count, 1);
    ck_assert(uuid_equal(sent.ids[0], id));
    for (size_t i = 0; i < sizeof waits_s / sizeof *waits_s; i++) {
        steady_us += waits_s[i] * SECOND_US - 1;
        ck_assert_int_eq(swept().count, 0);
        steady_us += 1;
        ck_assert_int_eq(swept().count, 1);
    }
}
END_TEST

START_TEST(a_fresh_order_is_left_to_its_own_start)
{
    placed(0);
    ck_assert_int_eq(swept().count, 0);
    ck_assert_uint_eq(order_sweep_open_count(sweep), 0);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    bool waiting, cancel;
    int final; /* 0, or a status */
    int sent;
    size_t open;
} kinds[] = {
    { "pending",                       false, false, 0,            1, 1 },
    { "pending, to be undone",         false, true,  0,            1, 1 },
    { "waiting for its payment",       true,  false, 0,            0, 0 },
    { "waiting, to be undone",         true,  true,  0,            1, 1 },
    { "paid",                          false, false, ORDER_PAID,   0, 0 },
    { "paid, though it was cancelled", false, true,  ORDER_PAID,   0, 0 },
    { "failed",                        true,  true,  ORDER_FAILED, 0, 0 },
};
/* clang-format on */

START_TEST(what_is_sent_by_what_it_is)
{
    struct uuid id = placed(10 * SECOND_US);
    struct sent sent;

    if (kinds[_i].waiting)
        run(order_waiting(order_id(), id, 5));
    if (kinds[_i].cancel)
        run(order_cancel(order_id(), id));
    if (kinds[_i].final == ORDER_PAID)
        run(order_paid(order_id(), id, 5));
    if (kinds[_i].final == ORDER_FAILED)
        run(order_failed(order_id(), id, "CANCELED", ""));
    sent = swept();
    ck_assert_msg(sent.count == kinds[_i].sent, "%s: sent %d", kinds[_i].what, sent.count);
    ck_assert_msg(sent.count == 0 || sent.cancel[0] == kinds[_i].cancel, "%s", kinds[_i].what);
    ck_assert_msg(order_sweep_open_count(sweep) == kinds[_i].open, "%s", kinds[_i].what);
}
END_TEST

START_TEST(a_wish_is_passed_on_while_the_order_waits)
{
    struct uuid id = placed(10 * SECOND_US);
    struct sent sent;

    run(order_waiting(order_id(), id, 5));
    ck_assert_int_eq(swept().count, 0);
    run(order_cancel(order_id(), id)); /* and the Cancel that follows the commit is lost */
    for (int i = 0; i < 31 && (sent = swept()).count == 0; i++) /* by the next round */
        steady_us += SECOND_US;
    ck_assert_int_eq(sent.count, 1);
    ck_assert(sent.cancel[0]);
}
END_TEST

START_TEST(a_final_order_is_forgotten)
{
    struct uuid id = placed(10 * SECOND_US);

    ck_assert_int_eq(swept().count, 1);
    run(order_paid(order_id(), id, 5));
    steady_us += 60 * SECOND_US;
    ck_assert_int_eq(swept().count, 0);
    ck_assert_uint_eq(order_sweep_open_count(sweep), 0);
}
END_TEST

START_TEST(what_could_not_be_sent_comes_next_time)
{
    struct sent first, second;

    for (int i = 0; i < 10; i++)
        placed(10 * SECOND_US);
    first = swept_up_to(4);
    ck_assert_int_eq(first.count, 4);
    second = swept();
    ck_assert_int_eq(second.count, 6);
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 6; j++)
            ck_assert(!uuid_equal(first.ids[i], second.ids[j]));
    }
}
END_TEST

/* A caller may place an order under an id that it made long ago. */
START_TEST(an_order_with_an_old_id_is_found)
{
    struct uuid old = uuid_v7(clock_now_us() - 20 * DAY_US);
    struct sent sent;

    placed(10 * SECOND_US);
    ck_assert_int_eq(swept().count, 1);
    run(order_place(old, "alice", 1));
    pg_fixture_run(fixture.conninfo,
                   "UPDATE orders SET placed_at_us = placed_at_us - 3000000"
                   " WHERE placed_at_us = (SELECT max(placed_at_us) FROM orders)");
    sent = swept();
    ck_assert_int_eq(sent.count, 1);
    ck_assert(uuid_equal(sent.ids[0], old));
}
END_TEST

/* More orders of one moment than a page has: all are looked at. */
START_TEST(a_walk_crosses_pages)
{
    pg_fixture_run(fixture.conninfo,
                   "INSERT INTO orders SELECT gen_random_uuid(), 1, '', '', 'x', 'JPY',"
                   " E'1 pen\\n1 \"ink\\\\\\n', 3, 2, 1, '', '', false, 1000 + i / 6000, 2000, "
                   "'f', 'wallet', ''"
                   " FROM generate_series(1, 12345) AS i");
    placed(10 * SECOND_US);
    pg_fixture_run(fixture.conninfo, "UPDATE orders SET status = 1 WHERE id IN"
                                     " (SELECT id FROM orders WHERE status = 3 LIMIT 7)");
    ck_assert_int_eq(swept().count, 8);
    ck_assert_uint_eq(order_sweep_open_count(sweep), 8);
}
END_TEST

/* ---- many, and none is forgotten ---- */

enum { MANY = 12000 };

static int asked[MANY + 1]; /* how often, by the number that is the customer */

static bool
tally(void *owner, const struct order *order)
{
    (void)owner;
    asked[atoi(order->customer_id)]++;
    return true;
}

static void
many_orders(int status)
{
    memset(asked, 0, sizeof asked);
    pg_fixture_run(fixture.conninfo,
                   "INSERT INTO orders SELECT gen_random_uuid(), 1, '', '', i::text, 'JPY',"
                   " E'1 pen\\n', %d, 2, 1, '', '', false, 1000 + i, 2000, 'f', 'wallet', ''"
                   " FROM generate_series(1, %d) AS i",
                   status, MANY);
}

static int
asked_least(int *ret_most)
{
    int least = asked[1];

    *ret_most = asked[1];
    for (int i = 2; i <= MANY; i++) {
        least = asked[i] < least ? asked[i] : least;
        *ret_most = asked[i] > *ret_most ? asked[i] : *ret_most;
    }
    return least;
}

static void
sweep_once(void)
{
    arena_reset(arena);
    ck_assert_int_eq(order_sweep_run(sweep, sweep_pg, arena, steady_us, tally, NULL), ERR_OK);
    steady_us += SECOND_US;
}

/* A run asks for 2,000; an order that has waited longer goes before one that was asked for. */
START_TEST(those_due_first_are_asked_for_first)
{
    int most;

    many_orders(ORDER_PENDING);
    for (int i = 0; i < MANY / SWEEP_SENDS_MAX; i++)
        sweep_once();
    ck_assert_int_eq(asked_least(&most), 1);
    ck_assert_int_eq(most, 1);
}
END_TEST

/* However many wait for their payment, a new order is found and asked for. */
START_TEST(orders_that_wait_take_no_room)
{
    sweep = order_sweep_free(sweep);
    sweep = order_sweep_new(100);
    many_orders(ORDER_WAITING);
    placed(10 * SECOND_US);
    ck_assert_int_eq(swept().count, 1);
    ck_assert_uint_eq(order_sweep_open_count(sweep), 1);
}
END_TEST

/* More orders without a saga than there is memory for, and none of them ever moves: each has its
 * turn, and turn after turn. */
START_TEST(a_full_memory_starves_nobody)
{
    int most;

    sweep = order_sweep_free(sweep);
    sweep = order_sweep_new(1000);
    many_orders(ORDER_PENDING);
    for (int i = 0; i < 200 && asked_least(&most) < 8; i++) {
        sweep_once();
        ck_assert_uint_lt(order_sweep_open_count(sweep), 1000 + 5000);
        steady_us += 60 * SECOND_US;
    }
    ck_assert_int_ge(asked_least(&most), 8); /* more than once in memory: found by a round */
}
END_TEST

static int64_t
store_floor(void)
{
    int64_t floor_us = 0;

    if (order_sweep_floor(sweep, &floor_us)) {
        struct test_call *test = call_fixture_new(&swept_method);

        test->call.op->id = order_id();
        *(struct swept *)test->call.op = (struct swept){
            .op = *test->call.op, .table = ORDER_SWEEP, .name = "start", .floor_us = floor_us
        };
        run(test);
    }
    return pg_fixture_int(fixture.conninfo, "SELECT floor_us FROM sweep WHERE name = 'start'");
}

START_TEST(the_floor_waits_for_the_oldest_open_order)
{
    struct uuid old = placed(1000 * SECOND_US), middle = placed(500 * SECOND_US);
    char text[UUID_TEXT_BYTES + 1];
    int64_t old_us = pg_fixture_int(fixture.conninfo, "SELECT min(placed_at_us) FROM orders"),
            middle_us =
                pg_fixture_int(fixture.conninfo, "SELECT placed_at_us FROM orders WHERE id = '%s'",
                               uuid_print(middle, text));

    placed(200 * SECOND_US);
    swept();
    ck_assert_int_eq(store_floor(), old_us - 1);
    run(order_paid(order_id(), old, 5));
    for (int i = 0; i < 31; i++) { /* to the next run that looks back */
        steady_us += 60 * SECOND_US;
        swept();
        store_floor();
    }
    ck_assert_int_eq(store_floor(), middle_us - 1);
    order_sweep_free(sweep); /* a restart */
    sweep = order_sweep_new(SWEEP_OPEN_MAX);
    ck_assert_int_eq(swept().count, 2);
}
END_TEST

START_TEST(the_floor_never_goes_back)
{
    struct test_call *test = call_fixture_new(&swept_method);

    pg_fixture_run(fixture.conninfo, "UPDATE sweep SET floor_us = 5000");
    test->call.op->id = order_id();
    *(struct swept *)test->call.op = (struct swept){
        .op = *test->call.op, .table = ORDER_SWEEP, .name = "start", .floor_us = 4000
    };
    run(test);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT floor_us FROM sweep"), 5000);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("order sweep");
    TCase *runs = tcase_create("runs");
    SRunner *runner = srunner_create(suite);
    int failed;

    pg_fixture_open(&fixture, "order_sweep", "order-svc/schema.sql");
    suite_add_tcase(suite, runs);
    tcase_set_timeout(runs, 120);
    tcase_add_checked_fixture(runs, set_up, tear_down);
    tcase_add_test(runs, an_order_without_a_saga_is_asked_for_again_and_again);
    tcase_add_test(runs, a_fresh_order_is_left_to_its_own_start);
    tcase_add_loop_test(runs, what_is_sent_by_what_it_is, 0, (int)(sizeof kinds / sizeof *kinds));
    tcase_add_test(runs, a_wish_is_passed_on_while_the_order_waits);
    tcase_add_test(runs, a_final_order_is_forgotten);
    tcase_add_test(runs, what_could_not_be_sent_comes_next_time);
    tcase_add_test(runs, an_order_with_an_old_id_is_found);
    tcase_add_test(runs, a_walk_crosses_pages);
    tcase_add_test(runs, those_due_first_are_asked_for_first);
    tcase_add_test(runs, orders_that_wait_take_no_room);
    tcase_add_test(runs, a_full_memory_starves_nobody);
    tcase_add_test(runs, the_floor_waits_for_the_oldest_open_order);
    tcase_add_test(runs, the_floor_never_goes_back);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    pg_fixture_close(&fixture);
    return failed == 0 ? 0 : 1;
}
