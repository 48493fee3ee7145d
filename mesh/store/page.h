/* page.h -- A page of a list: so many rows, and whether there are more.
 *
 * Most lists go from the newest row to the oldest, in the order in which rows were inserted. Their table has a column `seq`, drawn from a sequence by the insert. Ids will not do: they are
 * the callers', and may be weeks old when they come; nor will a time, for clocks step back. A page's token is
 * the id of its last row, so it tells a stranger no counts; rows of such a table are never deleted.
 *
 * That no row appears behind one that was read holds where inserts wait for each other, as bookings of one
 * account do by the account's row; else see horizon.h.
 *
 * Thread    The reader's.
 * Errors    Those of pg_round().
 */
#ifndef MESH_STORE_PAGE_H
#define MESH_STORE_PAGE_H

#include "mesh/store/pg.h"

/* SQL: seq of the row whose id is the parameter; the nil id stands before the newest row. */
#define PAGE_BEFORE(table, parameter)                                                              \
    "CASE WHEN " parameter " = '00000000-0000-0000-0000-000000000000'::uuid"                       \
    " THEN 9223372036854775807 ELSE (SELECT b.seq FROM " table " b WHERE b.id = " parameter        \
    ") END"

struct page {
    void *rows; /* in the arena; of the struct that the statement gives */
    size_t count;
    bool has_more;
};

/* op is the statement's one row of parameters; it selects a row more than size. */
enum error page_read(struct pg *pg, const struct pg_statement *statement, const void *op,
                     int32_t size, struct arena *arena, struct page *ret_page);

#endif
