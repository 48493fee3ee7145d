/* client_meter.h -- What a client counts. Inside mesh/rpc/client only.
 *
 * Thread    client_meter_answered: the client's. The others: the one that opens and closes; the counters: any.
 * Memory    The meter stands in its client, and ends before it.
 */
#ifndef MESH_RPC_CLIENT_METER_H
#define MESH_RPC_CLIENT_METER_H

#include "mesh/observe/metrics.h"
#include "mesh/rpc/client_endpoint.h"

#include <stdatomic.h>

struct client_method;

struct client_meter {
    struct metrics *metrics;               /* NULL: nothing is counted */
    char peer[METRIC_LABEL_BYTES_MAX + 1]; /* its target; the beginning of a long one */
    const atomic_size_t *waiting;          /* the client's requests that wait */
    const struct endpoints *endpoints;
    atomic_uint_fast64_t calls, envelopes, items, retries, moves, forgone;
    atomic_bool is_away;
    struct client_method *methods; /* the client's thread's; those that were called */
    size_t method_count;
};

void client_meter_open(struct client_meter *meter, struct metrics *metrics, const char *peer,
                       const atomic_size_t *waiting, const struct endpoints *endpoints);
void client_meter_close(struct client_meter *meter);

/* The last answer to a request that was sent so long ago. */
void client_meter_answered(struct client_meter *meter, const char *method, enum wire_code code,
                           int64_t us, const char *traceparent);

#endif
