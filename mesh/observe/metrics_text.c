/* metrics_text.c -- Metrics as text, in two formats that differ in details only.
 *
 *     0.0.4         # TYPE shop_asked_total counter     shop_asked_total 5
 *     OpenMetrics   # TYPE shop_asked counter           shop_asked_total 5
 *
 * OpenMetrics names the family without the suffix of its samples, says the unit, has whole bounds as "60.0" and examples
 * behind buckets, and ends with "# EOF".
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 * https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md
 */
#include "mesh/base/clock.h"
#include "mesh/observe/metrics_inner.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const metrics_content_types[] = {
    [METRICS_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
    [METRICS_OPEN] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

struct page {
    FILE *file;
    enum metrics_format format;
};

/* 5000 us are 0.005 s; no zeros at the end. */
static void
put_number(const struct page *page, enum metric_unit unit, int64_t value)
{
    char fraction[8];
    size_t bytes = 7;

    if (!metric_unit_is_time(unit)) {
        fprintf(page->file, "%" PRId64, value);
        return;
    }
    snprintf(fraction, sizeof fraction, ".%06d", (int)(llabs(value) % SECOND_US));
    while (bytes > 1 && fraction[bytes - 1] == '0')
        bytes--;
    fprintf(page->file, "%s%lld%.*s", value < 0 ? "-" : "", llabs(value) / SECOND_US,
            bytes == 1 ? 0 : (int)bytes, fraction);
}

/* A bound is a label, which both formats have in one shape each. */
static void
put_bound(const struct page *page, enum metric_unit unit, int64_t bound)
{
    put_number(page, unit, bound);
    if (page->format == METRICS_OPEN && (!metric_unit_is_time(unit) || bound % SECOND_US == 0))
        fputs(".0", page->file);
}

/* A line, but for its end. */
static void
put_sample(const struct page *page, const struct metric_row *row, const char *suffix,
           const char *labels, enum metric_unit unit, int64_t value)
{
    fprintf(page->file, "%s%s", row->name, suffix);
    if (labels[0] != '\0')
        fprintf(page->file, "{%s}", labels);
    fputc(' ', page->file);
    put_number(page, unit, value);
    fputc('\n', page->file);
}

/* ---- histograms ---- */

/* A copy of a bucket's; false: it has none. A thread that keeps one is done in a moment. */
static bool
example_take(struct metric_series *series, size_t bucket, struct metric_example *ret_example)
{
    bool is_there;

    while (atomic_flag_test_and_set_explicit(&series->examples_busy, memory_order_acquire))
        ;
    is_there = series->examples != NULL && series->examples[bucket].trace[0] != '\0';
    if (is_there)
        *ret_example = series->examples[bucket];
    atomic_flag_clear_explicit(&series->examples_busy, memory_order_release);
    return is_there;
}

static void
put_example(const struct page *page, enum metric_unit unit, const struct metric_example *example)
{
    fprintf(page->file, " # {trace_id=\"%s\"} ", example->trace);
    put_number(page, unit, example->value);
    fputc(' ', page->file);
    put_number(page, METRIC_SECONDS, example->time_us);
}

/* Each bucket counts what is in those before it, too. */
static void
put_histogram(const struct page *page, struct metric_series *series)
{
    const struct metric_family *family = series->family;
    const struct metric_row *row = family->row;
    struct metric_example example;
    int64_t sum = 0;

    for (size_t i = 0; i <= family->bound_count; i++) {
        sum += atomic_load(&series->buckets[i]);
        fprintf(page->file, "%s_bucket{%s%sle=\"", row->name, series->labels,
                series->labels[0] == '\0' ? "" : ",");
        if (i == family->bound_count)
            fputs("+Inf", page->file);
        else
            put_bound(page, row->unit, family->bounds[i]);
        fprintf(page->file, "\"} %" PRId64, sum);
        if (page->format == METRICS_OPEN && example_take(series, i, &example))
            put_example(page, row->unit, &example);
        fputc('\n', page->file);
    }
    put_sample(page, row, "_sum", series->labels, row->unit, atomic_load(&series->value));
    put_sample(page, row, "_count", series->labels, METRIC_NUMBER, sum);
}

/* ---- families ---- */

/* Of the family's name the bytes that the format has. */
static int
name_bytes(const struct page *page, const struct metric_row *row)
{
    size_t suffix = row->type == METRIC_COUNTER ? strlen("_total")
                    : row->type == METRIC_INFO  ? strlen("_info")
                                                : 0;

    return (int)(strlen(row->name) - (page->format == METRICS_OPEN ? suffix : 0));
}

/* The help is our own text, without line ends, quotes and backslashes. */
static void
put_head(const struct page *page, const struct metric_row *row)
{
    static const char *const types[][4] = {
        [METRICS_TEXT] = { "counter", "gauge", "histogram", "gauge" },
        [METRICS_OPEN] = { "counter", "gauge", "histogram", "info" },
    };
    static const char *const units[] = { "_seconds", "_bytes" };
    int bytes = name_bytes(page, row);

    assert(strpbrk(row->help, "\n\"\\") == NULL);
    fprintf(page->file, "# HELP %.*s %s\n# TYPE %.*s %s\n", bytes, row->name, row->help, bytes,
            row->name, types[page->format][row->type]);
    for (size_t i = 0; page->format == METRICS_OPEN && i < sizeof units / sizeof *units; i++) {
        size_t unit_bytes = strlen(units[i]);

        if ((size_t)bytes > unit_bytes &&
            memcmp(row->name + bytes - unit_bytes, units[i], unit_bytes) == 0)
            fprintf(page->file, "# UNIT %.*s %s\n", bytes, row->name, units[i] + 1);
    }
}

static void
put_family(const struct page *page, const struct metric_family *family)
{
    const struct metric_row *row = family->row;

    put_head(page, row);
    for (struct metric_series *series = family->series; series != NULL; series = series->next) {
        if (!atomic_load(&series->is_set))
            continue;
        if (family->bounds != NULL)
            put_histogram(page, series);
        else
            put_sample(page, row, "", series->labels, row->unit, atomic_load(&series->value));
    }
}

char *
metrics_show(struct metrics *metrics, enum metrics_format format, size_t *ret_bytes)
{
    char *text;
    struct page page = { open_memstream(&text, ret_bytes), format };

    assert(page.file != NULL); /* memory only */
    pthread_mutex_lock(&metrics->reading);
    for (const struct metrics_reader *reader = metrics->readers; reader != NULL;
         reader = reader->next)
        reader->read(reader->owner, metrics);
    pthread_mutex_lock(&metrics->lists);
    for (const struct metric_family *family = metrics->families; family != NULL;
         family = family->next)
        put_family(&page, family);
    pthread_mutex_unlock(&metrics->lists);
    pthread_mutex_unlock(&metrics->reading);
    if (format == METRICS_OPEN)
        fputs("# EOF\n", page.file);
    if (fclose(page.file) != 0)
        abort();
    return text;
}
