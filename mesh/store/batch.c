#include "mesh/store/batch.h"
#include "mesh/base/check.h"
#include "mesh/base/clock.h"
#include "mesh/base/crash.h"
#include "mesh/base/die.h"
#include "mesh/base/hold.h"
#include "mesh/base/log.h"
#include "mesh/store/batch_aside.h"
#include "mesh/store/batch_meter.h"
#include "mesh/store/batch_rows.h"
#include "mesh/store/batch_trace.h"
#include "mesh/store/event.h"
#include "mesh/store/room.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    STATEMENTS_MAX = 5 * BATCH_TABLES_MAX,
    UNCERTAIN_WAIT_US = 50 * 1000,
    PARTITIONS_TRIES_MAX = 3, /* of one batch; another replica may be making them too */
};

struct batch {
    const struct batch_service *service;
    size_t batch_max;
    struct queue *queue;
    struct aside *aside;
    const struct partitions *partitions;
    struct pg *pg;
    struct arena *arena; /* the store thread's: of one transaction after the other */
    pthread_t thread;
    void (*news)(void *owner);
    void *news_owner;
    void (*wrote)(void *owner, bool is_written);
    void *wrote_owner;
    struct batch_meter meter;
    atomic_int_fast64_t round_us; /* what a round takes of late; 0: none was run */
};

/* What one run needs: the calls, and where to count. */
struct run {
    const struct batch_service *service;
    struct pg *pg;
    struct arena
        *arena; /* of the last transaction; its parts, which run in its place, have the same */
    struct call **calls;
    size_t count;
    struct call **behind; /* not begun: they wait for this run to end */
    size_t behind_count;
    struct batch *counted;   /* NULL in batch_run(), where nothing can be set aside */
    bool in_a_hurry;         /* rows that others have locked are not waited for */
    struct batch_rows *rows; /* of the last transaction, as the next one */
    struct batch_trace trace;
};

#define COUNT(run, what, n)                                                                        \
    do {                                                                                           \
        if ((run)->counted != NULL)                                                                \
            atomic_fetch_add_explicit(&(run)->counted->meter.what, (n), memory_order_relaxed);     \
    } while (0)

static void
tell_written(struct run *run, bool is_written)
{
    if (run->counted != NULL && run->counted->wrote != NULL)
        run->counted->wrote(run->counted->wrote_owner, is_written);
}

static void
refuse(struct call *call, enum error error)
{
    problem_set(&call->op->problem, error, NULL, "%s", error_text(error));
    call->finish(call);
}

static void
finish_all(struct run *run)
{
    for (size_t i = 0; i < run->count; i++)
        run->calls[i]->finish(run->calls[i]);
    run->count = 0;
}

static void
fail_all(struct run *run, enum error error)
{
    for (size_t i = 0; i < run->count; i++)
        refuse(run->calls[i], error);
    run->count = 0;
}

/* New, or known? A known id gets its recorded answer; a tombstone is for decide to see. */
static void
decide_one(struct call *call, struct batch_rows *rows, int64_t now_us)
{
    struct op *op = call->op;
    struct batch_record *record = batch_rows_record(rows, op->id);
    struct log_trace before = log_trace_begin(op->traceparent);

    memset(&op->problem, 0, sizeof op->problem);
    op->now_us = now_us;
    if (record != NULL && record->fingerprint != 0) {
        if (record->fingerprint != op->fingerprint)
            problem_set(&op->problem, ERR_ID_REUSED, NULL,
                        "this id was used before, with other content: make a new one");
        else
            problem_recall(&op->problem, record->reason, record->detail);
    } else if (check_age(&op->problem, NULL, op->id, now_us) == ERR_OK) {
        call->method->decide(op, rows);
        if (op->problem.error != ERR_OK)
            op->problem.is_stored = batch_rows_record(rows, op->id) != NULL;
    }
    if (op->problem.error == ERR_OK && call->method->answer != NULL)
        call->method->answer(op, rows);
    log_trace_end(&before);
}

/* ---- rows that others have locked ---- */

