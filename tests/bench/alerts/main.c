/* bench-alerts -- How much news the shards of alerts-svc take, beside a consumer that throws it away.
 *
 *   floor     the records by bare librdkafka, and nothing done with them
 *   shards    the same records read, applied, decided and written, as alerts-svc does it
 *   delay     orders that disagree, with heartbeats as relays send them: from the end of the grace to the alert
 *   memory    orders that are open and idle: what of them stays in memory
 *
 * CPU is that of this process, with librdkafka's threads; the database and the broker are others. */
#include "alerts/alert_shard.h"
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/config.h"
#include "mesh/base/log.h"
#include "mesh/kafka/consumer.h"
#include "mesh/kafka/producer.h"
#include "mesh/kafka/relay.h"
#include "mesh/store/pg.h"
#include "tests/support/alerts/alerts_feed.h"

#include <librdkafka/rdkafka.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    SEND_MS = 60 * 1000,
    CHUNK = 500, /* records of a send */
    WAIT_SECONDS = 300,
    DELAY_ORDERS = 2000,
    GRACE_SECONDS = 3,
    EVENTS_AN_ORDER = 4,
    STILL_US = 3 * 1000 * 1000,
};

static const char usage[] =
    "usage: bench-alerts [FLAGS]\n"
    "News to alerts: records a second, beside a consumer that throws them away; how late alerts\n"
    "are; memory. ./dev bench alerts starts a broker and a database and calls this.\n"
    "exit status: 0 measured, every alert was right; 1 not; 2 not understood\n"
    "\n"
    "flags:";

struct bench_alerts {
    const char *postgres, *kafka;
    int64_t orders, partitions;
    bool is_json;
    struct kafka_producer *producer;
    struct metrics *metrics;
    struct pg *pg;
    struct arena *arena;
    struct feed_record *feeds; /* CHUNK */
    struct kafka_record *records;
    size_t count;
    int64_t sent; /* records, of all topics */
};

/* clang-format off */
static const struct config_key keys[] = {
    { "orders",     CONFIG_INT,  "100000", 1000, 1000000, "of each part; news of one is four records", offsetof(struct bench_alerts, orders) },
    { "partitions", CONFIG_INT,  "12",     1, 128, "of each topic", offsetof(struct bench_alerts, partitions) },
    { "postgres",   CONFIG_TEXT, NULL,     0, 0, "conninfo of a fresh database of alerts", offsetof(struct bench_alerts, postgres) },
    { "kafka",      CONFIG_TEXT, NULL,     0, 0, "its address, with empty topics", offsetof(struct bench_alerts, kafka) },
    { "json",       CONFIG_FLAG, NULL,     0, 0, "figures in JSON", offsetof(struct bench_alerts, is_json) },
    { 0 },
};
/* clang-format on */

static void __attribute__((format(printf, 1, 2), noreturn)) fail(const char *format, ...)
{
    va_list rest;

    va_start(rest, format);
    vfprintf(stderr, format, rest);
    va_end(rest);
    fputc('\n', stderr);
    exit(1);
}

/* ---- sending ---- */

static void
flush(struct bench_alerts *bench)
{
    if (bench->count > 0 &&
        kafka_send(bench->producer, bench->records, bench->count, SEND_MS) != ERR_OK)
        fail("Kafka does not take the records");
    bench->sent += (int64_t)bench->count;
    bench->count = 0;
}

/* The feed is filled; it goes with the chunk. */
static void
push(struct bench_alerts *bench, int32_t partition)
{
    const struct feed_record *feed = &bench->feeds[bench->count];
    struct kafka_record *record = &bench->records[bench->count++];

    *record = (struct kafka_record){ .topic = news_topic(feed->message.topic),
                                     .partition = partition,
                                     .key = feed->message.key,
                                     .key_bytes = feed->message.key_bytes,
                                     .value = feed->body,
                                     .timestamp_ms = clock_now_us() / 1000 };
    for (size_t i = 0; i < feed->message.header_count; i++)
        record->headers[record->header_count++] =
            (struct kafka_header){ .name = feed->message.headers[i].name,
                                   .value = feed->message.headers[i].value };
    if (bench->count == CHUNK)
        flush(bench);
}

static int32_t
partition_of(const struct bench_alerts *bench, int64_t order)
{
    return (int32_t)(order % bench->partitions);
}

static void
push_order(struct bench_alerts *bench, int64_t n, struct uuid id, int32_t version,
           const char *status, int64_t time_us)
{
    feed_order(&bench->feeds[bench->count],
               &(struct feed_order){ .order_id = id,
                                     .event_id = uuid_v7(time_us),
                                     .version = version,
                                     .status = status,
                                     .total_minor = 1000,
                                     .expires_at_us = time_us + 3600 * SECOND_US,
                                     .time_us = time_us });
    push(bench, partition_of(bench, n));
}

