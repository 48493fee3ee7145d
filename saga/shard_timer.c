/* shard_timer.c -- When to look at which saga again, and what a tick makes of those whose time has come. */
#include "saga/shard_inner.h"

void
timer_set(struct shard *shard, struct live *live, int64_t at_us)
{
    heap_set(&shard->timers, &live->timer, at_us);
}

void
timer_stop(struct shard *shard, struct live *live)
{
    heap_remove(&shard->timers, &live->timer);
}

int64_t
timer_us(const struct live *live)
{
    return heap_has(&live->timer) ? live->timer.key : 0;
}

void
timers_find(struct shard *shard, struct tick *tick)
{
    size_t limit = shard->timers.count < TICK_EVENTS_MAX ? shard->timers.count : TICK_EVENTS_MAX;
    struct heap_item *due;

    tick->due = arena_take(tick->arena, limit * sizeof *tick->due);
    while (tick->due_count < limit && (due = heap_pop_due(&shard->timers, shard->now_us)) != NULL)
        tick->due[tick->due_count++] = HEAP_OWNER(due, struct live, timer);
}

void
timers_put_off(struct shard *shard, struct tick *tick, size_t first, int64_t at_us)
{
    for (size_t i = first; i < tick->due_count; i++)
        timer_set(shard, tick->due[i], at_us);
    tick->due_count = first;
}

static void
take_timer(struct shard *shard, struct tick *tick, struct live *live)
{
    const struct engine_event event = { .kind = ENGINE_DUE };
    const struct journal_row *row =
        live->instance != NULL
            ? NULL
            : journal_row_find(tick->found_parked, tick->found_parked_count, live->id);
    struct problem problem;

    if (unread_is_pinned(live)) {
        if (!shard_read_again(shard, tick, live, row))
            timer_set(shard, live, shard->now_us + PINNED_AGAIN_US);
        return;
    }
    if (live->instance == NULL && row == NULL) {
        timer_set(shard, live, shard->now_us + STORE_RETRY_US); /* its row was not to be had */
        return;
    }
    if (live->instance == NULL && !shard_unpark(shard, live, row))
        return; /* it is set aside */
    shard_decide(shard, tick, live, &event, &problem);
    tick_touch(shard, tick, live);
}

void
timers_take(struct shard *shard, struct tick *tick)
{
    for (size_t i = 0; i < tick->due_count; i++) {
        if (shard->page_bytes > TICK_BYTES_MAX) {
            timers_put_off(shard, tick, i, shard->now_us);
            return;
        }
        take_timer(shard, tick, tick->due[i]);
    }
}
