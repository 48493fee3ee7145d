/* storage_store.c -- Rows of storage's tables to structs and back: all of its SQL.
 *
 * The batch loads, locks and saves by the table of tables; the read thread answers by storage_reads; the keeper
 * goes by storage_tasks. A hold is looked up by its id alone, whose time says in which weekly partition it is.
 */
#include "mesh/base/clock.h"
#include "mesh/store/lookup.h"
#include "mesh/store/page.h"
#include "storage-svc/storage.h"

static const struct pg_column key_uuid[] = { { "id", PG_UUID, 0 }, { 0 } };
static const struct pg_column key_text[] = { { "key", PG_TEXT, 0 }, { 0 } };

/* ---- product ---- */

static const struct pg_column product_columns[] = {
    PG_COLUMN(struct product, sku, PG_TEXT),
    PG_COLUMN(struct product, currency, PG_TEXT),
    PG_COLUMN(struct product, unit_price_minor, PG_INT8),
    PG_COLUMN(struct product, on_hand, PG_INT8),
    PG_COLUMN(struct product, free, PG_INT8),
    PG_COLUMN(struct product, held, PG_INT8),
    PG_COLUMN(struct product, sold, PG_INT8),
    { 0 },
};
#define PRODUCT_COLUMNS "sku, currency, unit_price_minor, on_hand, free, held, sold"
#define PRODUCT_ARRAYS                                                                             \
    "unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],"       \
    " $7::bigint[])"

static const struct pg_statement product_load = {
    .name = "product_load",
    .sql = "SELECT " PRODUCT_COLUMNS " FROM product WHERE sku = ANY($1::text[])"
           " ORDER BY sku FOR UPDATE",
    .in = key_text,
    .out = product_columns,
    .out_bytes = sizeof(struct product),
};

static BATCH_LOCKED(product_locked, "product", "sku", TEXT);

static const struct pg_statement product_insert = {
    .name = "product_insert",
    .sql = "INSERT INTO product (" PRODUCT_COLUMNS ") SELECT * FROM " PRODUCT_ARRAYS
           " ON CONFLICT DO NOTHING",
    .in = product_columns,
};

static const struct pg_statement product_update = {
    .name = "product_update",
    .sql = "UPDATE product p SET unit_price_minor = u.unit_price_minor, on_hand = u.on_hand,"
           " free = u.free, held = u.held, sold = u.sold"
           " FROM " PRODUCT_ARRAYS " AS u(" PRODUCT_COLUMNS ") WHERE p.sku = u.sku",
    .in = product_columns,
};

/* ---- hold ---- */

static const struct pg_column hold_columns[] = {
    PG_COLUMN(struct hold, record.id, PG_UUID),
    PG_COLUMN(struct hold, record.fingerprint, PG_INT8),
    PG_COLUMN(struct hold, record.reason, PG_TEXT),
    PG_COLUMN(struct hold, record.detail, PG_TEXT),
    PG_COLUMN(struct hold, state, PG_INT4),
    PG_COLUMN(struct hold, reference, PG_TEXT),
    PG_COLUMN(struct hold, lines, PG_TEXT),
    PG_COLUMN(struct hold, currency, PG_TEXT),
    PG_COLUMN(struct hold, total_minor, PG_INT8),
    PG_COLUMN(struct hold, until_us, PG_INT8),
    { 0 },
};
#define HOLD_COLUMNS                                                                               \
    "id, fingerprint, reason, detail, state, reference, lines, currency, total_minor, until_us"
#define HOLD_COLUMNS_H                                                                             \
    "h.id, h.fingerprint, h.reason, h.detail, h.state, h.reference, h.lines, h.currency,"          \
    " h.total_minor, h.until_us"

/* The join prunes partitions by each id's own time; = ANY would look into all of them. */
static const struct pg_statement hold_load = {
    .name = "hold_load",
    .sql = "SELECT " HOLD_COLUMNS_H " FROM unnest($1::uuid[]) AS k(id) JOIN hold h ON h.id = k.id"
           " ORDER BY h.id FOR UPDATE OF h",
    .in = key_uuid,
    .out = hold_columns,
    .out_bytes = sizeof(struct hold),
};

