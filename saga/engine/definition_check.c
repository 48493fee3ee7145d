#include "saga/engine/definition_check.h"
#include "mesh/base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WARNINGS_MAX = 64 };

struct check {
    struct definition *definition;
    const json_t *states;
    struct problem *problem;
};

__attribute__((format(printf, 2, 3))) static void
warn(const struct check *check, const char *format, ...)
{
    struct definition *definition = check->definition;
    char text[256];
    va_list arguments;

    if (definition->warning_count == WARNINGS_MAX)
        return;
    if (definition->warnings == NULL)
        definition->warnings =
            arena_take(definition->arena, WARNINGS_MAX * sizeof *definition->warnings);
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    definition->warnings[definition->warning_count++] =
        arena_copy(definition->arena, text, strlen(text));
}

static enum error
refuse(const struct check *check, const struct state *state, const char *key, const char *rule)
{
    char field[256];

    snprintf(field, sizeof field, "States.%s%s%s", state->name, key[0] == '\0' ? "" : ".", key);
    return problem_set(check->problem, ERR_BAD_REQUEST, field, "%s", rule);
}

/* The n-th state that can follow; STATE_NONE past the last. Slots without a target are skipped. */
static int
follower(const struct state *state, size_t n)
{
    if (state->next != STATE_NONE && n-- == 0)
        return state->next;
    if (state->fallback != STATE_NONE && n-- == 0)
        return state->fallback;
    if (state->timeout_next != STATE_NONE && n-- == 0)
        return state->timeout_next;
    if (n < state->choice_count)
        return state->choices[n].next;
    n -= state->choice_count;
    if (n < state->catch_count)
        return state->catches[n].next;
    return STATE_NONE;
}

void
definition_mark(struct definition *definition)
{
    for (size_t i = 0; i < definition->state_count; i++) {
        struct state *state = &definition->states[i];

        if (state->kind == STATE_COMPENSATION_TRIGGER && definition->trigger == STATE_NONE)
            definition->trigger = (int)i;
        if (state->compensate_state == STATE_NONE)
            continue;
        state->is_for_update = true;
        definition->states[state->compensate_state].is_for_compensation = true;
    }
    for (size_t i = 0; i < definition->state_count; i++) {
        struct state *state = &definition->states[i];

        state->is_read = state->is_read && !state->is_for_update && !state->is_pivot &&
                         !state->is_for_compensation;
    }
}

static enum error
check_compensation(const struct check *check)
{
    const struct definition *definition = check->definition;

    for (size_t i = 0; i < definition->state_count; i++) {
        const struct state *state = &definition->states[i];
        const struct state *undo;

        if (state->compensate_state == STATE_NONE)
            continue;
        undo = &definition->states[state->compensate_state];
        if (undo->kind != STATE_SERVICE_TASK)
            return refuse(check, state, "CompensateState", "must name a ServiceTask");
        if (undo->compensate_state != STATE_NONE || undo->is_pivot || undo == state)
            return refuse(check, state, "CompensateState",
                          "must name a state that is not itself undone, and no pivot");
    }
    return ERR_OK;
}

static enum error
check_roles(const struct check *check)
{
    const struct definition *definition = check->definition;
    const struct state *pivot = NULL;

    for (size_t i = 0; i < definition->state_count; i++) {
        const struct state *state = &definition->states[i];

        if (state->is_pivot && pivot != NULL)
            return refuse(check, state, "Pivot", "a machine has one pivot at most");
        if (state->is_pivot)
            pivot = state;
        if (state->is_for_update && state->compensate_state == STATE_NONE &&
            !state->is_for_compensation)
            warn(check, "States.%s: is for update and has no CompensateState: nothing undoes it",
                 state->name);
        if (state->kind == STATE_CHOICE && state->fallback == STATE_NONE)
            warn(check, "States.%s: has no Default: a saga that matches no choice fails",
                 state->name);
    }
    return ERR_OK;
}

static enum error
check_events(const struct check *check)
{
    const struct definition *definition = check->definition;
    int count = 0;

    for (size_t i = 0; i < definition->state_count; i++) {
        const struct state *state = &definition->states[i];
        bool is_known = state->event == NULL;

        for (size_t n = 0; n < i && !is_known; n++)
            is_known = definition->states[n].event != NULL &&
                       strcmp(definition->states[n].event, state->event) == 0;
        if (!is_known && ++count > EVENTS_MAX)
            return refuse(check, state, "Event", "is one more than the 16 that a machine may have");
    }
    return ERR_OK;
}

/* What only the engine writes into the context, nothing else does: else an answer could forge a payment. */
static enum error
check_names(const struct check *check)
{
    const struct definition *definition = check->definition;
    char rule[128];

    for (size_t i = 0; i < definition->state_count; i++) {
        const struct state *state = &definition->states[i];

        for (size_t n = 0; n < state->output_count; n++) {
            const char *because = definition_reserves(definition, state->outputs[n].name);

            snprintf(rule, sizeof rule, "must not set \"%.64s\": %s", state->outputs[n].name,
                     because == NULL ? "" : because);
            if (because != NULL)
                return refuse(check, state, "Output", rule);
        }
        if (state->event != NULL && (strcmp(state->event, "_error_") == 0 ||
                                     strstr(state->event, "_business_key_") != NULL))
            return refuse(check, state, "Event", "must not be a name that the engine itself sets");
    }
    return ERR_OK;
}

