/* shards.c -- All shards of the orchestrators, each with a thread here, whoever has it; and the life of one.
 *
 *   away      another orchestrator has it, or none: calls are handed on, or wait (shard_away.c)
 *   recover   it was taken: the epoch is raised, everything open is folded
 *   serve     tick after tick, until it is to be given up, is lost, or the program stops
 *
 * A shard is given up between two ticks, when all that was decided is written and sent. What was asked of participants
 * meanwhile is asked again by the next owner, under the same ids, as after a crash. One that is lost, since another
 * raised its epoch, drops what it has in memory: what it decided last may be written or not, and its callers hear that.
 */
#include "mesh/base/clock.h"
#include "mesh/base/die.h"
#include "mesh/base/log.h"
#include "saga/forward.h"
#include "saga/members.h"
#include "saga/shard_inner.h"

#include <stdlib.h>

static bool
is_ours(const struct shard *shard)
{
    return members_have(shard->shards->members, (size_t)shard->number);
}

static bool
is_over(const struct shard *shard)
{
    return queue_is_closed(shard->queue) && queue_count(shard->queue) == 0 &&
           shard->left_over == NULL;
}

/* Back into the queue what came while it was not ours; where that is closed, it is refused. */
static void
take_back_held(struct shard *shard)
{
    while (shard->held != NULL) {
        struct call *call = (struct call *)shard->held;

        shard->held = shard->held->next;
        call->item.next = NULL;
        if (call->method == NULL) {
            shard_drop_answer(call);
        } else if (!queue_push_always(shard->queue, &call->item)) {
            problem_set(&call->op->problem, ERR_STOPPING, NULL, "%s", error_text(ERR_STOPPING));
            call->finish(call);
        }
    }
}

/* Nothing of it stays in memory. Calls that were not decided wait for the next owner. */
static void
put_down(struct shard *shard)
{
    atomic_store(&shard->is_recovered, false);
    shard_forget(shard);
    meter_look(shard);
    shard->held = shard->left_over;
    shard->left_over = NULL;
    if (shard->is_lost)
        members_lost(shard->shards->members, (size_t)shard->number);
    else
        members_let_go(shard->shards->members, (size_t)shard->number);
    log_info("shard=%d event=%s", shard->number, shard->is_lost ? "SHARD_LOST" : "SHARD_GIVEN");
}

/* Sagas may stand on those that only another orchestrator has loaded. False: it is not to be ours any more. */
static bool
learn_definitions(struct shard *shard)
{
    const struct shards_options *options = &shard->shards->options;

    while (catalog_refresh(options->catalog, options->conninfo) != ERR_OK) {
        if (queue_is_closed(shard->queue) || !is_ours(shard))
            return false;
        shard_wait(STORE_RETRY_US);
    }
    return true;
}

static void
serve(struct shard *shard, struct arena *arena)
{
    shard->is_lost = false;
    shard->term++;
    take_back_held(shard);
    if (learn_definitions(shard) && shard_recover(shard)) {
        atomic_store(&shard->is_recovered, true);
        while (!is_over(shard) && !shard->is_lost &&
               (queue_is_closed(shard->queue) || is_ours(shard))) {
            shard_tick(shard, arena);
            arena_reset(arena);
        }
    }
    watch_expire(shard);
    if (!queue_is_closed(shard->queue))
        put_down(shard);
}

static void *
shard_main(void *context)
{
    struct shard *shard = context;
    struct arena *arena = arena_new();

    arena_keep(arena, ARENA_KEPT_BYTES);
    while (!is_over(shard)) {
        enum members_place place =
            members_look(shard->shards->members, (size_t)shard->number, NULL);

        if (place == MEMBERS_GIVEN) /* before it was begun with */
            members_let_go(shard->shards->members, (size_t)shard->number);
        if (place == MEMBERS_OURS)
            serve(shard, arena);
        else
            shard_away(shard);
    }
    take_back_held(shard);
    arena_free(arena);
    return NULL;
}

static void
place_changed(void *owner, size_t number)
{
    queue_wake(((struct shards *)owner)->items[number].queue);
}

enum error
shards_open(const struct shards_options *options, struct shards **ret_shards)
{
    struct shards *shards = memory_take(sizeof *shards);
    int count = 0;

    while (journal_shard_count(options->conninfo, &count) != ERR_OK || count < 1)
        shard_wait(STORE_RETRY_US);
    shards->options = *options;
    shards->count = (size_t)count;
    shards->items = memory_take(shards->count * sizeof *shards->items);
    for (size_t i = 0; i < shards->count; i++) {
        struct shard *shard = &shards->items[i];

        shard->shards = shards;
        shard->number = (int)i;
        shard->pg = journal_pg_new(options->conninfo, "saga-svc", NULL);
        pg_meter(shard->pg, options->metrics, "journal");
        shard->journal = journal_new(&(struct journal_options){
            .pg = shard->pg, .shard = (int)i, .partitions = options->partitions });
        shard->queue = queue_new(options->queue_max);
    }
    meter_open(shards);
    shards->forward = forward_open(options->metrics);
    shards->members = members_open(&(struct members_options){ .conninfo = options->conninfo,
                                                              .shard_count = shards->count,
                                                              .changed = place_changed,
                                                              .owner = shards,
                                                              .metrics = options->metrics });
    for (size_t i = 0; i < shards->count; i++)
        thread_start(&shards->items[i].thread, shard_main, &shards->items[i]);
    *ret_shards = shards;
    return ERR_OK;
}

void
shards_begin(struct shards *shards, const char *address)
{
    members_begin(shards->members, address);
}

/* One that another orchestrator has is as good as ours: calls are handed on. */
bool
shards_are_ready(struct shards *shards)
{
    for (size_t i = 0; i < shards->count; i++) {
        if (members_look(shards->members, i, NULL) != MEMBERS_OTHERS &&
            !atomic_load(&shards->items[i].is_recovered))
            return false;
    }
    return true;
}

void
shards_end_watches(struct shards *shards)
{
    atomic_store(&shards->is_watching_over, true);
    for (size_t i = 0; i < shards->count; i++)
        queue_wake(shards->items[i].queue);
}

void
shards_stop(struct shards *shards)
{
    shards_end_watches(shards);
    atomic_store(&shards->is_stopping, true);
    for (size_t i = 0; i < shards->count; i++)
        queue_close(shards->items[i].queue);
    for (size_t i = 0; i < shards->count; i++)
        pthread_join(shards->items[i].thread, NULL);
    shards->forward = forward_close(shards->forward);
    shards->members = members_close(shards->members);
}

static void
shard_free(struct shard *shard)
{
    live_free_all(shard);
    records_free(&shard->records);
    json_writer_free(&shard->line);
    free(shard->page);
    heap_free(&shard->timers);
    journal_free(shard->journal);
    pg_free(shard->pg);
    queue_free(shard->queue);
}

struct shards *
shards_close(struct shards *shards)
{
    if (shards == NULL)
        return NULL;
    meter_close(shards); /* first: a scrape looks at the queues */
    for (size_t i = 0; i < shards->count; i++)
        shard_free(&shards->items[i]);
    free(shards->items);
    free(shards);
    return NULL;
}
