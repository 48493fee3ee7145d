/* JSON to wire. Fields go out in the order of their numbers, so the same JSON gives the same bytes. */
#include "mesh/base/json.h"
#include "mesh/base/text.h"
#include "mesh/base/utf8.h"
#include "mesh/pb/pbjson_inner.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* 2^53: up to here a double that is whole is exact. */
#define DOUBLE_WHOLE_MAX 9007199254740992.0

enum { NUMBER_TEXT_MAX = 32 };

/* What is being written, in the arena. */
struct out {
    struct arena *arena;
    struct problem *problem;
    uint8_t *bytes;
    size_t count, size;
    int depth;
};

static enum error put_message(struct out *out, const struct pbjson_message *message,
                              const json_t *json, const struct pbjson_path *path);

static uint8_t *
room(struct out *out, size_t bytes)
{
    if (out->size - out->count < bytes) {
        size_t size = (out->count + bytes) * 2 < 256 ? 256 : (out->count + bytes) * 2;
        uint8_t *grown = arena_take(out->arena, size);

        if (out->count > 0)
            memcpy(grown, out->bytes, out->count);
        out->bytes = grown;
        out->size = size;
    }
    return out->bytes + out->count;
}

static void
wrote(struct out *out, const uint8_t *end)
{
    out->count = (size_t)(end - out->bytes);
}

static void
put_tag(struct out *out, const struct pbjson_field *field, enum pbwire_type type)
{
    wrote(out, pbwire_put_tag(room(out, PBWIRE_VARINT_BYTES_MAX), field->number, type));
}

static void
put_block(struct out *out, const void *data, size_t bytes)
{
    uint8_t *at = pbwire_put_varint(room(out, PBWIRE_VARINT_BYTES_MAX + bytes), bytes);

    if (bytes > 0)
        memcpy(at, data, bytes);
    wrote(out, at + bytes);
}

/* Puts the length before what was written since start. */
static void
insert_length(struct out *out, size_t start)
{
    size_t bytes = out->count - start, more = pbwire_varint_bytes(bytes);

    room(out, more);
    memmove(out->bytes + start + more, out->bytes + start, bytes);
    pbwire_put_varint(out->bytes + start, bytes);
    out->count += more;
}

/* ---- numbers ---- */

/* Decimal digits, at most 20, no leading zeros or signs but '-'. */
static bool
is_integer_text(const char *text)
{
    size_t digits;

    if (*text == '-')
        text++;
    digits = strspn(text, "0123456789");
    return digits > 0 && digits <= 20 && text[digits] == '\0' && (text[0] != '0' || digits == 1);
}

static bool
signed_of_text(const char *text, int64_t *ret_value)
{
    char *end;

    if (!is_integer_text(text))
        return false;
    errno = 0;
    *ret_value = strtoll(text, &end, 10);
    return errno == 0;
}

static bool
unsigned_of_text(const char *text, uint64_t *ret_value)
{
    char *end;

    if (!is_integer_text(text) || text[0] == '-')
        return false;
    errno = 0;
    *ret_value = strtoull(text, &end, 10);
    return errno == 0;
}

static bool
signed_of(const json_t *json, int64_t *ret_value)
{
    double real;

    if (json_is_string(json))
        return signed_of_text(json_string_value(json), ret_value);
    if (json_is_integer(json)) {
        *ret_value = json_integer_value(json);
        return true;
    }
    real = json_real_value(json);
    if (!json_is_real(json) || real != floor(real) || fabs(real) > DOUBLE_WHOLE_MAX)
        return false;
    *ret_value = (int64_t)real;
    return true;
}

static bool
unsigned_of(const json_t *json, uint64_t *ret_value)
{
    int64_t value;

    if (json_is_string(json))
        return unsigned_of_text(json_string_value(json), ret_value);
    if (!signed_of(json, &value) || value < 0)
        return false;
    *ret_value = (uint64_t)value;
    return true;
}

/* clang-format off */
static const struct { const char *text; double value; } reals[] = {
    { "NaN",       (double)NAN },
    { "Infinity",  (double)INFINITY },
    { "-Infinity", -(double)INFINITY },
};
/* clang-format on */

static bool
real_of(const json_t *json, double *ret_value)
{
    const char *text = json_string_value(json);
    char *end;

    if (text == NULL) {
        *ret_value = json_number_value(json);
        return json_is_number(json);
    }
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
        if (strcmp(text, reals[i].text) == 0) {
            *ret_value = reals[i].value;
            return true;
        }
    }
    if (text[0] == '\0' || text[strspn(text, "-.0123456789eE")] != '\0')
        return false;
    *ret_value = strtod(text, &end);
    return *end == '\0' && isfinite(*ret_value);
}

