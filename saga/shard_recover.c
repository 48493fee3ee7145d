#include "mesh/base/clock.h"
#include "mesh/base/crash.h"
#include "mesh/base/log.h"
#include "saga/members.h"
#include "saga/shard_inner.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct definition *
find_definition(void *context, const char *name, const char *hash)
{
    struct shard *shard = context;

    return catalog_find((void *)shard->shards->options.catalog, name, hash);
}

/* ---- parked rows ---- */

struct instance *
shard_row_read(struct shard *shard, const struct journal_row *row, struct problem *problem)
{
    return unread_row_read(row, find_definition, shard, problem);
}

bool
shard_unpark(struct shard *shard, struct live *live, const struct journal_row *row)
{
    struct problem problem = { 0 };
    struct instance *instance;

    assert(live->instance == NULL);
    instance = shard_row_read(shard, row, &problem);
    if (row->body != NULL)
        live->parked_page = row->page;
    if (instance == NULL) {
        unread_take_row(shard, live, row->body, problem.text);
        return false;
    }
    unread_end(shard, live);
    live_wake(shard, live, instance);
    live->first_page = shard->next_page;
    live->fingerprint = row->fingerprint != 0 /* of one that was set aside it may not be known */
                            ? row->fingerprint
                            : start_fingerprint(instance->definition->name, instance->input);
    live->touched_us = shard->now_us;
    return true;
}

static enum phase
phase_of(const char *text)
{
    enum phase phase = PHASE_NEW;

    while (phase < PHASE_COUNT - 1 && strcmp(phase_text(phase), text) != 0)
        phase++;
    return phase;
}

/* Every saga of the shard that has a row: known, and left where it is. */
static enum error
load_parked(struct shard *shard)
{
    struct arena *arena = arena_new();
    struct journal_row *rows;
    size_t count = 0;
    enum error error = journal_parked_index(shard->journal, arena, &rows, &count);

    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        struct live *live = live_add(shard, rows[i].id);

        live->place = rows[i].place;
        live->parked_page = rows[i].page;
        live->fingerprint = rows[i].fingerprint;
        live->phase = phase_of(rows[i].phase);
        meter_count(shard, live, rows[i].kind);
        if (rows[i].next_us != 0)
            timer_set(shard, live, rows[i].next_us);
    }
    arena_free(arena);
    return error;
}

/* Brings parked sagas into memory, as their rows are. */
static enum error
load_bodies(struct shard *shard, const struct uuid *ids, size_t count, struct arena *arena)
{
    struct journal_row *found, *finals;
    size_t found_count = 0, final_count;
    enum error error = count == 0 ? ERR_OK
                                  : journal_find(shard->journal, ids, count, arena, &found,
                                                 &found_count, &finals, &final_count);

    for (size_t i = 0; error == ERR_OK && i < found_count; i++) {
        struct live *live = live_find(shard, found[i].id);

        timer_stop(shard, live); /* it is set anew */
        if (!shard_unpark(shard, live, &found[i]))
            continue;
        live->first_page = found[i].page + 1; /* what came later is in the pages */
        if (live->first_page < shard->floor_page)
            live->first_page = shard->floor_page;
    }
    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        struct live *live = live_find(shard, ids[i]);

        if (live->instance == NULL && live->unread == NULL) /* it was there a moment ago */
            unread_begin(shard, live, "its row is gone");
    }
    return error;
}

/* ---- folding pages ---- */

/* Parked sagas of which a page tells more than their rows. */
struct wanted {
    struct uuid *ids;
    size_t count, size;
};

/* A line of a page; record is NULL when it is none, because of the problem. */
struct line {
    int64_t page;
    const char *page_body;
    const char *text;
    size_t bytes;
    const struct record *record;
    struct problem problem;
};

typedef void line_visit(struct shard *shard, const struct line *line, struct wanted *wanted);

