/* undo.c -- Compensation: newest first, one after the other, stopping at the first that fails. */
#include "saga/engine/turn.h"

#include <string.h>

/* To be undone? A state that failed for sure did nothing; one of unknown outcome is undone like one
 * that was done, because every undo leaves a tombstone. */
static bool
is_candidate(const struct instance *instance, const struct step *step)
{
    return step->undoes < 0 && !step->is_retried && step->status != STATUS_FA &&
           step->compensation != STATUS_SU &&
           instance->definition->states[step->state].compensate_state != STATE_NONE;
}

static int
newest_candidate(const struct instance *instance)
{
    for (size_t i = instance->step_count; i > 0; i--) {
        if (is_candidate(instance, &instance->steps[i - 1]))
            return (int)i - 1;
    }
    return STEP_NONE;
}

/* An update that happened and that nothing undoes, or what may be one: then nothing is undone, and a person decides
 * (Seata's 0406). The pivot is no such update: who undoes past it knows. */
static const struct state *
find_not_undoable(const struct instance *instance)
{
    for (size_t i = 0; i < instance->step_count; i++) {
        const struct step *step = &instance->steps[i];
        const struct state *state = &instance->definition->states[step->state];

        if (step->undoes < 0 && !step->is_retried && step->status != STATUS_FA &&
            state->compensate_state == STATE_NONE && !state->is_pivot &&
            (state->is_for_update || state->kind == STATE_UNREADABLE))
            return state;
    }
    return NULL;
}

const struct state *
undo_find_left(const struct instance *instance)
{
    int index = newest_candidate(instance);

    return index == STEP_NONE ? NULL : &instance->definition->states[instance->steps[index].state];
}

static void
record_trigger(struct turn *turn, int trigger, bool has_work)
{
    struct record *record = turn_record(turn, RECORD_TRIGGER);

    record->state = trigger;
    record->compensation = has_work ? STATUS_RU : STATUS_NONE;
    turn_fold(turn, record);
}

static int
go_on(struct turn *turn)
{
    struct instance *instance = turn->instance;
    int index = newest_candidate(instance);
    struct record *record;

    if (index != STEP_NONE)
        return undo_step(turn, index);
    if (instance->is_undoing) {
        record = turn_record(turn, RECORD_UNDONE);
        record->compensation = STATUS_SU;
        turn_fold(turn, record);
    }
    if (instance->trigger == STATE_NONE)
        return STATE_NONE;
    return turn_state(turn, instance->trigger)->kind == STATE_COMPENSATION_TRIGGER
               ? turn_state(turn, instance->trigger)->next
               : instance->trigger; /* undo_left() */
}

int
undo_begin(struct turn *turn, int trigger, bool is_persons_wish)
{
    struct instance *instance = turn->instance;
    const struct state *state = find_not_undoable(instance);

    if (!is_persons_wish && instance_is_past_pivot(instance))
        return turn_stuck(turn, CLASS_DEFINITION, "a CompensationTrigger behind the pivot");
    if (state != NULL)
        return turn_stuck(turn, CLASS_DEFINITION,
                          arena_print(turn->records->arena,
                                      "%s happened and has no CompensateState", state->name));
    record_trigger(turn, trigger, newest_candidate(instance) != STEP_NONE);
    return go_on(turn);
}

int
undo_resume(struct turn *turn)
{
    record_trigger(turn, turn->instance->trigger, true);
    return go_on(turn);
}

int
undo_left(struct turn *turn, int then)
{
    record_trigger(turn, then, true);
    return go_on(turn);
}

/* Undoes one step. What failed to undo it before is asked again under the same id when nobody knows
 * what came of it, and otherwise takes a new one. */
int
undo_step(struct turn *turn, int step_index)
{
    const struct instance *instance = turn->instance;
    int undo = turn_state(turn, instance->steps[step_index].state)->compensate_state;

    for (size_t i = instance->step_count; i > 0; i--) {
        const struct step *before = &instance->steps[i - 1];

        if (before->undoes != step_index || before->is_retried)
            continue;
        return before->is_unknown && task_may_be_reopened(turn, before)
                   ? task_reopen(turn, (int)i - 1)
                   : task_enter_again(turn, (int)i - 1, -1, 0);
    }
    if (undo == STATE_NONE) /* of a stored version that has lost it */
        return turn_stuck(turn, CLASS_DEFINITION, "nothing undoes it any more");
    return task_activate(turn, undo, step_index, STEP_NONE, -1, 0);
}

/* Seata's rule for a compensation that stopped: FA when nothing was undone, and something more than what
 * failed is left to be undone. */
static enum status
stopped_status(const struct instance *instance, const struct step *failed)
{
    const struct state *state = &instance->definition->states[failed->state];
    bool was_any_done = false, is_any_left = false;

    if (state->catch_count == 0 || failed->status == STATUS_UN)
        return STATUS_UN;
    for (size_t i = 0; i < instance->step_count; i++) {
        const struct step *step = &instance->steps[i];

        was_any_done = was_any_done || (step->undoes >= 0 && !step->is_retried &&
                                        (step->status == STATUS_SU || step->status == STATUS_UN));
        is_any_left = is_any_left || ((int)i != failed->undoes && is_candidate(instance, step));
    }
    return was_any_done || !is_any_left ? STATUS_UN : STATUS_FA;
}

int
undo_step_done(struct turn *turn, int step_index)
{
    struct instance *instance = turn->instance;
    const struct step *step = &instance->steps[step_index];

    if (step->status == STATUS_SU && instance->is_undoing)
        return go_on(turn);
    if (step->status == STATUS_SU) /* an operator's retry: now the new activation */
        return task_enter_again(turn, step->undoes, -1, 0);
    if (instance->is_undoing) {
        struct record *record = turn_record(turn, RECORD_UNDONE);

        record->compensation = stopped_status(instance, step);
        turn_fold(turn, record);
    }
    return turn_stuck(turn, step->class == NULL ? "" : step->class,
                      step->class == NULL || step->message == NULL ? "undoing failed"
                                                                   : step->message);
}
