#include "saga/engine/definition_key.h"
#include "mesh/base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool
key_refuse(struct reader *reader, const char *key, const char *format, ...)
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

bool
key_refuse_expression(struct reader *reader, const char *key)
{
    char text[sizeof reader->problem->text];

    snprintf(text, sizeof text, "%s", reader->problem->text);
    return key_refuse(reader, key, "%s", text);
}

bool
key_text(struct reader *reader, const json_t *json, const char *key, char **ret_text)
{
    const json_t *value = json_object_get(json, key);

    if (value == NULL || json_is_null(value))
        return true;
    if (!json_is_string(value))
        return key_refuse(reader, key, "must be a text");
    *ret_text =
        arena_copy(reader->definition->arena, json_string_value(value), json_string_length(value));
    return true;
}

bool
key_bool(struct reader *reader, const json_t *json, const char *key, bool *ret_is_true)
{
    const json_t *value = json_object_get(json, key);

    if (value == NULL || json_is_null(value))
        return true;
    if (!json_is_boolean(value))
        return key_refuse(reader, key, "must be true or false");
    *ret_is_true = json_is_true(value);
    return true;
}

bool
key_milli(struct reader *reader, const json_t *json, const char *key, int64_t max,
          int64_t *ret_milli)
{
    const json_t *value = json_object_get(json, key);
    double number = json_number_value(value);

    if (value == NULL || json_is_null(value))
        return true;
    if (json_is_number(value) && reader->options->is_stored)
        number = number < 0 ? 0 : number > (double)max ? (double)max : number;
    if (!json_is_number(value) || number < 0 || number > (double)max)
        return key_refuse(reader, key, "must be a number from 0 to %lld", (long long)max);
    *ret_milli = (int64_t)(number * 1000 + 0.5);
    return true;
}

bool
key_int(struct reader *reader, const json_t *json, const char *key, int64_t min, int64_t max,
        int64_t *ret_int)
{
    const json_t *value = json_object_get(json, key);
    int64_t number = json_integer_value(value);

    if (value == NULL || json_is_null(value))
        return true;
    if (json_is_integer(value) && reader->options->is_stored)
        number = number < min ? min : number > max ? max : number;
    if (!json_is_integer(value) || number < min || number > max)
        return key_refuse(reader, key, "must be a whole number from %lld to %lld", (long long)min,
                          (long long)max);
    *ret_int = number;
    return true;
}

bool
key_target(struct reader *reader, const json_t *json, const char *key, int *ret_state)
{
    char *name = NULL;

    if (!key_text(reader, json, key, &name))
        return false;
    *ret_state = STATE_NONE;
    if (name == NULL || name[0] == '\0')
        return true;
    *ret_state = definition_state_find(reader->definition, name);
    return *ret_state != STATE_NONE ||
           key_refuse(reader, key, "state \"%.60s\" does not exist", name);
}

bool
key_expression(struct reader *reader, const char *text, const char *key,
               struct expression **ret_expression)
{
    return expression_parse(text, reader->definition->arena, reader->problem, ret_expression) ==
                   ERR_OK
               ? true
               : key_refuse_expression(reader, key);
}

bool
key_list(struct reader *reader, const json_t *json, const char *key, bool is_object,
         size_t item_bytes, const json_t **ret_list, void *ret_items, size_t *ret_count)
{
    const json_t *list = json_object_get(json, key);
    size_t count;
    void *items;

    *ret_list = NULL;
    if (list == NULL || json_is_null(list))
        return true;
    if (is_object ? !json_is_object(list) : !json_is_array(list))
        return key_refuse(reader, key, "must be %s", is_object ? "an object" : "an array");
    count = is_object ? json_object_size(list) : json_array_size(list);
    items = arena_take(reader->definition->arena, count * item_bytes);
    memcpy(ret_items, &items, sizeof items);
    *ret_count = count;
    *ret_list = list;
    return true;
}

bool
key_classes(struct reader *reader, const json_t *json, const char *key, char ***ret_classes,
            size_t *ret_count)
{
    const json_t *list;
    json_t *value;
    size_t index;

    if (!key_list(reader, json, "Exceptions", false, sizeof **ret_classes, &list, ret_classes,
                  ret_count))
        return false;
    json_array_foreach(list, index, value)
    {
        if (!json_is_string(value) || json_string_length(value) == 0)
            return key_refuse(reader, key, "Exceptions must be names of classes");
        (*ret_classes)[index] = arena_copy(reader->definition->arena, json_string_value(value),
                                           json_string_length(value));
    }
    return true;
}

bool
key_catches(struct reader *reader, const json_t *json)
{
    struct state *state = reader->state;
    const json_t *list;
    json_t *value;
    size_t index;

    if (!key_list(reader, json, "Catch", false, sizeof *state->catches, &list, &state->catches,
                  &state->catch_count))
        return false;
    json_array_foreach(list, index, value)
    {
        struct catch_rule *rule = &state->catches[index];

        if (!json_is_object(value))
            return key_refuse(reader, "Catch", "must hold objects");
        if (!key_classes(reader, value, "Catch", &rule->classes, &rule->class_count) ||
            !key_target(reader, value, "Next", &rule->next))
            return false;
        if (rule->class_count == 0 || rule->next == STATE_NONE)
            return key_refuse(reader, "Catch", "needs Exceptions and Next");
    }
    return true;
}
