/* definition.c -- From JSON to a checked machine.
 *
 * Two passes over "States": the first gives every name its index, the second reads each state by the
 * row of its type. definition_check() then looks at the machine as a whole.
 */
#include "saga/engine/definition.h"
#include "mesh/base/clock.h"
#include "mesh/base/json.h"
#include "saga/engine/definition_check.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_BYTES_MAX = 128,
    ATTEMPT_TIMEOUT_MS = 2000, /* rule 2 of the design */
    ATTEMPT_TIMEOUT_MS_MAX = 600 * 1000,
    BUDGET_SHORT_SECONDS = 10 * 60,
    BUDGET_LONG_SECONDS = 24 * 3600,
    BUDGET_SECONDS_MAX = 40 * 24 * 3600, /* within the 45 days that participants keep an id */
    RETRY_ATTEMPTS_MAX = 1000,
    RETRY_SECONDS_MAX = 24 * 3600,
    BACKOFF_RATE_MAX = 10,
};

struct reader {
    struct definition *definition;
    const struct definition_options *options;
    struct problem *problem;
    struct state *state; /* that is being read; NULL: the machine itself */
};

struct state_type {
    const char *name;
    enum state_kind kind;
    bool (*read)(struct reader *reader, const json_t *json); /* NULL: known, not yet supported */
};

static bool service_task_read(struct reader *reader, const json_t *json);
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

/* Keys of a ServiceTask that would change what it means, and are not supported yet. */
static const char *const unsupported_keys[] = { "Loop", "IsAsync" };

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

/* False, with the problem set. Of a stored version only the state is lost, and the rest is read: true. */
__attribute__((format(printf, 3, 4))) static bool
refuse(struct reader *reader, const char *key, const char *format, ...)
{
    const char *state = reader->state == NULL ? "" : reader->state->name;
    char field[NAME_BYTES_MAX * 2 + 16], text[160];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (reader->options->is_stored && reader->state != NULL) {
        if (reader->state->broken == NULL)
            reader->state->broken = arena_print(reader->definition->arena, "%s %s", key, text);
        return true;
    }
    snprintf(field, sizeof field, "%s%s%s%s", reader->state == NULL ? "" : "States.", state,
             key[0] == '\0' || reader->state == NULL ? "" : ".", key);
    problem_set(reader->problem, ERR_BAD_REQUEST, field, "%s", text);
    return false;
}

/* Puts the place into a problem that an expression made. */
static bool
refuse_expression(struct reader *reader, const char *key)
{
    char text[sizeof reader->problem->text];

    snprintf(text, sizeof text, "%s", reader->problem->text);
    return refuse(reader, key, "%s", text);
}

/* Reading one key */

static bool
read_text(struct reader *reader, const json_t *json, const char *key, char **ret_text)
{
    const json_t *value = json_object_get(json, key);

    if (value == NULL || json_is_null(value))
        return true;
    if (!json_is_string(value))
        return refuse(reader, key, "must be a text");
    *ret_text =
        arena_copy(reader->definition->arena, json_string_value(value), json_string_length(value));
    return true;
}

static bool
read_bool(struct reader *reader, const json_t *json, const char *key, bool *ret_is_true)
{
    const json_t *value = json_object_get(json, key);

    if (value == NULL || json_is_null(value))
        return true;
    if (!json_is_boolean(value))
        return refuse(reader, key, "must be true or false");
    *ret_is_true = json_is_true(value);
    return true;
}

/* A number of some unit as that many millis of it: 1.5 -> 1500. */
static bool
read_milli(struct reader *reader, const json_t *json, const char *key, int64_t max,
           int64_t *ret_milli)
{
    const json_t *value = json_object_get(json, key);
    double number = json_number_value(value);

    if (value == NULL || json_is_null(value))
        return true;
    if (json_is_number(value) && reader->options->is_stored)
        number = number < 0 ? 0 : number > (double)max ? (double)max : number;
    if (!json_is_number(value) || number < 0 || number > (double)max)
        return refuse(reader, key, "must be a number from 0 to %lld", (long long)max);
    *ret_milli = (int64_t)(number * 1000 + 0.5);
    return true;
}