static void
push_payment(struct bench_alerts *bench, int64_t n, struct uuid id, int64_t time_us)
{
    struct uuid payment = id;

    payment.bytes[15] ^= 1;
    feed_payment(&bench->feeds[bench->count], &(struct feed_payment){ .order_id = id,
                                                                      .payment_id = payment,
                                                                      .event_id = uuid_v7(time_us),
                                                                      .version = 1,
                                                                      .status = "SUCCEEDED",
                                                                      .occurred_at_us = time_us,
                                                                      .amount_minor = 1000,
                                                                      .time_us = time_us });
    push(bench, partition_of(bench, n));
}

static void
push_beats(struct bench_alerts *bench)
{
    static const char *const sources[] = { "order-svc", "account-svc" };

    for (size_t s = 0; s < 2; s++) {
        for (int32_t i = 0; i < bench->partitions; i++) {
            struct feed_record *feed = &bench->feeds[bench->count];

            feed_heartbeat(feed, sources[s], clock_now_us());
            feed->message.topic = s == 0 ? NEWS_ORDER : NEWS_PAYMENT;
            push(bench, i);
        }
    }
    flush(bench);
}

/* Step by step for all orders of a window, as orders that are placed at the same time have it. */
static void
send_lives(struct bench_alerts *bench, bool is_whole)
{
    enum { WINDOW = 2000 };
    struct uuid *ids = arena_take(bench->arena, WINDOW * sizeof *ids);

    for (int64_t from = 0; from < bench->orders; from += WINDOW) {
        int64_t until = from + WINDOW < bench->orders ? from + WINDOW : bench->orders;
        int64_t now_us = clock_now_us();

        for (int64_t n = from; n < until; n++)
            push_order(bench, n, ids[n - from] = uuid_v7(now_us), 1, "PENDING", now_us);
        for (int64_t n = from; n < until; n++)
            push_order(bench, n, ids[n - from], 2, "WAITING_PAYMENT", now_us + 1000);
        for (int64_t n = from; is_whole && n < until; n++)
            push_payment(bench, n, ids[n - from], now_us + 2000);
        for (int64_t n = from; is_whole && n < until; n++)
            push_order(bench, n, ids[n - from], 3, "PAID", now_us + 3000);
        flush(bench);
        push_beats(bench);
    }
}

/* ---- measuring ---- */

struct figures {
    int64_t records, wall_us, cpu_us;
};

static int64_t
cpu_us(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * SECOND_US + used.ru_utime.tv_usec +
           used.ru_stime.tv_usec;
}

static int64_t
resident_kib(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0, all;

    if (file == NULL || fscanf(file, "%ld %ld", &all, &pages) != 2)
        fail("/proc/self/statm cannot be read");
    fclose(file);
    return (int64_t)pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int64_t
ask(struct bench_alerts *bench, const char *sql)
{
    const char *text = "";

    if (pg_text(bench->pg, sql, bench->arena, &text) != ERR_OK)
        fail("the database does not answer: %s", sql);
    return strtoll(text, NULL, 10);
}

static int64_t
metric(struct bench_alerts *bench, const char *line)
{
    size_t bytes;
    char *text = metrics_show(bench->metrics, METRICS_TEXT, &bytes);
    int64_t sum = 0;

    for (const char *at = text; (at = strstr(at, line)) != NULL; at++) {
        const char *value = strchr(at, ' ');

        if (value != NULL && (at == text || at[-1] == '\n'))
            sum += strtoll(value + 1, NULL, 10);
    }
    free(text);
    return sum;
}

static rd_kafka_t *
floor_open(struct bench_alerts *bench)
{
    static const char *const settings[][2] = {
        { "group.id", "floor" },
        { "partition.assignment.strategy", "range" },
        { "enable.auto.commit", "false" },
        { "auto.offset.reset", "earliest" },
        { "fetch.wait.max.ms", "100" },
        { "session.timeout.ms", "6000" },
        { "queued.max.messages.kbytes", "16384" },
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(2);
    rd_kafka_t *handle;
    char because[256];

    rd_kafka_conf_set(conf, "bootstrap.servers", bench->kafka, because, sizeof because);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], because, sizeof because) !=
            RD_KAFKA_CONF_OK)
            fail("%s", because);
    }
    handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, because, sizeof because);
    if (handle == NULL)
        fail("%s", because);
    rd_kafka_poll_set_consumer(handle);
    rd_kafka_topic_partition_list_add(topics, NEWS_ORDERS_TOPIC, RD_KAFKA_PARTITION_UA);
    rd_kafka_topic_partition_list_add(topics, NEWS_PAYMENTS_TOPIC, RD_KAFKA_PARTITION_UA);
    rd_kafka_subscribe(handle, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    return handle;
}

