/* order_store.c -- Rows of order-svc's tables to structs and back: all of its SQL. */
#include "mesh/store/page.h"
#include "mesh/store/store_clock.h"
#include "mesh/store/sweep.h"
#include "order-svc/order.h"

static const struct pg_column key_uuid[] = { { "id", PG_UUID, 0 }, { 0 } };
static const struct pg_column key_text[] = { { "key", PG_TEXT, 0 }, { 0 } };

/* ---- orders ---- */

static const struct pg_column order_columns[] = {
    PG_COLUMN(struct order, record.id, PG_UUID),
    PG_COLUMN(struct order, record.fingerprint, PG_INT8),
    PG_COLUMN(struct order, record.reason, PG_TEXT),
    PG_COLUMN(struct order, record.detail, PG_TEXT),
    PG_COLUMN(struct order, customer_id, PG_TEXT),
    PG_COLUMN(struct order, currency, PG_TEXT),
    PG_COLUMN(struct order, lines, PG_TEXT),
    PG_COLUMN(struct order, status, PG_INT4),
    PG_COLUMN(struct order, version, PG_INT4),
    PG_COLUMN(struct order, total_minor, PG_INT8),
    PG_COLUMN(struct order, failure_reason, PG_TEXT),
    PG_COLUMN(struct order, failure_detail, PG_TEXT),
    PG_COLUMN(struct order, cancel_wanted, PG_BOOL),
    PG_COLUMN(struct order, placed_at_us, PG_INT8),
    PG_COLUMN(struct order, changed_at_us, PG_INT8),
    PG_COLUMN(struct order, flow, PG_TEXT),
    PG_COLUMN(struct order, payment_method, PG_TEXT),
    PG_COLUMN(struct order, payment_reference, PG_TEXT),
    PG_COLUMN(struct order, provider, PG_TEXT),
    PG_COLUMN(struct order, return_url, PG_TEXT),
    PG_COLUMN(struct order, payment_id, PG_TEXT),
    PG_COLUMN(struct order, payment_url, PG_TEXT),
    PG_COLUMN(struct order, payment_expires_at_us, PG_INT8),
    PG_COLUMN(struct order, traceparent, PG_TEXT),
    { 0 },
};
#define ORDER_COLUMNS                                                                              \
    "id, fingerprint, reason, detail, customer_id, currency, lines, status, version, total_minor," \
    " failure_reason, failure_detail, cancel_wanted, placed_at_us, changed_at_us, flow,"           \
    " payment_method, payment_reference, provider, return_url, payment_id, payment_url,"           \
    " payment_expires_at_us, traceparent"
#define ORDER_COLUMNS_O                                                                            \
    "o.id, o.fingerprint, o.reason, o.detail, o.customer_id, o.currency, o.lines, o.status,"       \
    " o.version, o.total_minor, o.failure_reason, o.failure_detail, o.cancel_wanted,"              \
    " o.placed_at_us, o.changed_at_us, o.flow, o.payment_method, o.payment_reference, o.provider," \
    " o.return_url, o.payment_id, o.payment_url, o.payment_expires_at_us,"                         \
    " o.traceparent"

static const struct pg_statement order_load = {
    .name = "order_load",
    .sql =
        "SELECT " ORDER_COLUMNS_O " FROM unnest($1::uuid[]) AS k(id) JOIN orders o ON o.id = k.id"
        " ORDER BY o.id FOR UPDATE OF o",
    .in = key_uuid,
    .out = order_columns,
    .out_bytes = sizeof(struct order),
};

static BATCH_LOCKED(order_locked, "orders", "id", UUID);

static const struct pg_statement order_insert = {
    .name = "order_insert",
    .sql = "INSERT INTO orders (" ORDER_COLUMNS ") SELECT * FROM unnest($1::uuid[], $2::bigint[],"
           " $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[], $9::int[],"
           " $10::bigint[], $11::text[], $12::text[], $13::bool[], $14::bigint[], $15::bigint[],"
           " $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[],"
           " $22::text[], $23::bigint[], $24::text[]) ON CONFLICT DO NOTHING",
    .in = order_columns,
};

