/* event_horizon.h -- How far the news may be sent, and up to which time all of it has been.
 *
 * A transaction that writes events holds a shared advisory lock from before it takes its time until it
 * has ended: batches take it by themselves, for others a trigger of the table does. Such a transaction
 * is a writer. It is what the relay waits for, and nothing else on the server.
 *
 *   T1   the database's clock
 *   W1   the writers now.       T = T1, or the start of the oldest of W1
 *   S    the sequence's last value
 *   W2   the writers now
 *   wait until all of W2 have ended: then every event up to S is in the table, or never will be
 *
 * A transaction that drew a number up to S had the lock before S was read: it is in W2, or has ended.
 * And all events of a time before T are up to S: a writer takes its time when it has the lock, so it
 * either came after W1, later than T1; or it is one of W1, and its time is not before its start; or it
 * had ended before W1, and so drew before S.
 * A clock that is set back breaks the second promise until it has caught up.
 *
 * Thread    The relay's.
 * Memory    The list of writers is in the caller's arena.
 */
#ifndef MESH_STORE_EVENT_HORIZON_H
#define MESH_STORE_EVENT_HORIZON_H

#include "mesh/store/pg.h"

struct event_horizon {
    int64_t cursor;  /* all up to here has been sent */
    int64_t last;    /* all up to here may be, once the writers have ended */
    int64_t time_us; /* T, by the time that batches go by (store_clock.h); 0: not asked for */
    int64_t now_us;  /* T1 */
    const struct event_writer *writers;
    size_t writer_count;
};

/* A transaction that writes events. */
struct event_writer {
    const char *transaction; /* its virtual id */
    int32_t pid;             /* 0: none, it is prepared */
    int64_t since_us;        /* 0: unknown, it is another role's */
    const char *application, *state, *prepared;
};

/* For the list of the connection's statements. */
extern const struct pg_statement event_clock, event_writers, event_position;

/* ERR_INTERNAL: the schema has no cursor. */
enum error event_horizon_find(struct pg *pg, bool with_time, struct arena *arena,
                              struct event_horizon *ret_horizon);

/* Have the horizon's writers ended? *ret_oldest is one that has not. */
enum error event_horizon_look(struct pg *pg, const struct event_horizon *horizon,
                              struct arena *arena, bool *ret_is_settled,
                              struct event_writer *ret_oldest);

#endif
