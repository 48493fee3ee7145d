/* queue.h -- A bounded queue between threads: many push, one takes all that waits.
 *
 * Items are linked by their first member, a struct queue_item. Reaching the limit is an answer
 * (false), not a surprise. The taker never waits for company: it takes what is there.
 *
 * It is fair among lanes, in which callers stand. The taker takes one of each lane in turn, and each lane's in their order. A lane
 * alone may fill the queue; with others each has its share of the limit, and finds room for it also when the
 * others have filled the queue before it came: there are twice the limit at most.
 *
 * Thread    queue_push, queue_close: any. queue_take: one thread.
 * Memory    The queue owns nothing; items are whoever's they were.
 * Units     wait_us microseconds; -1 waits without end.
 */
#ifndef MESH_BASE_QUEUE_H
#define MESH_BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue;

enum { QUEUE_LANES = 64 };

struct queue_item {
    struct queue_item *next;
    unsigned lane; /* below QUEUE_LANES; 0: of no caller in particular */
};

struct queue *queue_new(size_t limit);

/* The queue must be empty or its items somebody else's to free. NULL is fine. Returns NULL. */
struct queue *queue_free(struct queue *queue);

/* False when limit items wait or the queue is closed; the item is then still the caller's. */
bool queue_push(struct queue *queue, struct queue_item *item);

/* The same, and false when most or more are taken before it. */
bool queue_push_behind(struct queue *queue, struct queue_item *item, size_t most);

/* The same without the limit, for what has been promised already (replies, background work). False
 * only when closed. */
bool queue_push_always(struct queue *queue, struct queue_item *item);

/* Up to max items, those of a lane in arrival order, linked, their number in *ret_count; NULL after wait_us without
 * any, or when woken, or when closed and empty. */
struct queue_item *queue_take(struct queue *queue, size_t max, int64_t wait_us, size_t *ret_count);

void queue_wake(struct queue *queue);  /* a taker that waits returns, if need be with nothing */
void queue_close(struct queue *queue); /* no more pushes; what waits can still be taken */
bool queue_is_closed(struct queue *queue);
size_t queue_count(struct queue *queue);

#endif
