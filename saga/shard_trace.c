#include "saga/shard_trace.h"
#include "mesh/base/hash.h"
#include "mesh/observe/span.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 160 };

static void
step_span_begin(const struct instance *instance, struct uuid activation, struct span *span,
                char *traceparent)
{
    memcpy(traceparent, instance->traceparent, sizeof instance->traceparent);
    span_begin_as(span, traceparent,
                  hash_end(hash_bytes(HASH_SEED, &activation, sizeof activation)));
}

void
step_traceparent(const struct instance *instance, struct uuid activation,
                 char ret_traceparent[TRACE_PARENT_BYTES + 1])
{
    struct span span;

    step_span_begin(instance, activation, &span, ret_traceparent);
}

static const char *
error_of(const struct step *step)
{
    if (step->status == STATUS_SU)
        return NULL;
    return step->reason != NULL ? step->reason : step->class != NULL ? step->class : "FAILED";
}

static void
step_trace(const struct instance *instance, const struct step *step)
{
    const struct definition *definition = instance->definition;
    const char *state = definition->states[step->state].name;
    char name[NAME_BYTES], id[UUID_TEXT_BYTES + 1], traceparent[TRACE_PARENT_BYTES + 1];
    struct span span;

    step_span_begin(instance, step->activation, &span, traceparent);
    if (!span_is_on(&span))
        return;
    span.start_us = step->started_us;
    snprintf(name, sizeof name, "step %s", state);
    span_end_at(
        &span, traceparent, step->ended_us,
        &(struct span_note){
            .kind = SPAN_INTERNAL,
            .name = name,
            .error = error_of(step),
            .attributes = { { "sagamesh.saga.id", uuid_print(instance->id, id), 0 },
                            { "sagamesh.saga.definition", definition->name, 0 },
                            { "sagamesh.saga.state", state, 0 },
                            { "sagamesh.saga.status", status_text(step->status), 0 },
                            { "sagamesh.saga.attempts", NULL, step->attempts },
                            { step->undoes == STEP_NONE ? NULL : "sagamesh.saga.undoes",
                              step->undoes == STEP_NONE
                                  ? NULL
                                  : definition->states[instance->steps[step->undoes].state].name,
                              0 } } });
}

/* One that leaves the saga stuck has no answer yet: it is told when a person has settled it. */
void
steps_trace(const struct instance *instance, int current, const struct records *records)
{
    int entered = (int)instance->step_count;

    if (!spans_are_on() || !trace_is_sampled(instance->traceparent))
        return;
    for (size_t i = 0; i < records->count; i++)
        entered -= records->items[i].kind == RECORD_ENTER;
    for (size_t i = 0; i < records->count; i++) {
        const struct record *record = &records->items[i];

        if (record->kind == RECORD_ENTER)
            current = entered++;
        else if (record->kind == RECORD_REOPEN || record->kind == RECORD_SETTLE)
            current = record->retries_step;
        if ((record->kind == RECORD_DONE || record->kind == RECORD_SETTLE) && current >= 0 &&
            !(instance->is_stuck && current + 1 == (int)instance->step_count))
            step_trace(instance, &instance->steps[current]);
    }
}
