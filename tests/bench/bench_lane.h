/* bench_lane.h -- The rows of orders, database by database, as the floor writes them. A lane is one
 * connection that writes the rows of its database, transaction by transaction.
 *
 * Thread    A lane belongs to the thread that runs it.
 * Memory    Rows of a transaction live in lane->arena.
 */
#ifndef BENCH_LANE_H
#define BENCH_LANE_H

#include "mesh/store/pg.h"
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
    const struct pg_statement *const *statements; /* ends with NULL */
    void (*fill)(struct lane *lane, struct lane_range begun, struct lane_range gone_on);
    const struct pg_statement *stock; /* the rows that are there beforehand, or NULL */
};

extern const struct lane_plan lane_plans[BENCH_DATABASES];

/* Connected, the stock in place. */
void lane_open(struct lane *lane, const struct bench *bench, size_t database,
               const struct bench_texts *texts, double orders_per_batch);
void lane_close(struct lane *lane);

/* One transaction, one round trip: BEGIN, the rows, COMMIT. */
void lane_write(struct lane *lane, struct lane_range begun, struct lane_range gone_on);

#endif
