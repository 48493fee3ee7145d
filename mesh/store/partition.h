/* partition.h -- Weekly partitions by an id's own time: made ahead of time, or when one is missing, and
 * dropped behind it.
 *
 * The rules are in mesh.sql. A partition is made around the database's time and the program's, since
 * either may be wrong, and dropped only when both and the newest id call it old. One that was dropped is
 * never made again.
 *
 * Thread    The caller's, who owns the pg.
 * Errors    Those of pg_round(). CONFLICT: another replica is at it, or a table is in use: again later.
 */
#ifndef MESH_STORE_PARTITION_H
#define MESH_STORE_PARTITION_H

#include "mesh/store/pg.h"

/* A partitioned table of the schema; a list ends with a row of zeros. */
struct partitions {
    const char *table;
    int32_t fill;     /* percent: 80 where rows are updated, 100 where they are not */
    const char *open; /* SQL condition on rows that must not be dropped yet; NULL: never dropped */
    const char *pinned_by; /* a table whose rows will end here, by their ids; NULL: none */
};

/* For the list of the connection's statements. */
extern const struct pg_statement partitions_keep, partitions_drop;

enum error partitions_make(const struct partitions *partitions, struct pg *pg);
enum error partitions_forget(const struct partitions *partitions, struct pg *pg);

#endif
