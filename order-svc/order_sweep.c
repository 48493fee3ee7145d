#include "order-svc/order_sweep.h"
#include "mesh/base/clock.h"
#include "mesh/base/heap.h"
#include "mesh/base/log.h"
#include "mesh/base/map.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROUND_EVERY = 30,           /* runs from the end of a round to the next one */
    ROUND_PAGES_MAX = 10,       /* of a run: the round must not be felt */
    WHOLE_EVERY = 5,            /* runs between two pages: a hundred million orders in a day */
    FRESH_US = 2 * 1000 * 1000, /* younger orders' Starts are still under way */
    LOOK_MAX = 500,             /* orders read at once */
};

#define WAITED_US (600 * SECOND_US) /* its saga goes on half a minute after the payment's time */

/* An order that had something to be said for it when it was last looked at. */
struct open_order {
    UT_hash_handle by_id;
    struct uuid id;
    struct heap_item due; /* by clock_steady_us(), as met_us */
    int64_t backoff_us;
    int64_t placed_at_us, met_us;
};

/* A walk over orders as they were inserted. */
struct walk {
    struct sweep_range range;
    int64_t oldest; /* all before it are final; INT64_MAX: all that it looked at */
};

struct order_sweep {
    size_t open_max;
    struct sweep_position position; /* of this run */
    struct horizon horizon;
    struct walk front, round, whole;
    bool has_begun, is_round, is_full;
    int64_t fresh_last, fresh_us; /* the newest order of a while ago, and when that was */
    int64_t round_settled;        /* the horizon as the round began */
    int64_t due_floor;            /* -1: none */
    uint64_t runs, round_run;     /* when the next round may begin */
    struct open_order *open;      /* a map */
    struct heap due;              /* those that are being looked at are not in it */
};

struct order_sweep *
order_sweep_new(size_t open_max)
{
    struct order_sweep *sweep = memory_take(sizeof *sweep);

    sweep->open_max = open_max;
    sweep->due_floor = -1;
    horizon_init(&sweep->horizon, "order_seq");
    return sweep;
}

static void
forget(struct order_sweep *sweep, struct open_order *gone)
{
    HASH_DELETE(by_id, sweep->open, gone);
    heap_remove(&sweep->due, &gone->due);
    free(gone);
}

struct order_sweep *
order_sweep_free(struct order_sweep *sweep)
{
    if (sweep == NULL)
        return NULL;
    while (sweep->open != NULL)
        forget(sweep, sweep->open);
    heap_free(&sweep->due);
    horizon_free(&sweep->horizon);
    free(sweep);
    return NULL;
}

size_t
order_sweep_open_count(const struct order_sweep *sweep)
{
    return HASH_CNT(by_id, sweep->open);
}

/* ---- what is open: by id, and by when it is due ---- */

static void
remember(struct order_sweep *sweep, const struct sweep_candidate *found, int64_t steady_us)
{
    struct open_order *open;

    HASH_FIND(by_id, sweep->open, &found->id, sizeof found->id, open);
    if (open != NULL)
        return;
    open = memory_take(sizeof *open);
    open->id = found->id;
    open->placed_at_us = found->placed_at_us;
    open->met_us = steady_us;
    open->backoff_us = SWEEP_BACKOFF_MIN_US;
    HASH_ADD(by_id, sweep->open, id, sizeof open->id, open);
    heap_set(&sweep->due, &open->due, 0);
}

/* ---- the walks ---- */

static bool
has_room(struct order_sweep *sweep)
{
    bool is_full = order_sweep_open_count(sweep) >= sweep->open_max;

    if (is_full && !sweep->is_full)
        log_warn("sweep=%s orders=%zu because=\"so many have no saga: the walk waits for them\"",
                 ORDER_SWEEP_NAME, order_sweep_open_count(sweep));
    sweep->is_full = is_full;
    return !is_full;
}

/* At start; and when the sequence is behind where it was, so that this is another database, or an older
 * state of it. */
static void
begin_anew(struct order_sweep *sweep, int64_t steady_us)
{
    sweep->has_begun = true;
    sweep->is_round = false;
    sweep->due_floor = -1;
    sweep->round_run = sweep->runs;
    horizon_free(&sweep->horizon);
    horizon_init(&sweep->horizon, "order_seq");
    sweep->whole = (struct walk){ 0 };
    sweep->front = (struct walk){ .range = { sweep->position.floor, sweep->position.last } };
    sweep->fresh_last = sweep->position.last;
    sweep->fresh_us = steady_us;
}

/* The front stays behind what is fresh: it goes up to what was the newest order a while ago. */
static void
move_front(struct order_sweep *sweep, int64_t steady_us)
{
    if (steady_us - sweep->fresh_us < FRESH_US)
        return;
    sweep->front.range.until = sweep->fresh_last;
    sweep->fresh_last = sweep->position.last;
    sweep->fresh_us = steady_us;
}

