/* json.c -- Reading is jansson's, with a limit of depth and rules in our words. Writing is ours: a writer is one growing text,
 * and a comma is written before a member when another one was written since the last bracket. */
#include "mesh/base/json.h"
#include "mesh/base/arena.h"
#include "mesh/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Depth by counting brackets outside strings; jansson checks the rest. */
static bool
is_too_deep(const char *text, size_t bytes)
{
    int depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];

        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH_MAX)
                return true;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return false;
}

/* jansson's own texts quote what a stranger wrote, name its functions and flags, and change with its version; its codes do
 * not. So a code becomes a rule, and where the text is at fault is told by the caller, from the position.
 *
 * What has no rule of its own is syntax: a comma too many, half a surrogate, an escape that JSON does not have. */
const char *
json_rule(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_invalid_utf8:
        return "must be UTF-8";
    case json_error_premature_end_of_input:
        return "must be whole JSON, and ends too early";
    case json_error_end_of_input_expected:
        return "must be one JSON value, and has more behind its end";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "must not hold the character \\u0000";
    case json_error_numeric_overflow:
        return "must be a number of 64 bits at most";
    case json_error_duplicate_key:
        return "must not have a member twice";
    default:
        return "must be JSON";
    }
}

enum error
json_read(const char *text, size_t bytes, const char *field, struct problem *problem,
          json_t **ret_json)
{
    json_error_t error;
    json_t *json;

    if (is_too_deep(text, bytes))
        return problem_set(problem, ERR_BAD_REQUEST, field, "is nested deeper than %d levels",
                           JSON_DEPTH_MAX);
    if (bytes == 0)
        return problem_set(problem, ERR_BAD_REQUEST, field, "must not be empty");
    json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (json == NULL)
        return problem_set(problem, ERR_BAD_REQUEST, field, "%s: line %d, column %d",
                           json_rule(&error), error.line, error.column);
    *ret_json = json;
    return ERR_OK;
}

void
json_writer_free(struct json_writer *writer)
{
    free(writer->text);
    memset(writer, 0, sizeof *writer);
}

void
json_writer_reset(struct json_writer *writer)
{
    writer->bytes = 0;
    writer->needs_comma = false;
}

/* Room for so many bytes and the NUL, where the next goes. Whoever fills it says so by wrote(). */
static char *
room(struct json_writer *writer, size_t bytes)
{
    if (writer->bytes + bytes + 1 > writer->size) {
        writer->size = (writer->bytes + bytes + 1) * 2;
        writer->text = memory_grow(writer->text, writer->size);
    }
    return writer->text + writer->bytes;
}

static void
wrote(struct json_writer *writer, char *end)
{
    *end = '\0';
    writer->bytes = (size_t)(end - writer->text);
}

static void
append(struct json_writer *writer, const char *text, size_t bytes)
{
    char *at = room(writer, bytes);

    memcpy(at, text, bytes);
    wrote(writer, at + bytes);
}

static void
append_char(struct json_writer *writer, char c)
{
    char *at = room(writer, 1);

    *at++ = c;
    wrote(writer, at);
}

/* What a character takes inside of quotes. */
static size_t
quoted_bytes(unsigned char c)
{
    if (c < ' ')
        return 6;
    return c == '"' || c == '\\' ? 2 : 1;
}

static char *
put_escaped(char *at, unsigned char c)
{
    *at++ = '\\';
    if (c < ' ') {
        memcpy(at, "u00", 3);
        return text_print_hex(&c, 1, at + 3);
    }
    *at++ = (char)c;
    return at;
}

static void
append_quoted(struct json_writer *writer, const char *text)
{
    size_t count = 0, bytes = 0;
    char *at;

    for (; text[count] != '\0'; count++)
        bytes += quoted_bytes((unsigned char)text[count]);
    at = room(writer, bytes + 2);
    *at++ = '"';
    if (bytes == count) { /* nearly always */
        memcpy(at, text, count);
        at += count;
    } else {
        for (; *text != '\0'; text++) {
            if (quoted_bytes((unsigned char)*text) == 1)
                *at++ = *text;
            else
                at = put_escaped(at, (unsigned char)*text);
        }
    }
    *at++ = '"';
    wrote(writer, at);
}

static void
begin(struct json_writer *writer, const char *key)
{
    if (writer->needs_comma)
        append_char(writer, ',');
    writer->needs_comma = true;
    if (key != NULL) {
        append_quoted(writer, key);
        append_char(writer, ':');
    }
}

void
json_open_object(struct json_writer *writer, const char *key)
{
    begin(writer, key);
    append_char(writer, '{');
    writer->needs_comma = false;
}

void
json_close_object(struct json_writer *writer)
{
    append_char(writer, '}');
    writer->needs_comma = true;
}

void
json_open_array(struct json_writer *writer, const char *key)
{
    begin(writer, key);
    append_char(writer, '[');
    writer->needs_comma = false;
}

void
json_close_array(struct json_writer *writer)
{
    append_char(writer, ']');
    writer->needs_comma = true;
}

