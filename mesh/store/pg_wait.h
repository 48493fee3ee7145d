/* pg_wait.h -- To talk with a server that may fall silent at any time: nothing waits for it without an end.
 *
 * libpq's own waiting (PQexec, PQprepare) has no end: a server that is frozen, with its connections
 * open, keeps its callers for ever.
 *
 * Thread    The connection's. Blocks until limit.
 * Memory    Results are the caller's, who clears them.
 * Errors    false or NULL: silent for too long, or lost; the connection is of no use any more.
 */
#ifndef MESH_STORE_PG_WAIT_H
#define MESH_STORE_PG_WAIT_H

#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pg_limit {
    int64_t until_us;           /* steady */
    const atomic_bool *is_over; /* true breaks the waiting off; NULL: nothing does */
};

/* Writes what was sent; the connection does not block (PQsetnonblocking). */
bool pg_wait_flush(PGconn *connection, struct pg_limit limit);

/* The next result; NULL is the end of a statement's. */
bool pg_wait_result(PGconn *connection, struct pg_limit limit, PGresult **ret_result);

/* Outside of a pipeline: the last result of what a PQsend function sent; was_sent is what that one said. */
PGresult *pg_wait_answer(PGconn *connection, bool was_sent, struct pg_limit limit);

/* Why it failed, in libpq's words or, where only time has passed, in ours. */
const char *pg_wait_words(const PGconn *connection);

#endif
