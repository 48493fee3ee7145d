/* Dead letters on their way to a broker, which librdkafka has inside: what arrives on the topic of dead letters and on
 * the record's own, byte for byte, and that of two replicas one sends. */
#include "alerts/dead_letter.h"
#include "alerts/desk.h"
#include "alerts/letter_send.h"
#include "mesh/kafka/producer.h"
#include "tests/support/alerts/alerts_fixture.h"
#include "tests/support/metrics_text.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <pthread.h>
#include <string.h>

#define TOPIC "order-status-changed"
enum { PARTITIONS = 4, WAIT_MS = 20000 };

struct replica {
    struct alert_desk desk;
    struct pg *pg;
};

static rd_kafka_t *host; /* of the broker, and reads from it */
static rd_kafka_mock_cluster_t *cluster;
static struct replica replicas[2];
static struct metrics *metrics;

static void
replica_open(struct replica *replica, const char *brokers)
{
    const struct batch_options options = {
        .service = &alert_service, .conninfo = fixture.conninfo, .queue_max = 100, .batch_max = 100
    };

    *replica = (struct replica){ .desk = { .brokers = brokers, .metrics = metrics } };
    replica->desk.batch = batch_open(&options);
    replica->pg = pg_new(fixture.conninfo, "keeper-test", desk_statements);
    ck_assert_int_eq(pg_connect(replica->pg), ERR_OK);
}

static void
replica_close(struct replica *replica)
{
    replica->desk.producer = kafka_producer_free(replica->desk.producer);
    batch_stop(replica->desk.batch);
    replica->desk.batch = batch_close(replica->desk.batch);
    replica->pg = pg_free(replica->pg);
}

static void
begin(void)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char because[256];

    service_begin();
    pg_fixture_run(fixture.conninfo, "TRUNCATE dead_letter, op");
    rd_kafka_conf_set(conf, "test.mock.num.brokers", "1", because, sizeof because);
    rd_kafka_conf_set(conf, "group.id", "test", because, sizeof because);
    rd_kafka_conf_set(conf, "auto.offset.reset", "earliest", because, sizeof because);
    host = rd_kafka_new(RD_KAFKA_CONSUMER, conf, because, sizeof because);
    ck_assert_ptr_nonnull(host);
    cluster = rd_kafka_handle_mock_cluster(host);
    ck_assert_int_eq(rd_kafka_mock_topic_create(cluster, TOPIC, PARTITIONS, 1), 0);
    ck_assert_int_eq(rd_kafka_mock_topic_create(cluster, TOPIC ".dlq", PARTITIONS, 1), 0);
    metrics = metrics_new();
    for (int i = 0; i < 2; i++)
        replica_open(&replicas[i], rd_kafka_mock_cluster_bootstraps(cluster));
}

static void
end(void)
{
    for (int i = 0; i < 2; i++)
        replica_close(&replicas[i]);
    metrics = metrics_free(metrics);
    rd_kafka_destroy(host);
    service_end();
}

static void
run(struct replica *replica)
{
    struct arena *arena = arena_new();

    ck_assert_int_eq(letter_send(&replica->desk, replica->pg, arena), ERR_OK);
    arena_free(arena);
}

static void
expect(const char *sql, const char *text)
{
    char is[PG_FIXTURE_TEXT_BYTES];

    pg_fixture_text(fixture.conninfo, is, "%s", sql);
    ck_assert_msg(strcmp(is, text) == 0, "%s: %s and not %s", sql, is, text);
}

/* Reads a topic from its beginning. */
static void
read_from(const char *topic)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);

    for (int32_t i = 0; i < PARTITIONS; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    ck_assert_int_eq(rd_kafka_assign(host, list), 0);
    rd_kafka_topic_partition_list_destroy(list);
}

static rd_kafka_message_t *
next(void)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(host, WAIT_MS);

    ck_assert_ptr_nonnull(message);
    ck_assert_int_eq(message->err, 0);
    return message;
}

/* Header number i: its name and value, as text. */
static void
expect_header(const rd_kafka_message_t *message, size_t i, const char *name, const char *value)
{
    rd_kafka_headers_t *headers;
    const char *is_name;
    const void *is;
    size_t bytes;

    ck_assert_int_eq(rd_kafka_message_headers(message, &headers), 0);
    ck_assert_int_eq(rd_kafka_header_get_all(headers, i, &is_name, &is, &bytes), 0);
    ck_assert_str_eq(is_name, name);
    ck_assert_int_eq(is == NULL, value == NULL);
    if (value != NULL) {
        ck_assert_uint_eq(bytes, strlen(value));
        ck_assert_mem_eq(is, value, bytes);
    }
}