/* True: for the first time. */
static bool
set_aside(struct run *run, struct call *call, bool is_apart)
{
    bool is_new = call->aside_until_us == 0;

    COUNT(run, aside, is_new ? 1 : 0);
    aside_add(run->counted->aside, call, is_apart); /* it may be answered now, and gone */
    return is_new;
}

/* In a hurry: the calls that need a row which is locked leave the run. */
static void
leave_locked(struct run *run, struct batch_rows *rows)
{
    const char *table;
    int pid;
    size_t locked = batch_rows_count_locked(rows, &table, &pid), kept = 0, new_count = 0;

    for (size_t i = 0; locked > 0 && i < run->count; i++) {
        if (batch_rows_needs_locked(rows, run->calls[i]))
            new_count += set_aside(run, run->calls[i], false);
        else
            run->calls[kept++] = run->calls[i];
    }
    if (locked > 0)
        run->count = kept;
    if (new_count > 0)
        log_warn("batch=%s event=ROWS_LOCKED rows=%zu table=%s backend=%d calls=%zu"
                 " because=\"another transaction keeps them locked: the others go on\"",
                 run->service->name, locked, table, pid, new_count);
}

/* In a hurry, and even looking for a table's locks took too long: the whole table is locked, and its
 * calls leave the run. False: none of them needs it. */
static bool
leave_table(struct run *run)
{
    const struct pg_statement *statement = pg_failed_statement(run->pg);
    size_t kept = 0, count = run->count, new_count = 0;

    for (size_t i = 0; i < count; i++) {
        if (batch_rows_needs_table(run->rows, run->calls[i], statement))
            new_count += set_aside(run, run->calls[i], false);
        else
            run->calls[kept++] = run->calls[i];
    }
    run->count = kept;
    if (new_count > 0)
        log_warn("batch=%s event=TABLE_LOCKED statement=%s calls=%zu"
                 " because=\"another transaction keeps the table locked: the others go on\"",
                 run->service->name, statement->name, new_count);
    return kept < count;
}

/* ---- a transaction ---- */

/* One transaction from BEGIN to COMMIT. */
static enum error
apply(struct run *run, struct arena *arena)
{
    struct batch_rows *rows = batch_rows_new(run->service, arena);
    int64_t now_us = 0;
    enum error error;

    run->rows = rows;
    for (size_t i = 0; i < run->count; i++) {
        run->calls[i]->op->owner = run->service->owner;
        batch_rows_touch_records(rows, run->calls[i]->op->id);
        if (run->calls[i]->method->touch != NULL)
            run->calls[i]->method->touch(run->calls[i]->op, batch_rows_touch(rows));
    }
    error = batch_rows_load(rows, run->pg, run->in_a_hurry, &now_us);
    if (error != ERR_OK)
        return error;
    batch_trace_step(&run->trace, BATCH_LOADED);
    if (run->in_a_hurry)
        leave_locked(run, rows);
    crash_point("store.after-begin");
    for (size_t i = 0; i < run->count; i++)
        decide_one(run->calls[i], rows, now_us);
    batch_trace_step(&run->trace, BATCH_DECIDED);
    if (!batch_rows_is_dirty(rows)) {
        pg_rollback(run->pg);
        return ERR_OK;
    }
    error = batch_rows_save(rows, run->pg);
    if (error != ERR_OK)
        return error;
    batch_trace_step(&run->trace, BATCH_SAVED);
    crash_point("store.before-commit");
    error = pg_commit(run->pg);
    if (error != ERR_OK)
        return error;
    batch_trace_step(&run->trace, BATCH_COMMITTED);
    crash_point("store.after-commit");
    COUNT(run, commits, 1);
    tell_written(run, true);
    hold_begin();
    if (run->service->committed != NULL)
        run->service->committed(run->service->owner, rows);
    hold_end();
    if (run->counted != NULL && run->counted->news != NULL && batch_rows_has_events(rows))
        run->counted->news(run->counted->news_owner);
    return ERR_OK;
}

static void
wait_a_little(int64_t us)
{
    struct timespec time = { .tv_sec = us / SECOND_US, .tv_nsec = us % SECOND_US * 1000 };

    nanosleep(&time, NULL);
}

