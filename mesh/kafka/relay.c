#include "mesh/kafka/relay.h"
#include "mesh/base/clock.h"
#include "mesh/base/crash.h"
#include "mesh/base/die.h"
#include "mesh/base/hash.h"
#include "mesh/base/json.h"
#include "mesh/base/log.h"
#include "mesh/base/queue.h"
#include "mesh/base/time.h"
#include "mesh/kafka/producer.h"
#include "mesh/observe/metrics.h"
#include "mesh/observe/span.h"
#include "mesh/store/horizon.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    POLL_US = 200 * 1000, /* for what other replicas committed */
    SEND_MS = 10 * 1000,
    ASK_MS = 3 * 1000,          /* for Kafka's topics: shorter than what an owner may be silent */
    CANDIDATE_US = 1000 * 1000, /* how often one that is not the owner looks at who is */
    ROUTES_MAX = 8,
    NAME_BYTES = 128,
    PARTITIONS = 12, /* of a topic that was not there; the same for all, so that readers find an
                        order's news of every topic in one partition number */
};

struct relay {
    struct relay_options options;
    pthread_t thread;
    struct queue *queue; /* never filled: for waiting, waking and closing */
    struct pg *pg;
    struct follower follower; /* over pg */
    struct kafka_producer *producer;
    struct arena *arena;
    bool is_owner;
    bool has_topics;
    atomic_bool is_kafka_away;
    int32_t partitions[ROUTES_MAX]; /* of each route's topic */
    int64_t heartbeat_due_us, look_due_us;
    struct metric_series *owner_now, *sent;
    atomic_int_fast64_t horizon_us; /* the time of the last heartbeats; 0: this one sends none */
};

/* clang-format off */
static const struct metric_row owner_row   = { "sagamesh_relay_owner",           METRIC_GAUGE,   METRIC_NUMBER,  "1: this replica sends the news.",                                  { NULL } };
static const struct metric_row sent_row    = { "sagamesh_relay_events_total",    METRIC_COUNTER, METRIC_NUMBER,  "Events sent and acknowledged.",                                    { NULL } };
static const struct metric_row horizon_row = { "sagamesh_relay_horizon_seconds", METRIC_GAUGE,   METRIC_SECONDS, "Age of the time up to which all news is out, as heartbeats say.",  { NULL } };
/* clang-format on */

/* ---- statements ---- */

struct evicted {
    int32_t pid;
    const char *application;
    int64_t silent_us;
    bool is_done;
};

/* clang-format off */
static const struct pg_column lock_columns[] = { { "owned", PG_BOOL, 0 }, { 0 } };
static const struct pg_column evicted_columns[] = {
    PG_COLUMN(struct evicted, pid, PG_INT4),
    PG_COLUMN(struct evicted, application, PG_TEXT),
    PG_COLUMN(struct evicted, silent_us, PG_INT8),
    PG_COLUMN(struct evicted, is_done, PG_BOOL),
    { 0 },
};
/* clang-format on */

static const struct pg_statement relay_lock = {
    .name = "relay_lock",
    .sql = "SELECT pg_try_advisory_lock(" EVENT_LOCK_CLASS ", " EVENT_LOCK_RELAY ")",
    .is_single = true,
    .out = lock_columns,
    .out_bytes = sizeof(bool),
};

/* An owner asks the database something at least once a second, also while it waits for Kafka. One that
 * has been silent for 8 s hangs, or its host has gone without a word: its session is ended, and with
 * it goes the lock. */
static const struct pg_statement relay_evict = {
    .name = "relay_evict",
    .sql = "SELECT a.pid, a.application_name,"
           " (extract(epoch FROM clock_timestamp() - a.state_change) * 1000000)::bigint,"
           " pg_terminate_backend(a.pid)"
           " FROM pg_locks l CROSS JOIN LATERAL pg_stat_get_activity(l.pid) a"
           " WHERE l.locktype = 'advisory' AND l.granted AND l.pid IS NOT NULL AND l.objsubid = 2"
           " AND l.classid = " EVENT_LOCK_CLASS " AND l.objid = " EVENT_LOCK_RELAY
           " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
           " AND (a.state LIKE 'idle%' OR a.wait_event_type = 'Client')"
           " AND a.state_change < clock_timestamp() - interval '8 seconds'",
    .is_single = true,
    .out = evicted_columns,
    .out_bytes = sizeof(struct evicted),
};

