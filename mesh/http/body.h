/* body.h -- JSON bodies of requests, read by tables and strictly.
 *
 * What is not in the table is refused by name, and so is what is missing, of another type, or there
 * twice. A member is a text, an integer, an object or a list of objects.
 *
 * Thread    Plain data.
 * Memory    What is read lives in the arena.
 * Errors    False, and a body_problem: where (RFC 6901), and the rule in a sentence.
 */
#ifndef MESH_HTTP_BODY_H
#define MESH_HTTP_BODY_H

#include "mesh/base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum body_type { BODY_TEXT = 1, BODY_INT, BODY_OBJECT, BODY_LIST };

struct body_field {
    const char *name;
    enum body_type type;
    bool is_required;
    size_t offset;                   /* const char *, int64_t, a pointer, struct body_list */
    const struct body_field *fields; /* of an object, or of a list's rows; ends with zeros */
    size_t struct_bytes;             /* likewise */
    size_t rows_min, rows_max;
};

struct body_list {
    void *rows;
    size_t count;
};

struct body_problem {
    const char *pointer; /* "/items/2/quantity"; "" is the whole body */
    const char *detail;
};

/* *values is zeroed before: an absent text is NULL, an absent integer 0, an absent object NULL. */
bool body_read(const uint8_t *text, size_t bytes, const struct body_field *fields, void *values,
               struct arena *arena, struct body_problem *ret_problem);

#endif
