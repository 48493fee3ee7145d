#include "tests/support/kafka/kafka_fixture.h"
#include "mesh/base/clock.h"
#include "mesh/base/uuid.h"
#include "mesh/kafka/conf.h"
#include "tests/support/check.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>

enum { ASK_MS = 30 * 1000 };

void
kafka_fixture_open(struct kafka_fixture *fixture, size_t topic_count)
{
    char id[UUID_TEXT_BYTES + 1];
    char because[256];

    *fixture = (struct kafka_fixture){ .brokers = getenv("MESH_TEST_KAFKA") };
    if (fixture->brokers == NULL || fixture->brokers[0] == '\0') {
        fixture->handle = rd_kafka_new(RD_KAFKA_PRODUCER, kafka_conf_new("127.0.0.1:1", "mock"),
                                       because, sizeof because);
        ck_assert_ptr_nonnull(fixture->handle);
        fixture->cluster = rd_kafka_mock_cluster_new(fixture->handle, 1);
        ck_assert_ptr_nonnull(fixture->cluster);
        fixture->brokers = rd_kafka_mock_cluster_bootstraps(fixture->cluster);
    }
    uuid_print(uuid_v7(clock_now_us()), id);
    snprintf(fixture->group, sizeof fixture->group, "group-%s", id);
    for (size_t i = 0; i < topic_count; i++) {
        snprintf(fixture->topics[i], sizeof fixture->topics[i], "topic-%zu-%s", i, id);
        fixture->names[i] = fixture->topics[i];
    }
    fixture->producer = kafka_producer_new(fixture->brokers, "test");
}

void
kafka_fixture_close(struct kafka_fixture *fixture)
{
    kafka_producer_free(fixture->producer);
    if (fixture->cluster != NULL)
        rd_kafka_mock_cluster_destroy(fixture->cluster);
    if (fixture->handle != NULL)
        rd_kafka_destroy(fixture->handle);
    *fixture = (struct kafka_fixture){ 0 };
}

void
kafka_fixture_make(struct kafka_fixture *fixture, size_t topic, int partitions)
{
    const char *name = fixture->topics[topic];
    int32_t count = 0;

    if (fixture->cluster != NULL)
        ck_assert_int_eq(rd_kafka_mock_topic_create(fixture->cluster, name, partitions, 1),
                         RD_KAFKA_RESP_ERR_NO_ERROR);
    else
        ck_assert_int_eq(kafka_topic_make(fixture->producer, name, partitions, ASK_MS), ERR_OK);
    /* A server has made it before it says so to everybody. */
    AWAIT(kafka_partition_count(fixture->producer, name, ASK_MS, &count) == ERR_OK &&
              count == partitions,
          60);
}

void
kafka_fixture_send(struct kafka_fixture *fixture, size_t topic, int32_t partition, const char *key,
                   const char *value)
{
    const struct kafka_record record = { .topic = fixture->topics[topic],
                                         .partition = partition,
                                         .key = key,
                                         .value = value,
                                         .timestamp_ms = clock_now_us() / 1000,
                                         .headers = { { .name = "ce_id",
                                                        .value = value == NULL ? "" : value },
                                                      { .name = "ce_type", .value = "test" } },
                                         .header_count = 2 };

    while (kafka_send(fixture->producer, &record, 1, ASK_MS) != ERR_OK)
        ck_assert_ptr_nonnull(fixture->cluster); /* the mock's broker may just be coming back */
}

void
kafka_fixture_away(struct kafka_fixture *fixture, bool is_away)
{
    ck_assert_ptr_nonnull(fixture->cluster);
    if (is_away)
        rd_kafka_mock_broker_set_down(fixture->cluster, 1);
    else
        rd_kafka_mock_broker_set_up(fixture->cluster, 1);
}