static const struct pg_column order_update_columns[] = {
    PG_COLUMN(struct order, record.id, PG_UUID),
    PG_COLUMN(struct order, status, PG_INT4),
    PG_COLUMN(struct order, version, PG_INT4),
    PG_COLUMN(struct order, total_minor, PG_INT8),
    PG_COLUMN(struct order, failure_reason, PG_TEXT),
    PG_COLUMN(struct order, failure_detail, PG_TEXT),
    PG_COLUMN(struct order, cancel_wanted, PG_BOOL),
    PG_COLUMN(struct order, changed_at_us, PG_INT8),
    PG_COLUMN(struct order, payment_reference, PG_TEXT),
    PG_COLUMN(struct order, payment_id, PG_TEXT),
    PG_COLUMN(struct order, payment_url, PG_TEXT),
    PG_COLUMN(struct order, payment_expires_at_us, PG_INT8),
    { 0 },
};

static const struct pg_statement order_update = {
    .name = "order_update",
    .sql = "UPDATE orders o SET status = u.status, version = u.version,"
           " total_minor = u.total_minor, failure_reason = u.failure_reason,"
           " failure_detail = u.failure_detail, cancel_wanted = u.cancel_wanted,"
           " changed_at_us = u.changed_at_us, payment_reference = u.payment_reference,"
           " payment_id = u.payment_id, payment_url = u.payment_url,"
           " payment_expires_at_us = u.payment_expires_at_us"
           " FROM unnest($1::uuid[], $2::int[], $3::int[], $4::bigint[], $5::text[], $6::text[],"
           " $7::bool[], $8::bigint[], $9::text[], $10::text[], $11::text[], $12::bigint[])"
           " AS u(id, status, version, total_minor, failure_reason, failure_detail, cancel_wanted,"
           " changed_at_us, payment_reference, payment_id, payment_url, payment_expires_at_us)"
           " WHERE o.id = u.id",
    .in = order_update_columns,
};

/* ---- idempotency ---- */

static const struct pg_column idempotency_columns[] = {
    PG_COLUMN(struct idempotency, key, PG_TEXT),
    PG_COLUMN(struct idempotency, fingerprint, PG_BYTES),
    PG_COLUMN(struct idempotency, order_id, PG_UUID),
    PG_COLUMN(struct idempotency, claimed_by, PG_UUID),
    PG_COLUMN(struct idempotency, locked_until_us, PG_INT8),
    PG_COLUMN(struct idempotency, http_status, PG_INT4),
    PG_COLUMN(struct idempotency, body, PG_BYTES),
    PG_COLUMN(struct idempotency, created_at_us, PG_INT8),
    { 0 },
};
#define IDEMPOTENCY_COLUMNS                                                                        \
    "key, fingerprint, order_id, claimed_by, locked_until_us, http_status, body, created_at_us"

static const struct pg_statement idempotency_load = {
    .name = "idempotency_load",
    .sql = "SELECT " IDEMPOTENCY_COLUMNS " FROM idempotency WHERE key = ANY($1::text[])"
           " ORDER BY key FOR UPDATE",
    .in = key_text,
    .out = idempotency_columns,
    .out_bytes = sizeof(struct idempotency),
};

static BATCH_LOCKED(idempotency_locked, "idempotency", "key", TEXT);

static const struct pg_statement idempotency_insert = {
    .name = "idempotency_insert",
    .sql = "INSERT INTO idempotency (" IDEMPOTENCY_COLUMNS ") SELECT * FROM unnest($1::text[],"
           " $2::bytea[], $3::uuid[], $4::uuid[], $5::bigint[], $6::int[], $7::bytea[],"
           " $8::bigint[]) ON CONFLICT DO NOTHING",
    .in = idempotency_columns,
};

static const struct pg_column idempotency_update_columns[] = {
    PG_COLUMN(struct idempotency, key, PG_TEXT),
    PG_COLUMN(struct idempotency, claimed_by, PG_UUID),
    PG_COLUMN(struct idempotency, locked_until_us, PG_INT8),
    PG_COLUMN(struct idempotency, http_status, PG_INT4),
    PG_COLUMN(struct idempotency, body, PG_BYTES),
    { 0 },
};

