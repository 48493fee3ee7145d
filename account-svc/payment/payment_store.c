/* payment_store.c -- Rows of payments' tables to structs and back: all of their SQL. */
#include "account-svc/payment/payment_op.h"
#include "mesh/store/lookup.h"
#include "mesh/store/page.h"
#include "mesh/store/store_clock.h"
#include "mesh/store/sweep.h"

static const struct pg_column key_uuid[] = { { "id", PG_UUID, 0 }, { 0 } };
static const struct pg_column key_text[] = { { "key", PG_TEXT, 0 }, { 0 } };

/* ---- payment ---- */

static const struct pg_column payment_columns[] = {
    PG_COLUMN(struct payment, record.id, PG_UUID),
    PG_COLUMN(struct payment, record.fingerprint, PG_INT8),
    PG_COLUMN(struct payment, record.reason, PG_TEXT),
    PG_COLUMN(struct payment, record.detail, PG_TEXT),
    PG_COLUMN(struct payment, order_id, PG_UUID),
    PG_COLUMN(struct payment, provider, PG_TEXT),
    PG_COLUMN(struct payment, amount_minor, PG_INT8),
    PG_COLUMN(struct payment, currency, PG_TEXT),
    PG_COLUMN(struct payment, description, PG_TEXT),
    PG_COLUMN(struct payment, return_url, PG_TEXT),
    PG_COLUMN(struct payment, observed, PG_INT4),
    PG_COLUMN(struct payment, claim, PG_INT4),
    PG_COLUMN(struct payment, is_quarantined, PG_BOOL),
    PG_COLUMN(struct payment, abandon_asked_us, PG_INT8),
    PG_COLUMN(struct payment, version, PG_INT4),
    PG_COLUMN(struct payment, signaled_version, PG_INT4),
    PG_COLUMN(struct payment, url, PG_TEXT),
    PG_COLUMN(struct payment, reference, PG_TEXT),
    PG_COLUMN(struct payment, expires_at_us, PG_INT8),
    PG_COLUMN(struct payment, refunds, PG_TEXT),
    PG_COLUMN(struct payment, occurred_at_us, PG_INT8),
    PG_COLUMN(struct payment, created_at_us, PG_INT8),
    PG_COLUMN(struct payment, changed_at_us, PG_INT8),
    PG_COLUMN(struct payment, traceparent, PG_TEXT),
    PG_COLUMN(struct payment, needs_person, PG_BOOL),
    PG_COLUMN(struct payment, booked_minor, PG_INT8),
    PG_COLUMN(struct payment, booked_currency, PG_TEXT),
    PG_COLUMN(struct payment, settle_asked_us, PG_INT8),
    PG_COLUMN(struct payment, settle_comment, PG_TEXT),
    PG_COLUMN(struct payment, signal_due_us, PG_INT8),
    PG_COLUMN(struct payment, trouble, PG_INT4),
    PG_COLUMN(struct payment, failure_reason, PG_TEXT),
    PG_COLUMN(struct payment, failure_detail, PG_TEXT),
    PG_COLUMN(struct payment, ends_at_us, PG_INT8),
    { 0 },
};
_Static_assert(sizeof payment_columns / sizeof *payment_columns <= PG_COLUMNS_MAX + 1, "too many");

#define PAYMENT_COLUMNS                                                                            \
    "id, fingerprint, reason, detail, order_id, provider, amount_minor, currency, description,"    \
    " return_url, observed, claim, is_quarantined, abandon_asked_us, version, signaled_version,"   \
    " url, reference, expires_at_us, refunds, occurred_at_us, created_at_us, changed_at_us,"       \
    " traceparent, needs_person, booked_minor, booked_currency, settle_asked_us, settle_comment, " \
    "signal_due_us, trouble, failure_reason, failure_detail, ends_at_us"

const struct pg_statement payment_load = {
    .name = "payment_load",
    .sql = "SELECT " PAYMENT_COLUMNS " FROM payment WHERE id = ANY($1::uuid[])"
           " ORDER BY id FOR UPDATE",
    .in = key_uuid,
    .out = payment_columns,
    .out_bytes = sizeof(struct payment),
};

