/* alerts_driver.h -- One partition of both topics, without Kafka and without a database: records in, alerts out.
 *
 * Like Kafka Streams' TopologyTestDriver: each record is read, applied and decided at once, and time is what the test
 * says it is. Beside it the driver keeps what a shard has on disk: a line for each watch, and the news since then.
 *
 *     driver = driver_new(now_us);
 *     feed_order(&record, ...);
 *     driver_feed(driver, &record.message);
 *     feed_heartbeat(&record, "order-svc", now_us);       of each of DRIVER_SOURCES
 *     driver_feed(driver, &record.message);
 *     driver_clock(driver, now_us + 300 * SECOND_US);
 *     ... driver->told[0 .. told_count - 1] ...
 *
 * A crash forgets what came since driver_commit(), the alerts too; the test feeds the records from driver_commit()
 * on once more. Heartbeats are forgotten by it altogether.
 *
 * Thread    Plain data.
 * Memory    driver_free() frees all, the payloads too.
 * Errors    A line that cannot be read again, or reads as something else, fails the test.
 */
#ifndef TESTS_SUPPORT_ALERTS_ALERTS_DRIVER_H
#define TESTS_SUPPORT_ALERTS_ALERTS_DRIVER_H

#include "alerts/watch.h"

#include "mesh/base/heap.h"

enum { DRIVER_SOURCE_COUNT = 2 };
extern const char *const driver_sources[DRIVER_SOURCE_COUNT];

struct driver_told {
    struct watch_alert alert; /* its trace is not kept */
    int64_t detected_us;
    char *payload;
};

struct driver_slot;

struct alerts_driver {
    struct rule_graces graces;
    int64_t now_us, heard_us[DRIVER_SOURCE_COUNT];
    struct driver_slot *slots; /* by order */
    struct heap due;
    struct driver_slot **touched; /* since the commit */
    size_t touched_count, touched_room;
    /* What is told: all, and how much of it is committed. */
    struct driver_told *told;
    size_t told_count, told_committed, told_room;
    int64_t place; /* of the next record */
    int64_t place_committed;
    int64_t answers[NEWS_DEAD + 1], old, full; /* how records were answered, and news applied */
    struct problem problem;                    /* of the last dead letter */
    int64_t took_us;                           /* of the last order that became PAID; -1: none */
    struct {
        int64_t took, late;
    } counts, counts_committed; /* of the service level's samples */
};

struct alerts_driver *driver_new(int64_t now_us);
struct alerts_driver *driver_free(struct alerts_driver *driver);

/* Its place is the driver's. */
enum news_answer driver_feed(struct alerts_driver *driver, const struct news_message *message);

/* Heartbeats of all sources, as records. */
void driver_beat(struct alerts_driver *driver, int64_t up_to_us);

/* The wall clock stands there. */
void driver_clock(struct alerts_driver *driver, int64_t now_us);

/* What was fed is kept. Of what was touched, watches that are over leave memory, and with is_parked all. */
void driver_commit(struct alerts_driver *driver, bool is_parked);
void driver_crash(struct alerts_driver *driver);

size_t driver_slot_count(const struct alerts_driver *driver);
size_t driver_watch_count(const struct alerts_driver *driver); /* in memory */
size_t driver_line_bytes(const struct alerts_driver *driver);  /* on disk */

#endif
