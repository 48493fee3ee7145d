/* ledger_hold.h -- Money reserved for a transfer to come: held, then posted in full or part, voided, or
 * expired. No I/O here.
 *
 * What is held stays in its account's balance and cannot be spent otherwise. It is reserved on the debit
 * side; the credit side is looked at when it is posted. A hold is expired when the sweep says so, not by
 * a clock in between; posting one that expired tries to have the money again. The record of HoldFunds and
 * VoidHold is in the table of ops, that of an accepted PostHold is the transfer it makes.
 *
 * Thread    touch, decide, answer: the store thread.
 * Units     As in ledger.h.
 */
#ifndef LEDGER_HOLD_H
#define LEDGER_HOLD_H

#include "account-svc/ledger/ledger.h"

enum { FUNDS_SECONDS_MAX = 30 * 86400 };

/* As in the ledger_hold table and in the .proto. */
enum funds_state { FUNDS_NONE, FUNDS_HELD, FUNDS_POSTED, FUNDS_VOIDED, FUNDS_EXPIRED };

struct funds {
    struct uuid id;
    int32_t state;                      /* enum funds_state */
    const char *debit_key, *credit_key; /* "" of a tombstone */
    int64_t amount_minor, posted_minor;
    struct uuid posted_by; /* the transfer; nil until it is posted */
    const char *reference;
    int64_t until_us;
};

struct hold_funds {
    struct move move; /* op.id is the hold's */
    int32_t hold_seconds;
    int64_t until_us; /* result */
};

/* PostHold and VoidHold. */
struct end_funds {
    struct op op;
    struct uuid hold_id;
    int64_t amount_minor; /* PostHold; 0: all of it */
    struct funds funds;   /* result */
};

/* Of the program itself: ends a hold whose time is over. */
struct expire_funds {
    struct op op;
    struct uuid hold_id;
};

struct get_funds {
    struct op op; /* op.id is the hold's */
    struct funds funds;
};

void hold_funds_touch(const void *op, struct batch_touch *touch);
void hold_funds_decide(void *op, struct batch_rows *rows);
void hold_funds_answer(void *op, struct batch_rows *rows);
void end_funds_touch(const void *op, struct batch_touch *touch);
void post_funds_decide(void *op, struct batch_rows *rows);
void void_funds_decide(void *op, struct batch_rows *rows);
void end_funds_answer(void *op, struct batch_rows *rows);

/* A hold that was loaded names its accounts. */
void funds_follow(const void *row, struct batch_touch *touch);

extern const struct method ledger_expire_method;

/* The ids of holds that are due to expire, by the database's clock. */
extern const struct pg_statement funds_due;

extern const struct pg_statement funds_load, funds_locked, funds_insert, funds_update;

/* clang-format off */
#define FUNDS_TABLE { \
    .name = "ledger_hold", .row_bytes = sizeof(struct funds), .key = BATCH_KEY_UUID, \
    .key_offset = offsetof(struct funds, id), .load = &funds_load, .locked = &funds_locked, .insert = &funds_insert, \
    .update = &funds_update, .follow = funds_follow, \
}

/* All of them; for a program's list of tables. */
#define LEDGER_TABLES \
    [LEDGER_TRANSFER] = TRANSFER_TABLE, [LEDGER_HOLD] = FUNDS_TABLE, [LEDGER_ACCOUNT] = ACCOUNT_TABLE
/* clang-format on */

#endif
