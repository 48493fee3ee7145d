/* ledger_store.c -- Rows of the ledger's tables to structs and back: all of its SQL. */
#include "account-svc/ledger/ledger_hold.h"
#include "mesh/store/asked.h"
#include "mesh/store/lookup.h"
#include "mesh/store/page.h"
#include "mesh/store/store_clock.h"
#include "mesh/store/sweep.h"

static const struct pg_column key_uuid[] = { { "id", PG_UUID, 0 }, { 0 } };
static const struct pg_column key_text[] = { { "key", PG_TEXT, 0 }, { 0 } };

/* ---- account ---- */

static const struct pg_column account_columns[] = {
    PG_COLUMN(struct account, key, PG_TEXT),
    PG_COLUMN(struct account, normal, PG_INT4),
    PG_COLUMN(struct account, overdraft, PG_INT4),
    PG_COLUMN(struct account, debits_minor, PG_INT8),
    PG_COLUMN(struct account, credits_minor, PG_INT8),
    PG_COLUMN(struct account, held_minor, PG_INT8),
    { 0 },
};
#define ACCOUNT_COLUMNS "key, normal_side, overdraft, debits_minor, credits_minor, held_minor"

const struct pg_statement account_load = {
    .name = "account_load",
    .sql = "SELECT " ACCOUNT_COLUMNS " FROM account WHERE key = ANY($1::text[])"
           " ORDER BY key FOR UPDATE",
    .in = key_text,
    .out = account_columns,
    .out_bytes = sizeof(struct account),
};

BATCH_LOCKED(account_locked, "account", "key", TEXT);

const struct pg_statement account_insert = {
    .name = "account_insert",
    .sql = "INSERT INTO account (" ACCOUNT_COLUMNS ") SELECT * FROM unnest($1::text[], $2::int[],"
           " $3::int[], $4::bigint[], $5::bigint[], $6::bigint[]) ON CONFLICT DO NOTHING",
    .in = account_columns,
};

static const struct pg_column account_update_columns[] = {
    PG_COLUMN(struct account, key, PG_TEXT),
    PG_COLUMN(struct account, debits_minor, PG_INT8),
    PG_COLUMN(struct account, credits_minor, PG_INT8),
    PG_COLUMN(struct account, held_minor, PG_INT8),
    { 0 },
};

const struct pg_statement account_update = {
    .name = "account_update",
    .sql = "UPDATE account a SET debits_minor = u.debits_minor, credits_minor = u.credits_minor,"
           " held_minor = u.held_minor"
           " FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])"
           " AS u(key, debits_minor, credits_minor, held_minor) WHERE a.key = u.key",
    .in = account_update_columns,
};

/* ---- transfer ---- */

/* clang-format off */
#define TRANSFER_FIELDS \
    PG_COLUMN(struct transfer, record.id, PG_UUID), \
    PG_COLUMN(struct transfer, record.fingerprint, PG_INT8), \
    PG_COLUMN(struct transfer, record.reason, PG_TEXT), \
    PG_COLUMN(struct transfer, record.detail, PG_TEXT), \
    PG_COLUMN(struct transfer, state, PG_INT4), \
    PG_COLUMN(struct transfer, kind, PG_TEXT), \
    PG_COLUMN(struct transfer, debit_key, PG_TEXT), \
    PG_COLUMN(struct transfer, credit_key, PG_TEXT), \
    PG_COLUMN(struct transfer, amount_minor, PG_INT8), \
    PG_COLUMN(struct transfer, reference, PG_TEXT), \
    PG_COLUMN(struct transfer, reverses_id, PG_UUID), \
    PG_COLUMN(struct transfer, reversed_by, PG_UUID), \
    PG_COLUMN(struct transfer, posted_at_us, PG_INT8)
