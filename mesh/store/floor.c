#include "mesh/store/floor.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"

static const struct pg_column key_columns[] = { { "name", PG_TEXT, 0 }, { 0 } };

static const struct pg_column columns[] = {
    PG_COLUMN(struct floor, name, PG_TEXT),
    PG_COLUMN(struct floor, floor_us, PG_INT8),
    PG_COLUMN(struct floor, floor_seq, PG_INT8),
    { 0 },
};

const struct pg_statement floor_load = {
    .name = "floor_load",
    .sql = "SELECT name, floor_us, floor_seq FROM sweep WHERE name = ANY($1::text[])"
           " ORDER BY name FOR UPDATE",
    .in = key_columns,
    .out = columns,
    .out_bytes = sizeof(struct floor),
};

BATCH_LOCKED(floor_locked, "sweep", "name", TEXT);

const struct pg_statement floor_update = {
    .name = "floor_update",
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

const struct pg_statement floor_find = {
    .name = "floor_find",
    .sql = "SELECT floor_us, mesh_now_us($2) FROM sweep WHERE name = $1",
    .in = asked_columns,
    .is_single = true,
    .out = reading_columns,
    .out_bytes = sizeof(struct reading),
};

enum error
floor_read(struct pg *pg, const char *name, struct arena *arena, int64_t *ret_floor_us,
           int64_t *ret_now_us)
{
    const struct asked asked = { name, clock_now_us() };
    struct pg_answer answer;
    enum error error = pg_ask(pg, &floor_find, &asked, arena, &answer);
    const struct reading *reading = answer.rows;

    if (error != ERR_OK)
        return error;
    if (answer.count != 1) {
        log_error(
            "floor=%s because=\"table sweep has no such row: a step of the schema inserts it\"",
            name);
        return ERR_INTERNAL;
    }
    *ret_floor_us = reading->floor_us;
    *ret_now_us = reading->now_us;
    return ERR_OK;
}

static void
move_touch(const void *op, struct batch_touch *touch)
{
    const struct floor_move *move = op;

    batch_touch_text(touch, move->table, move->name);
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
move_decide(void *op, struct batch_rows *rows)
{
    const struct floor_move *move = op;
    struct floor *floor = batch_find_text(rows, move->table, move->name);
    bool is_moved;

    if (floor == NULL)
        return;
    is_moved = floor_move(&floor->floor_us, move->floor_us, move->is_lower);
    is_moved = floor_move(&floor->floor_seq, move->floor_seq, move->is_lower) || is_moved;
    if (is_moved)
        batch_changed(rows, floor);
}

const struct method floor_move_method = {
    .name = "MoveFloor",
    .op_bytes = sizeof(struct floor_move),
    .touch = move_touch,
    .decide = move_decide,
};