/* Time counts from the first record on: joining the group is not what is measured. */
static struct figures
measure_floor(struct bench_alerts *bench)
{
    rd_kafka_t *handle = floor_open(bench);
    struct figures figures = { 0 };
    int64_t began_us = 0, cpu_began_us = 0, until_us = clock_steady_us() + WAIT_SECONDS * SECOND_US;

    while (figures.records < bench->sent && clock_steady_us() < until_us) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(handle, 100);

        if (message == NULL)
            continue;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR && figures.records++ == 0) {
            began_us = clock_steady_us();
            cpu_began_us = cpu_us();
        }
        rd_kafka_message_destroy(message);
    }
    figures.wall_us = clock_steady_us() - began_us;
    figures.cpu_us = cpu_us() - cpu_began_us;
    if (figures.records < bench->sent)
        fail("of %lld records %lld came", (long long)bench->sent, (long long)figures.records);
    rd_kafka_consumer_close(handle);
    rd_kafka_destroy(handle);
    return figures;
}

static int64_t
records_taken(struct bench_alerts *bench)
{
    return metric(bench, "sagamesh_kafka_consumer_records_total{");
}

static void
await_records(struct bench_alerts *bench, int64_t records)
{
    int64_t until_us = clock_steady_us() + WAIT_SECONDS * SECOND_US;

    while (records_taken(bench) < records) {
        if (clock_steady_us() > until_us)
            fail("of %lld records %lld were taken", (long long)records,
                 (long long)records_taken(bench));
        usleep(20 * 1000);
    }
}

static struct figures
measure_shards(struct bench_alerts *bench)
{
    struct figures figures = { 0 };
    int64_t began_us, cpu_began_us;

    await_records(bench, 1);
    began_us = clock_steady_us();
    cpu_began_us = cpu_us();
    figures.records = bench->sent - records_taken(bench);
    await_records(bench, bench->sent);
    figures.wall_us = clock_steady_us() - began_us;
    figures.cpu_us = cpu_us() - cpu_began_us;
    return figures;
}

struct delays {
    int64_t half_ms, most_ms, max_ms;
};

static struct delays
measure_delay(struct bench_alerts *bench)
{
    int64_t until_us = clock_steady_us() + WAIT_SECONDS * SECOND_US, beat_us = clock_steady_us();
    int64_t n = 0;

    /* Placed over some seconds, so that their graces end at any time between two heartbeats. */
    while (ask(bench, "SELECT count(*) FROM alert") < DELAY_ORDERS) {
        for (int64_t end = n + DELAY_ORDERS / 50; n < end && n < DELAY_ORDERS; n++) {
            struct uuid id = uuid_v7(clock_now_us());

            push_order(bench, n, id, 1, "PENDING", clock_now_us());
            push_payment(bench, n, id, clock_now_us());
        }
        flush(bench);
        if (clock_steady_us() >= beat_us) {
            push_beats(bench);
            beat_us += RELAY_HEARTBEAT_US;
        }
        if (clock_steady_us() > until_us)
            fail("not all alerts were raised");
        usleep(100 * 1000);
    }
#define DELAY(part)                                                                                \
    "SELECT percentile_disc(" part ") WITHIN GROUP (ORDER BY detected_us - occurred_us"            \
    " - 3000000) / 1000 FROM alert"
    _Static_assert(GRACE_SECONDS == 3, "as the statement has it");
    return (struct delays){ ask(bench, DELAY("0.5")), ask(bench, DELAY("0.99")),
                            ask(bench, DELAY("1")) };
}

/* Once the shards have given back what they need no more, which they look at once a second: it falls no more. */
static int64_t
resident_at_rest_kib(void)
{
    int64_t least_kib = INT64_MAX, is_kib, still_since_us = clock_steady_us();

    do {
        usleep(100 * 1000);
        is_kib = resident_kib();
        if (is_kib < least_kib)
            still_since_us = clock_steady_us();
        least_kib = is_kib < least_kib ? is_kib : least_kib;
    } while (clock_steady_us() - still_since_us < STILL_US);
    return is_kib;
}

/* Of orders that are open and idle. */
static int64_t
measure_memory(struct bench_alerts *bench)
{
    int64_t parked = ask(bench, "SELECT count(*) FROM journal_parked"), before_kib;
    int64_t until_us = clock_steady_us() + WAIT_SECONDS * SECOND_US;

    while (metric(bench, "sagamesh_alert_watches{where=\"memory\"}") > 0)
        usleep(100 * 1000);
    malloc_trim(0);
    before_kib = resident_at_rest_kib();
    send_lives(bench, false);
    while (ask(bench, "SELECT count(*) FROM journal_parked") < parked + bench->orders ||
           metric(bench, "sagamesh_alert_watches{where=\"memory\"}") > 0) {
        if (clock_steady_us() > until_us)
            fail("not all orders were parked");
        push_beats(bench);
        usleep(500 * 1000);
    }
    return (resident_at_rest_kib() - before_kib) * 100000 / bench->orders;
}

