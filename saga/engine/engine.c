/* engine.c -- Events, and the walk from state to state until the instance waits. */
#include "saga/engine/engine.h"
#include "mesh/base/utf8.h"
#include "saga/engine/turn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct record *
turn_record(struct turn *turn, enum record_kind kind)
{
    struct record *record = records_add(turn->records, kind, turn->instance->id, turn->now_us);

    record->number = turn->instance->version + 1; /* it is folded before the next one is made */
    return record;
}

void
turn_fold(struct turn *turn, const struct record *record)
{
    instance_fold(turn->instance, record);
}

const struct state *
turn_state(const struct turn *turn, int state)
{
    return &turn->instance->definition->states[state];
}

const char *
turn_text(struct turn *turn, const char *text)
{
    struct arena *arena = turn->records->arena;

    if (text == NULL)
        return NULL;
    return utf8_repair(arena_copy(arena, text, utf8_cut(text, MESSAGE_BYTES_MAX)), arena);
}

int
turn_stuck(struct turn *turn, const char *code, const char *message)
{
    struct record *record = turn_record(turn, RECORD_STUCK);

    record->status = STATUS_UN;
    record->state = turn->standing;
    record->reason = turn_text(turn, code);
    record->message = turn_text(turn, message);
    turn_fold(turn, record);
    return TURN_WAITS;
}

int
turn_stuck_at(struct turn *turn, int state)
{
    return turn_stuck(turn, CLASS_DEFINITION,
                      arena_print(turn->records->arena, "%s: %s", turn_state(turn, state)->name,
                                  turn_state(turn, state)->broken));
}

/* Seata's rules for a machine's status (state-language 1.4), but that an error which was caught and
 * did nothing no longer counts at an end that is no Fail (B3), and neither does one that may have
 * happened and would leave nothing to undo. */
static enum status
machine_status(const struct instance *instance, bool is_failed)
{
    bool has_failed = false, has_update = false, has_done_update = false;

    if (instance->compensation != STATUS_NONE)
        return STATUS_UN;
    for (size_t i = 0; i < instance->step_count; i++) {
        const struct step *step = &instance->steps[i];
        bool is_update = instance->definition->states[step->state].is_for_update;

        if (step->is_retried || (step->undoes >= 0))
            continue;
        if (step->status == STATUS_UN && (is_failed || is_update || !step->is_caught))
            return STATUS_UN;
        has_update = has_update || is_update;
        has_done_update = has_done_update || (is_update && step->status == STATUS_SU);
        has_failed = has_failed || (step->status == STATUS_FA && (is_failed || !step->is_caught));
    }
    if (has_failed)
        return has_done_update ? STATUS_UN : STATUS_FA;
    if (is_failed)
        return has_update ? STATUS_UN : STATUS_FA;
    return STATUS_SU;
}

/* Who ends UN/SU says that all was undone, and something behind the trigger was not. */
static int
stuck_with(struct turn *turn, const struct state *held)
{
    struct record *record = turn_record(turn, RECORD_STUCK);

    record->status = record->compensation = STATUS_UN;
    record->state = turn->standing;
    record->reason = CLASS_DEFINITION;
    record->message = turn_text(
        turn, arena_print(turn->records->arena, "%s was done behind the trigger, and is not undone",
                          held->name));
    turn_fold(turn, record);
    return TURN_WAITS;
}

int
turn_end(struct turn *turn, bool is_failed, const char *code, const char *message)
{
    const struct instance *instance = turn->instance;
    enum status status = machine_status(instance, is_failed);
    const struct state *held =
        instance->compensation == STATUS_NONE ? NULL : undo_find_left(instance);
    struct record *record;

    if (held != NULL)
        return stuck_with(turn, held);
    if (status == STATUS_UN && instance->compensation != STATUS_SU)
        return turn_stuck(turn, code, message);
    record = turn_record(turn, RECORD_END);
    record->status = status;
    record->reason = turn_text(turn, code);
    record->message = turn_text(turn, message);
    turn_fold(turn, record);
    return TURN_WAITS;
}

/* States that are no tasks */

static int
choice_enter(struct turn *turn, int index)
{
    const struct state *state = turn_state(turn, index);
    struct expression_scope scope = { .root = turn->instance->context };
    struct problem problem;

    for (size_t i = 0; i < state->choice_count; i++) {
        bool is_true;

        if (expression_test(state->choices[i].when, &scope, &problem, &is_true) != ERR_OK)
            return turn_end(turn, true, CLASS_DEFINITION, problem.text);
        if (is_true)
            return state->choices[i].next;
    }
    if (state->fallback == STATE_NONE)
        return turn_end(turn, true, CLASS_DEFINITION, "no choice matches");
    return state->fallback;
}

