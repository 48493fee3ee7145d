/* Spans on their way: what is recorded, and what the exporter does with a collector that is well, slow, away
 * or full. */
#include "mesh/base/clock.h"
#include "mesh/observe/span.h"
#include "tests/support/check.h"
#include "tests/support/observe/collector.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define SAMPLED "00-" ID "-00f067aa0ba902b7-01"
#define NOT_SAMPLED "00-" ID "-00f067aa0ba902b7-00"

static struct collector *collector;

static void
variable(const char *name, const char *value)
{
    ck_assert_int_eq(setenv(name, value, 1), 0);
}

/* Where tests have one process, the next one begins without them. */
static void
forget_variables(void)
{
    extern char **environ;

    for (size_t i = 0; environ[i] != NULL;) {
        char name[64] = "";

        snprintf(name, sizeof name, "%.*s", (int)strcspn(environ[i], "="), environ[i]);
        if (strncmp(name, "OTEL_", 5) == 0)
            unsetenv(name);
        else
            i++;
    }
}

/* Batches only when they are full or at the end, unless a test says otherwise. */
static void
begin_collector(void)
{
    char url[64];

    collector = collector_open();
    snprintf(url, sizeof url, "http://127.0.0.1:%d", collector_port(collector));
    variable("OTEL_EXPORTER_OTLP_ENDPOINT", url);
    variable("OTEL_BSP_SCHEDULE_DELAY", "600000");
}

static void
end_collector(void)
{
    collector_close(collector);
    forget_variables();
}

static void
record(const char *name)
{
    char traceparent[] = SAMPLED;
    struct span span;

    span_begin(&span, traceparent);
    ck_assert(span_is_on(&span));
    span_end(&span, traceparent, &(struct span_note){ .kind = SPAN_INTERNAL, .name = name });
}

static struct span_counts
counts(void)
{
    struct span_counts counted;

    span_count(&counted);
    return counted;
}

static bool
has_body(size_t index, const char *part)
{
    size_t bytes;

    return strstr(collector_body(collector, index, &bytes), part) != NULL;
}

/* ---- what is recorded ---- */

START_TEST(without_a_collector_nothing_is_to_be_seen)
{
    char traceparent[] = SAMPLED, first[TRACE_PARENT_BYTES + 1] = "";
    char none[TRACE_PARENT_BYTES + 1] = "";
    struct mallinfo2 before, after;
    struct span span;

    forget_variables();
    variable("OTEL_TRACES_SAMPLER", "always_on");
    before = mallinfo2();
    span_open("test", "1.2.3");
    span_begin(&span, traceparent);
    ck_assert(!span_is_on(&span));
    span_end(&span, traceparent, &(struct span_note){ .kind = SPAN_SERVER, .name = "x" });
    span_begin(&span, none);
    span_begin_first(&span, first);
    ck_assert(!span_is_on(&span));
    span_end(&span, first, &(struct span_note){ .kind = SPAN_SERVER, .name = "x" });
    span_close(1000);
    after = mallinfo2();
    ck_assert_uint_eq(before.uordblks, after.uordblks);
    ck_assert_str_eq(traceparent, SAMPLED); /* passed on as it came */
    ck_assert_uint_eq(strlen(first), TRACE_PARENT_BYTES);
    ck_assert(!trace_is_sampled(first));
    ck_assert_uint_eq(counts().recorded, 0);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what, *sampler, *ratio;
    const char *parent; /* "": it begins here */
    bool is_stranger;
    bool is_recorded;
} decisions[] = {
    { "the default, a first",             NULL,                       NULL, "",          false, true  },
    { "the default, sampled",             NULL,                       NULL, SAMPLED,     false, true  },
    { "the default, not sampled",         NULL,                       NULL, NOT_SAMPLED, false, false },
    { "off, sampled by the parent",       "parentbased_always_off",   NULL, SAMPLED,     false, true  },
    { "off, a first",                     "parentbased_always_off",   NULL, "",          false, false },
    { "off for all",                      "always_off",               NULL, SAMPLED,     false, false },
    { "on for all",                       "always_on",                NULL, NOT_SAMPLED, false, true  },
    { "a ratio of 0, by the parent",      "parentbased_traceidratio", "0",  SAMPLED,     false, true  },
    { "a ratio of 0, a first",            "parentbased_traceidratio", "0",  "",          false, false },
    { "a ratio of 1, a first",            "parentbased_traceidratio", "1",  "",          false, true  },
    { "a ratio by the trace's id",        "traceidratio",           "0.63", NOT_SAMPLED, false, false },
    { "a ratio just above the id",        "traceidratio",           "0.64", NOT_SAMPLED, false, true  },
    { "a stranger's flag forces nothing", "parentbased_traceidratio", "0",  SAMPLED,     true,  false },
    { "nor does it forbid",               "parentbased_traceidratio", "1",  NOT_SAMPLED, true,  true  },
};
/* clang-format on */

