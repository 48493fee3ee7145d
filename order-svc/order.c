#include "order-svc/order.h"
#include "order-svc/order_event.h"

#include "mesh/base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the life of an order ---- */

/* clang-format off */
const struct order_rule order_rules[] = {
    /* in              on                       go to            because */
    { ORDER_PENDING,   ORDER_PAYMENT_ASKED,     ORDER_WAITING,   "stock is held, the customer can pay" },
    { ORDER_PENDING,   ORDER_PAYMENT_TAKEN,     ORDER_PAID,      "paid at once, from the wallet" },
    { ORDER_PENDING,   ORDER_PAYMENT_GIVEN_UP,  ORDER_FAILED,    "refused before anything was asked" },

    { ORDER_WAITING,   ORDER_PAYMENT_ASKED,     ORDER_WAITING,   "told twice" },
    { ORDER_WAITING,   ORDER_PAYMENT_TAKEN,     ORDER_PAID,      "the payment arrived" },
    { ORDER_WAITING,   ORDER_PAYMENT_GIVEN_UP,  ORDER_FAILED,    "the payment will not come" },

    { ORDER_PAID,      ORDER_PAYMENT_ASKED,     ORDER_PAID,      "old news" },
    { ORDER_PAID,      ORDER_PAYMENT_TAKEN,     ORDER_PAID,      "told twice" },
    { ORDER_PAID,      ORDER_PAYMENT_GIVEN_UP,  ORDER_PAID,      "a late failure does not unpay an order" },

    { ORDER_FAILED,    ORDER_PAYMENT_ASKED,     ORDER_FAILED,    "old news" },
    { ORDER_FAILED,    ORDER_PAYMENT_TAKEN,     ORDER_FAILED,    "too late: it was given up, and undone" },
    { ORDER_FAILED,    ORDER_PAYMENT_GIVEN_UP,  ORDER_FAILED,    "told twice" },
    { 0 },
};

static const struct {
    const char *name;
    const char *event; /* the news of getting there */
    bool is_final;
} statuses[ORDER_STATUS_END] = {
    [ORDER_PENDING] = { "PENDING",         "order.placed",  false },
    [ORDER_WAITING] = { "WAITING_PAYMENT", "order.waiting", false },
    [ORDER_PAID]    = { "PAID",            "order.paid",    true  },
    [ORDER_FAILED]  = { "FAILED",          "order.failed",  true  },
};
/* clang-format on */

static const struct order_rule *
rule_find(enum order_status in, enum order_event on)
{
    for (const struct order_rule *rule = order_rules; rule->because != NULL; rule++) {
        if (rule->in == in && rule->on == on)
            return rule;
    }
    abort(); /* every pair is answered: tests/unit/test_order_rules.c */
}

bool
order_is_final(int32_t status)
{
    assert(status >= ORDER_PENDING && status < ORDER_STATUS_END);
    return statuses[status].is_final;
}

const char *
order_status_name(int32_t status)
{
    assert(status >= ORDER_PENDING && status < ORDER_STATUS_END);
    return statuses[status].name;
}

/* ---- lines: kept with the order as text, so that an order is one row ---- */

enum { LINE_TEXT_BYTES_MAX = SKU_BYTES_MAX + 20 + 2 };

bool
line_next(const char **at, struct line *ret_line)
{
    int used = 0;

    if (**at == '\0')
        return false;
    /* Written by lines_print() below; anything else is a damaged row. */
    if (sscanf(*at, "%" SCNd64 " %64s%n", &ret_line->quantity, ret_line->sku, &used) != 2)
        abort();
    *at += used;
    assert(**at == '\n');
    (*at)++;
    return true;
}

const char *
lines_print(struct arena *arena, const struct line *lines, size_t count)
{
    char *text = arena_take(arena, count * LINE_TEXT_BYTES_MAX + 1), *at = text;

    for (size_t i = 0; i < count; i++)
        at += sprintf(at, "%" PRId64 " %s\n", lines[i].quantity, lines[i].sku);
    return text;
}

/* ---- changes ---- */

/* The order is as it shall be but for its version: gives it the next one, and says so in an event. */
static void
order_news(struct order *order, const char *type, const struct op *op, struct batch_rows *rows)
{
    struct json_writer writer = { 0 };
    struct event event = { .aggregatetype = "order",
                           .aggregateid = order->record.id,
                           .version = ++order->version,
                           .type = type,
                           .time_us = op->now_us,
                           .traceparent = op->traceparent };

    order->changed_at_us = op->now_us;
    if (event.traceparent[0] == '\0') /* an op of the program's own */
        event.traceparent = order->traceparent;
    order_event_write(order, &writer);
    event.payload = writer.text;
    batch_event(rows, &event);
    json_writer_free(&writer);
}

