/* alert_live.c -- The orders of a shard that are not over: a map by id, and three orders among them: by the time at
 * which something comes of one without news, by the last news (who is idle is at the front), and by the oldest page
 * that one needs (the first of them is the journal's floor). */
#include "alerts/alert_shard_inner.h"

#include <stdlib.h>
#include <utlist.h>

struct alert_live *
alert_live_find(const struct alert_shard *shard, struct uuid id)
{
    struct alert_live *live;

    HASH_FIND(by_id, shard->lives, &id, sizeof id, live);
    return live;
}

struct alert_live *
alert_live_add(struct alert_shard *shard, struct uuid id)
{
    struct alert_live *live = memory_take(sizeof *live);

    live->id = id;
    HASH_ADD(by_id, shard->lives, id, sizeof live->id, live);
    return live;
}

void
alert_live_wake(struct alert_shard *shard, struct alert_live *live, struct watch *watch)
{
    live->watch = watch;
    DL_APPEND2(shard->touched_first, live, touched_before, touched_after);
    shard->awake_count++;
}

void
alert_live_touch(struct alert_shard *shard, struct alert_live *live, int64_t steady_us)
{
    live->touched_us = steady_us;
    DL_DELETE2(shard->touched_first, live, touched_before, touched_after);
    DL_APPEND2(shard->touched_first, live, touched_before, touched_after);
}

void
alert_live_need(struct alert_shard *shard, struct alert_live *live, int64_t page)
{
    if (live->first_page != 0)
        return;
    live->first_page = page;
    DL_APPEND2(shard->paged_first, live, paged_before, paged_after);
}

/* Out of memory: its watch, and what it needs of the journal. */
static void
rest(struct alert_shard *shard, struct alert_live *live)
{
    if (live->watch != NULL) {
        DL_DELETE2(shard->touched_first, live, touched_before, touched_after);
        shard->awake_count--;
    }
    live->watch = watch_free(live->watch);
    if (live->first_page != 0)
        DL_DELETE2(shard->paged_first, live, paged_before, paged_after);
    live->first_page = 0;
}

void
alert_live_park(struct alert_shard *shard, struct alert_live *live, int64_t page)
{
    rest(shard, live);
    live->parked_page = page;
}

void
alert_live_remove(struct alert_shard *shard, struct alert_live *live)
{
    rest(shard, live);
    heap_remove(&shard->timers, &live->timer);
    HASH_DELETE(by_id, shard->lives, live);
    free(live);
}

void
alert_live_free_all(struct alert_shard *shard)
{
    struct alert_live *live, *next;

    HASH_ITER (by_id, shard->lives, live, next)
        alert_live_remove(shard, live);
    heap_free(&shard->timers);
    shard->timers = (struct heap){ 0 };
}

/* One that is to be forgotten by now is not timed: it is, as soon as it is idle. */
void
alert_live_time(struct alert_shard *shard, struct alert_live *live, int64_t horizon_us)
{
    int64_t due_us = watch_due_us(live->watch, &shard->all->options.graces);
    int64_t forget_us = watch_forget_us(live->watch);

    if (due_us == 0 && forget_us >= horizon_us)
        due_us = forget_us;
    if (due_us == 0)
        heap_remove(&shard->timers, &live->timer);
    else
        heap_set(&shard->timers, &live->timer, due_us);
}
