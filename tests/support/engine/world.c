#include "tests/support/engine/world.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static struct op *
world_op(struct world *world, const char *id)
{
    for (int i = 0; i < world->op_count; i++) {
        if (strcmp(world->ops[i].id, id) == 0)
            return &world->ops[i];
    }
    return NULL;
}

static struct op *
world_op_add(struct world *world, const char *id, const char *method, enum op_state state)
{
    struct op *op = &world->ops[world->op_count];

    if (world->op_count == WORLD_OPS_MAX - 1)
        world->violation = "more requests than a saga can need";
    else
        world->op_count++;
    memset(op, 0, sizeof *op);
    snprintf(op->id, sizeof op->id, "%s", id);
    op->method = method;
    op->state = state;
    return op;
}

struct order *
world_order(struct world *world, const char *id)
{
    for (int i = 0; i < world->order_count; i++) {
        if (strcmp(world->orders[i].id, id) == 0)
            return &world->orders[i];
    }
    return NULL;
}

static const char *
text_of(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));

    return text == NULL ? "" : text;
}

int64_t
int_of(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);

    return json_is_string(value) ? atoll(json_string_value(value)) : json_integer_value(value);
}

static void
op_refuse(struct op *op, const char *reason)
{
    op->state = OP_REFUSED;
    op->reason = reason;
}

static void
world_reserve(struct world *world, const json_t *request, int64_t now_us, struct op *op)
{
    op->amount = int_of(json_array_get(json_object_get(request, "lines"), 0), "quantity");
    snprintf(op->order_id, sizeof op->order_id, "%s", text_of(request, "reference"));
    op->until_us = now_us + int_of(request, "holdSeconds") * INT64_C(1000000);
    if (world->free < op->amount) {
        op_refuse(op, "NO_STOCK");
        return;
    }
    world->free -= op->amount;
    world->held += op->amount;
    op->state = OP_HELD;
}

static void
world_confirm(struct world *world, const json_t *request, int64_t now_us, struct op *op)
{
    struct op *hold = world_op(world, text_of(request, "holdId"));

    (void)now_us;
    if (hold == NULL || hold->state == OP_UNDONE || hold->state == OP_REFUSED) {
        op_refuse(op, "HOLD_ENDED");
        return;
    }
    if (hold->state == OP_EXPIRED && world->free < hold->amount) {
        op_refuse(op, "NO_STOCK");
        return;
    }
    if (hold->state == OP_EXPIRED)
        world->free -= hold->amount;
    else if (hold->state == OP_HELD)
        world->held -= hold->amount;
    if (hold->state != OP_CONFIRMED)
        world->sold += hold->amount;
    hold->state = OP_CONFIRMED;
}

static void
world_release(struct world *world, const json_t *request, int64_t now_us, struct op *op)
{
    struct op *hold = world_op(world, text_of(request, "holdId"));

    (void)op;
    (void)now_us;
    if (hold == NULL)
        hold = world_op_add(world, text_of(request, "holdId"), NULL, OP_UNDONE);
    if (hold->state == OP_HELD)
        world->held -= hold->amount;
    if (hold->state == OP_CONFIRMED)
        world->sold -= hold->amount;
    if (hold->state == OP_HELD || hold->state == OP_CONFIRMED)
        world->free += hold->amount;
    if (hold->state != OP_REFUSED)
        hold->state = OP_UNDONE;
}

static void
world_charge(struct world *world, const json_t *request, int64_t now_us, struct op *op)
{
    (void)now_us;
    op->amount = int_of(request, "amountMinor");
    snprintf(op->order_id, sizeof op->order_id, "%s", text_of(request, "orderId"));
    if (world->wallet < op->amount)
        op_refuse(op, "NO_FUNDS");
    else
        world->wallet -= op->amount;
}

static void
world_refund(struct world *world, const json_t *request, int64_t now_us, struct op *op)
{
    struct op *charge = world_op(world, text_of(request, "chargeId"));

    (void)op;
    (void)now_us;
    if (charge == NULL)
        charge = world_op_add(world, text_of(request, "chargeId"), NULL, OP_UNDONE);
    if (charge->state == OP_DONE) {
        world->wallet += charge->amount;
        charge->state = OP_UNDONE;
    }
}