/* Every state must be able to reach an end: walks backwards from the ends until nothing changes. */
static enum error
check_ends(const struct check *check)
{
    const struct definition *definition = check->definition;
    bool can_end[DEFINITION_STATES_MAX] = { false };
    bool has_changed = true;

    while (has_changed) {
        has_changed = false;
        for (size_t i = 0; i < definition->state_count; i++) {
            const struct state *state = &definition->states[i];
            bool ends = state->kind != STATE_CHOICE && state->next == STATE_NONE;
            int next;

            for (size_t n = 0; (next = follower(state, n)) != STATE_NONE; n++)
                ends = ends || can_end[next];
            has_changed = has_changed || ends != can_end[i];
            can_end[i] = ends;
        }
    }
    for (size_t i = 0; i < definition->state_count; i++) {
        if (!can_end[i])
            return refuse(check, &definition->states[i], "Next",
                          "runs in a circle without a way to an end");
    }
    return ERR_OK;
}

static void
mark_reachable(const struct definition *definition, int index, bool is_reachable[])
{
    const struct state *state = &definition->states[index];
    int next;

    if (is_reachable[index])
        return;
    is_reachable[index] = true;
    for (size_t n = 0; (next = follower(state, n)) != STATE_NONE; n++)
        mark_reachable(definition, next, is_reachable);
    if (state->compensate_state != STATE_NONE)
        mark_reachable(definition, state->compensate_state, is_reachable);
}

static void
check_reachable(const struct check *check)
{
    const struct definition *definition = check->definition;
    bool is_reachable[DEFINITION_STATES_MAX] = { false };

    mark_reachable(definition, definition->start, is_reachable);
    for (size_t i = 0; i < definition->state_count; i++) {
        if (!is_reachable[i])
            warn(check, "States.%s: nothing leads to it", definition->states[i].name);
    }
}

/* Behind a trigger nothing is undone any more, and an end there says that all was. */
static void
check_triggers(const struct check *check)
{
    const struct definition *definition = check->definition;
    bool is_behind[DEFINITION_STATES_MAX] = { false };

    for (size_t i = 0; i < definition->state_count; i++) {
        if (definition->states[i].kind == STATE_COMPENSATION_TRIGGER &&
            definition->states[i].next != STATE_NONE)
            mark_reachable(definition, definition->states[i].next, is_behind);
    }
    for (size_t i = 0; i < definition->state_count; i++) {
        if (is_behind[i] && definition->states[i].compensate_state != STATE_NONE)
            warn(check,
                 "States.%s: may be done behind a CompensationTrigger: a saga that ends then is "
                 "stuck",
                 definition->states[i].name);
    }
}

enum { NOT_KNOWN = -1, ON_THE_WAY = -2 };

/* The longest way's budgets from a state up to the pivot, which is not counted: a hold that expires
 * while it is asked to confirm is tried again. Circles count once. */
static int64_t
budgets_to_pivot_us(const struct definition *definition, int index, int64_t known_us[])
{
    const struct state *state = &definition->states[index];
    int64_t longest_us = 0;
    int next;

    if (known_us[index] != NOT_KNOWN || state->is_pivot ||
        state->kind == STATE_COMPENSATION_TRIGGER)
        return known_us[index] > 0 ? known_us[index] : 0;
    known_us[index] = ON_THE_WAY;
    for (size_t n = 0; (next = follower(state, n)) != STATE_NONE; n++) {
        int64_t way_us = budgets_to_pivot_us(definition, next, known_us);

        if (way_us > longest_us)
            longest_us = way_us;
    }
    if (state->kind == STATE_SERVICE_TASK)
        longest_us += state_budget_us(state, false);
    if (state->kind == STATE_WAIT_FOR_EVENT)
        longest_us += state->timeout_us;
    known_us[index] = longest_us;
    return longest_us;
}

static void
check_holds(const struct check *check)
{
    static const char *const names[] = { "holdSeconds", "hold_seconds" };
    const struct definition *definition = check->definition;

    for (size_t i = 0; i < definition->state_count * 2; i++) {
        const struct state *state = &definition->states[i / 2];
        const json_t *input = json_object_get(json_object_get(check->states, state->name), "Input");
        const json_t *hold = json_object_get(json_array_get(input, 0), names[i % 2]);
        int64_t known_us[DEFINITION_STATES_MAX], budgets_us;

        if (!json_is_integer(hold))
            continue;
        for (size_t n = 0; n < DEFINITION_STATES_MAX; n++)
            known_us[n] = NOT_KNOWN;
        budgets_us = budgets_to_pivot_us(definition, (int)(i / 2), known_us);
        if (budgets_us / SECOND_US > json_integer_value(hold))
            warn(check,
                 "States.%s: its hold of %lld s may expire: the budgets up to the pivot are %lld s",
                 state->name, (long long)json_integer_value(hold),
                 (long long)(budgets_us / SECOND_US));
    }
}

enum error
definition_check(struct definition *definition, const json_t *json, struct problem *problem)
{
    struct check check = { .definition = definition,
                           .states = json_object_get(json, "States"),
                           .problem = problem };

    if (check_compensation(&check) != ERR_OK || check_roles(&check) != ERR_OK ||
        check_ends(&check) != ERR_OK || check_events(&check) != ERR_OK ||
        check_names(&check) != ERR_OK)
        return ERR_BAD_REQUEST;
    check_reachable(&check);
    check_triggers(&check);
    check_holds(&check);
    return ERR_OK;
}