static const struct pg_statement idempotency_update = {
    .name = "idempotency_update",
    .sql = "UPDATE idempotency i SET claimed_by = u.claimed_by,"
           " locked_until_us = u.locked_until_us, http_status = u.http_status, body = u.body"
           " FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::int[], $5::bytea[])"
           " AS u(key, claimed_by, locked_until_us, http_status, body) WHERE i.key = u.key",
    .in = idempotency_update_columns,
};

/* ---- the service's tables, in the order of loading, locking and saving ---- */

static const struct batch_table tables[] = {
    [ORDER_OP] = OP_TABLE,
    [ORDER_IDEMPOTENCY] = { .name = "idempotency",
                            .row_bytes = sizeof(struct idempotency),
                            .key = BATCH_KEY_TEXT,
                            .key_offset = offsetof(struct idempotency, key),
                            .load = &idempotency_load,
                            .locked = &idempotency_locked,
                            .insert = &idempotency_insert,
                            .update = &idempotency_update,
                            .follow = idempotency_follow },
    [ORDER_ORDER] = { .name = "orders",
                      .row_bytes = sizeof(struct order),
                      .key = BATCH_KEY_UUID,
                      .key_offset = 0,
                      .load = &order_load,
                      .locked = &order_locked,
                      .insert = &order_insert,
                      .update = &order_update,
                      .is_record = true },
    [ORDER_FLOOR] = FLOOR_TABLE,
};

const struct batch_service order_service = {
    .name = "order-svc",
    .tables = tables,
    .table_count = sizeof tables / sizeof *tables,
    .has_events = true,
};

/* ---- reads ---- */

const struct pg_statement order_get = {
    .name = "order_get",
    .sql =
        "SELECT " ORDER_COLUMNS_O " FROM unnest($1::uuid[]) AS k(id) JOIN orders o ON o.id = k.id",
    .in = key_uuid,
    .out = order_columns,
    .out_bytes = sizeof(struct order),
};

const struct lookup order_lookup = {
    .statement = &order_get,
    .key = BATCH_KEY_UUID,
    .op_key_offset = offsetof(struct get_order, op.id),
    .row_key_offset = offsetof(struct order, record.id),
    .result_offset = offsetof(struct get_order, order),
    .field = "order_id",
    .noun = "order",
};

static int64_t
get_wait_us(const void *op)
{
    return ((const struct get_order *)op)->wait_ms * INT64_C(1000);
}

static bool
get_is_ready(const void *op)
{
    const struct get_order *get = op;

    return get->order.version > get->known_version;
}

static int64_t
get_known_version(const void *op)
{
    return ((const struct get_order *)op)->known_version;
}

static void
get_take(void *op, const void *row)
{
    ((struct get_order *)op)->order = *(const struct order *)row;
}

static const struct pg_column page_columns[] = {
    PG_COLUMN(struct list_orders, before_id, PG_UUID),
    PG_COLUMN(struct list_orders, page_size, PG_INT4),
    PG_COLUMN(struct list_orders, customer_id, PG_TEXT),
    { 0 },
};

static const struct pg_column page_all_columns[] = {
    PG_COLUMN(struct list_orders, before_id, PG_UUID),
    PG_COLUMN(struct list_orders, page_size, PG_INT4),
    { 0 },
};

static const struct pg_statement order_page = {
    .name = "order_page",
    .sql = "SELECT " ORDER_COLUMNS " FROM orders WHERE customer_id = $3"
           " AND seq < " PAGE_BEFORE("orders", "$1") " ORDER BY seq DESC LIMIT $2::int + 1",
    .in = page_columns,
    .is_single = true,
    .out = order_columns,
    .out_bytes = sizeof(struct order),
};

static const struct pg_statement order_page_all = {
    .name = "order_page_all",
    .sql = "SELECT " ORDER_COLUMNS " FROM orders WHERE seq < " PAGE_BEFORE(
        "orders", "$1") " ORDER BY seq DESC LIMIT $2::int + 1",
    .in = page_all_columns,
    .is_single = true,
    .out = order_columns,
    .out_bytes = sizeof(struct order),
};

static enum error
list_read(struct pg *pg, struct op *const *ops, size_t count, struct arena *arena)
{
    enum error error = ERR_OK;

    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        struct list_orders *list = (struct list_orders *)ops[i];
        struct page page;

        error = page_read(pg, list->customer_id[0] == '\0' ? &order_page_all : &order_page, list,
                          list->page_size, arena, &page);
        list->orders = page.rows;
        list->count = page.count;
        list->has_more = page.has_more;
    }
    return error;
}