/* ---- scalars ---- */

static enum error
put_signed(struct out *out, const struct pbjson_field *field, const json_t *json,
           const struct pbjson_path *path)
{
    bool is_32 = field->type == PBJSON_INT32 || field->type == PBJSON_SINT32 ||
                 field->type == PBJSON_SFIXED32;
    bool is_zigzag = field->type == PBJSON_SINT32 || field->type == PBJSON_SINT64;
    uint8_t *at = room(out, PBWIRE_VARINT_BYTES_MAX);
    int64_t value;
    uint64_t bits;

    if (!signed_of(json, &value) || (is_32 && (value < INT32_MIN || value > INT32_MAX)))
        return pbjson_refuse(out->problem, path, "must be an integer of %d bits", is_32 ? 32 : 64);
    bits = is_zigzag ? (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0) : (uint64_t)value;
    if (field->type == PBJSON_SFIXED32 || field->type == PBJSON_SFIXED64)
        wrote(out, pbwire_put_fixed(at, bits, is_32 ? 4 : 8));
    else
        wrote(out, pbwire_put_varint(at, bits));
    return ERR_OK;
}

static enum error
put_unsigned(struct out *out, const struct pbjson_field *field, const json_t *json,
             const struct pbjson_path *path)
{
    bool is_32 = field->type == PBJSON_UINT32 || field->type == PBJSON_FIXED32;
    uint8_t *at = room(out, PBWIRE_VARINT_BYTES_MAX);
    uint64_t value;

    if (!unsigned_of(json, &value) || (is_32 && value > UINT32_MAX))
        return pbjson_refuse(out->problem, path, "must be an integer of %d bits, not negative",
                             is_32 ? 32 : 64);
    if (field->type == PBJSON_FIXED32 || field->type == PBJSON_FIXED64)
        wrote(out, pbwire_put_fixed(at, value, is_32 ? 4 : 8));
    else
        wrote(out, pbwire_put_varint(at, value));
    return ERR_OK;
}

static enum error
put_real(struct out *out, const struct pbjson_field *field, const json_t *json,
         const struct pbjson_path *path)
{
    bool is_32 = field->type == PBJSON_FLOAT;
    uint64_t bits = 0;
    uint32_t bits_32;
    double value;
    float value_32;

    if (!real_of(json, &value) || (is_32 && isfinite(value) && isinf((float)value)))
        return pbjson_refuse(out->problem, path, "must be a number%s",
                             is_32 ? " of single precision" : "");
    if (is_32) {
        value_32 = (float)value;
        memcpy(&bits_32, &value_32, sizeof bits_32);
        bits = bits_32;
    } else {
        memcpy(&bits, &value, sizeof bits);
    }
    wrote(out, pbwire_put_fixed(room(out, 8), bits, is_32 ? 4 : 8));
    return ERR_OK;
}

static enum error
put_bool(struct out *out, const json_t *json, const struct pbjson_path *path)
{
    if (!json_is_boolean(json))
        return pbjson_refuse(out->problem, path, "must be true or false");
    wrote(out, pbwire_put_varint(room(out, 1), json_is_true(json)));
    return ERR_OK;
}

static enum error
put_enum(struct out *out, const struct pbjson_field *field, const json_t *json,
         const struct pbjson_path *path)
{
    const struct pbjson_enum *enumeration = field->enumeration;
    const char *text = json_string_value(json);
    int64_t number = 0;
    bool is_known =
        text == NULL && signed_of(json, &number) && number >= INT32_MIN && number <= INT32_MAX;

    for (size_t i = 0; text != NULL && i < enumeration->count && !is_known; i++) {
        is_known = strcmp(enumeration->values[i].name, text) == 0;
        number = enumeration->values[i].number;
    }
    if (!is_known)
        return pbjson_refuse(out->problem, path, "must be a name or number of %s",
                             enumeration->name);
    wrote(out, pbwire_put_varint(room(out, PBWIRE_VARINT_BYTES_MAX), (uint64_t)number));
    return ERR_OK;
}

static enum error
put_text(struct out *out, const json_t *json, const struct pbjson_path *path)
{
    const char *text = json_string_value(json);
    size_t bytes = json_string_length(json);

    if (text == NULL)
        return pbjson_refuse(out->problem, path, "must be a text");
    if (memchr(text, 0, bytes) != NULL || !utf8_is_valid(text, bytes))
        return pbjson_refuse(out->problem, path, "must be valid UTF-8 without NUL");
    put_block(out, text, bytes);
    return ERR_OK;
}

