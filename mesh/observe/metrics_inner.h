/* metrics_inner.h -- What metrics are made of: for metrics.c, which counts, and metrics_text.c, which shows. */
#ifndef MESH_OBSERVE_METRICS_INNER_H
#define MESH_OBSERVE_METRICS_INNER_H

#include "mesh/observe/metrics.h"
#include "mesh/observe/trace.h"

#include <pthread.h>

/* A request that fell into a bucket. */
struct metric_example {
    char trace[TRACE_ID_BYTES + 1]; /* "": there was none */
    int64_t value, time_us;
};

struct metric_series {
    struct metric_series *next;
    const struct metric_family *family;
    atomic_int_fast64_t value; /* of a histogram: the sum */
    atomic_bool is_set;
    atomic_int_fast64_t *buckets;    /* of a histogram: one for each bound, and what is beyond */
    atomic_flag examples_busy;       /* a thread is at the examples */
    struct metric_example *examples; /* for each bucket; NULL: none yet */
    char labels[];                   /* as they are shown */
};

struct metric_family {
    struct metric_family *next;
    const struct metric_row *row;
    const int64_t *bounds; /* of a histogram; else NULL */
    size_t bound_count;
    struct metric_series *series, **series_end;
    size_t count;
};

struct metrics_reader {
    struct metrics_reader *next;
    void (*read)(void *owner, struct metrics *metrics);
    void *owner;
};

/* Its values are microseconds. */
static inline bool
metric_unit_is_time(enum metric_unit unit)
{
    return unit == METRIC_SECONDS || unit == METRIC_LONG_SECONDS;
}

struct metrics {
    pthread_mutex_t lists, reading;
    struct metric_family *families, **families_end;
    struct metrics_reader *readers;
};

#endif
