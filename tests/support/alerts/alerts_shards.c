/* alerts_shards.c -- One database and one mock cluster for all tests of a program; each begins with empty tables and a
 * new cluster. */
#include "tests/support/alerts/alerts_shards.h"

enum { SHARDS_SESSION_MS = 3000 };

struct pg_fixture shards_fixture;
struct kafka_news shards_kafka;
struct metrics *shards_metrics;

const struct partitions shards_partitions[] = {
    { .table = "op", .fill = 100 },
    { .table = "journal_final", .fill = 100 },
    { .table = "event", .fill = 100 },
    { 0 },
};

static void
open_all(void)
{
    pg_fixture_run(shards_fixture.conninfo,
                   "TRUNCATE journal_shard, journal_page, journal_parked, journal_final, event, "
                   "alert, notice, dead_letter, alert_source");
    kafka_news_open(&shards_kafka, SHARDS_PARTITIONS);
    shards_metrics = metrics_new();
}

static void
close_all(void)
{
    shards_metrics = metrics_free(shards_metrics);
    kafka_news_close(&shards_kafka);
}

struct alert_shards_options
shards_options(int64_t grace_us)
{
    struct alert_shards_options options = { .conninfo = shards_fixture.conninfo,
                                            .partitions = shards_partitions,
                                            .brokers = shards_kafka.fixture.brokers,
                                            .group = "alerts",
                                            .sources = KAFKA_NEWS_SOURCES,
                                            .session_ms = SHARDS_SESSION_MS,
                                            .idle_us = SECOND_US,
                                            .silent_us = 60 * SECOND_US,
                                            .graces = rule_graces_default(),
                                            .metrics = shards_metrics };

    options.graces.us[RULE_A] = options.graces.us[RULE_B] = grace_us;
    return options;
}

struct alert_shards *
shards_open(int64_t grace_us)
{
    struct alert_shards_options options = shards_options(grace_us);
    struct alert_shards *shards;

    ck_assert_int_eq(alert_shards_open(&options, &shards), ERR_OK);
    return shards;
}

long long
shards_count(const char *what)
{
    return pg_fixture_int(shards_fixture.conninfo, "SELECT count(*) FROM %s", what);
}

int64_t
shards_ago(int64_t seconds)
{
    return clock_now_us() - seconds * SECOND_US;
}

struct uuid
shards_order_new(void)
{
    return uuid_v7(clock_now_us());
}

void
shards_send_waiting(int32_t partition, struct uuid id, int64_t at_us)
{
    kafka_news_order(&shards_kafka, partition, id, 1, "PENDING", at_us - 2 * SECOND_US);
    kafka_news_order(&shards_kafka, partition, id, 2, "WAITING_PAYMENT", at_us - SECOND_US);
    kafka_news_payment(&shards_kafka, partition, id, 1, "SUCCEEDED", at_us);
}

bool
shards_beat(void)
{
    kafka_news_beat(&shards_kafka, clock_now_us());
    return true;
}

void
shards_expect(long long raised, long long resolved)
{
    ck_assert_int_eq(shards_count("alert"), raised);
    ck_assert_int_eq(shards_count("alert WHERE resolved_us <> 0"), resolved);
    ck_assert_int_eq(shards_count("event WHERE type = 'alert.raised'"), raised);
    ck_assert_int_eq(shards_count("event WHERE type = 'alert.resolved'"), resolved);
    ck_assert_int_eq(shards_count("alert_check()"), 0);
}

int
shards_check(const char *name, TCase *cases)
{
    tcase_add_checked_fixture(cases, open_all, close_all);
    return pg_fixture_check(&shards_fixture, name, "alerts/schema", cases);
}
