/* Orders on a real PostgreSQL: what an order is after each op and after its repeat, that its events
 * add up to it, and what reads see of it. */
#include "order-svc/order_event.h"
#include "tests/support/check.h"
#include "tests/support/order/order_fixture.h"
#include "tests/support/order/order_fold.h"
#include "tests/support/store/hot_fixture.h"

#include <string.h>
#include <unistd.h>

static enum error
run(struct test_call *test, struct order *ret_order)
{
    return order_do(&order_service, pg, test, NULL, ret_order);
}

static long long
events_of(struct uuid id)
{
    char text[UUID_TEXT_BYTES + 1];

    return pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM event WHERE aggregateid = '%s'",
                          uuid_print(id, text));
}

START_TEST(an_order_is_placed_once)
{
    struct uuid id = new_id();
    struct order first, again;
    struct problem problem;

    ck_assert_int_eq(run(order_place(id, "alice", 2), &first), ERR_OK);
    ck_assert_int_eq(first.status, ORDER_PENDING);
    ck_assert_int_eq(first.version, 1);
    ck_assert_int_eq(run(order_place(id, "alice", 2), &again), ERR_OK);
    ck_assert_int_eq(again.version, 1);
    ck_assert_int_eq(order_do(&order_service, pg, order_place(id, "alice", 3), &problem, NULL),
                     ERR_ID_REUSED);
    ck_assert_int_eq(run(order_place(id, "bob", 2), NULL), ERR_ID_REUSED);
    ck_assert_int_eq(events_of(id), 1);
    ck_assert_int_eq(run(order_paid(new_id(), id, 500), NULL), ERR_OK);
    ck_assert_int_eq(run(order_place(id, "alice", 2), &again), ERR_OK); /* today's status */
    ck_assert_int_eq(again.status, ORDER_PAID);
    ck_assert_int_eq(again.version, 2);
}
END_TEST

START_TEST(the_same_id_twice_in_one_batch_is_one_order)
{
    struct uuid id = new_id();
    struct test_call *first = order_place(id, "alice", 2), *second = order_place(id, "alice", 2),
                     *other = order_place(id, "alice", 9);
    struct call *calls[] = { &first->call, &second->call, &other->call };

    batch_run(&order_service, pg, calls, 3);
    ck_assert_int_eq(first->call.op->problem.error, ERR_OK);
    ck_assert_int_eq(second->call.op->problem.error, ERR_OK);
    ck_assert_int_eq(other->call.op->problem.error, ERR_ID_REUSED);
    ck_assert_int_eq(events_of(id), 1);
    call_fixture_free(first);
    call_fixture_free(second);
    call_fixture_free(other);
}
END_TEST

START_TEST(an_order_is_paid_and_stays_paid)
{
    struct uuid id = new_id(), mark = new_id(), late = new_id();
    struct order order;

    run(order_place(id, "alice", 2), NULL);
    ck_assert_int_eq(run(order_waiting(new_id(), id, 500), &order), ERR_OK);
    ck_assert_int_eq(order.status, ORDER_WAITING);
    ck_assert_int_eq(run(order_paid(mark, id, 500), &order), ERR_OK);
    ck_assert_int_eq(order.status, ORDER_PAID);
    ck_assert_int_eq(order.version, 3);
    ck_assert_int_eq(run(order_paid(mark, id, 500), &order), ERR_OK);     /* the same again */
    ck_assert_int_eq(run(order_paid(new_id(), id, 500), &order), ERR_OK); /* another's */
    ck_assert_int_eq(run(order_paid(mark, id, 501), NULL), ERR_ID_REUSED);
    ck_assert_int_eq(run(order_failed(late, id, "NO_FUNDS", ""), &order), ERR_OK);
    ck_assert_int_eq(order.status, ORDER_PAID);
    ck_assert_int_eq(order.version, 3);
    ck_assert_int_eq(run(order_cancel(new_id(), id), NULL), ERR_TOO_LATE);
    ck_assert_int_eq(events_of(id), 3);
}
END_TEST

START_TEST(a_failed_order_cannot_be_paid)
{
    struct uuid id = new_id(), late = new_id();
    struct problem problem;
    char text[PG_FIXTURE_TEXT_BYTES], id_text[UUID_TEXT_BYTES + 1];
    struct order order;

    run(order_place(id, "alice", 2), NULL);
    ck_assert_int_eq(run(order_failed(new_id(), id, "NO_STOCK", "none are left"), &order), ERR_OK);
    ck_assert_int_eq(order.status, ORDER_FAILED);
    pg_fixture_text(fixture.conninfo, text,
                    "SELECT failure_reason || ': ' || failure_detail || '/' || reason FROM orders"
                    " WHERE id = '%s'",
                    uuid_print(id, id_text));
    ck_assert_str_eq(text, "NO_STOCK: none are left/"); /* the record of Place stays accepted */
    for (int i = 0; i < 2; i++) {                       /* and again: the stored answer */
        ck_assert_int_eq(order_do(&order_service, pg, order_paid(late, id, 500), &problem, NULL),
                         ERR_TOO_LATE);
        ck_assert(problem.is_stored);
        ck_assert_str_eq(problem.reason, "TOO_LATE");
    }
    ck_assert_int_eq(run(order_place(id, "alice", 2), &order), ERR_OK);
    ck_assert_int_eq(order.status, ORDER_FAILED);
}
END_TEST

