/* Shards whose database, COMMIT or cluster is lost: no alert is, and none is doubled. */
#include "tests/support/alerts/alerts_shards.h"

#include <stdlib.h>
#include <string.h>

static long long
metric_value(const char *line)
{
    size_t bytes;
    char *text = metrics_show(shards_metrics, METRICS_TEXT, &bytes);
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
    pg_fixture_run(shards_fixture.admin, "ALTER DATABASE %s ALLOW_CONNECTIONS %s",
                   shards_fixture.database, is_away ? "false" : "true");
    if (is_away)
        pg_fixture_run(shards_fixture.admin,
                       "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                       " WHERE datname = '%s'",
                       shards_fixture.database);
}

/* Nothing is taken that cannot be written, so nothing piles up; and then all of it comes, once. */
START_TEST(a_database_that_is_away)
{
    struct alert_shards *shards = shards_open(300 * SECOND_US);
    long long taken;

    AWAIT_BEATING(shards_count("alert_source") == 2 * SHARDS_PARTITIONS);
    set_database_away(true);
    for (int32_t i = 0; i < SHARDS_PARTITIONS; i++)
        shards_send_waiting(i, shards_order_new(), shards_ago(400));
    AWAIT((taken = records_taken()) >= SHARDS_PARTITIONS, SHARDS_WAIT);
    for (int i = 0; i < 2000; i++)
        kafka_news_order(&shards_kafka, i % SHARDS_PARTITIONS, shards_order_new(), 1, "PENDING",
                         shards_ago(0));
    AWAIT(usleep(300 * 1000) == 0 && is_still(&taken), SHARDS_WAIT);
    ck_assert_int_lt(records_taken(), 2000);
    set_database_away(false);
    AWAIT_BEATING(shards_count("alert") == SHARDS_PARTITIONS);
    AWAIT_BEATING(shards_count("journal_parked") >= 2000);
    shards_expect(SHARDS_PARTITIONS, 0);
    shards = alert_shards_close(shards);
}
END_TEST

/* A COMMIT whose answer is lost: the page is there once, and so is what came with it. */
START_TEST(a_commit_in_doubt)
{
    struct alert_shards *shards = shards_open(300 * SECOND_US);
    PGconn *admin = pg_fixture_connect(shards_fixture.admin);

    AWAIT_BEATING(shards_count("alert_source") == 2 * SHARDS_PARTITIONS);
    pg_fixture_standby(admin, "ghost");
    for (int32_t i = 0; i < SHARDS_PARTITIONS; i++)
        shards_send_waiting(i, shards_order_new(), shards_ago(400));
    AWAIT(shards_beat() && pg_fixture_int(shards_fixture.admin,
                                          "SELECT count(pg_terminate_backend(pid)) FROM"
                                          " pg_stat_activity WHERE datname = '%s'"
                                          " AND wait_event = 'SyncRep'",
                                          shards_fixture.database) > 0,
          SHARDS_WAIT);
    pg_fixture_standby(admin, "");
    PQfinish(admin);
    AWAIT_BEATING(shards_count("alert") == SHARDS_PARTITIONS);
    shards_expect(SHARDS_PARTITIONS, 0);
    shards = alert_shards_close(shards);
}
END_TEST

/* Offsets of a cluster that is gone say nothing of the next one's records. */
START_TEST(another_cluster_is_read_from_its_beginning)
{
    struct kafka_news before;
    struct alert_shards *shards = shards_open(300 * SECOND_US);

    for (int i = 0; i < 20; i++)
        kafka_news_order(&shards_kafka, 0, shards_order_new(), 1, "PENDING", shards_ago(0));
    AWAIT_BEATING(shards_count("journal_parked") == 20);
    shards = alert_shards_close(shards);
    before = shards_kafka;
    kafka_news_open(&shards_kafka,
                    SHARDS_PARTITIONS); /* while the other is there: its id is its address */
    kafka_news_close(&before);
    shards_send_waiting(0, shards_order_new(), shards_ago(400));
    for (int i = 0; i < 50; i++)
        kafka_news_order(&shards_kafka, 0, shards_order_new(), 1, "PENDING", shards_ago(0));
    shards = shards_open(300 * SECOND_US);
    AWAIT_BEATING(shards_count("alert") == 1);
    AWAIT_BEATING(shards_count("journal_parked") == 71);
    shards_expect(1, 0);
    shards = alert_shards_close(shards);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("shard");

    tcase_add_test(cases, a_database_that_is_away);
    tcase_add_test(cases, a_commit_in_doubt);
    tcase_add_test(cases, another_cluster_is_read_from_its_beginning);
    return shards_check("alerts_shard_lost", cases);
}