static const struct pg_statement relay_alive = {
    .name = "relay_alive",
    .sql = "SELECT 1",
    .is_single = true,
};

const struct pg_statement *const relay_statements[] = {
    &relay_lock, &relay_evict, &relay_alive, FOLLOWER_STATEMENTS, NULL,
};

/* ---- records ---- */

static const struct relay_route *
route_of(const struct relay *relay, const char *aggregatetype)
{
    for (const struct relay_route *route = relay->options.routes; route->topic != NULL; route++) {
        if (strcmp(route->aggregatetype, aggregatetype) == 0)
            return route;
    }
    return NULL;
}

static const char *
time_text(struct arena *arena, int64_t time_us)
{
    return time_print(time_us, arena_take(arena, TIME_TEXT_BYTES + 1));
}

/* The key is in the payload; an event without it (a defect) goes by its aggregate. Nearly all are found
 * without building a tree of the payload, which was a fifteenth of order-svc's time. */
static const char *
key_of(const struct event *event, const char *member, struct arena *arena)
{
    const char *key;
    json_t *payload;
    size_t bytes;

    if (json_peek_text(event->payload, member, &key, &bytes) && bytes > 0)
        return arena_copy(arena, key, bytes);
    payload = json_loads(event->payload, 0, NULL);
    key = json_string_value(json_object_get(payload, member));
    if (key != NULL && key[0] != '\0')
        key = arena_copy(arena, key, strlen(key));
    else
        key = uuid_print(event->aggregateid, arena_take(arena, UUID_TEXT_BYTES + 1));
    json_decref(payload);
    return key;
}

static void
header_add(struct kafka_record *record, const char *name, const char *value)
{
    assert(record->header_count < KAFKA_HEADERS_MAX);
    if (value[0] != '\0')
        record->headers[record->header_count++] =
            (struct kafka_header){ .name = name, .value = value };
}

static struct kafka_record
record_of(struct relay *relay, const struct followed_event *sent, const struct relay_route *route,
          const char *traceparent)
{
    const struct event *event = &sent->event;
    struct arena *arena = relay->arena;
    struct kafka_record record = { .topic = route->topic,
                                   .partition = KAFKA_PARTITION_BY_KEY,
                                   .key = key_of(event, route->key_member, arena),
                                   .value = event->payload,
                                   .timestamp_ms = event->time_us / 1000 };

    header_add(&record, "ce_specversion", "1.0");
    header_add(&record, "ce_id", uuid_print(event->id, arena_take(arena, UUID_TEXT_BYTES + 1)));
    header_add(&record, "ce_source", arena_print(arena, "/sagamesh/%s", relay->options.source));
    header_add(&record, "ce_type", arena_print(arena, "sagamesh.%s.v1", event->type));
    header_add(&record, "ce_time", time_text(arena, event->time_us));
    header_add(&record, "ce_subject",
               uuid_print(event->aggregateid, arena_take(arena, UUID_TEXT_BYTES + 1)));
    header_add(&record, "ce_partitionkey", record.key);
    header_add(&record, "ce_sequence", arena_print(arena, "%020" PRId64, sent->seq));
    header_add(&record, "ce_version", arena_print(arena, "%" PRId32, event->version));
    header_add(&record, "ce_traceparent", event->traceparent == NULL ? "" : event->traceparent);
    header_add(&record, "traceparent", traceparent);
    header_add(&record, "content-type", "application/json");
    return record;
}

/* Under the trace of the change that the event tells of. The payload stays out: it may name a customer. */
static void
log_sent(const struct relay_route *route, const struct event *event)
{
    struct log_trace before = log_trace_begin(event->traceparent);
    char id[UUID_TEXT_BYTES + 1];

    log_debug("%s=%s event=NEWS_SENT type=%s version=%" PRId32 " topic=%s", event->aggregatetype,
              uuid_print(event->aggregateid, id), event->type, event->version, route->topic);
    log_trace_end(&before);
}