START_TEST(a_cancel_is_a_wish_with_an_event)
{
    struct uuid id = new_id(), wish = new_id();
    struct order order;

    run(order_place(id, "alice", 2), NULL);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(run(order_cancel(wish, id), &order), ERR_OK);
        ck_assert(order.cancel_wanted);
        ck_assert_int_eq(order.status, ORDER_PENDING);
        ck_assert_int_eq(order.version, 2);
    }
    ck_assert_int_eq(run(order_cancel(new_id(), id), &order), ERR_OK);
    ck_assert_int_eq(order.version, 2);
    ck_assert_int_eq(run(order_cancel(new_id(), new_id()), NULL), ERR_NOT_FOUND);
    ck_assert_int_eq(run(order_paid(new_id(), new_id(), 1), NULL), ERR_NOT_FOUND);
    ck_assert_int_eq(run(order_failed(new_id(), new_id(), "X", ""), NULL), ERR_NOT_FOUND);
    ck_assert_int_eq(run(order_failed(new_id(), id, "CANCELED", ""), &order), ERR_OK);
    ck_assert_int_eq(order.version, 3);
}
END_TEST

/* Many orders, each with a life of its own, all in one batch. */
START_TEST(a_batch_moves_many_orders)
{
    enum { ORDERS = 60 };
    struct test_call *tests[3 * ORDERS];
    struct call *calls[3 * ORDERS];
    struct uuid ids[ORDERS];

    for (int i = 0; i < ORDERS; i++) {
        ids[i] = new_id();
        tests[i] = order_place(ids[i], "bulk", 1 + i);
        tests[ORDERS + i] = order_cancel(new_id(), ids[i]);
        tests[2 * ORDERS + i] = i % 2 == 0 ? order_paid(new_id(), ids[i], i)
                                           : order_failed(new_id(), ids[i], "NO_FUNDS", "");
    }
    for (int i = 0; i < 3 * ORDERS; i++)
        calls[i] = &tests[i]->call;
    batch_run(&order_service, pg, calls, 3 * ORDERS);
    for (int i = 0; i < 3 * ORDERS; i++) {
        ck_assert_int_eq(tests[i]->call.op->problem.error, ERR_OK);
        call_fixture_free(tests[i]);
    }
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo,
                                    "SELECT count(*) FROM orders WHERE customer_id = 'bulk'"
                                    " AND version = 3 AND cancel_wanted AND status IN (3, 4)"),
                     ORDERS);
}
END_TEST

/* ---- the projection ---- */

static void
same(const char *what, const char *a, const char *b)
{
    ck_assert_msg(strcmp(a, b) == 0, "%s: '%s' is not '%s'", what, a, b);
}

static void
same_order(const struct order *row, const struct order *folded)
{
    ck_assert(uuid_equal(row->record.id, folded->record.id));
    ck_assert(row->record.fingerprint == folded->record.fingerprint);
    same("record.reason", row->record.reason, folded->record.reason);
    same("record.detail", row->record.detail, folded->record.detail);
    same("customer_id", row->customer_id, folded->customer_id);
    same("currency", row->currency, folded->currency);
    same("lines", row->lines, folded->lines);
    ck_assert_int_eq(row->status, folded->status);
    ck_assert_int_eq(row->version, folded->version);
    ck_assert_int_eq(row->total_minor, folded->total_minor);
    same("failure_reason", row->failure_reason, folded->failure_reason);
    same("failure_detail", row->failure_detail, folded->failure_detail);
    ck_assert_int_eq(row->cancel_wanted, folded->cancel_wanted);
    ck_assert_int_eq(row->placed_at_us, folded->placed_at_us);
    ck_assert_int_eq(row->changed_at_us, folded->changed_at_us);
    same("flow", row->flow, folded->flow);
    same("payment_method", row->payment_method, folded->payment_method);
    same("payment_reference", row->payment_reference, folded->payment_reference);
    same("provider", row->provider, folded->provider);
    same("return_url", row->return_url, folded->return_url);
    same("payment_id", row->payment_id, folded->payment_id);
    same("payment_url", row->payment_url, folded->payment_url);
    ck_assert_int_eq(row->payment_expires_at_us, folded->payment_expires_at_us);
}

