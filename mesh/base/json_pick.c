#include "mesh/base/json_pick.h"
#include "mesh/base/text.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

/* A text that is being read. why is set where it breaks the grammar, and reading ends. */
struct scan {
    const char *begin, *at, *end;
    const char *why;
    const char *key; /* of the wanted member that comes twice */
};

static bool
fail(struct scan *scan, const char *why)
{
    scan->why = why;
    return false;
}

/* The next byte; '\0' at the end, where the grammar wants no NUL either. */
static char
peek(const struct scan *scan)
{
    return scan->at < scan->end ? *scan->at : '\0';
}

static void
skip_space(struct scan *scan)
{
    while (scan->at < scan->end && strchr(" \t\n\r", *scan->at) != NULL && *scan->at != '\0')
        scan->at++;
}

static bool
take(struct scan *scan, char wanted, const char *why)
{
    skip_space(scan);
    if (scan->at == scan->end || *scan->at != wanted)
        return fail(scan, scan->at == scan->end ? "it ends too early" : why);
    scan->at++;
    return true;
}

/* ---- scalars ---- */

static bool
skip_hex(struct scan *scan)
{
    for (int i = 0; i < 4; i++) {
        if (!isxdigit((unsigned char)peek(scan)))
            return fail(scan, "\\u needs four hexadecimal digits");
        scan->at++;
    }
    return true;
}

static bool
skip_escape(struct scan *scan)
{
    char escape = peek(scan);

    if (escape == '\0' || strchr("\"\\/bfnrtu", escape) == NULL)
        return fail(scan, "there is no such escape");
    scan->at++;
    return escape != 'u' || skip_hex(scan);
}

/* From its first quote to behind the last. */
static bool
skip_text(struct scan *scan)
{
    scan->at++;
    while (scan->at < scan->end) {
        char byte = *scan->at++;

        if (byte == '"')
            return true;
        if ((unsigned char)byte < ' ')
            return fail(scan, "a text has a control character");
        if (byte == '\\' && !skip_escape(scan))
            return false;
    }
    return fail(scan, "it ends too early");
}

static bool
skip_digits(struct scan *scan)
{
    if (!isdigit((unsigned char)peek(scan)))
        return fail(scan, "a number is not written as JSON has it");
    while (isdigit((unsigned char)peek(scan)))
        scan->at++;
    return true;
}

static bool
skip_number(struct scan *scan)
{
    if (peek(scan) == '-')
        scan->at++;
    if (peek(scan) == '0')
        scan->at++;
    else if (!skip_digits(scan))
        return false;
    if (peek(scan) == '.') {
        scan->at++;
        if (!skip_digits(scan))
            return false;
    }
    if (peek(scan) == 'e' || peek(scan) == 'E') {
        scan->at++;
        if (peek(scan) == '+' || peek(scan) == '-')
            scan->at++;
        return skip_digits(scan);
    }
    return true;
}

static bool
skip_literal(struct scan *scan)
{
    static const char *const literals[] = { "true", "false", "null" };

    for (size_t i = 0; i < sizeof literals / sizeof *literals; i++) {
        size_t bytes = strlen(literals[i]);

        if ((size_t)(scan->end - scan->at) >= bytes && memcmp(scan->at, literals[i], bytes) == 0) {
            scan->at += bytes;
            return true;
        }
    }
    return fail(scan, scan->at == scan->end ? "it ends too early" : "there must be a value");
}

static bool
skip_scalar(struct scan *scan)
{
    char first = peek(scan);

    if (first == '"')
        return skip_text(scan);
    return first == '-' || isdigit((unsigned char)first) ? skip_number(scan) : skip_literal(scan);
}

/* ---- anything, without recursion ---- */

/* Which of the values that are open are objects. */
struct nest {
    uint8_t is_object[JSON_PICK_DEPTH_MAX / 8];
    size_t depth;
};

