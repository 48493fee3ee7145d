/* What alerts-svc does by itself, on a real PostgreSQL: people are told over real sockets, once for each alert and state
 * and destination; a source that is silent is one alert, whatever replicas see it. */
#include "alerts/desk.h"
#include "alerts/notice_send.h"
#include "alerts/rule.h"
#include "alerts/silence.h"
#include "mesh/ask/signature.h"
#include "tests/support/alerts/alerts_fixture.h"
#include "tests/support/alerts/receiver.h"
#include "tests/support/metrics_text.h"

#include <curl/curl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define PAGER_TOLD "sagamesh_alert_notices_total{destination=\"pager\",outcome="
#define SILENT_ALERTS(what) "sagamesh_alerts_" what "_total{rule=\"RELAY_SILENT\"}"
enum { SILENT_S = 60 };

/* As one replica of the program has it. */
struct replica {
    struct alert_desk desk;
    struct pg *pg;
};

static struct receiver receiver;
static struct metrics *metrics;
static struct notify notify;
static struct replica replicas[2];

static void
replica_open(struct replica *replica)
{
    const struct batch_options options = {
        .service = &alert_service, .conninfo = fixture.conninfo, .queue_max = 100, .batch_max = 100
    };

    *replica = (struct replica){ .desk = { .notify = &notify,
                                           .brokers = "",
                                           .metrics = metrics,
                                           .silent_us = SILENT_S * SECOND_US,
                                           .began_us = clock_steady_us() } };
    replica->desk.batch = batch_open(&options);
    replica->pg = pg_new(fixture.conninfo, "keeper-test", desk_statements);
    ck_assert_int_eq(pg_connect(replica->pg), ERR_OK);
    ck_assert_int_eq(silence_sources_read("order-svc,account-svc", &replica->desk), ERR_OK);
}

static void
replica_close(struct replica *replica)
{
    batch_stop(replica->desk.batch);
    replica->desk.batch = batch_close(replica->desk.batch);
    replica->pg = pg_free(replica->pg);
}

static void
destination(size_t i, const char *name, enum notify_form form)
{
    struct notify_destination *to = &notify.destinations[i];

    snprintf(to->name, sizeof to->name, "%s", name);
    snprintf(to->url, sizeof to->url, "http://127.0.0.1:%d/%s", receiver.port, name);
    to->form = form;
    to->is_told_raised = to->is_told_resolved = true;
    ck_assert(signature_key_read(SECRET, &to->key));
}

static void
begin(void)
{
    service_begin();
    pg_fixture_run(fixture.conninfo,
                   "TRUNCATE alert, repair, notice, dead_letter, alert_source, silence, event, op");
    receiver_open(&receiver);
    metrics = metrics_new();
    memset(&notify, 0, sizeof notify);
    destination(0, "pager", NOTIFY_STANDARD_WEBHOOKS);
    destination(1, "chat", NOTIFY_SLACK);
    notify.count = 2;
    for (int i = 0; i < 2; i++)
        replica_open(&replicas[i]);
}

static void
end(void)
{
    for (int i = 0; i < 2; i++)
        replica_close(&replicas[i]);
    receiver_close(&receiver);
    metrics = metrics_free(metrics);
    service_end();
}

static void
run(struct replica *replica, enum error (*task)(void *owner, struct pg *pg, struct arena *arena))
{
    struct arena *arena = arena_new();

    ck_assert_int_eq(task(&replica->desk, replica->pg, arena), ERR_OK);
    arena_free(arena);
}

static struct uuid
alert_id(uint8_t number)
{
    struct uuid id = { { 0x88, 0x63, 0x13, 0xe1, 0x3b, 0x8a, 0x53, 0x72, 0x9b } };

    id.bytes[15] = number;
    return id;
}

static void
expect(const char *sql, const char *text)
{
    char is[PG_FIXTURE_TEXT_BYTES];

    pg_fixture_text(fixture.conninfo, is, "%s", sql);
    ck_assert_msg(strcmp(is, text) == 0, "%s: %s and not %s", sql, is, text);
}

/* ---- notices ---- */

