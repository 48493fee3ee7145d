/* shard_inner.h -- What the files of a shard share. Inside saga/shard* only. */
#ifndef SAGA_SHARD_INNER_H
#define SAGA_SHARD_INNER_H

#include "mesh/base/heap.h"
#include "mesh/base/map.h"
#include "mesh/store/journal.h"
#include "saga/engine/engine.h"
#include "saga/saga.h"
#include "saga/shard.h"
#include "saga/shard_clock.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    TICK_EVENTS_MAX = 512,
    TICK_BYTES_MAX = JOURNAL_PAGE_BYTES_MAX - 256 * 1024, /* one event more always fits */
    PLACES_A_PAGE = 4096,
    LIVES_A_BLOCK = 512,
    PARK_AFTER_US = 5 * 1000 * 1000,
    HOUSE_EVERY_US = 1000 * 1000,
    PARK_MAX = 128,              /* rows of one tick ... */
    PARK_BYTES_MAX = 1 << 20,    /* ... and their bytes, about */
    PARK_LOOKS = 4096,           /* sagas in memory that one tick looks at */
    TRIM_AFTER = 4096,           /* so many fewer sagas in memory: it is given back */
    RECOVER_PAGES = 64,          /* read at once */
    RECOVER_SAGAS = 256,         /* parked rows read, or sagas resumed, at once */
    LIST_BYTES_MAX = 1 << 20,    /* of histories in one answer to List; gRPC's clients take 4 MiB */
    WATCH_GRAIN_US = 20 * 1000,  /* how late a watcher may be answered that nothing has changed */
    STORE_RETRY_US = 100 * 1000, /* between tries to write a page */
    PINNED_AGAIN_US = 60 * 1000 * 1000, /* between tries to go on with a saga that was refused */
    LOCKED_AGAIN_US = 5 * 1000 * 1000,  /* ... whose row another transaction keeps locked */
};

struct forward;
struct forward_part;
struct members;
struct unread;

/* A saga that has not ended: in memory, or parked, or set aside (instance is NULL). */
struct live {
    UT_hash_handle by_id;
    struct uuid id;
    struct instance *instance;
    struct unread *unread; /* it cannot be read; NULL: it can, as far as is known */
    struct live *awake_before, *awake_after; /* of those in memory */
    uint64_t fingerprint;                    /* of its Start */
    int64_t place;                           /* in the order of arrival: place_next() */
    int64_t first_page;                      /* the oldest page it needs */
    int64_t parked_page;           /* a parked row is folded up to here; 0: there is no row */
    struct heap_item timer;        /* when it is to be looked at */
    enum phase phase;              /* of one that is parked */
    int64_t touched_us;            /* of the last event */
    struct call *watchers;         /* Watch calls that wait, linked by their items */
    struct metric_series *counted; /* the gauge that it is in; NULL: none */
    struct counted_definition *counted_of; /* the last that it counted for */
    bool is_new;                           /* it began in this tick */
    bool is_under_way;                     /* an attempt was sent and not answered */
    bool is_touched;                       /* in this tick's list */
};

/* By its id, and for ever: in another shard it would not be found. */
static inline size_t
shard_number_of(size_t shard_count, struct uuid saga)
{
    return hash_end(hash_bytes(HASH_SEED, &saga, sizeof saga)) % shard_count;
}

/* What a tick gathers. Lives in the tick's arena. */
struct tick {
    struct arena *arena;
    struct live **touched; /* sagas with something new */
    size_t touched_count, touched_size;
    struct live **due; /* their timers have come */
    size_t due_count;
    struct call **answers; /* to be finished after the commit */
    size_t answer_count, answer_size;
    const struct journal_row **finals, **parked;
    size_t final_count, parked_count;
    const struct uuid **unparked;
    size_t unparked_count;
    struct op_row **ops;
    struct uuid *op_sagas; /* that they are about */
    size_t op_count;
    bool is_housekeeping, floor_is_due;
    /* rows found for ids that are not in memory */
    struct journal_row *found_parked, *found_finals;
    size_t found_parked_count, found_final_count;
    struct op_row *found_ops;
    size_t found_op_count;
};

/* For metrics, as it was a second ago. */
struct shard_shown {
    atomic_size_t in_memory, all, unreadable, overdue, late_us, watchers;
};

struct shard_meter {
    struct metric_series *ticks, *events, *pages, *refused;
};

