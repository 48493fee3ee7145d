/* shard_meter.c -- What shards show in metrics.
 *
 * A saga counts in the gauge of its definition and phase, which it remembers: when it moves, one goes down and
 * another up. All shards add to the same series. What is large or needs a look at the heap is looked at once a
 * second, and copied by a reader.
 */
#include "mesh/base/clock.h"
#include "mesh/observe/metrics.h"
#include "saga/shard_inner.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { OVERDUE_MAX = 10000, PHASE_BYTES = 16 };
#define OVERDUE_US SECOND_US /* a timer is late by then */

/* clang-format off */
static const struct metric_row sagas_row     = { "sagamesh_sagas",                      METRIC_GAUGE,     METRIC_NUMBER,       "Sagas that have not ended.",                                        { "definition", "phase" } };
static const struct metric_row started_row   = { "sagamesh_sagas_started_total",        METRIC_COUNTER,   METRIC_NUMBER,       "Sagas begun.",                                                      { "definition" } };
static const struct metric_row ended_row     = { "sagamesh_saga_duration_seconds",      METRIC_HISTOGRAM, METRIC_LONG_SECONDS, "Sagas that ended, from start to end.",                              { "definition", "status", "compensation" } };
static const struct metric_row ticks_row     = { "sagamesh_saga_tick_duration_seconds", METRIC_HISTOGRAM, METRIC_SECONDS,      "Ticks, from the first event to the last answer.",                   { NULL } };
static const struct metric_row events_row    = { "sagamesh_saga_tick_events",           METRIC_HISTOGRAM, METRIC_NUMBER,       "Events of a tick.",                                                 { NULL } };
static const struct metric_row pages_row     = { "sagamesh_saga_page_bytes",            METRIC_HISTOGRAM, METRIC_BYTES,        "Records of a page.",                                                { NULL } };
static const struct metric_row refused_row   = { "sagamesh_saga_refused_total",         METRIC_COUNTER,   METRIC_NUMBER,       "Calls refused because a shard's queue was full.",                   { NULL } };

struct shown {
    int64_t in_memory, parked, unreadable, overdue, late_us, watchers, waiting;
};
static const struct metric_field shown_fields[] = {
    { { "sagamesh_sagas_in_memory",         METRIC_GAUGE, METRIC_NUMBER,  "Sagas in memory.",                                                              { NULL } }, offsetof(struct shown, in_memory) },
    { { "sagamesh_sagas_parked",            METRIC_GAUGE, METRIC_NUMBER,  "Sagas that are a row only.",                                                    { NULL } }, offsetof(struct shown, parked) },
    { { "sagamesh_sagas_unreadable",        METRIC_GAUGE, METRIC_NUMBER,  "Sagas that cannot be read, or written: a person must see to them.",             { NULL } }, offsetof(struct shown, unreadable) },
    { { "sagamesh_saga_timers_overdue",     METRIC_GAUGE, METRIC_NUMBER,  "Sagas whose timer should have fired a second ago, counted up to 10,000.",       { NULL } }, offsetof(struct shown, overdue) },
    { { "sagamesh_saga_timer_late_seconds", METRIC_GAUGE, METRIC_SECONDS, "How late the first of them is; 0: none is.",                                    { NULL } }, offsetof(struct shown, late_us) },
    { { "sagamesh_saga_watchers",           METRIC_GAUGE, METRIC_NUMBER,  "Watch calls that wait.",                                                        { NULL } }, offsetof(struct shown, watchers) },
    { { "sagamesh_saga_queue_events",       METRIC_GAUGE, METRIC_NUMBER,  "Events that wait for a shard.",                                                 { NULL } }, offsetof(struct shown, waiting) },
};
/* clang-format on */

/* ---- sagas by definition and phase ---- */

struct counted_definition {
    struct counted_definition *next;
    char *name;
    struct metric_series *started, *phases[PHASE_COUNT];
};

/* As sagactl has it: "stuck". */
static const char *
phase_word(enum phase phase, char word[PHASE_BYTES])
{
    const char *text = phase_text(phase);
    size_t i = 0;

    for (; text[i] != '\0' && i < PHASE_BYTES - 1; i++)
        word[i] = (char)tolower((unsigned char)text[i]);
    word[i] = '\0';
    return word;
}

static struct counted_definition *
definition_add(struct shard *shard, const char *name)
{
    struct metrics *metrics = shard->shards->options.metrics;
    struct counted_definition *added = memory_take(sizeof *added);

    added->name = memory_take(strlen(name) + 1);
    strcpy(added->name, name);
    added->started = metrics_series(metrics, &started_row, (const char *const *)&added->name);
    for (enum phase phase = PHASE_RUNNING; phase < PHASE_COUNT; phase++) {
        char word[PHASE_BYTES];
        const char *const values[] = { name, phase_word(phase, word) };

        if (phase == PHASE_ENDED)
            continue;
        added->phases[phase] = metrics_series(metrics, &sagas_row, values);
        metric_add(added->phases[phase], 0); /* it is shown before there is one */
    }
    added->next = shard->counted;
    shard->counted = added;
    return added;
}

/* They are a few, and all of them were stored by this program's catalog. */
static struct counted_definition *
definition_of(struct shard *shard, const char *name)
{
    struct counted_definition *of = shard->counted;

    while (of != NULL && strcmp(of->name, name) != 0)
        of = of->next;
    return of != NULL ? of : definition_add(shard, name);
}

