/* lookup.h -- Rows by key for many at once: one statement with all the keys, then each finds its row.
 *
 * Thread    The read thread, or whoever owns pg.
 * Memory    Rows live in the arena.
 * Errors    Those of pg_round().
 */
#ifndef MESH_STORE_LOOKUP_H
#define MESH_STORE_LOOKUP_H

#include "mesh/base/call.h"
#include "mesh/store/batch.h"

/* How a Get is done. Its op has the key and room for the row, which is copied there. */
struct lookup {
    /* one parameter, the key; rows in any order, also twice */
    const struct pg_statement *statement;
    enum batch_key key;
    size_t op_key_offset, row_key_offset, result_offset;
    /* Without such a row it is NOT_FOUND: of this field, "there is no such NOUN", or with a key that is a
     * text "there is no NOUN 'KEY'". */
    const char *field, *noun;
    void (*missing)(void *op); /* sets the problem where it is another; or NULL */
};

/* Answers the ops of one Get. */
enum error lookup_read(const struct lookup *lookup, struct pg *pg, struct op *const *ops,
                       size_t count, struct arena *arena);

/* The same in two steps, for what is no op. keys point to keys, as rows of the statement do. */
struct lookup_rows {
    struct lookup_entry *entries; /* sorted by key */
    size_t count;
    enum batch_key key;
};
enum error lookup_load(const struct lookup *lookup, struct pg *pg, const void *const *keys,
                       size_t count, struct arena *arena, struct lookup_rows *ret_rows);
const void *lookup_find(const struct lookup_rows *rows, const void *key); /* NULL: none */

#endif