static struct kafka_record
heartbeat_of(struct relay *relay, const char *topic, int32_t partition,
             const struct horizon *horizon)
{
    struct arena *arena = relay->arena;
    struct kafka_record record = {
        .topic = topic,
        .partition = partition,
        .value = arena_print(arena, "{\"upTo\":%" PRId64 ",\"timeUs\":%" PRId64 "}", horizon->last,
                             horizon->time_us),
        .timestamp_ms = horizon->time_us / 1000,
    };

    header_add(&record, "ce_specversion", "1.0");
    header_add(&record, "ce_id",
               uuid_print(uuid_v7(clock_now_us()), arena_take(arena, UUID_TEXT_BYTES + 1)));
    header_add(&record, "ce_source", arena_print(arena, "/sagamesh/%s", relay->options.source));
    header_add(&record, "ce_type", "sagamesh.relay.heartbeat.v1");
    header_add(&record, "ce_time", time_text(arena, horizon->time_us));
    header_add(&record, "content-type", "application/json");
    return record;
}

/* ---- a round ---- */

static bool
is_stopping(const struct relay *relay)
{
    return queue_is_closed(relay->queue);
}

/* False: the relay is closed. */
static bool
pause_us(void *context, int64_t us)
{
    struct relay *relay = context;
    size_t count;

    queue_take(relay->queue, 1, us, &count);
    return !is_stopping(relay);
}

/* That they are in Kafka: a line for each that has a topic. */
static void
log_all_sent(const struct relay *relay, const struct followed_event *events, size_t count)
{
    if (log_least() > LOG_DEBUG)
        return;
    for (size_t i = 0; i < count; i++) {
        const struct relay_route *route = route_of(relay, events[i].event.aggregatetype);

        if (route != NULL)
            log_sent(route, &events[i].event);
    }
}

/* A send that is recorded, in the trace of the change that the event tells of. Its id is derived: an event that
 * is sent again is the same span. */
struct sending {
    struct span span;
    char traceparent[TRACE_PARENT_BYTES + 1];
    const struct event *event;
    const char *topic;
};

/* The traceparent for the record's header; "" where it is not recorded. */
static const char *
sending_begin(struct sending *sending, const struct event *event, const char *topic)
{
    *sending = (struct sending){ .event = event, .topic = topic };
    if (event->traceparent == NULL || strlen(event->traceparent) != TRACE_PARENT_BYTES)
        return "";
    memcpy(sending->traceparent, event->traceparent, sizeof sending->traceparent);
    span_begin_as(&sending->span, sending->traceparent,
                  hash_end(hash_bytes(HASH_SEED, &event->id, sizeof event->id)));
    return span_is_on(&sending->span) ? sending->traceparent : "";
}

static void
sending_end(const struct sending *sending)
{
    char name[NAME_BYTES], id[UUID_TEXT_BYTES + 1];

    if (!span_is_on(&sending->span))
        return;
    snprintf(name, sizeof name, "send %s", sending->topic);
    span_end(&sending->span, sending->traceparent,
             &(struct span_note){
                 .kind = SPAN_PRODUCER,
                 .name = name,
                 .link = sending->event->traceparent,
                 .attributes = { { "messaging.system", "kafka", 0 },
                                 { "messaging.operation.name", "send", 0 },
                                 { "messaging.operation.type", "send", 0 },
                                 { "messaging.destination.name", sending->topic, 0 },
                                 { "messaging.message.id", uuid_print(sending->event->id, id), 0 },
                                 { "cloudevents.event_type", sending->event->type, 0 } } });
}

static enum error
send_events(struct relay *relay, const struct followed_event *events, size_t count)
{
    struct kafka_record *records = arena_take(relay->arena, count * sizeof *records);
    struct sending *sendings =
        spans_are_on() ? arena_take(relay->arena, count * sizeof *sendings) : NULL;
    size_t used = 0;
    enum error error;

    for (size_t i = 0; i < count; i++) {
        const struct relay_route *route = route_of(relay, events[i].event.aggregatetype);

        const char *traceparent = "";

        if (route == NULL)
            continue;
        if (sendings != NULL)
            traceparent = sending_begin(&sendings[used], &events[i].event, route->topic);
        records[used++] = record_of(relay, &events[i], route, traceparent);
    }
    error = used == 0 ? ERR_OK : kafka_send(relay->producer, records, used, SEND_MS);
    if (error != ERR_OK)
        return error; /* they are sent again */
    log_all_sent(relay, events, count);
    for (size_t i = 0; sendings != NULL && i < used; i++)
        sending_end(&sendings[i]);
    return error;
}

