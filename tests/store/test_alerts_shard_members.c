/* Members of one group that take shards over, and sources that fall silent. */
#include "mesh/store/journal.h"
#include "tests/support/alerts/alerts_shards.h"

/* A member that stood still while another took its shard over writes nothing more; it comes back, and goes on. */
START_TEST(a_stale_owner_is_fenced)
{
    struct alert_shards *shards = shards_open(300 * SECOND_US);
    struct pg *pg = journal_pg_new(shards_fixture.conninfo, "other", NULL);
    struct journal *other = journal_new(
        &(struct journal_options){ .pg = pg, .shard = 1, .partitions = shards_partitions });
    struct journal_owned owned;
    long long pages;

    AWAIT_BEATING(shards_count("journal_page WHERE shard = 1") > 0);
    while (journal_own(other, &owned) != ERR_OK)
        usleep(1000);
    pages = shards_count("journal_page WHERE shard = 1");
    shards_send_waiting(1, shards_order_new(), shards_ago(400));
    shards_send_waiting(2, shards_order_new(), shards_ago(400));
    AWAIT_BEATING(shards_count("alert") == 1); /* of shard 2, which is its own */
    ck_assert_int_le(shards_count("journal_page WHERE shard = 1"), pages);
    AWAIT_BEATING(shards_count("alert") == 2); /* it has joined the group anew */
    shards_expect(2, 0);
    journal_free(other);
    pg_free(pg);
    shards = alert_shards_close(shards);
}
END_TEST

/* Two members of one group; one ends while news comes, and the other has all. */
START_TEST(partitions_move_between_members)
{
    enum { ORDERS = 200 };
    struct alert_shards *first = shards_open(300 * SECOND_US), *second;
    struct uuid ids[ORDERS];

    for (int i = 0; i < ORDERS; i++) {
        ids[i] = shards_order_new();
        shards_send_waiting(i % SHARDS_PARTITIONS, ids[i], shards_ago(400));
    }
    AWAIT_BEATING(shards_count("alert") > 0);
    second = shards_open(300 * SECOND_US);
    AWAIT_BEATING(shards_count("journal_shard WHERE epoch > 1") == SHARDS_PARTITIONS);
    for (int i = 0; i < ORDERS / 2; i++)
        kafka_news_order(&shards_kafka, i % SHARDS_PARTITIONS, ids[i], 3, "PAID", shards_ago(1));
    first = alert_shards_close(first);
    for (int i = ORDERS / 2; i < ORDERS; i++)
        kafka_news_order(&shards_kafka, i % SHARDS_PARTITIONS, ids[i], 3, "PAID", shards_ago(1));
    AWAIT_BEATING(shards_count("alert WHERE resolved_us <> 0") == ORDERS);
    shards_expect(ORDERS, ORDERS);
    second = alert_shards_close(second);
}
END_TEST

/* ---- silence ---- */

START_TEST(a_silent_source_is_told)
{
    struct alert_shards_options options = shards_options(300 * SECOND_US);
    struct alert_shards *shards;

    /* Of partitions that are no more, as of a topic that was made anew with fewer: they are forgotten. */
    pg_fixture_run(shards_fixture.conninfo,
                   "INSERT INTO alert_source SELECT 'order-svc', shard, 1, 1, true"
                   " FROM generate_series(%d, %d) AS shard",
                   SHARDS_PARTITIONS, SHARDS_PARTITIONS + 3);
    options.silent_us = 3 * SECOND_US;
    ck_assert_int_eq(alert_shards_open(&options, &shards), ERR_OK);
    AWAIT_BEATING(shards_count("alert_source WHERE NOT is_silent") == 2 * SHARDS_PARTITIONS);
    AWAIT_BEATING(shards_count("alert_source") == 2 * SHARDS_PARTITIONS);
    AWAIT(usleep(100 * 1000) == 0 &&
              (kafka_news_beat_of(&shards_kafka, "order-svc", clock_now_us()), true) &&
              shards_count("alert_source WHERE is_silent AND source = 'account-svc'") ==
                  SHARDS_PARTITIONS,
          SHARDS_WAIT);
    ck_assert_int_eq(shards_count("alert_source WHERE is_silent"), SHARDS_PARTITIONS);
    AWAIT_BEATING(shards_count("alert_source WHERE NOT is_silent") == 2 * SHARDS_PARTITIONS);
    kafka_fixture_away(&shards_kafka.fixture, true); /* all of Kafka is */
    AWAIT(shards_count("alert_source WHERE is_silent") == 2 * SHARDS_PARTITIONS, SHARDS_WAIT);
    AWAIT(!alert_shards_hear(shards), SHARDS_WAIT);
    kafka_fixture_away(&shards_kafka.fixture, false);
    AWAIT_BEATING(shards_count("alert_source WHERE NOT is_silent") == 2 * SHARDS_PARTITIONS);
    AWAIT_BEATING(alert_shards_hear(shards));
    shards = alert_shards_close(shards);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("shard");

    tcase_add_test(cases, a_stale_owner_is_fenced);
    tcase_add_test(cases, partitions_move_between_members);
    tcase_add_test(cases, a_silent_source_is_told);
    return shards_check("alerts_shard_members", cases);
}