static bool
nest_is_object(const struct nest *nest)
{
    return (nest->is_object[(nest->depth - 1) / 8] >> (nest->depth - 1) % 8 & 1) != 0;
}

static bool
nest_open(struct nest *nest, struct scan *scan)
{
    uint8_t bit = (uint8_t)(1u << nest->depth % 8);

    if (nest->depth == JSON_PICK_DEPTH_MAX)
        return fail(scan, "it is nested too deeply");
    nest->is_object[nest->depth / 8] &= (uint8_t)~bit;
    if (*scan->at++ == '{')
        nest->is_object[nest->depth / 8] |= bit;
    nest->depth++;
    return true;
}

static bool
skip_key(struct scan *scan)
{
    skip_space(scan);
    if (peek(scan) != '"')
        return fail(scan, scan->at == scan->end ? "it ends too early" : "there must be a key");
    return skip_text(scan) && take(scan, ':', "there must be a ':'");
}

/* Closes what ends here, and reads on to where the next value begins; depth 0: the whole value is read. */
static bool
nest_go_on(struct nest *nest, struct scan *scan, bool is_just_opened)
{
    while (nest->depth > 0) {
        bool is_object = nest_is_object(nest);

        skip_space(scan);
        if (peek(scan) == (is_object ? '}' : ']')) {
            scan->at++;
            nest->depth--;
            is_just_opened = false;
            continue;
        }
        if (!is_just_opened && !take(scan, ',', "there must be a ',' or an end"))
            return false;
        return !is_object || skip_key(scan);
    }
    return true;
}

static bool
skip_value(struct scan *scan)
{
    struct nest nest = { .depth = 0 };

    do {
        bool is_opened;

        skip_space(scan);
        is_opened = peek(scan) == '{' || peek(scan) == '[';
        if (is_opened ? !nest_open(&nest, scan) : !skip_scalar(scan))
            return false;
        if (!nest_go_on(&nest, scan, is_opened))
            return false;
    } while (nest.depth > 0);
    return true;
}

/* ---- the wanted members ---- */

/* One character of a key, where it is ASCII; else -1. */
static int
key_char(const char **at)
{
    const char *names = "\"\\/bfnrt", *values = "\"\\/\b\f\n\r\t", *name;
    char byte = *(*at)++;
    int value = 0;

    if (byte != '\\')
        return (unsigned char)byte < 0x80 ? byte : -1;
    byte = *(*at)++;
    if (byte != 'u') {
        name = strchr(names, byte);
        assert(name != NULL); /* skip_escape() */
        return values[name - names];
    }
    for (int i = 0; i < 4; i++)
        value = value * 16 + text_hex_digit((char)tolower((unsigned char)*(*at)++));
    return value > 0 && value < 0x80 ? value : -1;
}

/* Is the text between at and end, which was read, this key? Escapes are ways to write the same. */
static bool
key_is(const char *at, const char *end, const char *key)
{
    while (at < end && *key != '\0') {
        if (key_char(&at) != *key++)
            return false;
    }
    return at == end && *key == '\0';
}

static const struct json_want *
want_find(const struct json_want *wanted, const char *at, const char *end)
{
    for (; wanted->key != NULL; wanted++) {
        if (key_is(at, end, wanted->key))
            return wanted;
    }
    return NULL;
}

static json_t *pick_value(struct scan *scan, const struct json_want *want);

/* A member behind its key. */
static bool
pick_member(struct scan *scan, const struct json_want *wanted, json_t *object)
{
    const char *begin, *end;
    const struct json_want *want;
    json_t *value;

    skip_space(scan);
    begin = scan->at + 1;
    if (!skip_key(scan))
        return false;
    for (end = scan->at - 1; *end != '"'; end--)
        continue; /* back over the ':' */
    want = want_find(wanted, begin, end);
    if (want == NULL)
        return skip_value(scan);
    if (json_object_get(object, want->key) != NULL) {
        scan->key = want->key;
        return fail(scan, "comes twice");
    }
    value = pick_value(scan, want);
    return value != NULL && json_object_set_new(object, want->key, value) == 0;
}

