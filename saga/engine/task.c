/* task.c -- The life of an activation: entered, and ended: caught or not. What happens in between is in
 * attempt.c. */
#include "mesh/base/clock.h"
#include "saga/engine/turn.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* How long after the time of its id a saga that is begun again calls under the same ids. */
#define REPEATABLE_US (7 * DAY_US)

/* An id that is nearly too old is not asked for: an hour for clocks and ways, a day for participants that are
 * away. */
#define ID_SPARE_US (3600 * SECOND_US)
#define REOPENED_LEAST_US DAY_US

const struct step *
turn_step(const struct turn *turn)
{
    assert(turn->instance->current != STEP_NONE);
    return &turn->instance->steps[turn->instance->current];
}

const struct catch_rule *
task_catch(const struct state *state, const char *class)
{
    for (size_t i = 0; i < state->catch_count; i++) {
        for (size_t n = 0; n < state->catches[i].class_count; n++) {
            if (exception_is(class, state->catches[i].classes[n]))
                return &state->catches[i];
        }
    }
    return NULL;
}

json_t *
task_error_tree(const struct trouble *trouble, const char *state)
{
    return json_pack("{s:{s:s, s:s, s:s, s:s}}", "_error_", "class", trouble->class, "reason",
                     trouble->reason == NULL ? "" : trouble->reason, "message",
                     trouble->message == NULL ? "" : trouble->message, "state", state);
}

/* Nobody catches it. */
static int
go_uncaught(struct turn *turn, const struct trouble *trouble)
{
    struct instance *instance = turn->instance;

    if (strcmp(trouble->class, CLASS_CANCELED) == 0)
        return undo_begin(turn, instance->definition->trigger, false);
    if (instance->is_after_trigger || instance_is_past_pivot(instance))
        return turn_stuck(turn, trouble->class, trouble->message);
    return turn_end(turn, true, trouble->class, trouble->message);
}

/* The budget behind the point of no return is spent, and what was asked for may have changed something. */
static bool
is_given_up(const struct turn *turn, const struct step *step, const struct ending *ending)
{
    return ending->is_spent && step->is_long && !turn_state(turn, step->state)->is_read;
}

/* Is an error sent to Catch at all? Not when undoing, not when the budget behind the point of no
 * return is spent, and not when Status says that the error is none (Seata goes to Catch all the same,
 * B6). */
static bool
is_raised(const struct turn *turn, const struct step *step, const struct ending *ending)
{
    return ending->trouble.class != NULL && step->undoes < 0 && !is_given_up(turn, step, ending) &&
           ending->status != STATUS_SU && ending->status != STATUS_SK;
}

/* A pivot that may have happened does not lead back, whatever its Catch says. */
static bool
is_way_back_closed(const struct turn *turn, const struct catch_rule *rule)
{
    return turn_state(turn, rule->next)->kind == STATE_COMPENSATION_TRIGGER &&
           instance_is_past_pivot(turn->instance);
}

int
task_route(struct turn *turn, const struct catch_rule *rule, const struct trouble *trouble)
{
    if (rule == NULL)
        return go_uncaught(turn, trouble);
    if (is_way_back_closed(turn, rule))
        return turn_stuck(turn, trouble->class, "the pivot was passed, and there is no way back");
    return rule->next;
}

int
task_end(struct turn *turn, const struct ending *ending)
{
    int index = turn->instance->current;
    const struct step *step = turn_step(turn);
    const struct state *state = turn_state(turn, step->state);
    const struct trouble *trouble = &ending->trouble;
    bool is_undo = step->undoes >= 0, was_given_up = is_given_up(turn, step, ending);
    bool was_raised = is_raised(turn, step, ending);
    const struct catch_rule *rule = was_raised ? task_catch(state, trouble->class) : NULL;
    struct record *record = turn_record(turn, RECORD_DONE);

    record->status = ending->status;
    record->was_called = ending->was_called;
    record->is_unknown = ending->is_unknown;
    record->is_caught = rule != NULL;
    record->class = trouble->class;
    record->reason = trouble->reason;
    record->message = trouble->message;
    record->set = ending->set;
    if (was_raised) {
        assert(ending->set == NULL);
        record->set = task_error_tree(trouble, state->name);
    }
    turn_fold(turn, record);
    if (is_undo)
        return undo_step_done(turn, index);
    if (was_given_up)
        return turn_stuck(turn, trouble->class, "the budget is spent, and there is no way back");
    return was_raised ? task_route(turn, rule, trouble) : state->next;
}

