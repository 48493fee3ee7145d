/* operator.c -- What a person decides about a saga that is stuck. */
#include "saga/engine/turn.h"

#include <string.h>

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
        return last->status == STATUS_UN && last->is_unknown && task_may_be_reopened(turn, last)
                   ? task_reopen(turn, index)
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

/* ---- settling ---- */

/* What a person says that a step gave goes where its Output goes, and nowhere else. */
static enum error
check_output(const struct instance *instance, const struct state *state, const json_t *output,
             struct problem *problem)
{
    const char *name;
    json_t *value;

    if (output != NULL && !json_is_object(output))
        return problem_set(problem, ERR_BAD_REQUEST, "output_json", "must be a JSON object");
    json_object_foreach((json_t *)(uintptr_t)output, name, value)
    {
        bool is_known = false;

        for (size_t i = 0; i < state->output_count; i++)
            is_known = is_known || strcmp(state->outputs[i].name, name) == 0;
        if (!is_known)
            return problem_set(problem, ERR_BAD_REQUEST, "output_json",
                               "must have only what the state's Output sets");
    }
    if (output != NULL &&
        (json_tree_depth(output) > CONTEXT_DEPTH_MAX ||
         instance_bytes(instance) + json_tree_bytes(output, CONTEXT_BYTES_MAX) > CONTEXT_BYTES_MAX))
        return problem_set(problem, ERR_BAD_REQUEST, "output_json",
                           "is too big for the saga's context");
    return ERR_OK;
}

static struct record *
record_settle(struct turn *turn, int index, enum status status, const struct trouble *trouble)
{
    struct record *record = turn_record(turn, RECORD_SETTLE);

    record->retries_step = index;
    record->status = status;
    record->class = trouble->class;
    record->reason = trouble->reason;
    record->message = trouble->message;
    return record;
}

/* The undo was done, by hand or after all: what it undid is undone. */
static int
go_on_undoing(struct turn *turn, int index)
{
    return turn->instance->is_after_trigger ? undo_resume(turn) : undo_step_done(turn, index);
}

static int
settle_done(struct turn *turn, int index, const char *comment, json_t *output)
{
    const struct step *step = &turn->instance->steps[index];
    const struct trouble trouble = { NULL, "OPERATOR", comment };
    struct record *record = record_settle(turn, index, STATUS_SU, &trouble);
    int next = turn_state(turn, step->state)->next;
    bool is_undo = step->undoes >= 0;

    record->set = output == NULL || json_object_size(output) == 0 ? NULL : json_incref(output);
    turn_fold(turn, record);
    return is_undo ? go_on_undoing(turn, index) : next;
}

/* Like the participant's own refusal: its Catch may take it, and a refused pivot leads back. */
static int
settle_refused(struct turn *turn, int index, const char *comment)
{
    const struct step *step = &turn->instance->steps[index];
    const struct state *state = turn_state(turn, step->state);
    const struct trouble trouble = { CLASS_REFUSED ".OPERATOR", "OPERATOR", comment };
    bool is_undo = step->undoes >= 0;
    const struct catch_rule *rule = is_undo ? NULL : task_catch(state, trouble.class);
    struct record *record = record_settle(turn, index, STATUS_FA, &trouble);

    record->is_caught = rule != NULL;
    if (!is_undo)
        record->set = task_error_tree(&trouble, state->name);
    turn_fold(turn, record);
    return is_undo ? turn_stuck(turn, trouble.class, comment) : task_route(turn, rule, &trouble);
}

static int
settle_ended(struct turn *turn, const char *comment)
{
    struct record *record = turn_record(turn, RECORD_END);

    record->status = STATUS_UN;
    if (turn->instance->compensation == STATUS_RU)
        record->compensation = STATUS_UN;
    record->reason = CLASS_OPERATOR;
    record->message = comment;
    turn_fold(turn, record);
    return TURN_WAITS;
}

/* The step that a retry would try again, or STEP_NONE. */
static int
find_settled(const struct instance *instance)
{
    int index = (int)instance->step_count - 1;
    const struct step *last = index < 0 ? NULL : &instance->steps[index];

    return last == NULL || instance->is_undoing ||
                   (last->status != STATUS_FA && last->status != STATUS_UN)
               ? STEP_NONE
               : index;
}

static enum error
check_settle(const struct turn *turn, const struct engine_event *event, struct problem *problem)
{
    const struct instance *instance = turn->instance;
    int index = find_settled(instance);

    if (check_stuck(instance, problem) != ERR_OK)
        return problem->error;
    if (event->settlement < SETTLED_DONE || event->settlement > SETTLED_ENDED)
        return problem_set(problem, ERR_BAD_REQUEST, "settlement", "must be one that there is");
    if (event->comment == NULL || event->comment[0] == '\0')
        return problem_set(problem, ERR_BAD_REQUEST, "comment", "must say who and why");
    if (event->settlement == SETTLED_ENDED)
        return ERR_OK;
    if (index == STEP_NONE)
        return problem_refuse(problem, "NO_STEP", "saga_id",
                              "it is not stuck at a step, of which could be said what came of it");
    return check_output(instance, turn_state(turn, instance->steps[index].state),
                        event->settlement == SETTLED_DONE ? event->output : NULL, problem);
}

enum error
operator_settle(struct turn *turn, const struct engine_event *event, struct problem *problem,
                int *ret_next)
{
    static const char *const actions[] = { [SETTLED_DONE] = "settle done",
                                           [SETTLED_REFUSED] = "settle refused",
                                           [SETTLED_ENDED] = "settle ended" };
    const char *comment = turn_text(turn, event->comment);
    int index = find_settled(turn->instance);

    if (check_settle(turn, event, problem) != ERR_OK)
        return problem->error;
    record_operator(turn, actions[event->settlement], comment, STATE_NONE);
    if (event->settlement == SETTLED_DONE)
        *ret_next = settle_done(turn, index, comment, event->output);
    else if (event->settlement == SETTLED_REFUSED)
        *ret_next = settle_refused(turn, index, comment);
    else
        *ret_next = settle_ended(turn, comment);
    return ERR_OK;
}
