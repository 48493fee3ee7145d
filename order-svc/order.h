/* order.h -- Orders: the rules of their life. No I/O here.
 *
 * An order is placed by a caller and moved on by its saga: PENDING -> WAITING -> PAID | FAILED. Each
 * change is an event with the order's next version; the order's row is the projection of its events
 * (order_event.h) and the record of its Place.
 *
 * Thread    touch, decide, answer: the store thread (mesh/store/batch.h).
 * Units     *_minor minor units of the order's currency; *_us microseconds since 1970 UTC.
 */
#ifndef ORDER_H
#define ORDER_H

#include "mesh/store/event.h"
#include "mesh/store/floor.h"
#include "mesh/store/horizon.h"
#include "mesh/store/lookup.h"
#include "mesh/store/op.h"
#include "mesh/store/reader.h"

enum {
    SKU_BYTES_MAX = 64,
    LINES_MAX = 100,
    QUANTITY_MAX = 1000000,
    FLOW_BYTES_MAX = 64,
    REFERENCE_BYTES_MAX = 64,
    PROVIDER_BYTES_MAX = 32,
    RETURN_URL_BYTES_MAX = 500,
    PAYMENT_ID_BYTES_MAX = 64,
    PAYMENT_URL_BYTES_MAX = 2000,
    FAILURE_REASON_BYTES_MAX = 31,
    FAILURE_DETAIL_BYTES_MAX = 190,
    COMMENT_BYTES_MAX = 200,
    WAIT_MS_MAX = 60000,
    SCOPE_BYTES_MAX = 128,
    KEY_BYTES_MAX = 255,
    KEY_FINGERPRINT_BYTES_MAX = 64,
    LOCK_MS_MAX = 60000,
    ANSWER_BYTES_MAX = 64 * 1024,
    PAGE_BYTES_MAX = 1 << 20, /* of a List, as a message; an order with 100 lines has up to 8 KiB */
    EVENTS_LISTED_MAX = 1000, /* of one order; its life has five at most */
};
#define ORDER_SWEEP_NAME "start" /* all orders up to its floor are final */
#define FLOW_DEFAULT "order_create_saga"
#define PAYMENT_WALLET "wallet"
#define PAYMENT_EXTERNAL "external"

/* Tables in the order of loading, locking and saving. */
enum order_table { ORDER_OP, ORDER_IDEMPOTENCY, ORDER_ORDER, ORDER_FLOOR };

/* ---- the life of an order ---- */

/* The numbers are the .proto's and the database's. */
enum order_status {
    ORDER_PENDING = 1,
    ORDER_WAITING,
    ORDER_PAID,
    ORDER_FAILED,
    ORDER_STATUS_END /* one past the last */
};

enum order_event {
    ORDER_PAYMENT_ASKED,    /* stock is held, the customer may pay */
    ORDER_PAYMENT_TAKEN,    /* the money is ours */
    ORDER_PAYMENT_GIVEN_UP, /* refused, expired or cancelled; nothing is owed */
    ORDER_EVENT_COUNT
};

struct order_rule {
    enum order_status in;
    enum order_event on;
    enum order_status go_to;
    const char *because;
};

/* Every status and event has exactly one rule; the table ends with a row of zeros. */
extern const struct order_rule order_rules[];

bool order_is_final(int32_t status);
const char *order_status_name(int32_t status); /* "PENDING", as in events */

/* ---- rows ---- */

struct order {
    struct batch_record record; /* first; of Place */
    const char *customer_id;
    const char *currency;
    const char *lines; /* "quantity sku\n" each: see line_next() */
    int32_t status;
    int32_t version;
    int64_t total_minor;
    const char *failure_reason; /* "" unless FAILED */
    const char *failure_detail;
    bool cancel_wanted;
    int64_t placed_at_us;
    int64_t changed_at_us;
    const char *flow;
    const char *payment_method;
    const char *payment_reference;
    const char *provider; /* of an external payment, else "" as all below */
    const char *return_url;
    const char *payment_id; /* known once it is WAITING */
    const char *payment_url;
    int64_t payment_expires_at_us;
    /* Not stored: for whoever follows the commit. */
    const char *traceparent; /* of the request that placed it */
    bool is_cancel_news;     /* cancel_wanted became true in this batch */
    bool is_saga_wanted;     /* an operator asked for it in this batch */
};

/* A key that an HTTP request came with, and what became of the request. */
struct idempotency {
    const char *key; /* idempotency_key() */
    struct pg_bytes fingerprint;
    struct uuid order_id;
    struct uuid claimed_by; /* the Place that claimed it last */
    int64_t locked_until_us;
    int32_t http_status; /* 0: not answered yet */
    struct pg_bytes body;
    int64_t created_at_us;
};

/* The .proto's numbers. */
enum claim { CLAIM_NONE, CLAIM_MINE, CLAIM_IN_FLIGHT, CLAIM_MISMATCH, CLAIM_ANSWERED };

/* Neither part has control characters, so the two stay apart. */
const char *idempotency_key(struct arena *arena, const char *scope, const char *key);

struct line {
    char sku[SKU_BYTES_MAX + 1];
    int64_t quantity;
};

/* Reads the next line at *at and moves on; false at the end. */
bool line_next(const char **at, struct line *ret_line);
const char *lines_print(struct arena *arena, const struct line *lines, size_t count);

/* ---- ops ---- */

