#include "order-svc/order_sweep.h"

#include <stdlib.h>
#include <string.h>

enum {
    BUCKETS = 4096,
    LOOK_BACK_EVERY = 30, /* runs; the others walk only what is new */
    /* A transaction takes its now() before its rows can be seen, and session time-outs end it long
     * before this: no order appears further behind. */
    LOOK_BACK_US = 60 * 1000 * 1000,
    FRESH_US = 2 * 1000 * 1000, /* younger orders' Starts are still under way */
    LOOK_MAX = 500,             /* orders read at once */
};

/* An order that was not final when it was last looked at. */
struct open_order {
    struct open_order *next; /* of the same bucket */
    struct uuid id;
    int64_t placed_at_us;
    int64_t due_us; /* by clock_steady_us() */
    int64_t backoff_us;
};

struct order_sweep {
    bool has_floor;
    int64_t seen_us; /* where the walk came to: this order and all before */
    struct uuid seen_id;
    int64_t stored_floor_us;
    uint64_t runs;
    struct open_order *buckets[BUCKETS];
    size_t open_count;
};

struct order_sweep *
order_sweep_new(void)
{
    return memory_take(sizeof(struct order_sweep));
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
    free(sweep);
    return NULL;
}

size_t
order_sweep_open_count(const struct order_sweep *sweep)
{
    return sweep->open_count;
}

static void
remember(struct order_sweep *sweep, const struct sweep_candidate *found)
{
    struct open_order **bucket =
        &sweep->buckets[hash_end(hash_bytes(HASH_SEED, &found->id, sizeof found->id)) % BUCKETS];
    struct open_order *open = *bucket;

    while (open != NULL && !uuid_equal(open->id, found->id))
        open = open->next;
    if (open != NULL)
        return;
    open = memory_take(sizeof *open);
    open->id = found->id;
    open->placed_at_us = found->placed_at_us;
    open->backoff_us = SWEEP_BACKOFF_MIN_US;
    open->next = *bucket;
    *bucket = open;
    sweep->open_count++;
}

/* ---- the walk ---- */

static enum error
read_floor(struct order_sweep *sweep, struct pg *pg, struct arena *arena, int64_t *ret_now_us)
{
    int64_t floor_us = 0;
    enum error error = sweep_read(pg, ORDER_SWEEP_NAME, arena, &floor_us, ret_now_us);

    if (error == ERR_OK && !sweep->has_floor) {
        sweep->seen_us = sweep->stored_floor_us = floor_us;
        sweep->has_floor = true;
    }
    return error;
}

/* Where this run starts: where the last one ended, and now and then a little before. */
static struct sweep_range
range_begin(const struct order_sweep *sweep, int64_t now_us)
{
    struct sweep_range range = { .after_us = sweep->seen_us, .until_us = now_us - FRESH_US };

    if (sweep->runs % LOOK_BACK_EVERY == 0)
        range.after_us -= LOOK_BACK_US;
    else
        range.after_id = sweep->seen_id;
    return range;
}

/* Remembers what is open on a page and moves the range behind it; false at the end. */
static bool
take_page(struct order_sweep *sweep, const struct pg_step *step, struct sweep_range *range)
{
    const struct sweep_candidate *found = step->ret_rows;

    for (size_t i = 0; i < step->ret_count; i++) {
        if (!found[i].is_last) {
            remember(sweep, &found[i]);
            continue;
        }
        range->after_us = found[i].placed_at_us;
        range->after_id = found[i].id;
    }
    if (range->after_us > sweep->seen_us || (range->after_us == sweep->seen_us &&
                                             uuid_compare(&range->after_id, &sweep->seen_id) > 0)) {
        sweep->seen_us = range->after_us;
        sweep->seen_id = range->after_id;
    }
    return step->ret_count > 0;
}

static enum error
walk(struct order_sweep *sweep, struct pg *pg, struct arena *arena)
{
    struct sweep_range range;
    const void *row = &range;
    struct pg_step step = { .statement = &order_open, .rows = &row, .count = 1 };
    int64_t now_us = 0;
    enum error error = read_floor(sweep, pg, arena, &now_us);
    bool has_more = true;

    range = range_begin(sweep, now_us);
    while (error == ERR_OK && has_more && sweep->open_count < SWEEP_OPEN_MAX) {
        error = pg_round(pg, false, &step, 1, arena);
        has_more = error == ERR_OK && take_page(sweep, &step, &range);
    }
    return error;
}

