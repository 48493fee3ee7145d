/* Metrics as text, and added to by many threads at once. */
#include "mesh/observe/metrics.h"
#include "tests/support/check.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct metric_row asked = { "shop_asked_total", METRIC_COUNTER,   METRIC_NUMBER,  "Asked.",  { "method", "route" } };
static const struct metric_row took  = { "took_seconds",  METRIC_HISTOGRAM, METRIC_SECONDS, "Took.",   { "route" } };
static const struct metric_row bare  = { "bare_seconds",  METRIC_HISTOGRAM, METRIC_SECONDS, "Bare.",   { NULL } };
static const struct metric_row off   = { "shop_off_seconds", METRIC_GAUGE,     METRIC_SECONDS, "Off.",    { "clock" } };
static const struct metric_row ended = { "end_seconds",   METRIC_HISTOGRAM, METRIC_LONG_SECONDS, "Ended.", { NULL } };
static const struct metric_row full  = { "disk_bytes",    METRIC_GAUGE,     METRIC_NUMBER,  "Full.",   { NULL } };
static const struct metric_row made  = { "make_info",     METRIC_INFO,      METRIC_NUMBER,  "Made.",   { "version" } };
static const struct metric_row ran   = { "ran_seconds_total", METRIC_COUNTER, METRIC_SECONDS, "Ran.",  { NULL } };
static const struct metric_row fit   = { "shop_fit",         METRIC_GAUGE,     METRIC_NUMBER,  "Fit.",    { NULL } };
/* clang-format on */

static struct metrics *metrics;

static void
set_up(void)
{
    metrics = metrics_new();
}

static void
tear_down(void)
{
    metrics = metrics_free(metrics);
}

static struct metric_series *
one(const struct metric_row *row, const char *value)
{
    return metrics_series(metrics, row, &value);
}

static void
expect_in(enum metrics_format format, const char *wanted)
{
    size_t bytes;
    char *text = metrics_show(metrics, format, &bytes);

    ck_assert_uint_eq(bytes, strlen(text));
    ck_assert_str_eq(text, wanted);
    free(text);
}

static void
expect(const char *wanted)
{
    expect_in(METRICS_TEXT, wanted);
}

START_TEST(nothing_is_an_empty_text)
{
    expect("");
    expect_in(METRICS_OPEN, "# EOF\n");
}
END_TEST

START_TEST(counters_and_labels)
{
    const char *const get[] = { "GET", "/a" }, *const odd[] = { "P\"\\", "/\n" };

    ck_assert(metric_add(metrics_series(metrics, &asked, get), 2));
    ck_assert(metric_add(metrics_series(metrics, &asked, odd), 1));
    ck_assert(!metric_add(metrics_series(metrics, &asked, get), 3));
    ck_assert_ptr_eq(metrics_series(metrics, &asked, get), metrics_series(metrics, &asked, get));
    expect("# HELP shop_asked_total Asked.\n"
           "# TYPE shop_asked_total counter\n"
           "shop_asked_total{method=\"GET\",route=\"/a\"} 5\n"
           "shop_asked_total{method=\"P\\\"\\\\\",route=\"/\\n\"} 1\n");
}
END_TEST

START_TEST(gauges_go_when_they_are_forgotten)
{
    metric_set(one(&off, "own"), -1500000);
    metric_set(one(&off, "peer"), 3000000);
    metric_set(metrics_series(metrics, &fit, NULL), 0);
    expect("# HELP shop_off_seconds Off.\n"
           "# TYPE shop_off_seconds gauge\n"
           "shop_off_seconds{clock=\"own\"} -1.5\n"
           "shop_off_seconds{clock=\"peer\"} 3\n"
           "# HELP shop_fit Fit.\n"
           "# TYPE shop_fit gauge\n"
           "shop_fit 0\n");
    metrics_forget(metrics, &off);
    metric_set(one(&off, "peer"), -1);
    expect("# HELP shop_off_seconds Off.\n"
           "# TYPE shop_off_seconds gauge\n"
           "shop_off_seconds{clock=\"peer\"} -0.000001\n"
           "# HELP shop_fit Fit.\n"
           "# TYPE shop_fit gauge\n"
           "shop_fit 0\n");
}
END_TEST

