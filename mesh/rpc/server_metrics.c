/* server_metrics.c -- Answers are counted where they are made; the rest is copied when a reader asks, and no more
 * once the server stops, for its acceptor goes then. */
#include "mesh/base/clock.h"
#include "mesh/rpc/server_inner.h"

/* clang-format off */
static const struct metric_row durations = { "rpc_server_call_duration_seconds", METRIC_HISTOGRAM, METRIC_SECONDS, "From a call's arrival to its answer; those in an envelope by their own methods too.", { "method", "code" } };
static const struct metric_row connections = { "sagamesh_rpc_server_connections_total", METRIC_COUNTER, METRIC_NUMBER, "Connections accepted, refused for want of descriptors, or ended because they were silent.", { "listener", "outcome" } };

struct counted {
    int64_t in_flight, busy, items;
};
static const struct metric_field counts[] = {
    { { "sagamesh_rpc_server_calls_in_flight", METRIC_GAUGE,   METRIC_NUMBER, "Calls that came and are not answered.",                 { "listener" } }, offsetof(struct counted, in_flight) },
    { { "sagamesh_rpc_server_busy_total",      METRIC_COUNTER, METRIC_NUMBER, "Calls refused because as many as may be were in flight.", { "listener" } }, offsetof(struct counted, busy) },
    { { "sagamesh_rpc_server_items_total",     METRIC_COUNTER, METRIC_NUMBER, "Calls that came in envelopes.",                         { "listener" } }, offsetof(struct counted, items) },
};
/* clang-format on */

void
rpc_server_count_answer(struct rpc_server *server, const struct rpc_route *route, enum error answer,
                        int64_t arrived_us, const char *traceparent)
{
    if (server->options.metrics != NULL)
        rpc_durations_add(route == NULL ? &server->others : route->durations,
                          server->options.metrics, &durations,
                          route == NULL ? "_OTHER" : route->name, (int)error_wire_code(answer),
                          clock_steady_us() - arrived_us, traceparent);
}

static void
set_connections(struct metrics *metrics, const char *listener, const char *outcome, uint64_t count)
{
    metric_set(metrics_series(metrics, &connections, (const char *const[]){ listener, outcome }),
               (int64_t)count);
}

static void
server_read(void *owner, struct metrics *metrics)
{
    struct rpc_server *server = owner;
    const char *listener = server->options.listener;
    struct rpc_acceptor_counters accepted;
    struct counted counted = {
        .busy = (int64_t)atomic_load_explicit(&server->busy, memory_order_relaxed),
        .items = (int64_t)atomic_load_explicit(&server->items, memory_order_relaxed),
    };

    pthread_mutex_lock(&server->lock);
    counted.in_flight = (int64_t)server->in_flight;
    pthread_mutex_unlock(&server->lock);
    metrics_set_fields(metrics, counts, sizeof counts / sizeof *counts, &listener, &counted);
    rpc_acceptor_count(server->acceptor, &accepted);
    set_connections(metrics, listener, "accepted", accepted.accepted);
    set_connections(metrics, listener, "refused", accepted.refused);
    set_connections(metrics, listener, "silent", accepted.silent);
}

void
rpc_server_metrics_open(struct rpc_server *server)
{
    struct metrics *metrics = server->options.metrics;

    for (size_t i = 0; i < server->route_count; i++) {
        struct rpc_route *route = &server->routes[i];

        route->durations = memory_take(sizeof *route->durations);
        rpc_durations_show(route->durations, metrics, &durations, route->name);
    }
    metrics_read(metrics, server_read, server);
}

void
rpc_server_metrics_close(struct rpc_server *server)
{
    metrics_read_end(server->options.metrics, server);
}
