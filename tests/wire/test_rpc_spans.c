/* Calls as spans, from a client of ours to a server of ours: alone and in an envelope, answered and refused. */
#include "mesh/base/json.h"
#include "mesh/observe/span.h"
#include "mesh/rpc/post.h"
#include "tests/support/observe/collector.h"
#include "tests/support/rpc/server_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define CALLER "00f067aa0ba902b7"
#define RESTOCK STORAGE "Restock"
#define ENVELOPE "sagamesh.batch.v1.BatchService/Call"

enum { ENVELOPED = 3, CALLS = ENVELOPED + 1, TIMEOUT_US = 100 * 1000 * 1000 };

static struct collector *collector;
static struct rpc_client *client;
static atomic_int answered;

static void
open_all(void)
{
    char text[64];
    struct rpc_client_options options = {
        .target = text, .is_mesh = true, .waiting_max = 64, .envelopes_max = 1
    };

    collector = collector_open();
    snprintf(text, sizeof text, "http://127.0.0.1:%d", collector_port(collector));
    ck_assert_int_eq(setenv("OTEL_EXPORTER_OTLP_ENDPOINT", text, 1), 0);
    ck_assert_int_eq(setenv("OTEL_BSP_SCHEDULE_DELAY", "600000", 1), 0);
    atomic_store(&answered, 0);
    set_up();
    span_open("test", "1");
    snprintf(text, sizeof text, "127.0.0.1:%d", rpc_server_port(server));
    ck_assert_int_eq(rpc_client_open(&options, &client), ERR_OK);
}

static void
close_all(void)
{
    collector_close(collector);
    unsetenv("OTEL_EXPORTER_OTLP_ENDPOINT");
    unsetenv("OTEL_BSP_SCHEDULE_DELAY");
}

static void
count_answer(void *owner, const void *context, const struct rpc_result *result,
             const ProtobufCMessage *reply)
{
    (void)owner, (void)context, (void)result, (void)reply;
    atomic_fetch_add(&answered, 1);
}

static void
post(int64_t quantity, const char *traceparent)
{
    uint8_t *bytes;
    size_t count = restock_pack("tea", quantity, &bytes);

    ck_assert(rpc_post(client, &(struct rpc_post){ .method = RESTOCK,
                                                   .packed = bytes,
                                                   .packed_bytes = count,
                                                   .timeout_us = TIMEOUT_US,
                                                   .attempts_max = 1,
                                                   .traceparent = traceparent,
                                                   .done = count_answer }));
}

/* All spans that were sent, when everything is closed; the caller's to decref. */
static json_t *
spans_read(void)
{
    const char *body;
    struct problem problem;
    json_t *json, *spans, *kept;
    size_t bytes;

    client = rpc_client_close(client);
    take_down();
    span_close(60 * 1000);
    ck_assert_uint_eq(collector_count(collector), 1);
    body = collector_body(collector, 0, &bytes);
    ck_assert_int_eq(json_read(body, bytes, "body", &problem, &json), ERR_OK);
    ck_assert_int_eq(
        json_unpack(json, "{s:[{s:[{s:o}]}]}", "resourceSpans", "scopeSpans", "spans", &spans), 0);
    kept = json_incref(spans);
    json_decref(json);
    return kept;
}

static const char *
text_of(const json_t *span, const char *member)
{
    const char *text = json_string_value(json_object_get(span, member));

    return text == NULL ? "" : text;
}

static bool
is_error(const json_t *span)
{
    return json_is_integer(json_object_get(json_object_get(span, "status"), "code"));
}

static int
kind_of(const json_t *span)
{
    return (int)json_integer_value(json_object_get(span, "kind"));
}

/* The only span with this member; NULL: there is none. */
static const json_t *
span_find(const json_t *spans, const char *member, const char *text, const char *name, int kind)
{
    const json_t *found = NULL, *span;
    size_t i;

    json_array_foreach(spans, i, span)
    {
        if (strcmp(text_of(span, member), text) == 0 && strcmp(text_of(span, "name"), name) == 0 &&
            kind_of(span) == kind) {
            ck_assert_ptr_null(found);
            found = span;
        }
    }
    return found;
}

