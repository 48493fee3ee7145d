#include "order-svc/order_sweep.h"
#include "mesh/base/log.h"

#include <stdlib.h>
#include <string.h>

enum {
    BUCKETS = 16384,
    ROUND_EVERY = 30,     /* runs from the end of a round to the next one */
    ROUND_PAGES_MAX = 10, /* of a run: the round must not be felt */
    /* A transaction takes its now() before its rows can be seen, and session time-outs end it long
     * before this: no order appears further behind. */
    LATE_US = 60 * 1000 * 1000,
    FRESH_US = 2 * 1000 * 1000, /* younger orders' Starts are still under way */
    LOOK_MAX = 500,             /* orders read at once */
};

/* An order that had something to be said for it when it was last looked at. */
struct open_order {
    struct open_order *next; /* of the same bucket */
    struct uuid id;
    int64_t due_us; /* by clock_steady_us() */
    int64_t backoff_us;
};

struct order_sweep {
    size_t open_max;
    int64_t floor_us;         /* as far as we know, what is stored */
    struct sweep_range front; /* what is new: never goes back */
    struct sweep_range round; /* from the floor to the present, again and again */
    bool has_floor, is_round, is_full;
    int64_t oldest_us; /* the round's: all before it are final */
    int64_t due_floor_us;
    uint64_t runs, round_run; /* when the next round may begin */
    struct open_order *buckets[BUCKETS];
    struct open_order **heap; /* by due_us; those that are being looked at are not in it */
    size_t open_count, heap_count, heap_room;
};

struct order_sweep *
order_sweep_new(size_t open_max)
{
    struct order_sweep *sweep = memory_take(sizeof *sweep);

    sweep->open_max = open_max;
    return sweep;
}

struct order_sweep *
order_sweep_free(struct order_sweep *sweep)
{
    for (size_t i = 0; sweep != NULL && i < BUCKETS; i++) {
        while (sweep->buckets[i] != NULL) {
            struct open_order *next = sweep->buckets[i]->next;

            free(sweep->buckets[i]);
            sweep->buckets[i] = next;
        }
    }
    if (sweep != NULL)
        free(sweep->heap);
    free(sweep);
    return NULL;
}

size_t
order_sweep_open_count(const struct order_sweep *sweep)
{
    return sweep->open_count;
}

/* ---- what is open: by id, and by when it is due ---- */

static void
heap_push(struct order_sweep *sweep, struct open_order *open)
{
    size_t at = sweep->heap_count++;

    if (sweep->heap_count > sweep->heap_room) {
        sweep->heap_room = sweep->heap_room == 0 ? 1024 : 2 * sweep->heap_room;
        sweep->heap = memory_grow(sweep->heap, sweep->heap_room * sizeof *sweep->heap);
    }
    for (; at > 0 && sweep->heap[(at - 1) / 2]->due_us > open->due_us; at = (at - 1) / 2)
        sweep->heap[at] = sweep->heap[(at - 1) / 2];
    sweep->heap[at] = open;
}

