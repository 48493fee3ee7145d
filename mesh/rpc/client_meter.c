/* client_meter.c -- The counters are the client's to add to; a reader copies them. Durations are kept by method, as
 * the client's thread meets them. */
#include "mesh/rpc/client_meter.h"
#include "mesh/rpc/durations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { METHODS_MAX = 64 }; /* of one peer; what is beyond is counted as _OTHER */

struct client_method {
    char *name;
    struct rpc_durations durations;
};

/* clang-format off */
static const struct metric_row durations = { "rpc_client_call_duration_seconds",      METRIC_HISTOGRAM, METRIC_SECONDS, "From a request's sending to its last answer, retries included.", { "method", "code" } };
static const struct metric_row messages  = { "sagamesh_rpc_client_messages_total",    METRIC_COUNTER,   METRIC_NUMBER,  "Messages sent: calls, and envelopes of many.", { "peer", "kind" } };

struct counted {
    int64_t items, retries, moves, forgone, waiting, is_up, endpoints, left_out;
};
static const struct metric_field counts[] = {
    { { "sagamesh_rpc_client_items_total",      METRIC_COUNTER, METRIC_NUMBER, "Calls sent in envelopes.",                                        { "peer" } }, offsetof(struct counted, items) },
    { { "sagamesh_rpc_client_retries_total",    METRIC_COUNTER, METRIC_NUMBER, "Calls sent again.",                                               { "peer" } }, offsetof(struct counted, retries) },
    { { "sagamesh_rpc_client_moves_total",      METRIC_COUNTER, METRIC_NUMBER, "Calls that one replica did not do and another was asked for at once.", { "peer" } }, offsetof(struct counted, moves) },
    { { "sagamesh_rpc_client_retries_forgone_total", METRIC_COUNTER, METRIC_NUMBER, "Retries that were not made, since the budget of retries was used up.", { "peer" } }, offsetof(struct counted, forgone) },
    { { "sagamesh_rpc_client_endpoints",        METRIC_GAUGE,   METRIC_NUMBER, "Replicas of the service that are known.",                         { "peer" } }, offsetof(struct counted, endpoints) },
    { { "sagamesh_rpc_client_endpoints_left_out", METRIC_GAUGE, METRIC_NUMBER, "Those of them that are not asked, since they fail or say that they do not serve.", { "peer" } }, offsetof(struct counted, left_out) },
    { { "sagamesh_rpc_client_requests_waiting", METRIC_GAUGE,   METRIC_NUMBER, "Requests that wait to be sent, for their retry, or on purpose.",  { "peer" } }, offsetof(struct counted, waiting) },
    { { "sagamesh_rpc_client_peer_up",          METRIC_GAUGE,   METRIC_NUMBER, "0: the last message to each replica came to nobody.",                             { "peer" } }, offsetof(struct counted, is_up) },
};
/* clang-format on */

static void
meter_read(void *owner, struct metrics *metrics)
{
    const struct client_meter *meter = owner;
    const char *const peer = meter->peer;
    const struct counted counted = {
        .items = (int64_t)atomic_load(&meter->items),
        .retries = (int64_t)atomic_load(&meter->retries),
        .moves = (int64_t)atomic_load(&meter->moves),
        .forgone = (int64_t)atomic_load(&meter->forgone),
        .endpoints = (int64_t)atomic_load(&meter->endpoints->known),
        .left_out = (int64_t)atomic_load(&meter->endpoints->left_out),
        .waiting = (int64_t)atomic_load(meter->waiting),
        .is_up = !atomic_load(&meter->is_away),
    };

    metrics_set_fields(metrics, counts, sizeof counts / sizeof *counts, &peer, &counted);
    metric_set(metrics_series(metrics, &messages, (const char *const[]){ peer, "call" }),
               (int64_t)atomic_load(&meter->calls));
    metric_set(metrics_series(metrics, &messages, (const char *const[]){ peer, "envelope" }),
               (int64_t)atomic_load(&meter->envelopes));
}

void
client_meter_open(struct client_meter *meter, struct metrics *metrics, const char *peer,
                  const atomic_size_t *waiting, const struct endpoints *endpoints)
{
    meter->metrics = metrics;
    snprintf(meter->peer, sizeof meter->peer, "%s", peer);
    meter->endpoints = endpoints;
    meter->waiting = waiting;
    metrics_declare(metrics, &durations);
    metrics_read(metrics, meter_read, meter);
}

void
client_meter_close(struct client_meter *meter)
{
    metrics_read_end(meter->metrics, meter);
    for (size_t i = 0; i < meter->method_count; i++)
        free(meter->methods[i].name);
    free(meter->methods);
}

/* A handful of names: a walk over them is as quick as a map. */
static struct client_method *
method_of(struct client_meter *meter, const char *name)
{
    struct client_method *added;

    for (size_t i = 0; i < meter->method_count; i++) {
        if (strcmp(meter->methods[i].name, name) == 0)
            return &meter->methods[i];
    }
    if (meter->method_count == METHODS_MAX)
        return &meter->methods[METHODS_MAX - 1];
    if (meter->methods == NULL)
        meter->methods = memory_take(METHODS_MAX * sizeof *meter->methods);
    if (meter->method_count == METHODS_MAX - 1)
        name = "_OTHER";
    added = &meter->methods[meter->method_count++];
    added->name = memory_take(strlen(name) + 1);
    strcpy(added->name, name);
    return added;
}

void
client_meter_answered(struct client_meter *meter, const char *method, enum wire_code code,
                      int64_t us, const char *traceparent)
{
    struct client_method *of;

    if (meter->metrics == NULL)
        return;
    of = method_of(meter, method);
    rpc_durations_add(&of->durations, meter->metrics, &durations, of->name, (int)code, us,
                      traceparent);
}
