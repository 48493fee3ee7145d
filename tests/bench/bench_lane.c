#include "tests/bench/bench_lane.h"
#include "mesh/base/clock.h"
#include "mesh/store/event.h"
#include "mesh/store/op.h"

#include <stdio.h>
#include <string.h>

enum { CLEAN_US = 1000 * 1000, PAGES_KEPT = 500 }; /* as the orchestrator moves its floor */

/* ---- orders ---- */

struct order_row {
    struct uuid id;
    int64_t fingerprint;
    const char *reason, *detail, *customer_id, *currency, *lines;
    int32_t status, version;
    int64_t total_minor;
    const char *failure_reason, *failure_detail;
    bool cancel_wanted;
    int64_t placed_at_us, changed_at_us;
    const char *flow, *payment_method, *payment_reference;
};

static const struct pg_column order_columns[] = {
    PG_COLUMN(struct order_row, id, PG_UUID),
    PG_COLUMN(struct order_row, fingerprint, PG_INT8),
    PG_COLUMN(struct order_row, reason, PG_TEXT),
    PG_COLUMN(struct order_row, detail, PG_TEXT),
    PG_COLUMN(struct order_row, customer_id, PG_TEXT),
    PG_COLUMN(struct order_row, currency, PG_TEXT),
    PG_COLUMN(struct order_row, lines, PG_TEXT),
    PG_COLUMN(struct order_row, status, PG_INT4),
    PG_COLUMN(struct order_row, version, PG_INT4),
    PG_COLUMN(struct order_row, total_minor, PG_INT8),
    PG_COLUMN(struct order_row, failure_reason, PG_TEXT),
    PG_COLUMN(struct order_row, failure_detail, PG_TEXT),
    PG_COLUMN(struct order_row, cancel_wanted, PG_BOOL),
    PG_COLUMN(struct order_row, placed_at_us, PG_INT8),
    PG_COLUMN(struct order_row, changed_at_us, PG_INT8),
    PG_COLUMN(struct order_row, flow, PG_TEXT),
    PG_COLUMN(struct order_row, payment_method, PG_TEXT),
    PG_COLUMN(struct order_row, payment_reference, PG_TEXT),
    { 0 },
};

static const struct pg_statement order_insert = {
    .name = "order_insert",
    .sql = "INSERT INTO orders (id, fingerprint, reason, detail, customer_id, currency, lines,"
           " status, version, total_minor, failure_reason, failure_detail, cancel_wanted,"
           " placed_at_us, changed_at_us, flow, payment_method, payment_reference)"
           " SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[],"
           " $6::text[], $7::text[], $8::int[], $9::int[], $10::bigint[], $11::text[],"
           " $12::text[], $13::bool[], $14::bigint[], $15::bigint[], $16::text[], $17::text[],"
           " $18::text[]) ON CONFLICT DO NOTHING",
    .in = order_columns,
};

static const struct pg_column order_update_columns[] = {
    PG_COLUMN(struct order_row, id, PG_UUID),
    PG_COLUMN(struct order_row, status, PG_INT4),
    PG_COLUMN(struct order_row, version, PG_INT4),
    PG_COLUMN(struct order_row, total_minor, PG_INT8),
    PG_COLUMN(struct order_row, failure_reason, PG_TEXT),
    PG_COLUMN(struct order_row, failure_detail, PG_TEXT),
    PG_COLUMN(struct order_row, cancel_wanted, PG_BOOL),
    PG_COLUMN(struct order_row, changed_at_us, PG_INT8),
    PG_COLUMN(struct order_row, payment_reference, PG_TEXT),
    { 0 },
};

static const struct pg_statement order_update = {
    .name = "order_update",
    .sql = "UPDATE orders o SET status = u.status, version = u.version,"
           " total_minor = u.total_minor, failure_reason = u.failure_reason,"
           " failure_detail = u.failure_detail, cancel_wanted = u.cancel_wanted,"
           " changed_at_us = u.changed_at_us, payment_reference = u.payment_reference"
           " FROM unnest($1::uuid[], $2::int[], $3::int[], $4::bigint[], $5::text[], $6::text[],"
           " $7::bool[], $8::bigint[], $9::text[]) AS u(id, status, version, total_minor,"
           " failure_reason, failure_detail, cancel_wanted, changed_at_us, payment_reference)"
           " WHERE o.id = u.id",
    .in = order_update_columns,
};

/* ---- storage ---- */

