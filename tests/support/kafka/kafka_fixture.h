/* kafka_fixture.h -- A Kafka for a test: librdkafka's mock cluster in the test's process, or the server that
 * MESH_TEST_KAFKA names ("127.0.0.1:9092"), with topics of the test's own.
 *
 * Thread    The test's.
 * Memory    Names live as long as the fixture.
 * Errors    A test without its Kafka is worth nothing: everything here fails it.
 */
#ifndef TESTS_SUPPORT_KAFKA_FIXTURE_H
#define TESTS_SUPPORT_KAFKA_FIXTURE_H

#include "mesh/kafka/consumer.h"
#include "mesh/kafka/producer.h"

#include <stdio.h>

enum { KAFKA_FIXTURE_NAME_BYTES = 96 };

typedef struct rd_kafka_s rd_kafka_t;
typedef struct rd_kafka_mock_cluster_s rd_kafka_mock_cluster_t;

struct kafka_fixture {
    const char *brokers;
    rd_kafka_t *handle;               /* of the mock; NULL: it is a server */
    rd_kafka_mock_cluster_t *cluster; /* NULL: it is a server */
    struct kafka_producer *producer;
    char topics[KAFKA_TOPICS_MAX][KAFKA_FIXTURE_NAME_BYTES]; /* of this test alone; not made yet */
    char group[KAFKA_FIXTURE_NAME_BYTES];
    const char *names[KAFKA_TOPICS_MAX + 1]; /* the first topics; for kafka_consumer_options */
};

void kafka_fixture_open(struct kafka_fixture *fixture, size_t topic_count);
void kafka_fixture_close(struct kafka_fixture *fixture);

void kafka_fixture_make(struct kafka_fixture *fixture, size_t topic, int partitions);

/* One record. */
void kafka_fixture_send(struct kafka_fixture *fixture, size_t topic, int32_t partition,
                        const char *key, const char *value);

/* The broker of the mock is gone, and back. */
void kafka_fixture_away(struct kafka_fixture *fixture, bool is_away);

#endif
