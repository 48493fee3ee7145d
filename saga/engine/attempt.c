/* attempt.c -- What an attempt comes to: its answer, or that there is none; and when the next is due. */
#include "mesh/base/hash.h"
#include "saga/engine/turn.h"

#include <assert.h>
#include <string.h>

enum {
    BACKOFF_FIRST_US = 100 * 1000, /* a restart of a participant takes some tenths of a second */
    BACKOFF_LAST_US = 30 * 1000 * 1000,       /* a day's outage is 3,000 attempts, not 100,000 */
    BACKOFF_RULE_LAST_US = 600 * 1000 * 1000, /* of a definition's own Retry */
};

#define THROWABLE_NETWORK_CONNECT "java.net.ConnectException"
#define THROWABLE_NETWORK_TIMEOUT "java.net.SocketTimeoutException"

/* Trying again */

/* Half the delay is sure and half is spread, by the activation's id: the same every time that it is
 * worked out, different for those who wait for the same participant. */
static int64_t
spread(const struct step *step, int64_t delay_us)
{
    uint64_t hash =
        hash_int(hash_bytes(HASH_SEED, &step->activation, sizeof step->activation), step->attempts);

    return delay_us / 2 + (int64_t)(hash_end(hash) % (uint64_t)(delay_us / 2 + 1));
}

static int64_t
backoff_us(int64_t first_us, int64_t rate_milli, int count, int64_t last_us)
{
    int64_t delay_us = first_us;

    for (int i = 0; i < count && delay_us < last_us && rate_milli != 1000; i++)
        delay_us = delay_us * rate_milli / 1000;
    return delay_us < last_us ? delay_us : last_us;
}

static bool
retry_takes(const struct retry_rule *rule, const char *class)
{
    for (size_t i = 0; i < rule->class_count; i++) {
        if (exception_is(class, rule->classes[i]))
            return true;
    }
    return rule->class_count == 0 && (exception_is(class, THROWABLE_NETWORK_CONNECT) ||
                                      exception_is(class, THROWABLE_NETWORK_TIMEOUT));
}

/* Is the class the business of the Retry entries? Then the budget is not asked, unless it is the state's own. */
static bool
retry_names(const struct state *state, const char *class)
{
    for (size_t i = 0; i < state->retry_count; i++) {
        if (retry_takes(&state->retries[i], class))
            return true;
    }
    return false;
}

/* Finds who pays for another attempt after an error of that class, and when it is due. */
static bool
retry_find(const struct turn *turn, const char *class, bool has_default, int *ret_rule,
           int64_t *ret_next_us)
{
    const struct step *step = turn_step(turn);
    const struct state *state = turn_state(turn, step->state);
    bool is_named = retry_names(state, class);
    int64_t delay_us = -1, budget_us = is_named && state->budget_us == 0 ? 0 : step->budget_us;

    if (budget_us != 0 && turn->now_us >= budget_us)
        return false;
    *ret_rule = -1;
    if (!is_named && has_default)
        delay_us =
            spread(step, backoff_us(BACKOFF_FIRST_US, 2000, step->attempts, BACKOFF_LAST_US));
    for (size_t i = 0; i < state->retry_count && delay_us < 0; i++) {
        const struct retry_rule *rule = &state->retries[i];

        if (!retry_takes(rule, class) || step->retries[i] >= rule->attempts_max)
            continue;
        *ret_rule = (int)i;
        delay_us = spread(step, backoff_us(rule->interval_us, rule->backoff_milli, step->retries[i],
                                           BACKOFF_RULE_LAST_US));
    }
    if (delay_us < 0)
        return false;
    *ret_next_us = turn->now_us + delay_us;
    if (budget_us != 0 && *ret_next_us > budget_us)
        *ret_next_us = budget_us; /* one last time */
    return true;
}

static int
wait_for_retry(struct turn *turn, const struct trouble *trouble, bool is_unknown, int rule,
               int64_t next_us)
{
    struct record *record = turn_record(turn, RECORD_ATTEMPT);

    record->is_unknown = is_unknown;
    record->retry_rule = rule;
    record->next_us = next_us;
    record->class = trouble->class;
    record->reason = trouble->reason;
    record->message = trouble->message;
    turn_fold(turn, record);
    return TURN_WAITS;
}