BATCH_LOCKED(payment_locked, "payment", "id", UUID);

const struct pg_statement payment_insert = {
    .name = "payment_insert",
    .sql = "INSERT INTO payment (" PAYMENT_COLUMNS ") SELECT * FROM unnest($1::uuid[],"
           " $2::bigint[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::bigint[],"
           " $8::text[], $9::text[], $10::text[], $11::int[], $12::int[], $13::boolean[],"
           " $14::bigint[], $15::int[], $16::int[], $17::text[], $18::text[], $19::bigint[],"
           " $20::text[], $21::bigint[], $22::bigint[], $23::bigint[], $24::text[],"
           " $25::boolean[], $26::bigint[], $27::text[], $28::bigint[], $29::text[], $30::bigint[],"
           " $31::int[], $32::text[], $33::text[], $34::bigint[])"
           " ON CONFLICT DO NOTHING",
    .in = payment_columns,
};

static const struct pg_column payment_update_columns[] = {
    PG_COLUMN(struct payment, record.id, PG_UUID),
    PG_COLUMN(struct payment, observed, PG_INT4),
    PG_COLUMN(struct payment, claim, PG_INT4),
    PG_COLUMN(struct payment, is_quarantined, PG_BOOL),
    PG_COLUMN(struct payment, abandon_asked_us, PG_INT8),
    PG_COLUMN(struct payment, version, PG_INT4),
    PG_COLUMN(struct payment, signaled_version, PG_INT4),
    PG_COLUMN(struct payment, url, PG_TEXT),
    PG_COLUMN(struct payment, reference, PG_TEXT),
    PG_COLUMN(struct payment, expires_at_us, PG_INT8),
    PG_COLUMN(struct payment, refunds, PG_TEXT),
    PG_COLUMN(struct payment, occurred_at_us, PG_INT8),
    PG_COLUMN(struct payment, changed_at_us, PG_INT8),
    PG_COLUMN(struct payment, needs_person, PG_BOOL),
    PG_COLUMN(struct payment, booked_minor, PG_INT8),
    PG_COLUMN(struct payment, booked_currency, PG_TEXT),
    PG_COLUMN(struct payment, settle_asked_us, PG_INT8),
    PG_COLUMN(struct payment, settle_comment, PG_TEXT),
    PG_COLUMN(struct payment, signal_due_us, PG_INT8),
    PG_COLUMN(struct payment, trouble, PG_INT4),
    PG_COLUMN(struct payment, failure_reason, PG_TEXT),
    PG_COLUMN(struct payment, failure_detail, PG_TEXT),
    { 0 },
};

const struct pg_statement payment_update = {
    .name = "payment_update",
    .sql = "UPDATE payment p SET observed = u.observed, claim = u.claim,"
           " is_quarantined = u.is_quarantined, abandon_asked_us = u.abandon_asked_us,"
           " version = u.version, signaled_version = u.signaled_version, url = u.url,"
           " reference = u.reference, expires_at_us = u.expires_at_us, refunds = u.refunds,"
           " occurred_at_us = u.occurred_at_us, changed_at_us = u.changed_at_us,"
           " needs_person = u.needs_person, booked_minor = u.booked_minor,"
           " booked_currency = u.booked_currency, settle_asked_us = u.settle_asked_us,"
           " settle_comment = u.settle_comment, signal_due_us = u.signal_due_us,"
           " trouble = u.trouble, failure_reason = u.failure_reason,"
           " failure_detail = u.failure_detail"
           " FROM unnest($1::uuid[], $2::int[], $3::int[], $4::boolean[], $5::bigint[], $6::int[],"
           " $7::int[], $8::text[], $9::text[], $10::bigint[], $11::text[], $12::bigint[],"
           " $13::bigint[], $14::boolean[], $15::bigint[], $16::text[], $17::bigint[], "
           "$18::text[], $19::bigint[], $20::int[], $21::text[], $22::text[]) AS u(id, observed, "
           "claim, is_quarantined, "
           "abandon_asked_us, version,"
           " signaled_version, url, reference, expires_at_us, refunds, occurred_at_us,"
           " changed_at_us, needs_person, booked_minor, booked_currency, settle_asked_us,"
           " settle_comment, signal_due_us, trouble, failure_reason, failure_detail) WHERE p.id = "
           "u.id",
    .in = payment_update_columns,
};

