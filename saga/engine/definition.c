/* definition.c -- From JSON to a checked machine. Keys are read by definition_key.c, a ServiceTask by
 * definition_task.c.
 *
 * Two passes over "States": the first gives every name its index, the second reads each state by the
 * row of its type. definition_check() then looks at the machine as a whole.
 */
#include "saga/engine/definition.h"
#include "mesh/base/clock.h"
#include "mesh/base/json.h"
#include "mesh/base/text.h"
#include "saga/engine/definition_check.h"
#include "saga/engine/definition_key.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUDGET_SHORT_SECONDS = 10 * 60,
    BUDGET_LONG_SECONDS = 24 * 3600,
};

struct state_type {
    const char *name;
    enum state_kind kind;
    bool (*read)(struct reader *reader, const json_t *json); /* NULL: known, not yet supported */
};

static bool choice_read(struct reader *reader, const json_t *json);
static bool succeed_read(struct reader *reader, const json_t *json);
static bool fail_read(struct reader *reader, const json_t *json);
static bool trigger_read(struct reader *reader, const json_t *json);
static bool wait_read(struct reader *reader, const json_t *json);

/* clang-format off */
static const struct state_type state_types[] = {
    { "ServiceTask",          STATE_SERVICE_TASK,         service_task_read },
    { "Choice",               STATE_CHOICE,               choice_read       },
    { "Succeed",              STATE_SUCCEED,              succeed_read      },
    { "Fail",                 STATE_FAIL,                 fail_read         },
    { "CompensationTrigger",  STATE_COMPENSATION_TRIGGER, trigger_read      },
    { "WaitForEvent",         STATE_WAIT_FOR_EVENT,       wait_read         },
    { "ScriptTask",           STATE_KIND_COUNT,           NULL              },
    { "SubStateMachine",      STATE_KIND_COUNT,           NULL              },
    { "CompensateSubMachine", STATE_KIND_COUNT,           NULL              },
    { "Fork",                 STATE_KIND_COUNT,           NULL              },
    { "Join",                 STATE_KIND_COUNT,           NULL              },
    { "Wait",                 STATE_KIND_COUNT,           NULL              },
    { "Timer",                STATE_KIND_COUNT,           NULL              },
    { "LoopStart",            STATE_KIND_COUNT,           NULL              },
};

static const char *const status_texts[STATUS_COUNT] = { "", "RU", "SU", "FA", "UN", "SK" };
/* clang-format on */

const char *
status_text(enum status status)
{
    return status_texts[status];
}

bool
status_parse(const char *text, enum status *ret_status)
{
    for (int i = 0; i < STATUS_COUNT; i++) {
        if (strcmp(status_texts[i], text) == 0) {
            *ret_status = (enum status)i;
            return true;
        }
    }
    return false;
}

/* The other types */

static bool
choice_read(struct reader *reader, const json_t *json)
{
    struct state *state = reader->state;
    const json_t *list;
    json_t *value;
    size_t index;

    if (!key_list(reader, json, "Choices", false, sizeof *state->choices, &list, &state->choices,
                  &state->choice_count) ||
        !key_target(reader, json, "Default", &state->fallback))
        return false;
    json_array_foreach(list, index, value)
    {
        struct choice_rule *rule = &state->choices[index];
        const char *text = json_string_value(json_object_get(value, "Expression"));

        if (text == NULL)
            return key_refuse(reader, "Choices", "needs an Expression in each entry");
        if (!key_expression(reader, text, "Choices", &rule->when) ||
            !key_target(reader, value, "Next", &rule->next))
            return false;
        if (rule->next == STATE_NONE)
            return key_refuse(reader, "Choices", "needs a Next in each entry");
    }
    if (state->choice_count == 0 && state->fallback == STATE_NONE)
        return key_refuse(reader, "Choices", "is missing");
    return true;
}

static bool
succeed_read(struct reader *reader, const json_t *json)
{
    (void)reader;
    (void)json;
    return true;
}

static bool
fail_read(struct reader *reader, const json_t *json)
{
    return key_text(reader, json, "ErrorCode", &reader->state->error_code) &&
           key_text(reader, json, "Message", &reader->state->error_message);
}

static bool
trigger_read(struct reader *reader, const json_t *json)
{
    return key_target(reader, json, "Next", &reader->state->next);
}