/* Payments. A change is a new version; the simulator makes a signal of it. */

static struct payment *
world_payment(struct world *world, const char *id)
{
    for (int i = 0; i < world->payment_count; i++) {
        if (strcmp(world->payments[i].id, id) == 0)
            return &world->payments[i];
    }
    return NULL;
}

/* A refund is due exactly when it was paid and nobody takes it, and it is made once. */
static void
payment_settle(struct payment *payment)
{
    if (strcmp(payment->observed, "SUCCEEDED") == 0 && strcmp(payment->claim, "OPEN") == 0)
        payment->claim = "TAKEN";
    if (strcmp(payment->observed, "SUCCEEDED") == 0 && strcmp(payment->claim, "TAKEN") != 0 &&
        payment->refunds == 0)
        payment->refunds++;
    payment->version++;
}

static int64_t
after_seconds(int64_t now_us, int seconds)
{
    return seconds == 0 ? 0 : now_us + seconds * INT64_C(1000000);
}

static void
world_create(struct world *world, const json_t *request, int64_t now_us, struct op *op)
{
    struct payment *payment = &world->payments[world->payment_count++];

    memset(payment, 0, sizeof *payment);
    snprintf(payment->id, sizeof payment->id, "%s", op->id);
    snprintf(payment->order_id, sizeof payment->order_id, "%s", text_of(request, "orderId"));
    payment->amount = int_of(request, "amountMinor");
    payment->url_us = after_seconds(now_us, world->url_seconds);
    payment->fails_us = after_seconds(now_us, world->fails_seconds);
    payment->pays_us = after_seconds(now_us, world->pays_seconds);
    payment->expires_us = now_us + int_of(request, "expiresSeconds") * INT64_C(1000000);
    payment->observed = "CREATED";
    payment->claim = "OPEN";
    payment->version = 1;
}

static void
payment_decide(const struct world *world, struct payment *payment)
{
    payment->decided_us = 0;
    payment->is_closed = !payment->is_paid && !world->never_closes;
    if (strcmp(payment->claim, "OPEN") != 0)
        return;
    if (payment->is_paid)
        payment->observed = "SUCCEEDED";
    else
        payment->claim = "ABANDONED";
    payment_settle(payment);
}

static void
world_abandon(struct world *world, const json_t *request, int64_t now_us, struct op *op)
{
    struct payment *payment = world_payment(world, text_of(request, "paymentId"));

    (void)op;
    if (payment == NULL)
        world->violation = "a payment is abandoned that was not acknowledged";
    else if (payment->decided_us == 0)
        payment->decided_us = now_us + world->decide_seconds * INT64_C(1000000);
}

static void
world_payment_refund(struct world *world, const char *id)
{
    struct payment *payment = world_payment(world, id);

    if (payment == NULL) {
        if (world_op(world, id) == NULL)
            world_op_add(world, id, NULL, OP_UNDONE);
        return;
    }
    /* The order will not take it any more, whatever is heard later. */
    payment_decide(world, payment);
    if (strcmp(payment->claim, "TAKEN") == 0) {
        payment->claim = "RETURNED";
        payment_settle(payment);
    }
}

/* Both services have one. */
static void
world_any_refund(struct world *world, const json_t *request, int64_t now_us, struct op *op)
{
    if (json_object_get(request, "paymentId") != NULL)
        world_payment_refund(world, text_of(request, "paymentId"));
    else
        world_refund(world, request, now_us, op);
}

static bool
has_come(int64_t at_us, int64_t now_us)
{
    return at_us != 0 && at_us <= now_us;
}

