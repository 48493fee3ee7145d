/* A worker is a thread, a connection and the tasks that it runs in turn. Worker 0 has the tasks that share,
 * and the partitions, which are a task like the others; each task with its own thread is one worker more.
 *
 * The thread sleeps in queue_take() on a queue that stays empty: closing it wakes and ends the thread. */
#include "mesh/keeper.h"

#include "mesh/base/clock.h"
#include "mesh/base/die.h"
#include "mesh/base/log.h"
#include "mesh/base/queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define LOOK_US                                                                                    \
    (SECOND_US / 2) /* while may_run says no; and how late a jump of the clock is seen */
#define PARTITIONS_US (3600 * SECOND_US)
#define PARTITIONS_AGAIN_US (10 * SECOND_US)
enum { END_SECONDS = 1 };        /* a statement that takes longer is broken off at the end */
#define RARE_US (60 * SECOND_US) /* a connection that is used no more often is closed in between */

/* A task and when it is due. */
struct turn {
    const struct keeper_task *task;
    struct sweeper sweeper; /* of a sweep; of a function only its owner */
    int64_t due_us;         /* 0: at once */
    struct metric_series *duration, *failed;
};

struct worker {
    struct keeper *keeper;
    struct pg *pg;
    struct queue *queue; /* never filled */
    pthread_t thread;
    struct turn *turns;
    size_t turn_count;
    bool is_rare; /* none of its tasks is due within RARE_US of its last run */
};

struct keeper {
    struct keeper_options options;
    atomic_bool is_over;
    struct worker *workers;
    size_t worker_count;
    /* Worker 0's. When partitions are due next: by steady time, and at once when the wall clock has jumped,
     * since the steady one stands still while a machine is suspended. */
    int64_t partitions_due_us, partitions_wall_us;
};

const struct pg_statement *const keeper_statements[] = { &partitions_keep, &partitions_drop, NULL };

/* ---- partitions ---- */

/* What fails is said by pg.c. Another replica may be at it in this very moment: then once more in a while. */
static enum error
keep_partitions(void *owner, struct pg *pg, struct arena *arena)
{
    struct keeper *keeper = owner;
    const struct partitions *partitions = keeper->options.partitions;
    int64_t now_us = clock_steady_us(), wall_us = clock_now_us();
    enum error error;

    (void)arena;
    if (now_us < keeper->partitions_due_us &&
        wall_us < keeper->partitions_wall_us + PARTITIONS_US &&
        wall_us > keeper->partitions_wall_us - PARTITIONS_US)
        return ERR_OK;
    error = partitions_make(partitions, pg);
    if (error == ERR_OK)
        error = partitions_forget(partitions, pg);
    keeper->partitions_due_us = now_us + (error == ERR_OK ? PARTITIONS_US : PARTITIONS_AGAIN_US);
    keeper->partitions_wall_us = wall_us;
    return ERR_OK;
}

static const struct keeper_task partitions_task = { .name = "partitions",
                                                    .period_us = LOOK_US,
                                                    .run = keep_partitions };

/* ---- numbers for metrics ---- */

static enum error
ask_numbers(void *owner, struct pg *pg, struct arena *arena)
{
    const struct keeper_options *options = &((struct keeper *)owner)->options;
    enum error error = ERR_OK;

    for (size_t i = 0; error == ERR_OK && i < KEEPER_ASKED_MAX; i++)
        error = asked_run(options->asked[i], options->metrics, pg, arena);
    return error;
}

static const struct keeper_task ask_task = { .name = "ask-numbers",
                                             .period_us = KEEPER_ASK_US,
                                             .run = ask_numbers };

/* ---- the threads ---- */

static void
run_turn(struct turn *turn, struct pg *pg)
{
    struct arena *arena = arena_new();
    int64_t began_us = clock_steady_us();
    enum error error = pg_connect(pg);

    if (error == ERR_OK)
        error = turn->task->run != NULL ? turn->task->run(turn->sweeper.owner, pg, arena)
                                        : sweep_run(&turn->sweeper, pg, arena);
    if (error != ERR_OK && error != ERR_STORE_DOWN)
        log_error("task=%s answer=%s", turn->task->name, error_name(error));
    arena_free(arena);
    metric_observe(turn->duration, clock_steady_us() - began_us);
    metric_add(turn->failed, error == ERR_OK ? 0 : 1);
    turn->due_us = clock_steady_us() + turn->task->period_us;
}

/* Runs what is due. Returns when the next one is. */
static int64_t
run_turns(struct worker *worker)
{
    const struct keeper_options *options = &worker->keeper->options;
    int64_t next_us = clock_steady_us() + RARE_US;

    for (size_t i = 0; i < worker->turn_count; i++) {
        struct turn *turn = &worker->turns[i];

        if (!options->may_run(options->may_run_owner))
            return clock_steady_us() + LOOK_US;
        if (clock_steady_us() >= turn->due_us)
            run_turn(turn, worker->pg);
        if (turn->due_us < next_us)
            next_us = turn->due_us;
    }
    if (worker->is_rare)
        pg_disconnect(worker->pg);
    return next_us;
}

static void *
worker_main(void *context)
{
    struct worker *worker = context;
    size_t count;

    while (!queue_is_closed(worker->queue)) {
        int64_t next_us = run_turns(worker), now_us = clock_steady_us();

        if (next_us > now_us)
            queue_take(worker->queue, 1, next_us - now_us, &count);
    }
    return NULL;
}

