#include "mesh/store/event.h"

static const struct pg_column append_columns[] = {
    PG_COLUMN(struct event, id, PG_UUID),
    PG_COLUMN(struct event, aggregatetype, PG_TEXT),
    PG_COLUMN(struct event, aggregateid, PG_UUID),
    PG_COLUMN(struct event, version, PG_INT4),
    PG_COLUMN(struct event, type, PG_TEXT),
    PG_COLUMN(struct event, payload, PG_TEXT),
    PG_COLUMN(struct event, time_us, PG_INT8),
    PG_COLUMN(struct event, traceparent, PG_TEXT),
    { 0 },
};

const struct pg_statement event_append = {
    .name = "event_append",
    .sql = "INSERT INTO event (id, aggregatetype, aggregateid, version, type, payload, time_us,"
           " traceparent)"
           " SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::int[], $5::text[],"
           " $6::text[], $7::bigint[], $8::text[])"
           " ON CONFLICT DO NOTHING",
    .in = append_columns,
};

const struct pg_statement event_append_late = {
    .name = "event_append_late",
    .sql = "INSERT INTO event (id, aggregatetype, aggregateid, version, type, payload, time_us,"
           " traceparent)"
           " SELECT u.id, u.aggregatetype, u.aggregateid, u.version, u.type, u.payload,"
           " mesh_event_us(u.time_us), u.traceparent"
           " FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::int[], $5::text[],"
           " $6::text[], $7::bigint[], $8::text[]) AS u(id, aggregatetype, aggregateid, version,"
           " type, payload, time_us, traceparent)"
           " ON CONFLICT DO NOTHING",
    .in = append_columns,
};
