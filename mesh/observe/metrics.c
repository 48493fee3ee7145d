/* metrics.c -- Families of series in the order of their first use; a series is found by its labels as text.
 *
 * Two locks: `lists` guards what there is, `reading` makes texts one after another, so that a reader that
 * forgets a gauge and sets it anew is not seen halfway. `reading` is taken first.
 */
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/observe/metrics_inner.h"
#include "mesh/observe/trace.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* label="value", each byte of a value perhaps escaped, and commas. */
    LABELS_BYTES = METRIC_LABELS_MAX * (2 * METRIC_LABEL_BYTES_MAX + 64),
};

/* clang-format off */
#define MS INT64_C(1000) /* in us */
/* Upper bounds of buckets, ended by 0. */
static const int64_t *const bounds_of[] = {
    [METRIC_NUMBER] = (const int64_t[]){ 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 0 },
    [METRIC_SECONDS] = (const int64_t[]){ 5 * MS, 10 * MS, 25 * MS, 50 * MS, 75 * MS, 100 * MS, 250 * MS, 500 * MS,
        750 * MS, 1000 * MS, 2500 * MS, 5000 * MS, 7500 * MS, 10000 * MS, 0 },
    [METRIC_LONG_SECONDS] = (const int64_t[]){ 1 * SECOND_US, 2 * SECOND_US, 5 * SECOND_US, 10 * SECOND_US, 20 * SECOND_US,
        30 * SECOND_US, 60 * SECOND_US, 120 * SECOND_US, 300 * SECOND_US, 600 * SECOND_US, 900 * SECOND_US, 1200 * SECOND_US,
        1800 * SECOND_US, 3600 * SECOND_US, 0 },
    [METRIC_BYTES] = (const int64_t[]){ 256, 1024, 4096, 16384, 65536, 262144, 1048576, 0 },
};
/* clang-format on */

struct metrics *
metrics_new(void)
{
    struct metrics *metrics = memory_take(sizeof *metrics);

    metrics->families_end = &metrics->families;
    pthread_mutex_init(&metrics->lists, NULL);
    pthread_mutex_init(&metrics->reading, NULL);
    return metrics;
}

static void
family_free(struct metric_family *family)
{
    while (family->series != NULL) {
        struct metric_series *series = family->series;

        family->series = series->next;
        free(series->buckets);
        free(series->examples);
        free(series);
    }
    free(family);
}

struct metrics *
metrics_free(struct metrics *metrics)
{
    if (metrics == NULL)
        return NULL;
    while (metrics->families != NULL) {
        struct metric_family *family = metrics->families;

        metrics->families = family->next;
        family_free(family);
    }
    while (metrics->readers != NULL)
        metrics_read_end(metrics, metrics->readers->owner);
    pthread_mutex_destroy(&metrics->lists);
    pthread_mutex_destroy(&metrics->reading);
    free(metrics);
    return NULL;
}

/* ---- series ---- */

static void
value_put(char **at, const char *value)
{
    for (; *value != '\0'; value++) {
        if (strchr("\"\\\n", *value) != NULL)
            *(*at)++ = '\\';
        *(*at)++ = *value == '\n' ? 'n' : *value;
    }
}

/* method="GET",route="/livez". False: a value is too long. */
static bool
labels_print(const struct metric_row *row, const char *const *values, char text[LABELS_BYTES])
{
    char *at = text;

    for (size_t i = 0; i < METRIC_LABELS_MAX && row->labels[i] != NULL; i++) {
        assert(strlen(row->labels[i]) < 32);
        if (strlen(values[i]) > METRIC_LABEL_BYTES_MAX)
            return false;
        at += sprintf(at, "%s%s=\"", i == 0 ? "" : ",", row->labels[i]);
        value_put(&at, values[i]);
        *at++ = '"';
    }
    *at = '\0';
    return true;
}

static struct metric_family *
family_find(struct metrics *metrics, const struct metric_row *row)
{
    struct metric_family *family = metrics->families;

    while (family != NULL && family->row != row) {
        assert(strcmp(family->row->name, row->name) != 0); /* one row describes a metric */
        family = family->next;
    }
    return family;
}

static bool
ends_with(const char *name, const char *end)
{
    return strlen(name) > strlen(end) && strcmp(name + strlen(name) - strlen(end), end) == 0;
}

/* What Prometheus and OpenMetrics want of a name. */
static void
row_check(const struct metric_row *row)
{
    assert(ends_with(row->name, "_total") == (row->type == METRIC_COUNTER));
    assert(ends_with(row->name, "_info") == (row->type == METRIC_INFO));
    assert((ends_with(row->name, "_seconds") || ends_with(row->name, "_seconds_total")) ==
           metric_unit_is_time(row->unit));
}

static struct metric_family *
family_add(struct metrics *metrics, const struct metric_row *row)
{
    struct metric_family *family = memory_take(sizeof *family);

    row_check(row);
    family->row = row;
    family->bounds = row->type == METRIC_HISTOGRAM ? bounds_of[row->unit] : NULL;
    while (family->bounds != NULL && family->bounds[family->bound_count] != 0)
        family->bound_count++;
    family->series_end = &family->series;
    *metrics->families_end = family;
    metrics->families_end = &family->next;
    return family;
}

