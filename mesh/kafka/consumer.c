/* A consumer is a librdkafka handle and the list of places that are read, each with the offset of the record
 * to come. librdkafka keeps offsets nowhere; it is given them once, when places are assigned: version 2.0
 * ends the process where rd_kafka_assign() is called again while partitions are being stopped. So what cannot be
 * gone on with is paused, and what Kafka no longer has is reset by the library, and seen here by the offset
 * that comes instead. Within a poll a rebalance may come behind records: those are dropped, the owner has
 * not seen them. */
#include "mesh/kafka/consumer.h"
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/kafka/access.h"
#include "mesh/kafka/conf.h"

#include <assert.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

enum {
    MEMORY_BYTES = 16 << 20,
    SESSION_MS = 10 * 1000,
    ASK_MS = 2000,
    FETCH_BYTES =
        8 << 20,      /* of one answer of a broker; one record that is larger comes all the same */
    HEADERS_MAX = 64, /* of a record that are looked at */
};

struct kafka_consumer {
    struct kafka_consumer_options options;
    size_t topic_count;
    rd_kafka_t *handle;
    struct kafka_place *places; /* that are read; offset: of the next record to come */
    size_t place_count;
    int64_t ask_due_us;
    rd_kafka_message_t *held[KAFKA_BATCH_MAX]; /* the batch's */
    struct kafka_message messages[KAFKA_BATCH_MAX];
    size_t count;
    struct arena *arena; /* the batch's headers */
    char *cluster;
    bool is_away;                      /* said so in the log */
    bool is_missing[KAFKA_TOPICS_MAX]; /* said so in the log */
    bool is_broken;
    uint64_t password; /* that the handle has */
};

/* ---- places ---- */

static int32_t
topic_index(const struct kafka_consumer *consumer, const char *name)
{
    for (size_t i = 0; i < consumer->topic_count; i++) {
        if (strcmp(consumer->options.topics[i], name) == 0)
            return (int32_t)i;
    }
    return -1;
}

static struct kafka_place *
place_find(const struct kafka_consumer *consumer, int32_t topic, int32_t partition)
{
    for (size_t i = 0; i < consumer->place_count; i++) {
        struct kafka_place *place = &consumer->places[i];

        if (place->partition == partition && place->topic == topic)
            return place;
    }
    return NULL;
}

static rd_kafka_topic_partition_list_t *
list_of(const struct kafka_consumer *consumer, const struct kafka_place *places, size_t count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);

    for (size_t i = 0; i < count; i++) {
        const char *topic = consumer->options.topics[places[i].topic];

        rd_kafka_topic_partition_list_add(list, topic, places[i].partition)->offset =
            places[i].offset == KAFKA_EARLIEST ? RD_KAFKA_OFFSET_BEGINNING : places[i].offset;
    }
    return list;
}

static void
batch_drop(struct kafka_consumer *consumer)
{
    for (size_t i = 0; i < consumer->count; i++)
        rd_kafka_message_destroy(consumer->held[i]);
    consumer->count = 0;
    arena_reset(consumer->arena);
}

/* A pause of a place that is not ours would outlive its next assignment. */
static void
rest_one(struct kafka_consumer *consumer, const struct kafka_place *place, bool is_resting)
{
    rd_kafka_topic_partition_list_t *list;

    if (place_find(consumer, place->topic, place->partition) == NULL)
        return;
    list = list_of(consumer, place, 1);
    if (is_resting)
        rd_kafka_pause_partitions(consumer->handle, list);
    else
        rd_kafka_resume_partitions(consumer->handle, list);
    rd_kafka_topic_partition_list_destroy(list);
}

void
kafka_consumer_rest(struct kafka_consumer *consumer, const struct kafka_place *places, size_t count,
                    bool is_resting)
{
    for (size_t i = 0; i < count; i++)
        rest_one(consumer, &places[i], is_resting);
}

/* ---- the group ---- */

static void
assign(struct kafka_consumer *consumer)
{
    rd_kafka_topic_partition_list_t *list =
        list_of(consumer, consumer->places, consumer->place_count);
    rd_kafka_resp_err_t error = rd_kafka_assign(consumer->handle, list);

    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        log_error("kafka=%s group=%s because=\"its partitions cannot be read: %s\"",
                  consumer->options.brokers, consumer->options.group, rd_kafka_err2str(error));
        consumer->is_broken = true;
    }
    rd_kafka_topic_partition_list_destroy(list);
}