static void
payment_advance(const struct world *world, struct payment *payment, int64_t now_us)
{
    if (has_come(payment->url_us, now_us)) {
        payment->url_us = 0;
        payment->has_url = true;
        payment->version++;
    }
    if (has_come(payment->fails_us, now_us)) {
        payment->fails_us = 0;
        if (strcmp(payment->observed, "SUCCEEDED") != 0) /* the greater wins */
            payment->observed = "FAILED";
        payment->version++;
    }
    if (has_come(payment->pays_us, now_us)) {
        payment->is_paid = !payment->is_closed && now_us < payment->expires_us;
        payment->seen_us =
            payment->is_paid ? after_seconds(payment->pays_us, world->seen_seconds + 1) : 0;
        payment->pays_us = 0;
    }
    if (has_come(payment->seen_us, now_us)) {
        payment->seen_us = 0;
        payment->observed = "SUCCEEDED";
        payment_settle(payment);
    }
    if (has_come(payment->decided_us, now_us))
        payment_decide(world, payment);
}

int64_t
world_payments_next_us(const struct world *world)
{
    int64_t next_us = INT64_MAX;

    for (int i = 0; i < world->payment_count; i++) {
        const struct payment *it = &world->payments[i];
        const int64_t times[] = { it->url_us, it->fails_us, it->pays_us, it->seen_us,
                                  it->decided_us };

        for (size_t n = 0; n < sizeof times / sizeof *times; n++) {
            if (times[n] != 0 && times[n] < next_us)
                next_us = times[n];
        }
    }
    return next_us;
}

json_t *
payment_payload(const struct payment *payment)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:i}", "paymentId", payment->id, "observed",
                     payment->observed, "claim", payment->claim, "url",
                     payment->has_url ? "https://pay.example/1" : "", "expiresAtUs",
                     (json_int_t)payment->expires_us, "version", payment->version);
}

static void
world_mark_waiting(struct world *world, const json_t *request, int64_t now_us, struct op *op)
{
    struct order *order = world_order(world, text_of(request, "orderId"));

    (void)now_us;
    (void)op;
    if (text_of(request, "paymentUrl")[0] == '\0' || int_of(request, "paymentExpiresAtUs") == 0)
        world->violation = "an order waits for a payment that nobody can make";
    if (order->status == ORDER_PENDING)
        order->status = ORDER_WAITING;
}

static void
world_mark_paid(struct world *world, const json_t *request, int64_t now_us, struct op *op)
{
    struct order *order = world_order(world, text_of(request, "orderId"));

    (void)now_us;
    if (order->status == ORDER_FAILED)
        op_refuse(op, "TOO_LATE");
    else
        order->status = ORDER_PAID;
}

static void
world_mark_failed(struct world *world, const json_t *request, int64_t now_us, struct op *op)
{
    struct order *order = world_order(world, text_of(request, "orderId"));

    (void)op;
    (void)now_us;
    if (order->status == ORDER_PENDING || order->status == ORDER_WAITING)
        order->status = ORDER_FAILED;
    snprintf(order->reason, sizeof order->reason, "%s", text_of(request, "reason"));
}

/* clang-format off */
static const struct {
    const char *name;
    void (*act)(struct world *, const json_t *, int64_t, struct op *);
} world_methods[] = {
    { "Reserve",    world_reserve     },
    { "Confirm",    world_confirm     },
    { "Release",    world_release     },
    { "Charge",     world_charge      },
    { "Refund",     world_any_refund  },
    { "Create",     world_create      },
    { "Abandon",    world_abandon     },
    { "MarkWaiting", world_mark_waiting },
    { "MarkPaid",   world_mark_paid   },
    { "MarkFailed", world_mark_failed },
};
/* clang-format on */

static struct world_answer
world_answer_of(const struct op *op)
{
    struct world_answer answer = { .outcome = OUTCOME_OK };

    if (op->reason != NULL || op->method == NULL) {
        answer.outcome = OUTCOME_REFUSED;
        answer.reason = op->method == NULL ? "UNDONE_BEFORE" : op->reason;
    } else if (strcmp(op->method, "Reserve") == 0) {
        answer.result = json_pack("{s:s, s:I}", "holdId", op->id, "totalMinor",
                                  (json_int_t)(op->amount * WORLD_PRICE_MINOR));
    } else {
        answer.result = json_pack("{s:s}", "transferId", op->id);
    }
    return answer;
}