/* ---- inbox ---- */

static const struct pg_column inbox_columns[] = {
    PG_COLUMN(struct inbox, key, PG_TEXT),
    PG_COLUMN(struct inbox, request_id, PG_UUID),
    PG_COLUMN(struct inbox, payment_id, PG_UUID),
    PG_COLUMN(struct inbox, received_at_us, PG_INT8),
    { 0 },
};

/* Never changed, so it needs no lock: of two writers one inserts nothing and runs again. */
const struct pg_statement inbox_load = {
    .name = "inbox_load",
    .sql = "SELECT key, request_id, payment_id, received_at_us FROM payment_inbox"
           " WHERE key = ANY($1::text[]) ORDER BY key",
    .in = key_text,
    .out = inbox_columns,
    .out_bytes = sizeof(struct inbox),
};

const struct pg_statement inbox_insert = {
    .name = "inbox_insert",
    .sql = "INSERT INTO payment_inbox (key, request_id, payment_id, received_at_us)"
           " SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::bigint[])"
           " ON CONFLICT DO NOTHING",
    .in = inbox_columns,
};

const struct pg_statement payment_inbox_purge = {
    .name = "inbox_purge",
    .sql = "DELETE FROM payment_inbox WHERE key IN (SELECT key FROM payment_inbox"
           " WHERE received_at_us < mesh_now_us($1) - 3888000000000"
           " ORDER BY received_at_us" SWEEP_LIMIT ")",
    .in = store_clock_program,
    .is_single = true,
};
_Static_assert(ID_DAYS_KEPT *DAY_US == 3888000000000, "as in inbox_purge");

/* ---- provider_task ---- */

static const struct pg_column task_columns[] = {
    PG_COLUMN(struct task, payment_id, PG_UUID),
    PG_COLUMN(struct task, provider, PG_TEXT),
    PG_COLUMN(struct task, kind, PG_INT4),
    PG_COLUMN(struct task, due_us, PG_INT8),
    PG_COLUMN(struct task, is_leased, PG_BOOL),
    PG_COLUMN(struct task, lease, PG_INT4),
    PG_COLUMN(struct task, attempts, PG_INT4),
    PG_COLUMN(struct task, create_state, PG_INT4),
    PG_COLUMN(struct task, abandon_step, PG_INT4),
    PG_COLUMN(struct task, polls, PG_INT4),
    PG_COLUMN(struct task, query_wanted, PG_BOOL),
    PG_COLUMN(struct task, last_query_done, PG_BOOL),
    PG_COLUMN(struct task, queried_at_us, PG_INT8),
    PG_COLUMN(struct task, watched_until_us, PG_INT8),
    PG_COLUMN(struct task, give_up_us, PG_INT8),
    PG_COLUMN(struct task, refund_state, PG_INT4),
    PG_COLUMN(struct task, tried_us, PG_INT8),
    PG_COLUMN(struct task, is_by_hint, PG_BOOL),
    PG_COLUMN(struct task, is_hint_asked, PG_BOOL),
    PG_COLUMN(struct task, hint_attempts, PG_INT4),
    PG_COLUMN(struct task, silent_since_us, PG_INT8),
    PG_COLUMN(struct task, refund_sent_us, PG_INT8),
    PG_COLUMN(struct task, last_query_us, PG_INT8),
    PG_COLUMN(struct task, errand, PG_INT4),
    PG_COLUMN(struct task, unread, PG_INT4),
    { 0 },
};
#define TASK_COLUMNS                                                                               \
    "payment_id, provider, kind, due_us, is_leased, lease, attempts, create_state, abandon_step,"  \
    " polls, query_wanted, last_query_done, queried_at_us, watched_until_us, give_up_us,"          \
    " refund_state, tried_us, is_by_hint, is_hint_asked, hint_attempts, silent_since_us,"          \
    " refund_sent_us, last_query_us, errand, unread"
