#include "mesh/store/batch_rows.h"
#include "mesh/store/event.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A key that was touched, with its row once there is one. Keys of all tables share one hash table. */
struct slot {
    struct slot *next;        /* of the same bucket */
    struct slot *next_by_row; /* the same, of the buckets by row */
    size_t table;
    const void *key; /* struct uuid or char */
    void *row;       /* NULL: touched, and there is none */
    enum batch_row_state state;
};

enum { BUCKETS = 1024 };

struct slots {
    struct slot **items;
    size_t count, size;
};

struct batch_touch {
    struct batch_rows *rows;
};

struct batch_rows {
    const struct batch_service *service;
    struct arena *arena;
    struct slot *buckets[BUCKETS];
    struct slot *by_row[BUCKETS]; /* slots with a row, by its address */
    struct slots tables[BATCH_TABLES_MAX];
    struct slots events; /* row = struct event */
    int64_t added;       /* records */
    size_t loaded_up_to; /* tables before this one are loaded: touching them is too late */
    struct batch_touch touch;
};

static const struct pg_column now_columns[] = { { "now_us", PG_INT8, 0 }, { 0 } };

const struct pg_statement batch_now = {
    .name = "batch_now",
    .sql = "SELECT (extract(epoch FROM now()) * 1000000)::bigint",
    .is_single = true,
    .out = now_columns,
    .out_bytes = sizeof(int64_t),
};

struct batch_rows *
batch_rows_new(const struct batch_service *service, struct arena *arena)
{
    struct batch_rows *rows = arena_take(arena, sizeof *rows);

    assert(service->table_count <= BATCH_TABLES_MAX);
    rows->service = service;
    rows->arena = arena;
    rows->touch.rows = rows;
    return rows;
}

struct batch_touch *
batch_rows_touch(struct batch_rows *rows)
{
    return &rows->touch;
}

struct arena *
batch_arena(struct batch_rows *rows)
{
    return rows->arena;
}

const char *
batch_keep(struct batch_rows *rows, const char *text)
{
    return arena_copy(rows->arena, text, strlen(text));
}

static const struct batch_table *
table_of(const struct batch_rows *rows, size_t table)
{
    assert(table < rows->service->table_count);
    return &rows->service->tables[table];
}

static size_t
key_bytes(enum batch_key type, const void *key)
{
    return type == BATCH_KEY_UUID ? sizeof(struct uuid) : strlen(key) + 1;
}

static struct slot **
bucket_of(struct batch_rows *rows, size_t table, const void *key)
{
    size_t bytes = key_bytes(table_of(rows, table)->key, key);
    uint64_t hash = hash_end(hash_bytes(HASH_SEED + table, key, bytes));

    return &rows->buckets[hash % BUCKETS];
}

static struct slot *
slot_find(struct batch_rows *rows, size_t table, const void *key)
{
    size_t bytes = key_bytes(table_of(rows, table)->key, key);

    for (struct slot *slot = *bucket_of(rows, table, key); slot != NULL; slot = slot->next) {
        if (slot->table == table &&
            (slot->key == key || (key_bytes(table_of(rows, table)->key, slot->key) == bytes &&
                                  memcmp(slot->key, key, bytes) == 0)))
            return slot;
    }
    return NULL;
}

static struct slot **
row_bucket_of(struct batch_rows *rows, const void *row)
{
    return &rows->by_row[hash_end((uint64_t)(uintptr_t)row) % BUCKETS];
}

/* From here on the slot has its row. */
static void
slot_fill(struct batch_rows *rows, struct slot *slot, void *row, enum batch_row_state state)
{
    struct slot **bucket = row_bucket_of(rows, row);

    slot->row = row;
    slot->state = state;
    slot->next_by_row = *bucket;
    *bucket = slot;
}

static void
slots_add(struct batch_rows *rows, struct slots *slots, struct slot *slot)
{
    if (slots->count == slots->size) {
        size_t size = slots->size == 0 ? 32 : slots->size * 2;
        struct slot **items = arena_take(rows->arena, size * sizeof *items);

        if (slots->count != 0)
            memcpy(items, slots->items, slots->count * sizeof *items);
        slots->items = items;
        slots->size = size;
    }
    slots->items[slots->count++] = slot;
}