static struct metric_series *
series_add(struct metric_family *family, const char *labels)
{
    struct metric_series *series = memory_take(sizeof *series + strlen(labels) + 1);

    strcpy(series->labels, labels);
    atomic_store(&series->is_set, family->row->type != METRIC_GAUGE);
    series->family = family;
    if (family->bounds != NULL)
        series->buckets = memory_take((family->bound_count + 1) * sizeof *series->buckets);
    *family->series_end = series;
    family->series_end = &series->next;
    family->count++;
    return series;
}

struct metric_series *
metrics_series(struct metrics *metrics, const struct metric_row *row, const char *const *values)
{
    struct metric_series *series;
    struct metric_family *family;
    char labels[LABELS_BYTES];

    if (metrics == NULL || !labels_print(row, values, labels))
        return NULL;
    pthread_mutex_lock(&metrics->lists);
    family = family_find(metrics, row);
    if (family == NULL)
        family = family_add(metrics, row);
    series = family->series;
    while (series != NULL && strcmp(series->labels, labels) != 0)
        series = series->next;
    if (series == NULL && family->count < METRIC_SERIES_MAX)
        series = series_add(family, labels);
    pthread_mutex_unlock(&metrics->lists);
    return series;
}

void
metrics_declare(struct metrics *metrics, const struct metric_row *row)
{
    if (metrics == NULL)
        return;
    pthread_mutex_lock(&metrics->lists);
    if (family_find(metrics, row) == NULL)
        family_add(metrics, row);
    pthread_mutex_unlock(&metrics->lists);
}

void
metrics_set_fields(struct metrics *metrics, const struct metric_field *fields, size_t count,
                   const char *const *values, const void *counters)
{
    for (size_t i = 0; i < count; i++)
        metric_set(metrics_series(metrics, &fields[i].row, values),
                   *(const int64_t *)((const char *)counters + fields[i].offset));
}

bool
metric_add(struct metric_series *series, int64_t by)
{
    if (series == NULL)
        return false;
    if (!atomic_load_explicit(&series->is_set, memory_order_relaxed))
        atomic_store(&series->is_set, true); /* a gauge */
    return atomic_fetch_add_explicit(&series->value, by, memory_order_relaxed) == 0;
}

void
metric_set(struct metric_series *series, int64_t value)
{
    if (series == NULL)
        return;
    atomic_store_explicit(&series->value, value, memory_order_relaxed);
    atomic_store(&series->is_set, true);
}

static size_t
bucket_of(const struct metric_family *family, int64_t value)
{
    size_t bucket = 0;

    while (bucket < family->bound_count && value > family->bounds[bucket])
        bucket++;
    return bucket;
}

void
metric_observe(struct metric_series *series, int64_t value)
{
    if (series == NULL)
        return;
    atomic_fetch_add_explicit(&series->buckets[bucket_of(series->family, value)], 1,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&series->value, value, memory_order_relaxed);
}

/* Where two threads come at once, one example is enough. */
static void
example_keep(struct metric_series *series, int64_t value, const char *traceparent)
{
    const struct metric_family *family = series->family;
    struct metric_example *example;

    if (atomic_flag_test_and_set_explicit(&series->examples_busy, memory_order_acquire))
        return;
    if (series->examples == NULL)
        series->examples = memory_take((family->bound_count + 1) * sizeof *series->examples);
    example = &series->examples[bucket_of(family, value)];
    trace_id(traceparent, example->trace);
    example->value = value;
    example->time_us = clock_now_us();
    atomic_flag_clear_explicit(&series->examples_busy, memory_order_release);
}

void
metric_observe_traced(struct metric_series *series, int64_t value, const char *traceparent)
{
    metric_observe(series, value);
    if (series != NULL && traceparent != NULL && trace_is_sampled(traceparent))
        example_keep(series, value, traceparent);
}

void
metrics_forget(struct metrics *metrics, const struct metric_row *row)
{
    struct metric_family *family;

    if (metrics == NULL)
        return;
    pthread_mutex_lock(&metrics->lists);
    family = family_find(metrics, row);
    for (struct metric_series *series = family == NULL ? NULL : family->series; series != NULL;
         series = series->next)
        atomic_store(&series->is_set, false);
    pthread_mutex_unlock(&metrics->lists);
}

/* ---- readers ---- */

void
metrics_read(struct metrics *metrics, void (*read)(void *owner, struct metrics *metrics),
             void *owner)
{
    struct metrics_reader *reader;

    if (metrics == NULL)
        return;
    reader = memory_take(sizeof *reader);
    reader->read = read;
    reader->owner = owner;
    pthread_mutex_lock(&metrics->reading);
    reader->next = metrics->readers;
    metrics->readers = reader;
    pthread_mutex_unlock(&metrics->reading);
}

void
metrics_read_end(struct metrics *metrics, const void *owner)
{
    if (metrics == NULL)
        return;
    pthread_mutex_lock(&metrics->reading);
    for (struct metrics_reader **at = &metrics->readers; *at != NULL;) {
        struct metrics_reader *reader = *at;

        if (reader->owner != owner) {
            at = &reader->next;
            continue;
        }
        *at = reader->next;
        free(reader);
    }
    pthread_mutex_unlock(&metrics->reading);
}

void
metrics_hold(struct metrics *metrics)
{
    if (metrics != NULL)
        pthread_mutex_lock(&metrics->reading);
}

void
metrics_release(struct metrics *metrics)
{
    if (metrics != NULL)
        pthread_mutex_unlock(&metrics->reading);
}