static void
take_assignment(struct kafka_consumer *consumer, const rd_kafka_topic_partition_list_t *partitions)
{
    consumer->places =
        memory_grow(consumer->places, ((size_t)partitions->cnt + 1) * sizeof *consumer->places);
    consumer->place_count = 0;
    for (int i = 0; i < partitions->cnt; i++) {
        int32_t topic = topic_index(consumer, partitions->elems[i].topic);

        if (topic >= 0)
            consumer->places[consumer->place_count++] =
                (struct kafka_place){ topic, partitions->elems[i].partition, KAFKA_EARLIEST };
    }
    log_info("kafka=assigned group=%s partitions=%zu", consumer->options.group,
             consumer->place_count);
    if (!consumer->options.assigned(consumer->options.owner, consumer->places,
                                    consumer->place_count))
        consumer->place_count = 0;
    assign(consumer);
}

static void
rebalance(rd_kafka_t *handle, rd_kafka_resp_err_t error,
          rd_kafka_topic_partition_list_t *partitions, void *context)
{
    struct kafka_consumer *consumer = context;

    batch_drop(consumer);
    if (error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        take_assignment(consumer, partitions);
        return;
    }
    consumer->place_count = 0;
    log_info("kafka=revoked group=%s partitions=%d lost=%s", consumer->options.group,
             partitions->cnt, rd_kafka_assignment_lost(handle) ? "yes" : "no");
    consumer->options.revoked(consumer->options.owner, rd_kafka_assignment_lost(handle) != 0);
    /* The library keeps a pause, and who gets the partitions next, maybe this process, knows of none. */
    rd_kafka_resume_partitions(handle, partitions);
    rd_kafka_assign(handle, NULL);
}

/* Brokers come and go: the library tries again by itself. */
static void
trouble(rd_kafka_t *handle, int error, const char *because, void *context)
{
    struct kafka_consumer *consumer = context;

    (void)handle;
    kafka_access_trouble(error, because);
    if (error == RD_KAFKA_RESP_ERR__FATAL)
        consumer->is_broken = true;
    if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !consumer->is_away) {
        log_warn("kafka=away brokers=%s group=%s because=\"%s\"", consumer->options.brokers,
                 consumer->options.group, because);
        consumer->is_away = true;
    }
}

/* ---- what comes that is no record ---- */

static void
take_trouble(struct kafka_consumer *consumer, const rd_kafka_message_t *message)
{
    int32_t topic =
        message->rkt == NULL ? -1 : topic_index(consumer, rd_kafka_topic_name(message->rkt));

    switch ((int)message->err) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        if (topic < 0 || consumer->is_missing[topic])
            return;
        consumer->is_missing[topic] = true;
        log_warn("kafka=waits topic=%s because=\"it is not there yet: its relay makes it\"",
                 consumer->options.topics[topic]);
        return;
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
        consumer->is_broken = true;
        return;
    default:
        log_warn("kafka=trouble group=%s because=\"%s\"", consumer->options.group,
                 rd_kafka_message_errstr(message));
    }
}

/* ---- records ---- */

static void
headers_read(struct kafka_consumer *consumer, const rd_kafka_message_t *from,
             struct kafka_message *message)
{
    struct kafka_field *fields;
    rd_kafka_headers_t *headers;
    const void *value;
    size_t count;