/* The one place where an order's status changes. False when it stays where it is. */
static bool
order_move(struct order *order, enum order_event on)
{
    const struct order_rule *rule = rule_find((enum order_status)order->status, on);
    char id[UUID_TEXT_BYTES + 1];

    if (rule->go_to == rule->in)
        return false;
    assert(!order_is_final(order->status));
    order->status = (int32_t)rule->go_to;
    log_debug("order=%s from=%s to=%s because=\"%s\"", uuid_print(order->record.id, id),
              order_status_name((int32_t)rule->in), order_status_name(order->status),
              rule->because);
    return true;
}

/* ---- Place ---- */

void
place_touch(const void *op, struct batch_touch *touch)
{
    const struct place *place = op;

    if (place->key[0] != '\0')
        batch_touch_text(touch, ORDER_IDEMPOTENCY, place->key);
}

void
place_decide(void *op, struct batch_rows *rows)
{
    struct place *place = op;
    struct order *order;

    if (place->key[0] != '\0' && !idempotency_claim(place, rows))
        return; /* no record: asked again, it is told what the key has come to by then */
    order = batch_add_uuid(rows, ORDER_ORDER, place->op.id);
    batch_record_fill(rows, &order->record, &place->op);
    order->customer_id = batch_keep(rows, place->customer_id);
    order->currency = batch_keep(rows, place->currency);
    order->lines = batch_keep(rows, place->lines);
    order->status = ORDER_PENDING;
    order->failure_reason = order->failure_detail = "";
    order->placed_at_us = place->op.now_us;
    order->flow = batch_keep(rows, place->flow);
    order->payment_method = batch_keep(rows, place->payment_method);
    order->payment_reference = order->payment_id = order->payment_url = "";
    order->provider = batch_keep(rows, place->provider);
    order->return_url = batch_keep(rows, place->return_url);
    order->traceparent = batch_keep(rows, place->op.traceparent);
    order_news(order, statuses[ORDER_PENDING].event, &place->op, rows);
}

void
place_answer(void *op, struct batch_rows *rows)
{
    struct place *place = op;
    const struct uuid *id = idempotency_report(place, rows);

    if (id != NULL)
        place->order = *(struct order *)batch_find_uuid(rows, ORDER_ORDER, *id);
}

/* ---- Cancel ---- */

static enum error
refuse_unknown(struct problem *problem)
{
    return problem_set(problem, ERR_NOT_FOUND, "order_id", "there is no such order");
}

void
cancel_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, ORDER_ORDER, ((const struct cancel *)op)->order_id);
}

/* Writes the wish. The outcome is the status, which the saga sets. */
void
cancel_decide(void *op, struct batch_rows *rows)
{
    struct cancel *cancel = op;
    struct order *order = batch_find_uuid(rows, ORDER_ORDER, cancel->order_id);

    if (order == NULL) {
        refuse_unknown(&cancel->op.problem);
    } else if (order_is_final(order->status)) {
        problem_set(&cancel->op.problem, ERR_TOO_LATE, "order_id", "this order is %s",
                    order_status_name(order->status));
    } else if (!order->cancel_wanted) {
        order->cancel_wanted = order->is_cancel_news = true;
        order_news(order, "order.cancel-requested", &cancel->op, rows);
        batch_changed(rows, order);
    }
    op_record(rows, &cancel->op, "Cancel");
}

void
cancel_answer(void *op, struct batch_rows *rows)
{
    struct cancel *cancel = op;

    cancel->order = *(struct order *)batch_find_uuid(rows, ORDER_ORDER, cancel->order_id);
}

/* ---- AskSaga ---- */

void
ask_saga_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, ORDER_ORDER, ((const struct ask_saga *)op)->order_id);
}

/* The order stays as it is; its row counts as changed so that the commit is followed by a Start. */
void
ask_saga_decide(void *op, struct batch_rows *rows)
{
    struct ask_saga *ask = op;
    struct order *order = batch_find_uuid(rows, ORDER_ORDER, ask->order_id);
    char id[UUID_TEXT_BYTES + 1];

    if (order == NULL) {
        refuse_unknown(&ask->op.problem);
    } else if (order_is_final(order->status)) {
        problem_set(&ask->op.problem, ERR_TOO_LATE, "order_id", "this order is %s",
                    order_status_name(order->status));
    } else {
        log_warn("order=%s saga=asked comment=\"%s\"", uuid_print(ask->order_id, id), ask->comment);
        order->is_saga_wanted = true;
        batch_changed(rows, order);
    }
    op_record(rows, &ask->op, "AskSaga");
}