/* ---- what is due ---- */

/* The orders that are due, count of them at most. */
static size_t
collect_due(struct order_sweep *sweep, int64_t steady_us, struct open_order **ret_due, size_t max)
{
    size_t count = 0;

    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct open_order *open = sweep->buckets[i]; open != NULL; open = open->next) {
            if (open->due_us <= steady_us && count < max)
                ret_due[count++] = open;
        }
    }
    return count;
}

static void
forget(struct order_sweep *sweep, struct open_order *gone)
{
    struct open_order **link =
        &sweep->buckets[hash_end(hash_bytes(HASH_SEED, &gone->id, sizeof gone->id)) % BUCKETS];

    while (*link != gone)
        link = &(*link)->next;
    *link = gone->next;
    free(gone);
    sweep->open_count--;
}

static int
compare_ids(const void *id, const void *order)
{
    return uuid_compare(id, &((const struct order *)order)->record.id);
}

/* A WAITING order has a saga; nothing need be said to it, unless that it be undone. */
static bool
is_to_send(const struct order *order)
{
    return order->status == ORDER_PENDING || order->cancel_wanted;
}

static enum error
look_at(struct order_sweep *sweep, struct open_order **due, size_t count, struct pg *pg,
        struct arena *arena, int64_t steady_us,
        bool (*send)(void *owner, const struct order *order), void *owner)
{
    const void **keys = arena_take(arena, count * sizeof *keys);
    struct pg_step step = { .statement = &order_get, .rows = keys, .count = count };
    bool may_send = true;
    enum error error;

    for (size_t i = 0; i < count; i++)
        keys[i] = &due[i]->id;
    error = pg_round(pg, false, &step, 1, arena);
    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        const struct order *order =
            step.ret_count == 0
                ? NULL
                : bsearch(&due[i]->id, step.ret_rows, step.ret_count, sizeof *order, compare_ids);

        if (order == NULL || order_is_final(order->status)) {
            forget(sweep, due[i]);
            continue;
        }
        if (is_to_send(order)) {
            may_send = may_send && send(owner, order);
            if (!may_send)
                continue; /* stays due */
        }
        due[i]->due_us = steady_us + due[i]->backoff_us;
        due[i]->backoff_us = due[i]->backoff_us * 2 < SWEEP_BACKOFF_MAX_US ? due[i]->backoff_us * 2
                                                                           : SWEEP_BACKOFF_MAX_US;
    }
    return error == ERR_OK && !may_send ? ERR_BUSY : error;
}

enum error
order_sweep_run(struct order_sweep *sweep, struct pg *pg, struct arena *arena, int64_t steady_us,
                bool (*send)(void *owner, const struct order *order), void *owner)
{
    struct open_order *due[LOOK_MAX];
    enum error error = walk(sweep, pg, arena);

    sweep->runs++;
    for (int round = 0; error == ERR_OK && round < SWEEP_SENDS_MAX / LOOK_MAX; round++) {
        size_t count = collect_due(sweep, steady_us, due, LOOK_MAX);

        if (count == 0)
            break;
        error = look_at(sweep, due, count, pg, arena, steady_us, send, owner);
    }
    return error == ERR_BUSY ? ERR_OK : error;
}

bool
order_sweep_floor(struct order_sweep *sweep, int64_t *ret_floor_us)
{
    int64_t floor_us = sweep->seen_us - LOOK_BACK_US;

    if (sweep->runs % LOOK_BACK_EVERY != 1)
        return false;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (const struct open_order *open = sweep->buckets[i]; open != NULL; open = open->next) {
            if (open->placed_at_us - 1 < floor_us)
                floor_us = open->placed_at_us - 1;
        }
    }
    if (floor_us <= sweep->stored_floor_us)
        return false;
    *ret_floor_us = sweep->stored_floor_us = floor_us;
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