/* False: not even that can be made out. */
static bool
line_saga(const struct line *line, struct uuid *ret_id)
{
    if (line->record == NULL)
        return unread_line_id(line->text, line->bytes, ret_id);
    *ret_id = line->record->saga_id;
    return true;
}

static void
want_line(struct shard *shard, const struct line *line, struct wanted *wanted)
{
    struct uuid id;
    struct live *live = line_saga(line, &id) ? live_find(shard, id) : NULL;

    if (live == NULL || live->instance != NULL || live->unread != NULL || live->is_touched ||
        live->parked_page >= line->page)
        return;
    live->is_touched = true; /* it is in the list */
    if (wanted->count == wanted->size) {
        wanted->size = wanted->size == 0 ? 64 : wanted->size * 2;
        wanted->ids = memory_grow(wanted->ids, wanted->size * sizeof *wanted->ids);
    }
    wanted->ids[wanted->count++] = live->id;
}

/* Of a line that is of no saga: the same at each start while its page is there, so that it is kept once. It has a time of its
 * page's, and is one of the ids of this shard, for a person who settles it is sent by the id. */
static struct uuid
stray_id(struct shard *shard, const struct line *line)
{
    int64_t now_us = clock_now_us(), time_us = shard->written_us;
    struct problem problem;
    size_t bytes;
    struct uuid id;
    uint64_t seed[2] = { hash_bytes(HASH_SEED, line->text, line->bytes), 0 };

    for (const char *at = line->page_body; *at != '\0'; at += bytes + (at[bytes] == '\n')) {
        bytes = strcspn(at, "\n");
        records_reset(&shard->records);
        if (record_read(&shard->records, at, bytes, find_definition, shard, &problem) == ERR_OK) {
            time_us = shard->records.items[0].time_us;
            break;
        }
    }
    if (time_us == 0 || time_us > now_us)
        time_us = now_us;
    do {
        id = uuid_v8(time_us, seed, sizeof seed);
        seed[1]++;
    } while (shard_number_of(shard->shards->count, id) != (size_t)shard->number);
    return id;
}

/* It is kept for a person, under the saga that it seems to be of, or under an id of its own. */
static void
keep_line(struct shard *shard, const struct line *line)
{
    char because[320];
    struct live *live;
    struct uuid id;

    snprintf(because, sizeof because, "page %lld: %s %s", (long long)line->page,
             line->problem.field, line->problem.text);
    if (!line_saga(line, &id))
        id = stray_id(shard, line);
    live = live_find(shard, id);
    if (live == NULL) {
        live = live_add(shard, id);
        live->place = line->page * PLACES_A_PAGE + PLACES_A_PAGE - 1;
    }
    if (live->parked_page >= line->page)
        return; /* its row has it already */
    if (live->unread == NULL)
        unread_begin(shard, live, because);
    unread_add(live, line->text, line->bytes);
}

/* Folds one record. One that belongs to a saga nobody knows is of a saga that ended: its first page
 * may be gone while its last is still there. */
static void
fold_record(struct shard *shard, const struct line *line)
{
    const struct record *record = line->record;
    struct live *live = live_find(shard, record->saga_id);
    int64_t place = record->kind == RECORD_START ? place_next(shard, line->page) : 0;
    const char *because;

    if (live == NULL && record->kind != RECORD_START)
        return;
    if (live == NULL) {
        live = live_add(shard, record->saga_id);
        live_wake(shard, live, instance_new(record->saga_id));
        live->place = place;
        live->first_page = line->page;
        live->fingerprint = start_fingerprint(record->definition->name, record->set);
    }
    if (live->parked_page >= line->page || (live->instance == NULL && live->unread == NULL))
        return; /* the parked row has it already */
    because = live->instance == NULL ? NULL : instance_refuses(live->instance, record);
    if (because != NULL)
        unread_begin(shard, live, because);
    if (live->unread != NULL) {
        unread_add(live, line->text, line->bytes);
        return;
    }
    live->touched_us = record->time_us;
    instance_fold(live->instance, record);
}