START_TEST(the_sampler_decides)
{
    char traceparent[TRACE_PARENT_BYTES + 1], trace[TRACE_ID_BYTES + 1];
    struct span span;

    begin_collector();
    if (decisions[_i].sampler != NULL)
        variable("OTEL_TRACES_SAMPLER", decisions[_i].sampler);
    if (decisions[_i].ratio != NULL)
        variable("OTEL_TRACES_SAMPLER_ARG", decisions[_i].ratio);
    span_open("test", "1.2.3");
    ck_assert(spans_are_on());
    snprintf(traceparent, sizeof traceparent, "%s", decisions[_i].parent);
    if (decisions[_i].is_stranger || traceparent[0] == '\0')
        span_begin_first(&span, traceparent);
    else
        span_begin(&span, traceparent);
    ck_assert_msg(span_is_on(&span) == decisions[_i].is_recorded, "%s", decisions[_i].what);
    ck_assert(trace_is_sampled(traceparent) == decisions[_i].is_recorded); /* it is passed on */
    ck_assert(trace_id(traceparent, trace));
    if (decisions[_i].parent[0] != '\0')
        ck_assert_str_eq(trace, ID); /* also a stranger's */
    if (decisions[_i].is_recorded)
        ck_assert_str_eq(span.parent_id, decisions[_i].parent[0] == '\0' ? "" : "00f067aa0ba902b7");
    span_end(&span, traceparent, &(struct span_note){ .kind = SPAN_SERVER, .name = "x" });
    ck_assert_uint_eq(counts().recorded, decisions[_i].is_recorded);
    span_close(10000);
    ck_assert_uint_eq(collector_count(collector), decisions[_i].is_recorded);
    end_collector();
}
END_TEST

START_TEST(a_derived_id_is_the_same_each_time)
{
    char first[] = SAMPLED, second[] = SAMPLED, zero[] = SAMPLED;
    struct span span;

    begin_collector();
    span_open("test", "1.2.3");
    span_begin_as(&span, first, 0x123456789abcdef0);
    span_begin_as(&span, second, 0x123456789abcdef0);
    span_begin_as(&span, zero, 0);
    ck_assert_str_eq(first, "00-" ID "-123456789abcdef0-01");
    ck_assert_str_eq(first, second);
    ck_assert_str_eq(zero, "00-" ID "-0000000000000001-01"); /* all zeros is no id */
    span_close(10000);
    end_collector();
}
END_TEST

/* ---- how it is sent ---- */

START_TEST(a_stop_sends_what_is_there)
{
    begin_collector();
    span_open("test", "1.2.3");
    for (int i = 0; i < 3; i++)
        record(i == 2 ? "the third" : "one");
    ck_assert_uint_eq(collector_count(collector), 0);
    span_close(10000);
    ck_assert_uint_eq(collector_count(collector), 1);
    ck_assert(has_body(0, "\"name\":\"the third\""));
    ck_assert(has_body(0, "{\"stringValue\":\"test\"}"));
    ck_assert(has_body(0, "{\"stringValue\":\"1.2.3\"}"));
    ck_assert(has_body(0, "service.instance.id"));
    ck_assert_ptr_nonnull(strstr(collector_head(collector, 0), "POST /v1/traces HTTP/1.1\r\n"));
    ck_assert_ptr_nonnull(
        strstr(collector_head(collector, 0), "Content-Type: application/json\r\n"));
    end_collector();
}
END_TEST

