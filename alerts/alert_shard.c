/* alert_shard.c -- The thread that has the consumer and the shards of its partitions. Kafka's batch is handed out to
 * the shards, and each runs its tick; when partitions are assigned each of them is taken over and recovered before it is
 * read, and when they are revoked all are dropped as they are: what is written is enough. */
#include "alerts/alert_meter.h"
#include "alerts/alert_shard_inner.h"
#include "mesh/base/clock.h"
#include "mesh/base/die.h"
#include "mesh/base/log.h"
#include "mesh/kafka/consumer_span.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    POLL_MS = 50,
    CLUSTER_MS = 2000,
    RETRY_US = 100 * 1000,          /* between tries to write, or to take a shard over */
    BUSY_RETRY_US = 1000 * 1000,    /* ... where a row is locked */
    REFUSED_RETRY_US = 5000 * 1000, /* ... where the database refuses the page */
    TELL_EVERY_US = 5 * 1000 * 1000,
    METERS_EVERY_US = 1000 * 1000,
    FORGET_EVERY_US = 60 * 1000 * 1000,
    TRIM_AFTER = 4096, /* orders in memory */
    REJOIN_AFTER_US =
        15 * 1000 * 1000, /* of a shard that another member took, and none was revoked */
};

static const char *const topics[] = { NEWS_ORDERS_TOPIC, NEWS_PAYMENTS_TOPIC, NULL };

/* ---- shards ---- */

static struct alert_shard *
shard_new(struct alert_shards *all, int32_t number)
{
    struct alert_shard *shard = memory_take(sizeof *shard);

    shard->all = all;
    shard->number = number;
    shard->journal = journal_new(&(struct journal_options){ .pg = all->pg,
                                                            .shard = number,
                                                            .partitions = all->options.partitions,
                                                            .replaces_finals = true });
    for (int32_t i = 0; i < ALERT_TOPICS; i++)
        shard->places[i] = (struct kafka_place){ i, number, KAFKA_EARLIEST };
    for (size_t i = 0; i < all->source_count; i++)
        shard->heard[i].name = all->source_names[i];
    shard->tick.arena = arena_new();
    arena_keep(shard->tick.arena, ARENA_KEPT_BYTES);
    shard->assigned_us = shard->record_us = clock_steady_us();
    return shard;
}

static struct alert_shard *
shard_free(struct alert_shard *shard)
{
    if (shard == NULL)
        return NULL;
    alert_live_free_all(shard);
    alert_tick_free(&shard->tick);
    journal_free(shard->journal);
    json_writer_free(&shard->payload);
    free(shard->body);
    free(shard);
    return NULL;
}

static void
drop_all(struct alert_shards *all)
{
    for (size_t i = 0; i < all->shard_room; i++)
        all->shards[i] = shard_free(all->shards[i]);
    all->lost_since_us = 0;
    all->is_adrift = false;
    malloc_trim(0);
}

/* The shard of a partition, made where it is not there. */
static struct alert_shard *
shard_at(struct alert_shards *all, int32_t partition)
{
    size_t place = (size_t)partition;

    if (place >= all->shard_room) {
        all->shards = memory_grow(all->shards, (place + 1) * sizeof(struct alert_shard *));
        memset(all->shards + all->shard_room, 0,
               (place + 1 - all->shard_room) * sizeof(struct alert_shard *));
        all->shard_room = place + 1;
    }
    if (all->shards[place] == NULL)
        all->shards[place] = shard_new(all, partition);
    return all->shards[place];
}

/* ---- whose partitions they are ---- */

static bool
is_stopping(const struct alert_shards *all)
{
    return atomic_load(&all->is_stopping);
}

static void
wait_us(int64_t us)
{
    nanosleep(&(struct timespec){ us / SECOND_US, us % SECOND_US * 1000 }, NULL);
}

/* Tries until the database lets it. False: the program ends. */
static bool
take_over(struct alert_shard *shard)
{
    while (!is_stopping(shard->all)) {
        if (alert_recover(shard) == ERR_OK)
            return true;
        wait_us(RETRY_US);
    }
    return false;
}

