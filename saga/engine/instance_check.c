/* instance_check.c -- May this be folded, and may this row be gone on with? Pages and rows come from disks,
 * other versions of this program and hands. What does not fit makes one saga stuck; what fits can do no
 * harm: every index is within, and what a kind of record needs is there. */
#include "saga/engine/instance.h"

#include <string.h>

/* So far that sums of it and any delay are still numbers. What is read must end long before, so that a shard
 * whose time is brought there by it never comes to what cannot be written. */
#define TIME_MAX_US (2 * RECORD_READ_MAX_US)
#define COUNT_MAX (INT64_C(1) << 30)

static bool
is_in(int index, size_t count)
{
    return index >= -1 && (index == -1 || (size_t)index < count);
}

static bool
is_object_or_none(const json_t *json)
{
    return json == NULL || json_is_object(json);
}

static const char *
check_start(const struct instance *instance, const struct record *record)
{
    if (instance->definition != NULL)
        return "a second start";
    return record->definition != NULL && json_is_object(record->set)
               ? NULL
               : "a start that starts nothing";
}

static const char *
check_enter(const struct instance *instance, const struct record *record)
{
    if (record->state < 0 || (size_t)record->state >= instance->definition->state_count)
        return "it enters a state that does not exist";
    if (!is_in(record->undoes, instance->step_count) ||
        !is_in(record->retries_step, instance->step_count) ||
        !is_in(record->retry_rule, RETRY_RULES_MAX))
        return "it names a step that does not exist";
    if (instance->current != STEP_NONE || instance->is_stuck)
        return "it enters a state while another is under way, or it is stuck";
    if (instance->step_count >= STEPS_MAX)
        return "it has more steps than a saga can have";
    return record->set == NULL || json_is_array(record->set) ? NULL : "its Input is no list";
}

static const char *
check_attempt(const struct instance *instance, const struct record *record)
{
    if (instance->current == STEP_NONE)
        return "an attempt of nothing";
    return is_in(record->retry_rule, RETRY_RULES_MAX) ? NULL
                                                      : "it names a rule that does not exist";
}

static const char *
check_done(const struct instance *instance, const struct record *record)
{
    if (instance->current == STEP_NONE)
        return "the end of nothing";
    if (record->status == STATUS_NONE || record->status == STATUS_RU)
        return "an end that is none";
    return is_object_or_none(record->set) ? NULL : "what it sets is no object";
}

static const char *
check_reopen(const struct instance *instance, const struct record *record)
{
    if (record->retries_step < 0 || (size_t)record->retries_step >= instance->step_count)
        return "it names a step that does not exist";
    return instance->current == STEP_NONE && !instance->is_stuck
               ? NULL
               : "it asks again while another is under way, or it is stuck";
}

static const char *
check_settle(const struct instance *instance, const struct record *record)
{
    if (record->retries_step < 0 || (size_t)record->retries_step >= instance->step_count)
        return "it names a step that does not exist";
    if (record->status != STATUS_SU && record->status != STATUS_FA)
        return "it settles nothing";
    if (instance->current != STEP_NONE || instance->is_stuck)
        return "it settles while a call is under way, or it is stuck";
    return is_object_or_none(record->set) ? NULL : "what it sets is no object";
}

static const char *
check_state(const struct instance *instance, const struct record *record)
{
    return is_in(record->state, instance->definition->state_count)
               ? NULL
               : "it names a state that does not exist";
}

static const char *
check_stuck(const struct instance *instance, const struct record *record)
{
    return is_in(record->state, instance->definition->state_count + 1)
               ? NULL
               : "it is stuck at a state that does not exist";
}

static const char *
check_operator(const struct instance *instance, const struct record *record)
{
    if (record->reason == NULL || !is_object_or_none(record->set))
        return "an operator who decides nothing";
    return check_state(instance, record);
}

static const char *
check_signal(const struct instance *instance, const struct record *record)
{
    if (record->event == NULL || !json_is_object(record->set))
        return "news of nothing";
    return instance->signal_count < EVENTS_MAX || instance_signal(instance, record->event) != NULL
               ? NULL
               : "news of more events than a saga can have";
}

static const char *
check_nothing(const struct instance *instance, const struct record *record)
{
    (void)instance;
    (void)record;
    return NULL;
}

const char *
instance_refuses(const struct instance *instance, const struct record *record)
{
    static const char *(*const checks[RECORD_KIND_COUNT])(const struct instance *,
                                                          const struct record *) = {
        [RECORD_START] = check_start,       [RECORD_ENTER] = check_enter,
        [RECORD_ATTEMPT] = check_attempt,   [RECORD_DONE] = check_done,
        [RECORD_REOPEN] = check_reopen,     [RECORD_TRIGGER] = check_state,
        [RECORD_UNDONE] = check_nothing,    [RECORD_STUCK] = check_stuck,
        [RECORD_END] = check_nothing,       [RECORD_CANCEL] = check_nothing,
        [RECORD_OPERATOR] = check_operator, [RECORD_SIGNAL] = check_signal,
        [RECORD_SETTLE] = check_settle,
    };

    if (!uuid_equal(instance->id, record->saga_id))
        return "it is of another saga";
    if (instance->is_ended)
        return "it has ended before";
    if (record->kind != RECORD_START && instance->definition == NULL)
        return "it has not started";
    if (record->time_us > TIME_MAX_US)
        return "its time is too far ahead";
    if (record->number != 0 && record->number != instance->version + 1)
        return record->number > instance->version ? "a record before it is missing"
                                                  : "it was here before";
    return checks[record->kind](instance, record);
}

static bool
is_step_whole(const struct instance *instance, int index)
{
    const struct step *step = &instance->steps[index];

    return step->state >= 0 && (size_t)step->state < instance->definition->state_count &&
           is_in(step->undoes, (size_t)index) && step->attempts < COUNT_MAX &&
           (step->inputs == NULL || json_is_array(step->inputs));
}

const char *
instance_flaw(const struct instance *instance)
{
    size_t states = instance->definition->state_count;

    if (instance->started_us > RECORD_READ_MAX_US || instance->changed_us > RECORD_READ_MAX_US ||
        instance->version > COUNT_MAX)
        return "its time or its version is too far ahead";
    if (!json_is_object(instance->context) || !json_is_object(instance->input) ||
        (instance->audit != NULL && !json_is_array(instance->audit)))
        return "its context, input or audit is not what was written";
    if (!is_in(instance->state, states) || !is_in(instance->trigger, states) ||
        !is_in(instance->enter_after_undo, states) || !is_in(instance->standing, states + 1))
        return "it names a state that does not exist";
    if (!is_in(instance->current, instance->step_count) || instance->step_count > STEPS_MAX)
        return "it names a step that does not exist";
    for (size_t i = 0; i < instance->step_count; i++) {
        if (!is_step_whole(instance, (int)i))
            return "a step of it is not what was written";
    }
    for (size_t i = 0; i < instance->signal_count; i++) {
        if (instance->signals[i].event == NULL || !is_object_or_none(instance->signals[i].early))
            return "news of it is not what was written";
    }
    return NULL;
}

const char *
instance_limbo(const struct instance *instance)
{
    int count = (instance->current != STEP_NONE) + instance->is_stuck + instance->is_ended;

    return count == 1 ? NULL : "it is not just one of under way, stuck and ended";
}
