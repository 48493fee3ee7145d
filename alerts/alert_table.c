/* alert_table.c -- Rows of the tables that people's ops and the program's own change, and all reads.
 *
 * Alerts, notices and dead letters are made by the pages of shards (alert_store.c), those of silent sources here. A
 * row is locked when it is loaded, so what an update writes back of it that the op did not change is as it is.
 */
#include "alerts/alert.h"
#include "alerts/dead_letter.h"
#include "alerts/letter_send.h"
#include "alerts/notice.h"
#include "alerts/notice_send.h"
#include "alerts/silence.h"
#include "mesh/store/lookup.h"
#include "mesh/store/page.h"

static const struct pg_column key_uuid[] = { { "id", PG_UUID, 0 }, { 0 } };
static const struct pg_column key_text[] = { { "key", PG_TEXT, 0 }, { 0 } };

/* ---- repair ---- */

static const struct pg_column repair_columns[] = {
    PG_COLUMN(struct repair_row, record.id, PG_UUID),
    PG_COLUMN(struct repair_row, record.fingerprint, PG_INT8),
    PG_COLUMN(struct repair_row, record.reason, PG_TEXT),
    PG_COLUMN(struct repair_row, record.detail, PG_TEXT),
    PG_COLUMN(struct repair_row, alert_id, PG_UUID),
    PG_COLUMN(struct repair_row, by, PG_TEXT),
    PG_COLUMN(struct repair_row, why, PG_TEXT),
    PG_COLUMN(struct repair_row, begun_us, PG_INT8),
    PG_COLUMN(struct repair_row, ended_us, PG_INT8),
    PG_COLUMN(struct repair_row, is_done, PG_BOOL),
    PG_COLUMN(struct repair_row, outcome, PG_TEXT),
    { 0 },
};
#define REPAIR_COLUMNS                                                                             \
    "id, fingerprint, reason, detail, alert_id, operator, why, begun_us, ended_us, is_done, "      \
    "outcome"

static const struct pg_statement repair_load = {
    .name = "repair_load",
    .sql = "SELECT " REPAIR_COLUMNS " FROM repair WHERE id = ANY($1::uuid[])"
           " ORDER BY id FOR UPDATE",
    .in = key_uuid,
    .out = repair_columns,
    .out_bytes = sizeof(struct repair_row),
};

static BATCH_LOCKED(repair_locked, "repair", "id", UUID);

static const struct pg_statement repair_insert = {
    .name = "repair_insert",
    .sql = "INSERT INTO repair (" REPAIR_COLUMNS ") SELECT * FROM unnest($1::uuid[], $2::bigint[],"
           " $3::text[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::bigint[],"
           " $9::bigint[], $10::boolean[], $11::text[]) ON CONFLICT DO NOTHING",
    .in = repair_columns,
};

static const struct pg_column repair_update_columns[] = {
    PG_COLUMN(struct repair_row, record.id, PG_UUID),
    PG_COLUMN(struct repair_row, ended_us, PG_INT8),
    PG_COLUMN(struct repair_row, is_done, PG_BOOL),
    PG_COLUMN(struct repair_row, outcome, PG_TEXT),
    { 0 },
};

static const struct pg_statement repair_update = {
    .name = "repair_update",
    .sql = "UPDATE repair r SET ended_us = u.ended_us, is_done = u.is_done, outcome = u.outcome"
           " FROM unnest($1::uuid[], $2::bigint[], $3::boolean[], $4::text[])"
           " AS u(id, ended_us, is_done, outcome) WHERE r.id = u.id",
    .in = repair_update_columns,
};

/* ---- silence ---- */

static const struct pg_column silence_columns[] = {
    PG_COLUMN(struct silence_row, source, PG_TEXT),
    PG_COLUMN(struct silence_row, alert_id, PG_UUID),
    { 0 },
};