/* The horizon that was drawn last is not settled yet. */
static bool
is_aimed(const struct order_sweep *sweep)
{
    return sweep->horizon.settled < sweep->horizon.last;
}

static enum error
look_for_horizon(struct order_sweep *sweep, struct pg *pg, struct arena *arena)
{
    struct horizon_writer oldest;
    bool is_settled;

    return is_aimed(sweep) ? horizon_look(&sweep->horizon, pg, arena, &is_settled, &oldest)
                           : ERR_OK;
}

static enum error
begin_round(struct order_sweep *sweep, struct pg *pg)
{
    sweep->is_round = true;
    sweep->round_settled = sweep->horizon.settled;
    sweep->round = (struct walk){ .range = { sweep->position.floor, sweep->front.range.until },
                                  .oldest = INT64_MAX };
    return is_aimed(sweep) ? ERR_OK : horizon_aim(&sweep->horizon, pg, false);
}

static enum error
begin(struct order_sweep *sweep, struct pg *pg, struct arena *arena, int64_t steady_us)
{
    const char *name = ORDER_SWEEP_NAME;
    int64_t last = sweep->position.last;
    struct pg_answer answer;
    enum error error = pg_ask(pg, &order_position, &name, arena, &answer);

    if (error != ERR_OK)
        return error;
    if (answer.count != 1)
        return ERR_INTERNAL; /* the schema makes the row */
    sweep->position = *(const struct sweep_position *)answer.rows;
    if (!sweep->has_begun || sweep->position.last < last)
        begin_anew(sweep, steady_us);
    error = look_for_horizon(sweep, pg, arena);
    if (error != ERR_OK)
        return error;
    move_front(sweep, steady_us);
    return !sweep->is_round && sweep->runs >= sweep->round_run ? begin_round(sweep, pg) : ERR_OK;
}

/* Remembers what a page has and moves the walk behind it. *ret_has_more: false at the end. */
static enum error
walk_page(struct order_sweep *sweep, struct walk *walk, struct pg *pg, struct arena *arena,
          int64_t steady_us, bool *ret_has_more)
{
    const struct sweep_range range = { walk->range.after, walk->range.until,
                                       clock_now_us() - WAITED_US };
    struct pg_answer answer;
    enum error error = pg_ask(pg, &order_open, &range, arena, &answer);
    const struct sweep_candidate *found = answer.rows;

    for (size_t i = 0; i < answer.count; i++) {
        if (!found[i].is_last) {
            remember(sweep, &found[i], steady_us);
            continue;
        }
        walk->range.after = found[i].seq;
        if (found[i].oldest < walk->oldest)
            walk->oldest = found[i].oldest;
    }
    *ret_has_more = answer.count > 0;
    return error;
}

static int64_t
least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* All that it walked before its oldest were seen to be final, and up to the horizon none can appear. */
static void
end_round(struct order_sweep *sweep)
{
    int64_t floor =
        least(sweep->round.oldest - 1, least(sweep->round_settled, sweep->round.range.until));

    sweep->is_round = false;
    sweep->round_run = sweep->runs + ROUND_EVERY;
    if (floor > sweep->position.floor)
        sweep->due_floor = floor;
}

/* One page of what is below the floor. */
static enum error
walk_whole(struct order_sweep *sweep, struct pg *pg, struct arena *arena, int64_t steady_us)
{
    bool has_more = false;
    enum error error;

    sweep->whole.range.until = sweep->position.floor;
    sweep->whole.oldest = INT64_MAX;
    error = walk_page(sweep, &sweep->whole, pg, arena, steady_us, &has_more);
    if (error == ERR_OK && !has_more)
        sweep->whole.range.after = 0;
    if (error == ERR_OK && sweep->whole.oldest < INT64_MAX) {
        log_warn("sweep=%s because=\"an order below its floor is not final: the floor goes back\"",
                 ORDER_SWEEP_NAME);
        sweep->due_floor = sweep->whole.oldest - 1;
        sweep->is_round = false;
        sweep->round_run = sweep->runs + 1;
    }
    return error;
}

static enum error
walk(struct order_sweep *sweep, struct pg *pg, struct arena *arena, int64_t steady_us)
{
    enum error error = begin(sweep, pg, arena, steady_us);
    bool has_more = true;

    while (error == ERR_OK && has_more && has_room(sweep))
        error = walk_page(sweep, &sweep->front, pg, arena, steady_us, &has_more);
    has_more = sweep->is_round;
    for (int i = 0; error == ERR_OK && has_more && i < ROUND_PAGES_MAX && has_room(sweep); i++) {
        error = walk_page(sweep, &sweep->round, pg, arena, steady_us, &has_more);
        if (error == ERR_OK && !has_more)
            end_round(sweep);
    }
    if (error == ERR_OK && sweep->runs % WHOLE_EVERY == 0 && has_room(sweep))
        error = walk_whole(sweep, pg, arena, steady_us);
    return error;
}

