#include "mesh/store/batch_trace.h"
#include "mesh/base/clock.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 128 };

void
batch_trace_begin(struct batch_trace *trace, struct call *const *calls, size_t count)
{
    *trace = (struct batch_trace){ 0 };
    if (!spans_are_on())
        return;
    for (size_t i = 0; i < count; i++) {
        if (!trace_is_sampled(calls[i]->op->traceparent))
            continue;
        span_begin_shared(&trace->span, trace->traceparent);
        trace->began_us = clock_steady_us();
        return;
    }
}

void
batch_trace_step(struct batch_trace *trace, enum batch_step step)
{
    if (span_is_on(&trace->span))
        trace->step_us[step] = clock_steady_us();
}

/* How long a step took, since the one before it that was reached. */
static int64_t
step_took_us(const struct batch_trace *trace, enum batch_step step)
{
    int64_t before_us = trace->began_us;

    for (enum batch_step i = 0; i < step; i++) {
        if (trace->step_us[i] != 0)
            before_us = trace->step_us[i];
    }
    return trace->step_us[step] == 0 ? 0 : trace->step_us[step] - before_us;
}

static void
op_end(const struct batch_trace *trace, const struct call *call, int64_t end_us)
{
    char name[NAME_BYTES], traceparent[TRACE_PARENT_BYTES + 1];
    struct span span;

    if (!trace_is_sampled(call->op->traceparent))
        return;
    memcpy(traceparent, call->op->traceparent, sizeof traceparent);
    span_begin(&span, traceparent);
    if (!span_is_on(&span))
        return;
    span.start_us = trace->span.start_us;
    snprintf(name, sizeof name, "op %s", call->method->name);
    span_end_at(&span, traceparent, end_us,
                &(struct span_note){
                    .kind = SPAN_INTERNAL,
                    .name = name,
                    .link = trace->traceparent,
                    .attributes = { { "sagamesh.op", call->method->name, 0 },
                                    { "sagamesh.refused",
                                      call->op->problem.error == ERR_OK ? "no" : "yes", 0 } } });
}

void
batch_trace_end(const struct batch_trace *trace, const char *name, struct call *const *calls,
                size_t count, enum error error)
{
    int64_t end_us = clock_now_us();
    char text[NAME_BYTES];

    if (!span_is_on(&trace->span))
        return;
    snprintf(text, sizeof text, "batch %s", name);
    span_end_at(&trace->span, trace->traceparent, end_us,
                &(struct span_note){
                    .kind = SPAN_CLIENT,
                    .name = text,
                    .error = error == ERR_OK ? NULL : error_name(error),
                    .attributes = {
                        { "db.system.name", "postgresql", 0 },
                        { "db.operation.batch.size", NULL, (int64_t)count },
                        { "sagamesh.load_us", NULL, step_took_us(trace, BATCH_LOADED) },
                        { "sagamesh.decide_us", NULL, step_took_us(trace, BATCH_DECIDED) },
                        { "sagamesh.save_us", NULL, step_took_us(trace, BATCH_SAVED) },
                        { "sagamesh.commit_us", NULL, step_took_us(trace, BATCH_COMMITTED) } } });
    for (size_t i = 0; error == ERR_OK && i < count; i++)
        op_end(trace, calls[i], end_us);
}