static void
look_at_cluster(struct alert_shards *all)
{
    const char *cluster = kafka_consumer_cluster(all->consumer, CLUSTER_MS);

    all->cluster[0] = '\0';
    if (cluster != NULL && cluster[0] != '\0' && strlen(cluster) <= ALERT_CLUSTER_BYTES_MAX &&
        strpbrk(cluster, " \n") == NULL)
        strcpy(all->cluster, cluster);
}

/* Kafka has given us a part of the partitions, which may be none; or has not, any more. */
static void
set_deaf(struct alert_shards *all, bool is_deaf)
{
    if (!is_deaf)
        atomic_store(&all->deaf_since_us, 0);
    else if (atomic_load(&all->deaf_since_us) == 0)
        atomic_store(&all->deaf_since_us, clock_steady_us());
}

bool
alert_shards_hear(const struct alert_shards *shards)
{
    int64_t since_us = shards == NULL ? 0 : atomic_load(&shards->deaf_since_us);

    return since_us == 0 ||
           clock_steady_us() - since_us < shards->options.session_ms * MILLISECOND_US;
}

static bool
assigned(void *owner, struct kafka_place *places, size_t count)
{
    struct alert_shards *all = owner;

    set_deaf(all, false);
    all->forget_due_us = 0; /* there may be fewer partitions than before */
    drop_all(all);
    look_at_cluster(all);
    for (size_t i = 0; i < count; i++)
        shard_at(all, places[i].partition)->has_place[places[i].topic] = true;
    for (size_t i = 0; i < all->shard_room; i++) {
        struct alert_shard *shard = all->shards[i];

        if (shard == NULL)
            continue;
        if (!take_over(shard))
            return false;
        if (!shard->has_place[NEWS_ORDER] || !shard->has_place[NEWS_PAYMENT])
            log_warn(
                "shard=%d event=HALF because=\"only one of the topics has this partition: both "
                "must have as many, or no alert of it is raised\"",
                shard->number);
    }
    for (size_t i = 0; i < count; i++)
        places[i].offset = all->shards[places[i].partition]->places[places[i].topic].offset;
    return true;
}

/* Where Kafka is away no member has the partitions, or another one already: the shards stay, to say that they hear
 * nothing, and their epochs tell whether they are still ours. */
static void
revoked(void *owner, bool is_lost)
{
    struct alert_shards *all = owner;

    set_deaf(all, true);
    if (is_lost)
        all->is_adrift = true;
    else
        drop_all(all);
}

static void
was_reset(void *owner, const struct kafka_place *place, int64_t offset)
{
    struct alert_shards *all = owner;

    (void)offset;
    metric_add(all->meters.resets[place->topic], 1);
}

/* ---- ticks ---- */

static size_t
places_of(const struct alert_shard *shard, struct kafka_place places[ALERT_TOPICS])
{
    size_t count = 0;

    for (size_t i = 0; i < ALERT_TOPICS; i++) {
        if (shard->has_place[i])
            places[count++] = shard->places[i];
    }
    return count;
}

/* Its partitions are read, or rest until its tick is written. */
static void
rest(struct alert_shard *shard, bool is_resting)
{
    struct kafka_place places[ALERT_TOPICS];
    size_t count = places_of(shard, places);

    if (shard->is_resting == is_resting)
        return;
    shard->is_resting = is_resting;
    kafka_consumer_rest(shard->all->consumer, places, count, is_resting);
}

/* Another member has it. Its partition will be revoked; where it is not, we leave the group and come back. */
static void
lose(struct alert_shard *shard)
{
    shard->is_lost = true;
    if (shard->all->lost_since_us == 0 && !shard->all->is_adrift)
        shard->all->lost_since_us = clock_steady_us();
    alert_live_free_all(shard);
}