/* As a receiver does who follows the specification. */
static void
verify(const struct received *request, const char *webhook_id)
{
    char id[512], timestamp[512], signature[512], wanted[SIGNATURE_TEXT_BYTES + 1];
    struct signature_key key;
    int64_t seconds;

    ck_assert_ptr_nonnull(received_header(request, "webhook-id", id));
    ck_assert_ptr_nonnull(received_header(request, "webhook-timestamp", timestamp));
    ck_assert_ptr_nonnull(received_header(request, "webhook-signature", signature));
    ck_assert_str_eq(id, webhook_id);
    seconds = strtoll(timestamp, NULL, 10);
    ck_assert(llabs(seconds - clock_now_us() / SECOND_US) < 300);
    ck_assert(signature_key_read(SECRET, &key));
    ck_assert(signature_print(&key, id, timestamp, request->body, strlen(request->body), wanted));
    ck_assert_str_eq(signature, wanted);
}

START_TEST(people_are_told_once)
{
    json_t *body;

    notify.count = 1;
    alerts_raise(alert_id(1), "RULE_A", 1000);
    alerts_notice(alert_id(1), "raised", "pager", clock_now_us());
    for (int i = 0; i < 3; i++)
        run(&replicas[i % 2], notice_send);
    ck_assert_uint_eq(receiver_count(&receiver), 1);
    verify(&receiver.requests[0], "886313e1-3b8a-5372-9b00-000000000001-raised");
    body = json_loads(receiver.requests[0].body, 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(body, "type")), "alert.raised");
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(body, "data"), "status")),
                     "raised");
    ck_assert_uint_eq(strlen(json_string_value(json_object_get(body, "timestamp"))), 27);
    json_decref(body);
    /* Its end is told too, under another id. */
    alerts_resolve(alert_id(1), 2000);
    alerts_notice(alert_id(1), "resolved", "pager", clock_now_us());
    run(&replicas[0], notice_send);
    ck_assert_uint_eq(receiver_count(&receiver), 2);
    verify(&receiver.requests[1], "886313e1-3b8a-5372-9b00-000000000001-resolved");
    expect("SELECT count(*) FROM notice WHERE is_sent AND next_us = 0 AND attempts = 1", "2");
}
END_TEST

START_TEST(slack_gets_a_text)
{
    char type[512];
    json_t *body;

    alerts_raise(alert_id(1), "RULE_C", 1000);
    pg_fixture_run(fixture.conninfo, "UPDATE alert SET subject = '<!channel> & co'");
    alerts_notice(alert_id(1), "raised", "chat", clock_now_us());
    run(&replicas[0], notice_send);
    ck_assert_uint_eq(receiver_count(&receiver), 1);
    ck_assert_str_eq(received_header(&receiver.requests[0], "content-type", type),
                     "application/json");
    body = json_loads(receiver.requests[0].body, 0, NULL);
    ck_assert_uint_eq(json_object_size(body), 1);
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_object_get(body, "text")), "&lt;!channel&gt; &amp; co"));
    json_decref(body);
}
END_TEST

/* Two replicas at once: one has the lease. */
static void *
send_main(void *replica)
{
    run(replica, notice_send);
    return NULL;
}