/* A damaged record may say any time; one that is near the last that can be read leaves no room to go on. */
static void
see_time(struct shard *shard, int64_t time_us)
{
    if (time_us > shard->written_us && time_us < RECORD_READ_MAX_US - 3650 * DAY_US)
        shard->written_us = time_us;
}

static void
fold_line(struct shard *shard, const struct line *line, struct wanted *wanted)
{
    (void)wanted;
    if (line->record == NULL) {
        keep_line(shard, line);
        return;
    }
    see_time(shard, line->record->time_us);
    fold_record(shard, line);
}

static void
visit_page(struct shard *shard, const struct journal_page *page, line_visit *visit,
           struct wanted *wanted)
{
    const char *at = page->body;

    while (*at != '\0') {
        struct line line = {
            .page = page->page, .page_body = page->body, .text = at, .bytes = strcspn(at, "\n")
        };

        records_reset(&shard->records);
        if (record_read(&shard->records, at, line.bytes, find_definition, shard, &line.problem) ==
            ERR_OK)
            line.record = &shard->records.items[0];
        if (line.bytes > 0)
            visit(shard, &line, wanted);
        at += line.bytes + (at[line.bytes] == '\n');
    }
}

/* Before pages are folded: whoever is told of in them comes into memory. */
static enum error
load_wanted(struct shard *shard, const struct journal_page *pages, size_t count,
            struct arena *arena)
{
    struct wanted wanted = { 0 };
    enum error error = ERR_OK;

    for (size_t i = 0; i < count; i++)
        visit_page(shard, &pages[i], want_line, &wanted);
    for (size_t i = 0; i < wanted.count; i++)
        live_find(shard, wanted.ids[i])->is_touched = false;
    for (size_t i = 0; error == ERR_OK && i < wanted.count; i += RECOVER_SAGAS)
        error =
            load_bodies(shard, wanted.ids + i,
                        wanted.count - i < RECOVER_SAGAS ? wanted.count - i : RECOVER_SAGAS, arena);
    free(wanted.ids);
    return error;
}

static enum error
fold_pages(struct shard *shard, int64_t from)
{
    struct arena *arena = arena_new();
    bool has_parked = HASH_CNT(by_id, shard->lives) > 0;
    size_t count = 0;
    enum error error;

    do {
        struct journal_page *pages = NULL;

        error = journal_pages(shard->journal, from, RECOVER_PAGES, arena, &pages, &count);
        if (error == ERR_OK && has_parked)
            error = load_wanted(shard, pages, count, arena);
        for (size_t i = 0; error == ERR_OK && i < count; i++)
            visit_page(shard, &pages[i], fold_line, NULL);
        if (error == ERR_OK && count > 0)
            from = pages[count - 1].page + 1;
        arena_reset(arena);
    } while (error == ERR_OK && count > 0);
    arena_free(arena);
    return error;
}

/* ---- one that was set aside ---- */

/* Folds what the pages tell of it beyond the row. False: the database is away, or something does not fit,
 * which is the problem. */
static bool
fold_own(struct shard *shard, const struct live *live, int64_t folded_page,
         struct instance *instance, struct problem *problem)
{
    struct arena *arena = arena_new();
    struct journal_page *pages = NULL;
    int64_t from = live->first_page;
    size_t count = 0;
    bool is_fine = true;

    do {
        is_fine =
            journal_pages(shard->journal, from, RECOVER_PAGES, arena, &pages, &count) == ERR_OK;
        for (size_t i = 0; is_fine && i < count; i++)
            is_fine = pages[i].page <= folded_page ||
                      unread_fold(pages[i].body, find_definition, shard, problem, instance);
        if (is_fine && count > 0)
            from = pages[count - 1].page + 1;
        arena_reset(arena);
    } while (is_fine && count > 0);
    arena_free(arena);
    return is_fine;
}