static enum error
put_base64(struct out *out, const json_t *json, const struct pbjson_path *path)
{
    const char *text = json_string_value(json);
    size_t bytes = json_string_length(json), count;
    uint8_t *data = arena_take(out->arena, bytes + 2);

    if (text == NULL || !text_read_base64(text, bytes, data, &count))
        return pbjson_refuse(out->problem, path, "must be a text in base64");
    put_block(out, data, count);
    return ERR_OK;
}

static enum error
put_submessage(struct out *out, const struct pbjson_field *field, const json_t *json,
               const struct pbjson_path *path)
{
    size_t start = out->count;

    if (put_message(out, field->message, json, path) != ERR_OK)
        return ERR_BAD_REQUEST;
    insert_length(out, start);
    return ERR_OK;
}

/* A value without its tag. */
static enum error
put_value(struct out *out, const struct pbjson_field *field, const json_t *json,
          const struct pbjson_path *path)
{
    switch (field->type) {
    case PBJSON_DOUBLE:
    case PBJSON_FLOAT:
        return put_real(out, field, json, path);
    case PBJSON_INT64:
    case PBJSON_INT32:
    case PBJSON_SFIXED32:
    case PBJSON_SFIXED64:
    case PBJSON_SINT32:
    case PBJSON_SINT64:
        return put_signed(out, field, json, path);
    case PBJSON_UINT64:
    case PBJSON_UINT32:
    case PBJSON_FIXED64:
    case PBJSON_FIXED32:
        return put_unsigned(out, field, json, path);
    case PBJSON_BOOL:
        return put_bool(out, json, path);
    case PBJSON_STRING:
        return put_text(out, json, path);
    case PBJSON_BYTES:
        return put_base64(out, json, path);
    case PBJSON_ENUM:
        return put_enum(out, field, json, path);
    case PBJSON_MESSAGE:
        return put_submessage(out, field, json, path);
    case PBJSON_GROUP:
    case PBJSON_TYPE_COUNT:
        break;
    }
    return pbjson_refuse(out->problem, path, "is a group: not supported");
}

/* ---- fields ---- */

static enum error
put_tagged(struct out *out, const struct pbjson_field *field, const json_t *json,
           const struct pbjson_path *path)
{
    put_tag(out, field, pbjson_wire_type(field->type));
    return put_value(out, field, json, path);
}

static enum error
put_array(struct out *out, const struct pbjson_field *field, const json_t *json,
          const struct pbjson_path *path)
{
    struct pbjson_path inner = { .up = path };
    bool is_packed = pbjson_wire_type(field->type) != PBWIRE_BYTES && !field->is_unpacked;
    size_t start;

    if (!json_is_array(json))
        return pbjson_refuse(out->problem, path, "must be a list");
    if (json_array_size(json) == 0)
        return ERR_OK;
    if (is_packed)
        put_tag(out, field, PBWIRE_BYTES);
    start = out->count;
    for (; inner.index < json_array_size(json); inner.index++) {
        const json_t *value = json_array_get(json, inner.index);

        if ((is_packed ? put_value : put_tagged)(out, field, value, &inner) != ERR_OK)
            return ERR_BAD_REQUEST;
    }
    if (is_packed)
        insert_length(out, start);
    return ERR_OK;
}

/* A map's key is text in JSON, whatever its type. */
static enum error
put_key(struct out *out, const struct pbjson_field *field, const char *key,
        const struct pbjson_path *path)
{
    json_t *json;
    enum error error;

    if (field->type == PBJSON_BOOL && strcmp(key, "true") == 0)
        json = json_true();
    else if (field->type == PBJSON_BOOL && strcmp(key, "false") == 0)
        json = json_false();
    else
        json = json_string_nocheck(key);
    error = put_tagged(out, field, json, path);
    json_decref(json);
    return error;
}

static enum error
put_map(struct out *out, const struct pbjson_field *field, const json_t *json,
        const struct pbjson_path *path)
{
    struct pbjson_path inner = { .up = path };
    const struct pbjson_message *entry = field->message;

    if (!json_is_object(json))
        return pbjson_refuse(out->problem, path, "must be an object");
    for (void *at = json_object_iter((json_t *)(uintptr_t)json); at != NULL;
         at = json_object_iter_next((json_t *)(uintptr_t)json, at)) {
        size_t start;

        inner.key = json_object_iter_key(at);
        put_tag(out, field, PBWIRE_BYTES);
        start = out->count;
        if (put_key(out, &entry->fields[0], inner.key, &inner) != ERR_OK ||
            put_tagged(out, &entry->fields[1], json_object_iter_value(at), &inner) != ERR_OK)
            return ERR_BAD_REQUEST;
        insert_length(out, start);
    }
    return ERR_OK;
}