static const struct pg_statement silence_load = {
    .name = "silence_load",
    .sql = "SELECT source, alert_id FROM silence WHERE source = ANY($1::text[])"
           " ORDER BY source FOR UPDATE",
    .in = key_text,
    .out = silence_columns,
    .out_bytes = sizeof(struct silence_row),
};

static BATCH_LOCKED(silence_locked, "silence", "source", TEXT);

static const struct pg_statement silence_insert = {
    .name = "silence_insert",
    .sql = "INSERT INTO silence (source, alert_id) SELECT * FROM unnest($1::text[], $2::uuid[])"
           " ON CONFLICT DO NOTHING",
    .in = silence_columns,
};

static const struct pg_statement silence_update = {
    .name = "silence_update",
    .sql = "UPDATE silence s SET alert_id = u.alert_id"
           " FROM unnest($1::text[], $2::uuid[]) AS u(source, alert_id) WHERE s.source = u.source",
    .in = silence_columns,
};

/* ---- alert ---- */

static const struct pg_column alert_columns[] = {
    PG_COLUMN(struct alert_row, raise.id, PG_UUID),
    PG_COLUMN(struct alert_row, raise.rule, PG_TEXT),
    PG_COLUMN(struct alert_row, raise.severity, PG_TEXT),
    PG_COLUMN(struct alert_row, raise.subject, PG_TEXT),
    PG_COLUMN(struct alert_row, raise.payload, PG_TEXT),
    PG_COLUMN(struct alert_row, raise.occurred_us, PG_INT8),
    PG_COLUMN(struct alert_row, raise.detected_us, PG_INT8),
    PG_COLUMN(struct alert_row, resolved_payload, PG_TEXT),
    PG_COLUMN(struct alert_row, resolved_us, PG_INT8),
    PG_COLUMN(struct alert_row, acknowledged_us, PG_INT8),
    PG_COLUMN(struct alert_row, acknowledged_by, PG_TEXT),
    PG_COLUMN(struct alert_row, acknowledged_reason, PG_TEXT),
    { 0 },
};
#define ALERT_COLUMNS                                                                              \
    "id, rule, severity, subject, payload, occurred_us, detected_us, resolved_payload,"            \
    " resolved_us, acknowledged_us, acknowledged_by, acknowledged_reason"

static const struct pg_statement alert_load = {
    .name = "alert_load",
    .sql = "SELECT " ALERT_COLUMNS " FROM alert WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE",
    .in = key_uuid,
    .out = alert_columns,
    .out_bytes = sizeof(struct alert_row),
};

static BATCH_LOCKED(alert_locked, "alert", "id", UUID);

static const struct pg_column alert_update_columns[] = {
    PG_COLUMN(struct alert_row, raise.id, PG_UUID),
    PG_COLUMN(struct alert_row, acknowledged_us, PG_INT8),
    PG_COLUMN(struct alert_row, acknowledged_by, PG_TEXT),
    PG_COLUMN(struct alert_row, acknowledged_reason, PG_TEXT),
    PG_COLUMN(struct alert_row, resolved_us, PG_INT8),
    PG_COLUMN(struct alert_row, resolved_payload, PG_TEXT),
    { 0 },
};

static const struct pg_statement alert_update = {
    .name = "alert_update",
    .sql =
        "UPDATE alert a SET acknowledged_us = u.at_us, acknowledged_by = u.person,"
        " acknowledged_reason = u.why, resolved_us = u.resolved_us, resolved_payload = u.payload"
        " FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[])"
        " AS u(id, at_us, person, why, resolved_us, payload) WHERE a.id = u.id",
    .in = alert_update_columns,
};

/* ---- notice ---- */

