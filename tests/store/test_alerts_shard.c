/* Shards over PostgreSQL and the mock cluster: news in, alerts out, once each, whatever ends or stands still in
 * between. What is an alert is in the tables of the rules; here it is whether it is lost or doubled. */
#include "alerts/alert_shard.h"
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/store/journal.h"
#include "tests/support/alerts/alerts_kafka.h"
#include "tests/support/check.h"
#include "tests/support/store/pg_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PARTITIONS = 4, SESSION_MS = 3000, WAIT = 60 };

static struct pg_fixture fixture;
static struct kafka_news kafka;
static struct metrics *metrics;

static const struct partitions partitions[] = {
    { .table = "op", .fill = 100 },
    { .table = "journal_final", .fill = 100 },
    { .table = "event", .fill = 100 },
    { 0 },
};

static void
open_all(void)
{
    pg_fixture_run(fixture.conninfo,
                   "TRUNCATE journal_shard, journal_page, journal_parked, journal_final, event, "
                   "alert, notice, dead_letter, alert_source");
    kafka_news_open(&kafka, PARTITIONS);
    metrics = metrics_new();
}

static void
close_all(void)
{
    metrics = metrics_free(metrics);
    kafka_news_close(&kafka);
}

static struct alert_shards_options
options_of(int64_t grace_us)
{
    struct alert_shards_options options = { .conninfo = fixture.conninfo,
                                            .partitions = partitions,
                                            .brokers = kafka.fixture.brokers,
                                            .group = "alerts",
                                            .sources = KAFKA_NEWS_SOURCES,
                                            .session_ms = SESSION_MS,
                                            .idle_us = SECOND_US,
                                            .silent_us = 60 * SECOND_US,
                                            .graces = rule_graces_default(),
                                            .metrics = metrics };

    options.graces.us[RULE_A] = options.graces.us[RULE_B] = grace_us;
    return options;
}

static struct alert_shards *
open_shards(int64_t grace_us)
{
    struct alert_shards_options options = options_of(grace_us);
    struct alert_shards *shards;

    ck_assert_int_eq(alert_shards_open(&options, &shards), ERR_OK);
    return shards;
}

static long long
count_of(const char *what)
{
    return pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM %s", what);
}

static int64_t
ago(int64_t seconds)
{
    return clock_now_us() - seconds * SECOND_US;
}

static struct uuid
order_new(void)
{
    return uuid_v7(clock_now_us());
}

/* What rule A is about: paid, and still waiting for it. */
static void
send_paid_and_waiting(int32_t partition, struct uuid id, int64_t at_us)
{
    kafka_news_order(&kafka, partition, id, 1, "PENDING", at_us - 2 * SECOND_US);
    kafka_news_order(&kafka, partition, id, 2, "WAITING_PAYMENT", at_us - SECOND_US);
    kafka_news_payment(&kafka, partition, id, 1, "SUCCEEDED", at_us);
}

static bool
beat_now(void)
{
    kafka_news_beat(&kafka, clock_now_us());
    return true;
}

/* Heartbeats go on while it is waited for, as relays send them. */
#define AWAIT_BEATING(condition) AWAIT(usleep(100 * 1000) == 0 && beat_now() && (condition), WAIT)

/* Each alert that was raised has one event that says so, and each that was resolved one more. */
static void
expect_alerts(long long raised, long long resolved)
{
    ck_assert_int_eq(count_of("alert"), raised);
    ck_assert_int_eq(count_of("alert WHERE resolved_us <> 0"), resolved);
    ck_assert_int_eq(count_of("event WHERE type = 'alert.raised'"), raised);
    ck_assert_int_eq(count_of("event WHERE type = 'alert.resolved'"), resolved);
    ck_assert_int_eq(count_of("alert_check()"), 0);
}

/* ---- news in, alerts out ---- */