static bool
is_event_name(const char *text)
{
    return text_is_of(text, TEXT_LETTERS_AND_DIGITS "-_") && strlen(text) <= EVENT_NAME_BYTES_MAX;
}

static bool
wait_read(struct reader *reader, const json_t *json)
{
    struct state *state = reader->state;
    char *until = NULL, *deadline = NULL;
    int64_t timeout_seconds = 0;

    if (!key_text(reader, json, "Event", &state->event) ||
        !key_text(reader, json, "Until", &until) ||
        !key_text(reader, json, "Deadline", &deadline) ||
        !key_int(reader, json, "TimeoutSeconds", 1, BUDGET_SECONDS_MAX, &timeout_seconds) ||
        !key_target(reader, json, "TimeoutNext", &state->timeout_next) ||
        !key_target(reader, json, "Next", &state->next) || !key_catches(reader, json))
        return false;
    state->timeout_us = timeout_seconds * SECOND_US;
    if (state->event == NULL || (!is_event_name(state->event) && !reader->options->is_stored))
        return key_refuse(reader, "Event", "must be 1 to %d letters, digits, - and _",
                          EVENT_NAME_BYTES_MAX);
    if (until == NULL)
        return key_refuse(reader, "Until", "is missing");
    if (timeout_seconds == 0)
        return key_refuse(reader, "TimeoutSeconds", "is missing: a wait must end");
    return key_expression(reader, until, "Until", &state->until) &&
           (deadline == NULL || key_expression(reader, deadline, "Deadline", &state->deadline));
}

static bool
state_read(struct reader *reader, const json_t *json)
{
    char *type = NULL;

    reader->state->kind = STATE_UNREADABLE;
    if (!json_is_object(json))
        return key_refuse(reader, "", "must be an object");
    if (!key_text(reader, json, "Type", &type))
        return false;
    if (type == NULL)
        return key_refuse(reader, "Type", "is missing");
    for (size_t i = 0; i < sizeof state_types / sizeof *state_types; i++) {
        if (strcmp(state_types[i].name, type) != 0)
            continue;
        if (state_types[i].read == NULL)
            return key_refuse(reader, "Type", "\"%s\" is not supported yet", type);
        reader->state->kind = state_types[i].kind;
        return state_types[i].read(reader, json);
    }
    return key_refuse(reader, "Type", "\"%.60s\" is no state type", type);
}

/* The machine */

static bool
states_read(struct reader *reader, const json_t *states)
{
    struct definition *definition = reader->definition;
    const char *key;
    json_t *value;
    size_t at = 0;

    definition->states =
        arena_take(definition->arena, json_object_size(states) * sizeof *definition->states);
    json_object_foreach((json_t *)states, key, value)
    {
        struct state *state = &definition->states[definition->state_count++];

        state->name = arena_copy(definition->arena, key, strlen(key));
        state->next = state->compensate_state = STATE_NONE;
        state->fallback = state->timeout_next = STATE_NONE;
        if (!reader->options->is_stored && (key[0] == '\0' || strlen(key) > NAME_BYTES_MAX))
            return key_refuse(reader, "States", "names have 1 to %d bytes", NAME_BYTES_MAX);
    }
    json_object_foreach((json_t *)states, key, value)
    {
        reader->state = &definition->states[at++];
        if (!state_read(reader, value))
            return false;
    }
    reader->state = NULL;
    return true;
}

static bool
machine_read(struct reader *reader, const json_t *json)
{
    struct definition *definition = reader->definition;
    const json_t *states = json_object_get(json, "States");
    char *start = NULL;

    if (!json_is_object(json))
        return key_refuse(reader, "", "a definition must be a JSON object");
    if (json_object_get(json, "nodes") != NULL && json_object_get(json, "edges") != NULL)
        return key_refuse(reader, "nodes", "a designer's JSON is not supported yet");
    if (!key_text(reader, json, "Name", &definition->name) ||
        !key_text(reader, json, "StartState", &start))
        return false;
    if (definition->name == NULL || definition->name[0] == '\0' ||
        strlen(definition->name) > NAME_BYTES_MAX)
        return key_refuse(reader, "Name", "must have 1 to %d bytes", NAME_BYTES_MAX);
    if (!json_is_object(states) || json_object_size(states) == 0)
        return key_refuse(reader, "States", "must be an object of states");
    if (json_object_size(states) > DEFINITION_STATES_MAX && !reader->options->is_stored)
        return key_refuse(reader, "States", "has more than %d states", DEFINITION_STATES_MAX);
    if (!states_read(reader, states))
        return false;
    definition_mark(definition);
    definition->start = start == NULL ? STATE_NONE : definition_state_find(definition, start);
    if (reader->options->is_stored) /* it was checked, and nothing is started on it */
        return true;
    if (start == NULL)
        return key_refuse(reader, "StartState", "is missing");
    if (definition->start == STATE_NONE)
        return key_refuse(reader, "StartState", "state \"%.60s\" does not exist", start);
    return definition_check(definition, json, reader->problem) == ERR_OK;
}

