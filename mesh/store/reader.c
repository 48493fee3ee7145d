#include "mesh/store/reader.h"
#include "mesh/base/clock.h"
#include "mesh/base/die.h"
#include "mesh/base/heap.h"
#include "mesh/base/log.h"
#include "mesh/base/map.h"
#include "mesh/observe/metrics.h"
#include "mesh/store/lookup.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A call that waits for its row to change. */
struct parked {
    UT_hash_handle by_id; /* of the first one of an id */
    struct uuid id;
    struct parked *before, *next; /* of the same id; NULL is before the first one */
    struct call *call;
    int64_t until_us;
    struct heap_item look; /* when its row is read, if nothing was heard of it */
};

/* What was saved last of the ids that share this place of the table. */
struct recent {
    struct uuid id;
    const struct pg_statement *layout;
    int64_t version, saved_at_us;
};

struct reader {
    struct reader_options options;
    struct queue *queue;
    struct pg *pg;
    pthread_t thread;
    atomic_size_t saved_count; /* rows on their way in wakes */
    struct metric_series *by_database, *by_saved, *parked_now, *refused;
    struct arena *arena;     /* the reader thread's, as all below */
    struct parked *parked;   /* a map */
    struct heap looks;       /* of all that are parked */
    struct call **round;     /* calls to be read now */
    int64_t *round_until_us; /* 0: has not waited yet */
    size_t round_count, round_size;
    struct recent recent[READER_RECENT_MAX];
};

/* What the store thread sends: a call without a method, and rows behind it. */
struct wake {
    struct call call;    /* first */
    struct arena *arena; /* has this and all below */
    const struct pg_statement *layout;
    int64_t saved_at_us;
    struct read_saved *saved;
    size_t count;
};

/* clang-format off */
static const struct metric_row answered_row = { "sagamesh_reader_answered_total", METRIC_COUNTER, METRIC_NUMBER, "Reads answered by the database, or by a row that was just saved.", { "by" } };
static const struct metric_row parked_row   = { "sagamesh_reader_calls_parked",   METRIC_GAUGE,   METRIC_NUMBER, "Reads that wait for a change.",                                    { NULL } };
static const struct metric_row waiting_row  = { "sagamesh_reader_queue_calls",    METRIC_GAUGE,   METRIC_NUMBER, "Reads that wait for the read thread.",                             { NULL } };
static const struct metric_row refused_row  = { "sagamesh_reader_refused_total",  METRIC_COUNTER, METRIC_NUMBER, "Reads refused because as many as may wait did.",                   { NULL } };
/* clang-format on */

static struct parked *
parked_find(struct reader *reader, struct uuid id)
{
    struct parked *first;

    HASH_FIND(by_id, reader->parked, &id, sizeof id, first);
    return first;
}

static struct recent *
recent_of(struct reader *reader, struct uuid id)
{
    return &reader->recent[hash_in_memory(&id, sizeof id) % READER_RECENT_MAX];
}

static void
round_add(struct reader *reader, struct call *call, int64_t until_us)
{
    if (reader->round_count == reader->round_size) {
        reader->round_size = reader->round_size == 0 ? 64 : reader->round_size * 2;
        reader->round = memory_grow(reader->round, reader->round_size * sizeof *reader->round);
        reader->round_until_us = memory_grow(reader->round_until_us,
                                             reader->round_size * sizeof *reader->round_until_us);
    }
    reader->round[reader->round_count] = call;
    reader->round_until_us[reader->round_count++] = until_us;
}

static void
parked_add(struct reader *reader, struct parked *parked)
{
    struct parked *first = parked_find(reader, parked->id);

    if (first == NULL) {
        HASH_ADD(by_id, reader->parked, id, sizeof parked->id, parked);
        return;
    }
    parked->before = first;
    parked->next = first->next;
    if (parked->next != NULL)
        parked->next->before = parked;
    first->next = parked;
}