static void
run(struct alert_shard *shard)
{
    int64_t steady_us = clock_steady_us();
    enum error error;

    if (shard->is_lost || steady_us < shard->retry_us)
        return;
    error = alert_tick_run(shard);
    rest(shard, error != ERR_OK);
    if (error == ERR_CONFLICT)
        lose(shard);
    else if (error != ERR_OK)
        shard->retry_us = steady_us + (error == ERR_STORE_DOWN ? RETRY_US
                                       : error == ERR_BUSY     ? BUSY_RETRY_US
                                                               : REFUSED_RETRY_US);
}

/* A record for a shard that cannot take it would be missing: it is read again after the group was joined anew. */
static void
take(struct alert_shards *all, const struct kafka_message *message)
{
    struct alert_shard *shard =
        (size_t)message->partition < all->shard_room ? all->shards[message->partition] : NULL;

    if (shard == NULL || shard->is_lost)
        return;
    if (shard->is_resting) {
        lose(shard);
        return;
    }
    shard->record_us = clock_steady_us();
    alert_tick_take(shard, message);
}

/* ---- what others are told ---- */

static const struct metric_row lag_row = {
    "sagamesh_kafka_consumer_lag",
    METRIC_GAUGE,
    METRIC_NUMBER,
    "Messages that are there and not yet applied",
    { "topic", "partition" },
};

static void
meter_lag(struct alert_shards *all, const struct kafka_place *place)
{
    int64_t lag = kafka_consumer_lag(all->consumer, place);
    char partition[16];

    snprintf(partition, sizeof partition, "%" PRId32, place->partition);
    if (lag >= 0)
        metric_set(metrics_series(all->options.metrics, &lag_row,
                                  (const char *const[]){ topics[place->topic], partition }),
                   lag);
}

/* Once half of the orders in memory have been parked, what they took goes back to the system. */
static void
trim(struct alert_shards *all, size_t awake)
{
    if (awake > all->awake_most)
        all->awake_most = awake;
    if (all->awake_most < TRIM_AFTER || awake > all->awake_most / 2)
        return;
    malloc_trim(0);
    all->awake_most = awake;
}

/* Partitions that went to others are not ours to show. */
static void
meter_all(struct alert_shards *all)
{
    size_t awake = 0, count = 0;

    metrics_hold(all->options.metrics);
    metrics_forget(all->options.metrics, &lag_row);
    for (size_t i = 0; i < all->shard_room; i++) {
        struct alert_shard *shard = all->shards[i];
        struct kafka_place places[ALERT_TOPICS];
        size_t place_count = shard == NULL ? 0 : places_of(shard, places);

        for (size_t n = 0; n < place_count; n++)
            meter_lag(all, &places[n]);
        if (shard == NULL)
            continue;
        awake += shard->awake_count;
        count += HASH_CNT(by_id, shard->lives);
    }
    metrics_release(all->options.metrics);
    metric_set(all->meters.awake, (int64_t)awake);
    metric_set(all->meters.parked, (int64_t)(count - awake));
    metric_set(all->meters.up, alert_shards_hear(all));
    trim(all, awake);
}

/* How far the group is, for Kafka's own tools. */
static void
tell_all(struct alert_shards *all)
{
    for (size_t i = 0; i < all->shard_room; i++) {
        const struct alert_shard *shard = all->shards[i];
        struct kafka_place places[ALERT_TOPICS];
        size_t count = 0;

        if (shard == NULL || shard->is_lost || shard->is_resting || shard->has_moved)
            continue; /* its last page has other offsets */
        for (size_t n = 0; n < ALERT_TOPICS; n++) {
            if (shard->has_place[n] && shard->places[n].offset >= 0)
                places[count++] = shard->places[n];
        }
        kafka_consumer_tell(all->consumer, places, count);
    }
}

