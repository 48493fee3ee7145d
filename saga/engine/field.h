/* field.h -- Members of a struct as members of a JSON object: one table, for writing and for reading.
 *
 * A member that holds its default (0, false, NULL, -1 for an index) is not written, and a key that is
 * not there is the default.
 */
#ifndef SAGA_ENGINE_FIELD_H
#define SAGA_ENGINE_FIELD_H

#include "mesh/base/arena.h"
#include "mesh/base/json.h"

#include <stddef.h>

enum field_type {
    FIELD_INDEX = 1, /* int; -1 is none */
    FIELD_INT,       /* int */
    FIELD_TIME,      /* int64_t */
    FIELD_BOOL,
    FIELD_STATUS, /* enum status */
    FIELD_TEXT,   /* char *; NULL is none */
    FIELD_UUID,   /* struct uuid; nil is none */
    FIELD_TREE,   /* json_t *; NULL is none */
};

struct field {
    const char *key;
    enum field_type type;
    size_t offset;
};

/* fields end with a row of zeros. */
void fields_write(const struct field *fields, const void *row, struct json_writer *writer);

/* Into a row that is already zeroed. Texts are copied into the arena, or by malloc when it is NULL;
 * trees are new references. What was read before an error is in the row. */
enum error fields_read(const struct field *fields, const json_t *json, struct arena *arena,
                       struct problem *problem, void *row);

#endif
