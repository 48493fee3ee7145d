/* heap.h -- What comes first: items in the order of a number, mostly the time at which each is due.
 *
 * A struct heap_item is a member of what waits, which HEAP_OWNER() finds again. It knows its place in the
 * heap, so one that is no longer wanted is taken out or moved at once, and none is looked at in vain.
 *
 * Thread    Plain data.
 * Memory    A zeroed heap is an empty one, a zeroed item is in none. The heap owns its array alone: an item
 *           must be taken out before its memory goes. No memory ends the program (arena.h).
 */
#ifndef MESH_BASE_HEAP_H
#define MESH_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_item {
    int64_t key;  /* the caller's to read */
    size_t place; /* from 1; 0: it is in no heap */
};

struct heap {
    struct heap_item **items;
    size_t count, size;
};

#define HEAP_OWNER(item, type, member) ((type *)(void *)((char *)(item)-offsetof(type, member)))

/* Puts the item in, or moves it. */
void heap_set(struct heap *heap, struct heap_item *item, int64_t key);

/* Of the least key; NULL: it is empty. */
struct heap_item *heap_first(const struct heap *heap);

/* The same, taken out. It keeps its key. */
struct heap_item *heap_pop(struct heap *heap);

/* The first one, taken out, if its key is until or less; else NULL. */
struct heap_item *heap_pop_due(struct heap *heap, int64_t until);

/* How many have a key of until or less, counted up to most: it looks at no others but their neighbours. */
size_t heap_count_due(const struct heap *heap, int64_t until, size_t most);

/* Nothing happens to one that is in none. */
void heap_remove(struct heap *heap, struct heap_item *item);

bool heap_has(const struct heap_item *item);

/* Its array; the items are as they were. */
void heap_free(struct heap *heap);

#endif