static const struct pg_column open_columns[] = {
    PG_COLUMN(struct list_open, before_id, PG_UUID),
    PG_COLUMN(struct list_open, page_size, PG_INT4),
    { 0 },
};

/* A page is a number of orders looked at: below the floor of the sweep none is open, and above it there
 * may be a million that are final between two that are not. */
#define OPEN_WINDOW                                                                                \
    "(SELECT * FROM orders WHERE seq < " PAGE_BEFORE(                                              \
        "orders", "$1") " AND seq > (SELECT floor_seq FROM sweep WHERE name = 'start') ORDER BY "  \
                        "seq DESC LIMIT 5000)"

static const struct pg_statement order_page_open = {
    .name = "order_page_open",
    .sql = "SELECT " ORDER_COLUMNS " FROM " OPEN_WINDOW " AS looked WHERE status < 3"
           " ORDER BY seq DESC LIMIT $2::int + 1",
    .in = open_columns,
    .is_single = true,
    .out = order_columns,
    .out_bytes = sizeof(struct order),
};
_Static_assert(ORDER_PAID == 3 && ORDER_FAILED == 4, "as in order_page_open");

static const struct pg_column open_end_columns[] = {
    PG_COLUMN(struct list_open, before_id, PG_UUID),
    { 0 },
};

/* The last one that such a page looked at; no row where it came to the end. */
static const struct pg_statement order_page_open_end = {
    .name = "order_page_open_end",
    .sql = "SELECT id FROM " OPEN_WINDOW " AS looked ORDER BY seq DESC OFFSET 4999 LIMIT 1",
    .in = open_end_columns,
    .is_single = true,
    .out = key_uuid,
    .out_bytes = sizeof(struct uuid),
};

static enum error
list_open_read(struct pg *pg, struct op *const *ops, size_t count, struct arena *arena)
{
    enum error error = ERR_OK;

    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        struct list_open *list = (struct list_open *)ops[i];
        const void *row = list;
        struct pg_step steps[] = {
            { .statement = &order_page_open, .rows = &row, .count = 1 },
            { .statement = &order_page_open_end, .rows = &row, .count = 1 }
        };
        bool is_cut;

        error = pg_round(pg, false, steps, 2, arena);
        if (error != ERR_OK)
            break;
        is_cut = steps[0].ret_count > (size_t)list->page_size;
        list->orders = steps[0].ret_rows;
        list->count = is_cut ? (size_t)list->page_size : steps[0].ret_count;
        list->has_more = is_cut || steps[1].ret_count > 0;
        if (is_cut)
            list->next_id = list->orders[list->count - 1].record.id;
        else if (list->has_more)
            list->next_id = *(const struct uuid *)steps[1].ret_rows;
    }
    return error;
}

static const struct pg_column list_events_columns[] = {
    PG_COLUMN(struct list_events, op.id, PG_UUID),
    PG_COLUMN(struct list_events, after_version, PG_INT4),
    { 0 },
};

static const struct pg_column event_columns[] = {
    PG_COLUMN(struct event, id, PG_UUID),          PG_COLUMN(struct event, aggregateid, PG_UUID),
    PG_COLUMN(struct event, version, PG_INT4),     PG_COLUMN(struct event, type, PG_TEXT),
    PG_COLUMN(struct event, payload, PG_TEXT),     PG_COLUMN(struct event, time_us, PG_INT8),
    PG_COLUMN(struct event, traceparent, PG_TEXT), { 0 },
};

static const struct pg_statement event_page = {
    .name = "event_page",
    .sql = "SELECT id, aggregateid, version, type, payload, time_us, traceparent FROM event"
           " WHERE aggregateid = $1 AND version > $2 ORDER BY version LIMIT 1000",
    .in = list_events_columns,
    .is_single = true,
    .out = event_columns,
    .out_bytes = sizeof(struct event),
};
_Static_assert(EVENTS_LISTED_MAX == 1000, "as in event_page");

