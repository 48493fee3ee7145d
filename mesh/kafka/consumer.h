/* consumer.h -- Records of topics for one member of a group, a batch at a time; offsets are the owner's.
 *
 * The group says which partitions this member has (range assignment, so that topics with as many partitions
 * go together: the member that has partition 3 of one has 3 of all). From where they are read the owner says: he keeps
 * the offsets with what he makes of the records, in one transaction.
 *
 *     assigned(owner, places, count)         in kafka_consumer_poll(): puts in the offsets to begin with
 *     kafka_consumer_poll() ...
 *     kafka_consumer_rest(places, true)      these cannot be gone on with now: no more of them
 *     revoked(owner)                         in kafka_consumer_poll(): let go of all of them
 *
 * Where Kafka does not have what was to come next (its time was over, or the cluster was made anew), reading goes
 * on with the earliest record: an error in the log, and told to the owner. A topic that is not there yet is waited
 * for. A broker that is away is said once; the batches are then empty.
 *
 * Thread    One, the owner's; callbacks come in kafka_consumer_poll() and kafka_consumer_free().
 * Memory    Messages live until the next poll. What waits within is about memory_bytes, and a fetch.
 * Errors    kafka_consumer_poll: ERR_CONFLICT: the member is fenced by another of its instance, or a defect of the
 *           library (logged): free it and make another. All else is waited for.
 * Units     *_ms milliseconds; timestamp_ms since 1970 UTC.
 */
#ifndef MESH_KAFKA_CONSUMER_H
#define MESH_KAFKA_CONSUMER_H

#include "mesh/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KAFKA_BATCH_MAX = 4096,
    KAFKA_TOPICS_MAX = 4,
    KAFKA_EARLIEST = -2, /* an offset: the first record there is */
};

struct kafka_field {
    const char *name;
    const char *value; /* no NUL belongs to it; NULL: none */
    size_t bytes;
};

struct kafka_message {
    int32_t topic; /* its index in the options */
    int32_t partition;
    int64_t offset, timestamp_ms;
    const char *key, *value; /* NULL: none */
    size_t key_bytes, value_bytes;
    const struct kafka_field *headers;
    size_t header_count;
};

/* A partition of a topic, and the offset of the next record to read. */
struct kafka_place {
    int32_t topic, partition;
    int64_t offset;
};

struct kafka_consumer_options {
    const char *brokers; /* "host:port,..." */
    const char *client, *group;
    const char
        *instance; /* for a member that keeps its partitions over a restart; NULL: it has no name */
    const char *const *topics; /* ends with NULL; KAFKA_TOPICS_MAX at most (asserted) */
    int64_t memory_bytes;      /* of records that wait within; 0: 16 MiB */
    int64_t session_ms; /* a member that is silent for so long loses its partitions; 0: 10 s */
    void *owner;
    /* These are ours now. Puts in the offsets of all; it may take its time. False: none is read, the owner ends. */
    bool (*assigned)(void *owner, struct kafka_place *places, size_t count);
    /* All are over. is_lost: another member may have them already. */
    void (*revoked)(void *owner, bool is_lost);
    /* Kafka did not have place->offset: reading went on at offset. */
    void (*reset)(void *owner, const struct kafka_place *place, int64_t offset);
};

struct kafka_consumer;

/* Texts of the options must outlive it. NULL, which is logged: there is no memory or thread for it. */
struct kafka_consumer *kafka_consumer_new(const struct kafka_consumer_options *options);

/* Leaves the group, when need be after revoked(). NULL is fine. Returns NULL. */
struct kafka_consumer *kafka_consumer_free(struct kafka_consumer *consumer);

/* What has come, at most max (KAFKA_BATCH_MAX), in order within a partition; waits wait_ms for the first. */
enum error kafka_consumer_poll(struct kafka_consumer *consumer, int wait_ms, size_t max,
                               const struct kafka_message **ret_messages, size_t *ret_count);

/* Nothing of these places comes until they rest no more. What has been polled of them is the owner's: it does not
 * come again. */
void kafka_consumer_rest(struct kafka_consumer *consumer, const struct kafka_place *places,
                         size_t count, bool is_resting);

/* How many records lie from the place on, as far as Kafka has said while it was read; -1: it has not. */
int64_t kafka_consumer_lag(struct kafka_consumer *consumer, const struct kafka_place *place);

/* Tells the group how far we are, for tools that show it. Does not wait; what is lost is told the next time. */
void kafka_consumer_tell(struct kafka_consumer *consumer, const struct kafka_place *places,
                         size_t count);

/* How many partitions a topic has, by its index. ERR_NOT_FOUND: there is no such topic. ERR_UNREACHABLE: no answer within
 * wait_ms. */
enum error kafka_consumer_partitions(struct kafka_consumer *consumer, int32_t topic, int wait_ms,
                                     int32_t *ret_count);

/* Of the cluster: offsets of another one say nothing. In the consumer; NULL: not known within wait_ms. */
const char *kafka_consumer_cluster(struct kafka_consumer *consumer, int wait_ms);

#endif