START_TEST(replicas_do_not_both_tell)
{
    pthread_t threads[2];

    for (uint8_t i = 0; i < 10; i++) {
        alerts_raise(alert_id(i), "RULE_A", 1000);
        alerts_notice(alert_id(i), "raised", i % 2 == 0 ? "pager" : "chat", clock_now_us());
    }
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, send_main, &replicas[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(receiver_count(&receiver), 10);
    expect("SELECT count(*) FROM notice WHERE is_sent AND attempts = 1", "10");
}
END_TEST

#define STATUS(line) "HTTP/1.1 " line "\r\nContent-Length: 0\r\nConnection: close\r\n"

/* clang-format off */
static const struct {
    const char *what, *answer;
    int64_t wait_s; /* until the next attempt; 0: there is none */
} failures[] = {
    { "a receiver in trouble",    STATUS("500 Internal Server Error") "\r\n",              5   },
    { "one that is gone",         STATUS("410 Gone") "\r\n",                               0   },
    { "one that has moved",       STATUS("302 Found") "Location: http://127.0.0.1:1/\r\n\r\n", 5 },
    { "one that wants quiet",     STATUS("429 Too Many Requests") "Retry-After: 90\r\n\r\n", 90 },
    { "a short while",            STATUS("503 Service Unavailable") "Retry-After: 1\r\n\r\n", 5 },
    { "one that hangs up",        NULL,                                                    5   },
    { "what is no HTTP",          "hello\r\n\r\n",                                         5   },
};
/* clang-format on */

START_TEST(what_was_not_taken_is_told_again)
{
    char sql[512];

    receiver_answer(&receiver, failures[_i].answer);
    alerts_raise(alert_id(1), "RULE_A", 1000);
    alerts_notice(alert_id(1), "raised", "pager", clock_now_us());
    run(&replicas[0], notice_send);
    ck_assert_uint_eq(receiver_count(&receiver), 1);
    if (failures[_i].wait_s == 0) {
        expect("SELECT count(*) FROM notice WHERE next_us = 0 AND NOT is_sent AND trouble <> ''",
               "1");
        ck_assert(metric_shown(metrics, PAGER_TOLD "\"given_up\"}") == 1);
        return;
    }
    /* Between its wait and a little more, for a machine that stands still. */
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM notice WHERE next_us - made_us >= %lld AND next_us <="
             " extract(epoch FROM now()) * 1000000 + %lld AND trouble <> '' AND NOT is_sent",
             (long long)(failures[_i].wait_s * SECOND_US),
             (long long)(failures[_i].wait_s * SECOND_US));
    expect(sql, "1");
    run(&replicas[1], notice_send); /* it is not due yet */
    ck_assert_uint_eq(receiver_count(&receiver), 1);
    pg_fixture_run(fixture.conninfo, "UPDATE notice SET next_us = 1");
    run(&replicas[1], notice_send);
    ck_assert_uint_eq(receiver_count(&receiver), 2);
    verify(&receiver.requests[1], "886313e1-3b8a-5372-9b00-000000000001-raised");
    expect("SELECT attempts || trouble FROM notice WHERE is_sent AND next_us = 0", "2");
    ck_assert(metric_shown(metrics, PAGER_TOLD "\"retried\"}") == 1);
    ck_assert(metric_shown(metrics, PAGER_TOLD "\"sent\"}") == 1);
}
END_TEST

/* A sender that ended after it asked leaves its lease; then the receiver hears it once more, under the same id. */
START_TEST(a_sender_that_ends_leaves_its_lease)
{
    alerts_raise(alert_id(1), "RULE_A", 1000);
    alerts_notice(alert_id(1), "raised", "pager", clock_now_us());
    pg_fixture_run(fixture.conninfo, "UPDATE notice SET lease = 1, attempts = 1,"
                                     " next_us = extract(epoch FROM now()) * 1000000 + 30000000");
    run(&replicas[0], notice_send);
    ck_assert_uint_eq(receiver_count(&receiver), 0);
    pg_fixture_run(fixture.conninfo, "UPDATE notice SET next_us = 1");
    run(&replicas[0], notice_send);
    ck_assert_uint_eq(receiver_count(&receiver), 1);
    expect("SELECT lease FROM notice WHERE is_sent", "2");
}
END_TEST

START_TEST(a_destination_that_was_taken_out_is_over)
{
    alerts_raise(alert_id(1), "RULE_A", 1000);
    alerts_notice(alert_id(1), "raised", "nobody", clock_now_us());
    run(&replicas[0], notice_send);
    expect("SELECT trouble FROM notice WHERE next_us = 0 AND NOT is_sent",
           "its destination is configured no more");
}
END_TEST

/* ---- silence ---- */