/* Answers and drops the calls whose deadline has passed. */
static void
drop_expired(struct run *run, enum error answer)
{
    int64_t now_us = clock_steady_us();
    size_t kept = 0;

    for (size_t i = 0; i < run->count; i++) {
        struct call *call = run->calls[i];

        if (call->deadline_us > now_us) {
            run->calls[kept++] = call;
            continue;
        }
        refuse(call, answer);
    }
    run->count = kept;
}

/* ---- a partition that is missing ---- */

/* The clock has jumped, or the machine was suspended for weeks. False: they cannot be made. */
static bool
make_partitions(struct run *run)
{
    enum error error;

    if (run->counted == NULL || run->counted->partitions == NULL)
        return false;
    error = partitions_make(run->counted->partitions, run->pg);
    log_warn("batch=%s event=PARTITION_MISSING made=%s", run->service->name,
             error == ERR_OK ? "yes" : "no");
    return error == ERR_OK || error == ERR_CONFLICT;
}

/* ---- a COMMIT in doubt ---- */

/* For us long, whoever waits behind this run, or comes, hears at once that nothing was done. */
static void
refuse_others(struct run *run, int64_t us)
{
    struct queue *queue = run->counted == NULL ? NULL : run->counted->queue;
    int64_t until_us = clock_steady_us() + us;

    for (size_t i = 0; i < run->behind_count; i++)
        refuse(run->behind[i], ERR_STORE_DOWN);
    run->behind_count = 0;
    for (; us > 0; us = until_us - clock_steady_us()) {
        size_t count = 0;
        struct queue_item *next,
            *item = queue == NULL ? NULL : queue_take(queue, SIZE_MAX, us, &count);

        if (item == NULL && (queue == NULL || queue_is_closed(queue)))
            wait_a_little(us);
        for (; item != NULL; item = next) {
            next = item->next;
            refuse((struct call *)item, ERR_STORE_DOWN);
        }
    }
}

/* The last try ended with error. Calls leave UNCERTAIN at their deadlines, at until_us the latest;
 * others need not wait for that when there is no database to do their work either. */
static void
wait_in_doubt(struct run *run, enum error error, int64_t until_us)
{
    if (clock_steady_us() >= until_us)
        fail_all(run, ERR_UNCERTAIN);
    else
        drop_expired(run, ERR_UNCERTAIN);
    if (error == ERR_STORE_DOWN || error == ERR_INTERNAL)
        refuse_others(run, UNCERTAIN_WAIT_US);
    else
        wait_a_little(UNCERTAIN_WAIT_US);
}

static void run_calls(struct run *run);

/* Runs count calls from the first one on; those that wait behind them may be refused meanwhile. */
static void
run_part(struct run *run, size_t first, size_t count)
{
    struct run part = *run;

    part.calls = run->calls + first;
    part.count = count;
    part.behind = run->calls + first + count;
    part.behind_count = run->count - first - count;
    run_calls(&part);
    run->count = first + count + part.behind_count; /* 0 of them behind: they were refused */
}

/* The guilty op gets INTERNAL, the others their answers. */
static void
run_one_by_one(struct run *run)
{
    COUNT(run, single, 1);
    for (size_t i = 0; i < run->count; i++)
        run_part(run, i, 1);
    run->count = 0;
}

/* A row that is not there yet holds the save up, an INSERT of its key by a transaction that is open.
 * Whose row that is only trying tells: by halves, until the call is alone. */
static void
run_halves(struct run *run)
{
    size_t half = run->count / 2;

    if (run->count == 1) {
        set_aside(run, run->calls[0], true);
    } else {
        run_part(run, 0, half);
        if (run->count > half)
            run_part(run, half, run->count - half);
    }
    run->count = 0;
}

/* A lock was waited for in vain. The first time that wait is as long as another replica's batch may
 * take; from then on locks are looked for, and not waited for. */
static void
run_around_locks(struct run *run)
{
    if (!run->in_a_hurry)
        run->in_a_hurry = true;
    else if (!leave_table(run))
        run_halves(run);
}

/* What to do after a transaction that did not come to its end: the calls are answered, set aside, or
 * tried again. */
