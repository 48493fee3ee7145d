/* body.c -- One walk over the tree that jansson made, guided by the table.
 *
 * jansson names what it refuses by a position in the text; where it is a member, the text is read once more up to that
 * position to say which.
 */
#include "mesh/http/body.h"
#include "mesh/base/json.h"
#include "mesh/base/utf8.h"

#include <string.h>

enum { POINTER_BYTES_MAX = 200 };

struct reading {
    struct arena *arena;
    struct body_problem *problem;
};

static bool
refuse(struct reading *reading, const char *pointer, const char *detail)
{
    *reading->problem = (struct body_problem){ pointer, detail };
    return false;
}

/* ---- where ---- */

/* A name as a step of a pointer, ~ and / escaped; a stranger's long one is cut between characters. */
static const char *
pointer_add(struct arena *arena, const char *pointer, const char *name)
{
    char text[2 * POINTER_BYTES_MAX + 8];
    size_t bytes = 0, count = utf8_cut(name, POINTER_BYTES_MAX);

    for (size_t i = 0; i < count; i++) {
        text[bytes++] = name[i] == '~' || name[i] == '/' ? '~' : name[i];
        if (name[i] == '~' || name[i] == '/')
            text[bytes++] = name[i] == '~' ? '0' : '1';
    }
    text[bytes] = '\0';
    return arena_print(arena, "%s/%s", pointer, text);
}

static const char *
pointer_add_index(struct arena *arena, const char *pointer, size_t index)
{
    return arena_print(arena, "%s/%zu", pointer, index);
}

/* Where a reader of JSON stands after some bytes: a step for each bracket that is open. */
struct step {
    bool is_list, has_name;
    size_t index, name_at, name_end; /* the present member's name, between its quotes */
};

struct place {
    struct step steps[JSON_DEPTH_MAX + 1];
    size_t depth;
};

static size_t
string_end(const char *text, size_t at, size_t bytes)
{
    for (at++; at < bytes && text[at] != '"'; at++) {
        if (text[at] == '\\')
            at++;
    }
    return at;
}

static void
place_string(struct place *place, size_t from, size_t to)
{
    struct step *step = place->depth == 0 ? NULL : &place->steps[place->depth - 1];

    if (step == NULL || step->is_list || step->has_name)
        return;
    step->name_at = from + 1;
    step->name_end = to;
}

static void
place_mark(struct place *place, char mark)
{
    struct step *step = place->depth == 0 ? NULL : &place->steps[place->depth - 1];

    if ((mark == '{' || mark == '[') && place->depth <= JSON_DEPTH_MAX) {
        place->steps[place->depth++] = (struct step){ .is_list = mark == '[' };
    } else if ((mark == '}' || mark == ']') && place->depth > 0) {
        place->depth--;
    } else if (mark == ':' && step != NULL) {
        step->has_name = true;
    } else if (mark == ',' && step != NULL) {
        step->has_name = false;
        step->name_at = step->name_end = 0;
        step->index++;
    }
}

static const char *
place_print(const struct place *place, const char *text, struct arena *arena)
{
    const char *pointer = "";

    for (size_t i = 0; i < place->depth; i++) {
        const struct step *step = &place->steps[i];

        if (step->is_list)
            pointer = pointer_add_index(arena, pointer, step->index);
        else if (step->name_end > step->name_at)
            pointer = pointer_add(
                arena, pointer,
                arena_copy(arena, text + step->name_at, step->name_end - step->name_at));
    }
    return pointer;
}

/* The member that jansson was at when it gave up; text has been found to be UTF-8 up to there. */
static const char *
pointer_at(const char *text, size_t bytes, struct arena *arena)
{
    struct place place = { 0 };

    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '"') {
            size_t end = string_end(text, i, bytes);

            if (end >= bytes)
                break;
            place_string(&place, i, end);
            i = end;
        } else {
            place_mark(&place, text[i]);
        }
    }
    return place_print(&place, text, arena);
}

/* ---- what ---- */

static const char *
type_name(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction or an exponent";
    case JSON_NULL:
        return "null";
    default:
        return "a boolean";
    }
}

static bool
refuse_type(struct reading *reading, const char *pointer, const char *wanted, const json_t *json)
{
    return refuse(reading, pointer,
                  arena_print(reading->arena, "must be %s, not %s", wanted, type_name(json)));
}

static bool read_object(struct reading *reading, const json_t *json,
                        const struct body_field *fields, const char *pointer, void *values);

