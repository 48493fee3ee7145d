/* op.h -- The small record of an op that makes no row of its own (Confirm, Release, Mark...).
 *
 * One table per service, the first of its list. What an op makes (a hold, a transfer, an order) is
 * its record; everything else leaves one of these.
 */
#ifndef MESH_STORE_OP_H
#define MESH_STORE_OP_H

#include "mesh/store/batch.h"

enum { TABLE_OF_OPS }; /* its number in every service */

struct op_row {
    struct batch_record record; /* first */
    const char *method;         /* for people */
};

extern const struct pg_statement op_load, op_insert;

/* clang-format off */
#define OP_TABLE { \
    .name = "op", .row_bytes = sizeof(struct op_row), .key = BATCH_KEY_UUID, .key_offset = 0, \
    .load = &op_load, .insert = &op_insert, .is_record = true, \
}
/* clang-format on */

/* Records the decided op in the table of ops. */
void op_record(struct batch_rows *rows, const struct op *op, const char *method);

#endif