/* The caller has the call. No other one of its id is passed: all that may park can wait for one row. */
static struct call *
parked_remove(struct reader *reader, struct parked *parked)
{
    struct parked *before = parked->before, *next = parked->next;
    struct call *call = parked->call;

    if (next != NULL)
        next->before = before;
    if (before != NULL) {
        before->next = next;
    } else {
        HASH_DELETE(by_id, reader->parked, parked);
        if (next != NULL)
            HASH_ADD(by_id, reader->parked, id, sizeof next->id, next);
    }
    heap_remove(&reader->looks, &parked->look);
    free(parked);
    return call;
}

static void
unpark(struct reader *reader, struct parked *parked)
{
    int64_t until_us = parked->until_us;

    round_add(reader, parked_remove(reader, parked), until_us);
}

/* Puts into the round what is due to be looked at. */
static void
unpark_due(struct reader *reader, int64_t now_us)
{
    struct heap_item *due;

    while ((due = heap_pop_due(&reader->looks, now_us)) != NULL)
        unpark(reader, HEAP_OWNER(due, struct parked, look));
}

static const struct read *
read_of(const struct reader *reader, const struct call *call)
{
    for (const struct read *read = reader->options.reads; read->name != NULL; read++) {
        if (strcmp(read->name, call->method->name) == 0)
            return read;
    }
    abort(); /* checked when the service starts */
}

/* Parks a call whose row was as the caller knows it at heard_at_us. False: it may not wait, or not any
 * more. until_us is 0 for one that has not waited yet. */
static bool
park(struct reader *reader, const struct read *read, struct call *call, int64_t until_us,
     int64_t heard_at_us)
{
    struct parked *parked;
    int64_t now_us = clock_steady_us(), look_us = heard_at_us + READER_POLL_US;

    if (read->wait_us == NULL || queue_is_closed(reader->queue))
        return false;
    if (until_us == 0)
        until_us = now_us + read->wait_us(call->op);
    if (until_us > call->deadline_us)
        until_us = call->deadline_us;
    if (until_us <= now_us || reader->looks.count >= reader->options.parked_max)
        return false;
    parked = memory_take(sizeof *parked);
    parked->id = call->op->id;
    parked->call = call;
    parked->until_us = until_us;
    parked_add(reader, parked);
    heap_set(&reader->looks, &parked->look, look_us < until_us ? look_us : until_us);
    return true;
}

/* Parks a call that has just come, if the store thread has just told that there is nothing newer. */
static bool
park_unread(struct reader *reader, struct call *call)
{
    const struct read *read = read_of(reader, call);
    const struct recent *recent = recent_of(reader, call->op->id);

    return read->row != NULL && recent->layout == read->row &&
           uuid_equal(recent->id, call->op->id) &&
           recent->version <= read->known_version(call->op) &&
           recent->saved_at_us + READER_POLL_US > clock_steady_us() &&
           park(reader, read, call, 0, recent->saved_at_us);
}

/* The row was saved. Whoever waits for it is answered, or, if the row cannot answer, looked at again. */
static void
wake_id(struct reader *reader, const struct wake *wake, const struct read_saved *saved)
{
    for (struct parked *parked = parked_find(reader, saved->id), *next; parked != NULL;
         parked = next) {
        struct call *call = parked->call;
        const struct read *read = read_of(reader, call);

        next = parked->next;
        if (read->row != wake->layout) {
            unpark(reader, parked);
        } else if (saved->version > read->known_version(call->op)) {
            parked_remove(reader, parked);
            memset(&call->op->problem, 0, sizeof call->op->problem);
            read->take(call->op, saved->row);
            metric_add(reader->by_saved, 1);
            call->finish(call);
        }
    }
    *recent_of(reader, saved->id) = (struct recent){ .id = saved->id,
                                                     .layout = wake->layout,
                                                     .version = saved->version,
                                                     .saved_at_us = wake->saved_at_us };
}

enum error
read_together(const struct read *read, struct pg *pg, struct op *const *ops, size_t count,
              struct arena *arena)
{
    return read->lookup != NULL ? lookup_read(read->lookup, pg, ops, count, arena)
                                : read->read(pg, ops, count, arena);
}