static bool
read_pinned(struct shard *shard, struct live *live, const struct journal_row *row)
{
    struct problem problem = { 0 };
    struct instance *instance =
        row == NULL ? instance_new(live->id) : shard_row_read(shard, row, &problem);

    if (instance == NULL ||
        !fold_own(shard, live, row == NULL ? 0 : row->page, instance, &problem) ||
        instance->definition == NULL || instance->is_ended || instance_limbo(instance) != NULL) {
        instance_free(instance);
        return false;
    }
    unread_end(shard, live);
    live->parked_page = row == NULL ? 0 : row->page;
    live->touched_us = shard->now_us;
    live_wake(shard, live, instance);
    return true;
}

bool
shard_read_again(struct shard *shard, struct tick *tick, struct live *live,
                 const struct journal_row *row)
{
    const struct engine_event recovered = { .kind = ENGINE_RECOVERED };
    struct problem problem;
    bool is_read;

    if (unread_final(live) != NULL)
        return false; /* a person has ended it in this tick */
    is_read = unread_is_pinned(live) ? read_pinned(shard, live, row)
                                     : row != NULL && shard_unpark(shard, live, row);

    if (!is_read)
        return false;
    shard_decide(shard, tick, live, &recovered, &problem);
    tick_touch(shard, tick, live);
    return true;
}

/* ---- taking over ---- */

/* Of those that are set aside, some have ended: all that cannot be read of them is a record that no longer
 * matters. */
static enum error
drop_ended(struct shard *shard, const struct uuid *ids, size_t count, struct arena *arena)
{
    struct journal_row *parked, *finals;
    size_t parked_count = 0, final_count = 0;
    enum error error = count == 0 ? ERR_OK
                                  : journal_find(shard->journal, ids, count, arena, &parked,
                                                 &parked_count, &finals, &final_count);

    for (size_t i = 0; error == ERR_OK && i < final_count; i++)
        live_remove(shard, live_find(shard, finals[i].id));
    return error;
}

/* After all pages: what they tell of a saga must be the whole of it. */
static enum error
check_folded(struct shard *shard)
{
    struct arena *arena = arena_new();
    struct uuid *ids = arena_take(arena, HASH_CNT(by_id, shard->lives) * sizeof *ids);
    size_t count = 0;
    enum error error;

    for (struct live *live = shard->lives; live != NULL; live = live->by_id.next) {
        const char *because = live->instance == NULL ? NULL : instance_limbo(live->instance);

        if (because != NULL)
            unread_begin(shard, live, because);
        if (unread_is_to_be_saved(live))
            ids[count++] = live->id;
    }
    error = drop_ended(shard, ids, count, arena);
    arena_free(arena);
    return error;
}

static enum error
load(struct shard *shard)
{
    struct journal_owned owned;
    enum error error;

    shard_forget(shard);
    error = journal_own(shard->journal, &owned);
    if (error != ERR_OK)
        return error;
    shard->floor_page = owned.floor_page;
    shard->next_page = owned.next_page;
    see_time(shard, owned.now_us);
    error = load_parked(shard);
    if (error == ERR_OK)
        error = fold_pages(shard, shard->floor_page);
    if (error == ERR_OK)
        error = check_folded(shard);
    return error;
}

/* All that there are; their number in *ret_count. The caller frees the list. */
static struct live **
list_all(struct shard *shard, size_t *ret_count)
{
    struct live **list = memory_take(HASH_CNT(by_id, shard->lives) * sizeof *list);

    *ret_count = 0;
    for (struct live *live = shard->lives; live != NULL; live = live->by_id.next)
        list[(*ret_count)++] = live;
    return list;
}

/* May a call of it be under way? Not of one that is parked and whose time comes later. */
static bool
is_resumed(const struct shard *shard, const struct live *live)
{
    return live->instance != NULL ||
           (timer_us(live) != 0 && timer_us(live) <= shard->now_us + RECOVERED_SKEW_US);
}

