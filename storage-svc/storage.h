/* storage.h -- What there is to sell, and holds on it: the rules. No I/O here.
 *
 * A product's pieces are on_hand = free + held + sold, at every commit. A hold has the caller's id and
 * three ends: HELD -> CONFIRMED | RELEASED | EXPIRED. Undoing what never arrived leaves a tombstone.
 *
 * Thread    touch, decide, answer: the store thread (mesh/store/batch.h).
 * Units     *_minor minor units of the product's currency; *_us microseconds since 1970 UTC.
 */
#ifndef STORAGE_H
#define STORAGE_H

#include "mesh/keeper.h"
#include "mesh/store/op.h"
#include "mesh/store/reader.h"

enum {
    SKU_BYTES_MAX = 64,
    REFERENCE_BYTES_MAX = 64,
    LINES_MAX = 100,
    QUANTITY_MAX = 1000000,
    RESTOCK_MAX = 1000000000,
    HOLD_SECONDS_MAX = 7 * 24 * 3600,
    CURRENCY_BYTES = 3,
};
#define PRICE_MINOR_MAX INT64_C(1000000000000)
#define TOTAL_MINOR_MAX INT64_C(1000000000000000) /* what the ledger and payments take */
#define ON_HAND_MAX INT64_C(1000000000000000)

/* Tables in the order of loading, locking and saving. */
enum storage_table { STORAGE_OP, STORAGE_HOLD, STORAGE_PRODUCT, STORAGE_FLOOR };

struct product {
    const char *sku;
    const char *currency;
    int64_t unit_price_minor;
    int64_t on_hand, free, held, sold;
};

/* As in the .proto; REFUSED is the record of a Reserve that was refused. */
enum hold_state { HOLD_REFUSED, HOLD_HELD, HOLD_CONFIRMED, HOLD_RELEASED, HOLD_EXPIRED };

struct hold {
    struct batch_record record; /* first */
    int32_t state;
    const char *reference;
    const char *lines; /* "quantity price sku\n" each: see line_next() */
    const char *currency;
    int64_t total_minor;
    int64_t until_us;
};

struct line {
    char sku[SKU_BYTES_MAX + 1];
    int64_t quantity;
    int64_t unit_price_minor; /* 0 in a request */
};

/* Reads the next line at *at and moves on; false at the end. */
bool line_next(const char **at, struct line *ret_line);

/* ---- ops ---- */

struct put_product {
    struct op op;
    const char *sku;
    const char *currency;
    int64_t unit_price_minor;
    struct product product; /* result */
};

struct restock {
    struct op op;
    const char *sku;
    int64_t quantity;
    struct product product; /* result */
};

struct reserve {
    struct op op;
    const char *reference;
    const char *currency; /* "" any */
    struct line *lines;
    size_t line_count;
    int64_t hold_seconds;
    struct hold hold; /* result */
};

struct confirm {
    struct op op;
    struct uuid hold_id;
};

struct release {
    struct op op;
    struct uuid hold_id;
};

struct extend {
    struct op op;
    struct uuid hold_id;
    int64_t until_us;
    struct hold hold; /* result */
};

/* Of the program itself: ends a hold whose time is over. */
struct expire {
    struct op op;
    struct uuid hold_id;
};

void put_product_touch(const void *op, struct batch_touch *touch);
void put_product_decide(void *op, struct batch_rows *rows);
void put_product_answer(void *op, struct batch_rows *rows);
void restock_touch(const void *op, struct batch_touch *touch);
void restock_decide(void *op, struct batch_rows *rows);
void restock_answer(void *op, struct batch_rows *rows);
void reserve_touch(const void *op, struct batch_touch *touch);
void reserve_decide(void *op, struct batch_rows *rows);
void reserve_answer(void *op, struct batch_rows *rows);
void confirm_touch(const void *op, struct batch_touch *touch);
void confirm_decide(void *op, struct batch_rows *rows);
void release_touch(const void *op, struct batch_touch *touch);
void release_decide(void *op, struct batch_rows *rows);
void extend_touch(const void *op, struct batch_touch *touch);
void extend_decide(void *op, struct batch_rows *rows);
void extend_answer(void *op, struct batch_rows *rows);

/* A hold that was loaded names the products of its lines. */
void hold_follow(const void *row, struct batch_touch *touch);

/* ---- reads ---- */

struct get_product {
    struct op op;
    const char *sku;
    struct product product; /* result */
};

struct list_products {
    struct op op;
    const char *after_sku; /* "" from the start */
    int32_t page_size;
    struct product *products; /* result */
    size_t count;
    bool has_more;
};

/* A row that a list looked at. */
struct hold_line {
    struct uuid id;
    int32_t state;
    const char *reference;
    const char *currency;
    int64_t total_minor;
    int64_t until_us;
};

struct list_holds {
    struct op op;
    struct uuid before_id; /* all bits set: from the newest */
    int32_t page_size;
    const struct hold_line *holds; /* result: all that were looked at */
    size_t count;
    bool has_more;
};

struct get_hold {
    struct op op;     /* op.id is the hold's */
    struct hold hold; /* result */
};

extern const struct batch_service storage_service; /* storage_store.c */
extern const struct read storage_reads[];
extern const struct pg_statement *const storage_statements[];
extern const struct keeper_task storage_tasks[];
extern const struct method storage_methods[];     /* storage_rpc.c */
extern const struct method storage_expire_method; /* storage.c */

#endif