/* What shard 0 says of a source, some seconds ago. */
static void
hear(const char *source, int shard, bool is_silent, int checked_ago_s)
{
    pg_fixture_run(fixture.conninfo,
                   "INSERT INTO alert_source SELECT '%s', %d, now_us - 1000000, now_us - %d *"
                   " 1000000::bigint, %s FROM (SELECT (extract(epoch FROM now()) *"
                   " 1000000)::bigint AS now_us) AS c ON CONFLICT (source, shard) DO UPDATE SET"
                   " checked_us = excluded.checked_us, is_silent = excluded.is_silent",
                   source, shard, checked_ago_s, is_silent ? "true" : "false");
}

/* A look after another one that saw the same SILENCE_SEEN_US ago. */
static void
look(struct replica *replica)
{
    run(replica, silence_look);
    for (size_t i = 0; i < replica->desk.source_count; i++) {
        if (replica->desk.sources[i].silent_since_us != 0)
            replica->desk.sources[i].silent_since_us -= SILENCE_SEEN_US;
    }
    run(replica, silence_look);
}

START_TEST(a_silent_source_is_one_alert)
{
    hear("order-svc", 0, false, 0);
    hear("order-svc", 1, true, 0);
    hear("account-svc", 0, false, 0);
    hear("account-svc", 1, false, 0);
    run(&replicas[0], silence_look); /* the first look proves nothing */
    expect("SELECT count(*) FROM alert", "0");
    for (int i = 0; i < 4; i++)
        look(&replicas[i % 2]);
    expect("SELECT rule || ' ' || subject FROM alert", "RELAY_SILENT order-svc");
    expect("SELECT type || ' ' || version || ' ' || (payload::json ->> 'source') FROM event",
           "relay_silent.raised 1 order-svc");
    expect("SELECT count(*) FROM notice WHERE state = 'raised'", "2");
    expect("SELECT count(*) FROM alert_check()", "0");
    hear("order-svc", 1, false, 0);
    for (int i = 0; i < 2; i++)
        look(&replicas[i]);
    expect("SELECT count(*) FROM alert WHERE resolved_us > 0", "1");
    expect("SELECT string_agg(type, ' ' ORDER BY version) FROM event",
           "relay_silent.raised relay_silent.resolved");
    expect("SELECT count(*) FROM notice WHERE state = 'resolved'", "2");
    expect("SELECT count(*) FROM alert_check()", "0");
    /* Silent once more: another alert. */
    hear("order-svc", 1, true, 0);
    look(&replicas[0]);
    expect("SELECT count(*) FROM alert WHERE resolved_us = 0", "1");
    expect("SELECT count(*) FROM alert", "2");
    ck_assert(metric_shown(metrics, SILENT_ALERTS("raised")) == 2);
    ck_assert(metric_shown(metrics, SILENT_ALERTS("resolved")) == 1);
}
END_TEST

static void *
look_main(void *replica)
{
    run(replica, silence_look);
    return NULL;
}

