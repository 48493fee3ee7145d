/* alert_store.c -- What a shard writes in the transaction of its page: alerts, notices, dead letters, sources.
 *
 * A page whose COMMIT was in doubt is written again, and a shard that was taken over may decide once more what
 * its last owner decided. So inserts leave alone what is there, and an alert is resolved once.
 */
#include "alerts/alert_store.h"
#include "mesh/store/event.h"

static const struct pg_column raise_columns[] = {
    PG_COLUMN(struct alert_raise, id, PG_UUID),
    PG_COLUMN(struct alert_raise, rule, PG_TEXT),
    PG_COLUMN(struct alert_raise, severity, PG_TEXT),
    PG_COLUMN(struct alert_raise, subject, PG_TEXT),
    PG_COLUMN(struct alert_raise, payload, PG_TEXT),
    PG_COLUMN(struct alert_raise, occurred_us, PG_INT8),
    PG_COLUMN(struct alert_raise, detected_us, PG_INT8),
    { 0 },
};

const struct pg_statement alert_raise_insert = {
    .name = "alert_raise_insert",
    .sql = "INSERT INTO alert (id, rule, severity, subject, payload, occurred_us, detected_us,"
           " resolved_payload, resolved_us, acknowledged_us, acknowledged_by, acknowledged_reason)"
           " SELECT u.*, '', 0, 0, '', '' FROM unnest($1::uuid[], $2::text[], $3::text[],"
           " $4::text[], $5::text[], $6::bigint[], $7::bigint[]) AS u ON CONFLICT DO NOTHING",
    .in = raise_columns,
};

static const struct pg_column resolve_columns[] = {
    PG_COLUMN(struct alert_resolve, id, PG_UUID),
    PG_COLUMN(struct alert_resolve, payload, PG_TEXT),
    PG_COLUMN(struct alert_resolve, resolved_us, PG_INT8),
    { 0 },
};

const struct pg_statement alert_resolve_update = {
    .name = "alert_resolve_update",
    .sql = "UPDATE alert a SET resolved_payload = u.payload, resolved_us = u.resolved_us"
           " FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS u(id, payload, resolved_us)"
           " WHERE a.id = u.id AND a.resolved_us = 0",
    .in = resolve_columns,
};

static const struct pg_column notice_columns[] = {
    PG_COLUMN(struct notice_row, key, PG_TEXT),
    PG_COLUMN(struct notice_row, alert_id, PG_UUID),
    PG_COLUMN(struct notice_row, state, PG_TEXT),
    PG_COLUMN(struct notice_row, destination, PG_TEXT),
    PG_COLUMN(struct notice_row, made_us, PG_INT8),
    { 0 },
};

const struct pg_statement notice_insert = {
    .name = "notice_insert",
    .sql = "INSERT INTO notice (key, alert_id, state, destination, made_us, next_us)"
           " SELECT u.*, u.made_us FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[],"
           " $5::bigint[]) AS u(key, alert_id, state, destination, made_us) ON CONFLICT DO NOTHING",
    .in = notice_columns,
};

static const struct pg_column dead_letter_columns[] = {
    PG_COLUMN(struct dead_letter_row, id, PG_UUID),
    PG_COLUMN(struct dead_letter_row, topic, PG_TEXT),
    PG_COLUMN(struct dead_letter_row, part, PG_INT4),
    PG_COLUMN(struct dead_letter_row, place, PG_INT8),
    PG_COLUMN(struct dead_letter_row, timestamp_ms, PG_INT8),
    PG_COLUMN(struct dead_letter_row, key, PG_BYTES),
    PG_COLUMN(struct dead_letter_row, value, PG_BYTES),
    PG_COLUMN(struct dead_letter_row, headers, PG_BYTES),
    PG_COLUMN(struct dead_letter_row, reason, PG_TEXT),
    PG_COLUMN(struct dead_letter_row, found_us, PG_INT8),
    { 0 },
};

const struct pg_statement dead_letter_insert = {
    .name = "dead_letter_insert",
    .sql = "INSERT INTO dead_letter (id, topic, part, place, timestamp_ms, key, value, headers,"
           " reason, found_us) SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[],"
           " $4::bigint[], $5::bigint[], $6::bytea[], $7::bytea[], $8::bytea[], $9::text[],"
           " $10::bigint[]) ON CONFLICT DO NOTHING",
    .in = dead_letter_columns,
};

static const struct pg_column source_columns[] = {
    PG_COLUMN(struct alert_source_row, source, PG_TEXT),
    PG_COLUMN(struct alert_source_row, shard, PG_INT4),
    PG_COLUMN(struct alert_source_row, heard_us, PG_INT8),
    PG_COLUMN(struct alert_source_row, checked_us, PG_INT8),
    PG_COLUMN(struct alert_source_row, is_silent, PG_BOOL),
    { 0 },
};

const struct pg_statement alert_source_save = {
    .name = "alert_source_save",
    .sql = "INSERT INTO alert_source AS s (source, shard, heard_us, checked_us, is_silent)"
           " SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::boolean[])"
           " ON CONFLICT (source, shard) DO UPDATE SET heard_us = excluded.heard_us,"
           " checked_us = excluded.checked_us, is_silent = excluded.is_silent",
    .in = source_columns,
};

static const struct pg_column forget_columns[] = {
    PG_COLUMN(struct alert_source_forget, partitions, PG_INT4),
    { 0 },
};

const struct pg_statement alert_source_delete = {
    .name = "alert_source_delete",
    .sql = "DELETE FROM alert_source WHERE shard >= $1",
    .in = forget_columns,
    .is_single = true,
};

const struct pg_statement *const alert_statements[] = {
    &alert_raise_insert, &alert_resolve_update, &notice_insert,     &dead_letter_insert,
    &alert_source_save,  &alert_source_delete,  &event_append_late, NULL,
};