/* ---- what is due ---- */

/* A WAITING order has a saga; nothing need be said to it, unless that it be undone. One that still waits long
 * after its payment's time may have lost its saga (a database was restored): it is asked for too, which
 * changes nothing of one that is there. */
static bool
is_to_send(const struct order *order, int64_t waited_us)
{
    return order->status == ORDER_PENDING ||
           (order->status == ORDER_WAITING &&
            (order->cancel_wanted ||
             (order->payment_expires_at_us > 0 && order->payment_expires_at_us <= waited_us)));
}

/* It was asked for, and comes again, later each time. When memory is full, those that were asked for
 * often make room for others: a round will find them again. */
static void
put_off(struct order_sweep *sweep, struct open_order *open, int64_t steady_us)
{
    if (open->backoff_us == SWEEP_BACKOFF_MAX_US &&
        order_sweep_open_count(sweep) >= sweep->open_max) {
        forget(sweep, open);
        return;
    }
    heap_set(&sweep->due, &open->due, steady_us + open->backoff_us);
    open->backoff_us =
        open->backoff_us * 2 < SWEEP_BACKOFF_MAX_US ? open->backoff_us * 2 : SWEEP_BACKOFF_MAX_US;
}

static enum error
look_at(struct order_sweep *sweep, struct open_order **due, size_t count, struct pg *pg,
        struct arena *arena, int64_t steady_us,
        bool (*send)(void *owner, const struct order *order), void *owner)
{
    const void **keys = arena_take(arena, count * sizeof *keys);
    int64_t waited_us = clock_now_us() - WAITED_US;
    struct lookup_rows orders = { 0 };
    enum error error;

    for (size_t i = 0; i < count; i++)
        keys[i] = &due[i]->id;
    error = lookup_load(&order_lookup, pg, keys, count, arena, &orders);
    for (size_t i = 0; i < count; i++) {
        const struct order *order = lookup_find(&orders, &due[i]->id);

        if (error == ERR_OK && (order == NULL || !is_to_send(order, waited_us))) {
            forget(sweep, due[i]);
        } else if (error == ERR_OK && send(owner, order)) {
            put_off(sweep, due[i], steady_us);
        } else {
            error = error == ERR_OK ? ERR_BUSY : error;
            heap_set(&sweep->due, &due[i]->due, due[i]->due.key); /* stays due */
        }
    }
    return error;
}

enum error
order_sweep_run(struct order_sweep *sweep, struct pg *pg, struct arena *arena, int64_t steady_us,
                bool (*send)(void *owner, const struct order *order), void *owner)
{
    struct open_order *due[LOOK_MAX];
    struct heap_item *item;
    enum error error = walk(sweep, pg, arena, steady_us);

    sweep->runs++;
    for (int round = 0; error == ERR_OK && round < SWEEP_SENDS_MAX / LOOK_MAX; round++) {
        size_t count = 0;

        while (count < LOOK_MAX && (item = heap_pop_due(&sweep->due, steady_us)) != NULL)
            due[count++] = HEAP_OWNER(item, struct open_order, due);
        if (count == 0)
            break;
        error = look_at(sweep, due, count, pg, arena, steady_us, send, owner);
    }
    return error == ERR_BUSY ? ERR_OK : error;
}

bool
order_sweep_floor(struct order_sweep *sweep, int64_t *ret_floor, bool *ret_is_lower)
{
    if (sweep->due_floor < 0)
        return false;
    *ret_floor = sweep->due_floor;
    *ret_is_lower = sweep->due_floor < sweep->position.floor;
    sweep->due_floor = -1;
    return true;
}

/* One that was placed long ago, and met just now, is of an outage: it moves first. */
#define MET_LEAST_US (60 * SECOND_US)

void
order_sweep_overdue(const struct order_sweep *sweep, int64_t steady_us, int64_t now_us,
                    int64_t long_us, struct order_overdue *ret_overdue)
{
    *ret_overdue = (struct order_overdue){ 0 };
    for (const struct open_order *open = sweep->open; open != NULL; open = open->by_id.next) {
        int64_t age_us = now_us - open->placed_at_us;

        if (age_us < steady_us - open->met_us)
            age_us = steady_us - open->met_us;
        if (age_us <= long_us)
            continue;
        ret_overdue->count++;
        if (age_us > ret_overdue->age_us) {
            ret_overdue->age_us = age_us;
            ret_overdue->oldest = open->id;
        }
    }
}