START_TEST(a_full_batch_goes_at_once)
{
    begin_collector();
    variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "3");
    span_open("test", "1.2.3");
    for (int i = 0; i < 7; i++)
        record("one");
    AWAIT(counts().exported >= 6, 30);
    ck_assert_uint_ge(collector_count(collector), 2);
    span_close(10000);
    end_collector();
}
END_TEST

START_TEST(a_lone_span_goes_after_the_delay)
{
    begin_collector();
    variable("OTEL_BSP_SCHEDULE_DELAY", "50");
    span_open("test", "1.2.3");
    record("alone");
    AWAIT(counts().exported == 1, 30);
    span_close(10000);
    end_collector();
}
END_TEST

START_TEST(headers_and_gzip)
{
    unsigned char text[65536];
    z_stream stream = { .next_out = text, .avail_out = sizeof text - 1 };
    size_t bytes;

    begin_collector();
    variable("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip");
    variable("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc,x-tenant=shop");
    span_open("test", "1.2.3");
    for (int i = 0; i < 20; i++)
        record("packed");
    span_close(10000);
    ck_assert_ptr_nonnull(strstr(collector_head(collector, 0), "Content-Encoding: gzip\r\n"));
    ck_assert_ptr_nonnull(strstr(collector_head(collector, 0), "authorization: Bearer abc\r\n"));
    ck_assert_ptr_nonnull(strstr(collector_head(collector, 0), "x-tenant: shop\r\n"));
    stream.next_in = (unsigned char *)(uintptr_t)collector_body(collector, 0, &bytes);
    stream.avail_in = (unsigned)bytes;
    ck_assert_int_eq(inflateInit2(&stream, 15 + 16), Z_OK);
    ck_assert_int_eq(inflate(&stream, Z_FINISH), Z_STREAM_END);
    text[stream.total_out] = '\0';
    inflateEnd(&stream);
    ck_assert_ptr_nonnull(strstr((char *)text, "\"name\":\"packed\""));
    end_collector();
}
END_TEST

/* ---- collectors in trouble ---- */

/* clang-format off */
static const struct {
    int status;
    bool is_again;
} statuses[] = {
    { 429, true  }, { 502, true  }, { 503, true  }, { 504, true  },
    { 400, false }, { 401, false }, { 404, false }, { 413, false }, { 500, false }, { 501, false }, { 302, false },
};
/* clang-format on */

START_TEST(a_status_says_whether_to_ask_again)
{
    begin_collector();
    variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1");
    collector_answers(collector, statuses[_i].status, "", "");
    span_open("test", "1.2.3");
    record("first");
    AWAIT(collector_count(collector) >= 1, 30); /* it may have asked again */
    if (!statuses[_i].is_again)
        AWAIT(counts().failed == 1, 30);
    collector_answers(collector, 200, "", "{}");
    record("second");
    AWAIT(counts().exported == (statuses[_i].is_again ? 2 : 1), 60);
    ck_assert_uint_eq(counts().failed, !statuses[_i].is_again);
    ck_assert(has_body(1, statuses[_i].is_again ? "first" : "second"));
    span_close(10000);
    end_collector();
}
END_TEST

/* Two seconds are asked for, where the backoff alone would be 1.2 at most. */
START_TEST(retry_after_is_kept)
{
    int64_t refused_us;

    begin_collector();
    collector_answers(collector, 503, "Retry-After: 2", "");
    variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1");
    span_open("test", "1.2.3");
    refused_us = clock_steady_us();
    record("first");
    AWAIT(collector_count(collector) >= 1, 30); /* it may have asked again */
    collector_answers(collector, 200, "", "{}");
    AWAIT(counts().exported == 1, 60);
    ck_assert_int_ge(clock_steady_us() - refused_us, 2 * SECOND_US);
    span_close(10000);
    end_collector();
}
END_TEST