/* clang-format on */
static const struct pg_column transfer_columns[] = { TRANSFER_FIELDS, { 0 } };
static const struct pg_column transfer_insert_columns[] = {
    TRANSFER_FIELDS, PG_COLUMN(struct transfer, record.place, PG_INT8), { 0 }
};
#define TRANSFER_COLUMNS                                                                           \
    "id, fingerprint, reason, detail, state, kind, debit_key, credit_key, amount_minor,"           \
    " reference, reverses_id, reversed_by, posted_at_us"

/* Nil in a struct is NULL in a row. */
#define NULL_IF_NIL(column) "NULLIF(" column ", '00000000-0000-0000-0000-000000000000'::uuid)"

const struct pg_statement transfer_load = {
    .name = "transfer_load",
    .sql = "SELECT " TRANSFER_COLUMNS " FROM transfer WHERE id = ANY($1::uuid[])"
           " ORDER BY id FOR UPDATE",
    .in = key_uuid,
    .out = transfer_columns,
    .out_bytes = sizeof(struct transfer),
};

BATCH_LOCKED(transfer_locked, "transfer", "id", UUID);

/* clang-format off */
const struct pg_statement transfer_insert = {
    .name = "transfer_insert",
    .sql = "WITH batch AS MATERIALIZED (SELECT nextval('transfer_seq') AS seq)"
           " INSERT INTO transfer (" TRANSFER_COLUMNS ", seq)"
           " SELECT id, fingerprint, reason, detail, state, kind, debit_key, credit_key,"
           " amount_minor, reference, " NULL_IF_NIL("reverses_id") ", " NULL_IF_NIL("reversed_by") ","
           " posted_at_us, (SELECT seq FROM batch) + place"
           " FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::int[], $6::text[],"
           " $7::text[], $8::text[], $9::bigint[], $10::text[], $11::uuid[], $12::uuid[],"
           " $13::bigint[], $14::bigint[]) AS u(" TRANSFER_COLUMNS ", place) ON CONFLICT DO NOTHING",
    .in = transfer_insert_columns,
};
/* clang-format on */

static const struct pg_column transfer_update_columns[] = {
    PG_COLUMN(struct transfer, record.id, PG_UUID),
    PG_COLUMN(struct transfer, reversed_by, PG_UUID),
    { 0 },
};

const struct pg_statement transfer_update = {
    .name = "transfer_update",
    .sql = "UPDATE transfer t SET reversed_by = u.reversed_by"
           " FROM unnest($1::uuid[], $2::uuid[]) AS u(id, reversed_by) WHERE t.id = u.id",
    .in = transfer_update_columns,
};

/* ---- ledger_hold ---- */

static const struct pg_column funds_columns[] = {
    PG_COLUMN(struct funds, id, PG_UUID),           PG_COLUMN(struct funds, state, PG_INT4),
    PG_COLUMN(struct funds, debit_key, PG_TEXT),    PG_COLUMN(struct funds, credit_key, PG_TEXT),
    PG_COLUMN(struct funds, amount_minor, PG_INT8), PG_COLUMN(struct funds, posted_minor, PG_INT8),
    PG_COLUMN(struct funds, posted_by, PG_UUID),    PG_COLUMN(struct funds, reference, PG_TEXT),
    PG_COLUMN(struct funds, until_us, PG_INT8),     { 0 },
};
#define FUNDS_COLUMNS                                                                              \
    "id, state, debit_key, credit_key, amount_minor, posted_minor, posted_by, reference, until_us"

const struct pg_statement funds_load = {
    .name = "funds_load",
    .sql = "SELECT " FUNDS_COLUMNS " FROM ledger_hold WHERE id = ANY($1::uuid[])"
           " ORDER BY id FOR UPDATE",
    .in = key_uuid,
    .out = funds_columns,
    .out_bytes = sizeof(struct funds),
};

BATCH_LOCKED(funds_locked, "ledger_hold", "id", UUID);

