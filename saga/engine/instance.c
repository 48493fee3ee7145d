#include "saga/engine/instance.h"
#include "mesh/base/text.h"
#include "saga/engine/exception.h"
#include "saga/engine/instance_inner.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const char *const phases[PHASE_COUNT] = {
    [PHASE_NEW] = "NEW",                   [PHASE_RUNNING] = "RUNNING", [PHASE_RETRYING] = "RETRYING",
    [PHASE_COMPENSATING] = "COMPENSATING", [PHASE_STUCK] = "STUCK",     [PHASE_ENDED] = "ENDED",
    [PHASE_WAITING] = "WAITING",
};
/* clang-format on */

const char *
phase_text(enum phase phase)
{
    return phases[phase];
}

struct instance *
instance_new(struct uuid id)
{
    struct instance *instance = memory_take(sizeof *instance);

    instance->id = id;
    instance->current = STEP_NONE;
    instance->state = instance->trigger = instance->enter_after_undo = STATE_NONE;
    instance->standing = STATE_NONE;
    return instance;
}

struct instance *
instance_free(struct instance *instance)
{
    if (instance == NULL)
        return NULL;
    for (size_t i = 0; i < instance->step_count; i++) {
        free(instance->steps[i].class);
        free(instance->steps[i].reason);
        free(instance->steps[i].message);
        json_decref(instance->steps[i].inputs);
    }
    for (size_t i = 0; i < instance->signal_count; i++) {
        free(instance->signals[i].event);
        json_decref(instance->signals[i].early);
    }
    free(instance->steps);
    free(instance->error_code);
    free(instance->error_message);
    json_decref(instance->context);
    json_decref(instance->input);
    json_decref(instance->audit);
    free(instance);
    return NULL;
}

/* Folding. The context is never what a record, an event or another instance also holds: its values
 * may be shared, the object itself is ours. */

static void
text_set(char **text, const char *value)
{
    free(*text);
    *text = NULL;
    if (value != NULL) {
        *text = memory_take(strlen(value) + 1);
        memcpy(*text, value, strlen(value));
    }
}

/* Only ever adds, so that it is cheap: an overwritten value is counted twice, until a saga near the
 * limit is counted exactly. */
static void
context_update(struct instance *instance, const json_t *set)
{
    instance->context_bytes += json_tree_bytes(set, SIZE_MAX);
    json_object_update(instance->context, (json_t *)set);
}

/* Returns what it takes. */
static size_t
put_key(const struct definition *definition, json_t *context, int state, struct uuid activation)
{
    char key[256], text[UUID_TEXT_BYTES + 1];
    int bytes = snprintf(key, sizeof key, "%s_business_key_", definition->states[state].name);

    json_object_set_new(context, key, json_string(uuid_print(activation, text)));
    return (size_t)bytes + UUID_TEXT_BYTES + 6;
}

/* A state that was activated more than once is undone by the id of the activation meant. */
static size_t
put_keys(const struct instance *instance, json_t *context, int state, struct uuid activation,
         int undoes)
{
    const struct step *undone = undoes < 0 ? NULL : &instance->steps[undoes];
    size_t bytes = 0;

    if (undone != NULL)
        bytes = put_key(instance->definition, context, undone->state, undone->activation);
    return bytes + put_key(instance->definition, context, state, activation);
}

json_t *
instance_context_ahead(const struct instance *instance, int state, struct uuid activation,
                       int undoes)
{
    json_t *context = json_copy(instance->context);

    put_keys(instance, context, state, activation, undoes);
    return context;
}

static void
error_set(struct step *step, const struct record *record)
{
    text_set(&step->class, record->class);
    text_set(&step->reason, record->reason);
    text_set(&step->message, record->message);
}

void
instance_trace(struct instance *instance, const char *text)
{
    if (text != NULL && strlen(text) < sizeof instance->traceparent &&
        (text[0] == '\0' || text_is_of(text, TEXT_LETTERS_AND_DIGITS "-")))
        snprintf(instance->traceparent, sizeof instance->traceparent, "%s", text);
}

static void
fold_start(struct instance *instance, const struct record *record)
{
    instance->definition = record->definition;
    instance->input = json_incref(record->set);
    instance->context = json_object();
    context_update(instance, record->set);
    instance->status = STATUS_RU;
    instance->started_us = record->time_us;
    instance_trace(instance, record->traceparent);
}

struct step *
instance_step_add(struct instance *instance)
{
    if (instance->step_count == instance->step_size) {
        instance->step_size = instance->step_size == 0 ? 8 : instance->step_size * 2;
        instance->steps =
            memory_grow(instance->steps, instance->step_size * sizeof *instance->steps);
    }
    instance->current = (int)instance->step_count;
    memset(&instance->steps[instance->step_count], 0, sizeof *instance->steps);
    return &instance->steps[instance->step_count++];
}

