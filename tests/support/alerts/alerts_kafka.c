#include "tests/support/alerts/alerts_kafka.h"
#include "mesh/base/clock.h"
#include "tests/support/alerts/alerts_feed.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

enum { SEND_MS = 30 * 1000 };

void
kafka_news_open(struct kafka_news *kafka, int32_t partitions)
{
    unsetenv("MESH_TEST_KAFKA"); /* a server keeps the topics of the test before */
    kafka_fixture_open(&kafka->fixture, 2);
    strcpy(kafka->fixture.topics[NEWS_ORDER], NEWS_ORDERS_TOPIC);
    strcpy(kafka->fixture.topics[NEWS_PAYMENT], NEWS_PAYMENTS_TOPIC);
    kafka->partitions = partitions;
    kafka_fixture_make(&kafka->fixture, NEWS_ORDER, partitions);
    kafka_fixture_make(&kafka->fixture, NEWS_PAYMENT, partitions);
}

void
kafka_news_close(struct kafka_news *kafka)
{
    kafka_fixture_close(&kafka->fixture);
}

static void
send_to(struct kafka_news *kafka, int32_t partition, const struct feed_record *from)
{
    char key[UUID_TEXT_BYTES + 1] = "";
    struct kafka_record record = { .topic = news_topic(from->message.topic),
                                   .partition = partition,
                                   .key = from->message.key == NULL ? NULL : key,
                                   .value = from->body,
                                   .timestamp_ms = clock_now_us() / 1000 };

    if (from->message.key != NULL)
        memcpy(key, from->message.key, from->message.key_bytes);
    ck_assert_uint_le(from->message.header_count, KAFKA_HEADERS_MAX);
    for (size_t i = 0; i < from->message.header_count; i++) {
        const struct news_header *header = &from->message.headers[i];

        ck_assert_uint_eq(strlen(header->value), header->bytes);
        record.headers[record.header_count++] =
            (struct kafka_header){ .name = header->name, .value = header->value };
    }
    while (kafka_send(kafka->fixture.producer, &record, 1, SEND_MS) != ERR_OK)
        continue; /* the mock's broker may just be coming back */
}

void
kafka_news_order(struct kafka_news *kafka, int32_t partition, struct uuid order_id, int32_t version,
                 const char *status, int64_t time_us)
{
    struct feed_record record;

    feed_order(&record, &(struct feed_order){ .order_id = order_id,
                                              .event_id = uuid_v7(clock_now_us()),
                                              .version = version,
                                              .status = status,
                                              .total_minor = 1000,
                                              .expires_at_us = time_us + 3600 * SECOND_US,
                                              .time_us = time_us });
    send_to(kafka, partition, &record);
}

void
kafka_news_payment(struct kafka_news *kafka, int32_t partition, struct uuid order_id,
                   int32_t version, const char *status, int64_t time_us)
{
    struct uuid payment_id = order_id;
    struct feed_record record;

    payment_id.bytes[15] ^= 1;
    feed_payment(&record, &(struct feed_payment){ .order_id = order_id,
                                                  .payment_id = payment_id,
                                                  .event_id = uuid_v7(clock_now_us()),
                                                  .version = version,
                                                  .status = status,
                                                  .occurred_at_us = time_us,
                                                  .amount_minor = 1000,
                                                  .refunded_minor =
                                                      strcmp(status, "REFUNDED") == 0 ? 1000 : 0,
                                                  .time_us = time_us });
    send_to(kafka, partition, &record);
}

void
kafka_news_beat_of(struct kafka_news *kafka, const char *source, int64_t time_us)
{
    struct feed_record record;

    feed_heartbeat(&record, source, time_us);
    record.message.topic = strcmp(source, "order-svc") == 0 ? NEWS_ORDER : NEWS_PAYMENT;
    for (int32_t i = 0; i < kafka->partitions; i++)
        send_to(kafka, i, &record);
}

void
kafka_news_beat(struct kafka_news *kafka, int64_t time_us)
{
    kafka_news_beat_of(kafka, "order-svc", time_us);
    kafka_news_beat_of(kafka, "account-svc", time_us);
}
