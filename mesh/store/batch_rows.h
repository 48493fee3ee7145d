/* batch_rows.h -- The rows of one batch: touched, loaded, changed. Inside mesh/store/batch only.
 *
 * Thread    The store thread's.
 * Memory    Everything lives in the arena given to batch_rows_new().
 */
#ifndef MESH_STORE_BATCH_ROWS_H
#define MESH_STORE_BATCH_ROWS_H

#include "mesh/store/batch.h"

struct batch_rows *batch_rows_new(const struct batch_service *service, struct arena *arena);

/* A view of the rows for touch callbacks. */
struct batch_touch *batch_rows_touch(struct batch_rows *rows);

/* The record of an id in any record table, else its tombstone; NULL: this id is new. */
struct batch_record *batch_rows_record(struct batch_rows *rows, struct uuid id);
void batch_rows_touch_records(struct batch_rows *rows, struct uuid id);

enum {
    BATCH_HURRY_MS = 20
}; /* for a lock, in a transaction that sets aside calls for locked rows */

/* BEGIN, then the touched rows, in rounds: a table whose rows `follow` ends a round. *ret_now_us is
 * the time to go by (store_clock.h). In a hurry rows that others have locked are not waited for: they are marked,
 * and a call that needs one (batch_rows_needs_locked) must not be decided. */
enum error batch_rows_load(struct batch_rows *rows, struct pg *pg, bool in_a_hurry,
                           int64_t *ret_now_us);

/* After such a load: does the op need a row that is locked? */
bool batch_rows_needs_locked(struct batch_rows *rows, const struct call *call);

/* How many rows are, in which table, and who has one of them (0: unknown). */
size_t batch_rows_count_locked(const struct batch_rows *rows, const char **ret_table, int *ret_pid);

/* Does the op need any row of the table that the statement loads or looks for locks in? */
bool batch_rows_needs_table(struct batch_rows *rows, const struct call *call,
                            const struct pg_statement *statement);

/* Writes what is new or changed; CONFLICT when another writer was first. */
enum error batch_rows_save(struct batch_rows *rows, struct pg *pg);

bool batch_rows_is_dirty(const struct batch_rows *rows);
bool batch_rows_has_events(const struct batch_rows *rows);

extern const struct pg_statement batch_now, batch_now_writer, batch_hurry;

#endif