struct place {
    struct op op; /* op.id is the order's */
    const char *customer_id;
    const char *currency;
    const char *lines; /* as in struct order */
    const char *payment_method;
    const char *provider;   /* "" for the wallet */
    const char *return_url; /* "" as well */
    const char *flow;
    const char *key; /* of an Idempotency-Key; "" none, and nothing in the next two */
    struct pg_bytes key_fingerprint;
    int64_t lock_us;
    struct order order; /* result, as all below; of a mismatch, none */
    enum claim claim;
    int32_t http_status;
    struct pg_bytes body;
};

struct store_answer {
    struct op op;
    const char *key;
    struct uuid order_id;
    int32_t http_status;
    struct pg_bytes body;
    bool is_stored; /* result */
};

struct release_key {
    struct op op;
    const char *key;
    struct uuid claimed_by;
    bool is_free; /* result */
};

struct cancel {
    struct op op;
    struct uuid order_id;
    struct order order; /* result */
};

struct ask_saga {
    struct op op;
    struct uuid order_id;
    const char *comment;
    struct order order; /* result */
};

/* MarkWaiting, MarkPaid, MarkFailed. */
struct mark {
    struct op op;
    struct uuid order_id;
    int64_t total_minor;
    const char *currency;
    const char *payment_reference; /* "" for MarkFailed */
    const char *payment_id;        /* this and the next two: of MarkWaiting only */
    const char *payment_url;
    int64_t payment_expires_at_us;
    const char *failure_reason; /* "" but for MarkFailed */
    const char *failure_detail;
    struct order order; /* result */
};

/* Of the program itself: no saga takes this order. Texts stand inside, because the op is copied. */
struct fail_start {
    struct op op;
    struct uuid order_id;
    char reason[FAILURE_REASON_BYTES_MAX + 1];
    char detail[FAILURE_DETAIL_BYTES_MAX + 1];
};

void place_touch(const void *op, struct batch_touch *touch);
void place_decide(void *op, struct batch_rows *rows);
void place_answer(void *op, struct batch_rows *rows);
void store_answer_touch(const void *op, struct batch_touch *touch);
void store_answer_decide(void *op, struct batch_rows *rows);
void store_answer_answer(void *op, struct batch_rows *rows);
void release_key_touch(const void *op, struct batch_touch *touch);
void release_key_decide(void *op, struct batch_rows *rows);
void release_key_answer(void *op, struct batch_rows *rows);
void cancel_touch(const void *op, struct batch_touch *touch);
void cancel_decide(void *op, struct batch_rows *rows);
void cancel_answer(void *op, struct batch_rows *rows);
void ask_saga_touch(const void *op, struct batch_touch *touch);
void ask_saga_decide(void *op, struct batch_rows *rows);
void ask_saga_answer(void *op, struct batch_rows *rows);
void mark_touch(const void *op, struct batch_touch *touch);
void mark_waiting_decide(void *op, struct batch_rows *rows);
void mark_paid_decide(void *op, struct batch_rows *rows);
void mark_failed_decide(void *op, struct batch_rows *rows);
void mark_answer(void *op, struct batch_rows *rows);
void fail_start_decide(void *op, struct batch_rows *rows);

/* order_idempotency.c: claims the key of a Place, unless it is somebody's. True: place the order. */
bool idempotency_claim(struct place *place, struct batch_rows *rows);

/* What the Place reports of its key, and the id of the order it is about; NULL: of none. */
const struct uuid *idempotency_report(struct place *place, struct batch_rows *rows);

/* A key that was loaded names its order. */
void idempotency_follow(const void *row, struct batch_touch *touch);

/* ---- reads ---- */

struct get_order {
    struct op op; /* op.id is the order's */
    int32_t wait_ms;
    int32_t known_version;
    struct order order; /* result */
};

struct list_orders {
    struct op op;
    const char *customer_id; /* "" everybody's */
    struct uuid before_id;   /* nil: from the newest */
    int32_t page_size;
    const struct order *orders; /* result */
    size_t count;
    bool has_more;
};

/* Those that are not final. */
struct list_open {
    struct op op;
    struct uuid before_id; /* nil: from the newest */
    int32_t page_size;
    const struct order *orders; /* result */
    size_t count;
    struct uuid next_id; /* before_id of the next page, when has_more */
    bool has_more;
};

struct list_events {
    struct op op; /* op.id is the order's */
    int32_t after_version;
    const struct event *events; /* result */
    size_t count;
};

/* ---- the sweep's walks over orders as they were inserted (order_sweep.c) ---- */

struct sweep_position {
    int64_t floor; /* all orders up to it are final */
    int64_t last;  /* the number that was drawn last */
};

struct sweep_range {
    int64_t after, until;
    int64_t waited_us; /* what waits for a payment whose time was over before should have moved */
};

struct sweep_candidate {
    struct uuid id;
    int64_t seq;
    int64_t placed_at_us;
    bool is_last; /* of what was looked at: go on from here. It comes once more as itself if open */
    int64_t oldest; /* with is_last: seq of the first that is not final; INT64_MAX: none */
};

extern const struct batch_service order_service; /* order_store.c */
extern const struct read order_reads[];
extern const struct pg_statement *const order_statements[];
extern const struct lookup order_lookup; /* orders by id */
extern const struct pg_statement order_get, order_position, order_open, idempotency_forget;
extern const struct method order_methods[];         /* order_rpc.c */
extern const struct method order_fail_start_method; /* order.c */

#endif
