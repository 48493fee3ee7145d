/* shard_live.c -- The sagas of a shard that have not ended: all of them by id, and those that are in memory
 * in a list, so that what looks at these alone does not pass the parked ones, of which there may be a
 * hundred times as many.
 *
 * A struct live stays while its instance comes and goes. Taken from the heap one by one, each would lie
 * between pieces of instances and keep a page of memory that is otherwise free; so they come in blocks.
 */
#include "saga/shard_inner.h"

#include <stdlib.h>
#include <string.h>

struct live_block {
    struct live_block *next;
    struct live items[LIVES_A_BLOCK];
};

static struct live *
live_take(struct shard *shard)
{
    struct live *live = shard->spare;

    if (live == NULL) {
        struct live_block *block = memory_take(sizeof *block);

        block->next = shard->blocks;
        shard->blocks = block;
        for (size_t i = 0; i < LIVES_A_BLOCK; i++) {
            block->items[i].awake_after = shard->spare;
            shard->spare = &block->items[i];
        }
        live = shard->spare;
    }
    shard->spare = live->awake_after;
    memset(live, 0, sizeof *live);
    return live;
}

void
live_free_all(struct shard *shard)
{
    while (shard->lives != NULL)
        live_remove(shard, shard->lives);
    shard->spare = NULL;
    while (shard->blocks != NULL) {
        struct live_block *block = shard->blocks;

        shard->blocks = block->next;
        free(block);
    }
}

struct live *
live_find(struct shard *shard, struct uuid id)
{
    struct live *live;

    HASH_FIND(by_id, shard->lives, &id, sizeof id, live);
    return live;
}

struct live *
live_add(struct shard *shard, struct uuid id)
{
    struct live *live = live_take(shard);

    live->id = id;
    HASH_ADD(by_id, shard->lives, id, sizeof live->id, live);
    return live;
}

void
live_remove(struct shard *shard, struct live *live)
{
    HASH_DELETE(by_id, shard->lives, live);
    if (live->instance != NULL)
        live_rest(shard, live);
    unread_free(shard, live);
    meter_forget(live);
    timer_stop(shard, live);
    live->awake_after = shard->spare;
    shard->spare = live;
}

int64_t
place_next(struct shard *shard, int64_t page)
{
    if (shard->place_page != page) {
        shard->place_page = page;
        shard->place_count = 0;
    }
    if (shard->place_count ==
        PLACES_A_PAGE - 1) /* a tick starts far fewer: this page is none of ours */
        return page * PLACES_A_PAGE + shard->place_count;
    return page * PLACES_A_PAGE + shard->place_count++;
}

void
live_wake(struct shard *shard, struct live *live, struct instance *instance)
{
    live->instance = instance;
    live->awake_before = shard->awake_last;
    live->awake_after = NULL;
    if (shard->awake_last == NULL)
        shard->awake_first = live;
    else
        shard->awake_last->awake_after = live;
    shard->awake_last = live;
    if (++shard->awake_count > shard->awake_most)
        shard->awake_most = shard->awake_count;
}

void
live_rest(struct shard *shard, struct live *live)
{
    if (shard->park_next == live)
        shard->park_next = live->awake_after;
    if (live->awake_before == NULL)
        shard->awake_first = live->awake_after;
    else
        live->awake_before->awake_after = live->awake_after;
    if (live->awake_after == NULL)
        shard->awake_last = live->awake_before;
    else
        live->awake_after->awake_before = live->awake_before;
    live->instance = instance_free(live->instance);
    shard->awake_count--;
}
