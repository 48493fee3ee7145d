/* durations.h -- How long the calls of one method took, by what was answered: for the server and for clients.
 *
 * A code has its series from the first answer with it on; it is kept, so that an answer costs two atomics.
 *
 * Thread    Any.
 * Memory    Series are their metrics'. The method's name outlives nothing: it is copied into the series.
 * Units     microseconds.
 */
#ifndef MESH_RPC_DURATIONS_H
#define MESH_RPC_DURATIONS_H

#include "mesh/base/error.h"
#include "mesh/observe/metrics.h"

#include <stdatomic.h>

struct rpc_durations {
    _Atomic(struct metric_series *) of[WIRE_CODES];
};

/* row: a histogram with the labels method and code. metrics NULL: nothing is counted. traceparent: the call's, or "". */
void rpc_durations_add(struct rpc_durations *durations, struct metrics *metrics,
                       const struct metric_row *row, const char *method, int code, int64_t us,
                       const char *traceparent);

/* The method is shown with zeros before it is called for the first time. */
void rpc_durations_show(struct rpc_durations *durations, struct metrics *metrics,
                        const struct metric_row *row, const char *method);

#endif