static void
expect_bytes(const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;

    ck_assert_uint_eq(message->len, 3);
    ck_assert_mem_eq(message->payload, "\xff\0x", 3);
    ck_assert_uint_eq(message->key_len, 3);
    ck_assert_mem_eq(message->key, "key", 3);
    ck_assert_int_eq(rd_kafka_message_timestamp(message, &type), 1700000000123);
}

START_TEST(a_dead_letter_goes_to_its_topic_of_dead_letters)
{
    rd_kafka_message_t *message;

    alerts_dead_letter(new_id(), TOPIC, 42);
    run(&replicas[0]);
    expect("SELECT due FROM dead_letter WHERE sent_us > 0 AND claimed_until_us = 0", "0");
    read_from(TOPIC ".dlq");
    message = next();
    expect_bytes(message);
    expect_header(message, 0, "dlq-reason", "it is no JSON");
    expect_header(message, 1, "dlq-topic", TOPIC);
    expect_header(message, 2, "dlq-partition", "3");
    expect_header(message, 3, "dlq-offset", "42");
    expect_header(message, 4, "ce_id", "7"); /* its own, behind them */
    expect_header(message, 5, "none", NULL);
    rd_kafka_message_destroy(message);
}
END_TEST

START_TEST(it_goes_to_its_own_topic_when_it_is_asked_for)
{
    char id_text[UUID_TEXT_BYTES + 1];
    struct uuid id = new_id();
    rd_kafka_message_t *message;

    alerts_dead_letter(id, TOPIC, 42);
    run(&replicas[0]);
    ck_assert_int_eq(service_do(pg, alerts_resend(new_id(), id, "ai", "mended"), NULL), ERR_OK);
    run(&replicas[1]);
    expect("SELECT due || ' ' || resends FROM dead_letter WHERE resent_us > 0", "0 1");
    read_from(TOPIC);
    message = next();
    expect_bytes(message);
    ck_assert_int_eq(message->partition, 3); /* where its order's news is */
    expect_header(message, 0, "dlq-resent", uuid_print(id, id_text));
    expect_header(message, 1, "ce_id", "7");
    rd_kafka_message_destroy(message);
}
END_TEST

/* No key is not an empty key, and a tombstone has no value. */
START_TEST(what_is_not_there_stays_away)
{
    rd_kafka_message_t *message;

    alerts_dead_letter(new_id(), TOPIC, 42);
    pg_fixture_run(fixture.conninfo, "UPDATE dead_letter SET key = NULL, value = NULL");
    run(&replicas[0]);
    read_from(TOPIC ".dlq");
    message = next();
    ck_assert_ptr_null(message->payload);
    ck_assert_ptr_null(message->key);
    rd_kafka_message_destroy(message);
}
END_TEST

static void *
send_main(void *replica)
{
    run(replica);
    return NULL;
}

/* How many records a topic has. */
static int64_t
count_of(const char *topic)
{
    int64_t count = 0;

    for (int32_t i = 0; i < PARTITIONS; i++) {
        int64_t low, high;

        ck_assert_int_eq(rd_kafka_query_watermark_offsets(host, topic, i, &low, &high, WAIT_MS), 0);
        count += high;
    }
    return count;
}

