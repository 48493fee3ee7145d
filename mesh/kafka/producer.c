#include "mesh/kafka/producer.h"
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/kafka/access.h"
#include "mesh/kafka/conf.h"
#include "mesh/observe/metrics.h"

#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 50, CLOSE_MS = 1000 };

struct kafka_producer {
    const char *brokers, *client;
    rd_kafka_t *handle;  /* NULL: none is open */
    size_t waiting;      /* records that are not acknowledged yet */
    bool has_failed;     /* one of them will never be */
    bool is_away;        /* said so in the log */
    const char *refusal; /* of the last send: a record is to blame for its failure; or NULL */
    void (*on_wait)(void *owner);
    void *owner;
    int64_t on_wait_due_us;
    struct metric_series *acknowledged, *failed, *up;
    uint64_t password; /* that the handle has */
};

/* clang-format off */
static const struct metric_row records_row = { "sagamesh_kafka_producer_records_total", METRIC_COUNTER, METRIC_NUMBER, "Records acknowledged, or failed and sent again.",                { "outcome" } };
static const struct metric_row up_row      = { "sagamesh_kafka_producer_up",            METRIC_GAUGE,   METRIC_NUMBER, "0: not all that was sent last was acknowledged.",                { NULL } };
/* clang-format on */

/* A producer that was not used yet is well: nothing shows that it is not. */
void
kafka_producer_meter(struct kafka_producer *producer, struct metrics *metrics)
{
    static const char *const outcomes[] = { "acknowledged", "failed" };

    producer->acknowledged = metrics_series(metrics, &records_row, &outcomes[0]);
    producer->failed = metrics_series(metrics, &records_row, &outcomes[1]);
    producer->up = metrics_series(metrics, &up_row, NULL);
    metric_set(producer->up, 1);
}

/* These say that the same record would fail again. */
static bool
is_of_record(rd_kafka_resp_err_t error)
{
    switch ((int)error) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        return true;
    default:
        return false;
    }
}

static void
note_refusal(struct kafka_producer *producer, rd_kafka_resp_err_t error)
{
    if (is_of_record(error))
        producer->refusal = rd_kafka_err2str(error);
}

static void
delivered(rd_kafka_t *handle, const rd_kafka_message_t *message, void *context)
{
    struct kafka_producer *producer = context;

    (void)handle;
    producer->waiting--;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        producer->has_failed = true;
    note_refusal(producer, message->err);
    metric_add(
        message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? producer->acknowledged : producer->failed, 1);
}

/* A send that fails says only that it did; this says why. */
static void
trouble(rd_kafka_t *handle, int error, const char *because, void *context)
{
    (void)handle;
    (void)context;
    kafka_access_trouble(error, because);
}

static enum error
open_handle(struct kafka_producer *producer)
{
    rd_kafka_conf_t *conf;
    char because[256];

    if (producer->handle != NULL) {
        kafka_access_renew(producer->handle, &producer->password);
        return ERR_OK;
    }
    conf = kafka_conf_new(producer->brokers, producer->client);
    producer->password = kafka_access_set(conf);
    kafka_conf_set(conf, "enable.idempotence", "true");
    kafka_conf_set(conf, "acks", "all");
    kafka_conf_set(conf, "partitioner", "murmur2_random");
    kafka_conf_set(conf, "linger.ms",
                   "1"); /* a batch is given at once; nothing is worth waiting for */
    kafka_conf_set(conf, "compression.type", "lz4");
    kafka_conf_set(conf, "topic.metadata.refresh.interval.ms", "30000");
    rd_kafka_conf_set_opaque(conf, producer);
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_error_cb(conf, trouble);
    producer->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, because, sizeof because);
    if (producer->handle == NULL) {
        log_error("kafka=%s because=\"%s\"", producer->brokers, because);
        rd_kafka_conf_destroy(conf);
        return ERR_UNREACHABLE;
    }
    producer->waiting = 0;
    producer->has_failed = false;
    return ERR_OK;
}

