#include "mesh/store/sweep.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/observe/metrics.h"

#include <string.h>

enum {
    LOOK_BACK_EVERY = 60, /* runs of a walk; the others walk only what is new */
    ALL_EVERY = 10,       /* runs between two pages of the walk over all */
    /* A transaction takes its now() before its rows can be seen, and session time-outs end it long
     * before this: no row appears further behind. */
    LOOK_BACK_US = 60 * 1000 * 1000,
};

const struct pg_column walk_range_columns[] = {
    PG_COLUMN(struct walk_range, from_us, PG_INT8),
    PG_COLUMN(struct walk_range, to_us, PG_INT8),
    { 0 },
};
const struct pg_column walk_page_columns[] = {
    PG_COLUMN(struct walk_page, after_id, PG_UUID),
    PG_COLUMN(struct walk_page, to_us, PG_INT8),
    { 0 },
};
const struct pg_column walk_row_columns[] = {
    PG_COLUMN(struct walk_row, id, PG_UUID),
    PG_COLUMN(struct walk_row, at_us, PG_INT8),
    { 0 },
};

/* ---- what is counted ---- */

/* clang-format off */
static const struct metric_row found_row = { "sagamesh_sweep_found_total",  METRIC_COUNTER, METRIC_NUMBER,  "Rows that a sweep found due.",                                                   { "task" } };
static const struct metric_row done_row  = { "sagamesh_sweep_done_total",   METRIC_COUNTER, METRIC_NUMBER,  "Rows of these whose op was done, or that were reported or deleted.",              { "task" } };
static const struct metric_row late_row  = { "sagamesh_sweep_late_seconds", METRIC_GAUGE,   METRIC_SECONDS, "How long the oldest row was due that the last run found; 0: none was.",           { "task" } };
/* clang-format on */

static size_t
due_offset(const struct sweep *sweep)
{
    return sweep->walk != NULL ? offsetof(struct walk_row, at_us) : sweep->due_offset;
}

void
sweep_meter(struct sweeper *sweeper, struct metrics *metrics, const char *task)
{
    sweeper->found = metrics_series(metrics, &found_row, &task);
    sweeper->done = metrics_series(metrics, &done_row, &task);
    if (due_offset(sweeper->sweep) != 0)
        sweeper->late = metrics_series(metrics, &late_row, &task);
    metric_set(sweeper->late, 0);
}

/* The oldest comes first in its page. */
static void
count_found(struct sweeper *sweeper, const void *rows, size_t count)
{
    size_t offset = due_offset(sweeper->sweep);
    int64_t due_us;

    metric_add(sweeper->found, (int64_t)count);
    if (offset == 0 || count == 0)
        return;
    memcpy(&due_us, (const char *)rows + offset, sizeof due_us);
    if (sweeper->due_us == 0 || due_us < sweeper->due_us)
        sweeper->due_us = due_us;
}

/* ---- ops ---- */

/* STORE_DOWN: not all of them were done. */
static enum error
do_rows(struct sweeper *sweeper, const void *rows, size_t count, struct arena *arena)
{
    const struct sweep *sweep = sweeper->sweep;
    size_t failed, op_bytes = sweep->method->op_bytes, row_bytes = sweep->statement->out_bytes;
    size_t room = op_bytes - sweep->row_offset;
    char *ops = arena_take(arena, count * op_bytes);

    for (size_t i = 0; i < count; i++) {
        struct op *op = (struct op *)(void *)(ops + i * op_bytes);

        op->id = uuid_v7(clock_now_us());
        memcpy((char *)op + sweep->row_offset, (const char *)rows + i * row_bytes,
               row_bytes < room ? row_bytes : room);
    }
    count_found(sweeper, rows, count);
    failed = count == 0 ? 0 : batch_own_run(sweeper->batch, sweep->method, ops, count);
    metric_add(sweeper->done, (int64_t)(count - failed));
    return failed == 0 ? ERR_OK : ERR_STORE_DOWN;
}

/* ---- what is due ---- */

static enum error
page_run(struct sweeper *sweeper, struct pg *pg, struct arena *arena, bool *ret_is_full)
{
    const struct sweep *sweep = sweeper->sweep;
    const struct pg_statement *statement = sweep->statement;
    int64_t program_us = clock_now_us();
    struct pg_answer answer;
    enum error error =
        pg_ask(pg, statement, statement->in == NULL ? NULL : &program_us, arena, &answer);

    size_t count;

    if (error == ERR_OK && sweep->method != NULL)
        error = do_rows(sweeper, answer.rows, answer.count, arena);
    if (sweep->report != NULL && answer.count > 0)
        sweep->report(sweeper->owner, answer.rows, answer.count);
    count = statement->out == NULL ? answer.changed : answer.count;
    if (sweep->method == NULL) {
        count_found(sweeper, answer.rows, count);
        metric_add(sweeper->done, (int64_t)count);
    }
    *ret_is_full = count >= SWEEP_PAGE;
    return error;
}

static enum error
pages_run(struct sweeper *sweeper, struct pg *pg, struct arena *arena)
{
    const struct sweep *sweep = sweeper->sweep;
    int pages = sweep->is_paced || sweep->report != NULL ? 1 : SWEEP_PAGES_MAX;
    bool is_full = true;
    enum error error = ERR_OK;

    for (int i = 0; error == ERR_OK && is_full && i < pages; i++) {
        arena_reset(arena);
        error = page_run(sweeper, pg, arena, &is_full);
    }
    return error;
}