START_TEST(two_replicas_raise_one_alert)
{
    pthread_t threads[2];

    hear("order-svc", 0, true, 0);
    hear("account-svc", 0, false, 0);
    for (int i = 0; i < 2; i++) {
        run(&replicas[i], silence_look);
        replicas[i].desk.sources[0].silent_since_us -= SILENCE_SEEN_US;
    }
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, look_main, &replicas[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    expect("SELECT count(*) FROM alert", "1");
    expect("SELECT count(*) FROM event", "1");
}
END_TEST

/* A partition that nobody reads hears nothing, and says nothing. */
START_TEST(a_partition_that_nobody_reads_is_silent)
{
    hear("order-svc", 0, false, 0);
    hear("order-svc", 1, false, SILENT_S + 25);
    hear("account-svc", 0, false, 0);
    look(&replicas[0]);
    expect("SELECT count(*) FROM alert", "0");
    hear("order-svc", 1, false, SILENT_S + 35);
    look(&replicas[0]);
    expect("SELECT subject FROM alert", "order-svc");
}
END_TEST

START_TEST(without_any_shard_all_are_silent_after_a_while)
{
    look(&replicas[0]);
    expect("SELECT count(*) FROM alert", "0");
    replicas[0].desk.began_us -= (SILENT_S + 31) * SECOND_US;
    look(&replicas[0]);
    expect("SELECT string_agg(subject, ' ' ORDER BY subject) FROM alert", "account-svc order-svc");
}
END_TEST

/* Who is waited for no more keeps no alert open. */
START_TEST(a_source_that_was_taken_out_is_resolved)
{
    hear("order-svc", 0, true, 0);
    hear("account-svc", 0, false, 0);
    look(&replicas[0]);
    expect("SELECT count(*) FROM alert WHERE resolved_us = 0", "1");
    ck_assert_int_eq(silence_sources_read("account-svc", &replicas[0].desk), ERR_OK);
    look(&replicas[0]);
    expect("SELECT count(*) FROM alert WHERE resolved_us > 0", "1");
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    bool is_silent[4];
    int64_t at_s[4]; /* of looks */
    bool is_raised;  /* at the last one */
} steps[] = {
    { "silent for long enough",    { true, true, true, true },  { 1, 2, 3, 4 },    true  },
    { "a look too early",          { false, true, true, true }, { 1, 2, 3, 4 },    false },
    { "heard in between",          { true, false, true, true }, { 1, 2, 3, 4 },    false },
    { "looks that lie far apart",  { true, true, true, true },  { 1, 11, 21, 31 }, false },
    { "it stood still at last",    { true, true, true, true },  { 1, 2, 3, 33 },   false },
    { "it speaks",                 { true, true, true, false }, { 1, 2, 3, 4 },    false },
};
/* clang-format on */

START_TEST(silence_must_be_seen_for_a_while)
{
    struct desk_source source = { .name = "order-svc" };
    bool is_raised = false;

    for (int i = 0; i < 4; i++)
        is_raised = silence_step(&source, steps[_i].is_silent[i], steps[_i].at_s[i] * SECOND_US);
    ck_assert_msg(is_raised == steps[_i].is_raised, "%s", steps[_i].what);
}
END_TEST

/* clang-format off */
static const struct {
    const char *list;
    size_t count; /* 0: it is refused */
} lists[] = {
    { "order-svc", 1 }, { "a,b,c", 3 }, { "a, b ,c", 3 }, { ",a", 0 }, { "a,,b", 0 },
    { "0123456789012345678901234567890123456789012345678901234567890123", 1 },
    { "01234567890123456789012345678901234567890123456789012345678901234", 0 },
};
/* clang-format on */

START_TEST(sources_are_read)
{
    struct alert_desk desk = { .source_count = 0 };

    ck_assert_msg((silence_sources_read(lists[_i].list, &desk) == ERR_OK) == (lists[_i].count > 0),
                  "%s", lists[_i].list);
    if (lists[_i].count > 0)
        ck_assert_uint_eq(desk.source_count, lists[_i].count);
}
END_TEST

int
main(void)
{
    TCase *told = check_case("notices"), *silent = check_case("silence");

    curl_global_init(CURL_GLOBAL_DEFAULT);
    tcase_add_checked_fixture(told, begin, end);
    tcase_add_test(told, people_are_told_once);
    tcase_add_test(told, slack_gets_a_text);
    tcase_add_test(told, replicas_do_not_both_tell);
    tcase_add_loop_test(told, what_was_not_taken_is_told_again, 0, ROWS(failures));
    tcase_add_test(told, a_sender_that_ends_leaves_its_lease);
    tcase_add_test(told, a_destination_that_was_taken_out_is_over);
    tcase_add_checked_fixture(silent, begin, end);
    tcase_add_test(silent, a_silent_source_is_one_alert);
    tcase_add_test(silent, two_replicas_raise_one_alert);
    tcase_add_test(silent, a_partition_that_nobody_reads_is_silent);
    tcase_add_test(silent, without_any_shard_all_are_silent_after_a_while);
    tcase_add_test(silent, a_source_that_was_taken_out_is_resolved);
    tcase_add_loop_test(silent, silence_must_be_seen_for_a_while, 0, ROWS(steps));
    tcase_add_loop_test(silent, sources_are_read, 0, ROWS(lists));
    return service_fixture_check(&alerts_parts, "alerts_tasks", told, silent);
}