/* The order as its row says, and as its events add up to. */
static void
rebuild(struct uuid id)
{
    struct arena *arena = arena_new();
    struct get_order get = { .op.id = id };
    struct list_events list = { .op.id = id };
    struct op *get_op = &get.op, *list_op = &list.op;
    struct order folded = { 0 };
    struct problem problem;

    ck_assert_int_eq(service_read("Get", &get_op, 1, arena), ERR_OK);
    ck_assert_int_eq(service_read("ListEvents", &list_op, 1, arena), ERR_OK);
    ck_assert_int_eq(get.op.problem.error, ERR_OK);
    for (size_t i = 0; i < list.count; i++)
        ck_assert_msg(order_event_fold(&list.events[i], arena, &folded, &problem) == ERR_OK,
                      "%s: %s %s", list.events[i].type, problem.field, problem.text);
    same_order(&get.order, &folded);
    arena_free(arena);
}

START_TEST(the_events_add_up_to_the_row)
{
    struct uuid ids[6];

    for (int i = 0; i < 5; i++) {
        ids[i] = new_id();
        run(order_place(ids[i], "\xc3\x89lo\"\\ise", 1 + i), NULL);
    }
    ids[5] = new_id();
    run(order_place_external(ids[5], "sandbox", "https://shop.example/%22done%22"), NULL);
    run(order_asked(new_id(), ids[5], "pay-1", "https://pay.example/1?a=\\", 1234567), NULL);
    run(order_paid(new_id(), ids[5], 700), NULL); /* which says nothing of the payment's id */
    run(order_paid(new_id(), ids[1], 700), NULL);
    run(order_waiting(new_id(), ids[2], 800), NULL);
    run(order_cancel(new_id(), ids[2]), NULL);
    run(order_failed(new_id(), ids[2], "CANCELED", "as was wished: \"\xe2\x82\xac\"\n"), NULL);
    run(order_waiting(new_id(), ids[3], 900), NULL);
    run(order_paid(new_id(), ids[3], 900), NULL);
    run(order_cancel(new_id(), ids[4]), NULL);
    for (int i = 0; i < 6; i++)
        rebuild(ids[i]);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo,
                                    "SELECT count(*) FROM orders WHERE payment_id = 'pay-1' AND"
                                    " provider = 'sandbox' AND payment_expires_at_us = 1234567"
                                    " AND return_url <> '' AND payment_url <> '' AND status = 3"),
                     1);
    ck_assert_int_eq(events_of(ids[2]), 4);
}
END_TEST

/* The payloads are JSON to PostgreSQL as well, and name the order they belong to. */
START_TEST(payloads_are_json)
{
    struct uuid id = new_id();
    char text[UUID_TEXT_BYTES + 1];

    run(order_place(id, "alice", 2), NULL);
    run(order_paid(new_id(), id, 700), NULL);
    ck_assert_int_eq(
        pg_fixture_int(fixture.conninfo,
                       "SELECT count(*) FROM event WHERE aggregateid = '%s'"
                       " AND aggregatetype = 'order' AND payload::json->>'orderId' = '%s'"
                       " AND (payload::json->>'version')::int = version"
                       " AND type = CASE version WHEN 1 THEN 'order.placed' ELSE 'order.paid' END",
                       uuid_print(id, text), text),
        2);
}
END_TEST

/* ---- what must hold always ---- */

START_TEST(a_change_stays_hot)
{
    enum { ORDERS = 4 };
    struct hot_count before;

    hot_begin(&fixture, pg, "orders", &before);
    for (int i = 0; i < ORDERS; i++) {
        struct uuid id = new_id();

        run(order_place(id, "hot", 1), NULL);
        run(order_waiting(new_id(), id, 1), NULL);
        run(order_paid(new_id(), id, 1), NULL);
    }
    ck_assert_int_eq(hot_end(&fixture, pg, &before, 2 * ORDERS), 0);
}
END_TEST

int
main(void)
{
    TCase *lives = check_case("lives");

    tcase_add_checked_fixture(lives, service_begin, service_end);
    tcase_add_test(lives, an_order_is_placed_once);
    tcase_add_test(lives, the_same_id_twice_in_one_batch_is_one_order);
    tcase_add_test(lives, an_order_is_paid_and_stays_paid);
    tcase_add_test(lives, a_failed_order_cannot_be_paid);
    tcase_add_test(lives, a_cancel_is_a_wish_with_an_event);
    tcase_add_test(lives, a_batch_moves_many_orders);
    tcase_add_test(lives, the_events_add_up_to_the_row);
    tcase_add_test(lives, payloads_are_json);
    tcase_add_test(lives, a_change_stays_hot);
    return service_fixture_check(&order_parts, "order_lives", lives);
}
