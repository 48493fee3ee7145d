/* json_scan.c -- The grammar of RFC 8259, without recursion: the nesting is a stack of bits. */
#include "mesh/base/json_scan.h"
#include "mesh/base/text.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

bool
json_scan_fail(struct json_scan *scan, const char *why)
{
    scan->why = why;
    return false;
}

/* The next byte; '\0' at the end, where the grammar wants no NUL either. */
static char
peek(const struct json_scan *scan)
{
    return scan->at < scan->end ? *scan->at : '\0';
}

static void
skip_space(struct json_scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t'))
        scan->at++;
}

static bool
take(struct json_scan *scan, char wanted, const char *why)
{
    skip_space(scan);
    if (scan->at == scan->end || *scan->at != wanted)
        return json_scan_fail(scan, scan->at == scan->end ? "it ends too early" : why);
    scan->at++;
    return true;
}

/* ---- scalars ---- */

static bool
skip_hex(struct json_scan *scan)
{
    for (int i = 0; i < 4; i++) {
        if (!isxdigit((unsigned char)peek(scan)))
            return json_scan_fail(scan, "\\u needs four hexadecimal digits");
        scan->at++;
    }
    return true;
}

static bool
skip_escape(struct json_scan *scan)
{
    char escape = peek(scan);

    if (escape == '\0' || strchr("\"\\/bfnrtu", escape) == NULL)
        return json_scan_fail(scan, "there is no such escape");
    scan->at++;
    return escape != 'u' || skip_hex(scan);
}

/* From its first quote to behind the last. */
static bool
skip_text(struct json_scan *scan)
{
    scan->at++;
    while (scan->at < scan->end) {
        char byte = *scan->at++;

        if (byte == '"')
            return true;
        if ((unsigned char)byte < ' ')
            return json_scan_fail(scan, "a text has a control character");
        if (byte == '\\' && !skip_escape(scan))
            return false;
    }
    return json_scan_fail(scan, "it ends too early");
}

static bool
skip_digits(struct json_scan *scan)
{
    if (!isdigit((unsigned char)peek(scan)))
        return json_scan_fail(scan, "a number is not written as JSON has it");
    while (isdigit((unsigned char)peek(scan)))
        scan->at++;
    return true;
}

static bool
skip_number(struct json_scan *scan)
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
skip_literal(struct json_scan *scan)
{
    static const char *const literals[] = { "true", "false", "null" };

    for (size_t i = 0; i < sizeof literals / sizeof *literals; i++) {
        size_t bytes = strlen(literals[i]);

        if ((size_t)(scan->end - scan->at) >= bytes && memcmp(scan->at, literals[i], bytes) == 0) {
            scan->at += bytes;
            return true;
        }
    }
    return json_scan_fail(scan,
                          scan->at == scan->end ? "it ends too early" : "there must be a value");
}

static bool
skip_scalar(struct json_scan *scan)
{
    char first = peek(scan);

    if (first == '"')
        return skip_text(scan);
    return first == '-' || isdigit((unsigned char)first) ? skip_number(scan) : skip_literal(scan);
}

/* ---- anything, without recursion ---- */

/* Which of the values that are open are objects. */
struct nest {
    uint8_t is_object[JSON_SCAN_DEPTH_MAX / 8];
    size_t depth;
};

static bool
nest_is_object(const struct nest *nest)
{
    return (nest->is_object[(nest->depth - 1) / 8] >> (nest->depth - 1) % 8 & 1) != 0;
}

static bool
nest_open(struct nest *nest, struct json_scan *scan)
{
    uint8_t bit = (uint8_t)(1u << nest->depth % 8);

    if (nest->depth == JSON_SCAN_DEPTH_MAX)
        return json_scan_fail(scan, "it is nested too deeply");
    nest->is_object[nest->depth / 8] &= (uint8_t)~bit;
    if (*scan->at++ == '{')
        nest->is_object[nest->depth / 8] |= bit;
    nest->depth++;
    return true;
}

static bool
skip_key(struct json_scan *scan)
{
    skip_space(scan);
    if (peek(scan) != '"')
        return json_scan_fail(scan,
                              scan->at == scan->end ? "it ends too early" : "there must be a key");
    return skip_text(scan) && take(scan, ':', "there must be a ':'");
}

/* Closes what ends here, and reads on to where the next value begins; depth 0: the whole value is read. */
static bool
nest_go_on(struct nest *nest, struct json_scan *scan, bool is_just_opened)
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
skip_nest(struct json_scan *scan)
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

bool
json_scan_value(struct json_scan *scan)
{
    char first;

    skip_space(scan);
    first = peek(scan);
    return first == '{' || first == '[' ? skip_nest(scan) : skip_scalar(scan);
}

/* ---- keys ---- */

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

bool
json_key_is(const struct json_key *key, const char *name)
{
    const char *at = key->begin;

    while (at < key->end && *name != '\0') {
        if (key_char(&at) != *name++)
            return false;
    }
    return at == key->end && *name == '\0';
}

/* ---- objects and arrays, step by step ---- */

bool
json_scan_begin(struct json_scan *scan, const char *text, size_t bytes)
{
    *scan = (struct json_scan){ .begin = text, .at = text, .end = text + bytes };
    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        scan->at += 3;
    skip_space(scan);
    if (peek(scan) == '{')
        return true;
    return json_scan_fail(scan, scan->at == scan->end ? "it is empty" : "it must be an object");
}

/* To where the next member or element begins; false: at the end, which is passed. */
static bool
step(struct json_scan *scan, size_t *count, char close, const char *why)
{
    if (scan->why != NULL)
        return false;
    if (*count == 0)
        scan->at++;
    skip_space(scan);
    if (*count == 0 && peek(scan) == close) {
        scan->at++;
        return false;
    }
    if (*count > 0 && peek(scan) != ',') {
        take(scan, close, why);
        return false;
    }
    scan->at += *count > 0;
    (*count)++;
    return true;
}

bool
json_scan_member(struct json_scan *scan, size_t *count, struct json_key *ret_key)
{
    if (!step(scan, count, '}', "there must be a ',' or a '}'"))
        return false;
    skip_space(scan);
    ret_key->begin = scan->at + 1;
    if (!skip_key(scan))
        return false;
    for (ret_key->end = scan->at - 1; *ret_key->end != '"'; ret_key->end--)
        continue; /* back over the ':' */
    return true;
}

bool
json_scan_element(struct json_scan *scan, size_t *count)
{
    return step(scan, count, ']', "there must be a ',' or a ']'");
}

char
json_scan_peek(struct json_scan *scan)
{
    skip_space(scan);
    return peek(scan);
}

bool
json_scan_end(struct json_scan *scan)
{
    if (scan->why != NULL)
        return false;
    skip_space(scan);
    return scan->at == scan->end || json_scan_fail(scan, "something follows the object");
}
