/* engine_world.h -- Storage, ledger and orders as the simulator knows them: idempotent by request id,
 * with holds and tombstones, and nothing else of the real ones.
 *
 * Everything is static: each test is a program of one file.
 */
#ifndef TESTS_UNIT_ENGINE_WORLD_H
#define TESTS_UNIT_ENGINE_WORLD_H

#include "saga/engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORLD_OPS_MAX = 1024, WORLD_ORDERS_MAX = 3, WORLD_PRICE_MINOR = 100 };

enum op_state {
    OP_REFUSED,
    OP_DONE,
    OP_HELD,
    OP_CONFIRMED,
    OP_UNDONE, /* released or refunded; also the tombstone of what never arrived */
    OP_EXPIRED,
};

/* One request that was answered, or the tombstone of one that was not. */
struct op {
    char id[UUID_TEXT_BYTES + 1];
    const char *method; /* NULL: a tombstone */
    char order_id[UUID_TEXT_BYTES + 1];
    uint64_t fingerprint;
    enum op_state state;
    const char *reason;
    int64_t amount; /* pieces or money */
    int64_t until_us;
};

enum order_status { ORDER_PENDING, ORDER_PAID, ORDER_FAILED };

struct order {
    char id[UUID_TEXT_BYTES + 1];
    int64_t quantity;
    enum order_status status;
    char reason[64];
};

struct world {
    int64_t on_hand, free, held, sold;
    int64_t wallet_start, wallet; /* one wallet, shared by all orders */
    struct order orders[WORLD_ORDERS_MAX];
    int order_count;
    struct op ops[WORLD_OPS_MAX];
    int op_count;
    const char *violation; /* what must never happen and did */
};

struct world_answer {
    enum outcome outcome;
    json_t *result;
    const char *reason;
};

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

static struct order *
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

/* Numbers are numbers or texts, as in proto3 JSON. */
static int64_t
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
    if (order->status == ORDER_PENDING)
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
    { "Refund",     world_refund      },
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
        answer.result = json_pack("{s:s, s:o}", "holdId", op->id, "totalMinor",
                                  json_sprintf("%lld", (long long)op->amount * WORLD_PRICE_MINOR));
    } else {
        answer.result = json_pack("{s:s}", "transferId", op->id);
    }
    return answer;
}

/* A request arrives, for the first time or again. */
static struct world_answer
world_call(struct world *world, const char *method, const json_t *request, int64_t now_us)
{
    const char *id = text_of(request, "requestId");
    uint64_t fingerprint = input_fingerprint(request);
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

/* The sweep: what is held past its time is free again. */
static void
world_expire(struct world *world, int64_t now_us)
{
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

/* NULL, or which promise is broken. */
static const char *
world_check(const struct world *world)
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
        if (order->status == ORDER_PENDING)
            return "an order has no end";
        if (held != 0)
            return "something is still held";
        if (order->status == ORDER_PAID &&
            (sold != order->quantity || paid != order->quantity * WORLD_PRICE_MINOR))
            return "a PAID order has not exactly its stock and its charge";
        if (order->status == ORDER_FAILED && (sold != 0 || paid != 0))
            return "a FAILED order has stock or a charge";
    }
    if (world->on_hand != world->free + world->held + world->sold || world->free < 0 ||
        world->held != 0 || world->sold != all_sold)
        return "pieces do not add up";
    if (world->wallet_start != world->wallet + all_paid || world->wallet < 0)
        return "money does not add up";
    return NULL;
}

#endif
