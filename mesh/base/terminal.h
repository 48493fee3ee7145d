/* terminal.h -- Text of strangers that a person reads on a terminal.
 *
 *     terminal_clean(line);    "a\x1b[31mb" -> "a [31mb"
 *
 * A terminal obeys control characters (C0, DEL, and C1, which is two bytes of UTF-8), ends a line at
 * U+2028 and U+2029, and turns text around at the marks of direction, so that "gnp.exe" reads "exe.png".
 * Characters without a width are not shown either, so that two texts that differ look alike.
 *
 * Thread    Any.
 */
#ifndef MESH_BASE_TERMINAL_H
#define MESH_BASE_TERMINAL_H

#include <stddef.h>

/* How many bytes the character has at which text stands, if a terminal obeys it or does not show it; else 0. */
size_t terminal_hidden_bytes(const char *text);

/* Puts spaces over all of those, so the text keeps its length in bytes. */
void terminal_clean(char *text);

#endif