/* Reads and answers the calls of the round from `first` on that share its method. */
static void
read_calls(struct reader *reader, const struct read *read, struct call **calls,
           const int64_t *until_us, size_t count)
{
    struct op **ops = arena_take(reader->arena, count * sizeof *ops);
    int64_t read_at_us = clock_steady_us();
    enum error error = pg_connect(reader->pg);

    for (size_t i = 0; i < count; i++) {
        ops[i] = calls[i]->op;
        memset(&ops[i]->problem, 0, sizeof ops[i]->problem);
    }
    if (error == ERR_OK)
        error = read_together(read, reader->pg, ops, count, reader->arena);
    if (error == ERR_STORE_DOWN && pg_connect(reader->pg) == ERR_OK)
        error = read_together(read, reader->pg, ops, count,
                              reader->arena); /* an idle connection had died */
    for (size_t i = 0; i < count; i++) {
        if (error != ERR_OK)
            problem_set(&calls[i]->op->problem, error, NULL, "%s", error_text(error));
        if (calls[i]->op->problem.error == ERR_OK && read->is_ready != NULL &&
            !read->is_ready(calls[i]->op) && park(reader, read, calls[i], until_us[i], read_at_us))
            continue;
        metric_add(reader->by_database, 1);
        calls[i]->finish(calls[i]);
    }
}

static int
compare_methods(const struct call *a, const struct call *b)
{
    return a->method < b->method ? -1 : a->method > b->method;
}

/* Calls of one method next to each other; arrival order does not matter to reads. */
static void
sort_round(struct reader *reader)
{
    for (size_t i = 1; i < reader->round_count; i++) {
        struct call *call = reader->round[i];
        int64_t until_us = reader->round_until_us[i];
        size_t j = i;

        for (; j > 0 && compare_methods(reader->round[j - 1], call) > 0; j--) {
            reader->round[j] = reader->round[j - 1];
            reader->round_until_us[j] = reader->round_until_us[j - 1];
        }
        reader->round[j] = call;
        reader->round_until_us[j] = until_us;
    }
}

static void
read_round(struct reader *reader)
{
    size_t first = 0;

    sort_round(reader);
    while (first < reader->round_count) {
        const struct read *read = read_of(reader, reader->round[first]);
        size_t count = 1;

        while (first + count < reader->round_count && count < reader->options.batch_max &&
               reader->round[first + count]->method == reader->round[first]->method)
            count++;
        read_calls(reader, read, reader->round + first, reader->round_until_us + first, count);
        first += count;
    }
    reader->round_count = 0;
    arena_reset(reader->arena);
}

static void
wake_free(struct reader *reader, struct wake *wake)
{
    atomic_fetch_sub(&reader->saved_count, wake->count);
    arena_free(wake->arena);
}

static void
take_item(struct reader *reader, struct call *call)
{
    struct wake *wake = (struct wake *)call;

    if (call->method == NULL) {
        for (size_t i = 0; i < wake->count; i++)
            wake_id(reader, wake, &wake->saved[i]);
        wake_free(reader, wake);
    } else if (call->deadline_us <= clock_steady_us()) {
        problem_set(&call->op->problem, ERR_EXPIRED, NULL, "%s", error_text(ERR_EXPIRED));
        call->finish(call);
    } else if (!park_unread(reader, call)) {
        round_add(reader, call, 0);
    }
}

/* How long the queue may stay empty before a parked call is due; -1: there is none. */
static int64_t
wait_of(const struct reader *reader)
{
    const struct heap_item *first = heap_first(&reader->looks);
    int64_t left_us;

    if (first == NULL)
        return -1;
    left_us = first->key - clock_steady_us();
    return left_us > 0 ? left_us : 0;
}

