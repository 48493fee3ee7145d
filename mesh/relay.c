#include "mesh/relay.h"
#include "mesh/base/clock.h"
#include "mesh/base/crash.h"
#include "mesh/base/json.h"
#include "mesh/base/log.h"
#include "mesh/base/queue.h"
#include "mesh/wire/kafka.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    ROUND_MAX = 1000,     /* events of one send */
    POLL_US = 200 * 1000, /* for what other replicas committed */
    SETTLE_US = 2 * 1000, /* between looks whether old transactions have ended */
    HEARTBEAT_US = 1000 * 1000,
    SEND_MS = 10 * 1000,
    LAG_WARN_US = 30 * 1000 * 1000,
    ROUTES_MAX = 8,
    PARTITIONS = 12, /* of a topic that was not there; the same for all, so that readers find an
                        order's news of every topic in one partition number */
};

struct relay {
    struct relay_options options;
    pthread_t thread;
    struct queue *queue; /* never filled: for waiting, waking and closing */
    struct pg *pg;
    struct kafka_producer *producer;
    struct arena *arena;
    bool is_owner;
    bool has_topics;
    int32_t partitions[ROUTES_MAX]; /* of each route's topic */
    int64_t heartbeat_due_us;
    bool lag_was_logged;
};

/* ---- statements ---- */

struct horizon {
    int64_t cursor, last, time_us;
};

struct range {
    int64_t after, until;
};

struct sent_event {
    int64_t seq;
    struct event event;
};

/* clang-format off */
static const struct pg_column position_columns[] = {
    PG_COLUMN(struct horizon, cursor, PG_INT8),
    PG_COLUMN(struct horizon, last, PG_INT8),
    { 0 },
};
static const struct pg_column number_columns[] = { { "number", PG_INT8, 0 }, { 0 } };
static const struct pg_column range_columns[] = {
    PG_COLUMN(struct range, after, PG_INT8),
    PG_COLUMN(struct range, until, PG_INT8),
    { 0 },
};
static const struct pg_column cursor_columns[] = { PG_COLUMN(struct range, after, PG_INT8), { 0 } };
static const struct pg_column event_columns[] = {
    PG_COLUMN(struct sent_event, seq, PG_INT8),
    PG_COLUMN(struct sent_event, event.id, PG_UUID),
    PG_COLUMN(struct sent_event, event.aggregatetype, PG_TEXT),
    PG_COLUMN(struct sent_event, event.aggregateid, PG_UUID),
    PG_COLUMN(struct sent_event, event.version, PG_INT4),
    PG_COLUMN(struct sent_event, event.type, PG_TEXT),
    PG_COLUMN(struct sent_event, event.payload, PG_TEXT),
    PG_COLUMN(struct sent_event, event.time_us, PG_INT8),
    PG_COLUMN(struct sent_event, event.traceparent, PG_TEXT),
    { 0 },
};
static const struct pg_column lock_columns[] = { { "owned", PG_BOOL, 0 }, { 0 } };
/* clang-format on */

static const struct pg_statement relay_lock = {
    .name = "relay_lock",
    .sql = "SELECT pg_try_advisory_lock(hashtext('mesh relay'))",
    .is_single = true,
    .out = lock_columns,
    .out_bytes = sizeof(bool),
};

/* T: news of an earlier time is in the table, or its transaction is open. Read before S, so that what
 * is drawn after S has a later time. */
static const struct pg_statement relay_time = {
    .name = "relay_time",
    .sql = "SELECT (extract(epoch FROM least(clock_timestamp(), (SELECT min(xact_start)"
           " FROM pg_stat_activity WHERE datname = current_database()"
           " AND pid <> pg_backend_pid()))) * 1000000)::bigint",
    .is_single = true,
    .out = number_columns,
    .out_bytes = sizeof(int64_t),
};

static const struct pg_statement relay_position = {
    .name = "relay_position",
    .sql = "SELECT c.seq, CASE WHEN s.is_called THEN s.last_value ELSE 0 END"
           " FROM event_seq s, event_cursor c WHERE c.name = 'kafka'",
    .is_single = true,
    .out = position_columns,
    .out_bytes = sizeof(struct horizon),
};

/* X: above every transaction that has drawn a seq up to S, because it is drawn after S was read. A
 * snapshot's xmax would not do: it is one past the last *completed* transaction, and those that are
 * open may be above it. */
static const struct pg_statement relay_ticket = {
    .name = "relay_ticket",
    .sql = "SELECT pg_current_xact_id()::text::bigint",
    .is_single = true,
    .out = number_columns,
    .out_bytes = sizeof(int64_t),
};

