/* clock_metrics.c -- What clock_watch.h tells of each clock, copied when a reader asks. */
#include "mesh/rpc/clock_metrics.h"
#include "mesh/observe/metrics.h"
#include "mesh/rpc/clock_watch.h"

#include <stddef.h>

/* clang-format off */
static const struct metric_row clock_off = { "sagamesh_clock_off_seconds", METRIC_GAUGE, METRIC_SECONDS, "How far a clock is from what most others say; 0: it is right.", { "clock" } };
static const struct metric_row clock_fit = { "sagamesh_clock_fit",         METRIC_GAUGE, METRIC_NUMBER,  "0: this machine's clock is wrong, and /readyz is 503 for it.",  { NULL } };
/* clang-format on */

static void
set_clock(void *owner, const char *name, int64_t off_us, bool is_known)
{
    if (is_known)
        metric_set(metrics_series(owner, &clock_off, &name), off_us);
}

static void
clock_read(void *owner, struct metrics *metrics)
{
    struct clock_watch *clock = owner;

    metrics_forget(metrics, &clock_off);
    clock_watch_report(clock, set_clock, metrics);
    metric_set(metrics_series(metrics, &clock_fit, NULL), clock_watch_is_fit(clock) ? 1 : 0);
}

void
clock_metrics_open(struct metrics *metrics, struct clock_watch *clock)
{
    metrics_declare(metrics, &clock_off);
    metrics_read(metrics, clock_read, clock);
}

void
clock_metrics_close(struct metrics *metrics, struct clock_watch *clock)
{
    metrics_read_end(metrics, clock);
}
