/* Wire to JSON, as strangers send it: every length is checked, depth is limited, what is unknown is
 * skipped, and the last value of a field wins, as protobuf says. */
#include "mesh/base/json.h"
#include "mesh/base/text.h"
#include "mesh/base/utf8.h"
#include "mesh/pb/pbjson_inner.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct in {
    struct problem *problem;
    int depth;
};

static enum error read_message(struct in *in, const struct pbjson_message *message,
                               const uint8_t *bytes, size_t count, json_t *object,
                               const struct pbjson_path *path);

/* ---- values ---- */

static json_t *json_of_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

static json_t *
json_of_text(const char *format, ...)
{
    char text[32];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return json_string_nocheck(text);
}

static json_t *
json_of_real(double value)
{
    if (isnan(value))
        return json_string_nocheck("NaN");
    if (isinf(value))
        return json_string_nocheck(value > 0 ? "Infinity" : "-Infinity");
    return json_real(value);
}

/* The shortest decimal that is this float again: 0.1, not 0.10000000149011612. */
static json_t *
json_of_float(uint64_t bits)
{
    uint32_t bits_32 = (uint32_t)bits;
    char text[32];
    float value;

    memcpy(&value, &bits_32, sizeof value);
    if (!isfinite(value))
        return json_of_real((double)value);
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return json_real(strtod(text, NULL));
}

static json_t *
json_of_double(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof value);
    return json_of_real(value);
}

static json_t *
json_of_enum(const struct pbjson_enum *enumeration, int32_t number)
{
    for (size_t i = 0; i < enumeration->count; i++) {
        if (enumeration->values[i].number == number)
            return json_string(enumeration->values[i].name);
    }
    return json_integer(number);
}

static int64_t
unzigzag(uint64_t bits)
{
    return (int64_t)(bits >> 1 ^ (0 - (bits & 1)));
}

/* Above INT64_MAX there is no number for it. */
static json_t *
json_of_unsigned(uint64_t value)
{
    return value <= INT64_MAX ? json_integer((int64_t)value) : json_of_text("%" PRIu64, value);
}

static json_t *
json_of_number(const struct pbjson_field *field, uint64_t bits)
{
    switch (field->type) {
    case PBJSON_DOUBLE:
        return json_of_double(bits);
    case PBJSON_FLOAT:
        return json_of_float(bits);
    case PBJSON_INT64:
    case PBJSON_SFIXED64:
        return json_integer((int64_t)bits);
    case PBJSON_SINT64:
        return json_integer(unzigzag(bits));
    case PBJSON_UINT64:
    case PBJSON_FIXED64:
        return json_of_unsigned(bits);
    case PBJSON_INT32:
    case PBJSON_SFIXED32:
        return json_integer((int32_t)(uint32_t)bits);
    case PBJSON_SINT32:
        return json_integer((int32_t)unzigzag((uint32_t)bits));
    case PBJSON_UINT32:
    case PBJSON_FIXED32:
        return json_integer((uint32_t)bits);
    case PBJSON_BOOL:
        return json_boolean(bits != 0);
    case PBJSON_ENUM:
        return json_of_enum(field->enumeration, (int32_t)(uint32_t)bits);
    default:
        return NULL;
    }
}

static json_t *
json_of_bytes(const uint8_t *data, size_t count)
{
    char *text = memory_take(TEXT_BASE64_BYTES(count) + 1);
    json_t *json =
        json_stringn_nocheck(text_print_base64(data, count, text), TEXT_BASE64_BYTES(count));

    free(text);
    return json;
}

static enum error
read_text(struct in *in, const uint8_t *data, size_t count, const struct pbjson_path *path,
          json_t **ret_json)
{
    if ((count > 0 && memchr(data, 0, count) != NULL) || !utf8_is_valid((const char *)data, count))
        return pbjson_refuse(in->problem, path, "must be valid UTF-8 without NUL");
    *ret_json = json_stringn_nocheck(count == 0 ? "" : (const char *)data, count);
    return ERR_OK;
}

/* into: the object of an earlier occurrence, which protobuf merges with this one; NULL: none. */
static enum error
read_submessage(struct in *in, const struct pbjson_field *field, const struct pbwire_field *wire,
                json_t *into, const struct pbjson_path *path, json_t **ret_json)
{
    json_t *object = json_is_object(into) ? json_incref(into) : json_object();

    if (read_message(in, field->message, wire->data, wire->bytes, object, path) != ERR_OK) {
        json_decref(object);
        return ERR_BAD_REQUEST;
    }
    *ret_json = object;
    return ERR_OK;
}