const char *
task_impossible(const struct instance *instance)
{
    const struct step *step;
    const struct state *state;

    if (instance->current == STEP_NONE)
        return NULL;
    step = &instance->steps[instance->current];
    state = &instance->definition->states[step->state];
    if (state->broken != NULL)
        return state->broken;
    if (state->kind != STATE_SERVICE_TASK && state->kind != STATE_WAIT_FOR_EVENT)
        return "its state is no task";
    return state->has_input && step->inputs == NULL ? "what it asks was not recorded" : NULL;
}

/* is_unknown: it may have been asked before. */
int
task_stop(struct turn *turn, bool is_unknown, const char *because)
{
    int index = turn->instance->current;
    bool is_undo = turn_step(turn)->undoes >= 0;
    struct record *record = turn_record(turn, RECORD_DONE);

    record->status = is_unknown ? STATUS_UN : STATUS_FA;
    record->is_unknown = is_unknown;
    record->class = CLASS_DEFINITION;
    record->reason = "IMPOSSIBLE";
    record->message = turn_text(turn, because);
    turn_fold(turn, record);
    return is_undo ? undo_step_done(turn, index) : turn_stuck(turn, CLASS_DEFINITION, because);
}

/* Entering */

/* The pivot and whatever follows it, undoing, and what follows a trigger: never given up lightly. */
static bool
is_long_at(const struct turn *turn, int state, int undoes)
{
    return undoes >= 0 || turn_state(turn, state)->is_pivot || turn->instance->is_after_trigger ||
           instance_is_past_pivot(turn->instance);
}

/* The time of the saga's own id: a saga that is begun once more, because its journal was lost or set back
 * by a restore, then calls under the ids it called under before, and what was done is not done twice.
 * Records of ids are kept for ID_DAYS_KEPT, so an id that is more than a week old gives way to the
 * present, and so does one from the future. The present is the world's: participants go by that. */
static int64_t
activation_time_us(const struct turn *turn)
{
    int64_t id_us = uuid_time_us(turn->instance->id), world_us = turn->now_us - turn->ahead_us;

    return id_us > world_us || id_us < world_us - REPEATABLE_US ? world_us : id_us;
}

struct uuid
task_activation_id(const struct turn *turn, int state)
{
    const struct instance *instance = turn->instance;
    char seed[512];
    int bytes;

    memcpy(seed, &instance->id, sizeof instance->id);
    bytes = snprintf(seed + sizeof instance->id, sizeof seed - sizeof instance->id, "%s/%zu",
                     turn_state(turn, state)->name, instance->step_count);
    if (bytes >= (int)(sizeof seed - sizeof instance->id)) /* of a stored version */
        bytes = (int)(sizeof seed - sizeof instance->id) - 1;
    return uuid_v8(activation_time_us(turn), seed, sizeof instance->id + (size_t)bytes);
}

/* Until when participants know an id for sure, with some time to spare, by the saga's time. */
static int64_t
id_end_us(const struct turn *turn, struct uuid activation)
{
    return uuid_time_us(activation) + ID_DAYS_KEPT * DAY_US - ID_SPARE_US + turn->ahead_us;
}

bool
task_may_be_reopened(const struct turn *turn, const struct step *step)
{
    return turn->now_us + REOPENED_LEAST_US < id_end_us(turn, step->activation);
}

/* Asked for longer, an id would be too old, and its refusal say nothing. */
static int64_t
budget_end_us(const struct turn *turn, int state, bool is_long, struct uuid activation)
{
    int64_t end_us = turn->now_us + state_budget_us(turn_state(turn, state), is_long);

    return end_us < id_end_us(turn, activation) ? end_us : id_end_us(turn, activation);
}

static json_t *
inputs_of(const struct state *state, const json_t *context, struct problem *problem)
{
    struct expression_scope scope = { .root = context };
    json_t *inputs = json_array();

    for (size_t i = 0; i < state->input_count; i++) {
        json_t *value;

        if (template_evaluate(&state->inputs[i], &scope, problem, &value) != ERR_OK)
            goto bad;
        json_array_append_new(inputs, value == NULL ? json_null() : value);
    }
    if (json_tree_bytes(inputs, INPUTS_BYTES_MAX) > INPUTS_BYTES_MAX) {
        problem_set(problem, ERR_BAD_REQUEST, NULL, "Input has more than %d bytes",
                    INPUTS_BYTES_MAX);
        goto bad;
    }
    if (json_tree_depth(inputs) > INPUTS_DEPTH_MAX) {
        problem_set(problem, ERR_BAD_REQUEST, NULL, "Input is nested deeper than %d levels",
                    INPUTS_DEPTH_MAX);
        goto bad;
    }
    return inputs;
bad:
    json_decref(inputs);
    return NULL;
}

/* The Input of an activation that is being entered, or NULL with the problem set. */
static json_t *
inputs_evaluate(const struct turn *turn, const struct record *enter, struct problem *problem)
{
    json_t *context =
        instance_context_ahead(turn->instance, enter->state, enter->activation, enter->undoes);
    json_t *inputs = inputs_of(turn_state(turn, enter->state), context, problem);

    json_decref(context);
    return inputs;
}