struct hold_row {
    struct uuid id;
    int64_t fingerprint;
    const char *reason, *detail;
    int32_t state;
    const char *reference, *lines, *currency;
    int64_t total_minor, until_us;
};

static const struct pg_column hold_columns[] = {
    PG_COLUMN(struct hold_row, id, PG_UUID),
    PG_COLUMN(struct hold_row, fingerprint, PG_INT8),
    PG_COLUMN(struct hold_row, reason, PG_TEXT),
    PG_COLUMN(struct hold_row, detail, PG_TEXT),
    PG_COLUMN(struct hold_row, state, PG_INT4),
    PG_COLUMN(struct hold_row, reference, PG_TEXT),
    PG_COLUMN(struct hold_row, lines, PG_TEXT),
    PG_COLUMN(struct hold_row, currency, PG_TEXT),
    PG_COLUMN(struct hold_row, total_minor, PG_INT8),
    PG_COLUMN(struct hold_row, until_us, PG_INT8),
    { 0 },
};

static const struct pg_statement hold_insert = {
    .name = "hold_insert",
    .sql = "INSERT INTO hold (id, fingerprint, reason, detail, state, reference, lines, currency,"
           " total_minor, until_us) SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[],"
           " $4::text[], $5::int[], $6::text[], $7::text[], $8::text[], $9::bigint[],"
           " $10::bigint[]) ON CONFLICT DO NOTHING",
    .in = hold_columns,
};

static const struct pg_column hold_update_columns[] = {
    PG_COLUMN(struct hold_row, id, PG_UUID),
    PG_COLUMN(struct hold_row, state, PG_INT4),
    { 0 },
};

static const struct pg_statement hold_update = {
    .name = "hold_update",
    .sql = "UPDATE hold h SET state = u.state FROM unnest($1::uuid[], $2::int[]) AS u(id, state)"
           " WHERE h.id = u.id",
    .in = hold_update_columns,
};

struct product_row {
    const char *sku;
    int64_t unit_price_minor, on_hand, free, held, sold;
};

static const struct pg_column product_columns[] = {
    PG_COLUMN(struct product_row, sku, PG_TEXT),
    PG_COLUMN(struct product_row, unit_price_minor, PG_INT8),
    PG_COLUMN(struct product_row, on_hand, PG_INT8),
    PG_COLUMN(struct product_row, free, PG_INT8),
    PG_COLUMN(struct product_row, held, PG_INT8),
    PG_COLUMN(struct product_row, sold, PG_INT8),
    { 0 },
};

static const struct pg_statement product_update = {
    .name = "product_update",
    .sql = "UPDATE product p SET unit_price_minor = u.unit_price_minor, on_hand = u.on_hand,"
           " free = u.free, held = u.held, sold = u.sold FROM unnest($1::text[], $2::bigint[],"
           " $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])"
           " AS u(sku, unit_price_minor, on_hand, free, held, sold) WHERE p.sku = u.sku",
    .in = product_columns,
};

static const struct pg_column products_in[] = { PG_COLUMN(struct bench, products, PG_INT8), { 0 } };

static const struct pg_statement product_stock = {
    .name = "product_stock",
    .sql = "INSERT INTO product SELECT 'bench-product-' || lpad(i::text, 5, '0'), 'JPY', 100,"
           " 1000000000, 1000000000, 0, 0 FROM generate_series(0, $1::bigint - 1) AS i"
           " ON CONFLICT DO NOTHING",
    .in = products_in,
    .is_single = true,
};

/* ---- account ---- */

struct transfer_row {
    struct uuid id;
    int64_t fingerprint;
    const char *reason, *detail;
    int32_t state;
    const char *kind, *debit_key, *credit_key;
    int64_t amount_minor;
    const char *reference;
    struct uuid reverses_id, reversed_by; /* nil: NULL */
    int64_t posted_at_us;
};

static const struct pg_column transfer_columns[] = {
    PG_COLUMN(struct transfer_row, id, PG_UUID),
    PG_COLUMN(struct transfer_row, fingerprint, PG_INT8),
    PG_COLUMN(struct transfer_row, reason, PG_TEXT),
    PG_COLUMN(struct transfer_row, detail, PG_TEXT),
    PG_COLUMN(struct transfer_row, state, PG_INT4),
    PG_COLUMN(struct transfer_row, kind, PG_TEXT),
    PG_COLUMN(struct transfer_row, debit_key, PG_TEXT),
    PG_COLUMN(struct transfer_row, credit_key, PG_TEXT),
    PG_COLUMN(struct transfer_row, amount_minor, PG_INT8),
    PG_COLUMN(struct transfer_row, reference, PG_TEXT),
    PG_COLUMN(struct transfer_row, reverses_id, PG_UUID),
    PG_COLUMN(struct transfer_row, reversed_by, PG_UUID),
    PG_COLUMN(struct transfer_row, posted_at_us, PG_INT8),
    { 0 },
};

