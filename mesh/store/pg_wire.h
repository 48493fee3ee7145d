/* pg_wire.h -- Between C structs and PostgreSQL's binary formats. Inside mesh/store/pg only.
 *
 * Memory    Values written point into the buffer until its next use.
 */
#ifndef MESH_STORE_PG_WIRE_H
#define MESH_STORE_PG_WIRE_H

#include "mesh/store/pg.h"

#include <libpq-fe.h>

struct pg_buffer {
    char *data;
    size_t used, size;
};

void pg_buffer_free(struct pg_buffer *buffer);

/* Fills values, lengths and formats with one array per column (or one scalar); returns how many. */
int pg_wire_write(struct pg_buffer *buffer, const struct pg_column *columns, bool is_single,
                  const void *const *rows, size_t count, const char **values, int *lengths,
                  int *formats);

/* Fills step->ret_*. Texts are copied into the arena. */
void pg_wire_read(const PGresult *result, struct pg_step *step, struct arena *arena);

#endif