static void
judge(struct run *run, enum error error, int attempts)
{
    enum pg_why why = pg_why(run->pg);

    if (error == ERR_CONFLICT && (why == PG_WHY_LOCKED || why == PG_WHY_ROW_LOCKED) &&
        run->counted != NULL) {
        COUNT(run, again, 1);
        drop_expired(run, ERR_EXPIRED);
        run_around_locks(run);
    } else if (error == ERR_CONFLICT && attempts < BATCH_ATTEMPTS_MAX) {
        COUNT(run, again, 1);
        drop_expired(run, ERR_EXPIRED);
    } else if (error == ERR_STORE_DOWN && attempts == 1) {
        return; /* an idle connection may have died long ago: one fresh try */
    } else if (error == ERR_INTERNAL && why == PG_WHY_NO_PARTITION &&
               attempts < PARTITIONS_TRIES_MAX && make_partitions(run)) {
        return;
    } else if (error == ERR_INTERNAL && run->count > 1) {
        run_one_by_one(run);
    } else {
        if (error == ERR_STORE_DOWN || error == ERR_INTERNAL)
            tell_written(run, false);
        /* A partition that cannot be made was dropped long ago, and what was in it is forgotten. */
        fail_all(run, why == PG_WHY_NO_PARTITION && error == ERR_INTERNAL ? ERR_ID_TOO_OLD : error);
    }
}

/* Applies the calls until they are answered or set aside. Once a COMMIT is in doubt only the same batch
 * may follow: it finds its records, or does the work. */
static void
run_calls(struct run *run)
{
    int64_t doubt_until_us = 0; /* 0: no COMMIT is in doubt */
    int attempts = 0;

    while (run->count > 0) {
        enum error error = pg_connect(run->pg);

        if (error == ERR_OK) {
            arena_reset(run->arena);
            batch_trace_begin(&run->trace, run->calls, run->count);
            error = apply(run, run->arena);
            batch_trace_end(&run->trace, run->service->name, run->calls, run->count, error);
        }
        if (error == ERR_OK) {
            crash_point("store.before-reply");
            finish_all(run);
            break;
        }
        pg_rollback(run->pg);
        attempts++;
        if (error == ERR_UNCERTAIN && doubt_until_us == 0) {
            COUNT(run, uncertain, 1);
            log_warn("batch=%s calls=%zu because=\"connection lost in COMMIT: looking again\"",
                     run->service->name, run->count);
            doubt_until_us = clock_steady_us() + BATCH_DOUBT_US_MAX;
            run->in_a_hurry = false; /* what may have happened is never set aside */
        }
        if (doubt_until_us != 0)
            wait_in_doubt(run, error, doubt_until_us);
        else
            judge(run, error, attempts);
    }
    arena_reset(run->arena);
}

/* ---- the store thread ---- */

static struct run
run_new(struct batch *batch, struct call **calls)
{
    return (struct run){ .service = batch->service,
                         .pg = batch->pg,
                         .arena = batch->arena,
                         .calls = calls,
                         .counted = batch };
}

/* One of the calls that can only be tried alone, between the batches of the others. */
static void
try_apart(struct batch *batch)
{
    struct call *call = aside_take_apart(batch->aside);
    struct run run = run_new(batch, &call);

    run.count = call == NULL ? 0 : 1;
    run.in_a_hurry = true;
    run_calls(&run);
}

/* The store thread alone writes the mean. */
static void
round_ran(struct batch *batch, size_t count, int64_t began_us)
{
    int64_t took_us = clock_steady_us() - began_us, mean_us = atomic_load(&batch->round_us);

    atomic_store(&batch->round_us, store_round_mean(mean_us, took_us));
    batch_meter_ran(&batch->meter, count, began_us);
}

/* What was taken, together. */
static void
run_round(struct run *run)
{
    int64_t began_us = clock_steady_us();
    size_t count;

    drop_expired(run, ERR_EXPIRED);
    count = run->count;
    run_calls(run);
    if (count > 0)
        round_ran(run->counted, count, began_us);
}

