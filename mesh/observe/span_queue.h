/* span_queue.h -- A ring of spans: many threads put, one takes. Full is an answer.
 *
 * A place has a turn: which put, or which take, it waits for. A thread that puts wins its place by one
 * compare-and-swap, copies the span into it, and gives the place to the taker by a store; no thread waits
 * for another. (The bounded queue of Dmitry Vyukov.)
 *
 * Thread    put: any. take: one.
 * Memory    All places are made when it opens; texts are copied into them, and what is longer than
 *           SPAN_TEXT_BYTES is cut.
 */
#ifndef MESH_OBSERVE_SPAN_QUEUE_H
#define MESH_OBSERVE_SPAN_QUEUE_H

#include "mesh/observe/span.h"

enum { SPAN_TEXT_BYTES = 512 };

/* A span as it lies in the queue. */
struct span_copy {
    enum span_kind kind;
    int64_t start_us, end_us;
    char traceparent[TRACE_PARENT_BYTES + 1];
    char parent_id[TRACE_SPAN_BYTES + 1]; /* "": none */
    char link[TRACE_PARENT_BYTES + 1];    /* "": none */
    const char *name, *error;             /* into text; error may be NULL */
    struct span_attribute attributes[SPAN_ATTRIBUTES_MAX];
    size_t attribute_count;
    char text[SPAN_TEXT_BYTES];
    size_t text_bytes;
};

struct span_queue;

struct span_queue *span_queue_open(size_t places);

/* NULL is fine. Returns NULL. */
struct span_queue *span_queue_close(struct span_queue *queue);

/* False: it is full. */
bool span_queue_put(struct span_queue *queue, const struct span *span, const char *traceparent,
                    int64_t end_us, const struct span_note *note);

/* How many are there; a moment later it may be another number. */
size_t span_queue_count(const struct span_queue *queue);

/* The oldest span, valid until span_queue_took(), which gives its place back; NULL: none is there. */
const struct span_copy *span_queue_first(const struct span_queue *queue);
void span_queue_took(struct span_queue *queue);

#endif
