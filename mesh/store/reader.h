/* reader.h -- Get, List and the like: a thread and a connection of their own, never in a write batch.
 *
 * Reads that wait are done together, one statement for all that call the same method. A read may ask
 * to wait for a change (Get with wait_ms): it is parked without a thread. The store thread hands over
 * the rows that it has saved, and a read that waits for one of them is answered from it.
 *
 * What a caller may rely on:
 *   - A read that does not wait is always read from the database.
 *   - A read that waits may be answered from a row that was saved, if the row's version is above the
 *     one that the caller knows. Before its wait is over it never gets a version that it knows already,
 *     and once it is over it is read from the database.
 *   - Of a row that a read is parked on, the database or the store thread was heard in the last half
 *     second: what other replicas save is found by looking twice a second.
 *
 * Thread    reader_open/stop/close: main. reader_submit, reader_wake: any.
 * Memory    Saved rows are copied, READER_SAVED_MAX at most, and forgotten once the parked reads were
 *           looked through; of the last ones the versions are kept, READER_RECENT_MAX at most.
 * Errors    BUSY, STOPPING, STORE_DOWN, EXPIRED; INTERNAL for a defect in a statement.
 */
#ifndef MESH_STORE_READER_H
#define MESH_STORE_READER_H

#include "mesh/base/call.h"
#include "mesh/store/pg.h"

enum {
    READER_POLL_US = 500 * 1000,
    /* A read comes soon after the save that it knows of: at 5,000 orders a second, each saved twice,
     * this is nearly half a second. One that is not found here is read. */
    READER_RECENT_MAX = 4096,
    /* Saved rows that wait for the read thread, some 400 bytes each. What is saved while it hangs in the
     * database is found at the next look. */
    READER_SAVED_MAX = 8192,
};

struct lookup;

/* How a read method is done; rows are found by the method's name. */
struct read {
    const char *name;
    const struct lookup *lookup; /* a Get by key (store/lookup.h); NULL: read() does it */
    /* Fills the ops, all of this method; what is missing gets a problem (NOT_FOUND). Results live in
     * arena. A returned error is the answer of all of them. */
    enum error (*read)(struct pg *pg, struct op *const *ops, size_t count, struct arena *arena);
    /* How long this op may wait to become ready, from its arrival; NULL or 0: not at all. */
    int64_t (*wait_us)(const void *op);
    bool (*is_ready)(const void *op);
    /* What the rows look like that may answer a read that waits: as this statement reads them. NULL:
     * saved rows cannot answer it, and it is looked at again. */
    const struct pg_statement *row;
    int64_t (*known_version)(const void *op); /* ready is a row whose version is above it */
    /* Fills the op from such a row, which lives until the call is finished. */
    void (*take)(void *op, const void *row);
};

/* Fills count ops of one method by pg, as its row says. */
enum error read_together(const struct read *read, struct pg *pg, struct op *const *ops,
                         size_t count, struct arena *arena);

/* A row as the store thread has saved it. */
struct read_saved {
    struct uuid id;
    int64_t version; /* grows each time the row is saved */
    const void *row;
};

struct reader_options {
    const char *conninfo, *application;
    const struct pg_statement *const *statements; /* ends with NULL */
    const struct read *reads;                     /* ends with a row of zeros */
    struct metrics *metrics;                      /* NULL: nothing is counted */
    size_t queue_max, batch_max;
    size_t parked_max; /* reads that wait; one more is answered at once */
};

struct reader;

struct reader *reader_open(const struct reader_options *options);
void reader_submit(void *reader, struct call *call); /* fits rpc_service.submit */

/* These rows, which look as layout->out says, were committed: reads parked on their ids (op.id) are
 * answered or looked at again. One thread tells of a row's saves, in their order. */
void reader_wake(struct reader *reader, const struct pg_statement *layout,
                 const struct read_saved *saved, size_t count);

void reader_stop(struct reader *reader);
struct reader *reader_close(struct reader *reader);

#endif
