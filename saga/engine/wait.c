/* wait.c -- Waiting for an event: a stored state with a deadline, and an expression on the newest news.
 *
 * News may come before its wait, twice, late, or in another order than it was made. It carries the whole
 * of what is known and a version, so only the newest counts, and it is kept until a wait takes it into
 * the context. */
#include "mesh/base/text.h"
#include "saga/engine/turn.h"

#include <stdlib.h>
#include <string.h>

enum { SIGNAL_BYTES_MAX = 16 * 1024 };

static const struct state *
current_state(const struct turn *turn)
{
    const struct instance *instance = turn->instance;

    return turn_state(turn, instance->steps[instance->current].state);
}

/* Proto3 writes 64-bit numbers as texts; a Deadline may be either. */
static bool
read_time(const json_t *value, int64_t *ret_time_us)
{
    if (json_is_integer(value)) {
        *ret_time_us = json_integer_value(value);
        return true;
    }
    return json_is_string(value) &&
           text_read_int(json_string_value(value), INT64_MIN, INT64_MAX, ret_time_us);
}

/* The context as the wait will find it: with the news that came before. New reference. */
static json_t *
context_ahead(const struct instance *instance, const char *event)
{
    const struct signal_seen *seen = instance_signal(instance, event);
    json_t *context = json_copy(instance->context);

    if (seen != NULL && seen->early != NULL)
        json_object_set(context, event, seen->early);
    return context;
}

/* The earlier of Deadline and TimeoutSeconds. False: the Deadline is no time. */
static bool
find_deadline(struct turn *turn, const struct state *state, struct problem *problem,
              int64_t *ret_deadline_us)
{
    int64_t time_us = INT64_MAX;
    json_t *context, *value = NULL;
    bool is_fine;

    *ret_deadline_us = turn->now_us + state->timeout_us;
    if (state->deadline == NULL)
        return true;
    context = context_ahead(turn->instance, state->event);
    is_fine = expression_evaluate(state->deadline, &(struct expression_scope){ .root = context },
                                  problem, &value) == ERR_OK;
    if (is_fine && value != NULL && !read_time(value, &time_us)) {
        problem_set(problem, ERR_BAD_REQUEST, "Deadline", "Deadline is no time in microseconds");
        is_fine = false;
    }
    if (time_us < INT64_MAX - turn->ahead_us) /* from the world's time to the saga's */
        time_us += turn->ahead_us;
    if (time_us <
        *ret_deadline_us) /* no earlier than now, so that it is a time that can be written */
        *ret_deadline_us = time_us < turn->now_us ? turn->now_us : time_us;
    json_decref(value);
    json_decref(context);
    return is_fine;
}

static int
end_wait(struct turn *turn, const char *reason, int next)
{
    struct record *record = turn_record(turn, RECORD_DONE);

    record->status = STATUS_SU;
    record->reason = reason;
    turn_fold(turn, record);
    return next;
}

int
wait_look(struct turn *turn)
{
    const struct instance *instance = turn->instance;
    struct expression_scope scope = { .root = instance->context };
    const struct state *state;
    struct problem problem;
    bool is_true;

    if (!instance_is_waiting(instance))
        return TURN_WAITS;
    state = current_state(turn);
    if (expression_test(state->until, &scope, &problem, &is_true) != ERR_OK)
        return task_raise(turn, CLASS_DEFINITION, "BAD_UNTIL", turn_text(turn, problem.text));
    if (is_true)
        return end_wait(turn, NULL, state->next);
    if (turn->now_us < instance->steps[instance->current].next_us)
        return TURN_WAITS;
    if (state->timeout_next != STATE_NONE)
        return end_wait(turn, "TIMEOUT", state->timeout_next);
    return task_raise(turn, CLASS_TIMEOUT, "TIMEOUT",
                      arena_print(turn->records->arena, "no %s in time", state->event));
}

static int
enter(struct turn *turn, int index, int retries_step)
{
    const struct state *state = turn_state(turn, index);
    struct problem problem;
    struct record *record;
    int64_t until_us;
    bool has_deadline;

    turn->standing = index;
    if (turn->instance->step_count >= STEPS_MAX)
        return turn_stuck(turn, CLASS_DEFINITION, "too many steps: the machine runs in a circle");
    if (state->broken != NULL)
        return turn_stuck_at(turn, index);
    has_deadline = find_deadline(turn, state, &problem, &until_us);
    record = turn_record(turn, RECORD_ENTER);
    record->state = index;
    record->retries_step = retries_step;
    record->activation = task_activation_id(turn, index);
    record->next_us = until_us;
    turn_fold(turn, record);
    turn->standing = STATE_NONE;
    if (!has_deadline)
        return task_raise(turn, CLASS_DEFINITION, "BAD_DEADLINE", turn_text(turn, problem.text));
    if (task_may_be_cancelled(turn))
        return task_cancel_waiting(turn);
    return wait_look(turn);
}

int
wait_enter(struct turn *turn, int state)
{
    return enter(turn, state, STEP_NONE);
}

int
wait_enter_again(struct turn *turn, int step_index)
{
    return enter(turn, turn->instance->steps[step_index].state, step_index);
}

/* ---- signals ---- */

static enum error
check_news(const struct instance *instance, const struct signal_news *news, struct problem *problem)
{
    size_t bytes;

    if (!definition_awaits(instance->definition, news->event))
        return problem_refuse(problem, "UNKNOWN_EVENT", "name",
                              "no wait of this saga's definition names this event");
    if (instance->signal_count == EVENTS_MAX && instance_signal(instance, news->event) == NULL)
        return problem_set(problem, ERR_BAD_REQUEST, "name",
                           "is one more than the %d events of a saga", EVENTS_MAX);
    if (news->version < 1)
        return problem_set(problem, ERR_BAD_REQUEST, "version", "must be 1 or more");
    if (!json_is_object(news->payload))
        return problem_set(problem, ERR_BAD_REQUEST, "payload_json", "must be a JSON object");
    bytes = json_tree_bytes(news->payload, SIGNAL_BYTES_MAX);
    if (bytes > SIGNAL_BYTES_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, "payload_json", "must have at most %d bytes",
                           SIGNAL_BYTES_MAX);
    if (instance->context_bytes + bytes > CONTEXT_BYTES_MAX &&
        instance_bytes(instance) + bytes > CONTEXT_BYTES_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, "payload_json",
                           "is too big for the saga's context");
    if (json_tree_depth(news->payload) >= CONTEXT_DEPTH_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, "payload_json", "is nested too deep");
    return ERR_OK;
}

enum error
wait_signal(struct turn *turn, const struct signal_news *news, struct problem *problem,
            int *ret_next)
{
    const struct instance *instance = turn->instance;
    const struct signal_seen *seen = instance_signal(instance, news->event);
    struct record *record;
    enum error error;

    if (instance->is_ended)
        return ERR_OK;
    error = check_news(instance, news, problem);
    if (error != ERR_OK)
        return error;
    if (seen != NULL && uuid_equal(seen->id, news->id) && seen->version != news->version)
        return problem_set(problem, ERR_ID_REUSED, "request_id",
                           "was used for another version of this event");
    if (seen != NULL && news->version <= seen->version)
        return ERR_OK;
    record = turn_record(turn, RECORD_SIGNAL);
    record->activation = news->id;
    record->event = turn_text(turn, news->event);
    record->version = news->version;
    record->set = json_incref(news->payload);
    turn_fold(turn, record);
    if (instance_is_waiting(instance) && strcmp(current_state(turn)->event, news->event) == 0)
        *ret_next = wait_look(turn);
    return ERR_OK;
}