static const struct pg_statement relay_oldest = {
    .name = "relay_oldest",
    .sql = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
    .is_single = true,
    .out = number_columns,
    .out_bytes = sizeof(int64_t),
};

static const struct pg_statement relay_read = {
    .name = "relay_read",
    .sql = "SELECT seq, id, aggregatetype, aggregateid, version, type, payload, time_us,"
           " traceparent FROM event WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT 1000",
    .in = range_columns,
    .is_single = true,
    .out = event_columns,
    .out_bytes = sizeof(struct sent_event),
};

static const struct pg_statement relay_move = {
    .name = "relay_move",
    .sql = "UPDATE event_cursor SET seq = $1 WHERE name = 'kafka' AND seq < $1",
    .in = cursor_columns,
    .is_single = true,
};

const struct pg_statement *const relay_statements[] = {
    &relay_lock,   &relay_time, &relay_position, &relay_ticket,
    &relay_oldest, &relay_read, &relay_move,     NULL,
};

static enum error
ask(struct relay *relay, const struct pg_statement *statement, const void *row,
    struct pg_step *ret_step)
{
    static const char nothing;
    const void *pointer = row == NULL ? &nothing : row;
    enum error error = pg_connect(relay->pg);

    *ret_step = (struct pg_step){ .statement = statement, .rows = &pointer, .count = 1 };
    return error != ERR_OK ? error : pg_round(relay->pg, false, ret_step, 1, relay->arena);
}

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
    time_t seconds = (time_t)(time_us / SECOND_US);
    struct tm utc;
    char date[32];

    gmtime_r(&seconds, &utc);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    return arena_print(arena, "%s.%06dZ", date, (int)(time_us % SECOND_US));
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
        record->headers[record->header_count++] = (struct kafka_header){ name, value };
}

static struct kafka_record
record_of(struct relay *relay, const struct sent_event *sent, const struct relay_route *route)
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
    header_add(&record, "content-type", "application/json");
    return record;
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

static void
pause_us(struct relay *relay, int64_t us)
{
    size_t count;

    queue_take(relay->queue, 1, us, &count);
}

static enum error
ask_number(struct relay *relay, const struct pg_statement *statement, int64_t *ret_number)
{
    struct pg_step step;
    enum error error = ask(relay, statement, NULL, &step);

    if (error == ERR_OK)
        memcpy(ret_number, step.ret_rows, sizeof *ret_number);
    return error;
}

/* Waits until whoever may have drawn a seq up to S has ended. */
static enum error
wait_for_writers(struct relay *relay)
{
    int64_t ticket = 0, oldest = 0;
    enum error error = ask_number(relay, &relay_ticket, &ticket);

    while (error == ERR_OK) {
        error = ask_number(relay, &relay_oldest, &oldest);
        if (error != ERR_OK || oldest >= ticket)
            break;
        if (is_stopping(relay))
            return ERR_STOPPING;
        pause_us(relay, SETTLE_US);
    }
    return error;
}

/* T, then S, then X, each by a statement of its own: the order is what makes them true. */
static enum error
find_horizon(struct relay *relay, struct horizon *ret_horizon)
{
    int64_t time_us = 0;
    struct pg_step step;
    enum error error = ask_number(relay, &relay_time, &time_us);

    if (error == ERR_OK)
        error = ask(relay, &relay_position, NULL, &step);
    if (error != ERR_OK)
        return error;
    if (step.ret_count != 1)
        return ERR_INTERNAL; /* the schema makes the cursor */
    *ret_horizon = *(const struct horizon *)step.ret_rows;
    ret_horizon->time_us = time_us;
    return ret_horizon->last > ret_horizon->cursor ? wait_for_writers(relay) : ERR_OK;
}

static enum error
send_events(struct relay *relay, const struct sent_event *events, size_t count)
{
    struct kafka_record *records = arena_take(relay->arena, count * sizeof *records);
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        const struct relay_route *route = route_of(relay, events[i].event.aggregatetype);

        if (route != NULL)
            records[used++] = record_of(relay, &events[i], route);
    }
    return used == 0 ? ERR_OK : kafka_send(relay->producer, records, used, SEND_MS);
}