/* NULL: with the reason. */
static json_t *
pick_object(struct scan *scan, const struct json_want *wanted)
{
    json_t *object = json_object();
    bool is_good = true;

    scan->at++;
    skip_space(scan);
    if (peek(scan) == '}') {
        scan->at++;
        return object;
    }
    do {
        is_good = pick_member(scan, wanted, object);
        if (is_good)
            skip_space(scan);
    } while (is_good && peek(scan) == ',' && scan->at++ != NULL);
    if (is_good && take(scan, '}', "there must be a ',' or a '}'"))
        return object;
    json_decref(object);
    return NULL;
}

static json_t *
pick_array(struct scan *scan, const struct json_want *wanted)
{
    json_t *array = json_array();
    bool is_good = true;

    scan->at++;
    skip_space(scan);
    if (peek(scan) == ']') {
        scan->at++;
        return array;
    }
    do {
        json_t *element;

        skip_space(scan);
        element = peek(scan) == '{'  ? pick_object(scan, wanted)
                  : skip_value(scan) ? json_null()
                                     : NULL;
        is_good = element != NULL && json_array_append_new(array, element) == 0;
        if (is_good)
            skip_space(scan);
    } while (is_good && peek(scan) == ',' && scan->at++ != NULL);
    if (is_good && take(scan, ']', "there must be a ',' or a ']'"))
        return array;
    json_decref(array);
    return NULL;
}

static json_t *
pick_value(struct scan *scan, const struct json_want *want)
{
    const char *begin;
    json_t *value = NULL;

    skip_space(scan);
    begin = scan->at;
    if (want->members != NULL && peek(scan) == '{')
        return pick_object(scan, want->members);
    if (want->members != NULL && peek(scan) == '[')
        return pick_array(scan, want->members);
    if (!skip_value(scan))
        return NULL;
    if (want->members == NULL && *begin != '{' && *begin != '[')
        value = json_loadb(begin, (size_t)(scan->at - begin), JSON_DECODE_ANY, NULL);
    return value == NULL ? json_null() : value;
}

/* ---- the whole ---- */

/* A byte order mark is no JSON, and readers may ignore it. */
static void
skip_mark(struct scan *scan)
{
    if (scan->end - scan->at >= 3 && memcmp(scan->at, "\xef\xbb\xbf", 3) == 0)
        scan->at += 3;
}

static json_t *
pick_all(struct scan *scan, const struct json_want *wanted)
{
    json_t *json;

    skip_mark(scan);
    skip_space(scan);
    if (peek(scan) != '{') {
        fail(scan, scan->at == scan->end ? "it is empty" : "it must be an object");
        return NULL;
    }
    json = pick_object(scan, wanted);
    if (json == NULL)
        return NULL;
    skip_space(scan);
    if (scan->at == scan->end)
        return json;
    json_decref(json);
    fail(scan, "something follows the object");
    return NULL;
}

enum error
json_pick(const char *text, size_t bytes, const struct json_want *wanted, const char *field,
          struct problem *problem, json_t **ret_json)
{
    struct scan scan = { .begin = text, .at = text, .end = text + bytes };
    json_t *json = pick_all(&scan, wanted);

    assert((json == NULL) == (scan.why != NULL));
    if (json == NULL && scan.key != NULL)
        return problem_set(problem, ERR_BAD_REQUEST, field, "cannot be read: '%s' %s", scan.key,
                           scan.why);
    if (json == NULL)
        return problem_set(problem, ERR_BAD_REQUEST, field, "cannot be read: %s, at byte %zu",
                           scan.why, (size_t)(scan.at - scan.begin));
    *ret_json = json;
    return ERR_OK;
}
