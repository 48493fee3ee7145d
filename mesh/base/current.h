/* current.h -- A value that many threads read while one replaces it, whole.
 *
 * A value is handed over with current_set() and never changed afterwards. A reader has a view of its own, and looks
 * through it each time it begins something: as long as nothing was replaced that is one atomic load. The view holds a
 * reference to what it has seen last, so a value that was replaced lives until the last view has looked again or ended;
 * the thread that lets it go last frees it.
 *
 * Thread    current_set: any. A view: one thread at a time.
 * Memory    The value is the current's from current_set() on; free() of it may be called by any thread that looks. A view
 *           must end before its current.
 */
#ifndef MESH_BASE_CURRENT_H
#define MESH_BASE_CURRENT_H

struct current;
struct current_held;

struct current *current_new(void (*free_value)(void *value));
/* NULL is fine. Returns NULL. */
struct current *current_free(struct current *current);

void current_set(struct current *current, void *value);

/* Zeros: it has not looked yet. */
struct current_view {
    struct current_held *held;
};

/* The value as it is now; NULL: there is none yet. It stays until the next look through this view. */
void *current_look(struct current *current, struct current_view *view);
void current_end(struct current *current, struct current_view *view);

#endif