static void *
batch_main(void *context)
{
    struct batch *batch = context;
    struct call **calls = memory_take(2 * batch->batch_max * sizeof *calls);
    struct queue_item *item;
    size_t count;

    while ((item = queue_take(batch->queue, batch->batch_max, aside_wait_us(batch->aside),
                              &count)) != NULL ||
           !queue_is_closed(batch->queue)) {
        struct run run = run_new(batch, calls);

        /* While rows are locked, waiting for them would stop all others once a batch. */
        run.in_a_hurry = aside_wait_us(batch->aside) >= 0;
        run.count = aside_take(batch->aside, calls, batch->batch_max);
        for (; item != NULL; item = item->next)
            calls[run.count++] = (struct call *)item;
        run_round(&run);
        try_apart(batch);
        atomic_store(&batch->meter.aside_now, aside_count(batch->aside));
    }
    aside_refuse_all(batch->aside);
    free(calls);
    return NULL;
}

struct pg *
batch_pg_new(const struct batch_service *service, const char *conninfo)
{
    const struct pg_statement *statements[STATEMENTS_MAX] = { 0 };
    size_t count = 0;

    struct pg *pg;

    statements[count++] = service->has_events ? &batch_now_writer : &batch_now;
    statements[count++] = &batch_hurry;
    statements[count++] = &partitions_keep;
    if (service->has_events)
        statements[count++] = &event_append;
    for (size_t i = 0; i < service->table_count; i++) {
        const struct batch_table *table = &service->tables[i];

        assert(table->row_bytes > 0 && table->load != NULL);
        statements[count++] = table->load;
        if (table->locked != NULL)
            statements[count++] = table->locked;
        if (table->insert != NULL)
            statements[count++] = table->insert;
        if (table->update != NULL)
            statements[count++] = table->update;
    }
    assert(count < STATEMENTS_MAX);
    pg = pg_new(conninfo, service->name, statements);
    pg_set_lock_timeout(pg, BATCH_LOCK_MS);
    return pg;
}

struct batch *
batch_open(const struct batch_options *options)
{
    struct batch *batch = memory_take(sizeof *batch);

    batch->service = options->service;
    batch->batch_max = options->batch_max;
    batch->news = options->news;
    batch->news_owner = options->news_owner;
    batch->wrote = options->wrote;
    batch->wrote_owner = options->wrote_owner;
    batch->partitions = options->partitions;
    batch->queue = queue_new(options->queue_max);
    batch->aside = aside_new();
    batch->pg = batch_pg_new(options->service, options->conninfo);
    pg_meter(batch->pg, options->metrics, "batch");
    batch_meter_open(&batch->meter, options->metrics, batch->queue);
    batch->arena = arena_new();
    arena_keep(batch->arena, ARENA_KEPT_BYTES);
    thread_start(&batch->thread, batch_main, batch);
    return batch;
}

void
batch_submit(void *context, struct call *call)
{
    struct batch *batch = context;

    enum error error;

    call->aside_until_us = 0;
    if (queue_push_behind(batch->queue, &call->item,
                          store_room(batch->batch_max, atomic_load(&batch->round_us),
                                     call->deadline_us - clock_steady_us())))
        return;
    error = queue_is_closed(batch->queue) ? ERR_STOPPING : ERR_BUSY;
    atomic_fetch_add(&batch->meter.refused, error == ERR_BUSY ? 1 : 0);
    refuse(call, error);
}

void
batch_submit_always(struct batch *batch, struct call *call)
{
    call->aside_until_us = 0;
    if (!queue_push_always(batch->queue, &call->item))
        refuse(call, ERR_STOPPING);
}

void
batch_stop(struct batch *batch)
{
    queue_close(batch->queue);
    pthread_join(batch->thread, NULL);
}

struct batch *
batch_close(struct batch *batch)
{
    if (batch == NULL)
        return NULL;
    batch_meter_close(&batch->meter);
    batch->pg = pg_free(batch->pg);
    batch->arena = arena_free(batch->arena);
    batch->queue = queue_free(batch->queue);
    batch->aside = aside_free(batch->aside);
    free(batch);
    return NULL;
}

void
batch_run(const struct batch_service *service, struct pg *pg, struct call **calls, size_t count)
{
    struct run run = {
        .service = service, .pg = pg, .arena = arena_new(), .calls = calls, .count = count
    };

    run_calls(&run);
    arena_free(run.arena);
}