/* The id of the span that it has a link to; "" where there is none. */
static const char *
link_of(const json_t *span)
{
    return text_of(json_array_get(json_object_get(span, "links"), 0), "spanId");
}

/* The gate is closed until one call is with the server and the others wait for it: they go in one envelope. */
START_TEST(calls_alone_and_in_an_envelope)
{
    const json_t *sent, *envelope_sent, *envelope_answered;
    int enveloped = 0, errors_sent = 0, errors_answered = 0, count = 0;
    json_t *spans;
    size_t i;

    pthread_mutex_lock(&gate);
    post(1, "00-" TRACE "-" CALLER "-01");
    wait_submitted(1);
    for (int64_t n = 0; n < ENVELOPED; n++)
        post(n == 0 ? -1 : n, "00-" TRACE "-" CALLER "-01"); /* the stub refuses what is below 0 */
    pthread_mutex_unlock(&gate);
    AWAIT(atomic_load(&answered) == CALLS, 60);
    spans = spans_read();
    envelope_sent = span_find(spans, "parentSpanId", "", ENVELOPE, SPAN_CLIENT);
    ck_assert_ptr_nonnull(envelope_sent);
    envelope_answered =
        span_find(spans, "parentSpanId", text_of(envelope_sent, "spanId"), ENVELOPE, SPAN_SERVER);
    ck_assert_ptr_nonnull(envelope_answered);
    ck_assert_str_ne(text_of(envelope_sent, "traceId"), TRACE); /* it has a trace of its own */
    json_array_foreach(spans, i, sent)
    {
        const json_t *served;

        if (strcmp(text_of(sent, "name"), RESTOCK) != 0 || kind_of(sent) != SPAN_CLIENT)
            continue;
        served = span_find(spans, "parentSpanId", text_of(sent, "spanId"), RESTOCK, SPAN_SERVER);
        ck_assert_ptr_nonnull(served);
        ck_assert_str_eq(text_of(sent, "parentSpanId"), CALLER);
        ck_assert_str_eq(text_of(sent, "traceId"), TRACE);
        ck_assert_str_eq(text_of(served, "traceId"), TRACE);
        errors_sent += is_error(sent);
        errors_answered += is_error(served);
        count++;
        if (link_of(sent)[0] == '\0')
            continue;
        ck_assert_str_eq(link_of(sent), text_of(envelope_sent, "spanId"));
        ck_assert_str_eq(link_of(served), text_of(envelope_answered, "spanId"));
        enveloped++;
    }
    ck_assert_int_eq(count, CALLS);
    ck_assert_int_eq(enveloped, ENVELOPED);
    ck_assert_int_eq(errors_sent, 1);     /* a refusal is the caller's error, */
    ck_assert_int_eq(errors_answered, 0); /* and not the server's */
    json_decref(spans);
}
END_TEST

/* A call that is not sampled, in the same envelope, leaves no span; one without a trace begins one at the server. */
START_TEST(what_is_not_sampled_leaves_nothing)
{
    const json_t *first;
    json_t *spans;

    pthread_mutex_lock(&gate);
    post(1, "00-" TRACE "-" CALLER "-00");
    wait_submitted(1);
    post(1, "00-" TRACE "-" CALLER "-00");
    post(1, NULL);
    pthread_mutex_unlock(&gate);
    AWAIT(atomic_load(&answered) == 3, 60);
    spans = spans_read();
    ck_assert_uint_eq(json_array_size(spans), 1);
    first = json_array_get(spans, 0);
    ck_assert_str_eq(text_of(first, "name"), RESTOCK);
    ck_assert_int_eq(kind_of(first), SPAN_SERVER);
    ck_assert_str_eq(text_of(first, "parentSpanId"), "");
    ck_assert_str_ne(text_of(first, "traceId"), TRACE);
    json_decref(spans);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("spans");

    tcase_add_checked_fixture(cases, open_all, close_all);
    tcase_add_test(cases, calls_alone_and_in_an_envelope);
    tcase_add_test(cases, what_is_not_sampled_leaves_nothing);
    return check_run("rpc_spans", cases);
}
