#include "mesh/rpc/metrics.h"
#include "mesh/observe/metrics.h"
#include "mesh/rpc/client.h"
#include "mesh/rpc/clock_watch.h"

#include <stddef.h>

/* clang-format off */
static const struct {
    struct metric_row row;
    size_t offset;
} calls[] = {
    { { "sagamesh_rpc_calls_total",     METRIC_COUNTER, METRIC_NUMBER, "Unary calls sent.",                      { "service" } }, offsetof(struct rpc_client_counters, calls) },
    { { "sagamesh_rpc_envelopes_total", METRIC_COUNTER, METRIC_NUMBER, "Envelopes sent.",                        { "service" } }, offsetof(struct rpc_client_counters, envelopes) },
    { { "sagamesh_rpc_items_total",     METRIC_COUNTER, METRIC_NUMBER, "Calls sent in envelopes.",               { "service" } }, offsetof(struct rpc_client_counters, items) },
    { { "sagamesh_rpc_retries_total",   METRIC_COUNTER, METRIC_NUMBER, "Calls sent again.",                      { "service" } }, offsetof(struct rpc_client_counters, retries) },
    { { "sagamesh_rpc_failed_total",    METRIC_COUNTER, METRIC_NUMBER, "Requests whose last answer was not OK.", { "service" } }, offsetof(struct rpc_client_counters, failed) },
};
static const struct metric_row clock_off = { "sagamesh_clock_off_seconds", METRIC_GAUGE, METRIC_SECONDS, "How far a clock is from what most others say; 0: it is right.", { "clock" } };
static const struct metric_row clock_fit = { "sagamesh_clock_fit",         METRIC_GAUGE, METRIC_NUMBER,  "0: this machine's clock is wrong, and /readyz is 503 for it.",  { NULL } };
/* clang-format on */

void
metrics_set_client(struct metrics *metrics, const char *service, const struct rpc_client *client)
{
    struct rpc_client_counters counters;

    rpc_client_count(client, &counters);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        metric_set(metrics_series(metrics, &calls[i].row, &service),
                   *(const int64_t *)((const char *)&counters + calls[i].offset));
}

static void
set_clock(void *owner, const char *name, int64_t off_us, bool is_known)
{
    if (is_known)
        metric_set(metrics_series(owner, &clock_off, &name), off_us);
}

void
metrics_set_clock(struct metrics *metrics, struct clock_watch *clock)
{
    metrics_forget(metrics, &clock_off);
    clock_watch_report(clock, set_clock, metrics);
    metric_set(metrics_series(metrics, &clock_fit, NULL), clock_watch_is_fit(clock) ? 1 : 0);
}
