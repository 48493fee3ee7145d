#include "mesh/store/sweep.h"
#include "mesh/base/clock.h"

static const struct pg_column key_columns[] = { { "name", PG_TEXT, 0 }, { 0 } };

static const struct pg_column columns[] = {
    PG_COLUMN(struct sweep, name, PG_TEXT),
    PG_COLUMN(struct sweep, floor_us, PG_INT8),
    PG_COLUMN(struct sweep, floor_seq, PG_INT8),
    { 0 },
};

const struct pg_statement sweep_load = {
    .name = "sweep_load",
    .sql = "SELECT name, floor_us, floor_seq FROM sweep WHERE name = ANY($1::text[])"
           " ORDER BY name FOR UPDATE",
    .in = key_columns,
    .out = columns,
    .out_bytes = sizeof(struct sweep),
};

BATCH_LOCKED(sweep_locked, "sweep", "name", TEXT);

const struct pg_statement sweep_update = {
    .name = "sweep_update",
    .sql = "UPDATE sweep s SET floor_us = u.floor_us, floor_seq = u.floor_seq"
           " FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS u(name, floor_us, floor_seq)"
           " WHERE s.name = u.name",
    .in = columns,
};

struct asked {
    const char *name;
    int64_t program_us;
};

static const struct pg_column asked_columns[] = {
    PG_COLUMN(struct asked, name, PG_TEXT),
    PG_COLUMN(struct asked, program_us, PG_INT8),
    { 0 },
};

struct reading {
    int64_t floor_us, now_us;
};

static const struct pg_column reading_columns[] = {
    PG_COLUMN(struct reading, floor_us, PG_INT8),
    PG_COLUMN(struct reading, now_us, PG_INT8),
    { 0 },
};

const struct pg_statement sweep_floor = {
    .name = "sweep_floor",
    .sql = "SELECT floor_us, mesh_now_us($2) FROM sweep WHERE name = $1",
    .in = asked_columns,
    .is_single = true,
    .out = reading_columns,
    .out_bytes = sizeof(struct reading),
};

enum error
sweep_read(struct pg *pg, const char *name, struct arena *arena, int64_t *ret_floor_us,
           int64_t *ret_now_us)
{
    const struct asked asked = { name, clock_now_us() };
    struct pg_answer answer;
    enum error error = pg_ask(pg, &sweep_floor, &asked, arena, &answer);
    const struct reading *reading = answer.rows;

    if (error != ERR_OK)
        return error;
    if (answer.count != 1)
        return ERR_INTERNAL;
    *ret_floor_us = reading->floor_us;
    *ret_now_us = reading->now_us;
    return ERR_OK;
}

static void
swept_touch(const void *op, struct batch_touch *touch)
{
    const struct swept *swept = op;

    batch_touch_text(touch, swept->table, swept->name);
}

/* True when the floor moved. */
static bool
floor_move(int64_t *floor, int64_t to, bool is_lower)
{
    if (is_lower ? to >= *floor : to <= *floor)
        return false;
    *floor = to;
    return true;
}

static void
swept_decide(void *op, struct batch_rows *rows)
{
    const struct swept *swept = op;
    struct sweep *sweep = batch_find_text(rows, swept->table, swept->name);
    bool is_moved;

    if (sweep == NULL)
        return;
    is_moved = floor_move(&sweep->floor_us, swept->floor_us, swept->is_lower);
    is_moved = floor_move(&sweep->floor_seq, swept->floor_seq, swept->is_lower) || is_moved;
    if (is_moved)
        batch_changed(rows, sweep);
}

const struct method swept_method = {
    .name = "Swept",
    .op_bytes = sizeof(struct swept),
    .touch = swept_touch,
    .decide = swept_decide,
};
