#include "mesh/observe/span_queue.h"
#include "mesh/base/arena.h"
#include "mesh/base/utf8.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct place {
    atomic_size_t turn; /* 2n: free for put number n; 2n + 1: that put is done, and may be taken */
    struct span_copy span;
};

struct span_queue {
    size_t place_count;
    struct place *places;
    _Alignas(64)
        atomic_size_t put; /* the number of the next put; apart from what the taker writes */
    _Alignas(64) atomic_size_t taken;
};

struct span_queue *
span_queue_open(size_t places)
{
    struct span_queue *queue = aligned_alloc(64, sizeof *queue);

    if (queue == NULL)
        abort();
    memset(queue, 0, sizeof *queue);
    assert(places > 0);
    queue->place_count = places;
    queue->places = memory_take(places * sizeof *queue->places);
    for (size_t i = 0; i < places; i++)
        atomic_init(&queue->places[i].turn, 2 * i);
    return queue;
}

struct span_queue *
span_queue_close(struct span_queue *queue)
{
    if (queue == NULL)
        return NULL;
    free(queue->places);
    free(queue);
    return NULL;
}

/* As much of it as there is room for. */
static const char *
text_keep(struct span_copy *copy, const char *text)
{
    size_t room = sizeof copy->text - copy->text_bytes - 1, bytes = utf8_cut(text, room);
    char *kept = copy->text + copy->text_bytes;

    memcpy(kept, text, bytes);
    kept[bytes] = '\0';
    copy->text_bytes += bytes + (bytes < room); /* the last one that fits ends with the last NUL */
    return kept;
}

static void
copy_fill(struct span_copy *copy, const struct span *span, const char *traceparent, int64_t end_us,
          const struct span_note *note)
{
    copy->kind = note->kind;
    copy->start_us = span->start_us;
    copy->end_us =
        end_us < span->start_us ? span->start_us : end_us; /* a clock that was put right */
    copy->text_bytes = 0;
    memcpy(copy->traceparent, traceparent, sizeof copy->traceparent);
    memcpy(copy->parent_id, span->parent_id, sizeof copy->parent_id);
    snprintf(copy->link, sizeof copy->link, "%s", note->link == NULL ? "" : note->link);
    copy->name = text_keep(copy, note->name);
    copy->error = note->error == NULL ? NULL : text_keep(copy, note->error);
    copy->attribute_count = 0;
    for (size_t i = 0; i < SPAN_ATTRIBUTES_MAX && note->attributes[i].key != NULL; i++) {
        struct span_attribute *kept = &copy->attributes[copy->attribute_count++];

        *kept = note->attributes[i];
        if (kept->text != NULL)
            kept->text = text_keep(copy, kept->text);
    }
}

bool
span_queue_put(struct span_queue *queue, const struct span *span, const char *traceparent,
               int64_t end_us, const struct span_note *note)
{
    size_t number = atomic_load_explicit(&queue->put, memory_order_relaxed);
    struct place *place;

    assert(strlen(traceparent) == TRACE_PARENT_BYTES);
    for (;;) {
        size_t turn;

        place = &queue->places[number % queue->place_count];
        turn = atomic_load_explicit(&place->turn, memory_order_acquire);
        if (turn == 2 * number) {
            if (atomic_compare_exchange_weak_explicit(&queue->put, &number, number + 1,
                                                      memory_order_relaxed, memory_order_relaxed))
                break;
        } else if (turn < 2 * number) { /* what was put there a round ago is not taken */
            return false;
        } else { /* another thread was faster */
            number = atomic_load_explicit(&queue->put, memory_order_relaxed);
        }
    }
    copy_fill(&place->span, span, traceparent, end_us, note);
    atomic_store_explicit(&place->turn, 2 * number + 1, memory_order_release);
    return true;
}

size_t
span_queue_count(const struct span_queue *queue)
{
    size_t taken = atomic_load_explicit(&queue->taken, memory_order_relaxed);
    size_t put = atomic_load_explicit(&queue->put, memory_order_relaxed);

    return put > taken ? put - taken : 0;
}

const struct span_copy *
span_queue_first(const struct span_queue *queue)
{
    size_t number = atomic_load_explicit(&queue->taken, memory_order_relaxed);
    struct place *place = &queue->places[number % queue->place_count];

    if (atomic_load_explicit(&place->turn, memory_order_acquire) != 2 * number + 1)
        return NULL; /* none, or its copy is still being made */
    return &place->span;
}

void
span_queue_took(struct span_queue *queue)
{
    size_t number = atomic_load_explicit(&queue->taken, memory_order_relaxed);
    struct place *place = &queue->places[number % queue->place_count];

    atomic_store_explicit(&place->turn, 2 * (number + queue->place_count), memory_order_release);
    atomic_store_explicit(&queue->taken, number + 1, memory_order_relaxed);
}