static const struct pg_column notice_columns[] = {
    PG_COLUMN(struct notice_life, row.key, PG_TEXT),
    PG_COLUMN(struct notice_life, row.alert_id, PG_UUID),
    PG_COLUMN(struct notice_life, row.state, PG_TEXT),
    PG_COLUMN(struct notice_life, row.destination, PG_TEXT),
    PG_COLUMN(struct notice_life, row.made_us, PG_INT8),
    PG_COLUMN(struct notice_life, next_us, PG_INT8),
    PG_COLUMN(struct notice_life, lease, PG_INT4),
    PG_COLUMN(struct notice_life, attempts, PG_INT4),
    PG_COLUMN(struct notice_life, ended_us, PG_INT8),
    PG_COLUMN(struct notice_life, is_sent, PG_BOOL),
    PG_COLUMN(struct notice_life, trouble, PG_TEXT),
    { 0 },
};

static const struct pg_statement notice_load = {
    .name = "notice_load",
    .sql = "SELECT key, alert_id, state, destination, made_us, next_us, lease, attempts, ended_us,"
           " is_sent, trouble FROM notice WHERE key = ANY($1::text[]) ORDER BY key FOR UPDATE",
    .in = key_text,
    .out = notice_columns,
    .out_bytes = sizeof(struct notice_life),
};

static BATCH_LOCKED(notice_locked, "notice", "key", TEXT);

static const struct pg_column notice_update_columns[] = {
    PG_COLUMN(struct notice_life, row.key, PG_TEXT),
    PG_COLUMN(struct notice_life, next_us, PG_INT8),
    PG_COLUMN(struct notice_life, lease, PG_INT4),
    PG_COLUMN(struct notice_life, attempts, PG_INT4),
    PG_COLUMN(struct notice_life, ended_us, PG_INT8),
    PG_COLUMN(struct notice_life, is_sent, PG_BOOL),
    PG_COLUMN(struct notice_life, trouble, PG_TEXT),
    { 0 },
};

static const struct pg_statement notice_update = {
    .name = "notice_update",
    .sql = "UPDATE notice n SET next_us = u.next_us, lease = u.lease, attempts = u.attempts,"
           " ended_us = u.ended_us, is_sent = u.is_sent, trouble = u.trouble"
           " FROM unnest($1::text[], $2::bigint[], $3::int[], $4::int[], $5::bigint[],"
           " $6::boolean[], $7::text[])"
           " AS u(key, next_us, lease, attempts, ended_us, is_sent, trouble) WHERE n.key = u.key",
    .in = notice_update_columns,
};

/* ---- dead letter ---- */

#define LETTER_PG_COLUMNS(row, member)                                                             \
    PG_COLUMN(row, member id, PG_UUID), PG_COLUMN(row, member topic, PG_TEXT),                     \
        PG_COLUMN(row, member part, PG_INT4), PG_COLUMN(row, member place, PG_INT8),               \
        PG_COLUMN(row, member reason, PG_TEXT), PG_COLUMN(row, member found_us, PG_INT8),          \
        PG_COLUMN(row, member due, PG_INT4), PG_COLUMN(row, member claimed_until_us, PG_INT8),     \
        PG_COLUMN(row, member sent_us, PG_INT8), PG_COLUMN(row, member resends_asked, PG_INT4),    \
        PG_COLUMN(row, member resends, PG_INT4), PG_COLUMN(row, member resent_us, PG_INT8),        \
        PG_COLUMN(row, member resend_by, PG_TEXT), PG_COLUMN(row, member resend_reason, PG_TEXT),  \
        PG_COLUMN(row, member failures, PG_INT4), PG_COLUMN(row, member refusals, PG_INT4),        \
        PG_COLUMN(row, member refused_us, PG_INT8), PG_COLUMN(row, member refusal, PG_TEXT)
#define LETTER_COLUMNS                                                                             \
    "id, topic, part, place, reason, found_us, due, claimed_until_us, sent_us, resends_asked, "    \
    "resends, resent_us,"                                                                          \
    " resend_by, resend_reason, failures, refusals, refused_us, refusal"

static const struct pg_column letter_columns[] = { LETTER_PG_COLUMNS(struct letter_row, ), { 0 } };

