/* shard_trace.h -- Spans of a saga's steps: one for each activation, from when it was entered to its answer.
 *
 * A saga outlives its requests and its orchestrator, so no span is kept: it is made of the saga's stored
 * traceparent, of what its steps remember, and of an id that is derived from the activation's. What is
 * decided again after a crash is the same span.
 *
 * Thread    The shard's.
 */
#ifndef SAGA_SHARD_TRACE_H
#define SAGA_SHARD_TRACE_H

#include "mesh/observe/trace.h"
#include "saga/engine/instance.h"

/* The traceparent of the activation's calls: its span's, or the saga's where that is not recorded. */
void step_traceparent(const struct instance *instance, struct uuid activation,
                      char ret_traceparent[TRACE_PARENT_BYTES + 1]);

/* The records were decided and folded; current was the step whose answer was awaited before, or STEP_NONE. */
void steps_trace(const struct instance *instance, int current, const struct records *records);

#endif