static int
succeed_enter(struct turn *turn, int index)
{
    (void)index;
    return turn_end(turn, false, NULL, NULL);
}

static int
fail_enter(struct turn *turn, int index)
{
    const struct state *state = turn_state(turn, index);

    return turn_end(turn, true, state->error_code, state->error_message);
}

static int
trigger_enter(struct turn *turn, int index)
{
    return undo_begin(turn, index, false);
}

static int (*const enter[STATE_KIND_COUNT])(struct turn *turn, int index) = {
    [STATE_SERVICE_TASK] = task_enter,
    [STATE_CHOICE] = choice_enter,
    [STATE_SUCCEED] = succeed_enter,
    [STATE_FAIL] = fail_enter,
    [STATE_COMPENSATION_TRIGGER] = trigger_enter,
    [STATE_WAIT_FOR_EVENT] = wait_enter,
};

/* From state to state until something must be waited for. A circle of states that wait for nothing
 * would never end: nothing in the context changes on its way. */
static void
walk(struct turn *turn, int state)
{
    size_t hops_max = 2 * turn->instance->definition->state_count + 16;

    for (size_t hops = 0; state != TURN_WAITS; hops++) {
        turn->standing = state == STATE_NONE ? definition_end(turn->instance->definition) : state;
        if (state == STATE_NONE)
            state = turn_end(turn, false, NULL, NULL);
        else if (hops == hops_max)
            state = turn_stuck(turn, CLASS_DEFINITION, "runs in a circle without waiting");
        else if (turn_state(turn, state)->broken != NULL)
            state = turn_stuck_at(turn, state);
        else
            state = enter[turn_state(turn, state)->kind](turn, state);
    }
}

/* Events */

/* What the engine puts into the context by itself must not come from the caller who starts a saga: it could
 * be a payment that no customer made. */
static enum error
check_names(const struct definition *definition, const json_t *input, struct problem *problem)
{
    const char *name, *because;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)input, name, value)
    {
        because = definition_reserves(definition, name);
        if (because != NULL)
            return problem_set(problem, ERR_BAD_REQUEST, "input_json", "must not have \"%s\": %s",
                               strlen(name) > EVENT_NAME_BYTES_MAX ? "..." : name, because);
    }
    return ERR_OK;
}

static enum error
take_start(struct turn *turn, const struct engine_event *event, struct problem *problem)
{
    struct instance *instance = turn->instance;
    struct record *record;

    if (!json_is_object(event->input))
        return problem_set(problem, ERR_BAD_REQUEST, "input_json", "must be a JSON object");
    if (instance->definition != NULL) {
        if (strcmp(instance->definition->name, event->definition->name) != 0 ||
            !json_equal(instance->input, event->input))
            return problem_set(problem, ERR_ID_REUSED, "saga_id",
                               "was used for another definition or input");
        return ERR_OK;
    }
    if (json_tree_bytes(event->input, CONTEXT_BYTES_MAX) > CONTEXT_BYTES_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, "input_json", "has more than %d bytes",
                           CONTEXT_BYTES_MAX);
    if (check_names(event->definition, event->input, problem) != ERR_OK)
        return ERR_BAD_REQUEST;
    if (json_tree_depth(event->input) > CONTEXT_DEPTH_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, "input_json",
                           "is nested deeper than %d levels", CONTEXT_DEPTH_MAX);
    record = turn_record(turn, RECORD_START);
    record->definition = event->definition;
    record->set = json_incref(event->input);
    record->traceparent = turn_text(turn, event->traceparent);
    turn_fold(turn, record);
    walk(turn, event->definition->start);
    return ERR_OK;
}

static enum error
take_answer(struct turn *turn, const struct engine_event *event, struct problem *problem)
{
    const struct instance *instance = turn->instance;

    (void)problem;
    if (instance->current != STEP_NONE &&
        uuid_equal(instance->steps[instance->current].activation, event->answer.activation))
        walk(turn, attempt_answer(turn, &event->answer));
    return ERR_OK;
}

static enum error
take_due(struct turn *turn, const struct engine_event *event, struct problem *problem)
{
    (void)event;
    (void)problem;
    walk(turn, wait_look(turn));
    return ERR_OK;
}

static enum error
take_signal(struct turn *turn, const struct engine_event *event, struct problem *problem)
{
    int next = TURN_WAITS;
    enum error error = wait_signal(turn, &event->signal, problem, &next);

    walk(turn, next);
    return error;
}

static enum error
take_recovered(struct turn *turn, const struct engine_event *event, struct problem *problem)
{
    (void)event;
    (void)problem;
    attempt_recovered(turn);
    return ERR_OK;
}