struct world_answer
world_call(struct world *world, const char *method, const json_t *request, int64_t now_us)
{
    const char *id = text_of(request, "requestId");
    uint64_t fingerprint = start_fingerprint("", request);
    struct op *op = world_op(world, id);

    if (op != NULL) {
        if (op->method != NULL && op->fingerprint != fingerprint)
            world->violation = "an id was used for something else";
        return world_answer_of(op);
    }
    op = world_op_add(world, id, method, OP_DONE);
    op->fingerprint = fingerprint;
    for (size_t i = 0; i < sizeof world_methods / sizeof *world_methods; i++) {
        if (strcmp(world_methods[i].name, method) == 0)
            world_methods[i].act(world, request, now_us, op);
    }
    return world_answer_of(op);
}

void
world_expire(struct world *world, int64_t now_us)
{
    for (int i = 0; i < world->payment_count; i++)
        payment_advance(world, &world->payments[i], now_us);
    for (int i = 0; i < world->op_count; i++) {
        struct op *op = &world->ops[i];

        if (op->state != OP_HELD || op->until_us > now_us)
            continue;
        op->state = OP_EXPIRED;
        world->held -= op->amount;
        world->free += op->amount;
    }
}

/* What an order has: pieces sold or held for it, and money taken for it. */
static void
world_sums(const struct world *world, const struct order *order, int64_t *ret_sold,
           int64_t *ret_held, int64_t *ret_paid)
{
    *ret_sold = *ret_held = *ret_paid = 0;
    for (int i = 0; i < world->op_count; i++) {
        const struct op *op = &world->ops[i];

        if (op->method == NULL || strcmp(op->order_id, order->id) != 0)
            continue;
        if (op->state == OP_CONFIRMED)
            *ret_sold += op->amount;
        if (op->state == OP_HELD)
            *ret_held += op->amount;
        if (op->state == OP_DONE && strcmp(op->method, "Charge") == 0)
            *ret_paid += op->amount;
    }
}

/* Our books and the provider's agree: what was paid is taken by a PAID order, or given back once. */
static const char *
payment_check(struct world *world, const struct payment *payment)
{
    const struct order *order = world_order(world, payment->order_id);
    bool is_taken = strcmp(payment->claim, "TAKEN") == 0;

    if (strcmp(payment->claim, "OPEN") == 0)
        return "nobody decided about a payment";
    if (is_taken != (order->status == ORDER_PAID))
        return "a PAID order has no payment, or a FAILED one has";
    if (is_taken && (!payment->is_paid || payment->amount != order->quantity * WORLD_PRICE_MINOR))
        return "a payment was taken that was not made, or not right";
    if (payment->refunds != (payment->is_paid && !is_taken))
        return "not exactly what is due was refunded";
    return NULL;
}

const char *
world_check(struct world *world)
{
    int64_t all_sold = 0, all_paid = 0;

    if (world->violation != NULL)
        return world->violation;
    for (int i = 0; i < world->order_count; i++) {
        const struct order *order = &world->orders[i];
        int64_t sold, held, paid;

        world_sums(world, order, &sold, &held, &paid);
        all_sold += sold;
        all_paid += paid;
        if (order->status == ORDER_PENDING || order->status == ORDER_WAITING)
            return "an order has no end";
        if (held != 0)
            return "something is still held";
        if (order->status == ORDER_PAID &&
            (sold != order->quantity ||
             paid != (order->is_external ? 0 : order->quantity * WORLD_PRICE_MINOR)))
            return "a PAID order has not exactly its stock and its charge";
        if (order->status == ORDER_FAILED && (sold != 0 || paid != 0))
            return "a FAILED order has stock or a charge";
    }
    for (int i = 0; i < world->payment_count; i++) {
        const char *broken = payment_check(world, &world->payments[i]);

        if (broken != NULL)
            return broken;
    }
    if (world->on_hand != world->free + world->held + world->sold || world->free < 0 ||
        world->held != 0 || world->sold != all_sold)
        return "pieces do not add up";
    if (world->wallet_start != world->wallet + all_paid || world->wallet < 0)
        return "money does not add up";
    return NULL;
}