static void
hash_print(const char *text, size_t bytes, char ret_hash[65])
{
    unsigned char digest[32];

    EVP_Digest(text, bytes, digest, NULL, EVP_sha256(), NULL);
    *text_print_hex(digest, sizeof digest, ret_hash) = '\0';
}

static enum error
text_read(const char *text, size_t bytes, const struct definition_options *options,
          struct problem *problem, json_t **ret_json)
{
    json_error_t error;

    if (!options->is_stored)
        return json_read(text, bytes, "", problem, ret_json);
    *ret_json = json_loadb(text, bytes, 0, &error);
    return *ret_json != NULL ? ERR_OK
                             : problem_set(problem, ERR_BAD_REQUEST, "", "%s: line %d, column %d",
                                           json_rule(&error), error.line, error.column);
}

enum error
definition_read(const char *text, size_t bytes, const struct definition_options *options,
                struct problem *problem, struct definition **ret_definition)
{
    struct definition *definition;
    struct reader reader;
    json_t *json;

    if (bytes > DEFINITION_BYTES_MAX && !options->is_stored)
        return problem_set(problem, ERR_BAD_REQUEST, "", "a definition has at most %d bytes",
                           DEFINITION_BYTES_MAX);
    if (text_read(text, bytes, options, problem, &json) != ERR_OK)
        return ERR_BAD_REQUEST;
    definition = memory_take(sizeof *definition);
    definition->arena = arena_new();
    definition->tree = json;
    definition->text = arena_copy(definition->arena, text, bytes);
    definition->text_bytes = bytes;
    definition->trigger = STATE_NONE;
    hash_print(text, bytes, definition->hash);
    reader = (struct reader){ .definition = definition, .options = options, .problem = problem };
    if (!machine_read(&reader, json)) {
        definition_free(definition);
        return ERR_BAD_REQUEST;
    }
    *ret_definition = definition;
    return ERR_OK;
}

struct definition *
definition_free(struct definition *definition)
{
    if (definition == NULL)
        return NULL;
    json_decref(definition->tree);
    arena_free(definition->arena);
    free(definition);
    return NULL;
}

int
definition_end(const struct definition *definition)
{
    return (int)definition->state_count;
}

int
definition_state_find(const struct definition *definition, const char *name)
{
    for (size_t i = 0; i < definition->state_count; i++) {
        if (strcmp(definition->states[i].name, name) == 0)
            return (int)i;
    }
    return STATE_NONE;
}

bool
definition_awaits(const struct definition *definition, const char *event)
{
    for (size_t i = 0; i < definition->state_count; i++) {
        const char *awaited = definition->states[i].event;

        if (awaited != NULL && strcmp(awaited, event) == 0)
            return true;
    }
    return false;
}

const char *
definition_reserves(const struct definition *definition, const char *name)
{
    static const char key[] = "_business_key_";
    size_t bytes = strlen(name), key_bytes = sizeof key - 1;

    if (strcmp(name, "_error_") == 0)
        return "the engine sets it";
    if (bytes >= key_bytes && strcmp(name + bytes - key_bytes, key) == 0)
        return "the engine sets what ends so";
    return definition_awaits(definition, name) ? "it is an event, which only signals set" : NULL;
}

int64_t
state_budget_us(const struct state *state, bool is_long)
{
    if (state->budget_us != 0)
        return state->budget_us;
    return (is_long ? BUDGET_LONG_SECONDS : BUDGET_SHORT_SECONDS) * SECOND_US;
}
