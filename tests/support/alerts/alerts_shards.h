/* alerts_shards.h -- Shards of alerts-svc over PostgreSQL and the mock cluster.
 *
 *     struct alert_shards *shards = shards_open(300 * SECOND_US);
 *
 *     shards_send_waiting(1, order, shards_ago(400));
 *     AWAIT_BEATING(shards_count("alert") == 1);
 *     shards_expect(1, 0);
 *     shards = alert_shards_close(shards);
 *
 * A group of the mock cluster waits three seconds before its first member reads, and as long for each rebalance: such
 * tests wait more than they work, and stand in several programs.
 *
 * Thread    main.
 * Units     *_us microseconds since 1970 UTC; a grace in microseconds, an age in seconds.
 */
#ifndef TESTS_SUPPORT_ALERTS_ALERTS_SHARDS_H
#define TESTS_SUPPORT_ALERTS_ALERTS_SHARDS_H

#include "alerts/alert_shard.h"
#include "mesh/base/clock.h"
#include "tests/support/alerts/alerts_kafka.h"
#include "tests/support/check.h"
#include "tests/support/store/pg_fixture.h"

#include <unistd.h>

enum { SHARDS_PARTITIONS = 4, SHARDS_WAIT = 60 };

/* Of the test that runs. */
extern struct pg_fixture shards_fixture;
extern struct kafka_news shards_kafka;
extern struct metrics *shards_metrics;
extern const struct partitions shards_partitions[];

/* main() of a program of such tests. */
int shards_check(const char *name, TCase *cases);

struct alert_shards_options shards_options(int64_t grace_us);
struct alert_shards *shards_open(int64_t grace_us);

/* Rows of "TABLE WHERE ...". */
long long shards_count(const char *what);

int64_t shards_ago(int64_t seconds);
struct uuid shards_order_new(void);

/* What rule A is about: paid, and still waiting for it. */
void shards_send_waiting(int32_t partition, struct uuid id, int64_t at_us);

/* A heartbeat of all sources; true. */
bool shards_beat(void);

/* Heartbeats go on while it is waited for, as relays send them. */
#define AWAIT_BEATING(condition)                                                                   \
    AWAIT(usleep(100 * 1000) == 0 && shards_beat() && (condition), SHARDS_WAIT)

/* Each alert that was raised has one event that says so, and each that was resolved one more. */
void shards_expect(long long raised, long long resolved);

#endif