static void
tell(struct alert_shards *all)
{
    int64_t steady_us = clock_steady_us();

    if (steady_us >= all->meters_due_us) {
        all->meters_due_us = steady_us + METERS_EVERY_US;
        meter_all(all);
    }
    if (steady_us >= all->tell_due_us && !all->is_adrift) {
        all->tell_due_us = steady_us + TELL_EVERY_US;
        tell_all(all);
    }
    if (steady_us >= all->forget_due_us && atomic_load(&all->deaf_since_us) == 0) {
        all->forget_due_us = steady_us + FORGET_EVERY_US;
        alert_heard_forget(all);
    }
}

/* ---- the thread ---- */

static void
join_group(struct alert_shards *all)
{
    const struct alert_shards_options *options = &all->options;

    while (all->consumer == NULL && !is_stopping(all)) {
        all->consumer = kafka_consumer_new(&(struct kafka_consumer_options){
            .brokers = options->brokers,
            .client = "alerts-svc",
            .group = options->group,
            .instance = options->instance,
            .topics = topics,
            .session_ms = options->session_ms,
            .owner = all,
            .assigned = assigned,
            .revoked = revoked,
            .reset = was_reset,
        });
        if (all->consumer == NULL)
            wait_us(SECOND_US);
    }
}

static void
leave_group(struct alert_shards *all)
{
    all->consumer = kafka_consumer_free(all->consumer);
    drop_all(all);
}

static bool
must_rejoin(const struct alert_shards *all)
{
    return all->lost_since_us != 0 && clock_steady_us() - all->lost_since_us > REJOIN_AFTER_US;
}

/* Of records whose page is written. Those of a shard that tries again have no span: their bytes go with the batch. */
static void
tell_spans(struct alert_shards *all, const struct kafka_message *messages, size_t count,
           int64_t started_us)
{
    for (size_t i = 0; spans_are_on() && i < count; i++) {
        size_t place = (size_t)messages[i].partition;
        const struct alert_shard *shard = place < all->shard_room ? all->shards[place] : NULL;

        if (shard != NULL && !shard->is_lost && !shard->is_resting)
            kafka_span_processed(&messages[i], topics[messages[i].topic], all->options.group,
                                 started_us);
    }
}

static void
turn(struct alert_shards *all)
{
    const struct kafka_message *messages;
    size_t count;
    int64_t started_us;
    enum error error =
        kafka_consumer_poll(all->consumer, POLL_MS, KAFKA_BATCH_MAX, &messages, &count);

    started_us = clock_now_us();
    for (size_t i = 0; error == ERR_OK && i < count; i++)
        take(all, &messages[i]);
    for (size_t i = 0; error == ERR_OK && i < all->shard_room; i++) {
        if (all->shards[i] != NULL)
            run(all->shards[i]);
    }
    if (error == ERR_OK)
        tell_spans(all, messages, count, started_us);
    tell(all);
    if (error == ERR_OK && !must_rejoin(all))
        return;
    log_warn("kafka=rejoins group=%s", all->options.group);
    leave_group(all);
    wait_us(SECOND_US);
}

static void *
shards_main(void *context)
{
    struct alert_shards *all = context;

    while (!is_stopping(all)) {
        join_group(all);
        if (all->consumer != NULL)
            turn(all);
    }
    leave_group(all);
    return NULL;
}

/* ---- begin and end ---- */

static enum error
read_sources(struct alert_shards *all)
{
    const char *given = all->options.sources;
    char *rest = NULL;

    if (strlen(given) < sizeof all->sources) {
        strcpy(all->sources, given);
        for (char *name = strtok_r(all->sources, ", ", &rest);
             name != NULL && all->source_count < ALERT_SOURCES_MAX;
             name = strtok_r(NULL, ", ", &rest))
            all->source_names[all->source_count++] = name;
    }
    if (all->source_count > 0 && (rest == NULL || rest[0] == '\0'))
        return ERR_OK;
    log_error("sources=\"%s\" because=\"names of programs with commas, %d at most\"", given,
              ALERT_SOURCES_MAX);
    return ERR_BAD_REQUEST;
}

