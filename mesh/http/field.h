/* field.h -- Fields of gRPC requests as the one who asked over HTTP knows them.
 *
 * Thread    Plain data.
 */
#ifndef MESH_HTTP_FIELD_H
#define MESH_HTTP_FIELD_H

#include "mesh/base/arena.h"

/* "lines[].sku" is "lines[7].sku" for any 7, which goes where the pointer has "[]". One of the last two
 * is NULL. A table ends with zeros. */
struct field_name {
    const char *field;     /* as in ErrorInfo's metadata */
    const char *pointer;   /* to the member of the body: "/items/[]/sku" */
    const char *parameter; /* of the query */
};

/* The row of a field, and its pointer with the numbers filled in, in the arena (NULL when the row has
 * none). NULL: the one who asked knows no such thing. */
const struct field_name *field_name_find(const struct field_name *names, const char *field,
                                         struct arena *arena, const char **ret_pointer);

#endif