#define NULL_IF_NIL(column) "NULLIF(" column ", '00000000-0000-0000-0000-000000000000'::uuid)"

/* clang-format off */
static const struct pg_statement transfer_insert = {
    .name = "transfer_insert",
    .sql = "INSERT INTO transfer (id, fingerprint, reason, detail, state, kind, debit_key, credit_key,"
           " amount_minor, reference, reverses_id, reversed_by, posted_at_us)"
           " SELECT id, fingerprint, reason, detail, state, kind, debit_key, credit_key,"
           " amount_minor, reference, " NULL_IF_NIL("reverses_id") ", " NULL_IF_NIL("reversed_by") ","
           " posted_at_us"
           " FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::int[], $6::text[],"
           " $7::text[], $8::text[], $9::bigint[], $10::text[], $11::uuid[], $12::uuid[],"
           " $13::bigint[]) AS u(id, fingerprint, reason, detail, state, kind, debit_key, credit_key,"
           " amount_minor, reference, reverses_id, reversed_by, posted_at_us) ON CONFLICT DO NOTHING",
    .in = transfer_columns,
};
/* clang-format on */

struct account_row {
    const char *key;
    int64_t debits_minor, credits_minor;
};

static const struct pg_column account_columns[] = {
    PG_COLUMN(struct account_row, key, PG_TEXT),
    PG_COLUMN(struct account_row, debits_minor, PG_INT8),
    PG_COLUMN(struct account_row, credits_minor, PG_INT8),
    { 0 },
};

static const struct pg_statement account_update = {
    .name = "account_update",
    .sql = "UPDATE account a SET debits_minor = u.debits_minor, credits_minor = u.credits_minor"
           " FROM unnest($1::text[], $2::bigint[], $3::bigint[])"
           " AS u(key, debits_minor, credits_minor) WHERE a.key = u.key",
    .in = account_columns,
};

static const struct pg_column wallets_in[] = { PG_COLUMN(struct bench, wallets, PG_INT8), { 0 } };

static const struct pg_statement account_stock = {
    .name = "account_stock",
    .sql = "INSERT INTO account SELECT 'wallet/bench-' || lpad(i::text, 5, '0') || ' JPY', 2, 0, 0,"
           " 1000000000000 FROM generate_series(0, $1::bigint - 1) AS i"
           " UNION ALL VALUES ('clearing/bench JPY', 2, 1, 0, 0) ON CONFLICT DO NOTHING",
    .in = wallets_in,
    .is_single = true,
};

/* ---- saga ---- */

struct page_row {
    int32_t shard;
    int64_t page, epoch;
    const char *body;
    int64_t floor_page;
};

static const struct pg_column page_columns[] = {
    PG_COLUMN(struct page_row, shard, PG_INT4),
    PG_COLUMN(struct page_row, page, PG_INT8),
    PG_COLUMN(struct page_row, epoch, PG_INT8),
    PG_COLUMN(struct page_row, body, PG_TEXT),
    { 0 },
};
static const struct pg_column floor_columns[] = {
    PG_COLUMN(struct page_row, shard, PG_INT4),
    PG_COLUMN(struct page_row, floor_page, PG_INT8),
    { 0 },
};

static const struct pg_statement page_insert = {
    .name = "page_insert",
    .sql = "INSERT INTO journal_page (shard, page, epoch, body)"
           " SELECT s.shard, $2, $3, $4 FROM (SELECT shard FROM journal_shard"
           " WHERE shard = $1 AND epoch = $3 FOR SHARE) AS s",
    .in = page_columns,
    .is_single = true,
};

static const struct pg_statement floor_set = {
    .name = "floor_set",
    .sql = "UPDATE journal_shard SET floor_page = $2 WHERE shard = $1",
    .in = floor_columns,
    .is_single = true,
};

static const struct pg_statement page_delete = {
    .name = "page_delete",
    .sql = "DELETE FROM journal_page WHERE shard = $1 AND page < $2",
    .in = floor_columns,
    .is_single = true,
};