/* An attempt that did not settle it: again, or the budget is spent. */
static int
take_unsettled(struct turn *turn, const struct trouble *trouble, bool is_unknown)
{
    const struct step *step = turn_step(turn);
    struct ending ending = { .was_called = true, .is_spent = true, .trouble = *trouble };
    int64_t next_us;
    int rule;

    is_unknown = is_unknown && !turn_state(turn, step->state)->is_read; /* it changed nothing */
    ending.is_unknown = step->is_unknown || is_unknown;
    if (!ending.is_unknown && step->undoes < 0 && task_may_be_cancelled(turn))
        return task_end_cancelled(turn, true);
    if (retry_find(turn, trouble->class, true, &rule, &next_us))
        return wait_for_retry(turn, trouble, is_unknown, rule, next_us);
    ending.status = ending.is_unknown ? STATUS_UN : STATUS_FA;
    if (ending.is_unknown && strcmp(trouble->class, CLASS_UNKNOWN) != 0) {
        ending.trouble.class = CLASS_UNKNOWN; /* an earlier attempt's */
        ending.trouble.reason = "UNKNOWN";
    }
    return task_end(turn, &ending);
}

/* Answers */

/* The first Status entry that is true. Of a refusal only $Exception entries are asked: nothing was
 * returned that others could look at. */
static bool
status_find(const struct state *state, const struct expression_scope *scope, bool only_exceptions,
            enum status *ret_status, struct problem *problem)
{
    for (size_t i = 0; i < state->status_count; i++) {
        bool is_true;

        if (only_exceptions && !expression_is_exception(state->statuses[i].when))
            continue;
        if (expression_test(state->statuses[i].when, scope, problem, &is_true) != ERR_OK)
            return false;
        if (is_true) {
            *ret_status = state->statuses[i].status;
            return true;
        }
    }
    return true;
}

/* What Output adds to the context, or NULL with the problem set. A value of null adds nothing: proto3
 * leaves out what is 0 or empty. */
static json_t *
outputs_evaluate(const struct instance *instance, const struct state *state, const json_t *result,
                 struct problem *problem)
{
    struct expression_scope scope = { .root = result };
    json_t *set = json_object();
    size_t bytes;

    for (size_t i = 0; i < state->output_count && result != NULL; i++) {
        json_t *value;

        if (template_evaluate(&state->outputs[i].value, &scope, problem, &value) != ERR_OK) {
            json_decref(set);
            return NULL;
        }
        if (value != NULL)
            json_object_set_new(set, state->outputs[i].name, value);
    }
    bytes = json_tree_bytes(set, CONTEXT_BYTES_MAX);
    if (bytes > CONTEXT_BYTES_MAX || (instance->context_bytes + bytes > CONTEXT_BYTES_MAX &&
                                      instance_bytes(instance) + bytes > CONTEXT_BYTES_MAX)) {
        problem_set(problem, ERR_BAD_REQUEST, NULL, "the context would exceed %d bytes",
                    CONTEXT_BYTES_MAX);
        json_decref(set);
        return NULL;
    }
    if (json_tree_depth(set) > CONTEXT_DEPTH_MAX) {
        problem_set(problem, ERR_BAD_REQUEST, NULL, "is nested deeper than %d levels",
                    CONTEXT_DEPTH_MAX);
        json_decref(set);
        return NULL;
    }
    return set;
}

static int
take_ok(struct turn *turn, const struct answer *answer)
{
    const struct step *step = turn_step(turn);
    const struct state *state = turn_state(turn, step->state);
    const json_t *result = json_is_null(answer->result) ? NULL : answer->result;
    struct expression_scope scope = { .root = result };
    /* What happened and cannot be understood is to be undone. */
    enum status failed = state->is_for_update || state->is_for_compensation || state->is_pivot
                             ? STATUS_UN
                             : STATUS_FA;
    struct ending ending = { .status = STATUS_NONE, .was_called = true };
    struct problem problem;

    if (!status_find(state, &scope, false, &ending.status, &problem))
        return task_end_badly(turn, failed, true, "BAD_STATUS", problem.text);
    if (ending.status == STATUS_NONE && state->status_count != 0)
        return task_end_badly(turn, failed, true, "NO_MATCHED_STATUS",
                              "no Status entry matches the answer");
    if (ending.status == STATUS_NONE)
        ending.status = STATUS_SU;
    ending.set = outputs_evaluate(turn->instance, state, result, &problem);
    if (ending.set == NULL)
        return task_end_badly(turn, failed, true, "BAD_OUTPUT", problem.text);
    if (json_object_size(ending.set) == 0) {
        json_decref(ending.set);
        ending.set = NULL;
    }
    return task_end(turn, &ending);
}