static void *
reader_main(void *context)
{
    struct reader *reader = context;

    for (;;) {
        size_t count;
        struct queue_item *item, *next;
        bool is_closed;

        item = queue_take(reader->queue, reader->options.batch_max, wait_of(reader), &count);
        /* Once it is closed nothing is pushed: closed and empty is the end. */
        is_closed =
            item == NULL && queue_is_closed(reader->queue) && queue_count(reader->queue) == 0;
        for (; item != NULL; item = next) {
            next = item->next;
            take_item(reader, (struct call *)item);
        }
        unpark_due(reader, is_closed ? INT64_MAX : clock_steady_us());
        read_round(reader);
        metric_set(reader->parked_now, (int64_t)reader->looks.count);
        if (is_closed && reader->looks.count == 0)
            return NULL;
    }
}

static void
queue_read(void *owner, struct metrics *metrics)
{
    const struct reader *reader = owner;

    metric_set(metrics_series(metrics, &waiting_row, NULL), (int64_t)queue_count(reader->queue));
}

static void
meter_open(struct reader *reader)
{
    static const char *const by[] = { "database", "saved" };
    struct metrics *metrics = reader->options.metrics;

    pg_meter(reader->pg, metrics, "reader");
    reader->by_database = metrics_series(metrics, &answered_row, &by[0]);
    reader->by_saved = metrics_series(metrics, &answered_row, &by[1]);
    reader->parked_now = metrics_series(metrics, &parked_row, NULL);
    reader->refused = metrics_series(metrics, &refused_row, NULL);
    metric_set(reader->parked_now, 0);
    metrics_read(metrics, queue_read, reader);
}

struct reader *
reader_open(const struct reader_options *options)
{
    struct reader *reader = memory_take(sizeof *reader);

    reader->options = *options;
    reader->queue = queue_new(options->queue_max);
    reader->arena = arena_new();
    arena_keep(reader->arena, ARENA_KEPT_BYTES);
    reader->pg = pg_new(options->conninfo, options->application, options->statements);
    meter_open(reader);
    thread_start(&reader->thread, reader_main, reader);
    return reader;
}

void
reader_submit(void *context, struct call *call)
{
    struct reader *reader = context;
    enum error error;

    assert(call->method != NULL);
    if (queue_push(reader->queue, &call->item))
        return;
    error = queue_is_closed(reader->queue) ? ERR_STOPPING : ERR_BUSY;
    metric_add(reader->refused, error == ERR_BUSY ? 1 : 0);
    problem_set(&call->op->problem, error, NULL, "%s", error_text(error));
    call->finish(call);
}

static struct wake *
wake_new(const struct pg_statement *layout, const struct read_saved *saved, size_t count)
{
    struct arena *arena = arena_new();
    struct wake *wake = arena_take(arena, sizeof *wake);

    wake->arena = arena;
    wake->layout = layout;
    wake->saved_at_us = clock_steady_us();
    wake->saved = arena_take(arena, count * sizeof *wake->saved);
    wake->count = count;
    for (size_t i = 0; i < count; i++) {
        wake->saved[i] = saved[i];
        wake->saved[i].row = pg_row_copy(layout, saved[i].row, arena);
    }
    return wake;
}

void
reader_wake(struct reader *reader, const struct pg_statement *layout,
            const struct read_saved *saved, size_t count)
{
    struct wake *wake;

    if (count == 0)
        return;
    if (atomic_fetch_add(&reader->saved_count, count) + count > READER_SAVED_MAX) {
        atomic_fetch_sub(&reader->saved_count, count);
        return;
    }
    wake = wake_new(layout, saved, count);
    if (!queue_push_always(reader->queue, &wake->call.item))
        wake_free(reader, wake);
}

void
reader_stop(struct reader *reader)
{
    queue_close(reader->queue);
    pthread_join(reader->thread, NULL);
}

struct reader *
reader_close(struct reader *reader)
{
    if (reader == NULL)
        return NULL;
    metrics_read_end(reader->options.metrics, reader);
    pg_free(reader->pg);
    arena_free(reader->arena);
    queue_free(reader->queue);
    heap_free(&reader->looks);
    free(reader->round);
    free(reader->round_until_us);
    free(reader);
    return NULL;
}
