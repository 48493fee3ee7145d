/* alerts_kafka.h -- News for a shard's tests over a Kafka: the mock cluster in the test's process, with the topics of news.
 *
 *     kafka_news_open(&kafka, 4);
 *     kafka_news_order(&kafka, 0, id, 2, "PAID", time_us);
 *     kafka_news_beat(&kafka, time_us);              of all sources, in all partitions
 *
 * Memory    Records are sent at once, and kept nowhere.
 * Errors    What cannot be sent fails the test.
 */
#ifndef TESTS_SUPPORT_ALERTS_ALERTS_KAFKA_H
#define TESTS_SUPPORT_ALERTS_ALERTS_KAFKA_H

#include "mesh/base/uuid.h"
#include "tests/support/kafka/kafka_fixture.h"

struct kafka_news {
    struct kafka_fixture fixture;
    int32_t partitions;
};

#define KAFKA_NEWS_SOURCES "order-svc,account-svc"

void kafka_news_open(struct kafka_news *kafka, int32_t partitions);
void kafka_news_close(struct kafka_news *kafka);

void kafka_news_order(struct kafka_news *kafka, int32_t partition, struct uuid order_id,
                      int32_t version, const char *status, int64_t time_us);
/* A provider's payment; its id is made of the order's. */
void kafka_news_payment(struct kafka_news *kafka, int32_t partition, struct uuid order_id,
                        int32_t version, const char *status, int64_t time_us);
void kafka_news_beat_of(struct kafka_news *kafka, const char *source, int64_t time_us);
void kafka_news_beat(struct kafka_news *kafka, int64_t time_us);

#endif