/* Exactly one replica of a service should show that it sends: the sum over all of them is watched. Who does not
 * send knows no horizon. */
static void
set_owner(struct relay *relay, bool is_owner)
{
    relay->is_owner = is_owner;
    metric_set(relay->owner_now, is_owner ? 1 : 0);
    if (!is_owner)
        atomic_store(&relay->horizon_us, 0);
}

/* Everything up to the horizon, in pages; the cursor follows each. */
static enum error
send_pages(struct relay *relay)
{
    enum error error = ERR_OK;

    while (error == ERR_OK && relay->is_owner && follower_has_more(&relay->follower) &&
           !is_stopping(relay)) {
        const struct followed_event *events;
        size_t count = 0;

        error = follower_read(&relay->follower, relay->arena, &events, &count);
        if (error == ERR_OK)
            error = send_events(relay, events, count);
        if (error == ERR_OK) {
            if (count > 0)
                crash_point("relay.after-send"); /* all of it comes once more */
            error = follower_move(&relay->follower, relay->arena);
        }
        if (error == ERR_OK)
            metric_add(relay->sent, (int64_t)count);
        arena_reset(relay->arena);
    }
    if (error == ERR_OK && !relay->is_owner)
        return ERR_STORE_DOWN; /* stay_owner() found the session gone */
    return is_stopping(relay) ? ERR_STOPPING : error;
}

/* Every topic is there, made if need be: a record for a topic that is not would wait in the producer
 * until it is given up. */
static enum error
find_topics(struct relay *relay)
{
    enum error error = ERR_OK;

    for (size_t i = 0; error == ERR_OK && relay->options.routes[i].topic != NULL; i++) {
        const char *topic = relay->options.routes[i].topic;

        assert(i < ROUTES_MAX);
        error = kafka_partition_count(relay->producer, topic, ASK_MS, &relay->partitions[i]);
        if (error == ERR_NOT_FOUND)
            error =
                kafka_topic_make(relay->producer, topic, PARTITIONS, ASK_MS) == ERR_OK
                    ? kafka_partition_count(relay->producer, topic, ASK_MS, &relay->partitions[i])
                    : ERR_UNREACHABLE;
    }
    relay->has_topics = error == ERR_OK;
    return error;
}

static enum error
send_heartbeats(struct relay *relay)
{
    enum error error = ERR_OK;

    for (size_t i = 0; error == ERR_OK && relay->options.routes[i].topic != NULL; i++) {
        size_t count = (size_t)relay->partitions[i];
        struct kafka_record *records = arena_take(relay->arena, count * sizeof *records);

        for (int32_t n = 0; n < relay->partitions[i]; n++)
            records[n] =
                heartbeat_of(relay, relay->options.routes[i].topic, n, &relay->follower.horizon);
        error = kafka_send(relay->producer, records, count, SEND_MS);
    }
    if (error == ERR_OK)
        atomic_store(&relay->horizon_us, relay->follower.horizon.time_us);
    relay->heartbeat_due_us = clock_steady_us() + RELAY_HEARTBEAT_US;
    return error;
}

/* ---- who sends ---- */

/* Another replica sends. If it is silent, its place is taken: two that send for a moment do no harm, for
 * what both send comes twice, and the cursor never goes back. */
static enum error
look_at_owner(struct relay *relay)
{
    const struct evicted *evicted;
    struct pg_answer answer;
    enum error error;

    if (clock_steady_us() < relay->look_due_us)
        return ERR_OK;
    relay->look_due_us = clock_steady_us() + CANDIDATE_US;
    error = pg_ask(relay->pg, &relay_evict, NULL, relay->arena, &answer);
    if (error != ERR_OK || answer.count == 0)
        return error;
    evicted = answer.rows;
    log_warn("relay=takes_over source=%s backend=%d application=%s silent_seconds=%" PRId64
             " ended=%s because=\"the replica that sends the news hangs, or its host is gone\"",
             relay->options.source, (int)evicted->pid, evicted->application,
             evicted->silent_us / SECOND_US, evicted->is_done ? "yes" : "no");
    return ERR_OK;
}

