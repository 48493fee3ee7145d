/* Rows by key for many at once: by text and by id, some twice, some that are not there. */
#include "mesh/store/lookup.h"
#include "tests/support/check.h"
#include "tests/support/store/counter_service.h"
#include "tests/support/store/pg_fixture.h"

enum { ROWS = 500, ASKED = 3 * ROWS };

static struct pg_fixture fixture;
static struct pg *pg;
static struct arena *arena;

/* What a Get looks like, of either kind of key. */
struct get_counter {
    struct op op;
    int64_t before;
    const char *name;
    struct counter counter; /* result */
    int64_t behind;
};

struct get_note {
    struct op op; /* op.id is the note's */
    struct note note;
};

static void
missing(void *op)
{
    problem_set(&((struct op *)op)->problem, ERR_NOT_FOUND, "name", "there is no such row");
}

static const struct pg_statement counter_get = {
    .name = "counter_get",
    .sql = "SELECT name, value FROM counter WHERE name = ANY($1::text[])",
    .in = counter_key_text,
    .out = counter_columns,
    .out_bytes = sizeof(struct counter),
};

/* A join: asked for twice, a row comes twice; and in no order. */
static const struct pg_statement note_get = {
    .name = "note_get",
    .sql = "SELECT n.id, n.version, n.written FROM unnest($1::uuid[]) AS k(id)"
           " JOIN note n ON n.id = k.id ORDER BY random()",
    .in = counter_key_uuid,
    .out = note_columns,
    .out_bytes = sizeof(struct note),
};

static const struct lookup counter_lookup = {
    .statement = &counter_get,
    .key = BATCH_KEY_TEXT,
    .op_key_offset = offsetof(struct get_counter, name),
    .row_key_offset = offsetof(struct counter, name),
    .result_offset = offsetof(struct get_counter, counter),
    .missing = missing,
};

static const struct lookup note_lookup = {
    .statement = &note_get,
    .key = BATCH_KEY_UUID,
    .op_key_offset = offsetof(struct get_note, op.id),
    .row_key_offset = offsetof(struct note, id),
    .result_offset = offsetof(struct get_note, note),
    .missing = missing,
};

static void
set_up(void)
{
    static const struct pg_statement *const statements[] = { &counter_get, &note_get, &note_insert,
                                                             NULL };

    arena = arena_new();
    pg = pg_new(fixture.conninfo, "lookup-test", statements);
    ck_assert_int_eq(pg_connect(pg), ERR_OK);
    pg_fixture_run(fixture.conninfo, "TRUNCATE counter, note");
}

static void
tear_down(void)
{
    pg = pg_free(pg);
    arena = arena_free(arena);
}

/* Numbers 0 .. 2 * ROWS - 1 are asked for in a jumble, half of them are there, a third come twice. */
static int
number_asked(int i)
{
    return (i * 7919) % ASKED % (2 * ROWS);
}

START_TEST(each_finds_its_row_by_text)
{
    struct get_counter *gets = arena_take(arena, ASKED * sizeof *gets);
    struct op **ops = arena_take(arena, ASKED * sizeof *ops);

    pg_fixture_run(fixture.conninfo,
                   "INSERT INTO counter SELECT 'n' || i, i FROM generate_series(0, %d) AS i",
                   ROWS - 1);
    for (int i = 0; i < ASKED; i++) {
        gets[i] = (struct get_counter){ .before = -1, .behind = -2 };
        gets[i].name = arena_print(arena, "n%d", number_asked(i));
        ops[i] = &gets[i].op;
    }
    ck_assert_int_eq(lookup_read(&counter_lookup, pg, ops, ASKED, arena), ERR_OK);
    for (int i = 0; i < ASKED; i++) {
        bool is_there = number_asked(i) < ROWS;

        ck_assert_int_eq(gets[i].op.problem.error, is_there ? ERR_OK : ERR_NOT_FOUND);
        ck_assert_int_eq(gets[i].counter.value, is_there ? number_asked(i) : 0);
        ck_assert_int_eq(gets[i].before, -1);
        ck_assert_int_eq(gets[i].behind, -2);
    }
}
END_TEST

START_TEST(each_finds_its_row_by_id)
{
    static struct note notes[2 * ROWS];
    struct get_note *gets = arena_take(arena, ASKED * sizeof *gets);
    struct op **ops = arena_take(arena, ASKED * sizeof *ops);
    const void *rows[ROWS];
    struct pg_step step = { .statement = &note_insert, .rows = rows, .count = ROWS };

    for (int i = 0; i < 2 * ROWS; i++) {
        notes[i] = (struct note){ .id = uuid_v7(clock_now_us()), .version = i + 1, .written = "x" };
        if (i < ROWS)
            rows[i] = &notes[i];
    }
    ck_assert_int_eq(pg_round(pg, false, &step, 1, arena), ERR_OK);
    for (int i = 0; i < ASKED; i++) {
        gets[i] = (struct get_note){ .op.id = notes[number_asked(i)].id };
        ops[i] = &gets[i].op;
    }
    ck_assert_int_eq(lookup_read(&note_lookup, pg, ops, ASKED, arena), ERR_OK);
    for (int i = 0; i < ASKED; i++) {
        bool is_there = number_asked(i) < ROWS;

        ck_assert_int_eq(gets[i].op.problem.error, is_there ? ERR_OK : ERR_NOT_FOUND);
        ck_assert_int_eq(gets[i].note.version, is_there ? number_asked(i) + 1 : 0);
    }
}
END_TEST

START_TEST(nothing_is_found_in_an_empty_table)
{
    struct get_counter get = { .name = "n1" };
    struct op *ops[] = { &get.op };

    ck_assert_int_eq(lookup_read(&counter_lookup, pg, ops, 1, arena), ERR_OK);
    ck_assert_int_eq(get.op.problem.error, ERR_NOT_FOUND);
}
END_TEST

START_TEST(a_database_that_is_away_is_everybodys_answer)
{
    struct get_counter get = { .name = "n1" };
    struct op *ops[] = { &get.op };

    pg_disconnect(pg);
    ck_assert_int_eq(lookup_read(&counter_lookup, pg, ops, 1, arena), ERR_STORE_DOWN);
    ck_assert_int_eq(get.op.problem.error, ERR_OK); /* the reader sets it, for all */
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("lookup");
    int failed;

    pg_fixture_open(&fixture, "store_lookup", "mesh/store/mesh.sql");
    pg_fixture_run(fixture.conninfo, "%s", counter_schema);
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, each_finds_its_row_by_text);
    tcase_add_test(cases, each_finds_its_row_by_id);
    tcase_add_test(cases, nothing_is_found_in_an_empty_table);
    tcase_add_test(cases, a_database_that_is_away_is_everybodys_answer);
    failed = check_run("store_lookup", cases);
    pg_fixture_close(&fixture);
    return failed;
}
