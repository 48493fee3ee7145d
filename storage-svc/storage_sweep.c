/* storage_sweep.c -- Ends holds whose time is over, by ops like everybody else's. */
#include "storage-svc/storage_sweep.h"
#include "mesh/base/clock.h"
#include "storage-svc/storage.h"

#include <stdatomic.h>

enum {
    LOOK_BACK_EVERY = 60, /* runs; the others walk only what is new */
    /* A transaction takes its now() before its rows can be seen, and session time-outs end it long
     * before this: no hold appears further behind. */
    LOOK_BACK_US = 60 * 1000 * 1000,
};

static atomic_size_t failed_count; /* of the walk that goes on */

static void
count_failed(const void *op)
{
    if (((const struct op *)op)->problem.error != ERR_OK)
        atomic_fetch_add(&failed_count, 1);
}

static void
expire_all(struct service *service, const struct expire_candidate *candidates, size_t count,
           struct arena *arena)
{
    struct expire *ops = arena_take(arena, count * sizeof *ops);

    for (size_t i = 0; i < count; i++) {
        ops[i].op.id = uuid_v7(clock_now_us());
        ops[i].hold_id = candidates[i].id;
    }
    service_run_ops(service, &storage_expire_method, ops, count, count_failed);
}

/* Candidates come a thousand at a time, in order of `until`; what was ended is no candidate any more,
 * so the next thousand may begin at the same microsecond. When one could not be ended (the database
 * went away), the next walk begins where this one did, and the stored floor stays. */
enum error
storage_sweep_run(struct service *service, struct pg *pg, struct arena *arena)
{
    static int64_t seen_us; /* the keeper's own: where the last walk came to */
    static int runs;
    struct sweep_range range = { 0, 0 };
    struct swept swept = { .op.id = uuid_v7(clock_now_us()),
                           .table = STORAGE_SWEEP,
                           .name = STORAGE_SWEEP_NAME };
    const void *row = &range;
    struct pg_step step = { .statement = &storage_expired, .rows = &row, .count = 1 };
    bool is_whole = runs++ % LOOK_BACK_EVERY == 0;
    enum error error = sweep_read(pg, STORAGE_SWEEP_NAME, arena, &range.from_us, &range.to_us);

    atomic_store(&failed_count, 0);
    if (!is_whole && seen_us > range.from_us)
        range.from_us = seen_us;
    do {
        const struct expire_candidate *candidates;

        if (error == ERR_OK)
            error = pg_round(pg, false, &step, 1, arena);
        if (error != ERR_OK)
            return error;
        candidates = step.ret_rows;
        expire_all(service, candidates, step.ret_count, arena);
        if (step.ret_count > 0)
            range.from_us = candidates[step.ret_count - 1].until_us;
        if (atomic_load(&failed_count) > 0) {
            runs -= is_whole;
            return ERR_STORE_DOWN;
        }
    } while (step.ret_count > 0);
    seen_us = range.to_us;
    swept.floor_us = range.to_us - LOOK_BACK_US;
    if (is_whole)
        service_run_ops(service, &swept_method, &swept, 1, NULL);
    return ERR_OK;
}