static void
touch(struct batch_rows *rows, size_t table, const void *key)
{
    size_t bytes = key_bytes(table_of(rows, table)->key, key);
    struct slot *slot, **bucket;

    if (slot_find(rows, table, key) != NULL)
        return;
    assert(table >= rows->loaded_up_to);
    bucket = bucket_of(rows, table, key);
    slot = arena_take(rows->arena, sizeof *slot);
    slot->table = table;
    slot->key = arena_copy(rows->arena, key, bytes);
    slot->next = *bucket;
    *bucket = slot;
    slots_add(rows, &rows->tables[table], slot);
}

void
batch_touch_uuid(struct batch_touch *view, size_t table, struct uuid id)
{
    assert(table_of(view->rows, table)->key == BATCH_KEY_UUID);
    touch(view->rows, table, &id);
}

void
batch_touch_text(struct batch_touch *view, size_t table, const char *key)
{
    assert(table_of(view->rows, table)->key == BATCH_KEY_TEXT);
    touch(view->rows, table, key);
}

void
batch_rows_touch_records(struct batch_rows *rows, struct uuid id)
{
    for (size_t i = 0; i < rows->service->table_count; i++) {
        if (rows->service->tables[i].is_record)
            touch(rows, i, &id);
    }
}

static void *
find(struct batch_rows *rows, size_t table, const void *key)
{
    struct slot *slot = slot_find(rows, table, key);

    assert(slot != NULL); /* a method that did not touch what it needs would decide blindly */
    return slot->row;
}

void *
batch_find_uuid(struct batch_rows *rows, size_t table, struct uuid id)
{
    return find(rows, table, &id);
}

void *
batch_find_text(struct batch_rows *rows, size_t table, const char *key)
{
    return find(rows, table, key);
}

struct batch_record *
batch_rows_record(struct batch_rows *rows, struct uuid id)
{
    struct batch_record *tombstone = NULL;

    for (size_t i = 0; i < rows->service->table_count; i++) {
        struct batch_record *record;

        if (!rows->service->tables[i].is_record)
            continue;
        record = find(rows, i, &id);
        if (record != NULL && record->fingerprint != 0)
            return record;
        if (record != NULL)
            tombstone = record;
    }
    return tombstone;
}

static void *
add(struct batch_rows *rows, size_t table, const void *key)
{
    const struct batch_table *kind = table_of(rows, table);
    struct slot *slot = slot_find(rows, table, key);
    char *at;

    assert(slot != NULL && slot->row == NULL && kind->insert != NULL);
    slot_fill(rows, slot, arena_take(rows->arena, kind->row_bytes), BATCH_ROW_NEW);
    at = (char *)slot->row + kind->key_offset;
    if (kind->key == BATCH_KEY_UUID)
        memcpy(at, key, sizeof(struct uuid));
    else
        memcpy(at, &slot->key, sizeof slot->key);
    if (kind->is_record)
        ((struct batch_record *)slot->row)->place = rows->added++;
    assert(rows->added <= BATCH_PLACES);
    return slot->row;
}

void *
batch_add_uuid(struct batch_rows *rows, size_t table, struct uuid id)
{
    return add(rows, table, &id);
}

void *
batch_add_text(struct batch_rows *rows, size_t table, const char *key)
{
    return add(rows, table, key);
}

/* The key as slots hold it, out of a row. */
static const void *
row_key(const struct batch_table *kind, const void *row)
{
    const void *at = (const char *)row + kind->key_offset;
    const char *text;

    if (kind->key == BATCH_KEY_UUID)
        return at;
    memcpy(&text, at, sizeof text);
    return text;
}

void
batch_changed(struct batch_rows *rows, void *row)
{
    struct slot *slot = *row_bucket_of(rows, row);

    while (slot != NULL && slot->row != row)
        slot = slot->next_by_row;
    assert(slot != NULL); /* else it is no row of this batch */
    if (slot->state == BATCH_ROW_NEW)
        return;
    assert(rows->service->tables[slot->table].update != NULL);
    slot->state = BATCH_ROW_CHANGED;
}

