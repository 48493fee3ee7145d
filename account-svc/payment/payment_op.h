/* payment_op.h -- Ops on payments: of callers, and of the program itself; reads; rows of its own looks.
 *
 * Thread    touch, decide, answer: the store thread (mesh/store/batch.h). The rest: plain data.
 * Memory    What a row points to lives in the arena given.
 */
#ifndef PAYMENT_OP_H
#define PAYMENT_OP_H

#include "account-svc/payment/payment.h"

/* ---- ops of callers ---- */

struct create_payment {
    struct op op; /* op.id is the payment's */
    struct uuid order_id;
    const char *provider, *currency, *description, *return_url;
    int64_t amount_minor;
    int32_t expires_seconds;
};

enum hint { HINT_NONE, HINT_RETURNED, HINT_WATCHED };

/* As in the .proto. */
enum observe_outcome {
    OBSERVE_NONE,
    OBSERVE_STORED,
    OBSERVE_DUPLICATE,
    OBSERVE_IGNORED,
    OBSERVE_QUERY,
    OBSERVE_UNKNOWN_PAYMENT,
    OBSERVE_COUNT
};
const char *observe_outcome_word(enum observe_outcome outcome);

/* What these ops ask their owner (op.owner), which begins with it and outlives the last one. Where there is none,
 * as in tests, no pace is known. */
struct payment_owner {
    /* Whose pace is kept. NULL, or an answer of NULL: payment_pace. */
    const struct pace *(*pace_of)(const struct payment_owner *owner, const char *provider);
    /* Is the provider one of those that are configured? */
    bool (*is_served)(const struct payment_owner *owner, const char *provider);
};

struct observe_payment {
    struct op op;
    const char *inbox_key;  /* "provider event_id"; NULL: a hint */
    struct uuid payment_id; /* nil: it speaks of no payment of ours */
    const char *provider;   /* whose webhook it is: it speaks of that provider's payments only */
    bool is_verified;
    bool is_of_payment; /* it speaks of one, ours or not */
    enum hint hint;
    struct observation observation;
    enum observe_outcome outcome; /* result */
};

/* Abandon, Refund and Settle. */
struct undo_payment {
    struct op op;
    struct uuid payment_id;
    const char *comment; /* of Settle */
    enum claim claim;    /* result */
};

struct tell_payment {
    struct op op;
    struct uuid payment_id;
    const char *comment;
    struct uuid order_id; /* result, as the next */
    int32_t version;
};

void create_payment_touch(const void *op, struct batch_touch *touch);
void create_payment_decide(void *op, struct batch_rows *rows);
void observe_payment_touch(const void *op, struct batch_touch *touch);
void observe_payment_decide(void *op, struct batch_rows *rows);
void observe_payment_answer(void *op, struct batch_rows *rows);
void undo_payment_touch(const void *op, struct batch_touch *touch);
void abandon_payment_decide(void *op, struct batch_rows *rows);
void refund_payment_decide(void *op, struct batch_rows *rows);
void settle_payment_decide(void *op, struct batch_rows *rows);
void undo_payment_answer(void *op, struct batch_rows *rows);
void tell_payment_touch(const void *op, struct batch_touch *touch);
void tell_payment_decide(void *op, struct batch_rows *rows);
void tell_payment_answer(void *op, struct batch_rows *rows);

/* A webhook that was here before is known by its provider and event id. */
struct inbox {
    const char *key; /* "sandbox msg_1" */
    struct uuid request_id;
    struct uuid payment_id;
    int64_t received_at_us;
};

/* ---- ops of the program itself ---- */

/* Leases a payment's task for the provider thread. */
struct lease_task {
    struct op op;
    struct uuid payment_id;
    void *owner;
    enum task_kind kind; /* result; TASK_NONE: nothing is to be done */
    struct task task;
    struct payment payment;
};