struct final_row {
    struct uuid id;
    int32_t shard;
    int64_t fingerprint;
    const char *phase, *body;
};

static const struct pg_column final_columns[] = {
    PG_COLUMN(struct final_row, id, PG_UUID),          PG_COLUMN(struct final_row, shard, PG_INT4),
    PG_COLUMN(struct final_row, fingerprint, PG_INT8), PG_COLUMN(struct final_row, phase, PG_TEXT),
    PG_COLUMN(struct final_row, body, PG_TEXT),        { 0 },
};

static const struct pg_statement final_insert = {
    .name = "final_insert",
    .sql = "INSERT INTO journal_final (id, shard, fingerprint, phase, body) SELECT * FROM"
           " unnest($1::uuid[], $2::int[], $3::bigint[], $4::text[], $5::text[])",
    .in = final_columns,
};

/* ---- a transaction ---- */

static const struct pg_statement begin = { .name = "begin", .sql = "BEGIN", .is_single = true };
static const struct pg_statement commit = { .name = "commit", .sql = "COMMIT", .is_single = true };

static void
add_step(struct lane *lane, const struct pg_statement *statement, const void *rows,
         size_t row_bytes, int64_t count)
{
    const void **pointers = arena_take(lane->arena, (size_t)count * sizeof *pointers);

    if (count == 0)
        return;
    for (int64_t i = 0; i < count; i++)
        pointers[i] = (const char *)rows + (size_t)i * row_bytes;
    lane->steps[lane->step_count++] =
        (struct pg_step){ .statement = statement, .rows = pointers, .count = (size_t)count };
}

static int64_t
range_count(struct lane_range range)
{
    return range.to - range.from;
}

static uint64_t
random_below(struct lane *lane, int64_t limit)
{
    lane->random ^= lane->random << 13;
    lane->random ^= lane->random >> 7;
    lane->random ^= lane->random << 17;
    return (lane->random >> 16) % (uint64_t)limit;
}

/* A name that is not among the first `count` names yet, or NULL: a batch writes a row once. */
static const char *
pick_name(struct lane *lane, const char *format, int64_t limit, const char *const *names,
          int64_t count)
{
    const char *name = arena_print(lane->arena, format, (int)random_below(lane, limit));

    for (int64_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return NULL;
    }
    return name;
}

static void
fill_event(struct lane *lane, struct event *event, const char *aggregate, struct uuid id,
           int32_t version, const char *payload)
{
    *event = (struct event){ .id = uuid_v7(clock_now_us()),
                             .aggregatetype = aggregate,
                             .aggregateid = id,
                             .version = version,
                             .type = version == 1 ? "order.placed" : "order.paid",
                             .payload = payload,
                             .time_us = clock_now_us(),
                             .traceparent = lane->texts->traceparent };
}

static void
fill_op(struct op_row *row, const char *method)
{
    row->record.id = uuid_v7(clock_now_us());
    row->record.fingerprint = 1;
    row->record.reason = "";
    row->record.detail = "";
    row->method = method;
}

static void
fill_orders(struct lane *lane, struct lane_range begun, struct lane_range gone_on)
{
    int64_t news = range_count(begun), olds = range_count(gone_on), now_us = clock_now_us();
    struct order_row *orders = arena_take(lane->arena, (size_t)(news + olds) * sizeof *orders);
    struct event *events = arena_take(lane->arena, (size_t)(news + olds) * sizeof *events);
    struct op_row *ops = arena_take(lane->arena, (size_t)olds * sizeof *ops);

    for (int64_t i = 0; i < news + olds; i++) {
        bool is_new = i < news;
        int64_t index = is_new ? begun.from + i : gone_on.from + i - news;

        if (is_new)
            lane->ids[index] = uuid_v7(now_us);
        orders[i] = (struct order_row){
            .id = lane->ids[index],
            .fingerprint = index,
            .reason = "",
            .detail = "",
            .customer_id = arena_print(lane->arena, "bench-%05d",
                                       (int)random_below(lane, lane->bench->wallets)),
            .currency = BENCH_CURRENCY,
            .lines = lane->texts->lines,
            .status = is_new ? 1 : 3,
            .version = is_new ? 1 : 2,
            .total_minor = is_new ? 0 : BENCH_PRICE_MINOR,
            .failure_reason = "",
            .failure_detail = "",
            .placed_at_us = now_us,
            .changed_at_us = now_us,
            .flow = "order_create_saga",
            .payment_method = "wallet",
            .payment_reference = is_new ? "" : "00000000-0000-7000-8000-000000000000",
        };
        fill_event(lane, &events[i], "order", lane->ids[index], is_new ? 1 : 2,
                   is_new ? lane->texts->order_placed : lane->texts->order_paid);
        if (!is_new)
            fill_op(&ops[i - news], "MarkPaid");
    }
    add_step(lane, &op_insert, ops, sizeof *ops, olds);
    add_step(lane, &order_insert, orders, sizeof *orders, news);
    add_step(lane, &order_update, orders + news, sizeof *orders, olds);
    add_step(lane, &event_append, events, sizeof *events, news + olds);
}

