#include "mesh/base/queue.h"
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/hold.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct lane {
    struct queue_item *first, **end;
    size_t count;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct lane lanes[QUEUE_LANES]; /* under lock, as all below */
    uint64_t busy;                  /* a bit for each lane with items */
    unsigned turn;                  /* the lane that was taken of last */
    size_t count, limit;
    bool is_closed, is_woken, is_waiting;
};

struct queue *
queue_new(size_t limit)
{
    struct queue *queue = memory_take(sizeof *queue);
    pthread_condattr_t attributes;

    pthread_mutex_init(&queue->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->filled, &attributes);
    pthread_condattr_destroy(&attributes);
    for (size_t i = 0; i < QUEUE_LANES; i++)
        queue->lanes[i].end = &queue->lanes[i].first;
    queue->limit = limit;
    return queue;
}

struct queue *
queue_free(struct queue *queue)
{
    if (queue == NULL)
        return NULL;
    pthread_cond_destroy(&queue->filled);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
    return NULL;
}

static void
wake_taker(void *owner)
{
    pthread_cond_signal(&((struct queue *)owner)->filled);
}

/* Is there room for one more in this lane, under lock? A lane below its share gets it also behind others that have filled the queue. */
static bool
has_room(const struct queue *queue, const struct lane *lane, size_t most)
{
    size_t lanes = (size_t)__builtin_popcountll(queue->busy) + (lane->count == 0);
    size_t share = queue->limit / lanes, before = lane->count * lanes;

    if ((before < queue->count ? before : queue->count) >= most)
        return false;
    if (lane->count < share || (lane->count == 0 && lanes > 1))
        return queue->count < 2 * queue->limit;
    return queue->count < queue->limit / 2;
}

static void
lane_add(struct queue *queue, unsigned number, struct queue_item *item)
{
    struct lane *lane = &queue->lanes[number];

    *lane->end = item;
    lane->end = &item->next;
    lane->count++;
    queue->busy |= UINT64_C(1) << number;
    queue->count++;
}

enum limit { LIMITED, UNLIMITED };

static bool
push(struct queue *queue, struct queue_item *item, enum limit limit, size_t most)
{
    unsigned number = item->lane % QUEUE_LANES;
    bool is_taken, must_wake;

    item->next = NULL;
    pthread_mutex_lock(&queue->lock);
    is_taken =
        !queue->is_closed && (limit == UNLIMITED || has_room(queue, &queue->lanes[number], most));
    if (is_taken)
        lane_add(queue, number, item);
    must_wake = is_taken && queue->is_waiting;
    pthread_mutex_unlock(&queue->lock);
    if (must_wake && !hold_wake(wake_taker, queue))
        wake_taker(queue);
    return is_taken;
}

bool
queue_push(struct queue *queue, struct queue_item *item)
{
    return push(queue, item, LIMITED, SIZE_MAX);
}

bool
queue_push_behind(struct queue *queue, struct queue_item *item, size_t most)
{
    return push(queue, item, LIMITED, most);
}

bool
queue_push_always(struct queue *queue, struct queue_item *item)
{
    return push(queue, item, UNLIMITED, SIZE_MAX);
}

static void
wait_until(struct queue *queue, int64_t until_us)
{
    struct timespec at = { .tv_sec = (time_t)(until_us / SECOND_US),
                           .tv_nsec = (long)(until_us % SECOND_US * 1000) };

    queue->is_waiting = true;
    if (until_us < 0)
        pthread_cond_wait(&queue->filled, &queue->lock);
    else
        pthread_cond_timedwait(&queue->filled, &queue->lock, &at);
    queue->is_waiting = false;
}

/* Takes up to max of the lane's first and puts them at *end; returns where the next one goes. */
static struct queue_item **
lane_cut(struct queue *queue, unsigned number, size_t max, struct queue_item **end)
{
    struct lane *lane = &queue->lanes[number];
    struct queue_item *last = lane->first;
    size_t count = 1;

    *end = last;
    while (count < max && last->next != NULL) {
        last = last->next;
        count++;
    }
    lane->first = last->next;
    if (lane->first == NULL) {
        lane->end = &lane->first;
        queue->busy &= ~(UINT64_C(1) << number);
    }
    last->next = NULL;
    lane->count -= count;
    queue->count -= count;
    return &last->next;
}

/* The lane with items that follows the one that had its turn. */
static unsigned
lane_next(struct queue *queue)
{
    uint64_t above = queue->turn == QUEUE_LANES - 1 ? 0 : queue->busy >> (queue->turn + 1);

    if (above != 0)
        queue->turn += 1 + (unsigned)__builtin_ctzll(above);
    else
        queue->turn = (unsigned)__builtin_ctzll(queue->busy);
    return queue->turn;
}

static struct queue_item *
cut(struct queue *queue, size_t max, size_t *ret_count)
{
    struct queue_item *first = NULL, **end = &first;
    size_t before = queue->count;

    while (queue->count > 0 && before - queue->count < max) {
        bool is_alone = (queue->busy & (queue->busy - 1)) == 0;
        size_t left = max - (before - queue->count);

        end = lane_cut(queue, lane_next(queue), is_alone ? left : 1, end);
    }
    *ret_count = before - queue->count;
    return first;
}

struct queue_item *
queue_take(struct queue *queue, size_t max, int64_t wait_us, size_t *ret_count)
{
    struct queue_item *first = NULL;
    int64_t until_us = wait_us < 0 ? -1 : clock_steady_us() + wait_us;

    *ret_count = 0;
    pthread_mutex_lock(&queue->lock);
    while (queue->count == 0 && !queue->is_closed && !queue->is_woken) {
        if (until_us >= 0 && clock_steady_us() >= until_us)
            break;
        wait_until(queue, until_us);
    }
    queue->is_woken = false;
    if (queue->count > 0)
        first = cut(queue, max, ret_count);
    pthread_mutex_unlock(&queue->lock);
    return first;
}

void
queue_wake(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->is_woken = true;
    pthread_mutex_unlock(&queue->lock);
    pthread_cond_signal(&queue->filled);
}

void
queue_close(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->is_closed = true;
    pthread_mutex_unlock(&queue->lock);
    pthread_cond_broadcast(&queue->filled);
}

bool
queue_is_closed(struct queue *queue)
{
    bool is_closed;

    pthread_mutex_lock(&queue->lock);
    is_closed = queue->is_closed;
    pthread_mutex_unlock(&queue->lock);
    return is_closed;
}

size_t
queue_count(struct queue *queue)
{
    size_t count;

    pthread_mutex_lock(&queue->lock);
    count = queue->count;
    pthread_mutex_unlock(&queue->lock);
    return count;
}