static bool
read_int(struct reader *reader, const json_t *json, const char *key, int64_t min, int64_t max,
         int64_t *ret_int)
{
    const json_t *value = json_object_get(json, key);
    int64_t number = json_integer_value(value);

    if (value == NULL || json_is_null(value))
        return true;
    if (json_is_integer(value) && reader->options->is_stored)
        number = number < min ? min : number > max ? max : number;
    if (!json_is_integer(value) || number < min || number > max)
        return refuse(reader, key, "must be a whole number from %lld to %lld", (long long)min,
                      (long long)max);
    *ret_int = number;
    return true;
}

static bool
read_target(struct reader *reader, const json_t *json, const char *key, int *ret_state)
{
    char *name = NULL;

    if (!read_text(reader, json, key, &name))
        return false;
    *ret_state = STATE_NONE;
    if (name == NULL || name[0] == '\0')
        return true;
    *ret_state = definition_state_find(reader->definition, name);
    return *ret_state != STATE_NONE || refuse(reader, key, "state \"%.60s\" does not exist", name);
}

static bool
read_expression(struct reader *reader, const char *text, const char *key,
                struct expression **ret_expression)
{
    return expression_parse(text, reader->definition->arena, reader->problem, ret_expression) ==
                   ERR_OK
               ? true
               : refuse_expression(reader, key);
}

/* A key whose value is an array or an object: its items in the arena, zeroed. */
static bool
read_list(struct reader *reader, const json_t *json, const char *key, bool is_object,
          size_t item_bytes, const json_t **ret_list, void *ret_items, size_t *ret_count)
{
    const json_t *list = json_object_get(json, key);
    size_t count;
    void *items;

    *ret_list = NULL;
    if (list == NULL || json_is_null(list))
        return true;
    if (is_object ? !json_is_object(list) : !json_is_array(list))
        return refuse(reader, key, "must be %s", is_object ? "an object" : "an array");
    count = is_object ? json_object_size(list) : json_array_size(list);
    items = arena_take(reader->definition->arena, count * item_bytes);
    memcpy(ret_items, &items, sizeof items);
    *ret_count = count;
    *ret_list = list;
    return true;
}

static bool
read_classes(struct reader *reader, const json_t *json, const char *key, char ***ret_classes,
             size_t *ret_count)
{
    const json_t *list;
    json_t *value;
    size_t index;

    if (!read_list(reader, json, "Exceptions", false, sizeof **ret_classes, &list, ret_classes,
                   ret_count))
        return false;
    json_array_foreach(list, index, value)
    {
        if (!json_is_string(value) || json_string_length(value) == 0)
            return refuse(reader, key, "Exceptions must be names of classes");
        (*ret_classes)[index] = arena_copy(reader->definition->arena, json_string_value(value),
                                           json_string_length(value));
    }
    return true;
}

/* ServiceTask */

static bool
read_inputs(struct reader *reader, const json_t *json)
{
    static const char *const ours[] = { "requestId", "request_id" };
    struct state *state = reader->state;
    const json_t *list;
    json_t *value;
    size_t index;

    if (!read_list(reader, json, "Input", false, sizeof *state->inputs, &list, &state->inputs,
                   &state->input_count))
        return false;
    state->has_input = list != NULL;
    for (size_t i = 0; list != NULL && i < sizeof ours / sizeof *ours; i++) {
        if (!reader->options->is_stored &&
            json_object_get(json_array_get(list, 0), ours[i]) != NULL)
            return refuse(reader, "Input", "must not have \"%s\": the engine fills it in", ours[i]);
    }
    json_array_foreach(list, index, value)
    {
        if (template_read(value, reader->definition->arena, reader->problem,
                          &state->inputs[index]) != ERR_OK)
            return refuse_expression(reader, "Input");
    }
    return true;
}

