/* sweep.h -- Sweeps: what time does to rows, as rows of a table.
 *
 *     { .name = "expire-holds", .period_us = SECOND_US / 2,
 *       .sweep = { SWEEP_OPS(&funds_due, &ledger_expire_method, struct expire_funds, hold_id) } },
 *
 * A statement finds the rows whose time has come, a page of SWEEP_PAGE at a time, and an op of each is decided
 * by the batch, as a caller's is. What was done is not found again; so the next page is asked for while one
 * was full, SWEEP_PAGES_MAX times in a run, and while no op failed. What was left comes in the next run.
 *
 * Without a method, rows are reported (once in a run), or the statement does it all by itself: it deletes a
 * page.
 *
 * A walk goes by time from a stored floor (mesh/store/floor.h), for tables in which no index can hold what is
 * due alone: see struct sweep_walk.
 *
 * Thread    A sweeper is its keeper's. report, is_wanted: that thread. The ops: the store thread.
 * Memory    Rows of tables are static. The arena is the sweep's alone: it is emptied for each page.
 * Errors    Those of pg_ask(); STORE_DOWN where an op failed, of any error, or left its row as it was
 *           (logged).
 * Units     *_us microseconds since 1970 UTC.
 */
#ifndef MESH_STORE_SWEEP_H
#define MESH_STORE_SWEEP_H

#include "mesh/store/batch_own.h"
#include "mesh/store/floor.h"

struct metrics;
struct metric_series;

enum { SWEEP_PAGE = 1000, SWEEP_PAGES_MAX = 20 };
#define SWEEP_LIMIT " LIMIT 1000" /* of a sweep's statement: SWEEP_PAGE */

struct sweep {
    /* Its one parameter is the program's time (store_clock_program), or it has none; a walk's: walk_by_time. */
    const struct pg_statement *statement;
    const struct method *method; /* NULL: no ops */
    /* in the op, which has an id of its own: the row is copied there, as far as the op goes */
    size_t row_offset;
    void (*report)(void *owner, const void *rows,
                   size_t count);         /* of rows that were found; or NULL */
    bool (*is_wanted)(const void *owner); /* NULL: always */
    bool is_paced; /* a page a run: what the ops set off must not come faster */
    /* In a row: since when it is due, an int64_t; for metrics. 0: rows do not say; a walk's do. */
    size_t due_offset;
    /* NULL: the statement finds what is due from the start of its index */
    const struct sweep_walk *walk;
};

/* Columns of a row: an op of this type for each row found, which is copied to the member. */
/* clang-format off */
#define SWEEP_OPS(found, op_method, type, member) \
    .statement = (found), .method = (op_method), .row_offset = offsetof(type, member)
/* clang-format on */

/* Goes over rows in the order of a time: each run from where the last one came to; once in a while from the
 * stored floor. The database's clock may step back: then what is new ends before what was walked already.
 * Where a run came to that is later than now, or a floor that is less than a minute ago, shows it, and both go
 * back. And should the floor be wrong, another walk goes over all rows by their ids, slowly, again and again. */
struct sweep_walk {
    const char *floor;
    size_t floor_table; /* number of the service's FLOOR_TABLE */
    /* A page is a number of rows looked at, after an id; those whose time is over, and at the end the last one
     * looked at, also one that is not due. */
    const struct pg_statement *all;
};

/* Parameters of a walk's statements, and their rows. */
struct walk_range {
    int64_t from_us, to_us; /* both included */
};
struct walk_page {
    struct uuid after_id;
    int64_t to_us;
};
struct walk_row {
    struct uuid id;
    int64_t at_us;
};
extern const struct pg_column walk_range_columns[], walk_page_columns[], walk_row_columns[];

/* A sweep that is made, from run to run. Zeros but for the first three: it begins. */
struct sweeper {
    const struct sweep *sweep;
    struct batch *batch;
    void *owner;          /* of report and is_wanted */
    int64_t seen_us;      /* where the last walk by time came to */
    struct uuid after_id; /* as the walk over all */
    unsigned runs;
    int64_t due_us; /* of this run: since when the oldest row was due that it found; 0: none */
    struct metric_series *found, *done, *late; /* NULL: nothing is counted */
};

/* Counts the sweep's rows, as those of this task. metrics NULL is fine. */
void sweep_meter(struct sweeper *sweeper, struct metrics *metrics, const char *task);

enum error sweep_run(struct sweeper *sweeper, struct pg *pg, struct arena *arena);

#endif
