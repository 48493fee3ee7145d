#include "mesh/store/op.h"

static const struct pg_column key_columns[] = { { "id", PG_UUID, 0 }, { 0 } };

static const struct pg_column columns[] = {
    PG_COLUMN(struct op_row, record.id, PG_UUID),
    PG_COLUMN(struct op_row, record.fingerprint, PG_INT8),
    PG_COLUMN(struct op_row, record.reason, PG_TEXT),
    PG_COLUMN(struct op_row, record.detail, PG_TEXT),
    PG_COLUMN(struct op_row, method, PG_TEXT),
    { 0 },
};

/* The join prunes partitions by each id's own time; = ANY would look into all of them. Records never
 * change, so they need no lock. */
const struct pg_statement op_load = {
    .name = "op_load",
    .sql = "SELECT o.id, o.fingerprint, o.reason, o.detail, o.method"
           " FROM unnest($1::uuid[]) AS k(id) JOIN op o ON o.id = k.id",
    .in = key_columns,
    .out = columns,
    .out_bytes = sizeof(struct op_row),
};

const struct pg_statement op_insert = {
    .name = "op_insert",
    .sql = "INSERT INTO op (id, fingerprint, reason, detail, method)"
           " SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[])"
           " ON CONFLICT DO NOTHING",
    .in = columns,
};

void
op_record(struct batch_rows *rows, const struct op *op, const char *method)
{
    struct op_row *row = batch_add_uuid(rows, TABLE_OF_OPS, op->id);

    batch_record_fill(rows, &row->record, op);
    row->method = method;
}
