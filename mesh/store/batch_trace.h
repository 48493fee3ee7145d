/* batch_trace.h -- A batch as spans: one of the transaction, in a trace of its own, with how long its steps
 * took; and one of each op in it whose request is recorded, in that request's trace, with a link to the batch's.
 *
 * Thread    The store thread.
 * Units     *_us microseconds.
 */
#ifndef MESH_STORE_BATCH_TRACE_H
#define MESH_STORE_BATCH_TRACE_H

#include "mesh/base/call.h"
#include "mesh/observe/span.h"

enum batch_step { BATCH_LOADED, BATCH_DECIDED, BATCH_SAVED, BATCH_COMMITTED, BATCH_STEPS };

struct batch_trace {
    struct span span; /* off: none of the ops is recorded, and nothing is noted */
    char traceparent[TRACE_PARENT_BYTES + 1];
    int64_t step_us[BATCH_STEPS]; /* steady; 0: it did not come to that */
    int64_t began_us;             /* steady */
};

void batch_trace_begin(struct batch_trace *trace, struct call *const *calls, size_t count);
void batch_trace_step(struct batch_trace *trace, enum batch_step step);

/* name: the batch's. Ops are told of only when the transaction came to its end; else they are tried again or
 * refused. */
void batch_trace_end(const struct batch_trace *trace, const char *name, struct call *const *calls,
                     size_t count, enum error error);

#endif
