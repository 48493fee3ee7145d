/* shard.h -- A share of the sagas, one thread, one journal: the tick.
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
 *   shard_requests.c  what callers ask: Start, Cancel, Get, List, Retry, Compensate
 *   shard_timer.c     when to look at which saga again
 *   shard_watch.c     Watch calls that wait
 *   shard_recover.c   after a crash, and in idle moments: rows to instances and back
 *
 * Thread    shards_open/end_watches/stop/close: main. shards_submit: any.
 * Errors    Calls are answered BUSY, STOPPING, STORE_DOWN (nothing was done).
 */
#ifndef SAGA_SHARD_H
#define SAGA_SHARD_H

#include "saga/catalog.h"
#include "saga/participants.h"

struct shards;

struct shards_options {
    const char *conninfo;
    const struct catalog *catalog;
    struct participants *participants;
    size_t queue_max;
};

/* Takes the shards over, recovers, and starts their threads. Waits for the database, which must have
 * its schema. */
enum error shards_open(const struct shards_options *options, struct shards **ret_shards);

/* Fits rpc_service.submit. */
void shards_submit(void *shards, struct call *call);

/* Watch calls that wait are answered with what there is, and no more of them wait. */
void shards_end_watches(struct shards *shards);

/* What waits is done; no more calls are sent. Before participants_close(). */
void shards_stop(struct shards *shards);
struct shards *shards_close(struct shards *shards);

#endif
