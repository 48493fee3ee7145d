/* batch_meter.c -- The store thread adds to atomics, and to two histograms once a batch; a reader copies the first. */
#include "mesh/store/batch_meter.h"
#include "mesh/base/clock.h"
#include "mesh/observe/metrics.h"

/* clang-format off */
static const struct metric_row sizes     = { "sagamesh_batch_calls",            METRIC_HISTOGRAM, METRIC_NUMBER,  "Calls that a transaction began with.",                               { NULL } };
static const struct metric_row durations = { "sagamesh_batch_duration_seconds", METRIC_HISTOGRAM, METRIC_SECONDS, "From taking calls to the answer of all that were not set aside.",    { NULL } };

struct counted {
    int64_t commits, again, single, uncertain, aside, refused, aside_now, waiting;
};
static const struct metric_field counts[] = {
    { { "sagamesh_batch_commits_total", METRIC_COUNTER, METRIC_NUMBER, "Transactions that changed something.",                                  { NULL } }, offsetof(struct counted, commits) },
    { { "sagamesh_batch_again_total",   METRIC_COUNTER, METRIC_NUMBER, "Batches that ran again: another writer was first.",                     { NULL } }, offsetof(struct counted, again) },
    { { "sagamesh_batch_single_total",  METRIC_COUNTER, METRIC_NUMBER, "Batches done call by call, to find the one with an SQL error.",         { NULL } }, offsetof(struct counted, single) },
    { { "sagamesh_batch_doubts_total",  METRIC_COUNTER, METRIC_NUMBER, "Batches whose connection was lost in COMMIT.",                          { NULL } }, offsetof(struct counted, uncertain) },
    { { "sagamesh_batch_aside_total",   METRIC_COUNTER, METRIC_NUMBER, "Calls set aside for a row that another transaction keeps locked.",      { NULL } }, offsetof(struct counted, aside) },
    { { "sagamesh_batch_refused_total", METRIC_COUNTER, METRIC_NUMBER, "Calls refused because as many as may wait did.",                        { NULL } }, offsetof(struct counted, refused) },
    { { "sagamesh_batch_calls_aside",   METRIC_GAUGE,   METRIC_NUMBER, "Calls that are set aside.",                                             { NULL } }, offsetof(struct counted, aside_now) },
    { { "sagamesh_batch_queue_calls",   METRIC_GAUGE,   METRIC_NUMBER, "Calls that wait for the store thread.",                                 { NULL } }, offsetof(struct counted, waiting) },
};
/* clang-format on */

static void
meter_read(void *owner, struct metrics *metrics)
{
    struct batch_meter *meter = owner;
    const struct counted counted = {
        .commits = (int64_t)atomic_load(&meter->commits),
        .again = (int64_t)atomic_load(&meter->again),
        .single = (int64_t)atomic_load(&meter->single),
        .uncertain = (int64_t)atomic_load(&meter->uncertain),
        .aside = (int64_t)atomic_load(&meter->aside),
        .refused = (int64_t)atomic_load(&meter->refused),
        .aside_now = (int64_t)atomic_load(&meter->aside_now),
        .waiting = (int64_t)queue_count(meter->queue),
    };

    metrics_set_fields(metrics, counts, sizeof counts / sizeof *counts, NULL, &counted);
}

void
batch_meter_open(struct batch_meter *meter, struct metrics *metrics, struct queue *queue)
{
    meter->metrics = metrics;
    meter->queue = queue;
    meter->sizes = metrics_series(metrics, &sizes, NULL);
    meter->durations = metrics_series(metrics, &durations, NULL);
    metrics_read(metrics, meter_read, meter);
}

void
batch_meter_close(struct batch_meter *meter)
{
    metrics_read_end(meter->metrics, meter);
}

void
batch_meter_ran(struct batch_meter *meter, size_t calls, int64_t began_us)
{
    metric_observe(meter->sizes, (int64_t)calls);
    metric_observe(meter->durations, clock_steady_us() - began_us);
}