static enum error
take_cancel(struct turn *turn, const struct engine_event *event, struct problem *problem)
{
    struct instance *instance = turn->instance;

    (void)event;
    if (instance->cancel_requested)
        return ERR_OK;
    if (instance->is_ended || (instance_is_past_pivot(instance) && !instance->is_after_trigger))
        return problem_set(problem, ERR_TOO_LATE, "saga_id",
                           "it has ended or passed its point of no return");
    turn_fold(turn, turn_record(turn, RECORD_CANCEL));
    walk(turn, task_cancel_waiting(turn));
    return ERR_OK;
}

static enum error
take_retry(struct turn *turn, const struct engine_event *event, struct problem *problem)
{
    int next = TURN_WAITS;
    enum error error = operator_retry(turn, event->comment, problem, &next);

    walk(turn, next);
    return error;
}

static enum error
take_compensate(struct turn *turn, const struct engine_event *event, struct problem *problem)
{
    int next = TURN_WAITS;
    enum error error = operator_compensate(turn, event->comment, problem, &next);

    walk(turn, next);
    return error;
}

static enum error
take_settle(struct turn *turn, const struct engine_event *event, struct problem *problem)
{
    int next = TURN_WAITS;
    enum error error = operator_settle(turn, event, problem, &next);

    walk(turn, next);
    return error;
}

/* A record, a row or a definition may have lost what an activation needs. Then its saga is stuck, and the
 * program goes on with the others. */
static void
stop_impossible(struct turn *turn)
{
    const char *because = task_impossible(turn->instance);

    if (because != NULL)
        walk(turn, task_stop(turn, true, because));
}

enum error
engine_decide(struct instance *instance, const struct engine_event *event, int64_t now_us,
              struct records *records, struct problem *problem)
{
    static enum error (*const take[ENGINE_EVENT_KIND_COUNT])(
        struct turn *, const struct engine_event *, struct problem *) = {
        [ENGINE_START] = take_start,
        [ENGINE_ANSWER] = take_answer,
        [ENGINE_DUE] = take_due,
        [ENGINE_SIGNAL] = take_signal,
        [ENGINE_RECOVERED] = take_recovered,
        [ENGINE_CANCEL] = take_cancel,
        [ENGINE_RETRY] = take_retry,
        [ENGINE_COMPENSATE] = take_compensate,
        [ENGINE_SETTLE] = take_settle,
    };
    struct turn turn = {
        .instance = instance,
        .now_us = now_us,
        .ahead_us = event->ahead_us,
        .records = records,
        .standing = STATE_NONE,
    };

    assert(event->kind == ENGINE_START || instance->definition != NULL);
    if (now_us < instance->changed_us) { /* time never runs backwards for one saga */
        turn.now_us = instance->changed_us;
        turn.ahead_us += turn.now_us - now_us;
    }
    if (records->arena == NULL)
        records->arena = arena_new();
    stop_impossible(&turn);
    return take[event->kind](&turn, event, problem);
}

/* What is due */

bool
engine_is_call_due(const struct instance *instance, int64_t now_us)
{
    return instance->current != STEP_NONE && !instance->is_stuck && !instance->is_ended &&
           !instance_is_waiting(instance) && instance->steps[instance->current].next_us <= now_us &&
           task_impossible(instance) == NULL;
}

static json_t *
request_of(const json_t *inputs, struct uuid activation)
{
    const json_t *first = json_array_get(inputs, 0);
    json_t *request = json_is_object(first) ? json_copy((json_t *)first) : json_object();
    char text[UUID_TEXT_BYTES + 1];

    json_object_set_new(request, "requestId", json_string(uuid_print(activation, text)));
    return request;
}

void
engine_due(const struct instance *instance, int64_t now_us, struct due *ret_due)
{
    const struct step *step;
    const struct state *state;
    struct call_due *call = &ret_due->calls[0];

    memset(ret_due, 0, sizeof *ret_due);
    if (instance->current == STEP_NONE)
        return;
    step = &instance->steps[instance->current];
    if (!engine_is_call_due(instance, now_us)) {
        ret_due->look_again_us = task_impossible(instance) == NULL ? step->next_us : now_us + 1;
        return;
    }
    state = &instance->definition->states[step->state];
    call->inputs = json_incref(step->inputs);
    ret_due->call_count = 1;
    call->activation = step->activation;
    call->attempt = step->attempts + 1;
    call->service = state->service;
    call->method = state->method;
    call->timeout_us = state->attempt_timeout_us;
    call->is_read = state->is_read;
    call->request = request_of(call->inputs, step->activation);
}

void
due_free(struct due *due)
{
    for (size_t i = 0; i < due->call_count; i++) {
        json_decref(due->calls[i].request);
        json_decref(due->calls[i].inputs);
    }
    memset(due, 0, sizeof *due);
}
