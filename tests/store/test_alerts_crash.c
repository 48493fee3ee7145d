/* Senders that end, as by kill -9, at each point between what they do outside and what they write down. What they sent is
 * sent once more by another one, and nothing stays behind. This program is its own victim: letter_send.c and notice_send.c
 * are built into it with crash points, and it runs itself again as a process that ends at one. */
#include "alerts/desk.h"
#include "alerts/letter_send.h"
#include "alerts/notice_send.h"
#include "mesh/kafka/conf.h"
#include "tests/support/alerts/alerts_fixture.h"
#include "tests/support/alerts/receiver.h"
#include "tests/support/kafka/kafka_fixture.h"

#include <curl/curl.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOPIC "order-status-changed"
enum { ASK_MS = 20000 };

static struct kafka_fixture kafka;
static rd_kafka_t *looker; /* at what the broker has */
static struct receiver receiver;

/* A run of one task, as a replica of its own does it. */
static enum error
run_task(const char *task, const char *conninfo, const char *brokers, int port)
{
    const struct batch_options options = {
        .service = &alert_service, .conninfo = conninfo, .queue_max = 100, .batch_max = 100
    };
    struct notify notify = { .count = 1 };
    struct notify_destination *to = &notify.destinations[0];
    struct alert_desk desk = { .notify = &notify, .brokers = brokers };
    struct arena *arena = arena_new();
    struct pg *own = pg_new(conninfo, "keeper-test", desk_statements);
    enum error error;

    strcpy(to->name, "pager");
    snprintf(to->url, sizeof to->url, "http://127.0.0.1:%d/", port);
    to->form = NOTIFY_SLACK;
    to->is_told_raised = true;
    desk.batch = batch_open(&options);
    error = pg_connect(own);
    if (error == ERR_OK)
        error = (strcmp(task, "letter") == 0 ? letter_send : notice_send)(&desk, own, arena);
    desk.producer = kafka_producer_free(desk.producer);
    batch_stop(desk.batch);
    batch_close(desk.batch);
    pg_free(own);
    arena_free(arena);
    return error;
}

/* The same in a process that ends at the point, the first time that it passes it. */
static void
run_until(const char *task, const char *point)
{
    char port[16], where[64];
    int status;
    pid_t pid;

    snprintf(port, sizeof port, "%d", receiver.port);
    snprintf(where, sizeof where, "%s:1", point);
    setenv("MESH_CRASH_AT", where, 1);
    pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "test_alerts_crash", task, fixture.conninfo, kafka.brokers, port,
              (char *)NULL);
        _exit(127);
    }
    unsetenv("MESH_CRASH_AT");
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s: it did not end there",
                  point);
}

static void
run_again(const char *task)
{
    ck_assert_int_eq(run_task(task, fixture.conninfo, kafka.brokers, receiver.port), ERR_OK);
}

static void
begin(void)
{
    char because[256];

    service_begin();
    pg_fixture_run(fixture.conninfo, "TRUNCATE alert, notice, dead_letter, op");
    unsetenv("MESH_TEST_KAFKA"); /* a server keeps the topics of the test before */
    kafka_fixture_open(&kafka, 0);
    ck_assert_int_eq(rd_kafka_mock_topic_create(kafka.cluster, TOPIC ".dlq", 1, 1), 0);
    looker = rd_kafka_new(RD_KAFKA_PRODUCER, kafka_conf_new(kafka.brokers, "look"), because,
                          sizeof because);
    ck_assert_ptr_nonnull(looker);
    receiver_open(&receiver);
}

static void
end(void)
{
    receiver_close(&receiver);
    rd_kafka_destroy(looker);
    kafka_fixture_close(&kafka);
    service_end();
}

static long long
count_of(const char *what)
{
    return pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM %s", what);
}

static int64_t
sent_letters(void)
{
    int64_t low, high;

    ck_assert_int_eq(rd_kafka_query_watermark_offsets(looker, TOPIC ".dlq", 0, &low, &high, ASK_MS),
                     0);
    return high;
}

/* Kafka has it, and the row does not say so: its claim runs out. */
START_TEST(a_letter_that_was_sent)
{
    alerts_dead_letter(new_id(), TOPIC, 42);
    run_until("letter", "letter.after-send");
    ck_assert_int_eq(sent_letters(), 1);
    ck_assert_int_eq(count_of("dead_letter WHERE due = 1 AND claimed_until_us > 0"), 1);
    run_again("letter"); /* it is claimed */
    ck_assert_int_eq(sent_letters(), 1);
    pg_fixture_run(fixture.conninfo, "UPDATE dead_letter SET claimed_until_us = 1");
    run_again("letter");
    ck_assert_int_eq(sent_letters(), 2);
    ck_assert_int_eq(count_of("dead_letter WHERE due = 0 AND sent_us > 0"), 1);
}
END_TEST

/* clang-format off */
static const struct { const char *point; size_t heard; } notices[] = {
    { "notice.leased",    0 },
    { "notice.after-ask", 1 },
};
/* clang-format on */

START_TEST(a_notice_that_was_leased)
{
    struct uuid alert_id = new_id();

    alerts_raise(alert_id, "RULE_A", 1000);
    alerts_notice(alert_id, "raised", "pager", clock_now_us());
    run_until("notice", notices[_i].point);
    ck_assert_uint_eq(receiver_count(&receiver), notices[_i].heard);
    ck_assert_int_eq(count_of("notice WHERE lease = 1 AND NOT is_sent AND next_us > made_us"), 1);
    run_again("notice"); /* it is leased */
    ck_assert_uint_eq(receiver_count(&receiver), notices[_i].heard);
    pg_fixture_run(fixture.conninfo, "UPDATE notice SET next_us = 1");
    run_again("notice");
    ck_assert_uint_eq(receiver_count(&receiver), notices[_i].heard + 1);
    ck_assert_int_eq(count_of("notice WHERE lease = 2 AND is_sent AND next_us = 0"), 1);
}
END_TEST

int
main(int argc, char **argv)
{
    TCase *cases = check_case("crash");

    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (argc == 5)
        return run_task(argv[1], argv[2], argv[3], atoi(argv[4])) == ERR_OK ? 0 : 1;
    tcase_add_checked_fixture(cases, begin, end);
    tcase_add_test(cases, a_letter_that_was_sent);
    tcase_add_loop_test(cases, a_notice_that_was_leased, 0, ROWS(notices));
    return service_fixture_check(&alerts_parts, "alerts_crash", cases);
}