/* ---- walks ---- */

/* A page that begins as the last one did: its op left the first row as it was, and would for ever. The rest
 * waits for the next run. */
static bool
is_stuck(const struct sweeper *sweeper, const struct pg_answer *answer, struct uuid last_first)
{
    const struct walk_row *rows = answer->rows;
    char id[UUID_TEXT_BYTES + 1];

    if (answer->count == 0 || !uuid_equal(rows[0].id, last_first))
        return false;
    log_warn(
        "statement=%s op=%s id=%s because=\"the op left the row as it was: it is found again\"",
        sweeper->sweep->statement->name, sweeper->sweep->method->name, uuid_print(rows[0].id, id));
    return true;
}

/* Rows come in order of their time; what was done is found no more, so the next page may begin at the same
 * microsecond. */
static enum error
walk_by_time(struct sweeper *sweeper, struct walk_range range, struct pg *pg, struct arena *arena)
{
    struct uuid first = { 0 };
    struct pg_answer answer;
    enum error error;

    do {
        const struct walk_row *rows;

        arena_reset(arena);
        error = pg_ask(pg, sweeper->sweep->statement, &range, arena, &answer);
        rows = answer.rows;
        if (error == ERR_OK && is_stuck(sweeper, &answer, first))
            return ERR_STORE_DOWN;
        if (error == ERR_OK)
            error = do_rows(sweeper, rows, answer.count, arena);
        if (error == ERR_OK && answer.count > 0) {
            first = rows[0].id;
            range.from_us = rows[answer.count - 1].at_us;
        }
    } while (error == ERR_OK && answer.count > 0);
    return error;
}

/* One page, whose last row only says where it ends; at the end of all the next walk begins. Where an op fails, the
 * same page comes again. */
static enum error
walk_all(struct sweeper *sweeper, int64_t now_us, struct pg *pg, struct arena *arena)
{
    const struct walk_page page = { sweeper->after_id, now_us };
    struct pg_answer answer;
    enum error error = pg_ask(pg, sweeper->sweep->walk->all, &page, arena, &answer);
    const struct walk_row *rows = answer.rows;

    if (error == ERR_OK && answer.count > 0)
        error = do_rows(sweeper, rows, answer.count - 1, arena);
    if (error == ERR_OK)
        sweeper->after_id = answer.count > 0 ? rows[answer.count - 1].id : (struct uuid){ 0 };
    return error;
}

/* Twice a minute, and when the floor must sink: a restart begins there. */
static void
store_floor(const struct sweeper *sweeper, int64_t floor_us, bool is_lower)
{
    const struct floor_move move = { .op.id = uuid_v7(clock_now_us()),
                                     .table = sweeper->sweep->walk->floor_table,
                                     .name = sweeper->sweep->walk->floor,
                                     .floor_us = floor_us,
                                     .is_lower = is_lower };

    batch_own_run(sweeper->batch, &floor_move_method, &move, 1);
}

/* When an op failed (the database went away), the next walk begins where this one did, and the stored floor
 * stays. */
static enum error
walk_run(struct sweeper *sweeper, struct pg *pg, struct arena *arena)
{
    int64_t floor_us = 0, now_us = 0, latest_us;
    bool is_whole = sweeper->runs % LOOK_BACK_EVERY == 0, is_behind;
    enum error error = floor_read(pg, sweeper->sweep->walk->floor, arena, &floor_us, &now_us);
    struct walk_range range = { floor_us, now_us };

    if (error != ERR_OK)
        return error;
    latest_us = now_us - LOOK_BACK_US;
    is_behind = floor_us > latest_us;
    if (!is_whole && sweeper->seen_us > range.from_us)
        range.from_us = sweeper->seen_us;
    if (is_behind || range.from_us > now_us)
        range.from_us = latest_us;
    error = walk_by_time(sweeper, range, pg, arena);
    if (error == ERR_OK && sweeper->runs % ALL_EVERY == 0)
        error = walk_all(sweeper, now_us, pg, arena);
    if (error != ERR_OK)
        return error;
    sweeper->seen_us = now_us;
    if (is_whole || is_behind)
        store_floor(sweeper, latest_us, is_behind);
    sweeper->runs++;
    return ERR_OK;
}

static int64_t
late_of(int64_t due_us)
{
    int64_t late_us = clock_now_us() - due_us;

    return late_us > 0 ? late_us : 0;
}

enum error
sweep_run(struct sweeper *sweeper, struct pg *pg, struct arena *arena)
{
    const struct sweep *sweep = sweeper->sweep;
    enum error error;

    if (sweep->is_wanted != NULL && !sweep->is_wanted(sweeper->owner))
        return ERR_OK;
    sweeper->due_us = 0;
    error = sweep->walk == NULL ? pages_run(sweeper, pg, arena) : walk_run(sweeper, pg, arena);
    if (error == ERR_OK)
        metric_set(sweeper->late, sweeper->due_us == 0 ? 0 : late_of(sweeper->due_us));
    return error;
}