static bool
read_outputs(struct reader *reader, const json_t *json)
{
    struct state *state = reader->state;
    size_t count = 0;
    const json_t *list;
    const char *key;
    json_t *value;

    if (!read_list(reader, json, "Output", true, sizeof *state->outputs, &list, &state->outputs,
                   &state->output_count))
        return false;
    json_object_foreach((json_t *)list, key, value)
    {
        struct output_rule *output = &state->outputs[count++];

        output->name = key;
        if (template_read(value, reader->definition->arena, reader->problem, &output->value) !=
            ERR_OK)
            return refuse_expression(reader, "Output");
    }
    return true;
}

static bool
read_statuses(struct reader *reader, const json_t *json)
{
    struct state *state = reader->state;
    size_t count = 0;
    const json_t *list;
    const char *key;
    json_t *value;

    if (!read_list(reader, json, "Status", true, sizeof *state->statuses, &list, &state->statuses,
                   &state->status_count))
        return false;
    json_object_foreach((json_t *)list, key, value)
    {
        struct status_rule *rule = &state->statuses[count++];

        if (!read_expression(reader, key, "Status", &rule->when))
            return false;
        if (!json_is_string(value) || !status_parse(json_string_value(value), &rule->status) ||
            rule->status == STATUS_NONE || rule->status == STATUS_RU)
            return refuse(reader, "Status", "must map to SU, FA, UN or SK");
    }
    return true;
}

static bool
read_catches(struct reader *reader, const json_t *json)
{
    struct state *state = reader->state;
    const json_t *list;
    json_t *value;
    size_t index;

    if (!read_list(reader, json, "Catch", false, sizeof *state->catches, &list, &state->catches,
                   &state->catch_count))
        return false;
    json_array_foreach(list, index, value)
    {
        struct catch_rule *rule = &state->catches[index];

        if (!json_is_object(value))
            return refuse(reader, "Catch", "must hold objects");
        if (!read_classes(reader, value, "Catch", &rule->classes, &rule->class_count) ||
            !read_target(reader, value, "Next", &rule->next))
            return false;
        if (rule->class_count == 0 || rule->next == STATE_NONE)
            return refuse(reader, "Catch", "needs Exceptions and Next");
    }
    return true;
}

static bool
read_retry(struct reader *reader, const json_t *json, struct retry_rule *rule)
{
    int64_t attempts = -1, interval_milli = 1000;

    rule->backoff_milli = 1000;
    if (!json_is_object(json))
        return refuse(reader, "Retry", "must hold objects");
    if (!read_classes(reader, json, "Retry", &rule->classes, &rule->class_count) ||
        !read_int(reader, json, "MaxAttempts", 0, RETRY_ATTEMPTS_MAX, &attempts) ||
        !read_milli(reader, json, "IntervalSeconds", RETRY_SECONDS_MAX, &interval_milli) ||
        !read_milli(reader, json, "BackoffRate", BACKOFF_RATE_MAX, &rule->backoff_milli))
        return false;
    if (attempts < 0)
        return refuse(reader, "Retry", "needs MaxAttempts");
    rule->attempts_max = (int)attempts;
    rule->interval_us = interval_milli * 1000;
    return true;
}

static bool
read_retries(struct reader *reader, const json_t *json)
{
    struct state *state = reader->state;
    const json_t *list;
    json_t *value;
    size_t index;

    if (!read_list(reader, json, "Retry", false, sizeof *state->retries, &list, &state->retries,
                   &state->retry_count))
        return false;
    if (state->retry_count > RETRY_RULES_MAX)
        return refuse(reader, "Retry", "has more than %d entries", RETRY_RULES_MAX);
    json_array_foreach(list, index, value)
    {
        if (!read_retry(reader, value, &state->retries[index]))
            return false;
    }
    return true;
}

static bool
read_times(struct reader *reader, const json_t *json)
{
    int64_t timeout_ms = ATTEMPT_TIMEOUT_MS, budget_seconds = 0;

    if (!read_int(reader, json, "AttemptTimeoutMs", 1, ATTEMPT_TIMEOUT_MS_MAX, &timeout_ms) ||
        !read_int(reader, json, "BudgetSeconds", 1, BUDGET_SECONDS_MAX, &budget_seconds))
        return false;
    reader->state->attempt_timeout_us = timeout_ms * 1000;
    reader->state->budget_us = budget_seconds * SECOND_US;
    return true;
}

