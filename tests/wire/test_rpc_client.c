/* The client against a server that answers by script: what joins, what is told to whom, what is
 * retried, and that every request is answered exactly once. */
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/rpc/client.h"
#include "mesh/rpc/server.h"
#include "tests/support/check.h"
#include "tests/support/metrics_text.h"
#include "tests/support/rpc/fake_server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_US = 10 * 1000 * 1000, TEXT_BYTES = 64, ASKS_MAX = 64 };

#define TRACE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define NAME(method) "fake.Service/" method

/* A request of the test, and what came of it. */
struct ask {
    struct rpc_request request; /* first */
    struct rpc_result result;
    char reply[TEXT_BYTES];
    int done_count;
};

static struct fake_server *fake;
static struct rpc_client *client;
static struct metrics *metrics; /* of the client */
static struct ask asks[ASKS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER;

static void
ask_done(struct rpc_request *request, const struct rpc_result *result)
{
    struct ask *ask = (struct ask *)request;

    pthread_mutex_lock(&lock);
    ask->result = *result;
    if (result->code == WIRE_OK)
        snprintf(ask->reply, sizeof ask->reply, "%.*s", (int)result->reply_bytes,
                 (const char *)result->reply);
    ask->done_count++;
    pthread_cond_broadcast(&answered);
    pthread_mutex_unlock(&lock);
}

static struct ask *
ask_new(size_t index, const char *method, const char *text)
{
    struct ask *ask = &asks[index];

    memset(ask, 0, sizeof *ask);
    ask->request.method = method;
    ask->request.message = (const uint8_t *)text;
    ask->request.message_bytes = strlen(text);
    ask->request.timeout_us = PATIENCE_US;
    ask->request.attempts_max = 1;
    ask->request.done = ask_done;
    return ask;
}

static struct ask *
ask_send(size_t index, const char *method, const char *text)
{
    struct ask *ask = ask_new(index, method, text);

    rpc_client_send(client, &ask->request);
    return ask;
}

static void
ask_await(struct ask *ask)
{
    pthread_mutex_lock(&lock);
    while (ask->done_count == 0)
        pthread_cond_wait(&answered, &lock);
    pthread_mutex_unlock(&lock);
}

static void
client_open_with(struct rpc_client_options options)
{
    char address[32];

    snprintf(address, sizeof address, "127.0.0.1:%d", fake->port);
    options.target = address;
    options.metrics = metrics;
    ck_assert_int_eq(rpc_client_open(&options, &client), ERR_OK);
}

static void
open_both(void)
{
    log_open("test", LOG_ERROR);
    fake = fake_open(0);
    metrics = metrics_new();
    client_open_with(
        (struct rpc_client_options){ .is_mesh = true, .waiting_max = 64, .envelopes_max = 1 });
}

static void
close_both(void)
{
    client = rpc_client_close(client);
    metrics = metrics_free(metrics);
    fake_close(fake);
}

static void
client_reopen(struct rpc_client_options options)
{
    rpc_client_close(client);
    client_open_with(options);
}

/* The only message is under way: whatever comes now waits. */
static struct ask *
hold_the_line(void)
{
    struct ask *ask = ask_send(ASKS_MAX - 1, NAME("Hold"), "");

    fake_await_held(fake, 1);
    return ask;
}

#define DURATION(name, code)                                                                       \
    "rpc_client_call_duration_seconds_count{method=\"" NAME(name) "\",code=\"" code "\"}"

struct counters {
    uint64_t calls, envelopes, items, retries;
};

/* format has a place for the address. */
static double __attribute__((format(printf, 1, 0))) shown_of_peer(const char *format)
{
    char address[32], series[160];

    snprintf(address, sizeof address, "127.0.0.1:%d", fake->port);
    snprintf(series, sizeof series, format, address);
    return metric_shown(metrics, series);
}

static struct counters
counters(void)
{
    return (struct counters){
        .calls = (uint64_t)shown_of_peer(
            "sagamesh_rpc_client_messages_total{peer=\"%s\",kind=\"call\"}"),
        .envelopes = (uint64_t)shown_of_peer(
            "sagamesh_rpc_client_messages_total{peer=\"%s\",kind=\"envelope\"}"),
        .items = (uint64_t)shown_of_peer("sagamesh_rpc_client_items_total{peer=\"%s\"}"),
        .retries = (uint64_t)shown_of_peer("sagamesh_rpc_client_retries_total{peer=\"%s\"}"),
    };
}

START_TEST(lone_request_is_a_unary_call)
{
    struct ask *ask = ask_send(0, NAME("Echo"), "hello");

    ask_await(ask);
    ck_assert_int_eq(ask->result.code, WIRE_OK);
    ck_assert_str_eq(ask->reply, "hello");
    ck_assert_uint_eq(counters().calls, 1);
    ck_assert_uint_eq(counters().envelopes, 0);
}
END_TEST

START_TEST(what_waits_joins_up)
{
    char texts[10][8];

    hold_the_line();
    for (size_t i = 0; i < 10; i++) {
        snprintf(texts[i], sizeof texts[i], "no %zu", i);
        ask_send(i, NAME("Echo"), texts[i]);
    }
    fake_release(fake);
    for (size_t i = 0; i < 10; i++) {
        ask_await(&asks[i]);
        ck_assert_int_eq(asks[i].result.code, WIRE_OK);
        ck_assert_str_eq(asks[i].reply, texts[i]);
    }
    ck_assert_uint_eq(counters().calls, 1);
    ck_assert_uint_eq(counters().envelopes, 1);
    ck_assert_uint_eq(counters().items, 10);
}
END_TEST

START_TEST(foreign_service_gets_no_envelope)
{
    client_reopen((struct rpc_client_options){ .waiting_max = 64, .envelopes_max = 2 });
    for (size_t i = 0; i < 10; i++)
        ask_send(i, NAME("Echo"), "alone");
    for (size_t i = 0; i < 10; i++) {
        ask_await(&asks[i]);
        ck_assert_str_eq(asks[i].reply, "alone");
    }
    ck_assert_uint_eq(counters().calls, 10);
    ck_assert_uint_eq(counters().envelopes, 0);
}
END_TEST

START_TEST(alone_takes_no_place)
{
    struct ask *ask = ask_new(0, NAME("Echo"), "past them all");

    hold_the_line();
    ask->request.must_go_alone = true;
    rpc_client_send(client, &ask->request);
    ask_await(ask);
    ck_assert_str_eq(ask->reply, "past them all");
}
END_TEST

START_TEST(trace_goes_along)
{
    struct ask *unary = ask_new(0, NAME("Trace"), ""), *item = ask_new(1, NAME("Trace"), "");

    strcpy(unary->request.traceparent, TRACE);
    rpc_client_send(client, &unary->request);
    ask_await(unary);
    ck_assert_str_eq(unary->reply, TRACE);

    hold_the_line();
    strcpy(item->request.traceparent, TRACE);
    rpc_client_send(client, &item->request);
    ask_send(2, NAME("Trace"), "");
    fake_release(fake);
    ask_await(item);
    ask_await(&asks[2]);
    ck_assert_str_eq(item->reply, TRACE);
    ck_assert_str_eq(asks[2].reply, "");
    ck_assert_uint_eq(counters().items, 2);
}
END_TEST

/* The answers of the service, as the caller sees them. */
/* clang-format off */
static const struct {
    const char *method;
    enum wire_code code;
    const char *reason;
    bool nothing_done, is_stored;
    enum rpc_meaning meaning;
} answers[] = {
    { NAME("Echo"),         WIRE_OK,                  "",              false, false, RPC_DONE     },
    { NAME("Refuse"),       WIRE_FAILED_PRECONDITION, "NO_STOCK",      false, false, RPC_REFUSED  },
    { NAME("RefuseStored"), WIRE_FAILED_PRECONDITION, "NO_STOCK",      false, true,  RPC_REFUSED  },
    { NAME("Busy"),         WIRE_RESOURCE_EXHAUSTED,  "BUSY",          true,  false, RPC_NOT_DONE },
    { NAME("Uncertain"),    WIRE_UNKNOWN,             "UNCERTAIN",     false, false, RPC_UNKNOWN  },
    { NAME("Bare"),         WIRE_ABORTED,             "",              false, false, RPC_UNKNOWN  },
    { NAME("Strange"),      WIRE_UNKNOWN,             "",              false, false, RPC_UNKNOWN  },
    { NAME("Nonsense"),     WIRE_UNIMPLEMENTED,       "UNIMPLEMENTED", true,  false, RPC_NOT_DONE },
};
/* clang-format on */
enum { ANSWERS = sizeof answers / sizeof answers[0] };

static void
check_answer(const struct ask *ask, size_t row)
{
    const char *domain = answers[row].reason[0] != '\0' ? "sagamesh" : "";

    ck_assert_msg(ask->result.code == answers[row].code, "%s: %d", answers[row].method,
                  ask->result.code);
    ck_assert_str_eq(ask->result.reason, answers[row].reason);
    ck_assert_str_eq(ask->result.domain, domain);
    ck_assert_int_eq(ask->result.nothing_done, answers[row].nothing_done);
    ck_assert_int_eq(ask->result.is_stored, answers[row].is_stored);
    ck_assert_int_eq(ask->result.meaning, answers[row].meaning);
    ck_assert_int_eq(ask->done_count, 1);
}

START_TEST(answers_of_a_unary_call)
{
    struct ask *ask = ask_send(0, answers[_i].method, "x");

    ask_await(ask);
    check_answer(ask, (size_t)_i);
}
END_TEST

START_TEST(answers_of_items_reach_their_own_request)
{
    hold_the_line();
    for (size_t i = 0; i < ANSWERS; i++)
        ask_send(i, answers[i].method, "x");
    fake_release(fake);
    for (size_t i = 0; i < ANSWERS; i++) {
        ask_await(&asks[i]);
        check_answer(&asks[i], i);
    }
    ck_assert_uint_eq(counters().items, ANSWERS);
}
END_TEST

/* What the whole envelope's end means to its items. */
/* clang-format off */
static const struct {
    enum fake_batch batch;
    enum wire_code first, last; /* of the first and the last item */
    bool nothing_done;
} envelopes[] = {
    { BATCH_BUSY,    WIRE_RESOURCE_EXHAUSTED, WIRE_RESOURCE_EXHAUSTED, true  },
    { BATCH_LOST,    WIRE_UNAVAILABLE,        WIRE_UNAVAILABLE,        false },
    { BATCH_SHORT,   WIRE_OK,                 WIRE_INTERNAL,           false },
    { BATCH_GARBLED, WIRE_INTERNAL,           WIRE_INTERNAL,           false },
};
/* clang-format on */

START_TEST(envelope_ends_for_its_items)
{
    fake_set_batch(fake, envelopes[_i].batch);
    hold_the_line();
    for (size_t i = 0; i < 3; i++)
        ask_send(i, NAME("Echo"), "x");
    fake_release(fake);
    for (size_t i = 0; i < 3; i++)
        ask_await(&asks[i]);
    ck_assert_int_eq(asks[0].result.code, envelopes[_i].first);
    ck_assert_int_eq(asks[2].result.code, envelopes[_i].last);
    ck_assert_int_eq(asks[2].result.nothing_done, envelopes[_i].nothing_done);
}
END_TEST

START_TEST(busy_is_asked_again)
{
    struct ask *ask = ask_new(0, NAME("BusyTwice1"), "");

    ask->request.attempts_max = 5;
    rpc_client_send(client, &ask->request);
    ask_await(ask);
    ck_assert_str_eq(ask->reply, "at last");
    ck_assert_int_eq(ask->request.attempt, 3);
    ck_assert_uint_eq(counters().retries, 2);
    ck_assert(shown_of_peer("sagamesh_rpc_client_messages_total{peer=\"%s\",kind=\"call\"}") == 3);
    ck_assert(shown_of_peer("sagamesh_rpc_client_peer_up{peer=\"%s\"}") == 1);
    ck_assert(metric_shown(metrics, DURATION("BusyTwice1", "OK")) == 1); /* its last answer alone */
    ck_assert(metric_shown(metrics, DURATION("BusyTwice1", "RESOURCE_EXHAUSTED")) ==
              METRIC_NOT_SHOWN);
}
END_TEST

START_TEST(attempts_end)
{
    struct ask *ask = ask_new(0, NAME("BusyTwice1"), "");

    ask->request.attempts_max = 2;
    rpc_client_send(client, &ask->request);
    ask_await(ask);
    ck_assert_int_eq(ask->result.code, WIRE_RESOURCE_EXHAUSTED);
    ck_assert(ask->result.nothing_done);
    ck_assert_int_eq(ask->request.attempt, 2);
    ck_assert(metric_shown(metrics, DURATION("BusyTwice1", "RESOURCE_EXHAUSTED")) == 1);
}
END_TEST

START_TEST(refusal_is_not_asked_again)
{
    struct ask *ask = ask_new(0, NAME("Refuse"), "");

    ask->request.attempts_max = 5;
    rpc_client_send(client, &ask->request);
    ask_await(ask);
    ck_assert_int_eq(ask->request.attempt, 1);
}
END_TEST

/* "Nothing was done" is a word about one attempt; the one before may have been heard. */
START_TEST(unknown_is_sticky)
{
    struct ask *ask = ask_new(0, NAME("LostThenBusy2"), "");

    ask->request.attempts_max = 2;
    rpc_client_send(client, &ask->request);
    ask_await(ask);
    ck_assert_int_eq(ask->result.code, WIRE_RESOURCE_EXHAUSTED);
    ck_assert(ask->result.was_unknown);
    ck_assert(!ask->result.nothing_done);
}
END_TEST

START_TEST(deadline_of_a_unary_call)
{
    struct ask *ask = ask_new(0, NAME("Hold"), "");

    ask->request.timeout_us = 50 * 1000;
    rpc_client_send(client, &ask->request);
    ask_await(ask);
    ck_assert_int_eq(ask->result.code, WIRE_DEADLINE_EXCEEDED);
    ck_assert(!ask->result.nothing_done);
}
END_TEST

START_TEST(deadline_of_an_item_is_its_own)
{
    struct ask *soon = ask_new(0, NAME("Echo"), "soon"), *slow;

    hold_the_line();
    soon->request.timeout_us = 100 * 1000;
    rpc_client_send(client, &soon->request);
    slow = ask_send(1, NAME("Hold"), ""); /* keeps the envelope from coming back */
    fake_release(fake);
    fake_await_held(fake, 2);
    ask_await(soon);
    ck_assert_int_eq(soon->result.code, WIRE_DEADLINE_EXCEEDED);
    ck_assert(!soon->result.nothing_done);
    ck_assert_int_eq(slow->done_count, 0);
    fake_release(fake);
    ask_await(slow);
    ck_assert_int_eq(slow->result.code, WIRE_OK);
    ck_assert_int_eq(soon->done_count, 1);
}
END_TEST

START_TEST(deadline_may_pass_before_it_is_sent)
{
    struct ask *first = ask_new(0, NAME("Hold"), ""), *second = ask_new(1, NAME("Echo"), "");

    first->request.timeout_us = 60 * 1000;
    second->request.timeout_us = 20 * 1000;
    rpc_client_send(client, &first->request);
    fake_await_held(fake, 1);
    rpc_client_send(client, &second->request);
    ask_await(second);
    ck_assert_int_eq(second->result.code, WIRE_DEADLINE_EXCEEDED);
    ck_assert_str_eq(second->result.reason, "EXPIRED");
    ck_assert(second->result.nothing_done);
    ask_await(first);
}
END_TEST

START_TEST(full_is_an_answer)
{
    client_reopen(
        (struct rpc_client_options){ .is_mesh = true, .waiting_max = 3, .envelopes_max = 1 });
    hold_the_line();
    for (size_t i = 0; i < 5; i++)
        ask_send(i, NAME("Echo"), "x");
    for (size_t i = 3; i < 5; i++) {
        ask_await(&asks[i]);
        ck_assert_int_eq(asks[i].result.code, WIRE_RESOURCE_EXHAUSTED);
        ck_assert_str_eq(asks[i].result.reason, "BUSY");
        ck_assert(asks[i].result.nothing_done);
    }
    fake_release(fake);
    for (size_t i = 0; i < 3; i++) {
        ask_await(&asks[i]);
        ck_assert_int_eq(asks[i].result.code, WIRE_OK);
    }
}
END_TEST

/* Three of 600 KB wait; no two fit into an envelope. One over 1 MiB is refused. */
START_TEST(envelope_has_a_size)
{
    struct ask *large = ask_new(3, NAME("Echo"), "");
    size_t bytes = RPC_MESSAGE_BYTES_MAX + 1;
    char *text = memory_take(bytes + 1);

    memset(text, 'x', bytes);
    large->request.message = (uint8_t *)text;
    large->request.message_bytes = bytes;
    hold_the_line();
    for (size_t i = 0; i < 3; i++) {
        ask_new(i, NAME("Echo"), "")->request.message = (uint8_t *)text;
        asks[i].request.message_bytes = 600 << 10;
        rpc_client_send(client, &asks[i].request);
    }
    rpc_client_send(client, &large->request);
    fake_release(fake);
    for (size_t i = 0; i < 4; i++)
        ask_await(&asks[i]);
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq(asks[i].result.reply_bytes, 600 << 10);
    ck_assert_int_eq(large->result.code, WIRE_INVALID_ARGUMENT);
    ck_assert_uint_eq(counters().calls, 4);
    ck_assert_uint_eq(counters().envelopes, 0);
    free(text);
}
END_TEST

START_TEST(dead_server_is_told_at_once)
{
    int port = fake->port;
    int64_t start_us = clock_steady_us();
    struct ask *ask, *again, *behind;

    fake_close(fake);
    ask = ask_send(0, NAME("Echo"), "x");
    ask_await(ask);
    ck_assert_int_eq(ask->result.code, WIRE_UNAVAILABLE);
    ck_assert(!ask->result.nothing_done); /* gRPC does not say */
    ck_assert_int_lt(clock_steady_us() - start_us, patient_us(SECOND_US));

    /* When the one behind it is back, its first attempt has failed as well. */
    again = ask_new(1, NAME("Echo"), "found");
    again->request.attempts_max = 100;
    rpc_client_send(client, &again->request);
    behind = ask_send(2, NAME("Echo"), "x");
    ask_await(behind);
    fake = fake_open(port);
    ask_await(again);
    ck_assert_int_eq(again->result.code, WIRE_OK);
    ck_assert_str_eq(again->reply, "found");
    ck_assert_int_gt(again->request.attempt, 1);
}
END_TEST

START_TEST(restarted_server_is_found)
{
    int port = fake->port;
    struct ask *ask;

    ask_await(ask_send(0, NAME("Echo"), "x"));
    fake_close(fake);
    fake = fake_open(port);
    ask = ask_new(1, NAME("Echo"), "back");
    ask->request.attempts_max = 100;
    rpc_client_send(client, &ask->request);
    ask_await(ask);
    ck_assert_str_eq(ask->reply, "back");
}
END_TEST

/* Under way unary, waiting, alone, and waiting for a retry: all told, once. */
START_TEST(close_ends_everything)
{
    struct ask *retry = ask_new(0, NAME("Busy"), ""), *alone = ask_new(1, NAME("Hold"), "");
    struct ask *line;

    retry->request.attempts_max = 1000;
    rpc_client_send(client, &retry->request);
    alone->request.must_go_alone = true;
    rpc_client_send(client, &alone->request);
    fake_await_held(fake, 1);
    line = ask_send(2, NAME("Hold"), "");
    fake_await_held(fake, 2);
    for (size_t i = 3; i < 10; i++)
        ask_send(i, NAME("Echo"), "x");
    client = rpc_client_close(client);
    for (size_t i = 0; i < 10; i++) {
        ck_assert_int_eq(asks[i].done_count, 1);
        if (&asks[i] != retry) /* may just have been told BUSY, its last word when it closes */
            ck_assert_int_eq(asks[i].result.code, WIRE_CANCELLED);
    }
    ck_assert(!line->result.nothing_done);
    ck_assert(!alone->result.nothing_done);
    ck_assert(asks[9].result.nothing_done);
    ck_assert(retry->result.nothing_done);
}
END_TEST

/* ---- many threads ---- */

enum { THREADS = 4, PER_THREAD = 2000, AT_ONCE = 100 };

struct chain {
    struct rpc_request request; /* first */
    char text[16];
    int left;
};

static atomic_int chain_done, chain_wrong, chains_left;

/* Sends itself again from done(), until its chain is through. */
static void
chain_next(struct rpc_request *request, const struct rpc_result *result)
{
    struct chain *chain = (struct chain *)request;

    atomic_fetch_add(&chain_done, 1);
    if (result->code != WIRE_OK || result->reply_bytes != strlen(chain->text) ||
        memcmp(result->reply, chain->text, result->reply_bytes) != 0)
        atomic_fetch_add(&chain_wrong, 1);
    if (--chain->left > 0) {
        rpc_client_send(client, request);
        return;
    }
    pthread_mutex_lock(&lock);
    atomic_fetch_sub(&chains_left, 1);
    pthread_cond_broadcast(&answered);
    pthread_mutex_unlock(&lock);
}

static void *
chains_start(void *argument)
{
    struct chain *chains = argument;

    for (int i = 0; i < AT_ONCE; i++) {
        struct chain *chain = &chains[i];

        snprintf(chain->text, sizeof chain->text, "%p", (void *)chain);
        chain->left = PER_THREAD / AT_ONCE;
        chain->request.method = NAME("Echo");
        chain->request.message = (const uint8_t *)chain->text;
        chain->request.message_bytes = strlen(chain->text);
        chain->request.timeout_us = PATIENCE_US;
        chain->request.attempts_max = 1;
        chain->request.done = chain_next;
        rpc_client_send(client, &chain->request);
    }
    return NULL;
}

START_TEST(many_threads_each_get_their_answers)
{
    struct chain *chains = memory_take(THREADS * AT_ONCE * sizeof *chains);
    pthread_t threads[THREADS];

    client_reopen(
        (struct rpc_client_options){ .is_mesh = true, .waiting_max = 4096, .envelopes_max = 4 });
    atomic_store(&chains_left, THREADS * AT_ONCE);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, chains_start, &chains[i * AT_ONCE]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_lock(&lock);
    while (atomic_load(&chains_left) > 0)
        pthread_cond_wait(&answered, &lock);
    pthread_mutex_unlock(&lock);
    ck_assert_int_eq(atomic_load(&chain_done), THREADS * PER_THREAD);
    ck_assert_int_eq(atomic_load(&chain_wrong), 0);
    ck_assert_uint_eq(counters().calls + counters().items, THREADS * PER_THREAD);
    ck_assert_uint_gt(counters().items, counters().calls);
    free(chains);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("client");

    tcase_add_checked_fixture(tests, open_both, close_both);
    tcase_add_test(tests, lone_request_is_a_unary_call);
    tcase_add_test(tests, what_waits_joins_up);
    tcase_add_test(tests, foreign_service_gets_no_envelope);
    tcase_add_test(tests, alone_takes_no_place);
    tcase_add_test(tests, trace_goes_along);
    tcase_add_loop_test(tests, answers_of_a_unary_call, 0, ANSWERS);
    tcase_add_test(tests, answers_of_items_reach_their_own_request);
    tcase_add_loop_test(tests, envelope_ends_for_its_items, 0, ROWS(envelopes));
    tcase_add_test(tests, busy_is_asked_again);
    tcase_add_test(tests, attempts_end);
    tcase_add_test(tests, refusal_is_not_asked_again);
    tcase_add_test(tests, unknown_is_sticky);
    tcase_add_test(tests, deadline_of_a_unary_call);
    tcase_add_test(tests, deadline_of_an_item_is_its_own);
    tcase_add_test(tests, deadline_may_pass_before_it_is_sent);
    tcase_add_test(tests, full_is_an_answer);
    tcase_add_test(tests, envelope_has_a_size);
    tcase_add_test(tests, dead_server_is_told_at_once);
    tcase_add_test(tests, restarted_server_is_found);
    tcase_add_test(tests, close_ends_everything);
    tcase_add_test(tests, many_threads_each_get_their_answers);
    return check_run("client", tests);
}
