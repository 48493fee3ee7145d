#include "saga/engine/field.h"
#include "mesh/base/uuid.h"
#include "saga/engine/definition.h"

#include <limits.h>
#include <string.h>

static void
field_write(const struct field *field, const char *at, struct json_writer *writer)
{
    char text[UUID_TEXT_BYTES + 1];
    union {
        int number;
        int64_t time_us;
        bool is_true;
        enum status status;
        const char *text;
        struct uuid id;
        const json_t *tree;
    } value;

    memset(&value, 0, sizeof value);
    switch (field->type) {
    case FIELD_INDEX:
    case FIELD_INT:
        memcpy(&value.number, at, sizeof value.number);
        if (value.number != (field->type == FIELD_INDEX ? -1 : 0))
            json_put_int(writer, field->key, value.number);
        break;
    case FIELD_TIME:
        memcpy(&value.time_us, at, sizeof value.time_us);
        if (value.time_us != 0)
            json_put_int(writer, field->key, value.time_us);
        break;
    case FIELD_BOOL:
        memcpy(&value.is_true, at, sizeof value.is_true);
        if (value.is_true)
            json_put_bool(writer, field->key, true);
        break;
    case FIELD_STATUS:
        memcpy(&value.status, at, sizeof value.status);
        if (value.status != STATUS_NONE)
            json_put_text(writer, field->key, status_text(value.status));
        break;
    case FIELD_TEXT:
        memcpy(&value.text, at, sizeof value.text);
        if (value.text != NULL)
            json_put_text(writer, field->key, value.text);
        break;
    case FIELD_UUID:
        memcpy(&value.id, at, sizeof value.id);
        if (!uuid_is_nil(value.id))
            json_put_text(writer, field->key, uuid_print(value.id, text));
        break;
    case FIELD_TREE:
        memcpy(&value.tree, at, sizeof value.tree);
        if (value.tree != NULL)
            json_put_tree(writer, field->key, value.tree);
        break;
    }
}

void
fields_write(const struct field *fields, const void *row, struct json_writer *writer)
{
    for (const struct field *field = fields; field->key != NULL; field++)
        field_write(field, (const char *)row + field->offset, writer);
}

static bool
read_int(const json_t *json, int fallback, char *at)
{
    int number = json == NULL ? fallback : (int)json_integer_value(json);

    if (json != NULL && (!json_is_integer(json) || json_integer_value(json) < 0 ||
                         json_integer_value(json) > INT_MAX))
        return false;
    memcpy(at, &number, sizeof number);
    return true;
}

static bool
read_text(const json_t *json, struct arena *arena, char *at)
{
    size_t bytes = json_string_length(json);
    char *text;

    if (json == NULL)
        return true;
    if (!json_is_string(json))
        return false;
    if (arena != NULL) {
        text = arena_copy(arena, json_string_value(json), bytes);
    } else {
        text = memory_take(bytes + 1);
        memcpy(text, json_string_value(json), bytes);
    }
    memcpy(at, &text, sizeof text);
    return true;
}

static bool
read_word(const struct field *field, const json_t *json, char *at)
{
    enum status status = STATUS_NONE;
    struct uuid id;

    if (json == NULL)
        return true;
    if (!json_is_string(json))
        return false;
    if (field->type == FIELD_STATUS) {
        if (!status_parse(json_string_value(json), &status))
            return false;
        memcpy(at, &status, sizeof status);
        return true;
    }
    if (!uuid_parse(json_string_value(json), json_string_length(json), &id))
        return false;
    memcpy(at, &id, sizeof id);
    return true;
}

static bool
field_read(const struct field *field, json_t *json, struct arena *arena, char *at)
{
    int64_t time_us = json_integer_value(json);
    bool is_true = json_is_true(json);

    switch (field->type) {
    case FIELD_INDEX:
    case FIELD_INT:
        return read_int(json, field->type == FIELD_INDEX ? -1 : 0, at);
    case FIELD_TIME:
        memcpy(at, &time_us, sizeof time_us);
        return json == NULL || (json_is_integer(json) && time_us >= 0);
    case FIELD_BOOL:
        memcpy(at, &is_true, sizeof is_true);
        return json == NULL || json_is_boolean(json);
    case FIELD_TEXT:
        return read_text(json, arena, at);
    case FIELD_STATUS:
    case FIELD_UUID:
        return read_word(field, json, at);
    case FIELD_TREE:
        json = json_incref(json);
        memcpy(at, &json, sizeof json);
        return true;
    }
    return false;
}

enum error
fields_read(const struct field *fields, const json_t *json, struct arena *arena,
            struct problem *problem, void *row)
{
    for (const struct field *field = fields; field->key != NULL; field++) {
        if (!field_read(field, json_object_get(json, field->key), arena,
                        (char *)row + field->offset))
            return problem_set(problem, ERR_BAD_REQUEST, field->key, "is not what was written");
    }
    return ERR_OK;
}