void
json_put_text(struct json_writer *writer, const char *key, const char *text)
{
    begin(writer, key);
    append_quoted(writer, text);
}

void
json_put_int(struct json_writer *writer, const char *key, int64_t value)
{
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    char digits[20], *first = digits + sizeof digits; /* of 2^63, and a sign */

    do {
        *--first = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0)
        *--first = '-';
    begin(writer, key);
    append(writer, first, (size_t)(digits + sizeof digits - first));
}

void
json_put_bool(struct json_writer *writer, const char *key, bool value)
{
    begin(writer, key);
    append(writer, value ? "true" : "false", value ? 4 : 5);
}

void
json_put_raw(struct json_writer *writer, const char *key, const char *json, size_t bytes)
{
    begin(writer, key);
    append(writer, json, bytes);
}

static int
append_dumped(const char *text, size_t bytes, void *writer)
{
    append(writer, text, bytes);
    return 0;
}

/* Not jansson's own dump: that one remembers the containers it is in, by printing their addresses
 * into a hash table of its own, which costs more than the writing. A tree that was read, or that we
 * built, has no loops. */
void
json_put_tree(struct json_writer *writer, const char *key, const json_t *tree)
{
    const char *member;
    json_t *value, *container = (json_t *)(uintptr_t)tree; /* jansson's iterators want it so */
    size_t index;

    switch (json_typeof(tree)) {
    case JSON_OBJECT:
        json_open_object(writer, key);
        json_object_foreach(container, member, value) json_put_tree(writer, member, value);
        json_close_object(writer);
        return;
    case JSON_ARRAY:
        json_open_array(writer, key);
        json_array_foreach(container, index, value) json_put_tree(writer, NULL, value);
        json_close_array(writer);
        return;
    case JSON_STRING:
        json_put_text(writer, key, json_string_value(tree));
        return;
    case JSON_INTEGER:
        json_put_int(writer, key, json_integer_value(tree));
        return;
    case JSON_TRUE:
    case JSON_FALSE:
        json_put_bool(writer, key, json_is_true(tree));
        return;
    default: /* real numbers, and null */
        begin(writer, key);
        json_dump_callback(tree, append_dumped, writer, JSON_COMPACT | JSON_ENCODE_ANY);
    }
}

static size_t
text_bytes(const char *text)
{
    size_t bytes = 2;

    for (; *text != '\0'; text++)
        bytes += quoted_bytes((unsigned char)*text);
    return bytes;
}

size_t
json_tree_bytes(const json_t *tree, size_t max)
{
    json_t *value, *container = (json_t *)(uintptr_t)tree;
    size_t index, bytes = 2;
    const char *member;
    char digits[24];

    switch (json_typeof(tree)) {
    case JSON_OBJECT:
        json_object_foreach(container, member, value)
        {
            bytes += text_bytes(member) + 1 + (bytes > 2);
            bytes += bytes > max ? 0 : json_tree_bytes(value, max - bytes);
            if (bytes > max)
                break;
        }
        return bytes;
    case JSON_ARRAY:
        json_array_foreach(container, index, value)
        {
            bytes += bytes > 2;
            bytes += bytes > max ? 0 : json_tree_bytes(value, max - bytes);
            if (bytes > max)
                break;
        }
        return bytes;
    case JSON_STRING:
        return text_bytes(json_string_value(tree));
    case JSON_INTEGER:
        return (size_t)snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(tree));
    default:
        return json_dumpb(tree, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
    }
}

int
json_tree_depth(const json_t *tree)
{
    json_t *value, *container = (json_t *)(uintptr_t)tree;
    const char *member;
    int deepest = 0;
    size_t index;

    if (!json_is_object(tree) && !json_is_array(tree))
        return 0;
    json_object_foreach(container, member, value)
    {
        int depth = json_tree_depth(value);

        deepest = depth > deepest ? depth : deepest;
    }
    json_array_foreach(container, index, value)
    {
        int depth = json_tree_depth(value);

        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

/* Past the string that begins at *text; NULL when it does not end. */
static const char *
string_end(const char *text)
{
    for (text++; *text != '"'; text++) {
        if (*text == '\\')
            text++;
        if (*text == '\0')
            return NULL;
    }
    return text + 1;
}

bool
json_peek_text(const char *text, const char *member, const char **ret_value, size_t *ret_bytes)
{
    size_t member_bytes = strlen(member);
    int depth = 0;

    while (text != NULL && *text != '\0') {
        const char *end;

        depth += (*text == '{' || *text == '[') - (*text == '}' || *text == ']');
        if (*text++ != '"')
            continue;
        end = string_end(text - 1);
        if (end != NULL && depth == 1 && (size_t)(end - text) == member_bytes + 1 &&
            memcmp(text, member, member_bytes) == 0 && end[0] == ':' && end[1] == '"') {
            *ret_value = end + 2;
            end = string_end(end + 1);
            *ret_bytes = end == NULL ? 0 : (size_t)(end - *ret_value) - 1;
            return end != NULL && memchr(*ret_value, '\\', *ret_bytes) == NULL;
        }
        text = end;
    }
    return false;
}
