/* reader.h -- Get, List and the like: a thread and a connection of their own, never in a write batch.
 *
 * Reads that wait are done together, one statement for all that call the same method. A read may ask
 * to wait for a change (Get with wait_ms): it is parked without a thread, and looked at again when the
 * store thread says that its row was saved, or twice a second, for what other replicas saved.
 *
 * Thread    reader_open/stop/close: main. reader_submit, reader_wake: any.
 * Errors    BUSY, STOPPING, STORE_DOWN, EXPIRED; INTERNAL for a defect in a statement.
 */
#ifndef MESH_STORE_READER_H
#define MESH_STORE_READER_H

#include "mesh/base/call.h"
#include "mesh/store/pg.h"

enum { READER_POLL_US = 500 * 1000 };

/* How a read method is done; rows are found by the method's name. */
struct read {
    const char *name;
    /* Fills the ops, all of this method; what is missing gets a problem (NOT_FOUND). Results live in
     * arena. A returned error is the answer of all of them. */
    enum error (*read)(struct pg *pg, struct op *const *ops, size_t count, struct arena *arena);
    /* How long this op may wait to become ready, from its arrival; NULL or 0: not at all. */
    int64_t (*wait_us)(const void *op);
    bool (*is_ready)(const void *op);
};

struct reader_options {
    const char *conninfo, *application;
    const struct pg_statement *const *statements; /* ends with NULL */
    const struct read *reads;                     /* ends with a row of zeros */
    size_t queue_max, batch_max;
    size_t parked_max; /* reads that wait; one more is answered at once */
};

struct reader;

struct reader *reader_open(const struct reader_options *options);
void reader_submit(void *reader, struct call *call); /* fits rpc_service.submit */

/* Rows with these ids were saved: reads parked on them (op.id) are looked at again. */
void reader_wake(struct reader *reader, const struct uuid *ids, size_t count);

void reader_stop(struct reader *reader);
struct reader *reader_close(struct reader *reader);

#endif