static BATCH_LOCKED(hold_locked, "hold", "id", UUID);

static const struct pg_statement hold_insert = {
    .name = "hold_insert",
    .sql = "INSERT INTO hold (" HOLD_COLUMNS ") SELECT * FROM unnest($1::uuid[], $2::bigint[],"
           " $3::text[], $4::text[], $5::int[], $6::text[], $7::text[], $8::text[], $9::bigint[],"
           " $10::bigint[]) ON CONFLICT DO NOTHING",
    .in = hold_columns,
};

static const struct pg_column hold_update_columns[] = {
    PG_COLUMN(struct hold, record.id, PG_UUID),
    PG_COLUMN(struct hold, state, PG_INT4),
    PG_COLUMN(struct hold, until_us, PG_INT8),
    { 0 },
};

/* HOT as long as until_us is what it was: PostgreSQL compares values, not columns named. */
static const struct pg_statement hold_update = {
    .name = "hold_update",
    .sql = "UPDATE hold h SET state = u.state, until_us = u.until_us"
           " FROM unnest($1::uuid[], $2::int[], $3::bigint[]) AS u(id, state, until_us)"
           " WHERE h.id = u.id",
    .in = hold_update_columns,
};

/* ---- the service's tables, in the order of loading, locking and saving ---- */

static const struct batch_table tables[] = {
    [STORAGE_OP] = OP_TABLE,
    [STORAGE_HOLD] = { .name = "hold",
                       .row_bytes = sizeof(struct hold),
                       .key = BATCH_KEY_UUID,
                       .key_offset = 0,
                       .load = &hold_load,
                       .locked = &hold_locked,
                       .insert = &hold_insert,
                       .update = &hold_update,
                       .is_record = true,
                       .follow = hold_follow },
    [STORAGE_PRODUCT] = { .name = "product",
                          .row_bytes = sizeof(struct product),
                          .key = BATCH_KEY_TEXT,
                          .key_offset = offsetof(struct product, sku),
                          .load = &product_load,
                          .locked = &product_locked,
                          .insert = &product_insert,
                          .update = &product_update },
    [STORAGE_FLOOR] = FLOOR_TABLE,
};

const struct batch_service storage_service = {
    .name = "storage-svc",
    .tables = tables,
    .table_count = sizeof tables / sizeof *tables,
};

/* ---- reads ---- */

static const struct pg_statement product_get = {
    .name = "product_get",
    .sql = "SELECT " PRODUCT_COLUMNS " FROM product WHERE sku = ANY($1::text[])",
    .in = key_text,
    .out = product_columns,
    .out_bytes = sizeof(struct product),
};

static const struct lookup get_product_lookup = {
    .statement = &product_get,
    .key = BATCH_KEY_TEXT,
    .op_key_offset = offsetof(struct get_product, sku),
    .row_key_offset = offsetof(struct product, sku),
    .result_offset = offsetof(struct get_product, product),
    .field = "sku",
    .noun = "product",
};

static const struct pg_column page_columns[] = {
    PG_COLUMN(struct list_products, after_sku, PG_TEXT),
    PG_COLUMN(struct list_products, page_size, PG_INT4),
    { 0 },
};

static const struct pg_statement product_page = {
    .name = "product_page",
    .sql = "SELECT " PRODUCT_COLUMNS " FROM product WHERE sku > $1 ORDER BY sku LIMIT $2::int + 1",
    .in = page_columns,
    .is_single = true,
    .out = product_columns,
    .out_bytes = sizeof(struct product),
};

static enum error
list_products_read(struct pg *pg, struct op *const *ops, size_t count, struct arena *arena)
{
    enum error error = ERR_OK;

    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        struct list_products *list = (struct list_products *)ops[i];
        struct page page;

        error = page_read(pg, &product_page, list, list->page_size, arena, &page);
        list->products = page.rows;
        list->count = page.count;
        list->has_more = page.has_more;
    }
    return error;
}

/* A hold that was refused is the record of its op, and no hold to a reader. */
static const struct pg_statement hold_get = {
    .name = "hold_get",
    .sql = "SELECT " HOLD_COLUMNS_H " FROM unnest($1::uuid[]) AS k(id) JOIN hold h ON h.id = k.id"
           " WHERE h.state <> 0",
    .in = key_uuid,
    .out = hold_columns,
    .out_bytes = sizeof(struct hold),
};