static void
add_products(struct lane *lane, int64_t count_max)
{
    struct product_row *products = arena_take(lane->arena, (size_t)count_max * sizeof *products);
    const char **names = arena_take(lane->arena, (size_t)count_max * sizeof *names);
    int64_t count = 0;

    for (int64_t i = 0; i < count_max; i++) {
        const char *name =
            pick_name(lane, "bench-product-%05d", lane->bench->products, names, count);

        if (name == NULL)
            continue;
        names[count] = name;
        products[count] = (struct product_row){ .sku = name,
                                                .unit_price_minor = BENCH_PRICE_MINOR,
                                                .on_hand = 1000000000,
                                                .free = 1000000000 - lane->number,
                                                .sold = lane->number };
        count++;
    }
    add_step(lane, &product_update, products, sizeof *products, count);
}

static void
fill_storage(struct lane *lane, struct lane_range begun, struct lane_range gone_on)
{
    int64_t news = range_count(begun), olds = range_count(gone_on), now_us = clock_now_us();
    struct hold_row *holds = arena_take(lane->arena, (size_t)(news + olds) * sizeof *holds);
    struct op_row *ops = arena_take(lane->arena, (size_t)olds * sizeof *ops);

    for (int64_t i = 0; i < news + olds; i++) {
        bool is_new = i < news;
        int64_t index = is_new ? begun.from + i : gone_on.from + i - news;

        if (is_new)
            lane->ids[index] = uuid_v7(now_us);
        holds[i] = (struct hold_row){ .id = lane->ids[index],
                                      .fingerprint = index + 1,
                                      .reason = "",
                                      .detail = "",
                                      .state = is_new ? 1 : 2,
                                      .reference = "00000000-0000-7000-8000-000000000000",
                                      .lines = lane->texts->hold_lines,
                                      .currency = BENCH_CURRENCY,
                                      .total_minor = BENCH_PRICE_MINOR,
                                      .until_us = now_us + 900 * SECOND_US };
        if (!is_new)
            fill_op(&ops[i - news], "Confirm");
    }
    add_step(lane, &op_insert, ops, sizeof *ops, olds);
    add_step(lane, &hold_insert, holds, sizeof *holds, news);
    add_step(lane, &hold_update, holds + news, sizeof *holds, olds);
    add_products(lane, news + olds);
}

static void
fill_account(struct lane *lane, struct lane_range begun, struct lane_range gone_on)
{
    int64_t news = range_count(begun), now_us = clock_now_us(), wallets = 0;
    struct transfer_row *transfers = arena_take(lane->arena, (size_t)news * sizeof *transfers);
    struct event *events = arena_take(lane->arena, (size_t)news * sizeof *events);
    struct account_row *accounts = arena_take(lane->arena, (size_t)(news + 1) * sizeof *accounts);
    const char **names = arena_take(lane->arena, (size_t)news * sizeof *names);

    (void)gone_on; /* a charge is one op */
    for (int64_t i = 0; i < news; i++) {
        struct uuid id = uuid_v7(now_us);
        const char *name =
            pick_name(lane, "wallet/bench-%05d JPY", lane->bench->wallets, names, wallets);

        if (name != NULL) {
            names[wallets] = name;
            accounts[wallets++] = (struct account_row){ name, lane->number, 1000000000000 };
        }
        transfers[i] = (struct transfer_row){ .id = id,
                                              .fingerprint = begun.from + i + 1,
                                              .reason = "",
                                              .detail = "",
                                              .state = 1,
                                              .kind = "charge",
                                              .debit_key = names[wallets - 1],
                                              .credit_key = "clearing/bench JPY",
                                              .amount_minor = BENCH_PRICE_MINOR,
                                              .reference = "00000000-0000-7000-8000-000000000000",
                                              .posted_at_us = now_us };
        fill_event(lane, &events[i], "payment", id, 1, lane->texts->payment);
    }
    accounts[wallets++] = (struct account_row){ "clearing/bench JPY", 0, lane->number };
    add_step(lane, &transfer_insert, transfers, sizeof *transfers, news);
    add_step(lane, &account_update, accounts, sizeof *accounts, news == 0 ? 0 : wallets);
    add_step(lane, &event_append, events, sizeof *events, news);
}

