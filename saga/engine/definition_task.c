/* definition_task.c -- A ServiceTask: what it calls, with what, and what follows from the answer. */
#include "mesh/base/clock.h"
#include "saga/engine/definition_key.h"

#include <string.h>

enum {
    ATTEMPT_TIMEOUT_MS = 2000, /* rule 2 of the design */
    ATTEMPT_TIMEOUT_MS_MAX = 600 * 1000,
    RETRY_ATTEMPTS_MAX = 1000,
    RETRY_SECONDS_MAX = 24 * 3600,
    BACKOFF_RATE_MAX = 10,
};

/* Keys that would change what it means, and are not supported yet. */
static const char *const unsupported_keys[] = { "Loop", "IsAsync" };

static bool
read_inputs(struct reader *reader, const json_t *json)
{
    static const char *const ours[] = { "requestId", "request_id" };
    struct state *state = reader->state;
    const json_t *list;
    json_t *value;
    size_t index;

    if (!key_list(reader, json, "Input", false, sizeof *state->inputs, &list, &state->inputs,
                  &state->input_count))
        return false;
    state->has_input = list != NULL;
    for (size_t i = 0; list != NULL && i < sizeof ours / sizeof *ours; i++) {
        if (!reader->options->is_stored &&
            json_object_get(json_array_get(list, 0), ours[i]) != NULL)
            return key_refuse(reader, "Input", "must not have \"%s\": the engine fills it in",
                              ours[i]);
    }
    json_array_foreach(list, index, value)
    {
        if (template_read(value, reader->definition->arena, reader->problem,
                          &state->inputs[index]) != ERR_OK)
            return key_refuse_expression(reader, "Input");
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

    if (!key_list(reader, json, "Output", true, sizeof *state->outputs, &list, &state->outputs,
                  &state->output_count))
        return false;
    json_object_foreach((json_t *)list, key, value)
    {
        struct output_rule *output = &state->outputs[count++];

        output->name = key;
        if (template_read(value, reader->definition->arena, reader->problem, &output->value) !=
            ERR_OK)
            return key_refuse_expression(reader, "Output");
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

    if (!key_list(reader, json, "Status", true, sizeof *state->statuses, &list, &state->statuses,
                  &state->status_count))
        return false;
    json_object_foreach((json_t *)list, key, value)
    {
        struct status_rule *rule = &state->statuses[count++];

        if (!key_expression(reader, key, "Status", &rule->when))
            return false;
        if (!json_is_string(value) || !status_parse(json_string_value(value), &rule->status) ||
            rule->status == STATUS_NONE || rule->status == STATUS_RU)
            return key_refuse(reader, "Status", "must map to SU, FA, UN or SK");
    }
    return true;
}

static bool
read_retry(struct reader *reader, const json_t *json, struct retry_rule *rule)
{
    int64_t attempts = -1, interval_milli = 1000;

    rule->backoff_milli = 1000;
    if (!json_is_object(json))
        return key_refuse(reader, "Retry", "must hold objects");
    if (!key_classes(reader, json, "Retry", &rule->classes, &rule->class_count) ||
        !key_int(reader, json, "MaxAttempts", 0, RETRY_ATTEMPTS_MAX, &attempts) ||
        !key_milli(reader, json, "IntervalSeconds", RETRY_SECONDS_MAX, &interval_milli) ||
        !key_milli(reader, json, "BackoffRate", BACKOFF_RATE_MAX, &rule->backoff_milli))
        return false;
    if (attempts < 0)
        return key_refuse(reader, "Retry", "needs MaxAttempts");
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

    if (!key_list(reader, json, "Retry", false, sizeof *state->retries, &list, &state->retries,
                  &state->retry_count))
        return false;
    if (state->retry_count > RETRY_RULES_MAX)
        return key_refuse(reader, "Retry", "has more than %d entries", RETRY_RULES_MAX);
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

    if (!key_int(reader, json, "AttemptTimeoutMs", 1, ATTEMPT_TIMEOUT_MS_MAX, &timeout_ms) ||
        !key_int(reader, json, "BudgetSeconds", 1, BUDGET_SECONDS_MAX, &budget_seconds))
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
            return key_refuse(reader, unsupported_keys[i], "is not supported yet");
    }
    if (state->service == NULL || state->service[0] == '\0')
        return key_refuse(reader, "ServiceName", "is missing");
    if (state->method == NULL || state->method[0] == '\0')
        return key_refuse(reader, "ServiceMethod", "is missing");
    if (!reader->options->must_be_grpc || reader->options->is_stored)
        return true;
    if (!key_text(reader, json, "ServiceType", &type))
        return false;
    if (type == NULL || strcmp(type, "GRPC") != 0)
        return key_refuse(reader, "ServiceType", "must be \"GRPC\"");
    if (state->input_count > 1 ||
        (state->input_count == 1 &&
         !json_is_object(json_array_get(json_object_get(json, "Input"), 0))))
        return key_refuse(reader, "Input", "must hold one object, the request");
    return true;
}

bool
service_task_read(struct reader *reader, const json_t *json)
{
    struct state *state = reader->state;

    state->is_read = json_is_false(json_object_get(json, "IsForUpdate"));
    return key_text(reader, json, "ServiceName", &state->service) &&
           key_text(reader, json, "ServiceMethod", &state->method) &&
           key_bool(reader, json, "IsForUpdate", &state->is_for_update) &&
           key_bool(reader, json, "IsForCompensation", &state->is_for_compensation) &&
           key_bool(reader, json, "Pivot", &state->is_pivot) &&
           key_target(reader, json, "CompensateState", &state->compensate_state) &&
           key_target(reader, json, "Next", &state->next) && read_inputs(reader, json) &&
           read_outputs(reader, json) && read_statuses(reader, json) && key_catches(reader, json) &&
           read_retries(reader, json) && read_times(reader, json) && check_service(reader, json);
}
