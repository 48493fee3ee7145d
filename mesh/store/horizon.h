/* horizon.h -- Up to which number of a sequence every row can be read; and how the events are followed by it.
 *
 * A row draws its number before its transaction ends, so a smaller number may appear after a larger one.
 * Who reads rows by their number alone loses those. He may read up to the horizon.
 *
 * A transaction that writes events, or other rows that are followed, holds a shared advisory lock from before
 * it takes its time and draws a number until it has ended: batches take it by themselves, for others a
 * trigger of the table does (mesh_event_write). Such a transaction is a writer. Nothing else on the server
 * is waited for.
 *
 *   T1   the database's clock
 *   W1   the writers now.       T = T1, or the start of the oldest of W1
 *   S    the sequence's last value
 *   W2   the writers now
 *   wait until all of W2 have ended: then every row up to S can be read, or never will be
 *
 * A transaction that drew a number up to S had the lock before S was read: it is in W2, or has ended.
 * And all rows of a time before T are up to S: a writer takes its time when it has the lock, so it
 * either came after W1, later than T1; or it is one of W1, and its time is not before its start; or it
 * had ended before W1, and so drew before S.
 * A clock that is set back breaks the second promise until it has caught up.
 *
 * A follower is what reads all events: the relay that sends them to Kafka, a projection, a view, an alert.
 * It has a name, a row of event_cursor (its schema inserts it), and one that reads at a time. A round:
 *
 *   follower_begin   finds the horizon and waits for its writers
 *   follower_read    a page of the events behind the cursor; again while follower_has_more()
 *   follower_move    after each page, when what it asked for is done: the cursor stands behind it
 *
 * So each event is read in the order of seq, and once; what was read and not moved comes again. When a round
 * is through, and horizon.time_us was asked for, all events of a time before it have been read. A round is of one
 * session: another server, after a failover, may draw once more the numbers that this one drew in vain.
 *
 * Thread    One, with its connection.
 * Memory    Events are in the caller's arena. A horizon owns its list of writers, a follower its horizon and what it
 *           asks while it waits, however long that is.
 * Errors    Those of pg_round(). ERR_STORE_DOWN: also when the session of the round is lost. ERR_INTERNAL: the schema has
 *           no such cursor, or sequence. ERR_STOPPING: pause() was false. After an error the round is over: begin
 *           another.
 * Units     *_us microseconds since 1970, by the time that batches go by (store_clock.h).
 */
#ifndef MESH_STORE_HORIZON_H
#define MESH_STORE_HORIZON_H

#include "mesh/store/event.h"
#include "mesh/store/pg.h"

enum { FOLLOWER_PAGE = 1000 }; /* events of one read at most */

struct horizon {
    int64_t settled; /* every row up to here can be read; 0: not known of any */
    int64_t last;    /* S: settled will be this, once the writers have ended */
    int64_t time_us; /* T; 0: not asked for */
    int64_t now_us;  /* T1 */
    const struct horizon_writer *writers; /* W2 */
    size_t writer_count;
    /* inside */
    const char *sequence;
    struct arena *arena; /* of the writers */
};

/* A transaction that writes. */
struct horizon_writer {
    const char *transaction; /* its virtual id */
    int32_t pid;             /* 0: none, it is prepared */
    int64_t since_us;        /* 0: unknown, it is another role's */
    const char *application, *state, *prepared;
};

extern const struct pg_statement horizon_clock, horizon_writers, horizon_last;
/* For the list of the connection's statements. */
#define HORIZON_STATEMENTS &horizon_clock, &horizon_writers, &horizon_last

void horizon_init(struct horizon *horizon, const char *sequence); /* "event_seq" */
void horizon_free(struct horizon *horizon);

/* Anew: T, S, and the writers to be waited for. */
enum error horizon_aim(struct horizon *horizon, struct pg *pg, bool with_time);

/* Have its writers ended? Then settled is last; else *ret_oldest is one that has not, in arena. */
enum error horizon_look(struct horizon *horizon, struct pg *pg, struct arena *arena,
                        bool *ret_is_settled, struct horizon_writer *ret_oldest);

/* ---- followers ---- */

struct follower {
    struct pg *pg;                          /* the caller's */
    const char *name;                       /* of its cursor: "kafka" */
    const char *who, *where;                /* for its log lines: "relay=late source=order-svc" */
    bool (*pause)(void *owner, int64_t us); /* false: it is to stop */
    void *owner;
    int64_t cursor; /* all up to here is done */
    struct horizon horizon;
    /* inside */
    int64_t until, page_end; /* of the round, of the page that was read last */
    int backend;             /* of the round's session */
    int64_t late_due_us;     /* when it says again that it is late */
    bool is_late;
    struct arena *looks; /* of the last look at the writers */
};

struct followed_event {
    int64_t seq;
    struct event event;
};

extern const struct pg_statement follower_cursor, follower_page, follower_done;
#define FOLLOWER_STATEMENTS HORIZON_STATEMENTS, &follower_cursor, &follower_page, &follower_done

/* *follower has what is the caller's to fill, the rest is zero. */
void follower_init(struct follower *follower);
void follower_free(struct follower *follower);

enum error follower_begin(struct follower *follower, bool with_time);
bool follower_has_more(const struct follower *follower);
enum error follower_read(struct follower *follower, struct arena *arena,
                         const struct followed_event **ret_events, size_t *ret_count);
enum error follower_move(struct follower *follower, struct arena *arena);

#endif