/* A value on a bound is in its bucket; buckets hold those before them. */
START_TEST(histogram_is_shown)
{
    static const int64_t values[] = { 0, 5000, 5001, 10000000, 10000001 };

    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        metric_observe(one(&took, "/a"), values[i]);
    expect("# HELP took_seconds Took.\n"
           "# TYPE took_seconds histogram\n"
           "took_seconds_bucket{route=\"/a\",le=\"0.005\"} 2\n"
           "took_seconds_bucket{route=\"/a\",le=\"0.01\"} 3\n"
           "took_seconds_bucket{route=\"/a\",le=\"0.025\"} 3\n"
           "took_seconds_bucket{route=\"/a\",le=\"0.05\"} 3\n"
           "took_seconds_bucket{route=\"/a\",le=\"0.075\"} 3\n"
           "took_seconds_bucket{route=\"/a\",le=\"0.1\"} 3\n"
           "took_seconds_bucket{route=\"/a\",le=\"0.25\"} 3\n"
           "took_seconds_bucket{route=\"/a\",le=\"0.5\"} 3\n"
           "took_seconds_bucket{route=\"/a\",le=\"0.75\"} 3\n"
           "took_seconds_bucket{route=\"/a\",le=\"1\"} 3\n"
           "took_seconds_bucket{route=\"/a\",le=\"2.5\"} 3\n"
           "took_seconds_bucket{route=\"/a\",le=\"5\"} 3\n"
           "took_seconds_bucket{route=\"/a\",le=\"7.5\"} 3\n"
           "took_seconds_bucket{route=\"/a\",le=\"10\"} 4\n"
           "took_seconds_bucket{route=\"/a\",le=\"+Inf\"} 5\n"
           "took_seconds_sum{route=\"/a\"} 20.010002\n"
           "took_seconds_count{route=\"/a\"} 5\n");
}
END_TEST