static bool
check_service(struct reader *reader, const json_t *json)
{
    struct state *state = reader->state;
    char *type = NULL;

    for (size_t i = 0; i < sizeof unsupported_keys / sizeof *unsupported_keys; i++) {
        const json_t *value = json_object_get(json, unsupported_keys[i]);

        if (!reader->options->is_stored && value != NULL && !json_is_null(value) &&
            !json_is_false(value))
            return refuse(reader, unsupported_keys[i], "is not supported yet");
    }
    if (state->service == NULL || state->service[0] == '\0')
        return refuse(reader, "ServiceName", "is missing");
    if (state->method == NULL || state->method[0] == '\0')
        return refuse(reader, "ServiceMethod", "is missing");
    if (!reader->options->must_be_grpc || reader->options->is_stored)
        return true;
    if (!read_text(reader, json, "ServiceType", &type))
        return false;
    if (type == NULL || strcmp(type, "GRPC") != 0)
        return refuse(reader, "ServiceType", "must be \"GRPC\"");
    if (state->input_count > 1 ||
        (state->input_count == 1 &&
         !json_is_object(json_array_get(json_object_get(json, "Input"), 0))))
        return refuse(reader, "Input", "must hold one object, the request");
    return true;
}

static bool
service_task_read(struct reader *reader, const json_t *json)
{
    struct state *state = reader->state;

    state->is_read = json_is_false(json_object_get(json, "IsForUpdate"));
    return read_text(reader, json, "ServiceName", &state->service) &&
           read_text(reader, json, "ServiceMethod", &state->method) &&
           read_bool(reader, json, "IsForUpdate", &state->is_for_update) &&
           read_bool(reader, json, "IsForCompensation", &state->is_for_compensation) &&
           read_bool(reader, json, "Pivot", &state->is_pivot) &&
           read_target(reader, json, "CompensateState", &state->compensate_state) &&
           read_target(reader, json, "Next", &state->next) && read_inputs(reader, json) &&
           read_outputs(reader, json) && read_statuses(reader, json) &&
           read_catches(reader, json) && read_retries(reader, json) && read_times(reader, json) &&
           check_service(reader, json);
}

/* The other types */

static bool
choice_read(struct reader *reader, const json_t *json)
{
    struct state *state = reader->state;
    const json_t *list;
    json_t *value;
    size_t index;

    if (!read_list(reader, json, "Choices", false, sizeof *state->choices, &list, &state->choices,
                   &state->choice_count) ||
        !read_target(reader, json, "Default", &state->fallback))
        return false;
    json_array_foreach(list, index, value)
    {
        struct choice_rule *rule = &state->choices[index];
        const char *text = json_string_value(json_object_get(value, "Expression"));

        if (text == NULL)
            return refuse(reader, "Choices", "needs an Expression in each entry");
        if (!read_expression(reader, text, "Choices", &rule->when) ||
            !read_target(reader, value, "Next", &rule->next))
            return false;
        if (rule->next == STATE_NONE)
            return refuse(reader, "Choices", "needs a Next in each entry");
    }
    if (state->choice_count == 0 && state->fallback == STATE_NONE)
        return refuse(reader, "Choices", "is missing");
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
    return read_text(reader, json, "ErrorCode", &reader->state->error_code) &&
           read_text(reader, json, "Message", &reader->state->error_message);
}

static bool
trigger_read(struct reader *reader, const json_t *json)
{
    return read_target(reader, json, "Next", &reader->state->next);
}

static bool
is_event_name(const char *text)
{
    size_t bytes = text == NULL ? 0 : strlen(text);

    return bytes > 0 && bytes <= EVENT_NAME_BYTES_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") ==
               bytes;
}