/* ---- open and close ---- */

/* clang-format off */
static const struct metric_row durations = { "sagamesh_task_duration_seconds", METRIC_HISTOGRAM, METRIC_SECONDS, "Runs of a task.",                     { "task" } };
static const struct metric_row failures  = { "sagamesh_task_failed_total",     METRIC_COUNTER,   METRIC_NUMBER,  "Runs that ended with an error.",      { "task" } };
/* clang-format on */

static void
worker_add_turn(struct worker *worker, const struct keeper_task *task, void *owner)
{
    const struct sweeper sweeper = { .sweep = &task->sweep,
                                     .batch = worker->keeper->options.batch,
                                     .owner = owner };
    struct metrics *metrics = worker->keeper->options.metrics;
    struct turn *turn;

    worker->turns = memory_grow(worker->turns, (worker->turn_count + 1) * sizeof *worker->turns);
    turn = &worker->turns[worker->turn_count++];
    *turn = (struct turn){ .task = task, .sweeper = sweeper };
    turn->duration = metrics_series(metrics, &durations, &task->name);
    turn->failed = metrics_series(metrics, &failures, &task->name);
    if (task->run == NULL)
        sweep_meter(&turn->sweeper, metrics, task->name);
    worker->is_rare = (worker->turn_count == 1 || worker->is_rare) && task->period_us > RARE_US;
}

/* Every task to its worker. Workers stay where they are once threads know them, so all of this comes first. */
static void
share_out(struct keeper *keeper)
{
    const struct keeper_options *options = &keeper->options;

    if (options->partitions != NULL)
        worker_add_turn(&keeper->workers[0], &partitions_task, keeper);
    for (size_t i = 0; i < KEEPER_ASKED_MAX; i++)
        asked_show(options->asked[i], options->metrics);
    if (options->metrics != NULL)
        worker_add_turn(&keeper->workers[0], &ask_task, keeper);
    for (const struct keeper_task *task = options->tasks; task != NULL && task->name != NULL;
         task++) {
        struct worker *worker = &keeper->workers[0];

        if (task->has_own_thread)
            worker = &keeper->workers[keeper->worker_count++];
        worker_add_turn(worker, task, options->owner);
    }
}

static void
worker_start(struct keeper *keeper, struct worker *worker)
{
    const struct keeper_options *options = &keeper->options;

    worker->queue = queue_new(1);
    worker->pg = pg_new(options->conninfo, options->application, options->statements);
    pg_meter(worker->pg, options->metrics, "keeper");
    pg_be_patient(worker->pg, PG_ROUND_US_MAX, &keeper->is_over);
    thread_start(&worker->thread, worker_main, worker);
}

/* A row that is wrong would do harm only when something is due. */
static void
check_tasks(const struct keeper_task *tasks)
{
    for (const struct keeper_task *task = tasks; task != NULL && task->name != NULL; task++) {
        const struct sweep *sweep = &task->sweep;
        const char *rule = NULL;

        if ((task->run != NULL) == (sweep->statement != NULL))
            rule = "it has either run or a sweep";
        else if (sweep->method != NULL && (sweep->row_offset < sizeof(struct op) ||
                                           sweep->row_offset >= sweep->method->op_bytes))
            rule = "the member for the row is behind the op's struct op";
        else if (sweep->walk != NULL && sweep->method == NULL)
            rule = "a walk has a method";
        if (rule == NULL)
            continue;
        log_error("event=TASK_TABLE_WRONG task=%s because=\"%s\"", task->name, rule);
        abort();
    }
}

struct keeper *
keeper_open(const struct keeper_options *options)
{
    struct keeper *keeper = memory_take(sizeof *keeper);
    size_t most = 1;

    check_tasks(options->tasks);

    for (const struct keeper_task *task = options->tasks; task != NULL && task->name != NULL;
         task++)
        most += task->has_own_thread;
    keeper->options = *options;
    keeper->workers = memory_take(most * sizeof *keeper->workers);
    keeper->worker_count = 1;
    for (size_t i = 0; i < most; i++)
        keeper->workers[i].keeper = keeper;
    share_out(keeper);
    for (size_t i = 0; i < keeper->worker_count; i++)
        worker_start(keeper, &keeper->workers[i]);
    return keeper;
}

/* Most rounds take some milliseconds: they may end by themselves, which is no trouble to speak of. */
static void
workers_join(struct keeper *keeper)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += END_SECONDS;
    for (size_t i = 0; i < keeper->worker_count; i++)
        thread_end(keeper->workers[i].thread, &until, &keeper->is_over);
}

struct keeper *
keeper_close(struct keeper *keeper)
{
    if (keeper == NULL)
        return NULL;
    for (size_t i = 0; i < keeper->worker_count; i++)
        queue_close(keeper->workers[i].queue);
    workers_join(keeper);
    for (size_t i = 0; i < keeper->worker_count; i++) {
        struct worker *worker = &keeper->workers[i];

        worker->pg = pg_free(worker->pg);
        worker->queue = queue_free(worker->queue);
        free(worker->turns);
    }
    free(keeper->workers);
    free(keeper);
    return NULL;
}
