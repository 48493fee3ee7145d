/* history.c -- An instance for people: what `show` prints and final rows keep. */
#include "mesh/base/hash.h"
#include "saga/engine/instance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Order of members does not matter; order of elements does. */
static uint64_t
hash_json(uint64_t seed, const json_t *json)
{
    uint64_t sum = 0;
    const char *key;
    json_t *value;
    double real;
    size_t i;

    switch (json_typeof(json)) {
    case JSON_OBJECT:
        json_object_foreach((json_t *)json, key, value) sum +=
            hash_end(hash_json(hash_text(HASH_SEED, key), value));
        return hash_int(seed, (int64_t)sum);
    case JSON_ARRAY:
        json_array_foreach(json, i, value) seed = hash_json(seed, value);
        return hash_int(seed, (int64_t)json_array_size(json));
    case JSON_STRING:
        return hash_bytes(hash_int(seed, 1), json_string_value(json), json_string_length(json));
    case JSON_INTEGER:
        return hash_int(hash_int(seed, 2), json_integer_value(json));
    case JSON_REAL:
        real = json_real_value(json);
        return hash_bytes(hash_int(seed, 3), &real, sizeof real);
    default:
        return hash_int(seed, 4 + (int)json_typeof(json));
    }
}

uint64_t
start_fingerprint(const char *definition, const json_t *input)
{
    return hash_end(hash_json(hash_text(HASH_SEED, definition), input));
}

static void
put_text(struct json_writer *writer, const char *key, const char *text)
{
    if (text != NULL && text[0] != '\0')
        json_put_text(writer, key, text);
}

static void
put_int(struct json_writer *writer, const char *key, int64_t value)
{
    if (value != 0)
        json_put_int(writer, key, value);
}

static void
step_history(const struct instance *instance, const struct step *step, struct json_writer *writer)
{
    const struct state *state = &instance->definition->states[step->state];
    char id[UUID_TEXT_BYTES + 1], call[512];

    if (state->event != NULL)
        snprintf(call, sizeof call, "event %s", state->event);
    else
        snprintf(call, sizeof call, "%s/%s", state->service == NULL ? "" : state->service,
                 state->method == NULL ? "" : state->method);
    json_open_object(writer, NULL);
    json_put_text(writer, "state", state->name);
    json_put_text(writer, "activationId", uuid_print(step->activation, id));
    json_put_text(writer, "call", call);
    json_put_text(writer, "status", status_text(step->status));
    put_int(writer, "attempts", step->attempts);
    put_int(writer, "startedAtUs", step->started_us);
    put_int(writer, "endedAtUs", step->ended_us);
    if (step->undoes >= 0)
        json_put_bool(writer, "isCompensation", true);
    put_text(writer, "compensationStatus", status_text(step->compensation));
    put_text(writer, "errorClass", step->class);
    put_text(writer, "errorReason", step->reason);
    put_text(writer, "errorMessage", step->message);
    json_close_object(writer);
}

static void
signals_history(const struct instance *instance, struct json_writer *writer)
{
    json_open_array(writer, "signals");
    for (size_t i = 0; i < instance->signal_count; i++) {
        json_open_object(writer, NULL);
        json_put_text(writer, "event", instance->signals[i].event);
        json_put_int(writer, "version", instance->signals[i].version);
        json_close_object(writer);
    }
    json_close_array(writer);
}

static int64_t
next_attempt_us(const struct instance *instance)
{
    enum phase phase = instance_phase(instance);

    if ((phase != PHASE_RETRYING && phase != PHASE_WAITING) || instance->current == STEP_NONE)
        return 0;
    return instance->steps[instance->current].next_us;
}

void
instance_history(const struct instance *instance, struct json_writer *writer)
{
    const struct definition *definition = instance->definition;
    char id[UUID_TEXT_BYTES + 1], fingerprint[17];

    snprintf(fingerprint, sizeof fingerprint, "%016llx",
             (unsigned long long)start_fingerprint(instance->definition->name, instance->input));
    json_open_object(writer, NULL);
    json_put_text(writer, "sagaId", uuid_print(instance->id, id));
    json_put_text(writer, "definition", definition->name);
    json_put_text(writer, "definitionHash", definition->hash);
    json_put_text(writer, "phase", phase_text(instance_phase(instance)));
    put_text(writer, "status", status_text(instance->status));
    put_text(writer, "compensationStatus", status_text(instance->compensation));
    if (instance->state != STATE_NONE)
        json_put_text(writer, "state", definition->states[instance->state].name);
    put_text(writer, "errorCode", instance->error_code);
    put_text(writer, "errorMessage", instance->error_message);
    put_int(writer, "startedAtUs", instance->started_us);
    put_int(writer, "changedAtUs", instance->changed_us);
    put_int(writer, "version", instance->version);
    put_int(writer, "nextAttemptUs", next_attempt_us(instance));
    if (instance->cancel_requested)
        json_put_bool(writer, "cancelRequested", true);
    put_text(writer, "traceparent", instance->traceparent);
    json_put_text(writer, "startFingerprint", fingerprint);
    if (instance->signal_count > 0)
        signals_history(instance, writer);
    if (instance->audit != NULL)
        json_put_tree(writer, "audit", instance->audit);
    json_put_tree(writer, "context", instance->context);
    json_open_array(writer, "steps");
    for (size_t i = 0; i < instance->step_count; i++)
        step_history(instance, &instance->steps[i], writer);
    json_close_array(writer);
    json_close_object(writer);
}
