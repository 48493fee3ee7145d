#include "mesh/base/queue.h"
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/hold.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct queue_item *first, **end; /* under lock, as all below */
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
    queue->end = &queue->first;
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

static bool
push(struct queue *queue, struct queue_item *item, size_t limit)
{
    bool is_taken, must_wake;

    item->next = NULL;
    pthread_mutex_lock(&queue->lock);
    is_taken = !queue->is_closed && queue->count < limit;
    if (is_taken) {
        *queue->end = item;
        queue->end = &item->next;
        queue->count++;
    }
    must_wake = is_taken && queue->is_waiting;
    pthread_mutex_unlock(&queue->lock);
    if (must_wake && !hold_wake(wake_taker, queue))
        wake_taker(queue);
    return is_taken;
}

bool
queue_push(struct queue *queue, struct queue_item *item)
{
    return push(queue, item, queue->limit);
}

bool
queue_push_always(struct queue *queue, struct queue_item *item)
{
    return push(queue, item, SIZE_MAX);
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

static struct queue_item *
cut(struct queue *queue, size_t max, size_t *ret_count)
{
    struct queue_item *first = queue->first, *last = first;
    size_t count = 1;

    while (count < max && last->next != NULL) {
        last = last->next;
        count++;
    }
    queue->first = last->next;
    if (queue->first == NULL)
        queue->end = &queue->first;
    last->next = NULL;
    queue->count -= count;
    *ret_count = count;
    return first;
}

struct queue_item *
queue_take(struct queue *queue, size_t max, int64_t wait_us, size_t *ret_count)
{
    struct queue_item *first = NULL;
    int64_t until_us = wait_us < 0 ? -1 : clock_steady_us() + wait_us;

    *ret_count = 0;
    pthread_mutex_lock(&queue->lock);
    while (queue->first == NULL && !queue->is_closed && !queue->is_woken) {
        if (until_us >= 0 && clock_steady_us() >= until_us)
            break;
        wait_until(queue, until_us);
    }
    queue->is_woken = false;
    if (queue->first != NULL)
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