static enum error
load_resumed(struct shard *shard, struct live *const *list, size_t count, struct arena *arena)
{
    struct uuid *ids = arena_take(arena, count * sizeof *ids);
    size_t id_count = 0;

    for (size_t i = 0; i < count; i++) {
        if (list[i]->instance == NULL && is_resumed(shard, list[i]))
            ids[id_count++] = list[i]->id;
    }
    return load_bodies(shard, ids, id_count, arena);
}

/* Some of those that are known after the pages were folded. Ended ones are dropped; the others hear
 * that the orchestrator was away: an attempt may have been under way. What that makes is written
 * before anything is sent. */
static void
resume_some(struct shard *shard, struct live *const *list, size_t count, struct arena *arena)
{
    const struct engine_event event = { .kind = ENGINE_RECOVERED };
    struct tick tick = { .arena = arena };
    struct problem problem;

    shard->page_bytes = 0;
    tick.parked = arena_take(arena, count * sizeof *tick.parked);
    for (size_t i = 0; i < count; i++) {
        struct live *live = list[i];

        if (unread_is_to_be_saved(live))
            unread_park(shard, &tick, live);
        if (live->instance == NULL)
            continue;
        if (live->instance->is_ended) {
            live_remove(shard, live);
            continue;
        }
        shard_decide(shard, &tick, live, &event, &problem);
        tick_touch(shard, &tick, live);
    }
    crash_point("saga.recovering");
    shard_end_tick(shard, &tick);
}

static enum error
resume(struct shard *shard)
{
    struct arena *arena = arena_new();
    size_t count, done = 0;
    struct live **list = list_all(shard, &count);
    enum error error = ERR_OK;

    while (error == ERR_OK && done < count && !shard->is_lost) {
        size_t some = count - done < RECOVER_SAGAS ? count - done : RECOVER_SAGAS;

        error = load_resumed(shard, list + done, some, arena);
        if (error == ERR_OK)
            resume_some(shard, list + done, some, arena);
        done += some;
        arena_reset(arena);
    }
    free(list);
    arena_free(arena);
    return error;
}

/* The latest time that was written. The clock may have been ahead then: timers that were set by it, in memory or
 * in rows, must not stand still for as long. */
static int64_t
newest_us(struct shard *shard)
{
    for (const struct live *live = shard->awake_first; live != NULL; live = live->awake_after)
        see_time(shard, live->instance->changed_us);
    return shard->written_us > shard->now_us ? shard->written_us : shard->now_us;
}

/* Nothing is sent before everything is folded. What was resumed before the database went away again
 * is written, and is folded and resumed once more. */
static enum error
load_and_resume(struct shard *shard)
{
    enum error error = load(shard);

    if (error != ERR_OK)
        return error;
    shard->last_body_page = shard->next_page - 1;
    shard->now_us = newest_us(shard);
    shard->steady_us = clock_steady_us();
    shard_look(shard);
    return resume(shard);
}

bool
shard_recover(struct shard *shard)
{
    int64_t started_us = clock_steady_us();
    size_t number = (size_t)shard->number;
    enum error error;

    while ((error = load_and_resume(shard)) != ERR_OK) {
        if (queue_is_closed(shard->queue) || !members_have(shard->shards->members, number))
            return false;
        /* INTERNAL was logged, and will be again: going on would forget sagas. */
        shard_wait(error == ERR_INTERNAL ? SECOND_US : STORE_RETRY_US);
    }
    if (shard->is_lost)
        return false;
    shard->park_due_us = shard->house_due_us = shard->now_us + HOUSE_EVERY_US;
    log_info("shard=%d recovered=%zu parked=%zu floor=%lld next=%lld ms=%lld", shard->number,
             shard->awake_count, HASH_CNT(by_id, shard->lives) - shard->awake_count,
             (long long)shard->floor_page, (long long)shard->next_page,
             (long long)((clock_steady_us() - started_us) / 1000));
    return true;
}
