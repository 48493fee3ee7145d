/* arena.h -- Memory that goes with the request.
 *
 * A request has one arena; what it needs lives there and is freed with it, all at once.
 *
 * Thread    An arena belongs to one thread at a time; handing over the request hands it over.
 * Memory    Blocks come from malloc. Running out of memory ends the program (a bug or a bad limit).
 */
#ifndef MESH_BASE_ARENA_H
#define MESH_BASE_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);

/* NULL is fine. Returns NULL. */
struct arena *arena_free(struct arena *arena);

/* Keeps the first block for the next use and forgets everything else. */
void arena_reset(struct arena *arena);

/* From now on arena_reset() keeps about so much more. For a thread's own arena, which is filled again at once: what it
 * gives back malloc gives back to the kernel, whose zeroed pages then cost more than the work on them. */
void arena_keep(struct arena *arena, size_t bytes);
enum { ARENA_KEPT_BYTES = 1 << 20 }; /* enough for a batch, a tick, a round of reads */

/* Zeroed, aligned for any type; bytes may be 0. Never NULL. */
void *arena_take(struct arena *arena, size_t bytes);

/* A copy that ends with a NUL. */
char *arena_copy(struct arena *arena, const char *text, size_t bytes);

char *arena_print(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* malloc and realloc that end the program instead of returning NULL. memory_take zeroes. */
void *memory_take(size_t bytes);
void *memory_grow(void *memory, size_t bytes);

#endif
