/* shard_timer.c -- When to look at which saga again: a heap of times, and what a tick makes of those that
 * have come. A timer that another one took the place of stays in the heap until its time, and is known
 * then by its saga's next_us. */
#include "saga/shard_inner.h"

static void
timer_swap(struct timer *a, struct timer *b)
{
    struct timer held = *a;

    *a = *b;
    *b = held;
}

void
timer_set(struct shard *shard, struct live *live, int64_t at_us)
{
    size_t i = shard->timer_count++;

    live->next_us = at_us;
    if (shard->timer_count > shard->timer_size) {
        shard->timer_size = shard->timer_count * 2;
        shard->timers = memory_grow(shard->timers, shard->timer_size * sizeof *shard->timers);
    }
    shard->timers[i] = (struct timer){ at_us, live->id };
    for (; i > 0 && shard->timers[(i - 1) / 2].at_us > shard->timers[i].at_us; i = (i - 1) / 2)
        timer_swap(&shard->timers[i], &shard->timers[(i - 1) / 2]);
}

static struct timer
timer_pop(struct shard *shard)
{
    struct timer first = shard->timers[0];
    size_t i = 0;

    shard->timers[0] = shard->timers[--shard->timer_count];
    for (;;) {
        size_t least = i, left = 2 * i + 1, right = left + 1;

        if (left < shard->timer_count && shard->timers[left].at_us < shard->timers[least].at_us)
            least = left;
        if (right < shard->timer_count && shard->timers[right].at_us < shard->timers[least].at_us)
            least = right;
        if (least == i)
            return first;
        timer_swap(&shard->timers[i], &shard->timers[least]);
        i = least;
    }
}

void
timers_find(struct shard *shard, struct tick *tick)
{
    size_t limit = shard->timer_count < TICK_EVENTS_MAX ? shard->timer_count : TICK_EVENTS_MAX;

    tick->due = arena_take(tick->arena, limit * sizeof *tick->due);
    while (tick->due_count < limit && shard->timer_count > 0 &&
           shard->timers[0].at_us <= shard->now_us) {
        struct timer timer = timer_pop(shard);
        struct live *live = live_find(shard, timer.id);

        if (live == NULL || live->next_us != timer.at_us)
            continue; /* another timer took its place */
        live->next_us = 0;
        tick->due[tick->due_count++] = live;
    }
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
