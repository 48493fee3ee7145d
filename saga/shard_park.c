/* shard_park.c -- Sagas that wait for long leave the memory for a row of their own, so that they pin no pages
 * and a restart need not fold them.
 *
 * Once a second a round begins: the sagas in memory are looked at, some in each tick, and those that were idle
 * for a while are parked with the tick's page. The next tick goes on at once, so parking keeps up with any
 * rate at which sagas come, and no tick becomes long by it. What the round has freed goes back to the
 * system when the memory is far below what it was.
 */
#include "saga/shard_inner.h"

#include <malloc.h>

static bool
is_idle(const struct shard *shard, const struct live *live)
{
    return !live->is_touched && !live->is_under_way &&
           shard->now_us - live->touched_us > PARK_AFTER_US &&
           (timer_us(live) == 0 || timer_us(live) - shard->now_us > PARK_AFTER_US);
}

static size_t
park(struct shard *shard, struct tick *tick, struct live *live)
{
    struct journal_row *row = arena_take(tick->arena, sizeof *row);
    size_t bytes;

    live->phase = instance_phase(live->instance);
    json_writer_reset(&shard->line);
    instance_write(live->instance, &shard->line);
    bytes = shard->line.bytes;
    *row = (struct journal_row){ .id = live->id,
                                 .shard = shard->number,
                                 .page = shard->next_page,
                                 .place = live->place,
                                 .fingerprint = live->fingerprint,
                                 .next_us = timer_us(live),
                                 .phase = phase_text(live->phase),
                                 .kind = live->instance->definition->name,
                                 .body = arena_copy(tick->arena, shard->line.text, bytes) };
    tick->parked[tick->parked_count++] = row;
    live->parked_page = shard->next_page;
    live_rest(shard, live);
    return bytes;
}

/* Freed memory is scattered between what is still used, so the allocator keeps all of it unless told. */
static void
give_memory_back(struct shard *shard)
{
    if (shard->awake_most < shard->awake_count + TRIM_AFTER ||
        shard->awake_most / 2 < shard->awake_count)
        return;
    malloc_trim(0);
    shard->awake_most = shard->awake_count;
}

bool
shard_park_idle(struct shard *shard, struct tick *tick)
{
    size_t bytes = 0;

    if (shard->park_next == NULL)
        shard->park_next = shard->awake_first;
    tick->parked = arena_take(tick->arena, PARK_MAX * sizeof *tick->parked);
    for (size_t looks = 0; shard->park_next != NULL && looks < PARK_LOOKS &&
                           tick->parked_count < PARK_MAX && bytes < PARK_BYTES_MAX;
         looks++) {
        struct live *live = shard->park_next;

        shard->park_next = live->awake_after;
        if (is_idle(shard, live))
            bytes += park(shard, tick, live);
    }
    if (shard->park_next != NULL)
        return false;
    give_memory_back(shard);
    return true;
}

int64_t
shard_floor(const struct shard *shard)
{
    int64_t floor = shard->pinned_page == 0 ? shard->next_page : shard->pinned_page;

    for (const struct live *live = shard->awake_first; live != NULL; live = live->awake_after) {
        if (live->first_page < floor)
            floor = live->first_page;
    }
    return floor;
}
