/* bench_lane.h -- The rows of orders, database by database, as the floor writes them. A lane is one
 * connection that writes the rows of its database, transaction by transaction.
 *
 * The rows are the services' own structs and are written by the services' own statements, so that the
 * floor has every column that a service has. What fills them is a file for each database, because the
 * services' headers do not know each other.
 *
 * Thread    A lane belongs to the thread that runs it.
 * Memory    Rows of a transaction live in lane->arena.
 */
#ifndef BENCH_LANE_H
#define BENCH_LANE_H

#include "mesh/store/event.h"
#include "mesh/store/op.h"
#include "tests/bench/bench.h"

/* Orders from..to-1 of a run. */
struct lane_range {
    int64_t from, to;
};

struct lane {
    const struct bench *bench;
    const struct bench_texts *texts;
    const struct lane_plan *plan;
    struct pg *pg;
    struct arena *arena;
    double orders_per_batch;
    int64_t count;    /* orders of this run */
    struct uuid *ids; /* of the orders, once they were begun */
    int64_t number;   /* of the transaction in the lane's life */
    int64_t cleaned_us;
    uint64_t random;
    int64_t row_writes;
    struct pg_step steps[PG_STEPS_MAX];
    size_t step_count;
};

/* What a database's transactions write: rows of orders that begin, rows of orders that go on. */
struct lane_plan {
    const struct batch_service *service;      /* whose tables; NULL: it has others */
    const struct pg_statement *const *others; /* more statements; ends with NULL; NULL: none */
    void (*fill)(struct lane *lane, struct lane_range begun, struct lane_range gone_on);
    void (*stock)(struct lane *lane); /* the rows that are there beforehand; NULL: none */
};

extern const struct lane_plan lane_orders, lane_storage, lane_account, lane_saga;

/* Connected, the stock in place. */
void lane_open(struct lane *lane, const struct bench *bench, size_t database,
               const struct bench_texts *texts, double orders_per_batch);
void lane_close(struct lane *lane);

/* One transaction, one round trip: BEGIN, the rows, COMMIT. */
void lane_write(struct lane *lane, struct lane_range begun, struct lane_range gone_on);

/* ---- for the plans ---- */

enum { LANE_FINGERPRINT = 1 }; /* of what is never asked for again; not 0, that is a tombstone's */

/* Adds a statement with these rows; none when count is 0. */
void lane_step(struct lane *lane, const struct pg_statement *statement, const void *rows,
               size_t row_bytes, int64_t count);

int64_t lane_range_count(struct lane_range range);
uint64_t lane_random_below(struct lane *lane, int64_t limit);

/* A name that is not among the first `count` names yet, or NULL: a batch writes a row once. */
const char *lane_pick_name(struct lane *lane, const char *format, int64_t limit,
                           const char *const *names, int64_t count);

/* The record of an accepted op. */
struct batch_record lane_record(struct uuid id);
void lane_op(struct op_row *row, const char *method);
void lane_event(struct lane *lane, struct event *event, const char *aggregate, struct uuid id,
                int32_t version, const char *payload);

#endif