static struct open_order *
heap_pop(struct order_sweep *sweep)
{
    struct open_order **heap = sweep->heap, *first = heap[0], *last = heap[--sweep->heap_count];
    size_t at = 0, child;

    while ((child = 2 * at + 1) < sweep->heap_count) {
        if (child + 1 < sweep->heap_count && heap[child + 1]->due_us < heap[child]->due_us)
            child++;
        if (heap[child]->due_us >= last->due_us)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return first;
}

static struct open_order **
bucket_of(struct order_sweep *sweep, struct uuid id)
{
    return &sweep->buckets[hash_end(hash_bytes(HASH_SEED, &id, sizeof id)) % BUCKETS];
}

static void
remember(struct order_sweep *sweep, struct uuid id)
{
    struct open_order **bucket = bucket_of(sweep, id), *open = *bucket;

    while (open != NULL && !uuid_equal(open->id, id))
        open = open->next;
    if (open != NULL)
        return;
    open = memory_take(sizeof *open);
    open->id = id;
    open->backoff_us = SWEEP_BACKOFF_MIN_US;
    open->next = *bucket;
    *bucket = open;
    sweep->open_count++;
    heap_push(sweep, open);
}

/* It is not in the heap. */
static void
forget(struct order_sweep *sweep, struct open_order *gone)
{
    struct open_order **link = bucket_of(sweep, gone->id);

    while (*link != gone)
        link = &(*link)->next;
    *link = gone->next;
    free(gone);
    sweep->open_count--;
}

/* ---- the walks ---- */

static bool
has_room(struct order_sweep *sweep)
{
    bool is_full = sweep->open_count >= sweep->open_max;

    if (is_full && !sweep->is_full)
        log_warn("sweep=%s orders=%zu because=\"so many have no saga: the walk waits for them\"",
                 ORDER_SWEEP_NAME, sweep->open_count);
    sweep->is_full = is_full;
    return !is_full;
}

static enum error
begin(struct order_sweep *sweep, struct pg *pg, struct arena *arena)
{
    int64_t floor_us = 0, now_us = 0;
    enum error error = sweep_read(pg, ORDER_SWEEP_NAME, arena, &floor_us, &now_us);

    if (error != ERR_OK)
        return error;
    if (!sweep->has_floor)
        sweep->front.after_us = floor_us;
    if (!sweep->has_floor || floor_us > sweep->floor_us)
        sweep->floor_us = floor_us;
    sweep->has_floor = true;
    sweep->front.until_us = now_us - FRESH_US;
    if (!sweep->is_round && sweep->runs >= sweep->round_run) {
        sweep->is_round = true;
        sweep->round =
            (struct sweep_range){ .after_us = sweep->floor_us, .until_us = sweep->front.until_us };
        sweep->oldest_us = sweep->round.until_us - LATE_US;
    }
    return ERR_OK;
}

/* Remembers what a page has and moves the range behind it. *ret_has_more: false at the end. */
static enum error
walk_page(struct order_sweep *sweep, struct sweep_range *range, struct pg *pg, struct arena *arena,
          bool *ret_has_more)
{
    const void *row = range;
    struct pg_step step = { .statement = &order_open, .rows = &row, .count = 1 };
    enum error error = pg_round(pg, false, &step, 1, arena);
    const struct sweep_candidate *found = step.ret_rows;

    for (size_t i = 0; error == ERR_OK && i < step.ret_count; i++) {
        if (!found[i].is_last) {
            remember(sweep, found[i].id);
            continue;
        }
        range->after_us = found[i].placed_at_us;
        range->after_id = found[i].id;
        if (range == &sweep->round && found[i].oldest_us < sweep->oldest_us)
            sweep->oldest_us = found[i].oldest_us;
    }
    *ret_has_more = error == ERR_OK && step.ret_count > 0;
    return error;
}

/* At its end all orders before oldest_us were seen to be final, or can no longer appear. */
static void
end_round(struct order_sweep *sweep)
{
    sweep->is_round = false;
    sweep->round_run = sweep->runs + ROUND_EVERY;
    if (sweep->oldest_us - 1 > sweep->floor_us)
        sweep->due_floor_us = sweep->floor_us = sweep->oldest_us - 1;
}

static enum error
walk(struct order_sweep *sweep, struct pg *pg, struct arena *arena)
{
    enum error error = begin(sweep, pg, arena);
    bool has_more = true;

    while (error == ERR_OK && has_more && has_room(sweep))
        error = walk_page(sweep, &sweep->front, pg, arena, &has_more);
    has_more = sweep->is_round;
    for (int i = 0; error == ERR_OK && has_more && i < ROUND_PAGES_MAX && has_room(sweep); i++) {
        error = walk_page(sweep, &sweep->round, pg, arena, &has_more);
        if (error == ERR_OK && !has_more)
            end_round(sweep);
    }
    return error;
}

/* ---- what is due ---- */

/* A WAITING order has a saga; nothing need be said to it, unless that it be undone. */
static bool
is_to_send(const struct order *order)
{
    return order->status == ORDER_PENDING ||
           (order->status == ORDER_WAITING && order->cancel_wanted);
}

/* It was asked for, and comes again, later each time. When memory is full, those that were asked for
 * often make room for others: a round will find them again. */
static void
put_off(struct order_sweep *sweep, struct open_order *open, int64_t steady_us)
{
    if (open->backoff_us == SWEEP_BACKOFF_MAX_US && sweep->open_count >= sweep->open_max) {
        forget(sweep, open);
        return;
    }
    open->due_us = steady_us + open->backoff_us;
    open->backoff_us =
        open->backoff_us * 2 < SWEEP_BACKOFF_MAX_US ? open->backoff_us * 2 : SWEEP_BACKOFF_MAX_US;
    heap_push(sweep, open);
}

static enum error
look_at(struct order_sweep *sweep, struct open_order **due, size_t count, struct pg *pg,
        struct arena *arena, int64_t steady_us,
        bool (*send)(void *owner, const struct order *order), void *owner)
{
    const void **keys = arena_take(arena, count * sizeof *keys);
    struct lookup_rows orders = { 0 };
    enum error error;

    for (size_t i = 0; i < count; i++)
        keys[i] = &due[i]->id;
    error = lookup_load(&order_lookup, pg, keys, count, arena, &orders);
    for (size_t i = 0; i < count; i++) {
        const struct order *order = lookup_find(&orders, &due[i]->id);

        if (error == ERR_OK && (order == NULL || !is_to_send(order))) {
            forget(sweep, due[i]);
        } else if (error == ERR_OK && send(owner, order)) {
            put_off(sweep, due[i], steady_us);
        } else {
            error = error == ERR_OK ? ERR_BUSY : error;
            heap_push(sweep, due[i]); /* stays due */
        }
    }
    return error;
}

enum error
order_sweep_run(struct order_sweep *sweep, struct pg *pg, struct arena *arena, int64_t steady_us,
                bool (*send)(void *owner, const struct order *order), void *owner)
{
    struct open_order *due[LOOK_MAX];
    enum error error = walk(sweep, pg, arena);

    sweep->runs++;
    for (int round = 0; error == ERR_OK && round < SWEEP_SENDS_MAX / LOOK_MAX; round++) {
        size_t count = 0;

        while (count < LOOK_MAX && sweep->heap_count > 0 && sweep->heap[0]->due_us <= steady_us)
            due[count++] = heap_pop(sweep);
        if (count == 0)
            break;
        error = look_at(sweep, due, count, pg, arena, steady_us, send, owner);
    }
    return error == ERR_BUSY ? ERR_OK : error;
}

bool
order_sweep_floor(struct order_sweep *sweep, int64_t *ret_floor_us)
{
    if (sweep->due_floor_us == 0)
        return false;
    *ret_floor_us = sweep->due_floor_us;
    sweep->due_floor_us = 0;
    return true;
}

/* ---- keys of yesterday ---- */

enum error
order_forget_keys(struct pg *pg, struct arena *arena)
{
    static const char nothing;
    const void *row = &nothing;
    struct pg_step step = { .statement = &idempotency_forget, .rows = &row, .count = 1 };
    enum error error = ERR_OK;

    for (int i = 0; error == ERR_OK && i < FORGET_ROUNDS_MAX; i++) {
        error = pg_round(pg, false, &step, 1, arena);
        if (step.ret_changed < KEYS_FORGOTTEN_MAX)
            break;
    }
    return error;
}
