/* News in, alerts out, once each, over restarts. What is an alert is in the tables of the rules; here it is whether it is
 * lost or doubled. */
#include "tests/support/alerts/alerts_shards.h"

/* ---- news in, alerts out ---- */

START_TEST(an_alert_is_raised_and_resolved)
{
    struct alert_shards *shards = shards_open(300 * SECOND_US);
    struct uuid wrong = shards_order_new(), right = shards_order_new();

    shards_send_waiting(1, wrong, shards_ago(400));
    shards_send_waiting(1, right, shards_ago(400));
    kafka_news_order(&shards_kafka, 1, right, 3, "PAID", shards_ago(399));
    AWAIT_BEATING(shards_count("alert WHERE rule = 'RULE_A'") == 1);
    kafka_news_order(&shards_kafka, 1, wrong, 3, "PAID", shards_ago(1));
    AWAIT_BEATING(shards_count("alert WHERE resolved_us <> 0") == 1);
    shards_expect(1, 1);
    shards = alert_shards_close(shards);
    shards = shards_open(300 * SECOND_US); /* and nothing comes of a restart */
    AWAIT_BEATING(shards_count("journal_shard WHERE epoch > 1") == SHARDS_PARTITIONS);
    kafka_news_order(&shards_kafka, 1, shards_order_new(), 1, "PENDING", shards_ago(0));
    AWAIT_BEATING(shards_count("journal_parked") == 1);
    shards_expect(1, 1);
    shards = alert_shards_close(shards);
}
END_TEST

/* What one source has not said yet may end the contradiction. */
START_TEST(no_alert_before_all_sources_have_spoken)
{
    struct alert_shards *shards = shards_open(300 * SECOND_US);
    struct uuid first = shards_order_new(), second = shards_order_new();

    shards_send_waiting(0, first, shards_ago(500));
    kafka_news_beat(&shards_kafka, shards_ago(450)); /* the end of its grace is 250 s later */
    kafka_news_beat_of(&shards_kafka, "account-svc", shards_ago(0));
    kafka_news_order(&shards_kafka, 1, second, 1, "PENDING", shards_ago(0));
    AWAIT(shards_count("journal_parked") == 2, SHARDS_WAIT); /* read, applied, idle */
    shards_expect(0, 0);
    kafka_news_order(&shards_kafka, 0, first, 3, "PAID",
                     shards_ago(300)); /* in time, after an outage */
    AWAIT_BEATING(shards_count("journal_final") == 1);
    shards_expect(0, 0);
    shards = alert_shards_close(shards);
}
END_TEST

START_TEST(what_cannot_be_read_is_a_dead_letter)
{
    struct alert_shards *shards = shards_open(300 * SECOND_US);
    const struct kafka_record damaged = { .topic = shards_kafka.fixture.topics[0],
                                          .partition = 2,
                                          .key = "k\xff",
                                          .value = "{\"orderId\":",
                                          .timestamp_ms = 1700000000000,
                                          .headers = { { .name = "ce_type",
                                                         .value = "sagamesh.order.paid.v1" },
                                                       { .name = "odd", .value = "\xfe\xff" } },
                                          .header_count = 2 };
    struct uuid id = shards_order_new();

    ck_assert_int_eq(kafka_send(shards_kafka.fixture.producer, &damaged, 1, 30000), ERR_OK);
    shards_send_waiting(2, id, shards_ago(400));
    AWAIT_BEATING(shards_count("alert") == 1); /* the next ones are read all the same */
    ck_assert_int_eq(
        shards_count("dead_letter WHERE part = 2 AND place = 0 AND reason LIKE 'ce_% %'"
                     " AND key = '\\x6bff' AND timestamp_ms = 1700000000000"),
        1);
    shards = alert_shards_close(shards);
}
END_TEST

/* ---- rows of orders ---- */