    if (rd_kafka_message_headers(from, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    count = rd_kafka_header_cnt(headers);
    if (count > HEADERS_MAX)
        count = HEADERS_MAX;
    fields = arena_take(consumer->arena, count * sizeof *fields);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_header_get_all(headers, i, &fields[i].name, &value, &fields[i].bytes);
        fields[i].value = value;
    }
    message->headers = fields;
    message->header_count = count;
}

/* Records are missing before this one. Transactions and compaction leave holes that are none: what decides is
 * whether Kafka still has the offset that was to come. It is asked once a second at most. */
static bool
is_gone(struct kafka_consumer *consumer, const struct kafka_place *place)
{
    int64_t low, high;

    if (clock_steady_us() < consumer->ask_due_us)
        return false;
    consumer->ask_due_us = clock_steady_us() + SECOND_US;
    return rd_kafka_query_watermark_offsets(
               consumer->handle, consumer->options.topics[place->topic], place->partition, &low,
               &high, ASK_MS) == RD_KAFKA_RESP_ERR_NO_ERROR &&
           low > place->offset;
}

static void
look_for_reset(struct kafka_consumer *consumer, const struct kafka_place *place, int64_t offset)
{
    if (place->offset == KAFKA_EARLIEST || offset == place->offset ||
        (offset > place->offset && !is_gone(consumer, place)))
        return;
    log_error("kafka=reset topic=%s partition=%" PRId32 " wanted=%" PRId64 " offset=%" PRId64
              " because=\"Kafka does not have what was to come: its time is over, or the topic was "
              "made anew; reading goes on with the earliest\"",
              consumer->options.topics[place->topic], place->partition, place->offset, offset);
    consumer->options.reset(consumer->options.owner, place, offset);
}

/* Of a place that is not read any more nothing comes to the owner. */
static bool
take_record(struct kafka_consumer *consumer, rd_kafka_message_t *from)
{
    int32_t topic = topic_index(consumer, rd_kafka_topic_name(from->rkt));
    struct kafka_place *place = place_find(consumer, topic, from->partition);
    struct kafka_message *message = &consumer->messages[consumer->count];
    rd_kafka_timestamp_type_t type;

    if (place == NULL)
        return false;
    look_for_reset(consumer, place, from->offset);
    place->offset = from->offset + 1;
    *message = (struct kafka_message){ .topic = topic,
                                       .partition = from->partition,
                                       .offset = from->offset,
                                       .timestamp_ms = rd_kafka_message_timestamp(from, &type),
                                       .key = from->key,
                                       .value = from->payload,
                                       .key_bytes = from->key_len,
                                       .value_bytes = from->len };
    headers_read(consumer, from, message);
    consumer->held[consumer->count++] = from;
    return true;
}

static void
say_back(struct kafka_consumer *consumer, int32_t topic)
{
    if (consumer->is_away)
        log_info("kafka=back brokers=%s group=%s", consumer->options.brokers,
                 consumer->options.group);
    consumer->is_away = false;
    consumer->is_missing[topic] = false;
}

enum error
kafka_consumer_poll(struct kafka_consumer *consumer, int wait_ms, size_t max,
                    const struct kafka_message **ret_messages, size_t *ret_count)
{
    rd_kafka_message_t *message;

    assert(max <= KAFKA_BATCH_MAX);
    batch_drop(consumer);
    kafka_access_renew(consumer->handle, &consumer->password);
    while (consumer->count < max && !consumer->is_broken) {
        message = rd_kafka_consumer_poll(consumer->handle, consumer->count == 0 ? wait_ms : 0);
        if (message == NULL)
            break;
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            take_trouble(consumer, message);
        else if (take_record(consumer, message))
            continue;
        rd_kafka_message_destroy(message);
        wait_ms = 0;
    }
    if (consumer->count > 0)
        say_back(consumer, consumer->messages[0].topic);
    *ret_messages = consumer->messages;
    *ret_count = consumer->count;
    if (!consumer->is_broken)
        return ERR_OK;
    log_error("kafka=broken group=%s because=\"this member is at its end: another has its name, or "
              "librdkafka gave up\"",
              consumer->options.group);
    return ERR_CONFLICT;
}

int64_t
kafka_consumer_lag(struct kafka_consumer *consumer, const struct kafka_place *place)
{
    int64_t low, high, offset = place->offset;

    if (rd_kafka_get_watermark_offsets(consumer->handle, consumer->options.topics[place->topic],
                                       place->partition, &low,
                                       &high) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        high < 0)
        return -1;
    if (offset == KAFKA_EARLIEST)
        offset = low > 0 ? low : 0;
    return high > offset ? high - offset : 0;
}

void
kafka_consumer_tell(struct kafka_consumer *consumer, const struct kafka_place *places, size_t count)
{
    rd_kafka_topic_partition_list_t *list;

    if (count == 0)
        return;
    list = list_of(consumer, places, count);
    rd_kafka_commit(consumer->handle, list, 1);
    rd_kafka_topic_partition_list_destroy(list);
}

enum error
kafka_consumer_partitions(struct kafka_consumer *consumer, int32_t topic, int wait_ms,
                          int32_t *ret_count)
{
    return kafka_topic_partitions(consumer->handle, consumer->options.topics[topic], wait_ms,
                                  ret_count);
}

const char *
kafka_consumer_cluster(struct kafka_consumer *consumer, int wait_ms)
{
    if (consumer->cluster == NULL)
        consumer->cluster = rd_kafka_clusterid(consumer->handle, wait_ms);
    return consumer->cluster;
}

/* ---- begin and end ---- */

static void
set_number(rd_kafka_conf_t *conf, const char *name, int64_t value)
{
    char text[32];

    snprintf(text, sizeof text, "%" PRId64, value);
    kafka_conf_set(conf, name, text);
}

static rd_kafka_conf_t *
conf_of(struct kafka_consumer *consumer)
{
    const struct kafka_consumer_options *options = &consumer->options;
    rd_kafka_conf_t *conf = kafka_conf_new(options->brokers, options->client);
    int64_t bytes = options->memory_bytes > 0 ? options->memory_bytes : MEMORY_BYTES;
    int64_t session_ms = options->session_ms > 0 ? options->session_ms : SESSION_MS;

    consumer->password = kafka_access_set(conf);
    kafka_conf_set(conf, "group.id", options->group);
    if (options->instance != NULL && options->instance[0] != '\0')
        kafka_conf_set(conf, "group.instance.id", options->instance);
    kafka_conf_set(conf, "partition.assignment.strategy", "range");
    kafka_conf_set(conf, "enable.auto.commit", "false");
    kafka_conf_set(conf, "enable.auto.offset.store", "false");
    kafka_conf_set(conf, "isolation.level", "read_committed");
    kafka_conf_set(conf, "auto.offset.reset", "earliest"); /* look_for_reset() says so */
    set_number(conf, "session.timeout.ms", session_ms);
    set_number(conf, "heartbeat.interval.ms", session_ms / 10);
    kafka_conf_set(conf, "allow.auto.create.topics", "false");
    kafka_conf_set(conf, "topic.metadata.refresh.interval.ms",
                   "3000"); /* for those not there yet */
    set_number(conf, "queued.max.messages.kbytes", bytes / 1024);
    set_number(conf, "fetch.max.bytes", bytes / 2 < FETCH_BYTES ? bytes / 2 : FETCH_BYTES);
    kafka_conf_set(conf, "fetch.wait.max.ms", "100");
    rd_kafka_conf_set_opaque(conf, consumer);
    rd_kafka_conf_set_rebalance_cb(conf, rebalance);
    rd_kafka_conf_set_error_cb(conf, trouble);
    return conf;
}

static enum error
subscribe(struct kafka_consumer *consumer)
{
    rd_kafka_topic_partition_list_t *topics =
        rd_kafka_topic_partition_list_new((int)consumer->topic_count);
    rd_kafka_resp_err_t error;

    rd_kafka_poll_set_consumer(consumer->handle);
    for (size_t i = 0; i < consumer->topic_count; i++)
        rd_kafka_topic_partition_list_add(topics, consumer->options.topics[i],
                                          RD_KAFKA_PARTITION_UA);
    error = rd_kafka_subscribe(consumer->handle, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    return error == RD_KAFKA_RESP_ERR_NO_ERROR ? ERR_OK : ERR_INTERNAL;
}

struct kafka_consumer *
kafka_consumer_new(const struct kafka_consumer_options *options)
{
    struct kafka_consumer *consumer = memory_take(sizeof *consumer);
    rd_kafka_conf_t *conf;
    char because[256] = "it cannot subscribe";

    consumer->options = *options;
    while (options->topics[consumer->topic_count] != NULL)
        consumer->topic_count++;
    assert(consumer->topic_count > 0 && consumer->topic_count <= KAFKA_TOPICS_MAX);
    consumer->arena = arena_new();
    arena_keep(consumer->arena, ARENA_KEPT_BYTES);
    conf = conf_of(consumer);
    consumer->handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, because, sizeof because);
    if (consumer->handle == NULL)
        rd_kafka_conf_destroy(conf);
    if (consumer->handle != NULL && subscribe(consumer) == ERR_OK)
        return consumer;
    log_error("kafka=%s group=%s because=\"%s\"", options->brokers, options->group, because);
    return kafka_consumer_free(consumer);
}

struct kafka_consumer *
kafka_consumer_free(struct kafka_consumer *consumer)
{
    if (consumer == NULL)
        return NULL;
    batch_drop(consumer);
    if (consumer->handle != NULL) {
        rd_kafka_consumer_close(consumer->handle);
        if (consumer->cluster != NULL)
            rd_kafka_mem_free(consumer->handle, consumer->cluster);
        rd_kafka_destroy(consumer->handle);
    }
    arena_free(consumer->arena);
    free(consumer->places);
    free(consumer);
    return NULL;
}
