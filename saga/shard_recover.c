#include "mesh/base/clock.h"
#include "mesh/base/crash.h"
#include "mesh/base/log.h"
#include "saga/shard_inner.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct definition *
find_definition(void *context, const char *name, const char *hash)
{
    struct shard *shard = context;

    return catalog_find((void *)shard->shards->options.catalog, name, hash);
}

/* ---- folding pages ---- */

/* Folds one record. One that belongs to a saga nobody knows is of a saga that ended: its first page
 * may be gone while its last is still there. */
static void
fold_record(struct shard *shard, int64_t page, const struct record *record)
{
    struct live *live = live_find(shard, record->saga_id);

    if (live == NULL && record->kind != RECORD_START)
        return;
    if (live == NULL) {
        live = live_add(shard, record->saga_id);
        live->instance = instance_new(record->saga_id);
        live->first_page = page;
        live->fingerprint = start_fingerprint(record->definition->name, record->set);
    }
    if (live->parked_page >= page || live->instance == NULL)
        return; /* the parked row has it already */
    live->touched_us = record->time_us;
    instance_fold(live->instance, record);
}

static void
fold_page(struct shard *shard, const struct journal_page *page)
{
    const char *at = page->body;

    while (*at != '\0') {
        size_t bytes = strcspn(at, "\n");
        struct problem problem = { 0 };

        records_reset(&shard->records);
        if (record_read(&shard->records, at, bytes, find_definition, shard, &problem) != ERR_OK) {
            log_error("shard=%d page=%lld because=\"a record cannot be read: %s %s\"",
                      shard->number, (long long)page->page, problem.field, problem.text);
            exit(1); /* going on would forget an order; a person must look */
        }
        fold_record(shard, page->page, &shard->records.items[0]);
        at += bytes + (at[bytes] == '\n');
    }
}

static enum error
fold_pages(struct shard *shard, int64_t from)
{
    struct arena *arena = arena_new();
    size_t count = 0;
    enum error error;

    do {
        struct journal_page *pages = NULL;

        error = journal_pages(shard->journal, from, RECOVER_PAGES, arena, &pages, &count);
        for (size_t i = 0; error == ERR_OK && i < count; i++)
            fold_page(shard, &pages[i]);
        if (error == ERR_OK && count > 0)
            from = pages[count - 1].page + 1;
        arena_reset(arena);
    } while (error == ERR_OK && count > 0);
    arena_free(arena);
    return error;
}

/* ---- parked rows ---- */

enum error
shard_unpark(struct shard *shard, struct live *live, const struct journal_row *row)
{
    struct problem problem = { 0 };
    enum error error;

    assert(live->instance == NULL);
    error = instance_read(row->body, strlen(row->body), find_definition, shard, &problem,
                          &live->instance);
    if (error != ERR_OK) {
        log_error("shard=%d because=\"a parked saga cannot be read: %s %s\"", shard->number,
                  problem.field, problem.text);
        return error;
    }
    live->first_page = shard->next_page;
    live->parked_page = row->page;
    live->fingerprint = row->fingerprint;
    live->touched_us = shard->now_us;
    return ERR_OK;
}

static enum error
load_bodies(struct shard *shard, const struct journal_row *rows, size_t count, struct arena *arena)
{
    struct uuid *ids = arena_take(arena, count * sizeof *ids);
    struct journal_row *found, *finals;
    size_t found_count = 0, final_count;
    enum error error;

    for (size_t i = 0; i < count; i++)
        ids[i] = rows[i].id;
    error = journal_find(shard->journal, ids, count, arena, &found, &found_count, &finals,
                         &final_count);
    for (size_t i = 0; error == ERR_OK && i < found_count; i++) {
        struct live *live = live_add(shard, found[i].id);

        if (shard_unpark(shard, live, &found[i]) != ERR_OK)
            return ERR_INTERNAL;
        live->first_page = found[i].page + 1; /* what came later is in the pages */
        if (live->first_page < shard->floor_page)
            live->first_page = shard->floor_page;
    }
    return error;
}

/* Every saga of the shard that has a row; the pages tell what became of it since. */
static enum error
load_parked(struct shard *shard)
{
    struct arena *index_arena = arena_new(), *arena = arena_new();
    struct journal_row *rows;
    size_t count = 0;
    enum error error = journal_parked_index(shard->journal, index_arena, &rows, &count);

    for (size_t i = 0; error == ERR_OK && i < count; i += RECOVER_SAGAS) {
        error = load_bodies(shard, rows + i, count - i < RECOVER_SAGAS ? count - i : RECOVER_SAGAS,
                            arena);
        arena_reset(arena);
    }
    arena_free(arena);
    arena_free(index_arena);
    return error;
}

/* ---- taking over ---- */