/* One value that lies on the wire as its type should. */
static enum error
read_value(struct in *in, const struct pbjson_field *field, const struct pbwire_field *wire,
           json_t *into, const struct pbjson_path *path, json_t **ret_json)
{
    if (wire->type != pbjson_wire_type(field->type))
        return pbjson_refuse(in->problem, path, "is no %s on the wire", pbjson_type_name(field));
    switch (field->type) {
    case PBJSON_STRING:
        return read_text(in, wire->data, wire->bytes, path, ret_json);
    case PBJSON_BYTES:
        *ret_json = json_of_bytes(wire->data, wire->bytes);
        return ERR_OK;
    case PBJSON_MESSAGE:
        return read_submessage(in, field, wire, into, path, ret_json);
    case PBJSON_GROUP:
        return pbjson_refuse(in->problem, path, "is a group: not supported");
    default:
        *ret_json = json_of_number(field, wire->value);
        return ERR_OK;
    }
}

static json_t *
default_of(const struct pbjson_field *field)
{
    if (field->type == PBJSON_STRING || field->type == PBJSON_BYTES)
        return json_string_nocheck("");
    return field->type == PBJSON_MESSAGE ? json_object() : json_of_number(field, 0);
}

/* For expressions, to which what is not there is an error. */
static void
add_defaults(const struct pbjson_message *message, json_t *object)
{
    for (size_t i = 0; i < message->count; i++) {
        const struct pbjson_field *field = &message->fields[i];
        json_t *value;

        if (field->has_presence || json_object_get(object, field->json_name) != NULL)
            continue;
        value = pbjson_is_map(field) ? json_object()
                : field->is_repeated ? json_array()
                                     : default_of(field);
        json_object_set_new_nocheck(object, field->json_name, value);
    }
}

/* ---- fields ---- */

static enum error
read_packed(struct in *in, const struct pbjson_field *field, const struct pbwire_field *wire,
            json_t *array, const struct pbjson_path *path)
{
    struct pbwire inner = pbwire_of(wire->data, wire->bytes);
    enum pbwire_type type = pbjson_wire_type(field->type);

    while (!pbwire_is_done(&inner)) {
        uint64_t bits;
        bool is_read = type == PBWIRE_VARINT
                           ? pbwire_read_varint(&inner, &bits)
                           : pbwire_read_fixed(&inner, type == PBWIRE_FIXED64 ? 8 : 4, &bits);

        if (!is_read)
            return pbjson_refuse(in->problem, path, "is cut short or garbled");
        json_array_append_new(array, json_of_number(field, bits));
    }
    return ERR_OK;
}

static json_t *
member_of(json_t *object, const struct pbjson_field *field, json_t *(*make)(void))
{
    json_t *member = json_object_get(object, field->json_name);

    if (member == NULL) {
        member = make();
        json_object_set_new_nocheck(object, field->json_name, member);
    }
    return member;
}

static enum error
read_repeated(struct in *in, const struct pbjson_field *field, const struct pbwire_field *wire,
              json_t *object, const struct pbjson_path *path)
{
    json_t *array = member_of(object, field, json_array), *value = NULL;
    struct pbjson_path inner = { .up = path, .index = json_array_size(array) };

    if (wire->type == PBWIRE_BYTES && pbjson_wire_type(field->type) != PBWIRE_BYTES)
        return read_packed(in, field, wire, array, path);
    if (read_value(in, field, wire, NULL, &inner, &value) != ERR_OK)
        return ERR_BAD_REQUEST;
    json_array_append_new(array, value);
    return ERR_OK;
}

/* A map's key as text; it takes over json. */
static json_t *
key_of(json_t *json)
{
    json_t *key = json_is_string(json) ? json_incref(json)
                  : json_is_integer(json)
                      ? json_of_text("%" JSON_INTEGER_FORMAT, json_integer_value(json))
                      : json_string_nocheck(json_is_true(json) ? "true" : "false");

    json_decref(json);
    return key;
}

/* Replaces *slot by the wire's value. */
static enum error
read_part(struct in *in, const struct pbjson_field *field, const struct pbwire_field *wire,
          const struct pbjson_path *path, json_t **slot)
{
    json_t *value = NULL;

    if (read_value(in, field, wire, *slot, path, &value) != ERR_OK)
        return ERR_BAD_REQUEST;
    json_decref(*slot);
    *slot = value;
    return ERR_OK;
}