START_TEST(an_alert_is_raised_and_resolved)
{
    struct alert_shards *shards = open_shards(300 * SECOND_US);
    struct uuid wrong = order_new(), right = order_new();

    send_paid_and_waiting(1, wrong, ago(400));
    send_paid_and_waiting(1, right, ago(400));
    kafka_news_order(&kafka, 1, right, 3, "PAID", ago(399));
    AWAIT_BEATING(count_of("alert WHERE rule = 'RULE_A'") == 1);
    kafka_news_order(&kafka, 1, wrong, 3, "PAID", ago(1));
    AWAIT_BEATING(count_of("alert WHERE resolved_us <> 0") == 1);
    expect_alerts(1, 1);
    shards = alert_shards_close(shards);
    shards = open_shards(300 * SECOND_US); /* and nothing comes of a restart */
    AWAIT_BEATING(count_of("journal_shard WHERE epoch > 1") == PARTITIONS);
    kafka_news_order(&kafka, 1, order_new(), 1, "PENDING", ago(0));
    AWAIT_BEATING(count_of("journal_parked") == 1);
    expect_alerts(1, 1);
    shards = alert_shards_close(shards);
}
END_TEST

/* What one source has not said yet may end the contradiction. */
START_TEST(no_alert_before_all_sources_have_spoken)
{
    struct alert_shards *shards = open_shards(300 * SECOND_US);
    struct uuid first = order_new(), second = order_new();

    send_paid_and_waiting(0, first, ago(500));
    kafka_news_beat(&kafka, ago(450)); /* the end of its grace is 250 s later */
    kafka_news_beat_of(&kafka, "account-svc", ago(0));
    kafka_news_order(&kafka, 1, second, 1, "PENDING", ago(0));
    AWAIT(count_of("journal_parked") == 2, WAIT); /* read, applied, idle */
    expect_alerts(0, 0);
    kafka_news_order(&kafka, 0, first, 3, "PAID", ago(300)); /* in time, after an outage */
    AWAIT_BEATING(count_of("journal_final") == 1);
    expect_alerts(0, 0);
    shards = alert_shards_close(shards);
}
END_TEST

START_TEST(what_cannot_be_read_is_a_dead_letter)
{
    struct alert_shards *shards = open_shards(300 * SECOND_US);
    const struct kafka_record damaged = { .topic = kafka.fixture.topics[0],
                                          .partition = 2,
                                          .key = "k\xff",
                                          .value = "{\"orderId\":",
                                          .timestamp_ms = 1700000000000,
                                          .headers = { { .name = "ce_type",
                                                         .value = "sagamesh.order.paid.v1" },
                                                       { .name = "odd", .value = "\xfe\xff" } },
                                          .header_count = 2 };
    struct uuid id = order_new();

    ck_assert_int_eq(kafka_send(kafka.fixture.producer, &damaged, 1, 30000), ERR_OK);
    send_paid_and_waiting(2, id, ago(400));
    AWAIT_BEATING(count_of("alert") == 1); /* the next ones are read all the same */
    ck_assert_int_eq(count_of("dead_letter WHERE part = 2 AND place = 0 AND reason LIKE 'ce_% %'"
                              " AND key = '\\x6bff' AND timestamp_ms = 1700000000000"),
                     1);
    shards = alert_shards_close(shards);
}
END_TEST

/* ---- rows of orders ---- */

/* It is parked before its grace ends, and raised from its row. */
START_TEST(an_alert_of_a_parked_order)
{
    struct alert_shards *shards = open_shards(6 * SECOND_US);

    AWAIT_BEATING(count_of("alert_source") == 2 * PARTITIONS); /* it reads */
    send_paid_and_waiting(3, order_new(), ago(0));
    AWAIT_BEATING(count_of("journal_parked WHERE next_us > 0") == 1);
    ck_assert_int_eq(count_of("alert"), 0);
    shards = alert_shards_close(shards); /* its time is known after a restart, too */
    shards = open_shards(6 * SECOND_US);
    AWAIT_BEATING(count_of("alert") == 1);
    AWAIT_BEATING(count_of("journal_parked WHERE phase = 'ALERT'") == 1);
    expect_alerts(1, 0);
    shards = alert_shards_close(shards);
}
END_TEST

