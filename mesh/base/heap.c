#include "mesh/base/heap.h"
#include "mesh/base/arena.h"

#include <assert.h>
#include <stdlib.h>

static void
put(struct heap *heap, size_t place, struct heap_item *item)
{
    heap->items[place - 1] = item;
    item->place = place;
}

/* The place is free: those that come later than the item move into it from above, then those that come sooner
 * from below, until the item fits. One of the two does nothing. */
static void
settle(struct heap *heap, size_t place, struct heap_item *item)
{
    for (; place > 1 && heap->items[place / 2 - 1]->key > item->key; place /= 2)
        put(heap, place, heap->items[place / 2 - 1]);
    for (size_t child; (child = 2 * place) <= heap->count; place = child) {
        if (child < heap->count && heap->items[child]->key < heap->items[child - 1]->key)
            child++;
        if (heap->items[child - 1]->key >= item->key)
            break;
        put(heap, place, heap->items[child - 1]);
    }
    put(heap, place, item);
}

void
heap_set(struct heap *heap, struct heap_item *item, int64_t key)
{
    item->key = key;
    if (item->place == 0) {
        if (heap->count == heap->size) {
            heap->size = heap->size == 0 ? 64 : heap->size * 2;
            heap->items = memory_grow(heap->items, heap->size * sizeof *heap->items);
        }
        item->place = ++heap->count;
    }
    settle(heap, item->place, item);
}

struct heap_item *
heap_first(const struct heap *heap)
{
    return heap->count == 0 ? NULL : heap->items[0];
}

/* Below one that is not due none is. */
static void
count_due(const struct heap *heap, size_t place, int64_t until, size_t *left)
{
    if (*left == 0 || place > heap->count || heap->items[place - 1]->key > until)
        return;
    (*left)--;
    count_due(heap, 2 * place, until, left);
    count_due(heap, 2 * place + 1, until, left);
}

size_t
heap_count_due(const struct heap *heap, int64_t until, size_t most)
{
    size_t left = most;

    count_due(heap, 1, until, &left);
    return most - left;
}

struct heap_item *
heap_pop(struct heap *heap)
{
    struct heap_item *first = heap_first(heap);

    if (first != NULL)
        heap_remove(heap, first);
    return first;
}

struct heap_item *
heap_pop_due(struct heap *heap, int64_t until)
{
    return heap->count == 0 || heap->items[0]->key > until ? NULL : heap_pop(heap);
}

void
heap_remove(struct heap *heap, struct heap_item *item)
{
    size_t place = item->place;
    struct heap_item *last;

    if (place == 0)
        return;
    assert(place <= heap->count && heap->items[place - 1] == item); /* it is in this heap */
    item->place = 0;
    last = heap->items[--heap->count];
    if (last != item)
        settle(heap, place, last);
}

bool
heap_has(const struct heap_item *item)
{
    return item->place != 0;
}

void
heap_free(struct heap *heap)
{
    free(heap->items);
}
