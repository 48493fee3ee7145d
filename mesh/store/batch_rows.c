#include "mesh/base/hash.h"
#include "mesh/store/batch_rows_inner.h"
#include "mesh/store/event.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The maps go with the rows: their memory is the arena's. */
#undef uthash_malloc
#undef uthash_free
#define uthash_malloc(bytes) arena_take(rows->arena, bytes)
#define uthash_free(memory, bytes) ((void)(memory))

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

struct slot *
slot_find(struct batch_rows *rows, size_t table, const void *key)
{
    struct slot *slot;

    HASH_FIND(by_key, rows->by_key[table], key, key_bytes(table_of(rows, table)->key, key), slot);
    return slot;
}

/* From here on the slot has its row. */
void
slot_fill(struct batch_rows *rows, struct slot *slot, void *row, enum batch_row_state state)
{
    slot->row = row;
    slot->state = state;
    HASH_ADD(by_row, rows->by_row, row, sizeof slot->row, slot);
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
look(struct batch_touch *view, size_t table, const void *key)
{
    const struct slot *slot = slot_find(view->rows, table, key);
    const struct batch_table *kind = &view->rows->service->tables[table];

    if (table == view->table || (slot != NULL && slot->is_locked))
        view->is_found = true;
    else if (slot != NULL && slot->row != NULL && kind->follow != NULL)
        kind->follow(slot->row, view);
}

static void
touch(struct batch_rows *rows, size_t table, const void *key)
{
    size_t bytes = key_bytes(table_of(rows, table)->key, key);
    struct slot *slot;
    unsigned hash;

    HASH_VALUE(key, bytes, hash);
    HASH_FIND_BYHASHVALUE(by_key, rows->by_key[table], key, bytes, hash, slot);
    if (slot != NULL)
        return;
    assert(table >= rows->loaded_up_to);
    slot = arena_take(rows->arena, sizeof *slot);
    slot->table = table;
    slot->key = arena_copy(rows->arena, key, bytes);
    HASH_ADD_KEYPTR_BYHASHVALUE(by_key, rows->by_key[table], slot->key, bytes, hash, slot);
    slots_add(rows, &rows->tables[table], slot);
}

void
batch_touch_uuid(struct batch_touch *view, size_t table, struct uuid id)
{
    assert(table_of(view->rows, table)->key == BATCH_KEY_UUID);
    if (view->is_asked)
        look(view, table, &id);
    else
        touch(view->rows, table, &id);
}

void
batch_touch_text(struct batch_touch *view, size_t table, const char *key)
{
    assert(table_of(view->rows, table)->key == BATCH_KEY_TEXT);
    if (view->is_asked)
        look(view, table, key);
    else
        touch(view->rows, table, key);
}

/* Goes through all keys of the call as they were touched, records first. */
static bool
ask(struct batch_rows *rows, const struct call *call, size_t table)
{
    struct batch_touch view = { .rows = rows, .is_asked = true, .table = table };

    for (size_t i = 0; i < rows->service->table_count; i++) {
        if (rows->service->tables[i].is_record)
            look(&view, i, &call->op->id);
    }
    if (call->method->touch != NULL)
        call->method->touch(call->op, &view);
    return view.is_found;
}

bool
batch_rows_needs_locked(struct batch_rows *rows, const struct call *call)
{
    return ask(rows, call, BATCH_TABLES_MAX);
}

bool
batch_rows_needs_table(struct batch_rows *rows, const struct call *call,
                       const struct pg_statement *statement)
{
    for (size_t i = 0; i < rows->service->table_count; i++) {
        const struct batch_table *kind = &rows->service->tables[i];

        if (statement == kind->load || statement == kind->locked)
            return ask(rows, call, i);
    }
    return false;
}

size_t
batch_rows_count_locked(const struct batch_rows *rows, const char **ret_table, int *ret_pid)
{
    *ret_table = rows->service->tables[rows->locked_table].name;
    *ret_pid = rows->locked_by;
    return rows->locked_count;
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
const void *
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
    struct slot *slot;

    HASH_FIND(by_row, rows->by_row, &row, sizeof row, slot);
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
