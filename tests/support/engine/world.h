/* world.h -- Storage, ledger, payments and orders as the simulator knows them: idempotent by
 * request id, with holds and tombstones, and nothing else of the real ones.
 */
#ifndef TESTS_SUPPORT_ENGINE_WORLD_H
#define TESTS_SUPPORT_ENGINE_WORLD_H

#include "saga/engine/engine.h"

#include <stdlib.h>

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

enum order_status { ORDER_PENDING, ORDER_WAITING, ORDER_PAID, ORDER_FAILED };

/* A payment at a provider: what will happen to it there, and the registers that we have of it. */
struct payment {
    char id[UUID_TEXT_BYTES + 1], order_id[UUID_TEXT_BYTES + 1];
    int64_t amount;
    int64_t url_us, fails_us, pays_us; /* at the provider; 0: never */
    int64_t seen_us;                   /* what it paid is heard of, at the latest by a query */
    int64_t expires_us, decided_us;    /* decided: when Abandon ends; 0: not asked for */
    const char *observed, *claim;
    bool has_url, is_paid, is_closed; /* at the provider */
    int refunds, version;
};

struct order {
    char id[UUID_TEXT_BYTES + 1];
    int64_t quantity;
    bool is_external;
    enum order_status status;
    char reason[64];
};

struct world {
    int64_t on_hand, free, held, sold;
    int64_t wallet_start, wallet; /* one wallet, shared by all orders */
    struct order orders[WORLD_ORDERS_MAX];
    int order_count;
    struct payment payments[WORLD_ORDERS_MAX];
    int payment_count;
    /* What a provider will do, drawn by the simulator: seconds after Create; 0: never. */
    int url_seconds, fails_seconds, pays_seconds, seen_seconds, decide_seconds;
    bool never_closes; /* what is abandoned can be paid all the same */
    struct op ops[WORLD_OPS_MAX];
    int op_count;
    const char *violation; /* what must never happen and did */
};

struct world_answer {
    enum outcome outcome;
    json_t *result;
    const char *reason;
};

struct order *world_order(struct world *world, const char *id);

/* Numbers are numbers or texts, as in proto3 JSON. */
int64_t int_of(const json_t *json, const char *key);

/* Payments. A change is a new version; the simulator makes a signal of it. */

/* The next time that something happens at the provider; INT64_MAX: never. */
int64_t world_payments_next_us(const struct world *world);

json_t *payment_payload(const struct payment *payment);

/* A request arrives, for the first time or again. */
struct world_answer world_call(struct world *world, const char *method, const json_t *request,
                               int64_t now_us);

/* The sweep: what is held past its time is free again; and what happens at the provider. */
void world_expire(struct world *world, int64_t now_us);

/* NULL, or which promise is broken. */
const char *world_check(struct world *world);

#endif