const struct pg_statement funds_insert = {
    .name = "funds_insert",
    .sql = "INSERT INTO ledger_hold (" FUNDS_COLUMNS ") SELECT id, state, debit_key, credit_key,"
           " amount_minor, posted_minor, " NULL_IF_NIL(
               "posted_by") ", reference, until_us"
                            " FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], "
                            "$5::bigint[], $6::bigint[],"
                            " $7::uuid[], $8::text[], $9::bigint[]) AS u(" FUNDS_COLUMNS
                            ") ON CONFLICT DO NOTHING",
    .in = funds_columns,
};

static const struct pg_column funds_update_columns[] = {
    PG_COLUMN(struct funds, id, PG_UUID),
    PG_COLUMN(struct funds, state, PG_INT4),
    PG_COLUMN(struct funds, posted_minor, PG_INT8),
    PG_COLUMN(struct funds, posted_by, PG_UUID),
    { 0 },
};

const struct pg_statement funds_update = {
    .name = "funds_update",
    .sql = "UPDATE ledger_hold h SET state = u.state, posted_minor = u.posted_minor,"
           " posted_by = " NULL_IF_NIL(
               "u.posted_by") " FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::uuid[])"
                              " AS u(id, state, posted_minor, posted_by) WHERE h.id = u.id",
    .in = funds_update_columns,
};

/* ---- reads ---- */

static const struct pg_statement account_get = {
    .name = "account_get",
    .sql = "SELECT " ACCOUNT_COLUMNS " FROM account WHERE key = ANY($1::text[])",
    .in = key_text,
    .out = account_columns,
    .out_bytes = sizeof(struct account),
};

static void
get_account_missing(void *op)
{
    struct get_account *get = op;

    problem_set(&get->op.problem, ERR_NOT_FOUND, get->field, "there is no account '%s'", get->key);
}

static const struct lookup get_account_lookup = {
    .statement = &account_get,
    .key = BATCH_KEY_TEXT,
    .op_key_offset = offsetof(struct get_account, key),
    .row_key_offset = offsetof(struct account, key),
    .result_offset = offsetof(struct get_account, account),
    .missing = get_account_missing,
};

static const struct pg_statement transfer_get = {
    .name = "transfer_get",
    .sql = "SELECT " TRANSFER_COLUMNS " FROM transfer WHERE id = ANY($1::uuid[]) AND state = 1",
    .in = key_uuid,
    .out = transfer_columns,
    .out_bytes = sizeof(struct transfer),
};

static const struct lookup get_transfer_lookup = {
    .statement = &transfer_get,
    .key = BATCH_KEY_UUID,
    .op_key_offset = offsetof(struct get_transfer, op.id),
    .row_key_offset = offsetof(struct transfer, record.id),
    .result_offset = offsetof(struct get_transfer, transfer),
    .field = "transfer_id",
    .noun = "transfer",
};

static const struct pg_column statement_columns[] = {
    PG_COLUMN(struct statement, key, PG_TEXT),
    PG_COLUMN(struct statement, before_id, PG_UUID),
    PG_COLUMN(struct statement, page_size, PG_INT4),
    { 0 },
};

/* clang-format off */
/* One side of a wallet walks its index backwards and stops after a page; state and LIKE are there to say
 * that the index has it all. */
#define STATEMENT_SIDE(key) \
    "(SELECT * FROM transfer WHERE state = 1 AND " key " = $1 AND " key " LIKE 'wallet/%'" \
    " AND seq < " PAGE_BEFORE("transfer", "$2") " ORDER BY seq DESC LIMIT $3 + 1)"

static const struct pg_statement transfer_page = {
    .name = "transfer_page",
    .sql = "SELECT " TRANSFER_COLUMNS " FROM (" STATEMENT_SIDE("debit_key")
           " UNION ALL " STATEMENT_SIDE("credit_key") ") AS side ORDER BY seq DESC LIMIT $3 + 1",
    .in = statement_columns,
    .is_single = true,
    .out = transfer_columns,
    .out_bytes = sizeof(struct transfer),
};
/* clang-format on */