/* ---- saying ---- */

static double
per_second(const struct figures *figures)
{
    return (double)figures->records * 1e6 / (double)figures->wall_us;
}

static double
cpu_each(const struct figures *figures)
{
    return (double)figures->cpu_us / (double)figures->records;
}

static void
say(const struct bench_alerts *bench, const struct figures *floor_part,
    const struct figures *shards, const struct delays *delays, int64_t kib)
{
    double ratio = per_second(shards) / per_second(floor_part);

    if (bench->is_json) {
        printf("{\"floor\":{\"eventsPerSecond\":%.0f,\"cpuMicroseconds\":%.2f},"
               "\"shards\":{\"eventsPerSecond\":%.0f,\"cpuMicroseconds\":%.2f,"
               "\"eventsPerCoreSecond\":%.0f},\"ratio\":%.3f,"
               "\"delayMilliseconds\":{\"p50\":%lld,\"p99\":%lld,\"max\":%lld},"
               "\"kibPer100000OpenOrders\":%lld}\n",
               per_second(floor_part), cpu_each(floor_part), per_second(shards), cpu_each(shards),
               1e6 / cpu_each(shards), ratio, (long long)delays->half_ms,
               (long long)delays->most_ms, (long long)delays->max_ms, (long long)kib);
        return;
    }
    printf("%-10s %12s %14s %16s\n", "", "events/s", "CPU us/event", "events/s a core");
    printf("%-10s %12.0f %14.2f %16.0f\n", "floor", per_second(floor_part), cpu_each(floor_part),
           1e6 / cpu_each(floor_part));
    printf("%-10s %12.0f %14.2f %16.0f\n", "shards", per_second(shards), cpu_each(shards),
           1e6 / cpu_each(shards));
    printf("shards / floor: %.2f of its events a second, %.1f times its CPU\n", ratio,
           cpu_each(shards) / cpu_each(floor_part));
    printf(
        "an alert past its grace: p50 %lld ms, p99 %lld ms, max %lld ms (a heartbeat each %d ms)\n",
        (long long)delays->half_ms, (long long)delays->most_ms, (long long)delays->max_ms,
        RELAY_HEARTBEAT_US / 1000);
    printf("memory of 100,000 open orders: %.1f MiB\n", (double)kib / 1024);
}

int
main(int argc, char **argv)
{
    struct bench_alerts bench = { 0 };
    const struct config_table table = { keys, &bench };
    static const struct partitions partitions[] = {
        { .table = "op", .fill = 100 },
        { .table = "journal_final", .fill = 100 },
        { .table = "event", .fill = 100 },
        { 0 },
    };
    struct alert_shards_options options = { .partitions = partitions,
                                            .group = "bench",
                                            .sources = "order-svc,account-svc",
                                            .silent_us = 3600 * SECOND_US,
                                            .graces = rule_graces_default() };
    struct alert_shards *shards;
    struct figures floor_part, shards_part;
    struct delays delays;
    int64_t kib;

    log_open("bench-alerts", LOG_ERROR);
    if (config_read(argc, argv, usage, &table, 1) != 0) {
        fprintf(stderr, "bench-alerts: '%s' is no flag; --help lists the flags\n", argv[0]);
        return 2;
    }
    options.conninfo = bench.postgres;
    options.brokers = bench.kafka;
    options.graces.us[RULE_A] = options.graces.us[RULE_B] = GRACE_SECONDS * SECOND_US;
    bench.arena = arena_new();
    bench.feeds = memory_take(CHUNK * sizeof *bench.feeds);
    bench.records = memory_take(CHUNK * sizeof *bench.records);
    bench.producer = kafka_producer_new(bench.kafka, "bench");
    bench.pg = pg_new(bench.postgres, "bench", NULL);
    options.metrics = bench.metrics = metrics_new();
    send_lives(&bench, true);
    floor_part = measure_floor(&bench);
    if (alert_shards_open(&options, &shards) != ERR_OK)
        fail("the shards do not begin");
    shards_part = measure_shards(&bench);
    if (ask(&bench, "SELECT count(*) FROM alert") != 0)
        fail("an alert was raised where nothing disagrees");
    delays = measure_delay(&bench);
    kib = measure_memory(&bench);
    say(&bench, &floor_part, &shards_part, &delays, kib);
    alert_shards_close(shards);
    metrics_free(bench.metrics);
    kafka_producer_free(bench.producer);
    pg_free(bench.pg);
    free(bench.feeds);
    free(bench.records);
    arena_free(bench.arena);
    return 0;
}
