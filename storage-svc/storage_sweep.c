/* storage_sweep.c -- Ends holds whose time is over, by ops as callers' are.
 *
 * Each run walks holds by the time they end, from where the last run came to; once in a while from the
 * stored floor. The database's clock may step back: then new holds end before what was walked already.
 * Where a run came to that is later than now, or a floor that is less than LOOK_BACK_US ago, shows it, and
 * both go back. And should the floor be wrong, another walk goes over all holds by their ids, slowly,
 * again and again.
 */
#include "storage-svc/storage_sweep.h"
#include "mesh/base/clock.h"

enum {
    LOOK_BACK_EVERY = 60, /* runs; the others walk only what is new */
    WHOLE_EVERY = 10,     /* runs between two pages of the walk over all */
    /* A transaction takes its now() before its rows can be seen, and session time-outs end it long
     * before this: no hold appears further behind. */
    LOOK_BACK_US = 60 * 1000 * 1000,
};

/* STORE_DOWN: not all of them ended. */
static enum error
expire_all(struct batch *batch, const struct expire_candidate *candidates, size_t count,
           struct arena *arena)
{
    struct expire *ops = arena_take(arena, count * sizeof *ops);

    for (size_t i = 0; i < count; i++) {
        ops[i].op.id = uuid_v7(clock_now_us());
        ops[i].hold_id = candidates[i].id;
    }
    return batch_own_run(batch, &storage_expire_method, ops, count) == 0 ? ERR_OK : ERR_STORE_DOWN;
}

/* Candidates come a thousand at a time, in order of `until`; what was ended is no candidate any more,
 * so the next thousand may begin at the same microsecond. */
static enum error
walk(struct batch *batch, struct sweep_range range, struct pg *pg, struct arena *arena)
{
    struct pg_answer answer;

    do {
        enum error error = pg_ask(pg, &storage_expired, &range, arena, &answer);
        const struct expire_candidate *candidates = answer.rows;

        if (error != ERR_OK)
            return error;
        error = expire_all(batch, candidates, answer.count, arena);
        if (error != ERR_OK)
            return error;
        if (answer.count > 0)
            range.from_us = candidates[answer.count - 1].until_us;
    } while (answer.count > 0);
    return ERR_OK;
}

/* One page of the walk over all holds; at its end the next one begins. */
static enum error
walk_all(struct storage_sweep *sweep, int64_t now_us, struct pg *pg, struct arena *arena)
{
    struct pg_answer answer;
    const struct expire_candidate *found;
    enum error error;
    size_t count;

    sweep->page.until_us = now_us;
    error = pg_ask(pg, &storage_held, &sweep->page, arena, &answer);
    if (error != ERR_OK)
        return error;
    found = answer.rows;
    count = answer.count;
    if (count == 0) {
        sweep->page = (struct sweep_page){ 0 };
        return ERR_OK;
    }
    error = expire_all(sweep->batch, found, count - 1,
                       arena); /* the last row only says where the page ends */
    if (error != ERR_OK)
        return error; /* the same page comes again */
    sweep->page.after_id = found[count - 1].id;
    return ERR_OK;
}

/* Twice a minute, and when the floor must sink: a restart begins there. */
static void
store_floor(struct batch *batch, int64_t floor_us, bool is_lower)
{
    const struct swept swept = { .op.id = uuid_v7(clock_now_us()),
                                 .table = STORAGE_SWEEP,
                                 .name = STORAGE_SWEEP_NAME,
                                 .floor_us = floor_us,
                                 .is_lower = is_lower };

    batch_own_run(batch, &swept_method, &swept, 1);
}

/* When a hold could not be ended (the database went away), the next walk begins where this one did, and
 * the stored floor stays. */
enum error
storage_sweep_run(void *owner, struct pg *pg, struct arena *arena)
{
    struct storage_sweep *sweep = owner;
    int64_t floor_us = 0, now_us = 0, latest_us;
    bool is_whole = sweep->runs % LOOK_BACK_EVERY == 0, is_behind;
    enum error error = sweep_read(pg, STORAGE_SWEEP_NAME, arena, &floor_us, &now_us);
    struct sweep_range range = { .from_us = floor_us, .to_us = now_us };

    if (error != ERR_OK)
        return error;
    latest_us = now_us - LOOK_BACK_US;
    is_behind = floor_us > latest_us;
    if (!is_whole && sweep->seen_us > range.from_us)
        range.from_us = sweep->seen_us;
    if (is_behind || range.from_us > now_us)
        range.from_us = latest_us;
    error = walk(sweep->batch, range, pg, arena);
    if (error == ERR_OK && sweep->runs % WHOLE_EVERY == 0)
        error = walk_all(sweep, now_us, pg, arena);
    if (error != ERR_OK)
        return error;
    sweep->seen_us = now_us;
    if (is_whole || is_behind)
        store_floor(sweep->batch, latest_us, is_behind);
    sweep->runs++;
    return ERR_OK;
}