START_TEST(what_the_collector_rejects_is_counted)
{
    begin_collector();
    variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "3");
    collector_answers(
        collector, 200, "",
        "{\"partialSuccess\":{\"rejectedSpans\":\"2\",\"errorMessage\":\"too old\"}}");
    span_open("test", "1.2.3");
    for (int i = 0; i < 3; i++)
        record("x");
    AWAIT(counts().rejected == 2, 30);
    AWAIT(counts().exported == 1, 30);
    ck_assert_uint_eq(counts().failed, 0);
    span_close(10000);
    ck_assert_uint_eq(collector_count(collector), 1); /* not again */
    end_collector();
}
END_TEST

/* It reads and says nothing: the queue fills, the rest is dropped, each is counted, and nobody waits. */
START_TEST(a_collector_that_hangs_costs_spans_alone)
{
    enum { QUEUE = 8, SPANS = 1000 };
    int64_t stopped_us;
    struct span_counts counted;

    begin_collector();
    collector_answers(collector, 0, "", "");
    variable("OTEL_BSP_MAX_QUEUE_SIZE", "8");
    variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1");
    span_open("test", "1.2.3");
    record("x");
    AWAIT(collector_count(collector) == 1, 30);
    for (int i = 1; i < SPANS; i++)
        record("x");
    counted = counts();
    ck_assert_uint_eq(counted.recorded, QUEUE + 1); /* and one is under way */
    ck_assert_uint_eq(counted.queue_full, SPANS - QUEUE - 1);
    ck_assert_uint_eq(counted.exported + counted.failed + counted.rejected, 0);
    stopped_us = clock_steady_us();
    span_close(200); /* the request's own time would be 10 s */
    ck_assert_int_lt(clock_steady_us() - stopped_us, patient_us(5 * SECOND_US));
    end_collector();
}
END_TEST

/* After export_ms the batch is given up, and the next one is tried. */
START_TEST(a_collector_that_is_away_costs_a_batch_each)
{
    begin_collector();
    collector_close(collector);
    variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1");
    variable("OTEL_BSP_EXPORT_TIMEOUT", "100");
    span_open("test", "1.2.3");
    record("x");
    AWAIT(counts().failed == 1, 60);
    record("y");
    AWAIT(counts().failed == 2, 60);
    span_close(1000);
    forget_variables();
}
END_TEST

START_TEST(a_slow_answer_is_waited_for_at_the_stop)
{
    begin_collector();
    collector_answers(collector, 0, "", "");
    variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1");
    span_open("test", "1.2.3");
    record("x");
    AWAIT(collector_count(collector) == 1, 30);
    record("the last");
    collector_answers(collector, 200, "", "{}");
    span_close((int)(patient_us(30 * SECOND_US) / 1000));
    ck_assert_uint_eq(collector_count(collector), 2);
    ck_assert(has_body(1, "the last"));
    end_collector();
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("spans");

    tcase_add_test(cases, without_a_collector_nothing_is_to_be_seen);
    tcase_add_loop_test(cases, the_sampler_decides, 0, ROWS(decisions));
    tcase_add_test(cases, a_derived_id_is_the_same_each_time);
    tcase_add_test(cases, a_stop_sends_what_is_there);
    tcase_add_test(cases, a_full_batch_goes_at_once);
    tcase_add_test(cases, a_lone_span_goes_after_the_delay);
    tcase_add_test(cases, headers_and_gzip);
    tcase_add_loop_test(cases, a_status_says_whether_to_ask_again, 0, ROWS(statuses));
    tcase_add_test(cases, retry_after_is_kept);
    tcase_add_test(cases, what_the_collector_rejects_is_counted);
    tcase_add_test(cases, a_collector_that_hangs_costs_spans_alone);
    tcase_add_test(cases, a_collector_that_is_away_costs_a_batch_each);
    tcase_add_test(cases, a_slow_answer_is_waited_for_at_the_stop);
    return check_run("observe_span", cases);
}