struct learn_task {
    struct op op;
    struct uuid payment_id;
    void *owner;
    int32_t lease;
    enum outcome outcome;
    struct observation observation; /* its texts live until the op is answered */
};

struct give_up {
    struct op op;
    struct uuid payment_id;
};

struct signaled {
    struct op op;
    struct uuid payment_id;
    int32_t version;
    int32_t known_version; /* the highest that the saga has heard of; 0: it hears no more */
};

struct signal_due {
    struct uuid payment_id;
    int32_t version;
    int64_t due_us;
};

/* The saga has not acknowledged this version in time: it is told again, as after every COMMIT that
 * leaves a payment unsignaled. */
struct signal_again {
    struct op op;
    struct signal_due due;
};

extern const struct method payment_lease_method, payment_learn_method, payment_give_up_method,
    payment_signaled_method, payment_signal_again_method; /* payment_op.c */

/* ---- reads ---- */

struct get_payment {
    struct op op; /* op.id is the payment's */
    struct payment payment;
};

struct list_payments {
    struct op op;             /* op.id is the order's */
    struct payment *payments; /* result, oldest first */
    size_t count;
};

struct list_all {
    struct op op;
    struct uuid before_id; /* all bits set: from the newest */
    int32_t page_size;
    struct payment *payments; /* result, newest first */
    size_t count;
    bool has_more;
};

struct list_troubled {
    struct op op;             /* op.id is the last of the page before */
    int32_t page_size;        /* in the statement one more, to know whether there are more */
    struct payment *payments; /* result, oldest first */
    size_t count;
    bool has_more;
};

/* Rows of the program's own looks at the tables. */
/* program_us, here and below: the program's time, for mesh_now_us(). */
struct task_range {
    int64_t program_us;
    int32_t lane; /* given back with what is found */
    const char *provider;
    int32_t errand;
};
enum { TASKS_FOUND_MAX = 64 }; /* of each range */
struct task_found {
    int32_t lane, errand;
    struct uuid payment_id;
};
struct signal_late {
    struct uuid payment_id, order_id;
    int64_t late_us;
};
struct overdue_provider {
    const char *provider;
};

extern const struct pg_statement payment_tasks_due, payment_give_ups_due, payment_signals_due,
    payment_signals_late, payment_inbox_purge, payment_overdue_providers;
extern const struct read payment_reads[];
extern const struct pg_statement *const payment_statements[];

/* ---- tables, for account_store.c ---- */

extern const struct pg_statement payment_load, payment_locked, payment_insert, payment_update;
extern const struct pg_statement inbox_load, inbox_insert;
extern const struct pg_statement task_load, task_locked, task_insert, task_update;

/* No table of records: looking for every charge's id in it would cost each order. Create leaves an op
 * row as Abandon does. */
/* clang-format off */
#define PAYMENT_TABLE { \
    .name = "payment", .row_bytes = sizeof(struct payment), .key = BATCH_KEY_UUID, \
    .key_offset = 0, .load = &payment_load, .locked = &payment_locked, .insert = &payment_insert, \
    .update = &payment_update, \
}
#define INBOX_TABLE { \
    .name = "payment_inbox", .row_bytes = sizeof(struct inbox), .key = BATCH_KEY_TEXT, \
    .key_offset = offsetof(struct inbox, key), .load = &inbox_load, .insert = &inbox_insert, \
}
#define TASK_TABLE { \
    .name = "provider_task", .row_bytes = sizeof(struct task), .key = BATCH_KEY_UUID, \
    .key_offset = offsetof(struct task, payment_id), .load = &task_load, .locked = &task_locked, \
    .insert = &task_insert, .update = &task_update, \
}

/* All of them; for the program's list of tables. */
#define PAYMENT_TABLES \
    [PAYMENT_INBOX] = INBOX_TABLE, [PAYMENT_PAYMENT] = PAYMENT_TABLE, [PAYMENT_TASK] = TASK_TABLE
/* clang-format on */

#endif