#define TASK_ARRAYS                                                                                \
    "unnest($1::uuid[], $2::text[], $3::int[], $4::bigint[], $5::boolean[], $6::int[], $7::int[]," \
    " $8::int[], $9::int[], $10::int[], $11::boolean[], $12::boolean[], $13::bigint[],"            \
    " $14::bigint[], $15::bigint[], $16::int[], $17::bigint[], $18::boolean[], $19::boolean[],"    \
    " $20::int[], $21::bigint[], $22::bigint[], $23::bigint[], $24::int[], $25::int[])"

const struct pg_statement task_load = {
    .name = "task_load",
    .sql = "SELECT " TASK_COLUMNS " FROM provider_task WHERE payment_id = ANY($1::uuid[])"
           " ORDER BY payment_id FOR UPDATE",
    .in = key_uuid,
    .out = task_columns,
    .out_bytes = sizeof(struct task),
};

BATCH_LOCKED(task_locked, "provider_task", "payment_id", UUID);

const struct pg_statement task_insert = {
    .name = "task_insert",
    .sql = "INSERT INTO provider_task (" TASK_COLUMNS ") SELECT * FROM " TASK_ARRAYS
           " ON CONFLICT DO NOTHING",
    .in = task_columns,
};

const struct pg_statement task_update = {
    .name = "task_update",
    .sql = "UPDATE provider_task t SET kind = u.kind, due_us = u.due_us, is_leased = u.is_leased,"
           " lease = u.lease, attempts = u.attempts, create_state = u.create_state,"
           " abandon_step = u.abandon_step, polls = u.polls, query_wanted = u.query_wanted,"
           " last_query_done = u.last_query_done, queried_at_us = u.queried_at_us,"
           " watched_until_us = u.watched_until_us, give_up_us = u.give_up_us,"
           " refund_state = u.refund_state, tried_us = u.tried_us, is_by_hint = u.is_by_hint,"
           " is_hint_asked = u.is_hint_asked, hint_attempts = u.hint_attempts,"
           " silent_since_us = u.silent_since_us, refund_sent_us = u.refund_sent_us,"
           " last_query_us = u.last_query_us, errand = u.errand, unread = u.unread"
           " FROM " TASK_ARRAYS " AS u(" TASK_COLUMNS ") WHERE t.payment_id = u.payment_id",
    .in = task_columns,
};

/* ---- reads ---- */

static const struct pg_statement payment_get = {
    .name = "payment_get",
    .sql = "SELECT " PAYMENT_COLUMNS " FROM payment WHERE id = ANY($1::uuid[])"
           " AND fingerprint <> 0",
    .in = key_uuid,
    .out = payment_columns,
    .out_bytes = sizeof(struct payment),
};

static const struct lookup get_lookup = {
    .statement = &payment_get,
    .key = BATCH_KEY_UUID,
    .op_key_offset = offsetof(struct get_payment, op.id),
    .row_key_offset = offsetof(struct payment, record.id),
    .result_offset = offsetof(struct get_payment, payment),
    .field = "payment_id",
    .noun = "payment",
};

static const struct pg_column page_columns[] = {
    PG_COLUMN(struct list_payments, op.id, PG_UUID),
    { 0 },
};

static const struct pg_statement payment_page = {
    .name = "payment_page",
    .sql = "SELECT " PAYMENT_COLUMNS " FROM payment WHERE order_id = $1 AND fingerprint <> 0"
           " ORDER BY id LIMIT 100",
    .in = page_columns,
    .is_single = true,
    .out = payment_columns,
    .out_bytes = sizeof(struct payment),
};
_Static_assert(PAYMENT_LISTED_MAX == 100, "as in payment_page");