static void
fill_saga(struct lane *lane, struct lane_range begun, struct lane_range gone_on)
{
    int64_t news = range_count(begun);
    struct page_row *page = arena_take(lane->arena, sizeof *page);
    struct final_row *finals = arena_take(lane->arena, (size_t)news * sizeof *finals);

    (void)gone_on; /* a page has what all sagas did in a tick; a final row comes once */
    for (int64_t i = 0; i < news; i++)
        finals[i] = (struct final_row){ .id = uuid_v7(clock_now_us()),
                                        .fingerprint = begun.from + i,
                                        .phase = "ENDED",
                                        .body = lane->texts->final };
    *page = (struct page_row){ .page = lane->number,
                               .body = lane->texts->page,
                               .floor_page = lane->number - PAGES_KEPT };
    add_step(lane, &page_insert, page, sizeof *page, 1);
    add_step(lane, &final_insert, finals, sizeof *finals, news);
    if (clock_steady_us() - lane->cleaned_us > CLEAN_US && page->floor_page > 0) {
        lane->cleaned_us = clock_steady_us();
        add_step(lane, &floor_set, page, sizeof *page, 1);
        add_step(lane, &page_delete, page, sizeof *page, 1);
    }
}

/* clang-format off */
static const struct pg_statement *const orders_statements[] = {
    &begin, &commit, &op_insert, &order_insert, &order_update, &event_append, NULL,
};
static const struct pg_statement *const storage_statements[] = {
    &begin, &commit, &op_insert, &hold_insert, &hold_update, &product_update, &product_stock, NULL,
};
static const struct pg_statement *const account_statements[] = {
    &begin, &commit, &transfer_insert, &account_update, &event_append, &account_stock, NULL,
};
static const struct pg_statement *const saga_statements[] = {
    &begin, &commit, &page_insert, &final_insert, &floor_set, &page_delete, NULL,
};

const struct lane_plan lane_plans[BENCH_DATABASES] = {
    [BENCH_ORDERS]  = { orders_statements,  fill_orders,  NULL },
    [BENCH_STORAGE] = { storage_statements, fill_storage, &product_stock },
    [BENCH_ACCOUNT] = { account_statements, fill_account, &account_stock },
    [BENCH_SAGA]    = { saga_statements,    fill_saga,    NULL },
};
/* clang-format on */

static void
lane_round(struct lane *lane)
{
    enum error error = pg_round(lane->pg, false, lane->steps, lane->step_count, lane->arena);

    if (error != ERR_OK)
        bench_fail("the floor cannot write: %s", error_text(error));
    for (size_t i = 0; i < lane->step_count; i++)
        lane->row_writes += (int64_t)lane->steps[i].ret_changed;
    lane->step_count = 0;
    arena_reset(lane->arena);
}

void
lane_write(struct lane *lane, struct lane_range begun, struct lane_range gone_on)
{
    lane->number++;
    add_step(lane, &begin, lane, 0, 1);
    lane->plan->fill(lane, begun, gone_on);
    add_step(lane, &commit, lane, 0, 1);
    lane_round(lane);
}

void
lane_open(struct lane *lane, const struct bench *bench, size_t database,
          const struct bench_texts *texts, double orders_per_batch)
{
    memset(lane, 0, sizeof *lane);
    lane->bench = bench;
    lane->texts = texts;
    lane->plan = &lane_plans[database];
    lane->arena = arena_new();
    lane->orders_per_batch = orders_per_batch;
    lane->random = hash_int(HASH_SEED, (int64_t)database) | 1;
    lane->pg = pg_new(bench_conninfo(bench, "floor_", database), "floor", lane->plan->statements);
    if (pg_connect(lane->pg) != ERR_OK)
        bench_fail("there is no database floor_%s; ./dev bench makes it",
                   bench_databases[database]);
    if (lane->plan->stock != NULL) {
        add_step(lane, lane->plan->stock, bench, 0, 1);
        lane_round(lane);
        lane->row_writes = 0;
    }
}

void
lane_close(struct lane *lane)
{
    pg_free(lane->pg);
    arena_free(lane->arena);
}
