/* The rules of an order without a database: its table of transitions, what each op decides, and that
 * its events add up to it. */
#include "mesh/base/clock.h"
#include "mesh/store/batch_rows.h"
#include "order-svc/order.h"
#include "order-svc/order_event.h"
#include "order-svc/order_saga.h"
#include "tests/support/check.h"
#include "tests/support/order/order_fold.h"

#include <stdlib.h>
#include <string.h>

/* ---- the table is proved ---- */

START_TEST(every_pair_is_answered_once)
{
    size_t rules = 0;

    for (int in = ORDER_PENDING; in < ORDER_STATUS_END; in++) {
        for (int on = 0; on < ORDER_EVENT_COUNT; on++) {
            int answers = 0;

            for (const struct order_rule *rule = order_rules; rule->because != NULL; rule++)
                answers += (int)rule->in == in && (int)rule->on == on;
            ck_assert_msg(answers == 1, "status %d on event %d has %d rules", in, on, answers);
        }
    }
    for (const struct order_rule *rule = order_rules; rule->because != NULL; rule++, rules++)
        ck_assert_uint_gt(strlen(rule->because), 0);
    ck_assert_uint_eq(rules, (ORDER_STATUS_END - ORDER_PENDING) * ORDER_EVENT_COUNT);
}
END_TEST

START_TEST(no_way_out_of_a_final_status_and_none_back)
{
    for (const struct order_rule *rule = order_rules; rule->because != NULL; rule++) {
        if (order_is_final((int32_t)rule->in))
            ck_assert_msg(rule->go_to == rule->in, "%s", rule->because);
        ck_assert_msg(rule->go_to >= rule->in, "%s", rule->because);
    }
    ck_assert(order_is_final(ORDER_PAID) && order_is_final(ORDER_FAILED));
    ck_assert(!order_is_final(ORDER_PENDING) && !order_is_final(ORDER_WAITING));
}
END_TEST

/* ---- what ops decide ---- */

static struct arena *arena;
static struct batch_rows *rows;
static int64_t now_us;

static void
set_up(void)
{
    now_us = clock_now_us();
    arena = arena_new();
    rows = batch_rows_new(&order_service, arena);
}

static void
tear_down(void)
{
    arena = arena_free(arena);
}

/* An order in a status, as if it had been loaded. */
static struct order *
order_in(enum order_status status, bool cancel_wanted)
{
    struct uuid id = uuid_v7(now_us);
    struct order *order;

    batch_rows_touch_records(rows, id);
    order = batch_add_uuid(rows, ORDER_ORDER, id);
    order->record.reason = order->record.detail = "";
    order->customer_id = "alice";
    order->currency = "JPY";
    order->lines = "1 pen\n";
    order->status = (int32_t)status;
    order->version = 3;
    order->failure_reason = status == ORDER_FAILED ? "NO_FUNDS" : "";
    order->failure_detail = "";
    order->flow = FLOW_DEFAULT;
    order->payment_method = PAYMENT_WALLET;
    order->payment_reference = order->payment_id = order->payment_url = "";
    order->provider = order->return_url = "";
    order->cancel_wanted = cancel_wanted;
    return order;
}

static void
op_ready(struct op *op)
{
    op->id = uuid_v7(now_us);
    op->now_us = now_us;
    op->traceparent = "";
    batch_rows_touch_records(rows, op->id);
}

