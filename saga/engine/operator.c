/* operator.c -- What a person decides about a saga that is stuck. */
#include "saga/engine/turn.h"

static void
record_operator(struct turn *turn, const char *action, const char *comment, int enter_after_undo)
{
    struct record *record = turn_record(turn, RECORD_OPERATOR);

    record->reason = action;
    record->message = turn_text(turn, comment);
    record->state = enter_after_undo;
    turn_fold(turn, record);
}

/* The error that what follows the trigger finds in the context: no participant's, a person's. */
static void
record_compensate(struct turn *turn, const char *comment)
{
    const struct instance *instance = turn->instance;
    struct record *record = turn_record(turn, RECORD_OPERATOR);
    struct trouble trouble = { CLASS_OPERATOR, "OPERATOR", "an operator had it undone" };

    record->reason = "compensate";
    record->message = turn_text(turn, comment);
    if (record->message != NULL && record->message[0] != '\0')
        trouble.message = record->message;
    record->set = task_error_tree(
        &trouble, instance->state == STATE_NONE ? "" : turn_state(turn, instance->state)->name);
    turn_fold(turn, record);
}

/* The undoing that stopped goes on. */
static int
resume_undo(struct turn *turn, const struct step *last, const char *action, const char *comment)
{
    int undone = last->undoes;

    if (turn->instance->is_after_trigger) {
        record_operator(turn, action, comment, STATE_NONE);
        return undo_resume(turn);
    }
    record_operator(turn, action, comment, turn->instance->steps[undone].state);
    return undo_step(turn, undone);
}

/* What failed last is tried again. Rule 3: after a known answer as a new activation; of an unknown outcome
 * the old one is undone first, or, when nothing undoes it, asked again. Where nothing failed the saga goes
 * on from the state that it stands at, which was recorded. */
static int
retry_last(struct turn *turn, const char *action, const char *comment)
{
    struct instance *instance = turn->instance;
    int index = (int)instance->step_count - 1, standing = instance->standing;
    const struct step *last = index < 0 ? NULL : &instance->steps[index];
    bool has_failed = last != NULL && (last->status == STATUS_FA || last->status == STATUS_UN);

    if (instance->is_undoing) { /* it could not even be asked for */
        record_operator(turn, action, comment, STATE_NONE);
        return undo_resume(turn);
    }
    if (has_failed && last->undoes >= 0)
        return resume_undo(turn, last, action, comment);
    if (has_failed && last->status == STATUS_UN &&
        turn_state(turn, last->state)->compensate_state != STATE_NONE) {
        record_operator(turn, action, comment, last->state);
        return undo_step(turn, index);
    }
    record_operator(turn, action, comment, STATE_NONE);
    if (has_failed)
        return last->status == STATUS_UN && last->is_unknown ? task_reopen(turn, index)
                                                             : task_enter_again(turn, index, -1, 0);
    if (standing == STATE_NONE) /* by an older program */
        return turn_stuck(turn, CLASS_DEFINITION, "where it stands was not recorded");
    return standing == definition_end(instance->definition) ? STATE_NONE : standing;
}

/* It was undone once. What was done behind the trigger is undone now, and then it goes on from where it
 * stands; where there is nothing of that, compensate is retry. */
static int
compensate_again(struct turn *turn, const char *comment)
{
    const struct instance *instance = turn->instance;
    int standing = instance->standing;
    const struct step *last; /* there is one, or nothing would be left to be undone */

    if (undo_find_left(instance) == NULL)
        return retry_last(turn, "compensate", comment);
    last = &instance->steps[instance->step_count - 1];
    if (instance->is_undoing || (last->undoes >= 0 && last->status != STATUS_SU))
        return retry_last(turn, "compensate", comment);
    if (standing == STATE_NONE)
        standing = last->state; /* it failed: entered again */
    record_operator(turn, "compensate", comment, STATE_NONE);
    return undo_left(turn,
                     standing == definition_end(instance->definition) ? STATE_NONE : standing);
}

static enum error
check_stuck(const struct instance *instance, struct problem *problem)
{
    return instance->is_stuck
               ? ERR_OK
               : problem_refuse(problem, "NOT_STUCK", "saga_id", "only a stuck saga is decided on");
}

enum error
operator_retry(struct turn *turn, const char *comment, struct problem *problem, int *ret_next)
{
    enum error error = check_stuck(turn->instance, problem);

    if (error == ERR_OK)
        *ret_next = retry_last(turn, "retry", comment);
    return error;
}

/* Something behind the pivot may have happened that nothing undoes (the order is marked as paid). */
static bool
is_too_late_to_undo(const struct instance *instance)
{
    bool is_behind = false;

    for (size_t i = 0; i < instance->step_count; i++) {
        const struct step *step = &instance->steps[i];
        const struct state *state = &instance->definition->states[step->state];

        if (step->is_retried || step->undoes >= 0 || step->status == STATUS_FA ||
            state->kind == STATE_WAIT_FOR_EVENT)
            continue;
        if (is_behind && state->compensate_state == STATE_NONE)
            return true;
        is_behind = is_behind || state->is_pivot;
    }
    return false;
}

enum error
operator_compensate(struct turn *turn, const char *comment, struct problem *problem, int *ret_next)
{
    struct instance *instance = turn->instance;
    enum error error = check_stuck(instance, problem);

    if (error != ERR_OK)
        return error;
    if (instance->is_after_trigger) {
        *ret_next = compensate_again(turn, comment);
        return ERR_OK;
    }
    if (is_too_late_to_undo(instance))
        return problem_set(problem, ERR_TOO_LATE, "saga_id",
                           "a step behind the pivot may have happened and cannot be undone");
    record_compensate(turn, comment);
    *ret_next = undo_begin(turn, instance->definition->trigger, true);
    return ERR_OK;
}