static void
forget_all(struct shard *shard)
{
    for (size_t i = 0; i < SHARD_BUCKETS; i++) {
        while (shard->buckets[i] != NULL)
            live_remove(shard, shard->buckets[i]);
    }
    shard->timer_count = 0;
}

static enum error
load(struct shard *shard)
{
    enum error error;

    forget_all(shard);
    error = journal_own(shard->journal, &shard->floor_page, &shard->next_page);
    if (error == ERR_OK)
        error = load_parked(shard);
    if (error == ERR_OK)
        error = fold_pages(shard, shard->floor_page);
    return error;
}

/* All that are in memory, in no order; their number in *ret_count. The caller frees the list. */
static struct live **
list_all(struct shard *shard, size_t *ret_count)
{
    struct live **list = memory_take(shard->live_count * sizeof *list);

    *ret_count = 0;
    for (size_t i = 0; i < SHARD_BUCKETS; i++) {
        for (struct live *live = shard->buckets[i]; live != NULL; live = live->next)
            list[(*ret_count)++] = live;
    }
    return list;
}

/* Ended sagas are dropped; the others hear that the orchestrator was away: an attempt may have been
 * under way. What that makes is written before anything is sent. */
static void
resume(struct shard *shard)
{
    const struct engine_event event = { .kind = ENGINE_RECOVERED };
    struct arena *arena = arena_new();
    size_t count, done = 0;
    struct live **list = list_all(shard, &count);

    while (done < count) {
        struct tick tick = { .arena = arena };
        struct problem problem;

        shard->page_bytes = 0;
        for (size_t i = 0; done < count && i < RECOVER_SAGAS; i++, done++) {
            if (list[done]->instance->is_ended) {
                live_remove(shard, list[done]);
                continue;
            }
            shard_decide(shard, &tick, list[done], &event, &problem);
            tick_touch(shard, &tick, list[done]);
        }
        crash_point("saga.recovering");
        shard_end_tick(shard, &tick);
        arena_reset(arena);
    }
    free(list);
    arena_free(arena);
}

bool
shard_recover(struct shard *shard)
{
    const struct timespec pause = { .tv_nsec = STORE_RETRY_US * 1000 };
    int64_t started_us = clock_steady_us();
    enum error error;

    while ((error = load(shard)) != ERR_OK) {
        if (error == ERR_INTERNAL)
            exit(1); /* logged; going on would forget a saga */
        if (queue_is_closed(shard->queue))
            return false;
        nanosleep(&pause, NULL);
    }
    shard->now_us = clock_now_us();
    resume(shard);
    shard->park_due_us = shard->now_us + PARK_EVERY_US;
    log_info("shard=%d recovered=%zu floor=%lld next=%lld ms=%lld", shard->number,
             shard->live_count, (long long)shard->floor_page, (long long)shard->next_page,
             (long long)((clock_steady_us() - started_us) / 1000));
    return true;
}

/* ---- parking ---- */

static bool
is_idle(const struct shard *shard, const struct live *live)
{
    return live->instance != NULL && !live->is_touched && !live->is_under_way &&
           shard->now_us - live->touched_us > PARK_AFTER_US &&
           (live->next_us == 0 || live->next_us - shard->now_us > PARK_AFTER_US);
}

static void
park(struct shard *shard, struct tick *tick, struct live *live)
{
    struct journal_row *row = arena_take(tick->arena, sizeof *row);

    json_writer_reset(&shard->line);
    instance_write(live->instance, &shard->line);
    *row = (struct journal_row){ .id = live->id,
                                 .shard = shard->number,
                                 .page = shard->next_page,
                                 .fingerprint = live->fingerprint,
                                 .next_us = live->next_us,
                                 .phase = phase_text(instance_phase(live->instance)),
                                 .body =
                                     arena_copy(tick->arena, shard->line.text, shard->line.bytes) };
    tick->parked[tick->parked_count++] = row;
    live->parked_page = shard->next_page;
    live->instance = instance_free(live->instance);
}

void
shard_park_idle(struct shard *shard, struct tick *tick)
{
    tick->parked = arena_take(tick->arena, PARK_MAX * sizeof *tick->parked);
    for (size_t i = 0; i < SHARD_BUCKETS; i++) {
        for (struct live *live = shard->buckets[i]; live != NULL; live = live->next) {
            if (tick->parked_count < PARK_MAX && is_idle(shard, live))
                park(shard, tick, live);
        }
    }
}

int64_t
shard_floor(const struct shard *shard)
{
    int64_t floor = shard->next_page;

    for (size_t i = 0; i < SHARD_BUCKETS; i++) {
        for (const struct live *live = shard->buckets[i]; live != NULL; live = live->next) {
            if (live->instance != NULL && live->first_page < floor)
                floor = live->first_page;
        }
    }
    return floor;
}