static enum error
statement_read(struct pg *pg, struct op *const *ops, size_t count, struct arena *arena)
{
    enum error error = ERR_OK;

    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        struct statement *statement = (struct statement *)ops[i];
        struct page page;

        error = page_read(pg, &transfer_page, statement, statement->page_size, arena, &page);
        statement->transfers = page.rows;
        statement->count = page.count;
        statement->has_more = page.has_more;
    }
    return error;
}

static const struct pg_column charges_columns[] = {
    PG_COLUMN(struct list_charges, before_id, PG_UUID),
    PG_COLUMN(struct list_charges, page_size, PG_INT4),
    { 0 },
};

static const struct pg_statement transfer_page_all = {
    .name = "transfer_page_all",
    .sql = "SELECT " TRANSFER_COLUMNS " FROM transfer WHERE id < $1 ORDER BY id DESC"
           " LIMIT $2::int + 1",
    .in = charges_columns,
    .is_single = true,
    .out = transfer_columns,
    .out_bytes = sizeof(struct transfer),
};

static enum error
list_charges_read(struct pg *pg, struct op *const *ops, size_t count, struct arena *arena)
{
    enum error error = ERR_OK;

    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        struct list_charges *list = (struct list_charges *)ops[i];
        struct page page;

        error = page_read(pg, &transfer_page_all, list, list->page_size, arena, &page);
        list->transfers = page.rows;
        list->count = page.count;
        list->has_more = page.has_more;
    }
    return error;
}

static const struct pg_statement funds_get = {
    .name = "funds_get",
    .sql = "SELECT " FUNDS_COLUMNS " FROM ledger_hold WHERE id = ANY($1::uuid[])"
           " AND debit_key <> ''",
    .in = key_uuid,
    .out = funds_columns,
    .out_bytes = sizeof(struct funds),
};

static const struct lookup get_hold_lookup = {
    .statement = &funds_get,
    .key = BATCH_KEY_UUID,
    .op_key_offset = offsetof(struct get_funds, op.id),
    .row_key_offset = offsetof(struct funds, id),
    .result_offset = offsetof(struct get_funds, funds),
    .field = "hold_id",
    .noun = "hold",
};

const struct read ledger_reads[] = {
    { .name = "GetHold", .lookup = &get_hold_lookup },
    { .name = "GetAccount", .lookup = &get_account_lookup },
    { .name = "GetTransfer", .lookup = &get_transfer_lookup },
    { .name = "Balance", .lookup = &get_account_lookup },
    { .name = "Statement", .read = statement_read },
    { .name = "ListCharges", .read = list_charges_read },
    { 0 },
};

const struct pg_statement funds_due = {
    .name = "funds_due",
    .sql = "SELECT id, until_us FROM ledger_hold WHERE state = 1"
           " AND until_us <= mesh_now_us($1) ORDER BY until_us" SWEEP_LIMIT,
    .in = store_clock_program,
    .is_single = true,
    .out = walk_row_columns,
    .out_bytes = sizeof(struct walk_row),
};

static const struct pg_statement imbalance = ASKED_STATEMENT(
    "ledger_imbalance",
    "SELECT currency, imbalance_minor, 0::bigint FROM ledger_imbalance() WHERE $1::bigint > 0");

/* clang-format off */
const struct asked_row ledger_asked[] = {
    { &imbalance, { { "sagamesh_ledger_imbalance_minor", METRIC_GAUGE, METRIC_NUMBER, "What debits and credits of all accounts differ by; it must be 0.", { "currency" } } }, NULL },
    { 0 },
};
/* clang-format on */

const struct pg_statement *const ledger_statements[] = {
    &imbalance,    &funds_get,     &funds_due,         &account_get,
    &transfer_get, &transfer_page, &transfer_page_all, NULL,
};
