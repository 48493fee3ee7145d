/* shard.h -- A share of the sagas, one thread, one journal: the tick. One orchestrator has it at a time (shards.c).
 *
 *   take      all events that wait: requests, answers of participants, timers
 *   find      rows of sagas that are not in memory (one round, only when there are such)
 *   decide    each event, in memory; the engine makes records
 *   write     one journal page with the records, with final and parked rows, in one transaction
 *   then      send the calls that are due, and answer the callers
 * The next tick collects while the commit is under way. Nothing is sent before it is written, so a
 * crash at any instruction is repaired by folding the pages and sending what is due.
 *
 *   shard.c           the tick
 *   shard_requests.c  what callers ask: Start, Cancel, Get, Retry, Compensate, Settle, Signal
 *   shard_timer.c     when to look at which saga again
 *   shard_watch.c     Watch calls that wait
 *   shard_live.c      the sagas that have not ended
 *   shard_park.c      in idle moments: sagas to rows
 *   shard_meter.c     what is counted of them
 *   shard_recover.c   after a crash: rows and pages to sagas
 *   shard_unread.c    sagas that cannot be read: stuck, until they can
 *
 * Thread    shards_open/end_watches/stop/close: main. shards_submit, shards_begin, shards_are_ready: any.
 * Errors    Calls are answered BUSY, STOPPING, STORE_DOWN (nothing was done).
 */
#ifndef SAGA_SHARD_H
#define SAGA_SHARD_H

#include "mesh/store/partition.h"
#include "saga/catalog.h"
#include "saga/participants.h"

struct shards;

struct shards_options {
    const char *conninfo;
    const struct partitions *partitions; /* that a page writes to; ends with a row of zeros */
    struct catalog *catalog;
    struct participants *participants;
    size_t queue_max;
    void (*wrote)(void *owner,
                  bool is_written); /* after each try to write a page; shard's thread */
    void *wrote_owner;
    struct metrics *metrics; /* NULL: nothing is counted */
};

/* Starts the shards' threads. Waits for the database, which must have its schema. */
enum error shards_open(const struct shards_options *options, struct shards **ret_shards);

/* Fits rpc_service.submit. */
void shards_submit(void *shards, struct call *call);

/* Takes its share of the shards, and calls of other orchestrators at this address. Once. */
void shards_begin(struct shards *shards, const char *address);

/* Whether each shard has an owner: of ours all that was open is known again, so that a call is decided at once. */
bool shards_are_ready(struct shards *shards);

/* Watch calls that wait are answered with what there is, and no more of them wait. */
void shards_end_watches(struct shards *shards);

/* What waits is done; no more calls are sent. Before participants_close(). */
void shards_stop(struct shards *shards);
struct shards *shards_close(struct shards *shards);

#endif