/* Everything up to the horizon, in portions; the cursor follows each. */
static enum error
send_range(struct relay *relay, const struct horizon *horizon)
{
    struct range range = { horizon->cursor, horizon->last };
    enum error error = ERR_OK;
    bool has_more = true;

    while (error == ERR_OK && has_more && range.after < range.until && !is_stopping(relay)) {
        const struct sent_event *events;
        struct pg_step step;

        error = ask(relay, &relay_read, &range, &step);
        if (error != ERR_OK)
            return error;
        events = step.ret_rows;
        has_more = step.ret_count == ROUND_MAX;
        error = send_events(relay, events, step.ret_count);
        if (error == ERR_OK) {
            if (step.ret_count > 0)
                crash_point("relay.after-send"); /* all of it comes once more */
            range.after = has_more ? events[step.ret_count - 1].seq : range.until;
            error = ask(relay, &relay_move, &range, &step);
        }
        arena_reset(relay->arena);
    }
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
        error = kafka_partition_count(relay->producer, topic, SEND_MS, &relay->partitions[i]);
        if (error == ERR_NOT_FOUND)
            error =
                kafka_topic_make(relay->producer, topic, PARTITIONS, SEND_MS) == ERR_OK
                    ? kafka_partition_count(relay->producer, topic, SEND_MS, &relay->partitions[i])
                    : ERR_UNREACHABLE;
    }
    relay->has_topics = error == ERR_OK;
    return error;
}

static enum error
send_heartbeats(struct relay *relay, const struct horizon *horizon)
{
    enum error error = ERR_OK;

    for (size_t i = 0; error == ERR_OK && relay->options.routes[i].topic != NULL; i++) {
        size_t count = (size_t)relay->partitions[i];
        struct kafka_record *records = arena_take(relay->arena, count * sizeof *records);

        for (int32_t n = 0; n < relay->partitions[i]; n++)
            records[n] = heartbeat_of(relay, relay->options.routes[i].topic, n, horizon);
        error = kafka_send(relay->producer, records, count, SEND_MS);
    }
    relay->heartbeat_due_us = clock_steady_us() + HEARTBEAT_US;
    return error;
}

static void
log_lag(struct relay *relay, const struct horizon *horizon, bool is_behind)
{
    int64_t lag_us = clock_now_us() - horizon->time_us;

    if (lag_us > LAG_WARN_US && !relay->lag_was_logged)
        log_warn("relay=late seconds=%" PRId64 " because=\"a transaction has been open that long\"",
                 lag_us / SECOND_US);
    relay->lag_was_logged = lag_us > LAG_WARN_US;
    if (is_behind)
        log_debug("relay=behind events=%" PRId64, horizon->last - horizon->cursor);
}

static enum error
own(struct relay *relay)
{
    struct pg_step step;
    enum error error = ask(relay, &relay_lock, NULL, &step);

    relay->is_owner = error == ERR_OK && *(const bool *)step.ret_rows;
    if (relay->is_owner)
        log_info("relay=owner source=%s", relay->options.source);
    return error;
}

static enum error
round_once(struct relay *relay)
{
    struct horizon horizon;
    enum error error = ERR_OK;

    if (!relay->is_owner)
        error = own(relay);
    if (error == ERR_OK && relay->is_owner && !relay->has_topics)
        error = find_topics(relay);
    if (error != ERR_OK || !relay->is_owner)
        return error;
    error = find_horizon(relay, &horizon);
    if (error == ERR_OK) {
        log_lag(relay, &horizon, horizon.last > horizon.cursor);
        error = send_range(relay, &horizon);
    }
    if (error == ERR_OK && clock_steady_us() >= relay->heartbeat_due_us)
        error = send_heartbeats(relay, &horizon);
    return error;
}

static void *
relay_main(void *context)
{
    struct relay *relay = context;

    while (!is_stopping(relay)) {
        enum error error = round_once(relay);

        if (error == ERR_STORE_DOWN)
            relay->is_owner = false; /* the lock went with the session */
        if (error == ERR_UNREACHABLE)
            relay->has_topics = false; /* what comes back may be another cluster */
        arena_reset(relay->arena);
        pause_us(relay, POLL_US);
    }
    return NULL;
}

struct relay *
relay_open(const struct relay_options *options)
{
    struct relay *relay = memory_take(sizeof *relay);

    relay->options = *options;
    relay->queue = queue_new(1);
    relay->arena = arena_new();
    relay->pg = pg_new(options->conninfo, options->source, relay_statements);
    relay->producer = kafka_producer_new(options->brokers, options->source);
    if (pthread_create(&relay->thread, NULL, relay_main, relay) != 0)
        abort();
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
    pg_free(relay->pg);
    kafka_producer_free(relay->producer);
    arena_free(relay->arena);
    queue_free(relay->queue);
    free(relay);
    return NULL;
}
