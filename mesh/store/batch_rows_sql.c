/* The rows of a batch and the database: which keys are asked for, in which round, and which rows are saved. */
#include "mesh/store/batch_rows_inner.h"
#include "mesh/store/event.h"
#include "mesh/store/store_clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct pg_column now_columns[] = { { "now_us", PG_INT8, 0 }, { 0 } };

const struct pg_statement batch_now = {
    .name = "batch_now",
    .sql = "SELECT (extract(epoch FROM now()) * 1000000)::bigint",
    .is_single = true,
    .out = now_columns,
    .out_bytes = sizeof(int64_t),
};

/* The same for a service with events: the time is taken when the writer's lock is there. */
const struct pg_statement batch_now_writer = {
    .name = "batch_now_writer",
    .sql = "WITH writer AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared(" EVENT_LOCK_CLASS
           ", " EVENT_LOCK_WRITER "))"
           " SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM writer",
    .is_single = true,
    .out = now_columns,
    .out_bytes = sizeof(int64_t),
};

/* In this transaction only. */
const struct pg_statement batch_hurry = {
    .name = "batch_hurry",
    .sql = "SELECT set_config('lock_timeout', '20ms', true)",
    .is_single = true,
};
_Static_assert(BATCH_HURRY_MS == 20, "as the statement says");

const struct pg_column batch_in_UUID[] = { { "id", PG_UUID, 0 }, { 0 } };
const struct pg_column batch_in_TEXT[] = { { "key", PG_TEXT, 0 }, { 0 } };
const struct pg_column batch_out_UUID[] = {
    PG_COLUMN(struct batch_locked, id, PG_UUID),
    PG_COLUMN(struct batch_locked, pid, PG_INT4),
    { 0 },
};
const struct pg_column batch_out_TEXT[] = {
    PG_COLUMN(struct batch_locked, key, PG_TEXT),
    PG_COLUMN(struct batch_locked, pid, PG_INT4),
    { 0 },
};

static int
compare_uuid_keys(const void *a, const void *b)
{
    return memcmp((*(struct slot *const *)a)->key, (*(struct slot *const *)b)->key,
                  sizeof(struct uuid));
}

static int
compare_text_keys(const void *a, const void *b)
{
    return strcmp((*(struct slot *const *)a)->key, (*(struct slot *const *)b)->key);
}

static void
slots_sort(const struct batch_table *kind, struct slots *slots)
{
    if (slots->count > 1)
        qsort(slots->items, slots->count, sizeof *slots->items,
              kind->key == BATCH_KEY_UUID ? compare_uuid_keys : compare_text_keys);
}

/* A step that asks for all touched keys of a table, but for those that are known to be locked. */
static struct pg_step
keys_step(struct batch_rows *rows, size_t table, const struct pg_statement *statement)
{
    const struct batch_table *kind = &rows->service->tables[table];
    struct slots *slots = &rows->tables[table];
    const void **keys = arena_take(rows->arena, slots->count * sizeof *keys);
    size_t count = 0;

    slots_sort(kind, slots);
    for (size_t i = 0; i < slots->count; i++) {
        if (!slots->items[i]->is_locked)
            keys[count++] =
                kind->key == BATCH_KEY_UUID ? slots->items[i]->key : &slots->items[i]->key;
    }
    return (struct pg_step){ .statement = statement, .rows = keys, .count = count };
}

static void
take_loaded(struct batch_rows *rows, size_t table, const struct pg_step *step)
{
    const struct batch_table *kind = &rows->service->tables[table];

    assert(step->statement->out_bytes == kind->row_bytes);
    for (size_t i = 0; i < step->ret_count; i++) {
        void *row = (char *)step->ret_rows + i * kind->row_bytes;
        struct slot *slot = slot_find(rows, table, row_key(kind, row));

        assert(slot != NULL && slot->row == NULL);
        slot_fill(rows, slot, row, BATCH_ROW_LOADED);
        if (kind->follow != NULL)
            kind->follow(row, &rows->touch);
    }
}

static void
take_locked(struct batch_rows *rows, size_t table, const struct pg_step *step)
{
    const struct batch_locked *locked = step->ret_rows;

    for (size_t i = 0; i < step->ret_count; i++) {
        const void *key = rows->service->tables[table].key == BATCH_KEY_UUID
                              ? (const void *)&locked[i].id
                              : locked[i].key;
        struct slot *slot = slot_find(rows, table, key);

        assert(slot != NULL && slot->row == NULL);
        slot->is_locked = true;
        rows->locked_count++;
        rows->locked_table = table;
        if (locked[i].pid != 0)
            rows->locked_by = locked[i].pid;
    }
}

/* The tables that the next round loads: up to the first whose rows `follow`, so that what they name is
 * touched before its own table is loaded. */
