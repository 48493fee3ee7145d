#include "sagactl/ctl_timeline.h"

#include <stdio.h>
#include <string.h>

/* Tenths of a millisecond, without floating point. */
static const char *
ms_text(int64_t span_us, struct arena *arena)
{
    if (span_us < 0)
        return "-";
    return arena_print(arena, "%lld.%lld", (long long)(span_us / 1000),
                       (long long)(span_us / 100 % 10));
}

static void
print_step(const Sagamesh__Saga__V1__Step *step, int64_t began_us, struct arena *arena)
{
    int64_t took_us = step->ended_at_us > 0 ? step->ended_at_us - step->started_at_us : -1;

    printf("  %-20s %-30s %-4s %5d %9s %8s", ctl_clean_text(step->state, arena),
           ctl_call_text(step->call, arena), ctl_clean_text(step->status, arena), step->attempts,
           ms_text(step->started_at_us - began_us, arena), ms_text(took_us, arena));
    if (step->is_compensation)
        printf("  undoes");
    if (step->error_class[0] != '\0')
        printf("  %s: %s", ctl_clean_text(step->error_class, arena),
               ctl_clean_text(step->error_message, arena));
    putchar('\n');
}

void
ctl_timeline_print(const Sagamesh__Saga__V1__GetResponse *saga, struct arena *arena)
{
    printf("  %-20s %-30s %-4s %5s %9s %8s\n", "step", "call", "is", "tries", "at ms", "took ms");
    for (size_t i = 0; i < saga->n_steps; i++)
        print_step(saga->steps[i], saga->saga->started_at_us, arena);
}

void
ctl_saga_json(struct json_writer *writer, const Sagamesh__Saga__V1__Saga *saga)
{
    json_put_text(writer, "saga_id", saga->saga_id);
    json_put_text(writer, "definition", saga->definition);
    json_put_text(writer, "definition_hash", saga->definition_hash);
    json_put_text(writer, "phase", ctl_phase_text(saga->phase));
    json_put_text(writer, "status", saga->status);
    json_put_text(writer, "compensation_status", saga->compensation_status);
    json_put_text(writer, "state", saga->state);
    json_put_text(writer, "error_code", saga->error_code);
    json_put_text(writer, "error_message", saga->error_message);
    json_put_int(writer, "started_at_us", saga->started_at_us);
    json_put_int(writer, "changed_at_us", saga->changed_at_us);
    json_put_int(writer, "next_attempt_us", saga->next_attempt_us);
    json_put_bool(writer, "cancel_requested", saga->cancel_requested);
    json_put_text(writer, "context_json", saga->context_json);
}

void
ctl_steps_json(struct json_writer *writer, const Sagamesh__Saga__V1__GetResponse *saga)
{
    json_open_array(writer, "steps");
    for (size_t i = 0; i < saga->n_steps; i++) {
        const Sagamesh__Saga__V1__Step *step = saga->steps[i];

        json_open_object(writer, NULL);
        json_put_text(writer, "state", step->state);
        json_put_text(writer, "activation_id", step->activation_id);
        json_put_text(writer, "call", step->call);
        json_put_text(writer, "status", step->status);
        json_put_int(writer, "attempts", step->attempts);
        json_put_int(writer, "started_at_us", step->started_at_us);
        json_put_int(writer, "ended_at_us", step->ended_at_us);
        json_put_bool(writer, "is_compensation", step->is_compensation);
        json_put_text(writer, "error_class", step->error_class);
        json_put_text(writer, "error_message", step->error_message);
        json_close_object(writer);
    }
    json_close_array(writer);
}