/* clang-format off */
static const struct metric_row delay_row = { "sagamesh_alert_delay_seconds", METRIC_HISTOGRAM, METRIC_SECONDS, "From when an alert could be raised to its page in the journal", { "rule" } };
static const struct metric_row paid_row = { "sagamesh_order_payment_to_paid_seconds", METRIC_HISTOGRAM, METRIC_LONG_SECONDS, "From a payment's success to its order's PAID; one that waits for longer than 60 s counts when these are over", { 0 } };
static const struct metric_row letters_row = { "sagamesh_alert_dead_letters_total", METRIC_COUNTER, METRIC_NUMBER, "Messages that could not be decoded", { "topic" } };
static const struct metric_row records_row = { "sagamesh_kafka_consumer_records_total", METRIC_COUNTER, METRIC_NUMBER, "Messages applied", { "topic" } };
static const struct metric_row resets_row = { "sagamesh_kafka_consumer_resets_total", METRIC_COUNTER, METRIC_NUMBER, "Offsets that Kafka did not have, so that reading went on with the earliest message", { "topic" } };
static const struct metric_row up_row = { "sagamesh_kafka_consumer_up", METRIC_GAUGE, METRIC_NUMBER, "0: this replica has not had its part of the partitions for a session", { 0 } };
static const struct metric_row foreign_row = { "sagamesh_alert_news_foreign_total", METRIC_COUNTER, METRIC_NUMBER, "Messages of order numbers that order-svc did not make, or too old", { 0 } };
static const struct metric_row unread_row = { "sagamesh_alert_watches_unread_total", METRIC_COUNTER, METRIC_NUMBER, "Rows of watches that could not be read", { 0 } };
static const struct metric_row watches_row = { "sagamesh_alert_watches", METRIC_GAUGE, METRIC_NUMBER, "Orders that are watched", { "where" } };
/* clang-format on */

static void
meters_open(struct alert_meters *meters, struct metrics *metrics)
{
    for (size_t i = 0; i <= RULE_C; i++) {
        const char *const name[] = { rules[i].name };

        meters->raised[i] = metrics_series(metrics, &alert_raised_row, name);
        meters->resolved[i] = metrics_series(metrics, &alert_resolved_row, name);
        meters->delay[i] = metrics_series(metrics, &delay_row, name);
    }
    for (size_t i = 0; i < ALERT_TOPICS; i++) {
        const char *const name[] = { topics[i] };

        meters->letters[i] = metrics_series(metrics, &letters_row, name);
        meters->records[i] = metrics_series(metrics, &records_row, name);
        meters->resets[i] = metrics_series(metrics, &resets_row, name);
    }
    meters->paid = metrics_series(metrics, &paid_row, NULL);
    meters->foreign = metrics_series(metrics, &foreign_row, NULL);
    meters->unread = metrics_series(metrics, &unread_row, NULL);
    meters->up = metrics_series(metrics, &up_row, NULL);
    meters->awake = metrics_series(metrics, &watches_row, (const char *const[]){ "memory" });
    meters->parked = metrics_series(metrics, &watches_row, (const char *const[]){ "parked" });
    metrics_declare(metrics, &lag_row);
}

enum error
alert_shards_open(const struct alert_shards_options *options, struct alert_shards **ret_shards)
{
    struct alert_shards *all = memory_take(sizeof *all);
    enum error error;

    all->options = *options;
    error = read_sources(all);
    if (error != ERR_OK) {
        free(all);
        return error;
    }
    meters_open(&all->meters, options->metrics);
    set_deaf(all, true);
    all->pg = journal_pg_new(options->conninfo, "alerts-svc", alert_statements);
    thread_start(&all->thread, shards_main, all);
    *ret_shards = all;
    return ERR_OK;
}

struct alert_shards *
alert_shards_close(struct alert_shards *shards)
{
    if (shards == NULL)
        return NULL;
    atomic_store(&shards->is_stopping, true);
    pthread_join(shards->thread, NULL);
    pg_free(shards->pg);
    free(shards->shards);
    free(shards);
    return NULL;
}