static enum error
own(struct relay *relay)
{
    struct pg_answer answer;
    enum error error = pg_ask(relay->pg, &relay_lock, NULL, relay->arena, &answer);

    set_owner(relay, error == ERR_OK && *(const bool *)answer.rows);
    if (relay->is_owner)
        log_info("relay=owner source=%s", relay->options.source);
    else if (error == ERR_OK)
        error = look_at_owner(relay);
    return error;
}

/* Kafka is slow: the others must not think that this replica hangs. */
static void
stay_owner(void *context)
{
    struct relay *relay = context;

    if (relay->is_owner && pg_ask(relay->pg, &relay_alive, NULL, relay->arena, NULL) != ERR_OK)
        set_owner(relay, false); /* and so is the lock gone; the round ends at its next question */
}

static enum error
round_once(struct relay *relay)
{
    bool has_time = clock_steady_us() >= relay->heartbeat_due_us;
    enum error error = ERR_OK;

    if (!relay->is_owner)
        error = own(relay);
    if (error == ERR_OK && relay->is_owner && !relay->has_topics)
        error = find_topics(relay);
    if (error != ERR_OK || !relay->is_owner)
        return error;
    error = follower_begin(&relay->follower, has_time);
    if (error == ERR_OK)
        error = send_pages(relay);
    if (error == ERR_OK && has_time)
        error = send_heartbeats(relay);
    return error;
}

bool
relay_reaches_kafka(const struct relay *relay)
{
    return !atomic_load(&relay->is_kafka_away);
}

static void *
relay_main(void *context)
{
    struct relay *relay = context;

    while (!is_stopping(relay)) {
        enum error error = round_once(relay);

        if (error == ERR_STORE_DOWN)
            set_owner(relay, false); /* the lock went with the session */
        if (error == ERR_UNREACHABLE)
            relay->has_topics = false; /* what comes back may be another cluster */
        if (error == ERR_UNREACHABLE || error == ERR_OK)
            atomic_store(&relay->is_kafka_away, error == ERR_UNREACHABLE);
        arena_reset(relay->arena);
        pause_us(relay, POLL_US);
    }
    return NULL;
}

/* A replica that does not send has no horizon to show. */
static void
horizon_read(void *owner, struct metrics *metrics)
{
    struct relay *relay = owner;
    int64_t horizon_us = atomic_load(&relay->horizon_us), age_us = clock_now_us() - horizon_us;

    metrics_forget(metrics, &horizon_row);
    if (horizon_us != 0)
        metric_set(metrics_series(metrics, &horizon_row, NULL), age_us > 0 ? age_us : 0);
}

static void
meter_open(struct relay *relay)
{
    struct metrics *metrics = relay->options.metrics;

    relay->owner_now = metrics_series(metrics, &owner_row, NULL);
    relay->sent = metrics_series(metrics, &sent_row, NULL);
    metric_set(relay->owner_now, 0);
    metrics_declare(metrics, &horizon_row);
    pg_meter(relay->pg, metrics, "relay");
    kafka_producer_meter(relay->producer, metrics);
    metrics_read(metrics, horizon_read, relay);
}

struct relay *
relay_open(const struct relay_options *options)
{
    struct relay *relay = memory_take(sizeof *relay);

    relay->options = *options;
    relay->queue = queue_new(1);
    relay->arena = arena_new();
    relay->pg = pg_new(options->conninfo, options->source, relay_statements);
    relay->follower = (struct follower){ .pg = relay->pg,
                                         .name = "kafka",
                                         .who = "relay",
                                         .where = options->source,
                                         .pause = pause_us,
                                         .owner = relay };
    follower_init(&relay->follower);
    relay->producer = kafka_producer_new(options->brokers, options->source);
    kafka_producer_on_wait(relay->producer, stay_owner, relay);
    meter_open(relay);
    thread_start(&relay->thread, relay_main, relay);
    return relay;
}

void
relay_wake(struct relay *relay)
{
    if (relay != NULL)
        queue_wake(relay->queue);
}

struct relay *
relay_close(struct relay *relay)
{
    if (relay == NULL)
        return NULL;
    queue_close(relay->queue);
    pthread_join(relay->thread, NULL);
    metrics_read_end(relay->options.metrics, relay);
    follower_free(&relay->follower);
    pg_free(relay->pg);
    kafka_producer_free(relay->producer);
    arena_free(relay->arena);
    queue_free(relay->queue);
    free(relay);
    return NULL;
}