void
ask_saga_answer(void *op, struct batch_rows *rows)
{
    struct ask_saga *ask = op;

    ask->order = *(struct order *)batch_find_uuid(rows, ORDER_ORDER, ask->order_id);
}

/* ---- what sagas call ---- */

void
mark_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, ORDER_ORDER, ((const struct mark *)op)->order_id);
}

/* The order the mark is for, unless it is refused before the table of transitions is asked. */
static struct order *
mark_find(struct mark *mark, struct batch_rows *rows)
{
    struct order *order = batch_find_uuid(rows, ORDER_ORDER, mark->order_id);

    if (order == NULL) {
        refuse_unknown(&mark->op.problem);
        return NULL;
    }
    return order;
}

static bool
mark_currency_is_fine(struct mark *mark, const struct order *order)
{
    if (strcmp(mark->currency, order->currency) == 0)
        return true;
    problem_refuse(&mark->op.problem, "CURRENCY_MISMATCH", "currency",
                   "the order is in %s, not in %s", order->currency, mark->currency);
    return false;
}

static void
mark_save(struct mark *mark, struct order *order, struct batch_rows *rows)
{
    order->payment_reference = batch_keep(rows, mark->payment_reference);
    order->total_minor = mark->total_minor;
    order_news(order, statuses[order->status].event, &mark->op, rows);
    batch_changed(rows, order);
}

void
mark_waiting_decide(void *op, struct batch_rows *rows)
{
    struct mark *mark = op;
    struct order *order = mark_find(mark, rows);

    if (order != NULL && mark_currency_is_fine(mark, order) &&
        order_move(order, ORDER_PAYMENT_ASKED)) {
        order->payment_id = batch_keep(rows, mark->payment_id);
        order->payment_url = batch_keep(rows, mark->payment_url);
        order->payment_expires_at_us = mark->payment_expires_at_us;
        mark_save(mark, order, rows);
    }
    op_record(rows, &mark->op, "MarkWaiting");
}

void
mark_paid_decide(void *op, struct batch_rows *rows)
{
    struct mark *mark = op;
    struct order *order = mark_find(mark, rows);

    if (order != NULL && mark_currency_is_fine(mark, order)) {
        if (order_move(order, ORDER_PAYMENT_TAKEN))
            mark_save(mark, order, rows);
        else if (order->status != ORDER_PAID)
            problem_set(&mark->op.problem, ERR_TOO_LATE, "order_id", "this order is %s: %s",
                        order_status_name(order->status), order->failure_reason);
    }
    op_record(rows, &mark->op, "MarkPaid");
}

/* Moves the order to FAILED, if it can still fail. */
static void
order_fail(struct order *order, const char *reason, const char *detail, const struct op *op,
           struct batch_rows *rows)
{
    if (!order_move(order, ORDER_PAYMENT_GIVEN_UP))
        return;
    order->failure_reason = batch_keep(rows, reason);
    order->failure_detail = batch_keep(rows, detail);
    order_news(order, statuses[order->status].event, op, rows);
    batch_changed(rows, order);
}

/* An undo is not refused for what it says: a total in another currency is left out. */
void
mark_failed_decide(void *op, struct batch_rows *rows)
{
    struct mark *mark = op;
    struct order *order = mark_find(mark, rows);

    if (order != NULL) {
        if (!order_is_final(order->status) && strcmp(mark->currency, order->currency) == 0)
            order->total_minor = mark->total_minor;
        order_fail(order, mark->failure_reason, mark->failure_detail, &mark->op, rows);
    }
    op_record(rows, &mark->op, "MarkFailed");
}

void
mark_answer(void *op, struct batch_rows *rows)
{
    struct mark *mark = op;

    mark->order = *(struct order *)batch_find_uuid(rows, ORDER_ORDER, mark->order_id);
}

/* ---- of the program itself: they leave no record, doing them again changes nothing ---- */

static void
fail_start_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, ORDER_ORDER, ((const struct fail_start *)op)->order_id);
}

/* Only a PENDING order can be without a saga: anything else was set by one. */
void
fail_start_decide(void *op, struct batch_rows *rows)
{
    struct fail_start *fail = op;
    struct order *order = batch_find_uuid(rows, ORDER_ORDER, fail->order_id);

    if (order != NULL && order->status == ORDER_PENDING)
        order_fail(order, fail->reason, fail->detail, &fail->op, rows);
}

const struct method order_fail_start_method = {
    .name = "FailStart",
    .op_bytes = sizeof(struct fail_start),
    .touch = fail_start_touch,
    .decide = fail_start_decide,
};
