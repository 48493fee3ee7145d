/* utf8.h -- Texts of strangers: are they UTF-8 (RFC 3629: no surrogates, no overlong forms)?
 *
 * Thread    Any.
 * Memory    utf8_repair() copies into the arena.
 */
#ifndef MESH_BASE_UTF8_H
#define MESH_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

struct arena;

/* How many of the bytes (1 or more) are one character; a NUL is one. 0: they begin with none. */
size_t utf8_bytes(const char *text, size_t bytes);

bool utf8_is_valid(const char *text, size_t bytes);

/* Bytes of text to keep so that at most max remain and no character is cut in two. */
size_t utf8_cut(const char *text, size_t max);

/* A copy in the arena with '?' for every byte that is not UTF-8. */
char *utf8_repair(const char *text, struct arena *arena);

#endif