_Static_assert(HOLD_REFUSED == 0, "as in hold_get");

static const struct lookup get_hold_lookup = {
    .statement = &hold_get,
    .key = BATCH_KEY_UUID,
    .op_key_offset = offsetof(struct get_hold, op.id),
    .row_key_offset = offsetof(struct hold, record.id),
    .result_offset = offsetof(struct get_hold, hold),
    .field = "hold_id",
    .noun = "hold",
};

static const struct pg_column holds_page_columns[] = {
    PG_COLUMN(struct list_holds, before_id, PG_UUID),
    PG_COLUMN(struct list_holds, page_size, PG_INT4),
    { 0 },
};

static const struct pg_column hold_line_columns[] = {
    PG_COLUMN(struct hold_line, id, PG_UUID),
    PG_COLUMN(struct hold_line, state, PG_INT4),
    PG_COLUMN(struct hold_line, reference, PG_TEXT),
    PG_COLUMN(struct hold_line, currency, PG_TEXT),
    PG_COLUMN(struct hold_line, total_minor, PG_INT8),
    PG_COLUMN(struct hold_line, until_us, PG_INT8),
    { 0 },
};

static const struct pg_statement hold_page = {
    .name = "hold_page",
    .sql = "SELECT id, state, reference, currency, total_minor, until_us FROM hold WHERE id < $1"
           " ORDER BY id DESC LIMIT $2::int + 1",
    .in = holds_page_columns,
    .is_single = true,
    .out = hold_line_columns,
    .out_bytes = sizeof(struct hold_line),
};

static enum error
list_holds_read(struct pg *pg, struct op *const *ops, size_t count, struct arena *arena)
{
    enum error error = ERR_OK;

    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        struct list_holds *list = (struct list_holds *)ops[i];
        struct page page;

        error = page_read(pg, &hold_page, list, list->page_size, arena, &page);
        list->holds = page.rows;
        list->count = page.count;
        list->has_more = page.has_more;
    }
    return error;
}

const struct read storage_reads[] = {
    { .name = "GetProduct", .lookup = &get_product_lookup },
    { .name = "ListProducts", .read = list_products_read },
    { .name = "GetHold", .lookup = &get_hold_lookup },
    { .name = "ListHolds", .read = list_holds_read },
    { 0 },
};

/* ---- what the program does by itself ---- */

/* Walks `until_us`, and asks for the state only of what it finds: an index of what is held would cost each
 * Confirm its HOT update. */
static const struct pg_statement hold_expired = {
    .name = "hold_expired",
    .sql = "SELECT id, until_us FROM hold WHERE until_us >= $1 AND until_us <= $2 AND state = 1"
           " ORDER BY until_us" SWEEP_LIMIT,
    .in = walk_range_columns,
    .is_single = true,
    .out = walk_row_columns,
    .out_bytes = sizeof(struct walk_row),
};

static const struct pg_statement hold_held = {
    .name = "hold_held",
    .sql = "WITH page AS MATERIALIZED (SELECT id, until_us, state FROM hold WHERE id > $1"
           " ORDER BY id LIMIT 5000)"
           " SELECT id, until_us FROM page WHERE state = 1 AND until_us <= $2 UNION ALL"
           " (SELECT id, until_us FROM page ORDER BY id DESC LIMIT 1)",
    .in = walk_page_columns,
    .is_single = true,
    .out = walk_row_columns,
    .out_bytes = sizeof(struct walk_row),
};

/* No hold that ended before the floor is HELD. */
static const struct sweep_walk expiry_walk = { "expire", STORAGE_FLOOR, &hold_held };

const struct keeper_task storage_tasks[] = {
    { .name = "expire-holds",
      .period_us = SECOND_US / 2,
      .sweep = { SWEEP_OPS(&hold_expired, &storage_expire_method, struct expire, hold_id),
                 .walk = &expiry_walk } },
    { 0 },
};

const struct pg_statement *const storage_statements[] = {
    &product_get,  &product_page, &hold_get,   &hold_page,
    &hold_expired, &hold_held,    &floor_find, NULL,
};
