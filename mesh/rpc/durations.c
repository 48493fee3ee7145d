/* durations.c -- One series for each code, looked up when it is met for the first time. */
#include "mesh/rpc/durations.h"

/* Two that look at once find the same series. */
static struct metric_series *
series_of(struct rpc_durations *durations, struct metrics *metrics, const struct metric_row *row,
          const char *method, int code)
{
    struct metric_series *series = atomic_load_explicit(&durations->of[code], memory_order_acquire);

    if (series == NULL) {
        series =
            metrics_series(metrics, row, (const char *const[]){ method, wire_code_name(code) });
        atomic_store_explicit(&durations->of[code], series, memory_order_release);
    }
    return series;
}

void
rpc_durations_add(struct rpc_durations *durations, struct metrics *metrics,
                  const struct metric_row *row, const char *method, int code, int64_t us,
                  const char *traceparent)
{
    if (metrics == NULL)
        return;
    if (code < 0 || code >= WIRE_CODES) /* a stranger's */
        code = WIRE_UNKNOWN;
    metric_observe_traced(series_of(durations, metrics, row, method, code), us, traceparent);
}

void
rpc_durations_show(struct rpc_durations *durations, struct metrics *metrics,
                   const struct metric_row *row, const char *method)
{
    if (metrics != NULL)
        series_of(durations, metrics, row, method, WIRE_OK);
}