static int
take_refused(struct turn *turn, const struct answer *answer)
{
    const struct step *step = turn_step(turn);
    const struct state *state = turn_state(turn, step->state);
    const char *reason = turn_text(turn, answer->reason);
    struct ending ending = { .status = STATUS_FA, .was_called = true };
    struct expression_scope scope = { 0 };
    struct problem problem;
    int64_t next_us;
    int rule;

    ending.trouble.reason = reason == NULL || reason[0] == '\0' ? "REFUSED" : reason;
    ending.trouble.message = turn_text(turn, answer->message);
    ending.trouble.class = CLASS_REFUSED;
    if (reason != NULL && reason[0] != '\0')
        ending.trouble.class = arena_print(turn->records->arena, CLASS_REFUSED ".%s", reason);
    if (step->is_unknown && !answer->is_stored)
        return take_unsettled(turn, &ending.trouble, false);
    if (retry_find(turn, ending.trouble.class, false, &rule, &next_us)) {
        /* A known answer ends an attempt: the next is asked under a new id. */
        int index = turn->instance->current;
        struct record *record = turn_record(turn, RECORD_DONE);

        record->status = STATUS_FA;
        record->was_called = true;
        record->class = ending.trouble.class;
        record->reason = ending.trouble.reason;
        record->message = ending.trouble.message;
        turn_fold(turn, record);
        return task_enter_again(turn, index, rule, next_us);
    }
    scope.exception = ending.trouble.class;
    if (!status_find(state, &scope, true, &ending.status, &problem))
        ending.status = STATUS_FA;
    return task_end(turn, &ending);
}

/* A participant's own class: Seata's rules. */
static int
take_thrown(struct turn *turn, const struct answer *answer)
{
    const struct step *step = turn_step(turn);
    const struct state *state = turn_state(turn, step->state);
    const char *class = turn_text(turn, answer->class);
    struct ending ending = { .status = STATUS_NONE, .was_called = true };
    bool is_update = state->is_for_update || step->undoes >= 0;
    bool is_connect = exception_is(class, THROWABLE_NETWORK_CONNECT);
    struct expression_scope scope = { .exception = class };
    struct problem problem;
    int64_t next_us;
    int rule;

    for (size_t i = 0; answer->causes != NULL && answer->causes[i] != NULL; i++)
        is_connect = is_connect || exception_is(answer->causes[i], THROWABLE_NETWORK_CONNECT);
    ending.trouble = (struct trouble){ class, turn_text(turn, answer->reason),
                                       turn_text(turn, answer->message) };
    if (retry_find(turn, is_connect ? THROWABLE_NETWORK_CONNECT : class, false, &rule, &next_us))
        return wait_for_retry(turn, &ending.trouble, !is_connect && is_update, rule, next_us);
    if (!status_find(state, &scope, false, &ending.status, &problem) ||
        ending.status == STATUS_NONE)
        ending.status = is_update && !is_connect ? STATUS_UN : STATUS_FA;
    if (step->is_unknown)
        ending.status = STATUS_UN;
    ending.is_unknown = ending.status == STATUS_UN;
    return task_end(turn, &ending);
}

int
attempt_answer(struct turn *turn, const struct answer *answer)
{
    struct trouble trouble = { .reason = turn_text(turn, answer->reason),
                               .message = turn_text(turn, answer->message) };
    bool has_reason = trouble.reason != NULL && trouble.reason[0] != '\0';

    switch (answer->outcome) {
    case OUTCOME_OK:
        return take_ok(turn, answer);
    case OUTCOME_REFUSED:
        return take_refused(turn, answer);
    case OUTCOME_THROWN:
        return take_thrown(turn, answer);
    case OUTCOME_NOT_DONE:
        trouble.class = CLASS_NOT_DONE;
        trouble.reason = has_reason ? trouble.reason : "NOT_DONE";
        return take_unsettled(turn, &trouble, false);
    case OUTCOME_UNKNOWN:
        trouble.class = CLASS_UNKNOWN;
        trouble.reason = has_reason ? trouble.reason : "UNKNOWN";
        return take_unsettled(turn, &trouble, true);
    case OUTCOME_IMPOSSIBLE:
        return task_stop(turn, turn_step(turn)->is_unknown, trouble.message);
    case OUTCOME_COUNT:
        break;
    }
    assert(false && "an answer that is none");
    return TURN_WAITS;
}

void
attempt_recovered(struct turn *turn)
{
    struct trouble trouble = { CLASS_UNKNOWN, "RESTARTED",
                               "the orchestrator restarted while a call may have been under way" };
    const struct step *step;

    if (turn->instance->current == STEP_NONE || instance_is_waiting(turn->instance))
        return;
    step = turn_step(turn);
    if (step->next_us <= turn->now_us + RECOVERED_SKEW_US && !step->is_unknown)
        wait_for_retry(turn, &trouble, !turn_state(turn, step->state)->is_read, -1,
                       step->next_us > turn->now_us ? step->next_us : turn->now_us);
}