static bool
wait_read(struct reader *reader, const json_t *json)
{
    struct state *state = reader->state;
    char *until = NULL, *deadline = NULL;
    int64_t timeout_seconds = 0;

    if (!read_text(reader, json, "Event", &state->event) ||
        !read_text(reader, json, "Until", &until) ||
        !read_text(reader, json, "Deadline", &deadline) ||
        !read_int(reader, json, "TimeoutSeconds", 1, BUDGET_SECONDS_MAX, &timeout_seconds) ||
        !read_target(reader, json, "TimeoutNext", &state->timeout_next) ||
        !read_target(reader, json, "Next", &state->next) || !read_catches(reader, json))
        return false;
    state->timeout_us = timeout_seconds * SECOND_US;
    if (state->event == NULL || (!is_event_name(state->event) && !reader->options->is_stored))
        return refuse(reader, "Event", "must be 1 to %d letters, digits, - and _",
                      EVENT_NAME_BYTES_MAX);
    if (until == NULL)
        return refuse(reader, "Until", "is missing");
    if (timeout_seconds == 0)
        return refuse(reader, "TimeoutSeconds", "is missing: a wait must end");
    return read_expression(reader, until, "Until", &state->until) &&
           (deadline == NULL || read_expression(reader, deadline, "Deadline", &state->deadline));
}

static bool
state_read(struct reader *reader, const json_t *json)
{
    char *type = NULL;

    reader->state->kind = STATE_UNREADABLE;
    if (!json_is_object(json))
        return refuse(reader, "", "must be an object");
    if (!read_text(reader, json, "Type", &type))
        return false;
    if (type == NULL)
        return refuse(reader, "Type", "is missing");
    for (size_t i = 0; i < sizeof state_types / sizeof *state_types; i++) {
        if (strcmp(state_types[i].name, type) != 0)
            continue;
        if (state_types[i].read == NULL)
            return refuse(reader, "Type", "\"%s\" is not supported yet", type);
        reader->state->kind = state_types[i].kind;
        return state_types[i].read(reader, json);
    }
    return refuse(reader, "Type", "\"%.60s\" is no state type", type);
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
            return refuse(reader, "States", "names have 1 to %d bytes", NAME_BYTES_MAX);
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
        return refuse(reader, "", "a definition must be a JSON object");
    if (json_object_get(json, "nodes") != NULL && json_object_get(json, "edges") != NULL)
        return refuse(reader, "nodes", "a designer's JSON is not supported yet");
    if (!read_text(reader, json, "Name", &definition->name) ||
        !read_text(reader, json, "StartState", &start))
        return false;
    if (definition->name == NULL || definition->name[0] == '\0' ||
        strlen(definition->name) > NAME_BYTES_MAX)
        return refuse(reader, "Name", "must have 1 to %d bytes", NAME_BYTES_MAX);
    if (!json_is_object(states) || json_object_size(states) == 0)
        return refuse(reader, "States", "must be an object of states");
    if (json_object_size(states) > DEFINITION_STATES_MAX && !reader->options->is_stored)
        return refuse(reader, "States", "has more than %d states", DEFINITION_STATES_MAX);
    if (!states_read(reader, states))
        return false;
    definition_mark(definition);
    definition->start = start == NULL ? STATE_NONE : definition_state_find(definition, start);
    if (reader->options->is_stored) /* it was checked, and nothing is started on it */
        return true;
    if (start == NULL)
        return refuse(reader, "StartState", "is missing");
    if (definition->start == STATE_NONE)
        return refuse(reader, "StartState", "state \"%.60s\" does not exist", start);
    return definition_check(definition, json, reader->problem) == ERR_OK;
}

static void
hash_print(const char *text, size_t bytes, char ret_hash[65])
{
    unsigned char digest[32];

    EVP_Digest(text, bytes, digest, NULL, EVP_sha256(), NULL);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(ret_hash + 2 * i, 3, "%02x", digest[i]);
}

static enum error
text_read(const char *text, size_t bytes, const struct definition_options *options,
          struct problem *problem, json_t **ret_json)
{
    json_error_t error;

    if (!options->is_stored)
        return json_read(text, bytes, "", problem, ret_json);
    *ret_json = json_loadb(text, bytes, 0, &error);
    return *ret_json != NULL
               ? ERR_OK
               : problem_set(problem, ERR_BAD_REQUEST, "", "is not JSON: %s", error.text);
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
