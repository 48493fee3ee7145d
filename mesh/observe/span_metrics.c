#include "mesh/observe/span_metrics.h"
#include "mesh/observe/span.h"

/* clang-format off */
static const struct metric_row recorded = { "otel_spans_recorded_total", METRIC_COUNTER, METRIC_NUMBER, "Spans that found a place in the queue.",                     { NULL } };
static const struct metric_row exported = { "otel_spans_exported_total", METRIC_COUNTER, METRIC_NUMBER, "Spans that the collector took.",                             { NULL } };
static const struct metric_row dropped  = { "otel_spans_dropped_total",  METRIC_COUNTER, METRIC_NUMBER, "Spans dropped: queue_full, failed (the collector did not take them in time) or rejected (by the collector).", { "reason" } };
/* clang-format on */

static char reader; /* whose reader it is: the process's */

static void
set(struct metrics *metrics, const struct metric_row *row, const char *reason, uint64_t count)
{
    metric_set(metrics_series(metrics, row, &reason), (int64_t)count);
}

static void
read_counts(void *owner, struct metrics *metrics)
{
    struct span_counts counts;

    (void)owner;
    span_count(&counts);
    set(metrics, &recorded, NULL, counts.recorded);
    set(metrics, &exported, NULL, counts.exported);
    set(metrics, &dropped, "queue_full", counts.queue_full);
    set(metrics, &dropped, "failed", counts.failed);
    set(metrics, &dropped, "rejected", counts.rejected);
}

void
span_metrics_open(struct metrics *metrics)
{
    if (spans_are_on() && metrics != NULL)
        metrics_read(metrics, read_counts, &reader);
}