static const struct pg_statement letter_load = {
    .name = "letter_load",
    .sql = "SELECT " LETTER_COLUMNS " FROM dead_letter WHERE id = ANY($1::uuid[])"
           " ORDER BY id FOR UPDATE",
    .in = key_uuid,
    .out = letter_columns,
    .out_bytes = sizeof(struct letter_row),
};

static BATCH_LOCKED(letter_locked, "dead_letter", "id", UUID);

static const struct pg_column letter_update_columns[] = {
    PG_COLUMN(struct letter_row, id, PG_UUID),
    PG_COLUMN(struct letter_row, due, PG_INT4),
    PG_COLUMN(struct letter_row, claimed_until_us, PG_INT8),
    PG_COLUMN(struct letter_row, sent_us, PG_INT8),
    PG_COLUMN(struct letter_row, resends_asked, PG_INT4),
    PG_COLUMN(struct letter_row, resends, PG_INT4),
    PG_COLUMN(struct letter_row, resent_us, PG_INT8),
    PG_COLUMN(struct letter_row, resend_by, PG_TEXT),
    PG_COLUMN(struct letter_row, resend_reason, PG_TEXT),
    PG_COLUMN(struct letter_row, failures, PG_INT4),
    PG_COLUMN(struct letter_row, refusals, PG_INT4),
    PG_COLUMN(struct letter_row, refused_us, PG_INT8),
    PG_COLUMN(struct letter_row, refusal, PG_TEXT),
    { 0 },
};

static const struct pg_statement letter_update = {
    .name = "letter_update",
    .sql =
        "UPDATE dead_letter l SET due = u.due, claimed_until_us = u.claimed_until_us,"
        " sent_us = u.sent_us, resends_asked = u.resends_asked, resends = u.resends,"
        " resent_us = u.resent_us, resend_by = u.resend_by, resend_reason = u.resend_reason,"
        " failures = u.failures, refusals = u.refusals, refused_us = u.refused_us,"
        " refusal = u.refusal"
        " FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[], $5::int[], $6::int[],"
        " $7::bigint[], $8::text[], $9::text[], $10::int[], $11::int[], $12::bigint[],"
        " $13::text[]) AS u(id, due, claimed_until_us, sent_us, resends_asked, resends, resent_us,"
        " resend_by, resend_reason, failures, refusals, refused_us, refusal) WHERE l.id = u.id",
    .in = letter_update_columns,
};

/* ---- the service's tables, in the order of loading, locking and saving ---- */

static const struct batch_table tables[] = {
    [ALERT_OP] = OP_TABLE,
    [ALERT_REPAIR] = { .name = "repair",
                       .row_bytes = sizeof(struct repair_row),
                       .key = BATCH_KEY_UUID,
                       .key_offset = 0,
                       .load = &repair_load,
                       .locked = &repair_locked,
                       .insert = &repair_insert,
                       .update = &repair_update,
                       .is_record = true },
    [ALERT_SILENCE] = { .name = "silence",
                        .row_bytes = sizeof(struct silence_row),
                        .key = BATCH_KEY_TEXT,
                        .key_offset = offsetof(struct silence_row, source),
                        .load = &silence_load,
                        .locked = &silence_locked,
                        .insert = &silence_insert,
                        .update = &silence_update },
    [ALERT_ALERT] = { .name = "alert",
                      .row_bytes = sizeof(struct alert_row),
                      .key = BATCH_KEY_UUID,
                      .key_offset = 0,
                      .load = &alert_load,
                      .locked = &alert_locked,
                      .insert = &alert_raise_insert,
                      .update = &alert_update },
    [ALERT_NOTICE] = { .name = "notice",
                       .row_bytes = sizeof(struct notice_life),
                       .key = BATCH_KEY_TEXT,
                       .key_offset = offsetof(struct notice_life, row.key),
                       .load = &notice_load,
                       .locked = &notice_locked,
                       .insert = &notice_insert,
                       .update = &notice_update },
    [ALERT_LETTER] = { .name = "dead_letter",
                       .row_bytes = sizeof(struct letter_row),
                       .key = BATCH_KEY_UUID,
                       .key_offset = 0,
                       .load = &letter_load,
                       .locked = &letter_locked,
                       .update = &letter_update },
};

