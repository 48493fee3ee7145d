#include "mesh/observe/trace.h"
#include "mesh/base/random.h"
#include "mesh/base/text.h"

#include <assert.h>
#include <string.h>

enum { ID_AT = 3, CALLER_AT = 36, CALLER_BYTES = TRACE_SPAN_BYTES, FLAGS_AT = 53, FLAGS_BYTES = 2 };

static bool
is_hex(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (text_hex_digit(text[i]) < 0) /* upper case is not valid */
            return false;
    }
    return true;
}

static bool
is_zero(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] != '0')
            return false;
    }
    return true;
}

static bool
is_valid(const char *text, size_t bytes)
{
    if (bytes < TRACE_PARENT_BYTES || text[2] != '-' || text[ID_AT + TRACE_ID_BYTES] != '-' ||
        text[CALLER_AT + CALLER_BYTES] != '-')
        return false;
    if (!is_hex(text, 2) || !is_hex(text + ID_AT, TRACE_ID_BYTES) ||
        !is_hex(text + CALLER_AT, CALLER_BYTES) || !is_hex(text + FLAGS_AT, FLAGS_BYTES))
        return false;
    if (is_zero(text + ID_AT, TRACE_ID_BYTES) || is_zero(text + CALLER_AT, CALLER_BYTES))
        return false;
    if (memcmp(text, "ff", 2) == 0)
        return false;
    if (memcmp(text, "00", 2) == 0)
        return bytes == TRACE_PARENT_BYTES;
    return bytes == TRACE_PARENT_BYTES || text[TRACE_PARENT_BYTES] == '-';
}

bool
trace_parse(const char *text, size_t bytes, char ret_parent[TRACE_PARENT_BYTES + 1])
{
    if (!is_valid(text, bytes)) {
        ret_parent[0] = '\0';
        return false;
    }
    memmove(ret_parent, text, TRACE_PARENT_BYTES);
    memcpy(ret_parent, "00", 2);
    ret_parent[TRACE_PARENT_BYTES] = '\0';
    return true;
}

static void
put_random(char *text, size_t digits)
{
    unsigned char bytes[TRACE_ID_BYTES / 2];

    assert(digits / 2 <= sizeof bytes);
    random_bytes(bytes, digits / 2);
    bytes[digits / 2 - 1] |= 1; /* never all zero */
    text_print_hex(bytes, digits / 2, text);
}

void
trace_start(char ret_parent[TRACE_PARENT_BYTES + 1])
{
    /* 02: not sampled, and the id's right half is random */
    memcpy(ret_parent, "00-00000000000000000000000000000000-0000000000000000-02",
           TRACE_PARENT_BYTES + 1);
    put_random(ret_parent + ID_AT, TRACE_ID_BYTES);
    put_random(ret_parent + CALLER_AT, CALLER_BYTES);
}

bool
trace_id(const char *parent, char ret_id[TRACE_ID_BYTES + 1])
{
    ret_id[0] = '\0';
    if (parent[0] == '\0')
        return false;
    assert(strlen(parent) == TRACE_PARENT_BYTES);
    memcpy(ret_id, parent + ID_AT, TRACE_ID_BYTES);
    ret_id[TRACE_ID_BYTES] = '\0';
    return true;
}

void
trace_span_id(const char *parent, char ret_id[TRACE_SPAN_BYTES + 1])
{
    ret_id[0] = '\0';
    if (parent[0] == '\0')
        return;
    assert(strlen(parent) == TRACE_PARENT_BYTES);
    memcpy(ret_id, parent + CALLER_AT, CALLER_BYTES);
    ret_id[CALLER_BYTES] = '\0';
}

void
trace_set_span_random(char *parent)
{
    assert(strlen(parent) == TRACE_PARENT_BYTES);
    put_random(parent + CALLER_AT, CALLER_BYTES);
}

void
trace_set_span(char *parent, uint64_t id)
{
    unsigned char bytes[CALLER_BYTES / 2];

    assert(strlen(parent) == TRACE_PARENT_BYTES);
    id = id == 0 ? 1 : id; /* all zero is not valid */
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(id >> (8 * (sizeof bytes - 1 - i)));
    text_print_hex(bytes, sizeof bytes, parent + CALLER_AT);
}

/* The last digit of the flags; bit 0 of it is "sampled", the others are passed on. */
static int
low_flags(const char *parent)
{
    return text_hex_digit(parent[FLAGS_AT + 1]);
}

bool
trace_is_sampled(const char *parent)
{
    return parent[0] != '\0' && (low_flags(parent) & 1) != 0;
}

void
trace_set_sampled(char *parent, bool is_sampled)
{
    int flags = low_flags(parent) & ~1;

    assert(strlen(parent) == TRACE_PARENT_BYTES);
    parent[FLAGS_AT + 1] = "0123456789abcdef"[flags | (is_sampled ? 1 : 0)];
}

uint64_t
trace_draw(const char *parent)
{
    uint64_t draw = 0;

    assert(strlen(parent) == TRACE_PARENT_BYTES);
    for (size_t i = TRACE_ID_BYTES / 2; i < TRACE_ID_BYTES; i++)
        draw = draw << 4 | (uint64_t)text_hex_digit(parent[ID_AT + i]);
    return draw;
}