static enum error
list_read(struct pg *pg, struct op *const *ops, size_t count, struct arena *arena)
{
    enum error error = ERR_OK;

    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        struct list_payments *list = (struct list_payments *)ops[i];
        struct pg_answer answer;

        error = pg_ask(pg, &payment_page, list, arena, &answer);
        list->payments = answer.rows;
        list->count = answer.count;
    }
    return error;
}

static const struct pg_column all_columns[] = {
    PG_COLUMN(struct list_all, before_id, PG_UUID),
    PG_COLUMN(struct list_all, page_size, PG_INT4),
    { 0 },
};

static const struct pg_statement payment_page_all = {
    .name = "payment_page_all",
    .sql = "SELECT " PAYMENT_COLUMNS " FROM payment WHERE id < $1 ORDER BY id DESC"
           " LIMIT $2::int + 1",
    .in = all_columns,
    .is_single = true,
    .out = payment_columns,
    .out_bytes = sizeof(struct payment),
};

static enum error
all_read(struct pg *pg, struct op *const *ops, size_t count, struct arena *arena)
{
    enum error error = ERR_OK;

    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        struct list_all *list = (struct list_all *)ops[i];
        struct page page;

        error = page_read(pg, &payment_page_all, list, list->page_size, arena, &page);
        list->payments = page.rows;
        list->count = page.count;
        list->has_more = page.has_more;
    }
    return error;
}

static const struct pg_column troubled_columns[] = {
    PG_COLUMN(struct list_troubled, op.id, PG_UUID),
    PG_COLUMN(struct list_troubled, page_size, PG_INT4),
    { 0 },
};

static const struct pg_statement payment_troubled = {
    .name = "payment_troubled",
    .sql = "SELECT " PAYMENT_COLUMNS " FROM payment WHERE needs_person AND id > $1"
           " ORDER BY id LIMIT $2::int + 1",
    .in = troubled_columns,
    .is_single = true,
    .out = payment_columns,
    .out_bytes = sizeof(struct payment),
};

static enum error
troubled_read(struct pg *pg, struct op *const *ops, size_t count, struct arena *arena)
{
    enum error error = ERR_OK;

    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        struct list_troubled *list = (struct list_troubled *)ops[i];
        struct page page;

        error = page_read(pg, &payment_troubled, list, list->page_size, arena, &page);
        list->payments = page.rows;
        list->count = page.count;
        list->has_more = page.has_more;
    }
    return error;
}

const struct read payment_reads[] = {
    { .name = "Get", .lookup = &get_lookup },
    { .name = "List", .read = list_read },
    { .name = "ListAll", .read = all_read },
    { .name = "ListTroubled", .read = troubled_read },
    { 0 },
};

/* ---- the program's own looks: what is due ---- */

static const struct pg_column range_columns[] = {
    PG_COLUMN(struct task_range, lane, PG_INT4),
    PG_COLUMN(struct task_range, provider, PG_TEXT),
    PG_COLUMN(struct task_range, errand, PG_INT4),
    PG_COLUMN(struct task_range, program_us, PG_INT8),
    { 0 },
};

static const struct pg_column found_columns[] = {
    PG_COLUMN(struct task_found, lane, PG_INT4),
    PG_COLUMN(struct task_found, errand, PG_INT4),
    PG_COLUMN(struct task_found, payment_id, PG_UUID),
    { 0 },
};

/* Of each range the oldest. By the time that the lease will be decided by. */
const struct pg_statement payment_tasks_due = {
    .name = "tasks_due",
    .sql = "SELECT r.lane, r.errand, d.payment_id"
           " FROM unnest($1::int[], $2::text[], $3::int[], $4::bigint[])"
           " AS r(lane, provider, errand, program_us)"
           " CROSS JOIN LATERAL (SELECT payment_id, due_us FROM provider_task t"
           " WHERE t.provider = r.provider AND t.errand = r.errand"
           " AND t.due_us <= mesh_now_us(r.program_us)"
           " ORDER BY t.due_us LIMIT 64) d ORDER BY r.lane, r.errand, d.due_us",
    .in = range_columns,
    .out = found_columns,
    .out_bytes = sizeof(struct task_found),
};
_Static_assert(TASKS_FOUND_MAX == 64, "as in payment_tasks_due");

