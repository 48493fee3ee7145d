/* utf8.c -- One character at a time: its length by its first byte, then what its bytes make together. */
#include "mesh/base/utf8.h"
#include "mesh/base/arena.h"

#include <stdint.h>
#include <string.h>

/* A UTF-8 sequence's length by its first byte, and the least code point it may hold. */
static size_t
sequence_bytes(unsigned char first, uint32_t *ret_least)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first < 0xe0)
        return *ret_least = 0x80, 2;
    if (first >= 0xe0 && first < 0xf0)
        return *ret_least = 0x800, 3;
    if (first >= 0xf0 && first < 0xf5)
        return *ret_least = 0x10000, 4;
    return 0;
}

size_t
utf8_bytes(const char *text, size_t bytes)
{
    uint32_t least = 0, point;
    size_t count = sequence_bytes((unsigned char)text[0], &least);

    if (count <= 1)
        return count;
    if (count > bytes)
        return 0;
    point = (unsigned char)text[0] & (0xffu >> (count + 1));
    for (size_t i = 1; i < count; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | ((unsigned char)text[i] & 0x3f);
    }
    /* Overlong forms, what is beyond Unicode, and surrogates, which are UTF-16's alone. */
    if (point < least || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return 0;
    return count;
}

bool
utf8_is_valid(const char *text, size_t bytes)
{
    const char *end = text + bytes;

    while (text < end) {
        size_t count = (unsigned char)*text < 0x80 ? 1 : utf8_bytes(text, (size_t)(end - text));

        if (count == 0)
            return false;
        text += count;
    }
    return true;
}

char *
utf8_repair(const char *text, struct arena *arena)
{
    size_t bytes = strlen(text);
    char *copy = arena_copy(arena, text, bytes);

    for (size_t i = 0; i < bytes;) {
        size_t count = utf8_bytes(copy + i, bytes - i);

        if (count == 0)
            copy[i] = '?';
        i += count == 0 ? 1 : count;
    }
    return copy;
}

size_t
utf8_cut(const char *text, size_t max)
{
    size_t bytes = strnlen(text, max + 1);

    if (bytes <= max)
        return bytes;
    bytes = max;
    while (bytes > 0 && ((unsigned char)text[bytes] & 0xc0) == 0x80)
        bytes--;
    return bytes;
}
