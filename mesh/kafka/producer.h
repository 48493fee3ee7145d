/* producer.h -- Records to Kafka, a batch at a time: all of it arrives, or the caller sends it again.
 *
 * An idempotent producer (acks=all) behind one call. A failed delivery makes the producer worthless:
 * it is purged and closed, and the next call opens another. So records can come twice, and readers
 * drop what they have seen.
 *
 * Thread    A producer belongs to the thread that uses it.
 * Memory    Records are the caller's; they are copied while they are sent.
 * Errors    ERR_UNREACHABLE: not everything was acknowledged in time (logged once per outage), or one of the records is
 *           such that Kafka will never take it (kafka_producer_refusal).
 * Units     *_ms milliseconds; timestamp_ms since 1970 UTC.
 */
#ifndef MESH_KAFKA_PRODUCER_H
#define MESH_KAFKA_PRODUCER_H

#include "mesh/base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { KAFKA_HEADERS_MAX = 16, KAFKA_PARTITION_BY_KEY = -1 };

struct kafka_header {
    const char *name, *value; /* value NULL: none */
    size_t value_bytes;       /* 0: it ends with a NUL */
};

struct kafka_record {
    const char *topic;
    int32_t partition; /* KAFKA_PARTITION_BY_KEY: murmur2 of the key, as JVM clients do */
    const char *key;   /* NULL: none */
    const char *value; /* NULL: a tombstone */
    size_t key_bytes, value_bytes; /* 0: it ends with a NUL */
    int64_t timestamp_ms;
    struct kafka_header headers[KAFKA_HEADERS_MAX];
    size_t header_count;
    const struct kafka_header *further; /* more of them, as many as there are */
    size_t further_count;
};

struct kafka_producer;
struct metrics;

/* brokers: "host:port,...". Does not connect yet. */
struct kafka_producer *kafka_producer_new(const char *brokers, const char *client);
struct kafka_producer *kafka_producer_free(struct kafka_producer *producer);

/* Counts what is sent, with all other producers of the program. metrics NULL is fine. */
void kafka_producer_meter(struct kafka_producer *producer, struct metrics *metrics);

/* While a send waits, waiting() is called about once a second; by default nothing is. */
void kafka_producer_on_wait(struct kafka_producer *producer, void (*waiting)(void *owner),
                            void *owner);

/* ERR_OK once every record is acknowledged by all in-sync replicas. */
enum error kafka_send(struct kafka_producer *producer, const struct kafka_record *records,
                      size_t count, int timeout_ms);

/* Why the last send failed by a fault of one of its records: it is too large, invalid, or of a partition that is not
 * there. NULL: by none. A constant text. */
const char *kafka_producer_refusal(const struct kafka_producer *producer);

/* How many partitions a topic has. ERR_NOT_FOUND: there is no such topic. */
enum error kafka_partition_count(struct kafka_producer *producer, const char *topic, int timeout_ms,
                                 int32_t *ret_count);

/* Makes a topic, with the cluster's own replication. ERR_OK also when somebody else was first. */
enum error kafka_topic_make(struct kafka_producer *producer, const char *topic, int partitions,
                            int timeout_ms);

#endif
