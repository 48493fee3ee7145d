/* alert_shard.h -- News from Kafka to alerts: for each partition that this member of the group has, a shard.
 *
 * Shard p reads partition p of both topics, keeps a watch of each order, and owns shard p of the journal. A tick:
 *
 *   take      the batch's records of this partition, read (news.h); heartbeats move the horizon
 *   find      rows of orders that are not in memory, in one round
 *   apply     each piece of news to its watch
 *   decide    the watches that changed, and those whose time the horizon has passed
 *   park      orders that were idle for 5 s, to rows; finished ones to final rows
 *   write     one page of the journal with the offsets, in one transaction with alerts, their events, notices and
 *             dead letters; then the next tick
 *
 * So a crash at any instruction, or a rebalance, neither loses an alert nor raises it twice: who has the partition
 * next goes on from the offsets of the last page, with the state of that page. While a page cannot be
 * written its partitions rest, and it is tried again; the other shards go on.
 *
 *   alert_shard.c    the thread: Kafka's batches to shards, and who has which
 *   alert_tick.c     the tick
 *   alert_page.c     what a tick writes
 *   alert_recover.c  rows and pages to watches
 *   alert_heard.c    heartbeats: the horizon, and who is silent
 *   alert_live.c     the orders of a shard
 *
 * Thread    alert_shards_open, _close: main. alert_shards_hear: any. Within, one thread has the consumer, all shards and one connection: a
 *           page takes a millisecond, and what comes meanwhile is the next page.
 * Errors    Kafka or the database away: it waits. Another member took a shard over: the shard is dropped.
 */
#ifndef ALERTS_ALERT_SHARD_H
#define ALERTS_ALERT_SHARD_H

#include "alerts/notify.h"
#include "alerts/rule.h"
#include "mesh/observe/metrics.h"
#include "mesh/store/partition.h"

struct alert_shards_options {
    const char *conninfo;
    const struct partitions *partitions; /* that a page writes to; ends with a row of zeros */
    const char *brokers, *group;
    const char
        *instance; /* of a member that keeps its partitions over a restart; NULL or "": none */
    const char *sources; /* whose heartbeats are waited for: "order-svc,account-svc" */
    int64_t session_ms;  /* after so long Kafka gives a silent member's partitions to others */
    int64_t idle_us;     /* an order without news for so long is parked; 0: 5 s */
    int64_t silent_us;   /* a source that was not heard for longer is silent */
    struct rule_graces graces;
    const struct notify *notify;                 /* NULL: there are no notices */
    struct metrics *metrics;                     /* NULL: nothing is counted */
    void (*wrote)(void *owner, bool is_written); /* after each try to write a page; or NULL */
    void *wrote_owner;
};

struct alert_shards;

/* Texts of the options must outlive it. BAD_REQUEST, which is logged: of the sources. */
enum error alert_shards_open(const struct alert_shards_options *options,
                             struct alert_shards **ret_shards);

/* It has its part of Kafka's partitions, or had it less than session_ms ago: news comes. NULL is fine: it need not. Any
 * thread. */
bool alert_shards_hear(const struct alert_shards *shards);

/* Leaves the group. NULL is fine. Returns NULL. */
struct alert_shards *alert_shards_close(struct alert_shards *shards);

#endif
