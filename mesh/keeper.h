/* keeper.h -- What a program does by itself every so often: its tasks, and the upkeep of partitions.
 *
 * One thread with one connection runs the tasks, one after the other, each when its period is over, and
 * keeps the partitions. A task that may take long has a thread and a connection of its own, and holds up
 * no other. All of them rest while may_run says no (the database is away), but for what is under way.
 *
 * Numbers for metrics that only the database knows (store/asked.h) are a task like the others.
 *
 * A task is a sweep (store/sweep.h), or a function: that reads over the connection that it is given, and
 * changes rows only by ops (store/batch_own.h).
 *
 * Thread    keeper_open/close: one. may_run: any of the keeper's.
 * Memory    Tables, texts and owners must outlive the keeper. What a task takes from its arena goes when it
 *           returns.
 * Errors    What a task returns is logged, but for STORE_DOWN, of which pg.c has spoken; it runs again when
 *           its period is over.
 * Units     *_us microseconds of the steady clock.
 */
#ifndef MESH_KEEPER_H
#define MESH_KEEPER_H

#include "mesh/store/asked.h"
#include "mesh/store/partition.h"
#include "mesh/store/sweep.h"

#define KEEPER_ASK_US (5 * SECOND_US)
enum { KEEPER_ASKED_MAX = 3 };

struct keeper_task {
    const char *name;
    int64_t period_us; /* from the end of a run to the begin of the next */
    struct sweep sweep;
    enum error (*run)(void *owner, struct pg *pg, struct arena *arena); /* NULL: it is the sweep */
    bool has_own_thread; /* for one that may take longer than the others should wait */
};

struct keeper_options {
    const char *conninfo, *application;
    const struct pg_statement *const *statements; /* of all tasks; ends with NULL */
    const struct partitions *partitions;          /* ends with a row of zeros; or NULL */
    const struct keeper_task *tasks;              /* ends with a row of zeros; or NULL */
    void *owner;                                  /* of the tasks */
    struct batch *batch; /* takes the ops of sweeps; or NULL: there are none */
    bool (*may_run)(void *owner);
    void *may_run_owner;
    struct metrics *metrics; /* NULL: nothing is counted */
    /* Tables of numbers that are asked every KEEPER_ASK_US; some may be NULL */
    const struct asked_row *asked[KEEPER_ASKED_MAX];
};

struct keeper;

/* What its connections prepare beside options.statements; ends with NULL. */
extern const struct pg_statement *const keeper_statements[];

struct keeper *keeper_open(const struct keeper_options *options);

/* A statement that goes on for a second more is broken off; for ops that are under way it waits. NULL is fine. Returns NULL. */
struct keeper *keeper_close(struct keeper *keeper);

#endif