const struct batch_service alert_service = {
    .name = "alerts-svc",
    .tables = tables,
    .table_count = sizeof tables / sizeof *tables,
    .has_events = true,
};

/* ---- reads of alerts ---- */

static const struct pg_column page_columns[] = {
    PG_COLUMN(struct list_alerts, before_id, PG_UUID),
    PG_COLUMN(struct list_alerts, page_size, PG_INT4),
    PG_COLUMN(struct list_alerts, until_us, PG_INT8),
    PG_COLUMN(struct list_alerts, rule, PG_TEXT),
    { 0 },
};
#define LISTED_COLUMNS                                                                             \
    "id, rule, severity, subject, '', occurred_us, detected_us, '', resolved_us,"                  \
    " acknowledged_us, acknowledged_by, acknowledged_reason"
/* clang-format off */
#define ALERT_PAGE(variable, condition) \
    static const struct pg_statement variable = { \
        .name = #variable, \
        .sql = "SELECT " LISTED_COLUMNS " FROM alert WHERE " condition \
               " AND seq < " PAGE_BEFORE("alert", "$1") " AND detected_us <= $3" \
               " ORDER BY seq DESC LIMIT $2::int + 1", \
        .in = page_columns, \
        .is_single = true, \
        .out = alert_columns, \
        .out_bytes = sizeof(struct alert_row), \
    }
/* clang-format on */

/* Open ones are few, so their rule is asked for as they are read; ended ones grow in number for ever. */
ALERT_PAGE(alert_page_open, "resolved_us = 0 AND ($4 = '' OR rule = $4)");
ALERT_PAGE(alert_page_all, "$4 = ''");
ALERT_PAGE(alert_page_rule, "rule = $4");

static enum error
list_alerts_read(struct pg *pg, struct op *const *ops, size_t count, struct arena *arena)
{
    enum error error = ERR_OK;

    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        struct list_alerts *list = (struct list_alerts *)ops[i];
        struct page page;

        error = page_read(pg,
                          list->is_open_only      ? &alert_page_open
                          : list->rule[0] == '\0' ? &alert_page_all
                                                  : &alert_page_rule,
                          list, list->page_size, arena, &page);
        list->alerts = page.rows;
        list->count = page.count;
        list->has_more = page.has_more;
    }
    return error;
}

static const struct pg_column id_column[] = { PG_COLUMN(struct get_alert, op.id, PG_UUID), { 0 } };

static const struct pg_statement alert_get = {
    .name = "alert_get",
    .sql = "SELECT " ALERT_COLUMNS " FROM alert WHERE id = $1",
    .in = id_column,
    .is_single = true,
    .out = alert_columns,
    .out_bytes = sizeof(struct alert_row),
};

static const struct pg_statement repairs_of_alert = {
    .name = "repairs_of_alert",
    .sql = "SELECT " REPAIR_COLUMNS " FROM repair WHERE alert_id = $1 AND reason = ''"
           " ORDER BY id LIMIT 100",
    .in = id_column,
    .is_single = true,
    .out = repair_columns,
    .out_bytes = sizeof(struct repair_row),
};
_Static_assert(REPAIRS_SHOWN_MAX == 100, "as in repairs_of_alert");