static bool
read_list(struct reading *reading, const json_t *json, const struct body_field *field,
          const char *pointer, struct body_list *list)
{
    size_t count = json_array_size(json);

    if (count < field->rows_min || count > field->rows_max)
        return refuse(reading, pointer,
                      arena_print(reading->arena, "must have %zu to %zu entries, not %zu",
                                  field->rows_min, field->rows_max, count));
    list->rows = arena_take(reading->arena, count * field->struct_bytes);
    list->count = count;
    for (size_t i = 0; i < count; i++) {
        if (!read_object(reading, json_array_get(json, i), field->fields,
                         pointer_add_index(reading->arena, pointer, i),
                         (char *)list->rows + i * field->struct_bytes))
            return false;
    }
    return true;
}

static bool
read_value(struct reading *reading, const json_t *json, const struct body_field *field,
           const char *pointer, void *value)
{
    void *object;

    switch (field->type) {
    case BODY_TEXT:
        if (!json_is_string(json))
            return refuse_type(reading, pointer, "a text", json);
        *(const char **)value =
            arena_copy(reading->arena, json_string_value(json), json_string_length(json));
        return true;
    case BODY_INT:
        if (!json_is_integer(json))
            return refuse_type(reading, pointer, "an integer", json);
        *(int64_t *)value = json_integer_value(json);
        return true;
    case BODY_LIST:
        if (!json_is_array(json))
            return refuse_type(reading, pointer, "a list", json);
        return read_list(reading, json, field, pointer, value);
    case BODY_OBJECT:
        break;
    }
    object = arena_take(reading->arena, field->struct_bytes);
    *(void **)value = object;
    return read_object(reading, json, field->fields, pointer, object);
}

static const struct body_field *
field_find(const struct body_field *fields, const char *name)
{
    for (; fields->name != NULL; fields++) {
        if (strcmp(fields->name, name) == 0)
            return fields;
    }
    return NULL;
}

static const char *
names_of(struct arena *arena, const struct body_field *fields)
{
    const char *names = fields->name;

    for (fields++; fields->name != NULL; fields++)
        names = arena_print(arena, "%s, %s", names, fields->name);
    return names;
}

static bool
read_object(struct reading *reading, const json_t *json, const struct body_field *fields,
            const char *pointer, void *values)
{
    const char *name;
    json_t *value;

    if (!json_is_object(json))
        return refuse_type(reading, pointer, "an object", json);
    json_object_foreach((json_t *)json, name, value)
    {
        const struct body_field *field = field_find(fields, name);
        const char *place = pointer_add(reading->arena, pointer, name);

        if (field == NULL)
            return refuse(reading, place,
                          arena_print(reading->arena, "is not known here; known are %s",
                                      names_of(reading->arena, fields)));
        if (!read_value(reading, value, field, place, (char *)values + field->offset))
            return false;
    }
    for (const struct body_field *field = fields; field->name != NULL; field++) {
        if (field->is_required && json_object_get(json, field->name) == NULL)
            return refuse(reading, pointer_add(reading->arena, pointer, field->name),
                          "is required");
    }
    return true;
}

/* Only where jansson stopped for the value of a member, the member is named. */
static bool
refuse_text(struct reading *reading, const char *text, size_t bytes, const struct problem *problem)
{
    json_error_t error = { .position = 0 };
    json_t *json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);

    if (json != NULL) { /* sound but for its depth */
        json_decref(json);
        return refuse(reading, "", arena_print(reading->arena, "%s", problem->text));
    }
    switch (json_error_code(&error)) {
    case json_error_duplicate_key:
        return refuse(reading, pointer_at(text, (size_t)error.position, reading->arena),
                      "is there twice");
    case json_error_null_character:
    case json_error_numeric_overflow:
    case json_error_invalid_utf8:
        return refuse(reading, pointer_at(text, (size_t)error.position, reading->arena),
                      json_rule(&error));
    default: /* what the text would have been is not known */
        return refuse(reading, "", arena_print(reading->arena, "%s", problem->text));
    }
}

bool
body_read(const uint8_t *text, size_t bytes, const struct body_field *fields, void *values,
          struct arena *arena, struct body_problem *ret_problem)
{
    struct reading reading = { arena, ret_problem };
    struct problem problem = { 0 };
    json_t *json;
    bool is_read;

    if (json_read((const char *)text, bytes, "body", &problem, &json) != ERR_OK)
        return refuse_text(&reading, (const char *)text, bytes, &problem);
    is_read = read_object(&reading, json, fields, "", values);
    json_decref(json);
    return is_read;
}