/* clang-format off */
enum { WAITING, PAID, FAILED };
static const struct {
    const char *what;
    enum order_status in;
    int mark;
    const char *currency;
    enum error answer;
    enum order_status after;
    int version_after;
    int64_t total_after;
} marks[] = {
    /*                                       in             mark     cur    answer        after          v  total */
    { "stock held, now wait",                ORDER_PENDING, WAITING, "JPY", ERR_OK,       ORDER_WAITING, 4, 500 },
    { "told to wait twice",                  ORDER_WAITING, WAITING, "JPY", ERR_OK,       ORDER_WAITING, 3, 0   },
    { "told to wait when paid",              ORDER_PAID,    WAITING, "JPY", ERR_OK,       ORDER_PAID,    3, 0   },
    { "told to wait when failed",            ORDER_FAILED,  WAITING, "JPY", ERR_OK,       ORDER_FAILED,  3, 0   },
    { "paid from the wallet",                ORDER_PENDING, PAID,    "JPY", ERR_OK,       ORDER_PAID,    4, 500 },
    { "the awaited payment arrived",         ORDER_WAITING, PAID,    "JPY", ERR_OK,       ORDER_PAID,    4, 500 },
    { "paid twice is paid once",             ORDER_PAID,    PAID,    "JPY", ERR_OK,       ORDER_PAID,    3, 0   },
    { "paid after it failed",                ORDER_FAILED,  PAID,    "JPY", ERR_TOO_LATE, ORDER_FAILED,  3, 0   },
    { "paid in another currency",            ORDER_PENDING, PAID,    "USD", ERR_REFUSED,  ORDER_PENDING, 3, 0   },
    { "refused before anything was asked",   ORDER_PENDING, FAILED,  "JPY", ERR_OK,       ORDER_FAILED,  4, 500 },
    { "never priced",                        ORDER_PENDING, FAILED,  "",    ERR_OK,       ORDER_FAILED,  4, 0   },
    { "an undo in another currency",         ORDER_PENDING, FAILED,  "USD", ERR_OK,       ORDER_FAILED,  4, 0   },
    { "the payment will not come",           ORDER_WAITING, FAILED,  "JPY", ERR_OK,       ORDER_FAILED,  4, 500 },
    { "a late failure does not unpay",       ORDER_PAID,    FAILED,  "JPY", ERR_OK,       ORDER_PAID,    3, 0   },
    { "failed twice",                        ORDER_FAILED,  FAILED,  "JPY", ERR_OK,       ORDER_FAILED,  3, 0   },
};
/* clang-format on */

START_TEST(marks_decide)
{
    static void (*const decides[])(void *op, struct batch_rows *rows) = { mark_waiting_decide,
                                                                          mark_paid_decide,
                                                                          mark_failed_decide };
    struct order *order = order_in(marks[_i].in, false);
    struct mark mark = { .order_id = order->record.id,
                         .total_minor = 500,
                         .currency = marks[_i].currency,
                         .payment_reference = "",
                         .payment_id = "pay-1",
                         .payment_url = "https://pay.example/1",
                         .payment_expires_at_us = 77,
                         .failure_reason = "NO_FUNDS",
                         .failure_detail = "" };
    struct op_row *record;

    op_ready(&mark.op);
    decides[marks[_i].mark](&mark, rows);
    ck_assert_msg(mark.op.problem.error == marks[_i].answer, "%s: %s", marks[_i].what,
                  mark.op.problem.text);
    ck_assert_msg(order->status == (int32_t)marks[_i].after, "%s: status", marks[_i].what);
    ck_assert_msg(order->version == marks[_i].version_after, "%s: version", marks[_i].what);
    ck_assert_msg(order->total_minor == marks[_i].total_after, "%s: total", marks[_i].what);
    ck_assert_msg((order->status == ORDER_FAILED) == (order->failure_reason[0] != '\0'),
                  "%s: reason", marks[_i].what);
    /* The payment is known from MarkWaiting, when that is what moved the order. */
    ck_assert_msg((strcmp(order->payment_id, "pay-1") == 0) ==
                      (marks[_i].mark == WAITING && marks[_i].version_after == 4),
                  "%s: payment", marks[_i].what);
    record = batch_find_uuid(rows, ORDER_OP, mark.op.id);
    ck_assert_ptr_nonnull(record); /* every mark leaves its record, refused or not */
    ck_assert_str_eq(record->record.reason, problem_reason(&mark.op.problem));
}
END_TEST

START_TEST(marks_of_an_unknown_order_are_not_found)
{
    struct mark mark = { .order_id = uuid_v7(now_us), .currency = "JPY" };

    batch_rows_touch_records(rows, mark.order_id);
    op_ready(&mark.op);
    mark_paid_decide(&mark, rows);
    ck_assert_int_eq(mark.op.problem.error, ERR_NOT_FOUND);
    ck_assert_str_eq(mark.op.problem.field, "order_id");
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    enum order_status in;
    bool wanted;
    enum error answer;
    int version_after;
} cancels[] = {
    { "a pending order",       ORDER_PENDING, false, ERR_OK,       4 },
    { "a waiting order",       ORDER_WAITING, false, ERR_OK,       4 },
    { "wished twice",          ORDER_PENDING, true,  ERR_OK,       3 },
    { "it is paid",            ORDER_PAID,    false, ERR_TOO_LATE, 3 },
    { "it has failed",         ORDER_FAILED,  false, ERR_TOO_LATE, 3 },
    { "wished, and then paid", ORDER_PAID,    true,  ERR_TOO_LATE, 3 },
};
/* clang-format on */