const struct pg_statement payment_give_ups_due = {
    .name = "give_ups_due",
    .sql = "SELECT payment_id, give_up_us FROM provider_task WHERE give_up_us > 0"
           " AND give_up_us <= mesh_now_us($1) ORDER BY give_up_us" SWEEP_LIMIT,
    .in = store_clock_program,
    .is_single = true,
    .out = walk_row_columns,
    .out_bytes = sizeof(struct walk_row),
};

static const struct pg_column overdue_columns[] = {
    PG_COLUMN(struct overdue_provider, provider, PG_TEXT),
    { 0 },
};

/* Providers of whose tasks one has been due for ten minutes. They are few, so the index is walked from one
 * to the next. */
const struct pg_statement payment_overdue_providers = {
    .name = "overdue_providers",
    .sql = "WITH RECURSIVE names(provider) AS ("
           " (SELECT provider FROM provider_task WHERE provider > '' ORDER BY provider LIMIT 1)"
           " UNION ALL SELECT (SELECT t.provider FROM provider_task t"
           " WHERE t.provider > n.provider ORDER BY t.provider LIMIT 1)"
           " FROM names n WHERE n.provider IS NOT NULL)"
           " SELECT n.provider FROM names n WHERE n.provider IS NOT NULL"
           " AND (SELECT t.due_us FROM unnest('{0,1,2,3,4}'::int[]) AS e(errand)"
           " CROSS JOIN LATERAL (SELECT due_us FROM provider_task t WHERE t.provider = n.provider"
           " AND t.errand = e.errand ORDER BY t.due_us LIMIT 1) t ORDER BY t.due_us LIMIT 1)"
           " <= (extract(epoch FROM now()) * 1000000)::bigint - 600000000",
    .is_single = true,
    .out = overdue_columns,
    .out_bytes = sizeof(struct overdue_provider),
};

static const struct pg_column signal_due_columns[] = {
    PG_COLUMN(struct signal_due, payment_id, PG_UUID),
    PG_COLUMN(struct signal_due, version, PG_INT4),
    PG_COLUMN(struct signal_due, due_us, PG_INT8),
    { 0 },
};

const struct pg_statement payment_signals_due = {
    .name = "signals_due",
    .sql = "SELECT id, version, signal_due_us FROM payment WHERE signaled_version < version"
           " AND signal_due_us <= mesh_now_us($1) ORDER BY signal_due_us" SWEEP_LIMIT,
    .in = store_clock_program,
    .is_single = true,
    .out = signal_due_columns,
    .out_bytes = sizeof(struct signal_due),
};

static const struct pg_column signal_late_columns[] = {
    PG_COLUMN(struct signal_late, payment_id, PG_UUID),
    PG_COLUMN(struct signal_late, order_id, PG_UUID),
    PG_COLUMN(struct signal_late, late_us, PG_INT8),
    { 0 },
};

/* Those that changed more than ten minutes ago, and were told since: that puts off when they are due. */
const struct pg_statement payment_signals_late = {
    .name = "signals_late",
    .sql = "WITH clock AS MATERIALIZED"
           " (SELECT mesh_now_us($1) AS now_us)"
           " SELECT id, order_id, now_us - changed_at_us FROM clock, payment"
           " WHERE signaled_version < version AND signal_due_us > now_us + 2000000"
           " AND changed_at_us < now_us - 600000000 ORDER BY changed_at_us" SWEEP_LIMIT,
    .in = store_clock_program,
    .out = signal_late_columns,
    .is_single = true,
    .out_bytes = sizeof(struct signal_late),
};
_Static_assert(SIGNAL_FRESH_US == 2000000, "as in signals_late");

const struct pg_statement *const payment_statements[] = {
    &payment_get,
    &payment_page,
    &payment_page_all,
    &payment_troubled,
    &payment_tasks_due,
    &payment_give_ups_due,
    &payment_signals_due,
    &payment_signals_late,
    &payment_inbox_purge,
    &payment_overdue_providers,
    NULL,
};