static size_t
round_end(const struct batch_rows *rows, size_t table)
{
    while (table < rows->service->table_count) {
        bool is_followed =
            rows->tables[table].count > 0 && rows->service->tables[table].follow != NULL;

        table++;
        if (is_followed)
            break;
    }
    return table;
}

/* Locks the free rows among those of the tables from first up to end, and marks the others. */
static enum error
find_locked(struct batch_rows *rows, struct pg *pg, bool begin, size_t first, size_t end)
{
    struct pg_step steps[BATCH_TABLES_MAX + 1];
    size_t tables[BATCH_TABLES_MAX + 1], count = 0;
    enum error error;

    if (begin)
        steps[count++] = (struct pg_step){ .statement = &batch_hurry };
    for (size_t table = first; table < end; table++) {
        const struct pg_statement *locked = rows->service->tables[table].locked;

        if (rows->tables[table].count == 0 || locked == NULL)
            continue;
        tables[count] = table;
        steps[count++] = keys_step(rows, table, locked);
    }
    error = count == 0 ? ERR_OK : pg_round(pg, begin, steps, count, rows->arena);
    for (size_t i = begin ? 1 : 0; error == ERR_OK && i < count; i++)
        take_locked(rows, tables[i], &steps[i]);
    return error;
}

static enum error
load_round(struct batch_rows *rows, struct pg *pg, bool begin, size_t first, size_t end,
           int64_t *ret_now_us)
{
    const struct pg_statement *now = rows->service->has_events ? &batch_now_writer : &batch_now;
    struct pg_step steps[BATCH_TABLES_MAX + 1];
    size_t tables[BATCH_TABLES_MAX + 1], count = 0, now_count = 0;
    enum error error;

    if (first == 0)
        steps[count++] = (struct pg_step){ .statement = now };
    now_count = count;
    for (size_t table = first; table < end; table++) {
        if (rows->tables[table].count == 0)
            continue;
        tables[count] = table;
        steps[count++] = keys_step(rows, table, rows->service->tables[table].load);
    }
    error = count == 0 ? ERR_OK : pg_round(pg, begin, steps, count, rows->arena);
    if (error != ERR_OK)
        return error;
    rows->loaded_up_to = end;
    for (size_t i = now_count; i < count; i++)
        take_loaded(rows, tables[i], &steps[i]);
    if (now_count > 0)
        memcpy(ret_now_us, steps[0].ret_rows, sizeof *ret_now_us);
    if (now_count > 0)
        *ret_now_us = store_now_us(*ret_now_us);
    return ERR_OK;
}

enum error
batch_rows_load(struct batch_rows *rows, struct pg *pg, bool in_a_hurry, int64_t *ret_now_us)
{
    size_t first = 0, end;
    enum error error = ERR_OK;

    do {
        end = round_end(rows, first);
        if (in_a_hurry)
            error = find_locked(rows, pg, first == 0, first, end);
        if (error == ERR_OK)
            error = load_round(rows, pg, first == 0 && !in_a_hurry, first, end, ret_now_us);
        first = end;
    } while (error == ERR_OK && first < rows->service->table_count);
    return error;
}

/* A step that writes the rows of a table that are in a state; count 0 when there are none. */
static struct pg_step
save_step(struct batch_rows *rows, const struct pg_statement *statement, const struct slots *slots,
          enum batch_row_state state)
{
    const void **items = arena_take(rows->arena, slots->count * sizeof *items);
    size_t count = 0;

    for (size_t i = 0; i < slots->count; i++) {
        if (slots->items[i]->row != NULL && slots->items[i]->state == state)
            items[count++] = slots->items[i]->row;
    }
    return (struct pg_step){ .statement = statement, .rows = items, .count = count };
}

enum error
batch_rows_save(struct batch_rows *rows, struct pg *pg)
{
    struct pg_step steps[2 * BATCH_TABLES_MAX + 1];
    _Static_assert(sizeof steps / sizeof *steps <= PG_STEPS_MAX, "as pg_round() takes");
    size_t count = 0;
    enum error error;

    for (size_t i = 0; i < rows->service->table_count; i++) {
        const struct batch_table *kind = &rows->service->tables[i];

        slots_sort(kind, &rows->tables[i]); /* rows may have been touched since the load */
        steps[count] = save_step(rows, kind->insert, &rows->tables[i], BATCH_ROW_NEW);
        count += steps[count].count > 0;
        steps[count] = save_step(rows, kind->update, &rows->tables[i], BATCH_ROW_CHANGED);
        count += steps[count].count > 0;
    }
    steps[count] = save_step(rows, &event_append, &rows->events, BATCH_ROW_LOADED);
    count += steps[count].count > 0;
    error = count == 0 ? ERR_OK : pg_round(pg, false, steps, count, rows->arena);
    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        if (steps[i].ret_changed != steps[i].count)
            error = ERR_CONFLICT; /* another writer was first */
    }
    return error;
}
