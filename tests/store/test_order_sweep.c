/* The sweep on a real PostgreSQL: whatever became of a Start, the order is asked for again, until it
 * is final; and the floor never passes one that is open. */
#include "order-svc/order_sweep.h"
#include "tests/support/check.h"
#include "tests/support/order/order_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pg *sweep_pg;
static struct order_sweep *sweep;
static struct arena *arena;
static int64_t steady_us;

static void
set_up(void)
{
    service_begin();
    sweep_pg = pg_new(fixture.conninfo, "test", order_statements);
    ck_assert_int_eq(pg_connect(sweep_pg), ERR_OK);
    sweep = order_sweep_new(SWEEP_OPEN_MAX);
    arena = arena_new();
    steady_us = clock_steady_us();
    pg_fixture_run(fixture.conninfo, "TRUNCATE orders; UPDATE sweep SET floor_seq = 0");
}

static void
tear_down(void)
{
    sweep = order_sweep_free(sweep);
    arena = arena_free(arena);
    sweep_pg = pg_free(sweep_pg);
    service_end();
}

static void
run(struct test_call *test)
{
    ck_assert_int_eq(order_do(&order_service, pg, test, NULL, NULL), ERR_OK);
}

/* Places an order, and makes it age_us old, as if a clock had said so. */
static struct uuid
placed(int64_t age_us)
{
    struct uuid id = new_id();
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

/* What the program does with a floor that is due; the stored one. */
static int64_t
store_floor(void)
{
    struct floor_move move = { .op.id = new_id(), .table = ORDER_FLOOR, .name = ORDER_SWEEP_NAME };

    if (order_sweep_floor(sweep, &move.floor_seq, &move.is_lower)) {
        struct test_call *test = call_fixture_new(&floor_move_method);

        *(struct floor_move *)test->call.op = move;
        run(test);
    }
    return pg_fixture_int(fixture.conninfo, "SELECT floor_seq FROM sweep WHERE name = 'start'");
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

static bool
was_sent(const struct sent *sent, struct uuid id)
{
    for (int i = 0; i < sent->count; i++) {
        if (uuid_equal(sent->ids[i], id))
            return true;
    }
    return false;
}

/* Sweeps once a second until the order is sent; how many seconds that took, -1 after seconds_max. */
static int
seconds_until_sent(struct uuid id, int seconds_max)
{
    for (int i = 0; i <= seconds_max; i++) {
        struct sent sent = swept();

        if (was_sent(&sent, id))
            return i;
        steady_us += SECOND_US;
    }
    return -1;
}

START_TEST(a_fresh_order_is_left_to_its_own_start)
{
    struct uuid id;
    int seconds;

    swept();
    id = placed(0);
    ck_assert_int_eq(swept().count, 0);
    ck_assert_uint_eq(order_sweep_open_count(sweep), 0);
    seconds = seconds_until_sent(id, 10);
    ck_assert_int_ge(seconds, 2);
    ck_assert_int_le(seconds, 4);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    int64_t ahead_us, back_us; /* the database's clock before, and by how much it steps back */
} steps[] = {
    { "it was right, and steps back by 100 s",  0,                 100 * SECOND_US },
    { "it was ahead by 100 s, and is right",    100 * SECOND_US,   100 * SECOND_US },
    { "it was ahead by 60 days, and is right",  60 * DAY_US,       60 * DAY_US },
    { "it steps forward by an hour",            0,                 -3600 * SECOND_US },
    { "it falls back to 1970",                  0,                 INT64_C(56) * 365 * DAY_US },
};
/* clang-format on */

/* A clock has no part in it: an order that is placed after the floor has risen is found. */
START_TEST(a_clock_that_steps_hides_no_order)
{
    struct uuid before = placed(-steps[_i].ahead_us), after;

    ck_assert_msg(seconds_until_sent(before, 10) >= 0, "%s", steps[_i].what);
    run(order_paid(new_id(), before, 5));
    for (int i = 0; i < 70; i++) { /* two rounds: the floor rises */
        steady_us += SECOND_US;
        swept();
        store_floor();
    }
    ck_assert_int_eq(store_floor(),
                     pg_fixture_int(fixture.conninfo, "SELECT max(seq) FROM orders"));
    after = placed(-steps[_i].ahead_us + steps[_i].back_us);
    ck_assert_msg(seconds_until_sent(after, 4) >= 0, "%s", steps[_i].what);
    sweep = order_sweep_free(sweep); /* a restart */
    sweep = order_sweep_new(SWEEP_OPEN_MAX);
    ck_assert_msg(seconds_until_sent(after, 0) == 0, "%s: after a restart", steps[_i].what);
}
END_TEST

/* A transaction that draws its number and does not end: the floor waits for it, the others do not. */
START_TEST(an_order_that_is_committed_late_is_found)
{
    struct pg *slow = pg_new(fixture.conninfo, "slow", order_statements);
    struct uuid late = new_id(), other;
    int64_t floor;
    char sql[1024], text[UUID_TEXT_BYTES + 1];

    ck_assert_int_eq(pg_connect(slow), ERR_OK);
    snprintf(sql, sizeof sql,
             "INSERT INTO orders SELECT '%s', 1, '', '', 'x', 'JPY', E'1 pen\\n1 \"ink\\\\\\n', 1,"
             " 2, 1, '', '', false, 1000, 2000, 'f', 'wallet', ''",
             uuid_print(late, text));
    ck_assert_int_eq(pg_run(slow, "BEGIN"), ERR_OK);
    ck_assert_int_eq(pg_run(slow, sql), ERR_OK);
    floor = pg_fixture_int(fixture.conninfo, "SELECT last_value FROM order_seq") - 1;
    other = placed(0);
    ck_assert_int_ge(seconds_until_sent(other, 10), 0);
    run(order_paid(new_id(), other, 5));
    for (int i = 0; i < 100; i++) {
        steady_us += SECOND_US;
        swept();
        ck_assert_int_le(store_floor(), floor);
    }
    ck_assert_int_eq(pg_run(slow, "COMMIT"), ERR_OK);
    ck_assert_int_ge(seconds_until_sent(late, 40), 0); /* by the next round */
    run(order_failed(new_id(), late, "CANCELED", ""));
    for (int i = 0; i < 70; i++) {
        steady_us += SECOND_US;
        swept();
        store_floor();
    }
    ck_assert_int_ge(store_floor(), floor + 2);
    pg_free(slow);
}
END_TEST

/* A floor that should not be where it is: a database restored, a person's hand. */
START_TEST(what_is_below_the_floor_is_found)
{
    struct uuid id = placed(0);
    int64_t seq = pg_fixture_int(fixture.conninfo, "SELECT max(seq) FROM orders");

    pg_fixture_run(fixture.conninfo, "UPDATE sweep SET floor_seq = %lld", (long long)seq + 1000);
    ck_assert_int_ge(seconds_until_sent(id, 10), 0);
    store_floor();
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT floor_seq FROM sweep"), seq - 1);
}
END_TEST

/* The database fails over to a state where fewer orders were placed: new ones have numbers that the
 * front has passed. */
START_TEST(a_sequence_that_fell_back_hides_no_order)
{
    struct uuid id = placed(0);

    ck_assert_int_ge(seconds_until_sent(id, 10), 0);
    pg_fixture_run(fixture.conninfo, "TRUNCATE orders; SELECT setval('order_seq', 1)");
    id = placed(0);
    ck_assert_int_ge(seconds_until_sent(id, 10), 0);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    int64_t placed_ago_us, met_ago_us;
    size_t count;
} ages[] = {
    { "placed just now",                            0,                   1 * SECOND_US,    0 },
    { "as long as it may",                          600 * SECOND_US,     1 * SECOND_US,    0 },
    { "placed long ago",                            602 * SECOND_US,     1 * SECOND_US,    1 },
    { "placed in the future, and met long ago",     -9000 * SECOND_US,   601 * SECOND_US,  1 },
};
/* clang-format on */

START_TEST(an_order_that_does_not_move_is_overdue)
{
    struct order_overdue overdue;
    int64_t now_us = clock_now_us();
    struct uuid id = placed(0);
    char text[UUID_TEXT_BYTES + 1];

    pg_fixture_run(fixture.conninfo, "UPDATE orders SET placed_at_us = %lld WHERE id = '%s'",
                   (long long)(now_us - ages[_i].placed_ago_us), uuid_print(id, text));
    ck_assert_int_eq(swept().count, 1);
    order_sweep_overdue(sweep, steady_us + ages[_i].met_ago_us, now_us, 600 * SECOND_US, &overdue);
    ck_assert_msg(overdue.count == ages[_i].count, "%s: %zu", ages[_i].what, overdue.count);
    ck_assert_msg(overdue.count == 0 || uuid_equal(overdue.oldest, id), "%s", ages[_i].what);
    ck_assert_msg(overdue.count == 0 || overdue.age_us > 600 * SECOND_US, "%s", ages[_i].what);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    bool waiting, cancel;
    int64_t over_us; /* of one that waits: how long its payment's time has been over; 0: it has none */
    int final;       /* 0, or a status */
    int sent;
    size_t open;
} kinds[] = {
    { "pending",                          false, false, 0,                0,            1, 1 },
    { "pending, to be undone",            false, true,  0,                0,            1, 1 },
    { "waiting for its payment",          true,  false, 0,                0,            0, 0 },
    { "waiting, there is time",           true,  false, -900 * SECOND_US, 0,            0, 0 },
    { "waiting, the time was just over",  true,  false, 540 * SECOND_US,  0,            0, 0 },
    { "waiting, the time was long over",  true,  false, 660 * SECOND_US,  0,            1, 1 },
    { "waiting, to be undone",            true,  true,  0,                0,            1, 1 },
    { "paid, and the time is long over",  true,  false, 660 * SECOND_US,  ORDER_PAID,   0, 0 },
    { "paid",                             false, false, 0,                ORDER_PAID,   0, 0 },
    { "paid, though it was cancelled",    false, true,  0,                ORDER_PAID,   0, 0 },
    { "failed",                           true,  true,  0,                ORDER_FAILED, 0, 0 },
};
/* clang-format on */

START_TEST(what_is_sent_by_what_it_is)
{
    struct uuid id = placed(10 * SECOND_US);
    struct sent sent;

    if (kinds[_i].waiting && kinds[_i].over_us == 0)
        run(order_waiting(new_id(), id, 5));
    else if (kinds[_i].waiting)
        run(order_asked(new_id(), id, "pay-7", "https://pay.example/7",
                        clock_now_us() - kinds[_i].over_us));
    if (kinds[_i].cancel)
        run(order_cancel(new_id(), id));
    if (kinds[_i].final == ORDER_PAID)
        run(order_paid(new_id(), id, kinds[_i].over_us == 0 ? 5 : 700));
    if (kinds[_i].final == ORDER_FAILED)
        run(order_failed(new_id(), id, "CANCELED", ""));
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

    run(order_waiting(new_id(), id, 5));
    ck_assert_int_eq(swept().count, 0);
    run(order_cancel(new_id(), id)); /* and the Cancel that follows the commit is lost */
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
    run(order_paid(new_id(), id, 5));
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

    placed(10 * SECOND_US);
    ck_assert_int_eq(swept().count, 1);
    run(order_place(old, "alice", 1));
    ck_assert_int_ge(seconds_until_sent(old, 10), 0);
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

START_TEST(the_floor_waits_for_the_oldest_open_order)
{
    struct uuid old = placed(0);
    int64_t old_seq = pg_fixture_int(fixture.conninfo, "SELECT min(seq) FROM orders");

    placed(0);
    placed(0);
    for (int i = 0; i < 70; i++) { /* two rounds: the first one learns the horizon */
        steady_us += SECOND_US;
        swept();
        store_floor();
    }
    ck_assert_int_eq(store_floor(), old_seq - 1);
    run(order_paid(new_id(), old, 5));
    for (int i = 0; i < 40; i++) {
        steady_us += SECOND_US;
        swept();
        store_floor();
    }
    ck_assert_int_eq(store_floor(), old_seq);
    order_sweep_free(sweep); /* a restart */
    sweep = order_sweep_new(SWEEP_OPEN_MAX);
    ck_assert_int_eq(swept().count, 2);
}
END_TEST

/* clang-format off */
static const struct {
    int64_t stored, said;
    bool is_lower;
    int64_t then;
} floors[] = {
    { 5000, 4000, false, 5000 }, /* another replica has come further */
    { 5000, 6000, false, 6000 },
    { 5000, 4000, true,  4000 }, /* something was found below it */
    { 5000, 6000, true,  5000 },
};
/* clang-format on */

START_TEST(the_floor_goes_back_only_when_it_is_to)
{
    struct test_call *test = call_fixture_new(&floor_move_method);

    pg_fixture_run(fixture.conninfo, "UPDATE sweep SET floor_seq = %lld",
                   (long long)floors[_i].stored);
    test->call.op->id = new_id();
    *(struct floor_move *)test->call.op = (struct floor_move){ .op = *test->call.op,
                                                               .table = ORDER_FLOOR,
                                                               .name = ORDER_SWEEP_NAME,
                                                               .floor_seq = floors[_i].said,
                                                               .is_lower = floors[_i].is_lower };
    run(test);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT floor_seq FROM sweep"),
                     floors[_i].then);
}
END_TEST

int
main(void)
{
    TCase *runs = check_case("runs");

    tcase_add_checked_fixture(runs, set_up, tear_down);
    tcase_add_test(runs, an_order_without_a_saga_is_asked_for_again_and_again);
    tcase_add_test(runs, a_fresh_order_is_left_to_its_own_start);
    tcase_add_loop_test(runs, what_is_sent_by_what_it_is, 0, ROWS(kinds));
    tcase_add_test(runs, a_wish_is_passed_on_while_the_order_waits);
    tcase_add_test(runs, a_final_order_is_forgotten);
    tcase_add_test(runs, what_could_not_be_sent_comes_next_time);
    tcase_add_test(runs, an_order_with_an_old_id_is_found);
    tcase_add_test(runs, a_walk_crosses_pages);
    tcase_add_test(runs, those_due_first_are_asked_for_first);
    tcase_add_test(runs, orders_that_wait_take_no_room);
    tcase_add_test(runs, a_full_memory_starves_nobody);
    tcase_add_test(runs, the_floor_waits_for_the_oldest_open_order);
    tcase_add_loop_test(runs, the_floor_goes_back_only_when_it_is_to, 0, ROWS(floors));
    tcase_add_loop_test(runs, a_clock_that_steps_hides_no_order, 0, ROWS(steps));
    tcase_add_test(runs, an_order_that_is_committed_late_is_found);
    tcase_add_test(runs, what_is_below_the_floor_is_found);
    tcase_add_test(runs, a_sequence_that_fell_back_hides_no_order);
    tcase_add_loop_test(runs, an_order_that_does_not_move_is_overdue, 0, ROWS(ages));
    return service_fixture_check(&order_parts, "order_sweep", runs);
}
