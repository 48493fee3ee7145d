#include "mesh/store/reader.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PARKED_BUCKETS = 1024 };

/* A call that waits for its row to change. */
struct parked {
    struct parked *next; /* of the same bucket */
    struct call *call;
    int64_t until_us, look_at_us;
};

struct reader {
    struct reader_options options;
    struct queue *queue;
    struct pg *pg;
    pthread_t thread;
    struct arena *arena; /* the reader thread's, as all below */
    struct parked *buckets[PARKED_BUCKETS];
    size_t parked_count;
    int64_t look_at_us;      /* no parked call is due before this */
    struct call **round;     /* calls to be read now */
    int64_t *round_until_us; /* 0: has not waited yet */
    size_t round_count, round_size;
};

/* What the store thread sends: a call without a method, and ids behind it. */
struct wake {
    struct call call;
    size_t count;
    struct uuid ids[];
};

static struct parked **
bucket_of(struct reader *reader, struct uuid id)
{
    return &reader->buckets[hash_end(hash_bytes(HASH_SEED, &id, sizeof id)) % PARKED_BUCKETS];
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
unpark(struct reader *reader, struct parked **link)
{
    struct parked *parked = *link;

    *link = parked->next;
    round_add(reader, parked->call, parked->until_us);
    reader->parked_count--;
    free(parked);
}

static void
unpark_id(struct reader *reader, struct uuid id)
{
    struct parked **link = bucket_of(reader, id);

    while (*link != NULL) {
        if (uuid_equal((*link)->call->op->id, id))
            unpark(reader, link);
        else
            link = &(*link)->next;
    }
}

/* Puts into the round what is due to be looked at. */
static void
unpark_due(struct reader *reader, int64_t now_us, bool all)
{
    int64_t next_us = INT64_MAX;

    if (!all && now_us < reader->look_at_us)
        return;
    for (size_t i = 0; reader->parked_count > 0 && i < PARKED_BUCKETS; i++) {
        struct parked **link = &reader->buckets[i];

        while (*link != NULL) {
            if (all || (*link)->look_at_us <= now_us) {
                unpark(reader, link);
                continue;
            }
            if ((*link)->look_at_us < next_us)
                next_us = (*link)->look_at_us;
            link = &(*link)->next;
        }
    }
    reader->look_at_us = next_us;
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

/* Parks the call, if it may wait and is not ready; else it is to be finished. */
static bool
park(struct reader *reader, const struct read *read, struct call *call, int64_t until_us)
{
    int64_t now_us = clock_steady_us();
    struct parked *parked, **bucket;

    if (read->wait_us == NULL || call->op->problem.error != ERR_OK || read->is_ready(call->op) ||
        queue_is_closed(reader->queue))
        return false;
    if (until_us == 0)
        until_us = now_us + read->wait_us(call->op);
    if (until_us > call->deadline_us)
        until_us = call->deadline_us;
    if (until_us <= now_us || reader->parked_count >= reader->options.parked_max)
        return false;
    parked = memory_take(sizeof *parked);
    parked->call = call;
    parked->until_us = until_us;
    parked->look_at_us = now_us + READER_POLL_US < until_us ? now_us + READER_POLL_US : until_us;
    if (parked->look_at_us < reader->look_at_us)
        reader->look_at_us = parked->look_at_us;
    bucket = bucket_of(reader, call->op->id);
    parked->next = *bucket;
    *bucket = parked;
    reader->parked_count++;
    return true;
}

/* Reads and answers the calls of the round from `first` on that share its method. */
static void
read_together(struct reader *reader, const struct read *read, struct call **calls,
              const int64_t *until_us, size_t count)
{
    struct op **ops = arena_take(reader->arena, count * sizeof *ops);
    enum error error = pg_connect(reader->pg);

    for (size_t i = 0; i < count; i++) {
        ops[i] = calls[i]->op;
        memset(&ops[i]->problem, 0, sizeof ops[i]->problem);
    }
    if (error == ERR_OK)
        error = read->read(reader->pg, ops, count, reader->arena);
    if (error == ERR_STORE_DOWN && pg_connect(reader->pg) == ERR_OK)
        error = read->read(reader->pg, ops, count, reader->arena); /* an idle connection had died */
    for (size_t i = 0; i < count; i++) {
        if (error != ERR_OK)
            problem_set(&calls[i]->op->problem, error, NULL, "%s", error_text(error));
        if (!park(reader, read, calls[i], until_us[i]))
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
        read_together(reader, read, reader->round + first, reader->round_until_us + first, count);
        first += count;
    }
    reader->round_count = 0;
    arena_reset(reader->arena);
}

static void
take_item(struct reader *reader, struct call *call)
{
    struct wake *wake = (struct wake *)call;

    if (call->method == NULL) {
        for (size_t i = 0; i < wake->count; i++)
            unpark_id(reader, wake->ids[i]);
        free(wake);
    } else if (call->deadline_us <= clock_steady_us()) {
        problem_set(&call->op->problem, ERR_EXPIRED, NULL, "%s", error_text(ERR_EXPIRED));
        call->finish(call);
    } else {
        round_add(reader, call, 0);
    }
}

/* How long the queue may stay empty before a parked call is due; -1: there is none. */
static int64_t
wait_of(const struct reader *reader)
{
    int64_t left_us = reader->look_at_us - clock_steady_us();

    if (reader->parked_count == 0)
        return -1;
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
        unpark_due(reader, clock_steady_us(), is_closed);
        read_round(reader);
        if (is_closed && reader->parked_count == 0)
            return NULL;
    }
}

struct reader *
reader_open(const struct reader_options *options)
{
    struct reader *reader = memory_take(sizeof *reader);

    reader->options = *options;
    reader->queue = queue_new(options->queue_max);
    reader->arena = arena_new();
    reader->look_at_us = INT64_MAX;
    reader->pg = pg_new(options->conninfo, options->application, options->statements);
    if (pthread_create(&reader->thread, NULL, reader_main, reader) != 0)
        abort();
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
    problem_set(&call->op->problem, error, NULL, "%s", error_text(error));
    call->finish(call);
}

void
reader_wake(struct reader *reader, const struct uuid *ids, size_t count)
{
    struct wake *wake;

    if (count == 0)
        return;
    wake = memory_take(sizeof *wake + count * sizeof *ids);
    wake->count = count;
    memcpy(wake->ids, ids, count * sizeof *ids);
    if (!queue_push_always(reader->queue, &wake->call.item))
        free(wake);
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
    pg_free(reader->pg);
    arena_free(reader->arena);
    queue_free(reader->queue);
    free(reader->round);
    free(reader->round_until_us);
    free(reader);
    return NULL;
}