/* It is parked before its grace ends, and raised from its row. */
START_TEST(an_alert_of_a_parked_order)
{
    struct alert_shards *shards = shards_open(6 * SECOND_US);

    AWAIT_BEATING(shards_count("alert_source") == 2 * SHARDS_PARTITIONS); /* it reads */
    shards_send_waiting(3, shards_order_new(), shards_ago(0));
    AWAIT_BEATING(shards_count("journal_parked WHERE next_us > 0") == 1);
    ck_assert_int_eq(shards_count("alert"), 0);
    shards = alert_shards_close(shards); /* its time is known after a restart, too */
    shards = shards_open(6 * SECOND_US);
    AWAIT_BEATING(shards_count("alert") == 1);
    AWAIT_BEATING(shards_count("journal_parked WHERE phase = 'ALERT'") == 1);
    shards_expect(1, 0);
    shards = alert_shards_close(shards);
}
END_TEST

/* An order that is over is a final row; a success that comes late opens it again. Then it is over once more. */
START_TEST(a_late_success_opens_an_order_again)
{
    struct alert_shards *shards = shards_open(300 * SECOND_US);
    struct uuid id = shards_order_new();

    kafka_news_order(&shards_kafka, 0, id, 1, "PENDING", shards_ago(100));
    kafka_news_order(&shards_kafka, 0, id, 2, "WAITING_PAYMENT", shards_ago(99));
    kafka_news_order(&shards_kafka, 0, id, 3, "FAILED", shards_ago(50));
    AWAIT_BEATING(shards_count("journal_final") == 1);
    ck_assert_int_eq(shards_count("journal_parked"), 0);
    kafka_news_order(&shards_kafka, 0, id, 3, "FAILED", shards_ago(50)); /* says nothing new */
    kafka_news_payment(&shards_kafka, 0, id, 1, "SUCCEEDED", shards_ago(10));
    AWAIT_BEATING(shards_count("alert WHERE rule = 'RULE_C'") == 1);
    AWAIT_BEATING(shards_count("journal_parked") == 1);
    shards = alert_shards_close(shards); /* it is known to be open again */
    shards = shards_open(300 * SECOND_US);
    kafka_news_payment(&shards_kafka, 0, id, 2, "REFUNDED", shards_ago(1));
    AWAIT_BEATING(shards_count("alert WHERE resolved_us <> 0") == 1);
    AWAIT_BEATING(shards_count("journal_parked") == 0);
    ck_assert_int_eq(shards_count("journal_final"), 1);
    shards_expect(1, 1);
    shards = alert_shards_close(shards);
}
END_TEST

/* Pages that no order needs go, but for the last one, which has the offsets. */
START_TEST(pages_go_and_the_offsets_stay)
{
    struct alert_shards *shards = shards_open(300 * SECOND_US);

    kafka_news_order(&shards_kafka, 0, shards_order_new(), 1, "PENDING", shards_ago(0));
    AWAIT_BEATING(shards_count("journal_parked") == 1);
    AWAIT_BEATING(pg_fixture_int(shards_fixture.conninfo,
                                 "SELECT max(n) FROM (SELECT count(*) AS n FROM journal_page"
                                 " GROUP BY shard) s") <= 2 &&
                  shards_count("journal_page WHERE page > 3") > 0);
    shards = alert_shards_close(shards);
    ck_assert_int_eq(
        pg_fixture_int(shards_fixture.conninfo, "SELECT count(DISTINCT shard) FROM journal_page"),
        SHARDS_PARTITIONS);
    ck_assert_int_eq(
        shards_count(
            "(SELECT DISTINCT ON (shard) body FROM journal_page ORDER BY shard, page DESC) p"
            " WHERE body LIKE '%O %'"),
        SHARDS_PARTITIONS);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("shard");

    tcase_add_test(cases, an_alert_is_raised_and_resolved);
    tcase_add_test(cases, no_alert_before_all_sources_have_spoken);
    tcase_add_test(cases, what_cannot_be_read_is_a_dead_letter);
    tcase_add_test(cases, an_alert_of_a_parked_order);
    tcase_add_test(cases, a_late_success_opens_an_order_again);
    tcase_add_test(cases, pages_go_and_the_offsets_stay);
    return shards_check("alerts_shard", cases);
}