START_TEST(cancels_decide)
{
    struct order *order = order_in(cancels[_i].in, cancels[_i].wanted);
    struct cancel cancel = { .order_id = order->record.id };

    op_ready(&cancel.op);
    cancel_decide(&cancel, rows);
    ck_assert_msg(cancel.op.problem.error == cancels[_i].answer, "%s", cancels[_i].what);
    ck_assert_msg(order->version == cancels[_i].version_after, "%s: version", cancels[_i].what);
    ck_assert_msg(order->is_cancel_news == (order->version == 4), "%s: news", cancels[_i].what);
    ck_assert_msg(order->status == (int32_t)cancels[_i].in, "%s: status", cancels[_i].what);
}
END_TEST

/* An operator asks for the saga of any order that has not ended; nothing of the order changes. */
START_TEST(a_saga_is_asked_for_while_the_order_is_open)
{
    struct order *order = order_in((enum order_status)_i, false);
    struct ask_saga ask = { .order_id = order->record.id, .comment = "" };

    op_ready(&ask.op);
    ask_saga_decide(&ask, rows);
    ck_assert_int_eq(ask.op.problem.error, order_is_final(_i) ? ERR_TOO_LATE : ERR_OK);
    ck_assert_int_eq(order->is_saga_wanted, !order_is_final(_i));
    ck_assert_int_eq(order->version, 3);
    ck_assert_int_eq(order->status, _i);
}
END_TEST

START_TEST(a_refused_start_fails_only_a_pending_order)
{
    struct order *order = order_in((enum order_status)_i, false);
    struct fail_start fail = { .order_id = order->record.id,
                               .reason = "UNKNOWN_DEFINITION",
                               .detail = "no such flow" };

    op_ready(&fail.op);
    fail_start_decide(&fail, rows);
    if (_i == ORDER_PENDING) {
        ck_assert_int_eq(order->status, ORDER_FAILED);
        ck_assert_str_eq(order->failure_reason, "UNKNOWN_DEFINITION");
        ck_assert_str_eq(order->failure_detail, "no such flow");
    } else {
        ck_assert_int_eq(order->status, _i);
        ck_assert_int_eq(order->version, 3);
    }
}
END_TEST

/* ---- small things ---- */

START_TEST(lines_come_back)
{
    const struct line in[] = { { "pen-1", 3 }, { "\"quoted\\sku\"", 1000000 } };
    const char *at = lines_print(arena, in, 2);
    struct line out;

    for (int i = 0; i < 2; i++) {
        ck_assert(line_next(&at, &out));
        ck_assert_str_eq(out.sku, in[i].sku);
        ck_assert_int_eq(out.quantity, in[i].quantity);
    }
    ck_assert(!line_next(&at, &out));
}
END_TEST

START_TEST(an_event_gives_its_order_back)
{
    struct json_writer writer = { 0 };
    struct order *order = order_in(ORDER_PENDING, true), folded = { 0 };
    struct event event = { .aggregateid = order->record.id, .version = 1, .time_us = now_us };
    struct problem problem;

    order->version = 1;
    order->record.fingerprint = UINT64_C(0xfedcba9876543210);
    order->customer_id = "\xc3\xa9l\"oise\\";
    order->provider = "sandbox";
    order->return_url = "https://shop.example/\"?a=b";
    order->payment_id = "pay-1";
    order->payment_url = "https://pay.example/1";
    order->payment_expires_at_us = now_us + 5;
    order->placed_at_us = order->changed_at_us = now_us;
    order_event_write(order, &writer);
    event.payload = writer.text;
    ck_assert_int_eq(order_event_fold(&event, arena, &folded, &problem), ERR_OK);
    ck_assert(folded.record.fingerprint == order->record.fingerprint);
    ck_assert_str_eq(folded.customer_id, order->customer_id);
    ck_assert_str_eq(folded.lines, order->lines);
    ck_assert_str_eq(folded.provider, order->provider);
    ck_assert_str_eq(folded.return_url, order->return_url);
    ck_assert_str_eq(folded.payment_id, order->payment_id);
    ck_assert_str_eq(folded.payment_url, order->payment_url);
    ck_assert_int_eq(folded.payment_expires_at_us, order->payment_expires_at_us);
    ck_assert_int_eq(folded.version, 1);
    ck_assert(folded.cancel_wanted);
    ck_assert_int_eq(order_event_fold(&event, arena, &folded, &problem), ERR_BAD_REQUEST);
    event.version = 2;
    event.payload = "{\"status\":\"PAID\"}";
    ck_assert_int_eq(order_event_fold(&event, arena, &folded, &problem), ERR_BAD_REQUEST);
    event.version = folded.version + 1;
    event.payload = "{";
    ck_assert_int_eq(order_event_fold(&event, arena, &folded, &problem), ERR_BAD_REQUEST);
    json_writer_free(&writer);
}
END_TEST