/* An order that is over is a final row; a success that comes late opens it again. Then it is over once more. */
START_TEST(a_late_success_opens_an_order_again)
{
    struct alert_shards *shards = open_shards(300 * SECOND_US);
    struct uuid id = order_new();

    kafka_news_order(&kafka, 0, id, 1, "PENDING", ago(100));
    kafka_news_order(&kafka, 0, id, 2, "WAITING_PAYMENT", ago(99));
    kafka_news_order(&kafka, 0, id, 3, "FAILED", ago(50));
    AWAIT_BEATING(count_of("journal_final") == 1);
    ck_assert_int_eq(count_of("journal_parked"), 0);
    kafka_news_order(&kafka, 0, id, 3, "FAILED", ago(50)); /* says nothing new */
    kafka_news_payment(&kafka, 0, id, 1, "SUCCEEDED", ago(10));
    AWAIT_BEATING(count_of("alert WHERE rule = 'RULE_C'") == 1);
    AWAIT_BEATING(count_of("journal_parked") == 1);
    shards = alert_shards_close(shards); /* it is known to be open again */
    shards = open_shards(300 * SECOND_US);
    kafka_news_payment(&kafka, 0, id, 2, "REFUNDED", ago(1));
    AWAIT_BEATING(count_of("alert WHERE resolved_us <> 0") == 1);
    AWAIT_BEATING(count_of("journal_parked") == 0);
    ck_assert_int_eq(count_of("journal_final"), 1);
    expect_alerts(1, 1);
    shards = alert_shards_close(shards);
}
END_TEST

/* Pages that no order needs go, but for the last one, which has the offsets. */
START_TEST(pages_go_and_the_offsets_stay)
{
    struct alert_shards *shards = open_shards(300 * SECOND_US);

    kafka_news_order(&kafka, 0, order_new(), 1, "PENDING", ago(0));
    AWAIT_BEATING(count_of("journal_parked") == 1);
    AWAIT_BEATING(pg_fixture_int(fixture.conninfo,
                                 "SELECT max(n) FROM (SELECT count(*) AS n FROM journal_page"
                                 " GROUP BY shard) s") <= 2 &&
                  count_of("journal_page WHERE page > 3") > 0);
    shards = alert_shards_close(shards);
    ck_assert_int_eq(
        pg_fixture_int(fixture.conninfo, "SELECT count(DISTINCT shard) FROM journal_page"),
        PARTITIONS);
    ck_assert_int_eq(
        count_of("(SELECT DISTINCT ON (shard) body FROM journal_page ORDER BY shard, page DESC) p"
                 " WHERE body LIKE '%O %'"),
        PARTITIONS);
}
END_TEST

/* ---- what goes wrong ---- */

static long long
metric_value(const char *line)
{
    size_t bytes;
    char *text = metrics_show(metrics, METRICS_TEXT, &bytes);
    const char *at = strstr(text, line);
    long long value = at == NULL ? -1 : atoll(at + strlen(line));

    free(text);
    return value;
}

static long long
records_taken(void)
{
    return metric_value("sagamesh_kafka_consumer_records_total{topic=\"order-status-changed\"} ");
}

/* Nothing was taken since the last look. */
static bool
is_still(long long *taken)
{
    long long before = *taken;

    *taken = records_taken();
    return *taken == before;
}

static void
set_database_away(bool is_away)
{
    pg_fixture_run(fixture.admin, "ALTER DATABASE %s ALLOW_CONNECTIONS %s", fixture.database,
                   is_away ? "false" : "true");
    if (is_away)
        pg_fixture_run(fixture.admin,
                       "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                       " WHERE datname = '%s'",
                       fixture.database);
}