struct shard {
    struct shards *shards;
    int number;
    struct journal *journal;
    struct pg *pg; /* the journal's */
    struct queue *queue;
    pthread_t thread;
    /* the shard's thread only, from here on */
    struct live *lives;                    /* a map by id, in the order they came */
    struct live_block *blocks;             /* where all struct live are */
    struct live *spare;                    /* linked by awake_after */
    struct live *awake_first, *awake_last; /* those in memory, as they came there */
    size_t awake_count, awake_most;        /* now, and since memory was given back */
    struct live *park_next;                /* where the round goes on; NULL: the next one begins */
    struct heap timers;                    /* of lives */
    struct records records;
    struct json_writer line;
    char *page; /* the tick's records, one a line */
    size_t page_bytes, page_size;
    int64_t next_page, floor_page, park_due_us, house_due_us;
    int64_t now_us, steady_us;       /* the tick's: shard_clock.h */
    int64_t written_us;              /* the latest time that recovery has read */
    int64_t place_page, place_count; /* so many sagas started in this page */
    int64_t pinned_page;             /* for sagas that are not written; 0: there are none */
    size_t pinned_count;
    int64_t last_body_page; /* the newest page that has records; 0: none is known */
    size_t watcher_count;
    int64_t watch_due_us;         /* the first of them may be due; 0: there is none */
    atomic_bool is_recovered;     /* read by any */
    struct queue_item *left_over; /* taken from the queue, not fitting the last page */
    struct queue_item *held;      /* calls that wait while another has the shard */
    bool is_lost;                 /* another has raised its epoch */
    unsigned
        term; /* how often it became ours: an answer to an earlier one's question does not count */
    size_t unread_count;
    struct counted_definition *counted; /* those of which there were sagas */
    struct shard_shown shown;
};

struct shards {
    struct shards_options options;
    struct shard *items;
    size_t count;
    struct shard_meter meter;
    struct members *members;
    struct forward *forward;
    atomic_bool is_watching_over, is_stopping;
};

/* ---- shard_live.c ---- */

struct live *live_find(struct shard *shard, struct uuid id);
struct live *live_add(struct shard *shard, struct uuid id);
void live_remove(struct shard *shard, struct live *live);
void live_free_all(struct shard *shard);
/* The place of the next saga that a page starts: an order that no clock and no restart changes. */
int64_t place_next(struct shard *shard, int64_t page);
/* The instance comes into memory, and leaves it: parked or ended. */
void live_wake(struct shard *shard, struct live *live, struct instance *instance);
void live_rest(struct shard *shard, struct live *live);

/* ---- shard.c ---- */

/* Something happened to it: it is sent to, timed or ended at the end of the tick. */
void tick_touch(struct shard *shard, struct tick *tick, struct live *live);
void tick_answer(struct tick *tick, struct call *call);

/* Runs the engine and appends the records to the page. */
enum error shard_decide(struct shard *shard, struct tick *tick, struct live *live,
                        const struct engine_event *event, struct problem *problem);

/* Writes the page with final and parked rows; then sends what is due and answers the callers. Returns
 * once it is written, or when another has the shard (is_lost): then nobody knows what came of the last page, and callers
 * hear that. */
void shard_end_tick(struct shard *shard, struct tick *tick);

/* While the store is away: callers hear quickly that nothing was done. */
void shard_refuse_waiting(struct shard *shard);

/* Takes what waits, decides, writes, sends and answers. After it is_lost may be set: then nothing was sent. */
void shard_tick(struct shard *shard, struct arena *arena);

/* Another has it, or will: all that is in memory of it goes, and those who watch are answered. */
void shard_forget(struct shard *shard);

/* An item of the queue that is no call. */
void shard_drop_answer(struct call *item);

/* ---- shard_meter.c ---- */

void meter_open(struct shards *shards);
void meter_close(struct shards *shards);

/* The saga is what it is now: it counts in that gauge. kind: its definition, where no instance says it; or NULL. */
void meter_count(struct shard *shard, struct live *live, const char *kind);
void meter_forget(struct live *live);
const char *meter_kind(const struct live *live); /* its definition's name; NULL: not known */

void meter_ended(struct shard *shard, const struct live *live);
void meter_page(struct shard *shard);
void meter_tick(struct shard *shard, size_t events);
void meter_look(struct shard *shard); /* once a second */
void meter_refused(struct shards *shards);

/* ---- shard_write.c ---- */

/* Returns once all is written that can be. Sagas whose own page is refused are set aside, and are not in the
 * tick any more. */
void shard_write(struct shard *shard, struct tick *tick);
void shard_wait(int64_t us);

/* Looks at the clock: now_us moves on. */
void shard_look(struct shard *shard);

/* ---- shard_timer.c ---- */

void timer_set(struct shard *shard, struct live *live, int64_t at_us);
void timer_stop(struct shard *shard, struct live *live);
int64_t timer_us(const struct live *live); /* 0: none is set */

/* Whose time has come, up to a limit: an outage must not end in one page for all who waited. */
void timers_find(struct shard *shard, struct tick *tick);

/* Decides for them, while the page has room; those of them that are parked are loaded from the rows that
 * were found. */
void timers_take(struct shard *shard, struct tick *tick);

/* From the first one on, they come again. */
void timers_put_off(struct shard *shard, struct tick *tick, size_t first, int64_t at_us);