/* Persons alone ask for one, so each is asked for by itself. */
static enum error
get_alert_read(struct pg *pg, struct op *const *ops, size_t count, struct arena *arena)
{
    enum error error = ERR_OK;

    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        struct get_alert *get = (struct get_alert *)ops[i];
        const void *rows[] = { get };
        struct pg_step steps[] = { { .statement = &alert_get, .rows = rows, .count = 1 },
                                   { .statement = &repairs_of_alert, .rows = rows, .count = 1 } };

        error = pg_round(pg, false, steps, 2, arena);
        if (error == ERR_OK && steps[0].ret_count == 0)
            problem_set(&get->op.problem, ERR_NOT_FOUND, "alert_id", "there is no such alert");
        else if (error == ERR_OK)
            get->alert = *(struct alert_row *)steps[0].ret_rows;
        get->repairs = steps[1].ret_rows;
        get->repair_count = steps[1].ret_count;
    }
    return error;
}

/* ---- reads of dead letters ---- */

static const struct pg_column letter_page_columns[] = {
    PG_COLUMN(struct list_letters, before_id, PG_UUID),
    PG_COLUMN(struct list_letters, page_size, PG_INT4),
    { 0 },
};

static const struct pg_statement letter_page = {
    .name = "letter_page",
    .sql = "SELECT " LETTER_COLUMNS " FROM dead_letter WHERE id < $1"
           " ORDER BY id DESC LIMIT $2::int + 1",
    .in = letter_page_columns,
    .is_single = true,
    .out = letter_columns,
    .out_bytes = sizeof(struct letter_row),
};

static enum error
list_letters_read(struct pg *pg, struct op *const *ops, size_t count, struct arena *arena)
{
    enum error error = ERR_OK;

    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        struct list_letters *list = (struct list_letters *)ops[i];
        struct page page;

        error = page_read(pg, &letter_page, list, list->page_size, arena, &page);
        list->letters = page.rows;
        list->count = page.count;
        list->has_more = page.has_more;
    }
    return error;
}

static const struct pg_column whole_columns[] = {
    LETTER_PG_COLUMNS(struct letter_whole, letter.),
    PG_COLUMN(struct letter_whole, timestamp_ms, PG_INT8),
    PG_COLUMN(struct letter_whole, key, PG_BYTES),
    PG_COLUMN(struct letter_whole, value, PG_BYTES),
    PG_COLUMN(struct letter_whole, headers, PG_BYTES),
    PG_COLUMN(struct letter_whole, value_bytes, PG_INT8),
    { 0 },
};

/* A part of a long one: all of it would not fit into a message. */
static const struct pg_statement letter_get = {
    .name = "letter_get",
    .sql = "SELECT " LETTER_COLUMNS ", timestamp_ms, substring(key FOR 65536),"
           " substring(value FOR 65536), substring(headers FOR 65536),"
           " coalesce(octet_length(value), 0)::bigint"
           " FROM dead_letter WHERE id = ANY($1::uuid[])",
    .in = key_uuid,
    .out = whole_columns,
    .out_bytes = sizeof(struct letter_whole),
};
_Static_assert(DEAD_LETTER_SHOWN_BYTES == 65536, "as in letter_get");

static const struct lookup get_letter_lookup = {
    .statement = &letter_get,
    .key = BATCH_KEY_UUID,
    .op_key_offset = offsetof(struct get_letter, op.id),
    .row_key_offset = offsetof(struct letter_whole, letter.id),
    .result_offset = offsetof(struct get_letter, whole),
    .field = "dead_letter_id",
    .noun = "dead letter",
};

const struct read alert_reads[] = {
    { .name = "ListAlerts", .read = list_alerts_read },
    { .name = "GetAlert", .read = get_alert_read },
    { .name = "ListDeadLetters", .read = list_letters_read },
    { .name = "GetDeadLetter", .lookup = &get_letter_lookup },
    { 0 },
};

const struct pg_statement *const desk_statements[] = {
    &alert_page_open,  &alert_page_all, &alert_page_rule, &alert_get,
    &repairs_of_alert, &letter_page,    &letter_get,      &notices_due,
    &letters_due,      &letters_forget, &silences_find,   NULL,
};