/* Nothing is taken that cannot be written, so nothing piles up; and then all of it comes, once. */
START_TEST(a_database_that_is_away)
{
    struct alert_shards *shards = open_shards(300 * SECOND_US);
    long long taken;

    AWAIT_BEATING(count_of("alert_source") == 2 * PARTITIONS);
    set_database_away(true);
    for (int32_t i = 0; i < PARTITIONS; i++)
        send_paid_and_waiting(i, order_new(), ago(400));
    AWAIT((taken = records_taken()) >= PARTITIONS, WAIT);
    for (int i = 0; i < 2000; i++)
        kafka_news_order(&kafka, i % PARTITIONS, order_new(), 1, "PENDING", ago(0));
    AWAIT(usleep(300 * 1000) == 0 && is_still(&taken), WAIT);
    ck_assert_int_lt(records_taken(), 2000);
    set_database_away(false);
    AWAIT_BEATING(count_of("alert") == PARTITIONS);
    AWAIT_BEATING(count_of("journal_parked") >= 2000);
    expect_alerts(PARTITIONS, 0);
    shards = alert_shards_close(shards);
}
END_TEST

/* A member that stood still while another took its shard over writes nothing more; it comes back, and goes on. */
START_TEST(a_stale_owner_is_fenced)
{
    struct alert_shards *shards = open_shards(300 * SECOND_US);
    struct pg *pg = journal_pg_new(fixture.conninfo, "other", NULL);
    struct journal *other =
        journal_new(&(struct journal_options){ .pg = pg, .shard = 1, .partitions = partitions });
    struct journal_owned owned;
    long long pages;

    AWAIT_BEATING(count_of("journal_page WHERE shard = 1") > 0);
    while (journal_own(other, &owned) != ERR_OK)
        usleep(1000);
    pages = count_of("journal_page WHERE shard = 1");
    send_paid_and_waiting(1, order_new(), ago(400));
    send_paid_and_waiting(2, order_new(), ago(400));
    AWAIT_BEATING(count_of("alert") == 1); /* of shard 2, which is its own */
    ck_assert_int_le(count_of("journal_page WHERE shard = 1"), pages);
    AWAIT_BEATING(count_of("alert") == 2); /* it has joined the group anew */
    expect_alerts(2, 0);
    journal_free(other);
    pg_free(pg);
    shards = alert_shards_close(shards);
}
END_TEST

/* Two members of one group; one ends while news comes, and the other has all. */
START_TEST(partitions_move_between_members)
{
    enum { ORDERS = 200 };
    struct alert_shards *first = open_shards(300 * SECOND_US), *second;
    struct uuid ids[ORDERS];

    for (int i = 0; i < ORDERS; i++) {
        ids[i] = order_new();
        send_paid_and_waiting(i % PARTITIONS, ids[i], ago(400));
    }
    AWAIT_BEATING(count_of("alert") > 0);
    second = open_shards(300 * SECOND_US);
    AWAIT_BEATING(count_of("journal_shard WHERE epoch > 1") == PARTITIONS);
    for (int i = 0; i < ORDERS / 2; i++)
        kafka_news_order(&kafka, i % PARTITIONS, ids[i], 3, "PAID", ago(1));
    first = alert_shards_close(first);
    for (int i = ORDERS / 2; i < ORDERS; i++)
        kafka_news_order(&kafka, i % PARTITIONS, ids[i], 3, "PAID", ago(1));
    AWAIT_BEATING(count_of("alert WHERE resolved_us <> 0") == ORDERS);
    expect_alerts(ORDERS, ORDERS);
    second = alert_shards_close(second);
}
END_TEST

/* A COMMIT whose answer is lost: the page is there once, and so is what came with it. */
START_TEST(a_commit_in_doubt)
{
    struct alert_shards *shards = open_shards(300 * SECOND_US);
    PGconn *admin = pg_fixture_connect(fixture.admin);

    AWAIT_BEATING(count_of("alert_source") == 2 * PARTITIONS);
    pg_fixture_standby(admin, "ghost");
    for (int32_t i = 0; i < PARTITIONS; i++)
        send_paid_and_waiting(i, order_new(), ago(400));
    AWAIT(beat_now() && pg_fixture_int(fixture.admin,
                                       "SELECT count(pg_terminate_backend(pid)) FROM"
                                       " pg_stat_activity WHERE datname = '%s'"
                                       " AND wait_event = 'SyncRep'",
                                       fixture.database) > 0,
          WAIT);
    pg_fixture_standby(admin, "");
    PQfinish(admin);
    AWAIT_BEATING(count_of("alert") == PARTITIONS);
    expect_alerts(PARTITIONS, 0);
    shards = alert_shards_close(shards);
}
END_TEST