/* Is the value one that proto3 does not send? */
static bool
is_default(const struct out *out, size_t start, enum pbwire_type type)
{
    size_t bytes = out->count - start;

    for (size_t i = start; i < out->count; i++) {
        if (out->bytes[i] != 0)
            return false;
    }
    return type == PBWIRE_FIXED64 ? bytes == 8 : type == PBWIRE_FIXED32 ? bytes == 4 : bytes == 1;
}

static enum error
put_single(struct out *out, const struct pbjson_field *field, const json_t *json,
           const struct pbjson_path *path)
{
    size_t before = out->count, start;

    put_tag(out, field, pbjson_wire_type(field->type));
    start = out->count;
    if (put_value(out, field, json, path) != ERR_OK)
        return ERR_BAD_REQUEST;
    if (!field->has_presence && is_default(out, start, pbjson_wire_type(field->type)))
        out->count = before;
    return ERR_OK;
}

static enum error
put_field(struct out *out, const struct pbjson_field *field, const json_t *json,
          const struct pbjson_path *path)
{
    enum error error;

    if (++out->depth > JSON_DEPTH_MAX) {
        error =
            pbjson_refuse(out->problem, path, "is nested deeper than %d levels", JSON_DEPTH_MAX);
    } else if (pbjson_is_map(field)) {
        error = put_map(out, field, json, path);
    } else if (field->is_repeated) {
        error = put_array(out, field, json, path);
    } else {
        error = put_single(out, field, json, path);
    }
    out->depth--;
    return error;
}

/* The field's value under either name; NULL when it is not set. */
static enum error
find_value(struct out *out, const struct pbjson_field *field, const json_t *json,
           struct pbjson_path *path, size_t *used, const json_t **ret_value)
{
    const json_t *value = json_object_get(json, field->json_name), *other = NULL;

    path->name = field->json_name;
    if (strcmp(field->name, field->json_name) != 0)
        other = json_object_get(json, field->name);
    if (value != NULL && other != NULL)
        return pbjson_refuse(out->problem, path, "is there twice, also as \"%s\"", field->name);
    if (value == NULL && other != NULL) {
        value = other;
        path->name = field->name;
    }
    *used += value != NULL;
    *ret_value = json_is_null(value) ? NULL : value;
    return ERR_OK;
}

static bool
oneof_is_taken(const struct pbjson_message *message, const struct pbjson_field *field,
               const json_t *json)
{
    for (size_t i = 0; field->oneof >= 0 && &message->fields[i] != field; i++) {
        const struct pbjson_field *other = &message->fields[i];
        const json_t *value = json_object_get(json, other->json_name);

        if (value == NULL)
            value = json_object_get(json, other->name);
        if (other->oneof == field->oneof && value != NULL && !json_is_null(value))
            return true;
    }
    return false;
}

static enum error
refuse_unknown(struct out *out, const struct pbjson_message *message, const json_t *json,
               const struct pbjson_path *up)
{
    json_t *object = (json_t *)(uintptr_t)json;
    void *at = json_object_iter(object);
    struct pbjson_path path = { .up = up };

    while (pbjson_message_has(message, json_object_iter_key(at)))
        at = json_object_iter_next(object, at);
    path.name = json_object_iter_key(at);
    return pbjson_refuse(out->problem, &path, "is no field of %s", message->name);
}

static enum error
put_message(struct out *out, const struct pbjson_message *message, const json_t *json,
            const struct pbjson_path *path)
{
    struct pbjson_path inner = { .up = path };
    size_t used = 0;

    if (message->is_unsupported)
        return pbjson_refuse(out->problem, path, "%s is not supported", message->name);
    if (!json_is_object(json))
        return pbjson_refuse(out->problem, path, "must be an object");
    for (size_t i = 0; i < message->count; i++) {
        const struct pbjson_field *field = &message->fields[i];
        const json_t *value = NULL;

        if (find_value(out, field, json, &inner, &used, &value) != ERR_OK)
            return ERR_BAD_REQUEST;
        if (value == NULL)
            continue;
        if (oneof_is_taken(message, field, json))
            return pbjson_refuse(out->problem, &inner, "excludes another field that is set");
        if (put_field(out, field, value, &inner) != ERR_OK)
            return ERR_BAD_REQUEST;
    }
    if (used < json_object_size(json))
        return refuse_unknown(out, message, json, path);
    return ERR_OK;
}

enum error
pbjson_encode(const struct pbjson_message *message, const json_t *json, struct arena *arena,
              struct problem *problem, uint8_t **ret_bytes, size_t *ret_count)
{
    struct out out = { .arena = arena, .problem = problem };

    room(&out, 1); /* an empty message has bytes too: none, at an address */
    if (put_message(&out, message, json, NULL) != ERR_OK)
        return ERR_BAD_REQUEST;
    *ret_bytes = out.bytes;
    *ret_count = out.count;
    return ERR_OK;
}