START_TEST(histogram_without_labels)
{
    size_t bytes;
    char *text;

    metric_observe(metrics_series(metrics, &bare, NULL), 1000000);
    text = metrics_show(metrics, METRICS_TEXT, &bytes);
    ck_assert_ptr_nonnull(strstr(text, "bare_seconds_bucket{le=\"+Inf\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(text, "bare_seconds_sum 1\nbare_seconds_count 1\n"));
    free(text);
}
END_TEST

START_TEST(one_bucket_ends_at_a_minute)
{
    size_t bytes;
    char *text;

    metric_observe(metrics_series(metrics, &ended, NULL), 60000000);
    metric_observe(metrics_series(metrics, &ended, NULL), 60000001);
    text = metrics_show(metrics, METRICS_TEXT, &bytes);
    ck_assert_ptr_nonnull(strstr(text, "\nend_seconds_bucket{le=\"60\"} 1\n"));
    free(text);
    text = metrics_show(metrics, METRICS_OPEN, &bytes);
    ck_assert_ptr_nonnull(strstr(text, "\nend_seconds_bucket{le=\"60.0\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nend_seconds_bucket{le=\"5.0\"} 0\n"));
    free(text);
}
END_TEST

/* Where the formats differ: names of families, units, the end. */
START_TEST(open_metrics_are_shown)
{
    metric_add(metrics_series(metrics, &asked, (const char *const[]){ "GET", "/a" }), 5);
    metric_add(metrics_series(metrics, &ran, NULL), 1500000);
    metric_set(metrics_series(metrics, &full, NULL), 7);
    metric_set(one(&made, "1.2"), 1);
    expect_in(METRICS_OPEN, "# HELP shop_asked Asked.\n"
                            "# TYPE shop_asked counter\n"
                            "shop_asked_total{method=\"GET\",route=\"/a\"} 5\n"
                            "# HELP ran_seconds Ran.\n"
                            "# TYPE ran_seconds counter\n"
                            "# UNIT ran_seconds seconds\n"
                            "ran_seconds_total 1.5\n"
                            "# HELP disk_bytes Full.\n"
                            "# TYPE disk_bytes gauge\n"
                            "# UNIT disk_bytes bytes\n"
                            "disk_bytes 7\n"
                            "# HELP make Made.\n"
                            "# TYPE make info\n"
                            "make_info{version=\"1.2\"} 1\n"
                            "# EOF\n");
}
END_TEST

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"

static const struct {
    const char *name, *traceparent;
    bool is_example;
} traces[] = {
    { "sampled", "00-" TRACE "-00f067aa0ba902b7-01", true },
    { "sampled, and the id is random", "00-" TRACE "-00f067aa0ba902b7-03", true },
    { "not sampled", "00-" TRACE "-00f067aa0ba902b7-00", false },
    { "random only", "00-" TRACE "-00f067aa0ba902b7-02", false },
    { "none", "", false },
    { "none at all", NULL, false },
};

/* An example stands behind its own bucket, and in OpenMetrics only. */
START_TEST(a_sampled_request_is_an_example)
{
    struct metric_series *series = metrics_series(metrics, &bare, NULL);
    size_t bytes;
    char *text;

    metric_observe(series, 1);
    metric_observe_traced(series, 6000, traces[_i].traceparent);
    text = metrics_show(metrics, METRICS_TEXT, &bytes);
    ck_assert_ptr_null(strstr(text, TRACE));
    ck_assert_ptr_nonnull(strstr(text, "bare_seconds_bucket{le=\"0.01\"} 2\n"));
    free(text);
    text = metrics_show(metrics, METRICS_OPEN, &bytes);
    ck_assert_ptr_nonnull(strstr(text, "bare_seconds_bucket{le=\"0.005\"} 1\n"));
    if (traces[_i].is_example)
        ck_assert_ptr_nonnull(
            strstr(text, "bare_seconds_bucket{le=\"0.01\"} 2 # {trace_id=\"" TRACE "\"} 0.006 "));
    else
        ck_assert_ptr_null(strstr(text, TRACE));
    free(text);
}
END_TEST

/* A unit says where buckets end. */
START_TEST(buckets_are_those_of_the_unit)
{
    static const struct {
        struct metric_row row;
        int64_t value;
        const char *below, *at, *sum;
    } rows[] = {
        { { "calls", METRIC_HISTOGRAM, METRIC_NUMBER, "Calls.", { NULL } },
          3,
          "calls_bucket{le=\"2\"} 0\n",
          "calls_bucket{le=\"4\"} 1\n",
          "calls_sum 3\n" },
        { { "wait_seconds", METRIC_HISTOGRAM, METRIC_LONG_SECONDS, "Wait.", { NULL } },
          60000000,
          "wait_seconds_bucket{le=\"30\"} 0\n",
          "wait_seconds_bucket{le=\"60\"} 1\n",
          "wait_seconds_sum 60\n" },
        { { "page_bytes", METRIC_HISTOGRAM, METRIC_BYTES, "Page.", { NULL } },
          5000,
          "page_bytes_bucket{le=\"4096\"} 0\n",
          "page_bytes_bucket{le=\"16384\"} 1\n",
          "page_bytes_sum 5000\n" },
    };
    size_t bytes;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text;

        metric_observe(metrics_series(metrics, &rows[i].row, NULL), rows[i].value);
        text = metrics_show(metrics, METRICS_TEXT, &bytes);
        ck_assert_ptr_nonnull(strstr(text, rows[i].below));
        ck_assert_ptr_nonnull(strstr(text, rows[i].at));
        ck_assert_ptr_nonnull(strstr(text, rows[i].sum));
        free(text);
    }
}
END_TEST

/* What has no series yet is announced; a gauge is there once it was added to. */
START_TEST(metrics_are_declared_before_they_have_series)
{
    metrics_declare(metrics, &off);
    metrics_declare(metrics, &off);
    metric_add(metrics_series(metrics, &fit, NULL), 0);
    expect("# HELP shop_off_seconds Off.\n"
           "# TYPE shop_off_seconds gauge\n"
           "# HELP shop_fit Fit.\n"
           "# TYPE shop_fit gauge\n"
           "shop_fit 0\n");
}
END_TEST

START_TEST(members_of_a_struct_are_series)
{
    static const struct metric_field fields[] = {
        { { "shop_in_total", METRIC_COUNTER, METRIC_NUMBER, "In.", { "port" } }, 0 },
        { { "shop_out_total", METRIC_COUNTER, METRIC_NUMBER, "Out.", { "port" } },
          sizeof(int64_t) },
    };
    static const char *const port = "a";

    metrics_set_fields(metrics, fields, 2, &port, (const int64_t[]){ 4, 5 });
    expect("# HELP shop_in_total In.\n"
           "# TYPE shop_in_total counter\n"
           "shop_in_total{port=\"a\"} 4\n"
           "# HELP shop_out_total Out.\n"
           "# TYPE shop_out_total counter\n"
           "shop_out_total{port=\"a\"} 5\n");
}
END_TEST

/* Labels may be a stranger's: there is an end to their number and their length. */
START_TEST(series_have_a_limit)
{
    char name[METRIC_LABEL_BYTES_MAX + 2];

    memset(name, '"', sizeof name); /* each is escaped */
    name[METRIC_LABEL_BYTES_MAX] = '\0';
    ck_assert_ptr_nonnull(one(&off, name));
    name[METRIC_LABEL_BYTES_MAX] = '"';
    name[METRIC_LABEL_BYTES_MAX + 1] = '\0';
    ck_assert_ptr_null(one(&off, name));
    for (int i = 1; i < METRIC_SERIES_MAX; i++) {
        snprintf(name, sizeof name, "%d", i);
        ck_assert_ptr_nonnull(one(&off, name));
    }
    ck_assert_ptr_null(one(&off, "one more"));
    ck_assert_ptr_nonnull(one(&off, "1")); /* one that is there already */
    ck_assert(!metric_add(NULL, 1));
    metric_set(NULL, 1);
    metric_observe(NULL, 1);
}
END_TEST

static void
read_counter(void *owner, struct metrics *of)
{
    int64_t *count = owner;

    metric_set(metrics_series(of, &fit, NULL), ++*count);
}

START_TEST(readers_are_asked_until_they_end)
{
    int64_t count = 0, other = 0;

    metrics_read(metrics, read_counter, &count);
    expect("# HELP shop_fit Fit.\n# TYPE shop_fit gauge\nshop_fit 1\n");
    expect("# HELP shop_fit Fit.\n# TYPE shop_fit gauge\nshop_fit 2\n");
    metrics_read(metrics, read_counter, &other);
    metrics_read_end(metrics, &count);
    expect("# HELP shop_fit Fit.\n# TYPE shop_fit gauge\nshop_fit 1\n");
    ck_assert_int_eq(count, 2);
}
END_TEST

enum { THREADS = 4, TIMES = 10000 };

static void *
add_many(void *unused)
{
    static const char *const names[] = { "a", "b", "c" };

    (void)unused;
    for (int i = 0; i < TIMES; i++) {
        const char *const values[] = { "GET", names[i % 3] };

        metric_add(metrics_series(metrics, &asked, values), 1);
        metric_observe_traced(one(&took, names[i % 3]), 1, traces[0].traceparent);
        if (i % 1000 == 0) {
            size_t bytes;

            free(metrics_show(metrics, i % 2000 == 0 ? METRICS_TEXT : METRICS_OPEN, &bytes));
        }
    }
    return NULL;
}

START_TEST(threads_lose_nothing)
{
    pthread_t threads[THREADS];
    int64_t sum = 0;
    size_t bytes;
    char *text;

    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    text = metrics_show(metrics, METRICS_TEXT, &bytes);
    for (const char *at = text; (at = strstr(at, "shop_asked_total{")) != NULL; at++)
        sum += atoi(strchr(at, ' '));
    ck_assert_int_eq(sum, THREADS * TIMES);
    free(text);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("all");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, nothing_is_an_empty_text);
    tcase_add_test(tests, counters_and_labels);
    tcase_add_test(tests, gauges_go_when_they_are_forgotten);
    tcase_add_test(tests, histogram_is_shown);
    tcase_add_test(tests, histogram_without_labels);
    tcase_add_test(tests, buckets_are_those_of_the_unit);
    tcase_add_test(tests, metrics_are_declared_before_they_have_series);
    tcase_add_test(tests, members_of_a_struct_are_series);
    tcase_add_test(tests, one_bucket_ends_at_a_minute);
    tcase_add_test(tests, open_metrics_are_shown);
    tcase_add_loop_test(tests, a_sampled_request_is_an_example, 0, ROWS(traces));
    tcase_add_test(tests, series_have_a_limit);
    tcase_add_test(tests, readers_are_asked_until_they_end);
    tcase_add_test(tests, threads_lose_nothing);
    return check_run("observe_metrics", tests);
}