static enum error
list_events_read(struct pg *pg, struct op *const *ops, size_t count, struct arena *arena)
{
    enum error error = ERR_OK;

    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        struct list_events *list = (struct list_events *)ops[i];
        struct pg_answer answer;

        error = pg_ask(pg, &event_page, list, arena, &answer);
        list->events = answer.rows;
        list->count = answer.count;
    }
    return error;
}

const struct read order_reads[] = {
    { .name = "Get",
      .lookup = &order_lookup,
      .wait_us = get_wait_us,
      .is_ready = get_is_ready,
      .row = &order_get,
      .known_version = get_known_version,
      .take = get_take },
    { .name = "List", .read = list_read },
    { .name = "ListOpen", .read = list_open_read },
    { .name = "ListEvents", .read = list_events_read },
    { 0 },
};

/* ---- the sweep: walks `seq`, and looks at the status only of what it finds ---- */

static const struct pg_column sweep_name_columns[] = { { "name", PG_TEXT, 0 }, { 0 } };

static const struct pg_column position_columns[] = {
    PG_COLUMN(struct sweep_position, floor, PG_INT8),
    PG_COLUMN(struct sweep_position, last, PG_INT8),
    { 0 },
};

const struct pg_statement order_position = {
    .name = "order_position",
    .sql = "SELECT w.floor_seq, CASE WHEN s.is_called THEN s.last_value ELSE 0 END"
           " FROM order_seq s, sweep w WHERE w.name = $1",
    .in = sweep_name_columns,
    .is_single = true,
    .out = position_columns,
    .out_bytes = sizeof(struct sweep_position),
};

static const struct pg_column range_columns[] = {
    PG_COLUMN(struct sweep_range, after, PG_INT8),
    PG_COLUMN(struct sweep_range, until, PG_INT8),
    PG_COLUMN(struct sweep_range, waited_us, PG_INT8),
    { 0 },
};

static const struct pg_column candidate_columns[] = {
    PG_COLUMN(struct sweep_candidate, id, PG_UUID),
    PG_COLUMN(struct sweep_candidate, seq, PG_INT8),
    PG_COLUMN(struct sweep_candidate, placed_at_us, PG_INT8),
    PG_COLUMN(struct sweep_candidate, is_last, PG_BOOL),
    PG_COLUMN(struct sweep_candidate, oldest, PG_INT8),
    { 0 },
};

/* A page is a number of orders looked at, not of orders found: after an outage there may be millions
 * of final ones between two that are open. */
const struct pg_statement order_open = {
    .name = "order_open",
    .sql = "WITH page AS MATERIALIZED (SELECT id, seq, placed_at_us, status, cancel_wanted"
           " OR payment_expires_at_us BETWEEN 1 AND $3 AS is_wanted FROM orders WHERE seq > $1 AND "
           "seq <= $2 ORDER BY seq LIMIT 5000)"
           " SELECT id, seq, placed_at_us, false, 0::bigint FROM page"
           " WHERE status = 1 OR (status = 2 AND is_wanted) UNION ALL"
           " (SELECT id, seq, placed_at_us, true, (SELECT coalesce(min(seq), 9223372036854775807)"
           " FROM page WHERE status < 3) FROM page ORDER BY seq DESC LIMIT 1)",
    .in = range_columns,
    .is_single = true,
    .out = candidate_columns,
    .out_bytes = sizeof(struct sweep_candidate),
};
_Static_assert(ORDER_PENDING == 1 && ORDER_WAITING == 2 && ORDER_PAID == 3 && ORDER_FAILED == 4,
               "as in order_open");

/* ---- keys of yesterday: a sweep ---- */

const struct pg_statement idempotency_forget = {
    .name = "idempotency_forget",
    .sql = "DELETE FROM idempotency WHERE key = ANY(ARRAY(SELECT key FROM idempotency"
           " WHERE created_at_us < mesh_now_us($1) - 86400000000"
           " ORDER BY created_at_us" SWEEP_LIMIT " FOR UPDATE SKIP LOCKED))",
    .in = store_clock_program,
    .is_single = true,
};

const struct pg_statement *const order_statements[] = {
    &order_get,
    &order_page,
    &order_page_all,
    &event_page,
    &order_page_open,
    &order_page_open_end,
    &order_position,
    &order_open,
    HORIZON_STATEMENTS,
    &idempotency_forget,
    NULL,
};