START_TEST(of_two_replicas_one_sends)
{
    pthread_t threads[2];

    for (int i = 0; i < 10; i++)
        alerts_dead_letter(new_id(), TOPIC, i);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, send_main, &replicas[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    expect("SELECT count(*) FROM dead_letter WHERE due = 0", "10");
    ck_assert_int_eq(count_of(TOPIC ".dlq"), 10);
}
END_TEST

/* Kafka takes one and not the other, which is too large: that one is tried again later. */
START_TEST(what_kafka_does_not_take_keeps_back_no_others)
{
    alerts_dead_letter(new_id(), TOPIC, 1);
    alerts_dead_letter(new_id(), TOPIC, 2);
    pg_fixture_run(fixture.conninfo,
                   "UPDATE dead_letter SET value = convert_to(repeat('x', 4000000), 'UTF8')"
                   " WHERE place = 1");
    run(&replicas[0]);
    expect("SELECT place FROM dead_letter WHERE due = 0", "2");
    expect("SELECT place FROM dead_letter WHERE due = 1 AND claimed_until_us > 0", "1");
    run(&replicas[1]); /* it is claimed */
    ck_assert_int_eq(count_of(TOPIC ".dlq"), 1);
    pg_fixture_run(fixture.conninfo, "UPDATE dead_letter SET value = '', claimed_until_us = 0");
    run(&replicas[1]);
    expect("SELECT count(*) FROM dead_letter WHERE due = 0", "2");
}
END_TEST

/* It would be refused for ever; once its value is small enough, an operator has it sent, there and to its own topic. */
START_TEST(what_kafka_always_refuses_is_given_up)
{
    struct uuid id = new_id();

    alerts_dead_letter(id, TOPIC, 1);
    pg_fixture_run(fixture.conninfo,
                   "UPDATE dead_letter SET value = convert_to(repeat('x', 4000000), 'UTF8')");
    for (int i = 0; i < LETTER_REFUSALS_MAX; i++) {
        expect("SELECT due FROM dead_letter WHERE refused_us = 0", "1");
        pg_fixture_run(fixture.conninfo, "UPDATE dead_letter SET claimed_until_us = 0");
        run(&replicas[i % 2]);
    }
    expect("SELECT refusal FROM dead_letter WHERE due = 0 AND refused_us > 0 AND sent_us = 0",
           TOPIC ".dlq: Broker: Message size too large");
    ck_assert(metric_shown(metrics, "sagamesh_alert_dead_letters_refused_total") == 1);
    pg_fixture_run(fixture.conninfo, "UPDATE dead_letter SET value = ''");
    run(&replicas[0]); /* nothing is due */
    ck_assert_int_eq(count_of(TOPIC ".dlq"), 0);
    ck_assert_int_eq(service_do(pg, alerts_resend(new_id(), id, "ai", "smaller"), NULL), ERR_OK);
    run(&replicas[0]);
    expect("SELECT due || refusal FROM dead_letter WHERE refused_us = 0 AND sent_us > 0 AND"
           " resent_us > 0",
           "0");
    ck_assert_int_eq(count_of(TOPIC ".dlq"), 1);
    ck_assert_int_eq(count_of(TOPIC), 1);
}
END_TEST

/* Until it is configured they wait, and nothing fails. */
START_TEST(without_kafka_they_wait)
{
    replicas[0].desk.brokers = "";
    alerts_dead_letter(new_id(), TOPIC, 1);
    run(&replicas[0]);
    expect("SELECT due FROM dead_letter WHERE claimed_until_us = 0", "1");
}
END_TEST

/* Old ones go; what is due, or was found lately, stays. */
START_TEST(old_letters_are_forgotten)
{
    const int64_t now_us = clock_now_us(), day_us = 86400 * SECOND_US;
    const struct keeper_task task = { .name = "forget", .sweep.statement = &letters_forget };

    alerts_dead_letter(uuid_v7(now_us - 46 * day_us), TOPIC, 1);
    alerts_dead_letter(uuid_v7(now_us - 44 * day_us), TOPIC, 2);
    alerts_dead_letter(uuid_v7(now_us - 47 * day_us), TOPIC, 3);
    pg_fixture_run(fixture.conninfo, "UPDATE dead_letter SET due = 0 WHERE place < 3");
    service_task_run(&task, ERR_OK);
    expect("SELECT string_agg(place::text, ' ' ORDER BY place) FROM dead_letter", "2 3");
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("dead letters");

    tcase_add_checked_fixture(cases, begin, end);
    tcase_add_test(cases, a_dead_letter_goes_to_its_topic_of_dead_letters);
    tcase_add_test(cases, it_goes_to_its_own_topic_when_it_is_asked_for);
    tcase_add_test(cases, what_is_not_there_stays_away);
    tcase_add_test(cases, of_two_replicas_one_sends);
    tcase_add_test(cases, what_kafka_does_not_take_keeps_back_no_others);
    tcase_add_test(cases, what_kafka_always_refuses_is_given_up);
    tcase_add_test(cases, without_kafka_they_wait);
    tcase_add_test(cases, old_letters_are_forgotten);
    return service_fixture_check(&alerts_parts, "alerts_letters", cases);
}
