/* metrics.h -- Numbers of a program for Prometheus: its text format 0.0.4, and OpenMetrics 1.0.0.
 *
 * A metric is a constant row; each combination of its labels' values is a series, which exists from its first
 * use on and starts at 0. Hot paths keep the series and add to it: an atomic, no lock. Numbers that are
 * counted elsewhere are set by readers, which metrics_show() calls before it writes.
 *
 * Thread    All calls: any thread. metrics_series() takes a lock; metric_add/set/observe take none.
 * Memory    Series live as long as their metrics. A row outlives the metrics it is in.
 * Errors    A series beyond METRIC_SERIES_MAX of a metric, or with a label of more than METRIC_LABEL_BYTES_MAX,
 *           is NULL, and metric_add() to it counts nothing: labels may be a stranger's.
 * Units     METRIC_SECONDS, METRIC_LONG_SECONDS: values are microseconds and shown as seconds; the name ends with
 *           "_seconds", or "_seconds_total".
 */
#ifndef MESH_OBSERVE_METRICS_H
#define MESH_OBSERVE_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { METRIC_LABELS_MAX = 3, METRIC_LABEL_BYTES_MAX = 128, METRIC_SERIES_MAX = 1000 };

enum metric_type {
    METRIC_COUNTER, /* its name ends with "_total" */
    METRIC_GAUGE,
    METRIC_HISTOGRAM,
    METRIC_INFO /* 1, and labels that say it all; its name ends with "_info" */
};
/* And the edges of a histogram's buckets: 1 to 4096; those of the semantic conventions for durations, up to 10 s;
 * 1 s to an hour, one of them a minute; 256 to 1 MiB. */
enum metric_unit { METRIC_NUMBER, METRIC_SECONDS, METRIC_LONG_SECONDS, METRIC_BYTES };

/* The names of all programs are the same, and begin with "sagamesh_" unless a convention says otherwise: the
 * scrape's own labels tell programs apart. */
struct metric_row {
    const char *name;
    enum metric_type type;
    enum metric_unit unit;
    const char *help;
    const char *labels[METRIC_LABELS_MAX]; /* their names; as many as there are */
};

struct metrics;
struct metric_series;

struct metrics *metrics_new(void);

/* NULL is fine. Returns NULL. */
struct metrics *metrics_free(struct metrics *metrics);

/* values: one for each label, in order. metrics NULL: nothing is counted, and the series is NULL. All below do
 * nothing then. */
struct metric_series *metrics_series(struct metrics *metrics, const struct metric_row *row,
                                     const char *const *values);

/* NULL is fine for all four. metric_add: true when it was 0 until now. */
bool metric_add(struct metric_series *series, int64_t by);
void metric_set(struct metric_series *series, int64_t value);
void metric_observe(struct metric_series *series, int64_t value); /* a histogram's */

/* The same, of a request with this traceparent ("" or NULL: it has none). One that is sampled becomes the example of its
 * bucket, by which OpenMetrics lead from a number to a trace. */
void metric_observe_traced(struct metric_series *series, int64_t value, const char *traceparent);

/* The metric is shown from now on, with no series yet: for one whose labels are not known before. */
void metrics_declare(struct metrics *metrics, const struct metric_row *row);

/* A metric that is counted in a struct: a member of 64 bits. */
struct metric_field {
    struct metric_row row;
    size_t offset;
};

/* For readers: the series of these labels of each row is what the struct's member says. */
void metrics_set_fields(struct metrics *metrics, const struct metric_field *fields, size_t count,
                        const char *const *values, const void *counters);

/* The series of the row are not shown until they are set again: of gauges for things that go. */
void metrics_forget(struct metrics *metrics, const struct metric_row *row);

/* read() is called, one at a time, before each text is written. After metrics_read_end() no read() with this
 * owner is under way or will be. */
void metrics_read(struct metrics *metrics, void (*read)(void *owner, struct metrics *metrics),
                  void *owner);
void metrics_read_end(struct metrics *metrics, const void *owner);

/* No text is made between the two: for a thread that forgets and sets anew. Not for a reader. */
void metrics_hold(struct metrics *metrics);
void metrics_release(struct metrics *metrics);

enum metrics_format { METRICS_TEXT, METRICS_OPEN };

/* Of HTTP, for each format. */
extern const char *const metrics_content_types[];

/* The text; the caller frees. */
char *metrics_show(struct metrics *metrics, enum metrics_format format, size_t *ret_bytes);

#endif
