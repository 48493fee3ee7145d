/* file.h -- Small files that are read once: configurations, and secrets beside them.
 *
 * Thread    Any.
 * Memory    Texts live in the arena.
 * Errors    NULL, of a file that cannot be read, is larger than allowed, or has a NUL.
 */
#ifndef MESH_BASE_FILE_H
#define MESH_BASE_FILE_H

#include "mesh/base/arena.h"

#include <stddef.h>

/* The whole of it, without the white space at its end. */
char *file_read(const char *path, size_t bytes_max, struct arena *arena);

/* Where a file is that another one names: a relative name is of that one's folder. */
const char *file_beside(const char *beside, const char *name, struct arena *arena);

/* Reads that one. */
char *file_read_beside(const char *beside, const char *name, size_t bytes_max, struct arena *arena);

/* Why this text, of file_read(), is no secret; NULL: it is one. */
const char *file_why_no_secret(const char *text, size_t bytes_max);

#endif
