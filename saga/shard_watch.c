/* shard_watch.c -- Watch calls that wait for a saga to change. They cost a link each, and no thread. */
#include "saga/shard_inner.h"

#include <string.h>

static struct call *
next_of(const struct call *call)
{
    return (struct call *)call->item.next;
}

static void
finish(struct shard *shard, struct call *call)
{
    shard->watcher_count--;
    call->item.next = NULL;
    call->finish(call);
}

void
watch_add(struct shard *shard, struct live *live, struct call *call)
{
    const struct saga_watch *watch = (const struct saga_watch *)call->op;

    call->item.next = live->watchers == NULL ? NULL : &live->watchers->item;
    live->watchers = call;
    shard->watcher_count++;
    if (shard->watch_due_us == 0 || watch->until_us < shard->watch_due_us)
        shard->watch_due_us = watch->until_us;
}

static void
expire_some(struct shard *shard, struct live *live, bool is_over)
{
    struct call *call = live->watchers, *next;

    live->watchers = NULL;
    for (; call != NULL; call = next) {
        next = next_of(call);
        if (is_over || ((struct saga_watch *)call->op)->until_us <= shard->now_us) {
            finish(shard, call);
            continue;
        }
        shard->watcher_count--;
        watch_add(shard, live, call);
    }
}

void
watch_end(struct shard *shard, struct live *live)
{
    expire_some(shard, live, true);
}

void
watch_changed(struct shard *shard, struct live *live)
{
    struct call *call = live->watchers, *next;

    if (call == NULL)
        return;
    if (live->instance == NULL) { /* it was set aside meanwhile, and is ended by hand */
        watch_end(shard, live);
        return;
    }
    live->watchers = NULL;
    for (; call != NULL; call = next) {
        struct saga_watch *watch = (struct saga_watch *)call->op;

        next = next_of(call);
        if (watch->known_version == live->instance->version && !live->instance->is_ended) {
            shard->watcher_count--;
            watch_add(shard, live, call);
            continue;
        }
        watch->history = history_text(shard, live->instance, call->arena);
        finish(shard, call);
    }
}

void
watch_expire(struct shard *shard)
{
    bool is_over = atomic_load(&shard->shards->is_watching_over);

    if (shard->watch_due_us == 0 || (!is_over && shard->watch_due_us > shard->now_us))
        return;
    shard->watch_due_us = 0;
    for (struct live *live = shard->lives; live != NULL && shard->watcher_count > 0;
         live = live->by_id.next)
        expire_some(shard, live, is_over);
    /* Looking through all of them is done so often at most. */
    if (shard->watch_due_us != 0 && shard->watch_due_us < shard->now_us + WATCH_GRAIN_US)
        shard->watch_due_us = shard->now_us + WATCH_GRAIN_US;
}