void
batch_record_fill(struct batch_rows *rows, struct batch_record *record, const struct op *op)
{
    char detail[PROBLEM_DETAIL_BYTES_MAX];

    record->id = op->id;
    record->fingerprint = op->fingerprint;
    record->reason = batch_keep(rows, problem_reason(&op->problem));
    record->detail = batch_keep(rows, problem_detail(&op->problem, detail));
}

void
batch_event(struct batch_rows *rows, const struct event *event)
{
    struct slot *slot = arena_take(rows->arena, sizeof *slot);
    struct event *copy = arena_take(rows->arena, sizeof *copy);

    assert(rows->service->has_events && event->version > 0);
    *copy = *event;
    copy->id = uuid_v7(event->time_us);
    copy->aggregatetype =
        arena_copy(rows->arena, event->aggregatetype, strlen(event->aggregatetype));
    copy->type = arena_copy(rows->arena, event->type, strlen(event->type));
    copy->payload = arena_copy(rows->arena, event->payload, strlen(event->payload));
    copy->traceparent = event->traceparent == NULL ? ""
                                                   : arena_copy(rows->arena, event->traceparent,
                                                                strlen(event->traceparent));
    slot->row = copy;
    slots_add(rows, &rows->events, slot);
}

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

/* A step that asks for all touched keys of a table. */
static struct pg_step
load_step(struct batch_rows *rows, size_t table)
{
    const struct batch_table *kind = &rows->service->tables[table];
    struct slots *slots = &rows->tables[table];
    const void **keys = arena_take(rows->arena, slots->count * sizeof *keys);

    slots_sort(kind, slots);
    for (size_t i = 0; i < slots->count; i++)
        keys[i] = kind->key == BATCH_KEY_UUID ? slots->items[i]->key : &slots->items[i]->key;
    return (struct pg_step){ .statement = kind->load, .rows = keys, .count = slots->count };
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

enum error
batch_rows_load(struct batch_rows *rows, struct pg *pg, int64_t *ret_now_us)
{
    static const char nothing;
    const void *no_row = &nothing;
    size_t table = 0;
    bool is_first = true;

    while (is_first || table < rows->service->table_count) {
        struct pg_step steps[BATCH_TABLES_MAX + 1];
        size_t loaded[BATCH_TABLES_MAX + 1], count = 0;
        bool is_followed = false;
        enum error error;

        if (is_first)
            steps[count++] =
                (struct pg_step){ .statement = &batch_now, .rows = &no_row, .count = 1 };
        for (; table < rows->service->table_count && !is_followed; table++) {
            if (rows->tables[table].count == 0)
                continue;
            loaded[count] = table;
            steps[count++] = load_step(rows, table);
            is_followed = rows->service->tables[table].follow != NULL;
        }
        error = count == 0 ? ERR_OK : pg_round(pg, is_first, steps, count, rows->arena);
        if (error != ERR_OK)
            return error;
        rows->loaded_up_to = table;
        for (size_t i = is_first ? 1 : 0; i < count; i++)
            take_loaded(rows, loaded[i], &steps[i]);
        if (is_first)
            memcpy(ret_now_us, steps[0].ret_rows, sizeof *ret_now_us);
        is_first = false;
    }
    return ERR_OK;
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

bool
batch_rows_is_dirty(const struct batch_rows *rows)
{
    for (size_t i = 0; i < rows->service->table_count; i++) {
        for (size_t j = 0; j < rows->tables[i].count; j++) {
            const struct slot *slot = rows->tables[i].items[j];

            if (slot->row != NULL && slot->state != BATCH_ROW_LOADED)
                return true;
        }
    }
    return rows->events.count > 0;
}

bool
batch_rows_has_events(const struct batch_rows *rows)
{
    return rows->events.count > 0;
}

const void *
batch_saved_next(const struct batch_rows *rows, size_t table, size_t *cursor,
                 enum batch_row_state *ret_state)
{
    const struct slots *slots = &rows->tables[table];

    while (*cursor < slots->count) {
        const struct slot *slot = slots->items[(*cursor)++];

        if (slot->row != NULL && slot->state != BATCH_ROW_LOADED) {
            *ret_state = slot->state;
            return slot->row;
        }
    }
    return NULL;
}