int
task_end_badly(struct turn *turn, enum status status, bool was_called, const char *reason,
               const char *message)
{
    struct ending ending = { .status = status,
                             .was_called = was_called,
                             .trouble = { CLASS_DEFINITION, reason, turn_text(turn, message) } };

    return task_end(turn, &ending);
}

/* Records an activation, and what it asks: however the context changes, and also when an operator has it asked
 * again, under its id goes the same request. An Input that cannot be evaluated is like a refusal: nothing was
 * sent. */
int
task_activate(struct turn *turn, int state, int undoes, int retries_step, int retry_rule,
              int64_t next_us)
{
    struct record *record;
    struct problem problem;
    bool is_fine;

    if (undoes < 0)
        turn->standing = state;
    if (turn->instance->step_count >= STEPS_MAX)
        return turn_stuck(turn, CLASS_DEFINITION, "too many steps: the machine runs in a circle");
    if (turn_state(turn, state)->broken != NULL)
        return turn_stuck_at(turn, state);
    if (turn_state(turn, state)->kind !=
        STATE_SERVICE_TASK) /* a CompensateState of a stored version */
        return turn_stuck(turn, CLASS_DEFINITION, "what should undo it is no task");
    record = turn_record(turn, RECORD_ENTER);
    record->state = state;
    record->undoes = undoes;
    record->retries_step = retries_step;
    record->retry_rule = retry_rule;
    record->activation = task_activation_id(turn, state);
    record->next_us = next_us;
    record->is_long = is_long_at(turn, state, undoes);
    record->budget_us = budget_end_us(turn, state, record->is_long, record->activation);
    if (turn_state(turn, state)->has_input)
        record->set = inputs_evaluate(turn, record, &problem);
    is_fine = record->set != NULL || !turn_state(turn, state)->has_input;
    turn_fold(turn, record);
    turn->standing = STATE_NONE;
    return is_fine ? TURN_WAITS : task_end_badly(turn, STATUS_FA, false, "BAD_INPUT", problem.text);
}

bool
task_may_be_cancelled(const struct turn *turn)
{
    const struct instance *instance = turn->instance;

    return instance->cancel_requested && !instance->cancel_raised && !instance->is_after_trigger &&
           !instance_is_past_pivot(instance);
}

int
task_raise(struct turn *turn, const char *class, const char *reason, const char *message)
{
    struct ending ending = { .status = STATUS_FA, .trouble = { class, reason, message } };

    return task_end(turn, &ending);
}

int
task_end_cancelled(struct turn *turn, bool was_called)
{
    struct ending ending = { .status = STATUS_FA,
                             .was_called = was_called,
                             .trouble = { CLASS_CANCELED, "CANCELED", "cancelled on request" } };

    return task_end(turn, &ending);
}

int
task_enter(struct turn *turn, int state)
{
    bool is_cancelled = task_may_be_cancelled(turn);
    int next = task_activate(turn, state, STEP_NONE, STEP_NONE, -1, 0);

    return next == TURN_WAITS && is_cancelled && turn->instance->current != STEP_NONE
               ? task_end_cancelled(turn, false)
               : next;
}

int
task_enter_again(struct turn *turn, int step_index, int retry_rule, int64_t next_us)
{
    const struct step *step = &turn->instance->steps[step_index];

    if (turn_state(turn, step->state)->kind == STATE_WAIT_FOR_EVENT)
        return wait_enter_again(turn, step_index);
    return task_activate(turn, step->state, step->undoes, step_index, retry_rule, next_us);
}

int
task_reopen(struct turn *turn, int step_index)
{
    const struct step *step = &turn->instance->steps[step_index];
    struct record *record = turn_record(turn, RECORD_REOPEN);
    const char *because;

    record->retries_step = step_index;
    record->budget_us = budget_end_us(turn, step->state, step->is_long, step->activation);
    turn_fold(turn, record);
    because = task_impossible(turn->instance);
    return because == NULL ? TURN_WAITS : task_stop(turn, true, because);
}

/* Without a call under way: it waits for an event, or for its next attempt and every earlier one did
 * nothing. */
int
task_cancel_waiting(struct turn *turn)
{
    const struct instance *instance = turn->instance;
    const struct step *step;

    if (instance->current == STEP_NONE || !task_may_be_cancelled(turn))
        return TURN_WAITS;
    step = turn_step(turn);
    if (instance_is_waiting(instance))
        return task_end_cancelled(turn, false);
    if (step->undoes >= 0 || step->is_unknown || step->next_us <= turn->now_us)
        return TURN_WAITS;
    return task_end_cancelled(turn, false);
}