static struct signal_seen *
signal_find(struct instance *instance, const char *event)
{
    for (size_t i = 0; i < instance->signal_count; i++) {
        if (strcmp(instance->signals[i].event, event) == 0)
            return &instance->signals[i];
    }
    return NULL;
}

/* The wait that is under way brings the newest news of its event into the context. Only a wait does: the
 * Input of a task is the same at each attempt. */
static void
take_news(struct instance *instance)
{
    int state = instance->steps[instance->current].state;
    const char *event = instance->definition->states[state].event;
    struct signal_seen *seen = event == NULL ? NULL : signal_find(instance, event);

    if (seen == NULL || seen->early == NULL)
        return;
    json_object_set_new(instance->context, event, seen->early);
    seen->early = NULL;
}

static void
fold_signal(struct instance *instance, const struct record *record)
{
    struct signal_seen *seen = signal_find(instance, record->event);

    if (seen == NULL) {
        seen = &instance->signals[instance->signal_count++];
        text_set(&seen->event, record->event);
    }
    seen->version = record->version;
    seen->id = record->activation;
    json_decref(seen->early);
    seen->early = json_incref(record->set);
    instance->context_bytes += json_tree_bytes(record->set, SIZE_MAX) + strlen(record->event) + 4;
    if (instance_is_waiting(instance))
        take_news(instance);
}

static void
fold_enter(struct instance *instance, const struct record *record)
{
    bool is_wait = instance->definition->states[record->state].kind == STATE_WAIT_FOR_EVENT;
    struct step *step = instance_step_add(instance);

    step->state = record->state;
    step->activation = record->activation;
    step->status = STATUS_RU;
    step->undoes = record->undoes;
    step->started_us = record->time_us;
    step->next_us = record->next_us == 0 ? record->time_us : record->next_us;
    step->budget_us = record->budget_us;
    step->is_long = record->is_long;
    if (record->retries_step >= 0) {
        struct step *old = &instance->steps[record->retries_step];

        old->is_retried = true;
        if (record->retry_rule >= 0) {
            memcpy(step->retries, old->retries, sizeof step->retries);
            step->retries[record->retry_rule]++;
        }
    }
    step->inputs = json_incref(record->set);
    if (record->undoes >= 0)
        instance->steps[record->undoes].compensation = STATUS_RU;
    else
        instance->enter_after_undo = STATE_NONE;
    if (!is_wait)
        instance->context_bytes += put_keys(instance, instance->context, record->state,
                                            record->activation, record->undoes);
    instance->state = record->state;
    if (is_wait)
        take_news(instance);
    if (!instance->is_after_trigger)
        instance->status = STATUS_RU;
}

static void
fold_attempt(struct instance *instance, const struct record *record)
{
    struct step *step = &instance->steps[instance->current];

    step->attempts++;
    step->is_unknown = step->is_unknown || record->is_unknown;
    step->next_us = record->next_us == 0 ? record->time_us : record->next_us;
    if (record->retry_rule >= 0)
        step->retries[record->retry_rule]++;
    error_set(step, record);
}

static void
fold_done(struct instance *instance, const struct record *record)
{
    struct step *step = &instance->steps[instance->current];

    step->status = record->status;
    step->ended_us = record->time_us;
    step->attempts += record->was_called;
    step->is_unknown = record->is_unknown;
    step->is_caught = record->is_caught;
    error_set(step, record);
    if (step->undoes >= 0)
        instance->steps[step->undoes].compensation = record->status;
    if (record->class != NULL && strcmp(record->class, CLASS_CANCELED) == 0)
        instance->cancel_raised = true;
    if (record->set != NULL)
        context_update(instance, record->set);
    if (!record->is_unknown) { /* it is not asked again */
        json_decref(step->inputs);
        step->inputs = NULL;
    }
    instance->current = STEP_NONE;
}

static void
fold_settle(struct instance *instance, const struct record *record)
{
    struct step *step = &instance->steps[record->retries_step];

    step->status = record->status;
    step->ended_us = record->time_us;
    step->is_unknown = false;
    step->is_caught = record->is_caught;
    error_set(step, record);
    json_decref(step->inputs);
    step->inputs = NULL;
    if (step->undoes >= 0)
        instance->steps[step->undoes].compensation = record->status;
    if (record->set != NULL)
        context_update(instance, record->set);
    if (!instance->is_after_trigger)
        instance->status = STATUS_RU;
}

static void
fold_reopen(struct instance *instance, const struct record *record)
{
    struct step *step = &instance->steps[record->retries_step];

    step->status = STATUS_RU;
    step->ended_us = 0;
    step->next_us = record->time_us;
    step->budget_us = record->budget_us;
    memset(step->retries, 0, sizeof step->retries);
    if (step->undoes >= 0)
        instance->steps[step->undoes].compensation = STATUS_RU;
    instance->current = record->retries_step;
    instance->state = step->state;
    if (!instance->is_after_trigger)
        instance->status = STATUS_RU;
}