/* ---- shard_requests.c ---- */

/* Decides one call; it is finished after the commit. */
void shard_request(struct shard *shard, struct tick *tick, struct call *call);
/* Any thread. */
void list_definitions(struct shards *shards, struct saga_list_definitions *list,
                      struct arena *arena);
const char *history_text(struct shard *shard, const struct instance *instance, struct arena *arena);

/* Of one that has ended, as it was written then; a row may have been damaged since. */
const char *history_final(const struct journal_row *row, struct arena *arena);

/* ---- shard_list.c ---- */

/* Adds this shard's sagas to the call's list. False: the next shard has the call now. */
bool list_take(struct shard *shard, struct tick *tick, struct call *call);

/* What another orchestrator adds to the call's list; the next shard has the call then, or it is answered. */
void list_add_part(struct shard *shard, struct call *call, const struct forward_part *part);

/* ---- shard_away.c ---- */

/* Hands on what waits, or holds it. Returns when something has changed, or after a moment. */
void shard_away(struct shard *shard);

/* ---- shard_watch.c ---- */

/* Takes the call: it is answered when the saga changes, or at its time. */
void watch_add(struct shard *shard, struct live *live, struct call *call);

/* After the commit: answers those who know another version. */
void watch_changed(struct shard *shard, struct live *live);

/* Answers all that watch it: that nothing has changed. */
void watch_end(struct shard *shard, struct live *live);

/* Answers those whose time is up; all of them once watching is over. */
void watch_expire(struct shard *shard);

/* ---- shard_recover.c ---- */

/* Takes the shard over and folds everything that is open. Tries until the database is there; false
 * when the program stops meanwhile, or another has the shard. */
bool shard_recover(struct shard *shard);

/* The instance in a parked row; NULL when it cannot be read, with the problem set. */
struct instance *shard_row_read(struct shard *shard, const struct journal_row *row,
                                struct problem *problem);

/* A parked saga into memory. False: it cannot be read, and is set aside. */
bool shard_unpark(struct shard *shard, struct live *live, const struct journal_row *row);

/* One that is set aside, into memory again: as its row is, or NULL, and what its pages tell beyond. False:
 * it stays where it is. Else it goes on: what that makes is in the page. */
bool shard_read_again(struct shard *shard, struct tick *tick, struct live *live,
                      const struct journal_row *row);

/* ---- shard_unread.c ---- */

/* It cannot be gone on with. What is in memory of it is kept as text. */
void unread_begin(struct shard *shard, struct live *live, const char *because);

/* The same for a parked one, whose row cannot be read. */
void unread_take_row(struct shard *shard, struct live *live, const char *body, const char *because);

/* A record of one that is set aside, as it stands in its page. */
void unread_add(struct live *live, const char *line, size_t bytes);

/* Is there more of it than its row has? Then unread_park() writes one; tick->parked has room. */
bool unread_is_to_be_saved(const struct live *live);
void unread_park(struct shard *shard, struct tick *tick, struct live *live);

/* Its page or row was refused: memory is ahead of what is written, and is dropped. Pins its pages. */
void unread_unwritten(struct shard *shard, struct live *live, bool is_locked);
bool unread_is_unwritten(const struct live *live);
/* Does its row, or do its pages, have to be read again to go on with it? */
bool unread_is_pinned(const struct live *live);

/* A person has it end as it stands: with this tick, and with that final row. unread_go_on() takes it back. */
void unread_settle(struct shard *shard, struct tick *tick, struct live *live,
                   const struct journal_row *row, const char *comment);
const char *unread_final(const struct live *live);
void unread_go_on(struct live *live);

/* It could be read. */
void unread_end(struct shard *shard, struct live *live);
void unread_free(struct shard *shard, struct live *live);

const char *unread_code(const struct live *live);
const char *unread_because(const struct live *live);

/* Of a line that is no record. */
bool unread_line_id(const char *line, size_t bytes, struct uuid *ret_id);

/* Folds those of the lines that are of this saga, or of none that can be made out. False, with the problem
 * set: one of them cannot be. */
bool unread_fold(const char *lines, definition_find find, void *find_context,
                 struct problem *problem, struct instance *instance);

/* A row of any kind. NULL, with the problem set: it cannot be gone on with. */
struct instance *unread_row_read(const struct journal_row *row, definition_find find,
                                 void *find_context, struct problem *problem);

/* What is shown of a saga that cannot be read: like instance_history(). body is its row, or "". */
const char *unread_history(struct uuid id, const char *body, const char *code, const char *because,
                           struct arena *arena);

/* ---- shard_park.c ---- */

/* Some idle sagas to rows. True when the round is over: all in memory were looked at. */
bool shard_park_idle(struct shard *shard, struct tick *tick);

/* The oldest page that a saga in memory needs. */
int64_t shard_floor(const struct shard *shard);

#endif
