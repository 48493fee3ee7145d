/* metrics.c -- Families of series in the order of their first use; a series is found by its labels as text.
 *
 * Two locks: `lists` guards what there is, `reading` makes texts one after another, so that a reader that
 * forgets a gauge and sets it anew is not seen halfway. `reading` is taken first.
 */
#include "mesh/observe/metrics.h"
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* label="value", each byte of a value perhaps escaped, and commas. */
    LABELS_BYTES = METRIC_LABELS_MAX * (2 * METRIC_LABEL_BYTES_MAX + 64),
};

/* Upper bounds of buckets. */
static const int64_t numbers_edges[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096 };
static const int64_t seconds_edges[] = { 5000,    10000,   25000,   50000,   75000,
                                         100000,  250000,  500000,  750000,  1000000,
                                         2500000, 5000000, 7500000, 10000000 };
static const int64_t long_seconds_edges[] = {
    1 * SECOND_US,   2 * SECOND_US,    5 * SECOND_US,    10 * SECOND_US,   20 * SECOND_US,
    30 * SECOND_US,  60 * SECOND_US,   120 * SECOND_US,  300 * SECOND_US,  600 * SECOND_US,
    900 * SECOND_US, 1200 * SECOND_US, 1800 * SECOND_US, 3600 * SECOND_US,
};
static const int64_t bytes_edges[] = { 256, 1024, 4096, 16384, 65536, 262144, 1048576 };

/* clang-format off */
static const struct unit {
    const int64_t *edges;
    size_t edge_count;
    bool is_seconds;
} units[] = {
    [METRIC_NUMBER]       = { numbers_edges, sizeof numbers_edges / sizeof *numbers_edges,           false },
    [METRIC_SECONDS]      = { seconds_edges, sizeof seconds_edges / sizeof *seconds_edges,           true },
    [METRIC_LONG_SECONDS] = { long_seconds_edges, sizeof long_seconds_edges / sizeof *long_seconds_edges, true },
    [METRIC_BYTES]        = { bytes_edges, sizeof bytes_edges / sizeof *bytes_edges,               false },
};
/* clang-format on */

struct metric_series {
    struct metric_series *next;
    atomic_int_fast64_t value; /* of a histogram: the sum */
    atomic_bool is_set;
    const struct unit *unit;
    atomic_int_fast64_t *buckets; /* of a histogram: for each edge, and what is beyond */
    char labels[];                /* as they are shown */
};

struct family {
    struct family *next;
    const struct metric_row *row;
    struct metric_series *series, **series_end;
    size_t count;
};

struct reader {
    struct reader *next;
    void (*read)(void *owner, struct metrics *metrics);
    void *owner;
};