static enum error
read_entry(struct in *in, const struct pbjson_field *field, const struct pbwire_field *wire,
           json_t *map, const struct pbjson_path *path)
{
    const struct pbjson_field *key = &field->message->fields[0], *value = &key[1];
    struct pbwire inner = pbwire_of(wire->data, wire->bytes);
    struct pbjson_path at = { .up = path, .index = json_object_size(map) };
    json_t *key_json = default_of(key), *value_json = default_of(value);
    struct pbwire_field part;
    enum error error = ERR_OK;

    while (error == ERR_OK && pbwire_next(&inner, &part)) {
        if (part.number == key->number)
            error = read_part(in, key, &part, &at, &key_json);
        else if (part.number == value->number)
            error = read_part(in, value, &part, &at, &value_json);
    }
    if (error == ERR_OK && !pbwire_is_done(&inner))
        error = pbjson_refuse(in->problem, &at, "is cut short or garbled");
    key_json = key_of(key_json);
    if (error == ERR_OK && value->type == PBJSON_MESSAGE)
        add_defaults(value->message, value_json); /* the entry may have no value at all */
    if (error == ERR_OK)
        json_object_set_nocheck(map, json_string_value(key_json), value_json);
    json_decref(key_json);
    json_decref(value_json);
    return error;
}

static enum error
read_map(struct in *in, const struct pbjson_field *field, const struct pbwire_field *wire,
         json_t *object, const struct pbjson_path *path)
{
    if (wire->type != PBWIRE_BYTES)
        return pbjson_refuse(in->problem, path, "is no map on the wire");
    return read_entry(in, field, wire, member_of(object, field, json_object), path);
}

/* Setting a oneof unsets what was set of it before. */
static void
clear_oneof(const struct pbjson_message *message, const struct pbjson_field *field, json_t *object)
{
    for (size_t i = 0; field->oneof >= 0 && i < message->count; i++) {
        if (message->fields[i].oneof == field->oneof && &message->fields[i] != field)
            json_object_del(object, message->fields[i].json_name);
    }
}

static bool
json_is_default(const struct pbjson_field *field, const json_t *json)
{
    json_t *usual = default_of(field);
    bool is_default =
        json_equal(usual, json) && !(json_is_real(json) && signbit(json_real_value(json)) != 0);

    json_decref(usual);
    return is_default;
}

static enum error
read_single(struct in *in, const struct pbjson_message *message, const struct pbjson_field *field,
            const struct pbwire_field *wire, json_t *object, const struct pbjson_path *path)
{
    json_t *before = json_object_get(object, field->json_name), *value = NULL;

    if (read_value(in, field, wire, before, path, &value) != ERR_OK)
        return ERR_BAD_REQUEST;
    clear_oneof(message, field, object);
    if (!field->has_presence && json_is_default(field, value)) {
        json_object_del(object, field->json_name);
        json_decref(value);
    } else {
        json_object_set_new_nocheck(object, field->json_name, value);
    }
    return ERR_OK;
}

static enum error
read_field(struct in *in, const struct pbjson_message *message, const struct pbjson_field *field,
           const struct pbwire_field *wire, json_t *object, const struct pbjson_path *up)
{
    struct pbjson_path path = { .up = up, .name = field->json_name };

    if (pbjson_is_map(field))
        return read_map(in, field, wire, object, &path);
    if (field->is_repeated)
        return read_repeated(in, field, wire, object, &path);
    return read_single(in, message, field, wire, object, &path);
}

static const struct pbjson_field *
field_find(const struct pbjson_message *message, uint32_t number)
{
    for (size_t i = 0; i < message->count; i++) {
        if (message->fields[i].number == number)
            return &message->fields[i];
    }
    return NULL;
}

static enum error
read_message(struct in *in, const struct pbjson_message *message, const uint8_t *bytes,
             size_t count, json_t *object, const struct pbjson_path *path)
{
    struct pbwire wire = pbwire_of(bytes, count);
    struct pbwire_field field;
    enum error error = ERR_OK;

    if (message->is_unsupported)
        return pbjson_refuse(in->problem, path, "%s is not supported", message->name);
    if (++in->depth > JSON_DEPTH_MAX)
        return pbjson_refuse(in->problem, path, "is nested deeper than %d levels", JSON_DEPTH_MAX);
    while (error == ERR_OK && pbwire_next(&wire, &field)) {
        const struct pbjson_field *known = field_find(message, field.number);

        if (known != NULL)
            error = read_field(in, message, known, &field, object, path);
    }
    if (error == ERR_OK && !pbwire_is_done(&wire))
        error = pbjson_refuse(in->problem, path, "is cut short or no %s", message->name);
    if (error == ERR_OK)
        add_defaults(message, object);
    in->depth--;
    return error;
}

enum error
pbjson_decode(const struct pbjson_message *message, const uint8_t *bytes, size_t count,
              struct problem *problem, json_t **ret_json)
{
    struct in in = { .problem = problem };
    json_t *object = json_object();

    if (read_message(&in, message, bytes, count, object, NULL) != ERR_OK) {
        json_decref(object);
        return ERR_BAD_REQUEST;
    }
    *ret_json = object;
    return ERR_OK;
}