static void
fold_trigger(struct instance *instance, const struct record *record)
{
    instance->trigger = record->state;
    if (record->state != STATE_NONE)
        instance->state = record->state;
    instance->is_after_trigger = true;
    instance->compensation = record->compensation;
    instance->enter_after_undo = STATE_NONE;
    if (record->compensation == STATUS_RU) {
        instance->is_undoing = true;
        instance->status = STATUS_UN;
    }
}

static void
fold_end(struct instance *instance, const struct record *record)
{
    instance->status = record->status;
    instance->is_ended = record->kind == RECORD_END;
    instance->is_stuck = record->kind == RECORD_STUCK;
    instance->standing = record->state;
    if (record->state != STATE_NONE && record->state != definition_end(instance->definition))
        instance->state = record->state;
    if (record->compensation != STATUS_NONE)
        instance->compensation = record->compensation;
    text_set(&instance->error_code, record->reason);
    text_set(&instance->error_message, record->message);
}

static void
fold_operator(struct instance *instance, const struct record *record)
{
    if (instance->audit == NULL)
        instance->audit = json_array();
    json_array_append_new(instance->audit,
                          json_pack("{s:I, s:s, s:s}", "at", (json_int_t)record->time_us, "action",
                                    record->reason, "comment",
                                    record->message == NULL ? "" : record->message));
    if (record->set != NULL)
        context_update(instance, record->set);
    instance->is_stuck = false;
    instance->standing = STATE_NONE;
    instance->enter_after_undo = record->state;
    text_set(&instance->error_code, NULL);
    text_set(&instance->error_message, NULL);
}

void
instance_fold(struct instance *instance, const struct record *record)
{
    assert(instance_refuses(instance, record) == NULL);
    instance->changed_us = record->time_us;
    instance->version++;
    switch (record->kind) {
    case RECORD_START:
        fold_start(instance, record);
        break;
    case RECORD_ENTER:
        fold_enter(instance, record);
        break;
    case RECORD_ATTEMPT:
        fold_attempt(instance, record);
        break;
    case RECORD_DONE:
        fold_done(instance, record);
        break;
    case RECORD_REOPEN:
        fold_reopen(instance, record);
        break;
    case RECORD_TRIGGER:
        fold_trigger(instance, record);
        break;
    case RECORD_UNDONE:
        instance->is_undoing = false;
        instance->compensation = record->compensation;
        break;
    case RECORD_STUCK:
    case RECORD_END:
        fold_end(instance, record);
        break;
    case RECORD_CANCEL:
        instance->cancel_requested = true;
        break;
    case RECORD_OPERATOR:
        fold_operator(instance, record);
        break;
    case RECORD_SIGNAL:
        fold_signal(instance, record);
        break;
    case RECORD_SETTLE:
        fold_settle(instance, record);
        break;
    case RECORD_KIND_COUNT:
        assert(false && "a record of no kind");
    }
}

enum phase
instance_phase(const struct instance *instance)
{
    if (instance->definition == NULL)
        return PHASE_NEW;
    if (instance->is_ended)
        return PHASE_ENDED;
    if (instance->is_stuck)
        return PHASE_STUCK;
    if (instance->is_undoing)
        return PHASE_COMPENSATING;
    if (instance_is_waiting(instance))
        return PHASE_WAITING;
    if (instance->current != STEP_NONE && instance->steps[instance->current].attempts > 0)
        return PHASE_RETRYING;
    return PHASE_RUNNING;
}

bool
instance_is_waiting(const struct instance *instance)
{
    return instance->current != STEP_NONE &&
           instance->definition->states[instance->steps[instance->current].state].kind ==
               STATE_WAIT_FOR_EVENT;
}

const struct signal_seen *
instance_signal(const struct instance *instance, const char *event)
{
    return signal_find((struct instance *)instance, event);
}

size_t
instance_bytes(const struct instance *instance)
{
    size_t bytes = json_tree_bytes(instance->context, SIZE_MAX);

    for (size_t i = 0; i < instance->signal_count; i++) {
        if (instance->signals[i].early != NULL)
            bytes += json_tree_bytes(instance->signals[i].early, SIZE_MAX);
    }
    return bytes;
}

bool
instance_is_past_pivot(const struct instance *instance)
{
    for (size_t i = 0; i < instance->step_count; i++) {
        const struct step *step = &instance->steps[i];

        if (instance->definition->states[step->state].is_pivot && !step->is_retried &&
            step->status != STATUS_FA)
            return true;
    }
    return false;
}