static void
count_as(struct live *live, struct metric_series *series)
{
    if (series == live->counted)
        return;
    metric_add(live->counted, -1);
    metric_add(series, 1);
    live->counted = series;
}

void
meter_count(struct shard *shard, struct live *live, const char *kind)
{
    const struct instance *instance = live->instance;
    struct counted_definition *of;
    enum phase phase = instance == NULL ? live->phase : instance_phase(instance);

    if (shard->shards->options.metrics == NULL)
        return;
    if (instance != NULL && instance->definition != NULL)
        kind = instance->definition->name;
    /* What cannot be read stays with its definition, if that is known. */
    of = kind == NULL && live->counted_of != NULL ? live->counted_of
                                                  : definition_of(shard, kind == NULL ? "" : kind);
    live->counted_of = of;
    if (live->is_new)
        metric_add(of->started, 1);
    live->is_new = false;
    count_as(live, of->phases[phase]);
}

const char *
meter_kind(const struct live *live)
{
    if (live->instance != NULL && live->instance->definition != NULL)
        return live->instance->definition->name;
    return live->counted_of == NULL ? NULL : live->counted_of->name;
}

void
meter_forget(struct live *live)
{
    count_as(live, NULL);
}

void
meter_ended(struct shard *shard, const struct live *live)
{
    const struct instance *instance = live->instance;
    const char *values[3];

    if (instance == NULL || !instance->is_ended)
        return; /* it could not be read, and a person has ended it */
    values[0] = instance->definition->name;
    values[1] = status_text(instance->status);
    values[2] = status_text(instance->compensation);
    metric_observe(metrics_series(shard->shards->options.metrics, &ended_row, values),
                   instance->changed_us - instance->started_us);
}

/* ---- ticks ---- */

void
meter_tick(struct shard *shard, size_t events)
{
    const struct shard_meter *meter = &shard->shards->meter;

    if (events == 0)
        return;
    metric_observe(meter->events, (int64_t)events);
    metric_observe(meter->ticks, clock_steady_us() - shard->steady_us);
}

void
meter_page(struct shard *shard)
{
    if (shard->page_bytes > 0)
        metric_observe(shard->shards->meter.pages, (int64_t)shard->page_bytes);
}

void
meter_refused(struct shards *shards)
{
    metric_add(shards->meter.refused, 1);
}

void
meter_look(struct shard *shard)
{
    const struct heap_item *first = heap_first(&shard->timers);
    struct shard_shown *shown = &shard->shown;

    atomic_store(&shown->in_memory, shard->awake_count);
    atomic_store(&shown->all, HASH_CNT(by_id, shard->lives));
    atomic_store(&shown->watchers, shard->watcher_count);
    atomic_store(&shown->unreadable, shard->unread_count);
    atomic_store(&shown->overdue,
                 heap_count_due(&shard->timers, shard->now_us - OVERDUE_US, OVERDUE_MAX));
    atomic_store(&shown->late_us, first == NULL || first->key > shard->now_us - OVERDUE_US
                                      ? 0
                                      : (size_t)(shard->now_us - first->key));
}

/* ---- all shards ---- */

static void
meter_read(void *owner, struct metrics *metrics)
{
    struct shards *shards = owner;
    struct shown sum = { 0 };

    for (size_t i = 0; i < shards->count; i++) {
        struct shard *shard = &shards->items[i];
        struct shard_shown *shown = &shard->shown;
        int64_t late_us = (int64_t)atomic_load(&shown->late_us);

        sum.in_memory += (int64_t)atomic_load(&shown->in_memory);
        sum.parked += (int64_t)(atomic_load(&shown->all) - atomic_load(&shown->in_memory));
        sum.unreadable += (int64_t)atomic_load(&shown->unreadable);
        sum.overdue += (int64_t)atomic_load(&shown->overdue);
        sum.watchers += (int64_t)atomic_load(&shown->watchers);
        sum.waiting += (int64_t)queue_count(shard->queue);
        if (late_us > sum.late_us)
            sum.late_us = late_us;
    }
    metrics_set_fields(metrics, shown_fields, sizeof shown_fields / sizeof *shown_fields, NULL,
                       &sum);
}

void
meter_open(struct shards *shards)
{
    struct metrics *metrics = shards->options.metrics;
    struct shard_meter *meter = &shards->meter;
    const struct definition *definition;
    size_t cursor = 0;
    bool is_newest;

    meter->ticks = metrics_series(metrics, &ticks_row, NULL);
    meter->events = metrics_series(metrics, &events_row, NULL);
    meter->pages = metrics_series(metrics, &pages_row, NULL);
    meter->refused = metrics_series(metrics, &refused_row, NULL);
    metrics_declare(metrics, &ended_row);
    while (metrics != NULL &&
           (definition = catalog_next(shards->options.catalog, &cursor, &is_newest)) != NULL)
        definition_of(&shards->items[0], definition->name);
    metrics_read(metrics, meter_read, shards);
}

void
meter_close(struct shards *shards)
{
    metrics_read_end(shards->options.metrics, shards);
    for (size_t i = 0; i < shards->count; i++) {
        struct shard *shard = &shards->items[i];

        while (shard->counted != NULL) {
            struct counted_definition *gone = shard->counted;

            shard->counted = gone->next;
            free(gone->name);
            free(gone);
        }
    }
}