START_TEST(a_saga_starts_with_what_the_order_says)
{
    struct json_writer writer = { 0 };
    struct order *order = order_in(ORDER_PENDING, false);
    char expected[256], id[UUID_TEXT_BYTES + 1];

    order->lines = "1 pen\n20 ink\"\n";
    order_saga_input(order, &writer);
    snprintf(expected, sizeof expected,
             "{\"orderId\":\"%s\",\"customerId\":\"alice\",\"currency\":\"JPY\",\"lines\":"
             "[{\"sku\":\"pen\",\"quantity\":1},{\"sku\":\"ink\\\"\",\"quantity\":20}],"
             "\"paymentMethod\":\"wallet\"}",
             uuid_print(order->record.id, id));
    ck_assert_str_eq(writer.text, expected);
    json_writer_free(&writer);
}
END_TEST

START_TEST(a_saga_is_told_the_provider_of_an_external_order)
{
    struct json_writer writer = { 0 };
    struct order *order = order_in(ORDER_PENDING, false);

    order->payment_method = PAYMENT_EXTERNAL;
    order->provider = "sandbox";
    order_saga_input(order, &writer);
    ck_assert_ptr_nonnull(
        strstr(writer.text, "\"paymentMethod\":\"external\",\"provider\":\"sandbox\"}"));
    json_writer_reset(&writer);
    order->return_url = "https://shop.example/done";
    order_saga_input(order, &writer);
    ck_assert_ptr_nonnull(strstr(
        writer.text, ",\"provider\":\"sandbox\",\"returnUrl\":\"https://shop.example/done\"}"));
    json_writer_free(&writer);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    struct rpc_result result;
    bool is_refusal;
} answers[] = {
    { "no such definition",             { .code = WIRE_NOT_FOUND, .meaning = RPC_REFUSED }, true },
    { "a bad request",                  { .code = WIRE_INVALID_ARGUMENT, .meaning = RPC_REFUSED }, true },
    { "too old, and never known",       { .code = WIRE_FAILED_PRECONDITION, .meaning = RPC_REFUSED }, true },
    { "stored, after an unknown try",   { .code = WIRE_NOT_FOUND, .meaning = RPC_REFUSED, .was_unknown = true, .is_stored = true }, true },
    { "after an unknown try",           { .code = WIRE_NOT_FOUND, .meaning = RPC_REFUSED, .was_unknown = true }, false },
    { "a proxy's word",                 { .code = WIRE_NOT_FOUND }, false },
    { "there is such a saga",           { .code = WIRE_ALREADY_EXISTS, .meaning = RPC_REFUSED }, false },
    { "somebody else listens there",    { .code = WIRE_UNIMPLEMENTED, .meaning = RPC_NOT_DONE, .nothing_done = true }, false },
    { "its clock is wrong",             { .code = WIRE_UNAVAILABLE, .meaning = RPC_NOT_DONE, .nothing_done = true }, false },
    { "unknown",                        { .code = WIRE_UNKNOWN, .reason = "UNCERTAIN" }, false },
    { "done",                           { .code = WIRE_OK, .meaning = RPC_DONE }, false },
};
/* clang-format on */

START_TEST(only_a_definite_refusal_fails_an_order)
{
    ck_assert_msg(order_saga_is_refusal(&answers[_i].result) == answers[_i].is_refusal, "%s",
                  answers[_i].what);
}
END_TEST

int
main(void)
{
    TCase *rules = check_case("rules");

    tcase_add_checked_fixture(rules, set_up, tear_down);
    tcase_add_test(rules, every_pair_is_answered_once);
    tcase_add_test(rules, no_way_out_of_a_final_status_and_none_back);
    tcase_add_loop_test(rules, marks_decide, 0, ROWS(marks));
    tcase_add_test(rules, marks_of_an_unknown_order_are_not_found);
    tcase_add_loop_test(rules, cancels_decide, 0, ROWS(cancels));
    tcase_add_loop_test(rules, a_saga_is_asked_for_while_the_order_is_open, ORDER_PENDING,
                        ORDER_STATUS_END);
    tcase_add_loop_test(rules, a_refused_start_fails_only_a_pending_order, ORDER_PENDING,
                        ORDER_STATUS_END);
    tcase_add_test(rules, lines_come_back);
    tcase_add_test(rules, an_event_gives_its_order_back);
    tcase_add_test(rules, a_saga_starts_with_what_the_order_says);
    tcase_add_test(rules, a_saga_is_told_the_provider_of_an_external_order);
    tcase_add_loop_test(rules, only_a_definite_refusal_fails_an_order, 0, ROWS(answers));
    return check_run("order rules", rules);
}