struct metrics {
    pthread_mutex_t lists, reading;
    struct family *families, **families_end;
    struct reader *readers;
};

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
family_free(struct family *family)
{
    while (family->series != NULL) {
        struct metric_series *series = family->series;

        family->series = series->next;
        free(series->buckets);
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
        struct family *family = metrics->families;

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

static struct family *
family_find(struct metrics *metrics, const struct metric_row *row)
{
    struct family *family = metrics->families;

    while (family != NULL && family->row != row) {
        assert(strcmp(family->row->name, row->name) != 0); /* one row describes a metric */
        family = family->next;
    }
    return family;
}

static struct family *
family_add(struct metrics *metrics, const struct metric_row *row)
{
    struct family *family = memory_take(sizeof *family);

    family->row = row;
    family->series_end = &family->series;
    *metrics->families_end = family;
    metrics->families_end = &family->next;
    return family;
}

static struct metric_series *
series_add(struct family *family, const char *labels)
{
    struct metric_series *series = memory_take(sizeof *series + strlen(labels) + 1);

    strcpy(series->labels, labels);
    series->unit = &units[family->row->unit];
    atomic_store(&series->is_set, family->row->type != METRIC_GAUGE);
    if (family->row->type == METRIC_HISTOGRAM)
        series->buckets = memory_take((series->unit->edge_count + 1) * sizeof *series->buckets);
    *family->series_end = series;
    family->series_end = &series->next;
    family->count++;
    return series;
}

struct metric_series *
metrics_series(struct metrics *metrics, const struct metric_row *row, const char *const *values)
{
    struct metric_series *series;
    struct family *family;
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

void
metric_observe(struct metric_series *series, int64_t value)
{
    const struct unit *unit;
    size_t bucket = 0;

    if (series == NULL)
        return;
    unit = series->unit;
    while (bucket < unit->edge_count && value > unit->edges[bucket])
        bucket++;
    atomic_fetch_add_explicit(&series->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&series->value, value, memory_order_relaxed);
}

void
metrics_forget(struct metrics *metrics, const struct metric_row *row)
{
    struct family *family;

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
    struct reader *reader;

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
    for (struct reader **at = &metrics->readers; *at != NULL;) {
        struct reader *reader = *at;

        if (reader->owner != owner) {
            at = &reader->next;
            continue;
        }
        *at = reader->next;
        free(reader);
    }
    pthread_mutex_unlock(&metrics->reading);
}

/* ---- as text ---- */

/* 5000 us are 0.005 s; no zeros at the end. */
static void
put_number(FILE *page, enum metric_unit unit, int64_t value)
{
    char fraction[8];
    size_t bytes = 7;

    if (!units[unit].is_seconds) {
        fprintf(page, "%" PRId64, value);
        return;
    }
    snprintf(fraction, sizeof fraction, ".%06d", (int)(llabs(value) % SECOND_US));
    while (bytes > 1 && fraction[bytes - 1] == '0')
        bytes--;
    fprintf(page, "%s%lld%.*s", value < 0 ? "-" : "", llabs(value) / SECOND_US,
            bytes == 1 ? 0 : (int)bytes, fraction);
}

/* A line of the text, but for a bucket's. */
static void
show_value(FILE *page, const struct metric_row *row, const char *suffix, const char *labels,
           enum metric_unit unit, int64_t value)
{
    fprintf(page, "%s%s", row->name, suffix);
    if (labels[0] != '\0')
        fprintf(page, "{%s}", labels);
    fputc(' ', page);
    put_number(page, unit, value);
    fputc('\n', page);
}

/* Each bucket counts what is in those before it, too. */
static void
show_histogram(FILE *page, const struct metric_row *row, const struct metric_series *series)
{
    int64_t sum = 0;

    for (size_t i = 0; i <= series->unit->edge_count; i++) {
        sum += atomic_load(&series->buckets[i]);
        fprintf(page, "%s_bucket{%s%sle=\"", row->name, series->labels,
                series->labels[0] == '\0' ? "" : ",");
        if (i == series->unit->edge_count)
            fputs("+Inf", page);
        else
            put_number(page, row->unit, series->unit->edges[i]);
        fprintf(page, "\"} %" PRId64 "\n", sum);
    }
    show_value(page, row, "_sum", series->labels, row->unit, atomic_load(&series->value));
    show_value(page, row, "_count", series->labels, METRIC_NUMBER, sum);
}

static void
show_family(FILE *page, const struct family *family)
{
    static const char *const types[] = { "counter", "gauge", "histogram" };
    const struct metric_row *row = family->row;

    fprintf(page, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name,
            types[row->type]);
    for (const struct metric_series *series = family->series; series != NULL;
         series = series->next) {
        if (!atomic_load(&series->is_set))
            continue;
        if (row->type == METRIC_HISTOGRAM)
            show_histogram(page, row, series);
        else
            show_value(page, row, "", series->labels, row->unit, atomic_load(&series->value));
    }
}

char *
metrics_show(struct metrics *metrics, size_t *ret_bytes)
{
    char *text;
    FILE *page = open_memstream(&text, ret_bytes);

    assert(page != NULL); /* memory only */
    pthread_mutex_lock(&metrics->reading);
    for (const struct reader *reader = metrics->readers; reader != NULL; reader = reader->next)
        reader->read(reader->owner, metrics);
    pthread_mutex_lock(&metrics->lists);
    for (const struct family *family = metrics->families; family != NULL; family = family->next)
        show_family(page, family);
    pthread_mutex_unlock(&metrics->lists);
    pthread_mutex_unlock(&metrics->reading);
    if (fclose(page) != 0)
        abort();
    return text;
}
