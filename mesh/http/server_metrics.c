/* server_metrics.c -- What a server counts, for metrics.
 *
 * Answers are added where they are made: a route's series are looked up once for each status, and then added
 * to without a lock. The server's own counters are copied when a reader asks.
 */
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/http/server_inner.h"
#include "mesh/observe/metrics.h"

#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
static const struct metric_row answers = { "sagamesh_http_answers_total", METRIC_COUNTER, METRIC_NUMBER, "Requests answered by a handler.", { "method", "route", "status" } };
static const struct metric_row durations = { "http_server_request_duration_seconds", METRIC_HISTOGRAM, METRIC_SECONDS, "From the handler's start to its answer.", { "method", "route" } };
static const struct metric_row own_answers = { "sagamesh_http_own_answers_total", METRIC_COUNTER, METRIC_NUMBER, "Answers without a handler: refusals, and 504 for one that was late.", { "port", "status" } };

static const struct {
    struct metric_row row;
    size_t offset;
} counted[] = {
    { { "sagamesh_http_connections_total", METRIC_COUNTER, METRIC_NUMBER, "Connections accepted.",                        { "port" } }, offsetof(struct http_server_counters, connections) },
    { { "sagamesh_http_requests_total",    METRIC_COUNTER, METRIC_NUMBER, "Requests read, also those refused.",           { "port" } }, offsetof(struct http_server_counters, requests) },
    { { "sagamesh_http_refused_total",     METRIC_COUNTER, METRIC_NUMBER, "Refused before any handler, connections too.", { "port" } }, offsetof(struct http_server_counters, refused) },
    { { "sagamesh_http_timeouts_total",    METRIC_COUNTER, METRIC_NUMBER, "Deadlines that passed.",                       { "port" } }, offsetof(struct http_server_counters, timeouts) },
    { { "sagamesh_http_dropped_total",     METRIC_COUNTER, METRIC_NUMBER, "Answers whose client had gone.",               { "port" } }, offsetof(struct http_server_counters, dropped) },
    { { "sagamesh_http_handshakes_failed_total", METRIC_COUNTER, METRIC_NUMBER, "TLS handshakes that came to nothing.",     { "port" } }, offsetof(struct http_server_counters, handshakes_failed) },
    { { "sagamesh_http_connections_open",  METRIC_GAUGE,   METRIC_NUMBER, "Connections now.",                             { "port" } }, offsetof(struct http_server_counters, open) },
    { { "sagamesh_http_bodies_bytes",      METRIC_GAUGE,   METRIC_NUMBER, "Bodies of requests in memory now.",            { "port" } }, offsetof(struct http_server_counters, bodies_bytes) },
};
/* clang-format on */

/* "404" */
static const char *
status_print(int status, char text[12])
{
    snprintf(text, 12, "%d", status);
    return text;
}

void
server_count_answer(struct work *work, int status)
{
    const struct http_server *server = work->server;
    const struct http_route *route = work->place->route;
    struct metric_series *series;
    struct route_count *count;
    char text[12];

    if (server->counts == NULL)
        return;
    count = &server->counts[work->place - server->routes->places];
    series = atomic_load_explicit(&count->answers[status], memory_order_acquire);
    if (series == NULL) {
        const char *const values[] = { route->method, route->path, status_print(status, text) };

        series = metrics_series(server->options.metrics, &answers, values);
        atomic_store_explicit(&count->answers[status], series, memory_order_release);
    }
    metric_add(series, 1);
    metric_observe_traced(count->duration, clock_steady_us() - work->exchange.began_us,
                          work->exchange.traceparent);
}

void
http_server_count(const struct http_server *server, struct http_server_counters *ret_counters)
{
    ret_counters->connections = atomic_load(&server->connections);
    ret_counters->requests = atomic_load(&server->requests);
    ret_counters->refused = atomic_load(&server->refused);
    ret_counters->timeouts = atomic_load(&server->timeouts);
    ret_counters->dropped = atomic_load(&server->dropped);
    ret_counters->handshakes_failed = atomic_load(&server->handshakes_failed);
    ret_counters->open = atomic_load(&server->open);
    ret_counters->bodies_bytes = atomic_load(&server->bodies_bytes);
}

uint64_t
http_server_count_own(const struct http_server *server, int status)
{
    return atomic_load(&server->own_answers[status - HTTP_OWN_STATUS_MIN]);
}

/* A reader of the program's metrics: statuses that were never answered have no series. */
static void
server_read(void *owner, struct metrics *metrics)
{
    const struct http_server *server = owner;
    struct http_server_counters counters;
    char text[12];

    http_server_count(server, &counters);
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
        metric_set(metrics_series(metrics, &counted[i].row, &server->options.name),
                   *(const int64_t *)((const char *)&counters + counted[i].offset));
    for (int status = HTTP_OWN_STATUS_MIN; status < HTTP_OWN_STATUS_END; status++) {
        uint64_t count = http_server_count_own(server, status);

        if (count > 0)
            metric_set(metrics_series(metrics, &own_answers,
                                      (const char *const[]){ server->options.name,
                                                             status_print(status, text) }),
                       (int64_t)count);
    }
}

/* Durations are looked up here, so that a route that was never asked shows zeros. */
void
server_metrics_open(struct http_server *server)
{
    struct metrics *metrics = server->options.metrics;

    if (metrics == NULL)
        return;
    metrics_declare(metrics, &answers);
    metrics_declare(metrics, &own_answers);
    server->counts = memory_take(server->routes->count * sizeof *server->counts);
    for (size_t i = 0; i < server->routes->count; i++) {
        const struct http_route *route = server->routes->places[i].route;

        server->counts[i].duration = metrics_series(
            metrics, &durations, (const char *const[]){ route->method, route->path });
    }
    metrics_declare(metrics, &answers);
    metrics_declare(metrics, &own_answers);
    metrics_read(metrics, server_read, server);
}

void
server_metrics_close(struct http_server *server)
{
    if (server->options.metrics != NULL)
        metrics_read_end(server->options.metrics, server);
}