/* Offsets of a cluster that is gone say nothing of the next one's records. */
START_TEST(another_cluster_is_read_from_its_beginning)
{
    struct kafka_news before;
    struct alert_shards *shards = open_shards(300 * SECOND_US);

    for (int i = 0; i < 20; i++)
        kafka_news_order(&kafka, 0, order_new(), 1, "PENDING", ago(0));
    AWAIT_BEATING(count_of("journal_parked") == 20);
    shards = alert_shards_close(shards);
    before = kafka;
    kafka_news_open(&kafka, PARTITIONS); /* while the other is there: its id is its address */
    kafka_news_close(&before);
    send_paid_and_waiting(0, order_new(), ago(400));
    for (int i = 0; i < 50; i++)
        kafka_news_order(&kafka, 0, order_new(), 1, "PENDING", ago(0));
    shards = open_shards(300 * SECOND_US);
    AWAIT_BEATING(count_of("alert") == 1);
    AWAIT_BEATING(count_of("journal_parked") == 71);
    expect_alerts(1, 0);
    shards = alert_shards_close(shards);
}
END_TEST

/* ---- silence ---- */

START_TEST(a_silent_source_is_told)
{
    struct alert_shards_options options = options_of(300 * SECOND_US);
    struct alert_shards *shards;

    options.silent_us = 3 * SECOND_US;
    ck_assert_int_eq(alert_shards_open(&options, &shards), ERR_OK);
    AWAIT_BEATING(count_of("alert_source WHERE NOT is_silent") == 2 * PARTITIONS);
    AWAIT(usleep(100 * 1000) == 0 &&
              (kafka_news_beat_of(&kafka, "order-svc", clock_now_us()), true) &&
              count_of("alert_source WHERE is_silent AND source = 'account-svc'") == PARTITIONS,
          WAIT);
    ck_assert_int_eq(count_of("alert_source WHERE is_silent"), PARTITIONS);
    AWAIT_BEATING(count_of("alert_source WHERE NOT is_silent") == 2 * PARTITIONS);
    kafka_fixture_away(&kafka.fixture, true); /* all of Kafka is */
    AWAIT(count_of("alert_source WHERE is_silent") == 2 * PARTITIONS, WAIT);
    AWAIT(!alert_shards_hear(shards), WAIT);
    kafka_fixture_away(&kafka.fixture, false);
    AWAIT_BEATING(count_of("alert_source WHERE NOT is_silent") == 2 * PARTITIONS);
    AWAIT_BEATING(alert_shards_hear(shards));
    shards = alert_shards_close(shards);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("shard");

    tcase_add_checked_fixture(cases, open_all, close_all);
    tcase_add_test(cases, an_alert_is_raised_and_resolved);
    tcase_add_test(cases, no_alert_before_all_sources_have_spoken);
    tcase_add_test(cases, what_cannot_be_read_is_a_dead_letter);
    tcase_add_test(cases, an_alert_of_a_parked_order);
    tcase_add_test(cases, a_late_success_opens_an_order_again);
    tcase_add_test(cases, pages_go_and_the_offsets_stay);
    tcase_add_test(cases, a_database_that_is_away);
    tcase_add_test(cases, a_stale_owner_is_fenced);
    tcase_add_test(cases, partitions_move_between_members);
    tcase_add_test(cases, a_commit_in_doubt);
    tcase_add_test(cases, another_cluster_is_read_from_its_beginning);
    tcase_add_test(cases, a_silent_source_is_told);
    return pg_fixture_check(&fixture, "alerts_shard", "alerts/schema.sql", cases);
}