static void
close_handle(struct kafka_producer *producer)
{
    if (producer->handle == NULL)
        return;
    rd_kafka_purge(producer->handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(producer->handle, CLOSE_MS);
    rd_kafka_destroy(producer->handle);
    producer->handle = NULL;
}

struct kafka_producer *
kafka_producer_new(const char *brokers, const char *client)
{
    struct kafka_producer *producer = memory_take(sizeof *producer);

    producer->brokers = brokers;
    producer->client = client;
    return producer;
}

struct kafka_producer *
kafka_producer_free(struct kafka_producer *producer)
{
    if (producer == NULL)
        return NULL;
    close_handle(producer);
    free(producer);
    return NULL;
}

static void
headers_add(rd_kafka_headers_t *headers, const struct kafka_header *header)
{
    rd_kafka_header_add(headers, header->name, -1, header->value,
                        header->value_bytes > 0 ? (ssize_t)header->value_bytes : -1);
}

static rd_kafka_headers_t *
headers_of(const struct kafka_record *record)
{
    rd_kafka_headers_t *headers =
        rd_kafka_headers_new(record->header_count + record->further_count);

    for (size_t i = 0; i < record->header_count; i++)
        headers_add(headers, &record->headers[i]);
    for (size_t i = 0; i < record->further_count; i++)
        headers_add(headers, &record->further[i]);
    return headers;
}

/* Texts have no count, bytes of strangers have. */
static size_t
bytes_of(const char *data, size_t bytes)
{
    return bytes > 0 || data == NULL ? bytes : strlen(data);
}

void
kafka_producer_on_wait(struct kafka_producer *producer, void (*waiting)(void *owner), void *owner)
{
    producer->on_wait = waiting;
    producer->owner = owner;
}

static void
poll_once(struct kafka_producer *producer)
{
    rd_kafka_poll(producer->handle, POLL_MS);
    if (producer->on_wait == NULL || clock_steady_us() < producer->on_wait_due_us)
        return;
    producer->on_wait_due_us = clock_steady_us() + SECOND_US;
    producer->on_wait(producer->owner);
}

static bool
produce(struct kafka_producer *producer, const struct kafka_record *record, int64_t until_us)
{
    rd_kafka_headers_t *headers = headers_of(record);
    size_t key_bytes = bytes_of(record->key, record->key_bytes);
    size_t value_bytes = bytes_of(record->value, record->value_bytes);

    for (;;) {
        rd_kafka_resp_err_t error = rd_kafka_producev(
            producer->handle, RD_KAFKA_V_TOPIC(record->topic),
            RD_KAFKA_V_PARTITION(record->partition),
            RD_KAFKA_V_KEY((void *)(uintptr_t)record->key, key_bytes),
            RD_KAFKA_V_VALUE((void *)(uintptr_t)record->value, value_bytes),
            RD_KAFKA_V_TIMESTAMP(record->timestamp_ms), RD_KAFKA_V_HEADERS(headers),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);

        if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
            producer->waiting++;
            return true;
        }
        if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL || clock_steady_us() > until_us) {
            rd_kafka_headers_destroy(headers);
            note_refusal(producer, error);
            return false;
        }
        poll_once(producer);
    }
}

static enum error
fail(struct kafka_producer *producer)
{
    const char *refusal = producer->refusal;

    if (!producer->is_away)
        log_warn("kafka=%s because=\"%s: it is sent again\"", producer->brokers,
                 refusal == NULL ? "not everything was acknowledged" : refusal);
    producer->is_away = true;
    metric_set(producer->up, 0);
    close_handle(producer); /* what it drops is no news of this send */
    producer->refusal = refusal;
    return ERR_UNREACHABLE;
}

enum error
kafka_send(struct kafka_producer *producer, const struct kafka_record *records, size_t count,
           int timeout_ms)
{
    int64_t until_us = clock_steady_us() + (int64_t)timeout_ms * 1000;

    producer->refusal = NULL;
    if (open_handle(producer) != ERR_OK)
        return ERR_UNREACHABLE;
    producer->on_wait_due_us = clock_steady_us() + SECOND_US;
    for (size_t i = 0; i < count && !producer->has_failed; i++) {
        if (!produce(producer, &records[i], until_us))
            return fail(producer);
    }
    while (producer->waiting > 0 && !producer->has_failed && clock_steady_us() < until_us)
        poll_once(producer);
    if (producer->waiting > 0 || producer->has_failed)
        return fail(producer);
    if (producer->is_away)
        log_info("kafka=%s because=\"it is back\"", producer->brokers);
    producer->is_away = false;
    metric_set(producer->up, 1);
    return ERR_OK;
}

const char *
kafka_producer_refusal(const struct kafka_producer *producer)
{
    return producer->refusal;
}

enum error
kafka_partition_count(struct kafka_producer *producer, const char *topic, int timeout_ms,
                      int32_t *ret_count)
{
    enum error error = open_handle(producer);

    if (error != ERR_OK)
        return error;
    error = kafka_topic_partitions(producer->handle, topic, timeout_ms, ret_count);
    return error == ERR_UNREACHABLE ? fail(producer) : error;
}

static enum error
topic_answer(rd_kafka_event_t *event, const char *topic)
{
    const rd_kafka_CreateTopics_result_t *result =
        event == NULL ? NULL : rd_kafka_event_CreateTopics_result(event);
    const rd_kafka_topic_result_t **topics;
    rd_kafka_resp_err_t error;
    size_t count = 0;

    if (result == NULL || rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return ERR_UNREACHABLE;
    topics = rd_kafka_CreateTopics_result_topics(result, &count);
    if (count != 1)
        return ERR_UNREACHABLE;
    error = rd_kafka_topic_result_error(topics[0]);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR || error == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        return ERR_OK;
    log_error("topic=%s because=\"it cannot be made: %s\"", topic, rd_kafka_err2str(error));
    return ERR_REFUSED;
}

enum error
kafka_topic_make(struct kafka_producer *producer, const char *topic, int partitions, int timeout_ms)
{
    char because[256];
    rd_kafka_NewTopic_t *wanted =
        rd_kafka_NewTopic_new(topic, partitions, -1, because, sizeof because);
    rd_kafka_queue_t *queue;
    rd_kafka_event_t *event;
    enum error error;

    if (wanted == NULL || open_handle(producer) != ERR_OK) {
        if (wanted != NULL)
            rd_kafka_NewTopic_destroy(wanted);
        return ERR_UNREACHABLE;
    }
    queue = rd_kafka_queue_new(producer->handle);
    rd_kafka_CreateTopics(producer->handle, &wanted, 1, NULL, queue);
    event = rd_kafka_queue_poll(queue, timeout_ms);
    error = topic_answer(event, topic);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(wanted);
    return error;
}
