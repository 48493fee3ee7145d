#include "tests/support/store/counter_service.h"
#include "mesh/base/hash.h"

#include <string.h>

const char counter_schema[] =
    "CREATE TABLE counter (name text COLLATE \"C\" PRIMARY KEY, value bigint NOT NULL"
    "   CHECK (value BETWEEN 0 AND 1000000)) WITH (fillfactor = 80);"
    "CREATE TABLE note (id uuid PRIMARY KEY, version int NOT NULL, written text)";

const struct pg_column counter_key_text[] = { { "key", PG_TEXT, 0 }, { 0 } };

const struct pg_column counter_key_uuid[] = { { "id", PG_UUID, 0 }, { 0 } };

const struct pg_column counter_columns[] = {
    PG_COLUMN(struct counter, name, PG_TEXT),
    PG_COLUMN(struct counter, value, PG_INT8),
    { 0 },
};

const struct pg_column note_columns[] = {
    PG_COLUMN(struct note, id, PG_UUID),
    PG_COLUMN(struct note, version, PG_INT4),
    PG_COLUMN(struct note, written, PG_TEXT),
    { 0 },
};

static const struct pg_statement counter_load = {
    .name = "counter_load",
    .sql = "SELECT name, value FROM counter WHERE name = ANY($1::text[]) ORDER BY name FOR UPDATE",
    .in = counter_key_text,
    .out = counter_columns,
    .out_bytes = sizeof(struct counter),
};

static BATCH_LOCKED(counter_locked, "counter", "name", TEXT);

static const struct pg_statement counter_insert = {
    .name = "counter_insert",
    .sql = "INSERT INTO counter SELECT * FROM unnest($1::text[], $2::bigint[])"
           " ON CONFLICT DO NOTHING",
    .in = counter_columns,
};

static const struct pg_statement counter_update = {
    .name = "counter_update",
    .sql = "UPDATE counter c SET value = u.value FROM unnest($1::text[], $2::bigint[])"
           " AS u(name, value) WHERE c.name = u.name",
    .in = counter_columns,
};

static const struct pg_statement note_load = {
    .name = "note_load",
    .sql = "SELECT id, version, written FROM note WHERE id = ANY($1::uuid[])"
           " ORDER BY id FOR UPDATE",
    .in = counter_key_uuid,
    .out = note_columns,
    .out_bytes = sizeof(struct note),
};

static BATCH_LOCKED(note_locked, "note", "id", UUID);

const struct pg_statement note_insert = {
    .name = "note_insert",
    .sql = "INSERT INTO note SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[])"
           " ON CONFLICT DO NOTHING",
    .in = note_columns,
};

static const struct pg_statement note_update = {
    .name = "note_update",
    .sql = "UPDATE note n SET version = u.version, written = u.written"
           " FROM unnest($1::uuid[], $2::int[], $3::text[]) AS u(id, version, written)"
           " WHERE n.id = u.id",
    .in = note_columns,
};

static const struct batch_table counter_tables[] = {
    [COUNTER_OP] = OP_TABLE,
    [COUNTER_COUNTER] = { .name = "counter",
                          .row_bytes = sizeof(struct counter),
                          .key = BATCH_KEY_TEXT,
                          .key_offset = offsetof(struct counter, name),
                          .load = &counter_load,
                          .locked = &counter_locked,
                          .insert = &counter_insert,
                          .update = &counter_update },
    [COUNTER_NOTE] = { .name = "note",
                       .row_bytes = sizeof(struct note),
                       .key = BATCH_KEY_UUID,
                       .key_offset = offsetof(struct note, id),
                       .load = &note_load,
                       .locked = &note_locked,
                       .insert = &note_insert,
                       .update = &note_update },
};

const struct batch_service counter_service = {
    .name = "counter-test",
    .tables = counter_tables,
    .table_count = sizeof counter_tables / sizeof *counter_tables,
    .has_events = true,
};

static void
add_touch(const void *op, struct batch_touch *touch)
{
    const struct add *add = op;

    batch_touch_text(touch, COUNTER_COUNTER, add->name);
    if (add->name_too != NULL)
        batch_touch_text(touch, COUNTER_COUNTER, add->name_too);
    if (!uuid_is_nil(add->note_id))
        batch_touch_uuid(touch, COUNTER_NOTE, add->note_id);
}

static void
add_note(struct add *add, struct batch_rows *rows)
{
    struct note *note = batch_find_uuid(rows, COUNTER_NOTE, add->note_id);
    struct event event = { .aggregatetype = "note",
                           .aggregateid = add->note_id,
                           .type = "note.written",
                           .payload = "{}",
                           .time_us = add->op.now_us };

    if (note == NULL)
        note = batch_add_uuid(rows, COUNTER_NOTE, add->note_id);
    note->version++;
    note->written = add->name;
    batch_changed(rows, note);
    event.version = note->version;
    batch_event(rows, &event);
}

static void
add_to(struct add *add, const char *name, struct batch_rows *rows)
{
    struct counter *counter = batch_find_text(rows, COUNTER_COUNTER, name);

    if (counter == NULL)
        counter = batch_add_text(rows, COUNTER_COUNTER, name);
    counter->value += add->amount;
    batch_changed(rows, counter);
}

static void
add_decide(void *op, struct batch_rows *rows)
{
    struct add *add = op;
    const struct counter *counter = batch_find_text(rows, COUNTER_COUNTER, add->name);

    add->decided++;
    if ((counter == NULL ? 0 : counter->value) + add->amount < 0) {
        problem_refuse(&add->op.problem, "TOO_LOW", "amount", "'%s' would fall below 0", add->name);
    } else {
        add_to(add, add->name, rows);
        if (add->name_too != NULL)
            add_to(add, add->name_too, rows);
        if (!uuid_is_nil(add->note_id))
            add_note(add, rows);
    }
    op_record(rows, &add->op, "Add");
}

static void
add_answer(void *op, struct batch_rows *rows)
{
    struct add *add = op;
    const struct counter *counter = batch_find_text(rows, COUNTER_COUNTER, add->name);

    add->value = counter->value;
}

static const struct method counter_add = {
    .name = "Add",
    .op_bytes = sizeof(struct add),
    .touch = add_touch,
    .decide = add_decide,
    .answer = add_answer,
};

struct test_call *
counter_call(struct uuid id, const char *name, const char *name_too, int64_t amount)
{
    struct test_call *test = call_fixture_new(&counter_add);
    struct add *add = (struct add *)test->call.op;

    add->op.id = id;
    add->name = arena_copy(test->call.arena, name, strlen(name));
    add->name_too =
        name_too == NULL ? NULL : arena_copy(test->call.arena, name_too, strlen(name_too));
    add->amount = amount;
    add->op.fingerprint = hash_end(hash_int(hash_text(HASH_SEED, name), amount));
    return test;
}

struct add *
counter_op(struct test_call *test)
{
    return (struct add *)test->call.op;
}
