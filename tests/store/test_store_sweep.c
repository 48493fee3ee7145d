/* Sweeps as rows: an op of each row that is due, page after page; reports; statements that do it themselves. */
#include "mesh/observe/metrics.h"
#include "mesh/store/sweep.h"
#include "tests/support/check.h"
#include "tests/support/metrics_text.h"
#include "tests/support/store/counter_service.h"
#include "tests/support/store/pg_fixture.h"

#include <assert.h>

static struct pg_fixture fixture;
static struct batch *batch;
static struct pg *pg;
static struct arena *arena;

/* A note that was not written to is due. */
struct due {
    struct uuid id;
    int32_t version;
};

struct write_note {
    struct op op;
    struct due due;
    int32_t behind; /* is not of the row */
};

static void
write_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, COUNTER_NOTE, ((const struct write_note *)op)->due.id);
}

/* One of version 9 is refused, and stays. */
static void
write_decide(void *op, struct batch_rows *rows)
{
    struct write_note *write = op;
    struct note *note = batch_find_uuid(rows, COUNTER_NOTE, write->due.id);

    assert(write->behind == 0 && note->version == write->due.version);
    if (note->version == 9) {
        problem_set(&write->op.problem, ERR_REFUSED, NULL, "not this one");
        return;
    }
    note->written = "swept";
    batch_changed(rows, note);
}

static const struct method write_method = { .name = "WriteNote",
                                            .op_bytes = sizeof(struct write_note),
                                            .touch = write_touch,
                                            .decide = write_decide };

/* Takes of the row what it has room for. */
struct write_short {
    struct op op;
    struct uuid id;
};

static void
short_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, COUNTER_NOTE, ((const struct write_short *)op)->id);
}

static void
short_decide(void *op, struct batch_rows *rows)
{
    struct note *note = batch_find_uuid(rows, COUNTER_NOTE, ((struct write_short *)op)->id);

    note->written = "swept";
    batch_changed(rows, note);
}

static const struct method short_method = { .name = "WriteShort",
                                            .op_bytes = sizeof(struct write_short),
                                            .touch = short_touch,
                                            .decide = short_decide };

static const struct pg_column due_columns[] = {
    PG_COLUMN(struct due, id, PG_UUID),
    PG_COLUMN(struct due, version, PG_INT4),
    { 0 },
};
static const struct pg_column time_columns[] = { { "program_us", PG_INT8, 0 }, { 0 } };

/* Due from the first day of 2020 on: the program's time comes with the question. */
static const struct pg_statement note_due = {
    .name = "note_due",
    .sql = "SELECT id, version FROM note WHERE written IS NULL AND $1 > 1577836800000000"
           " ORDER BY version DESC, id" SWEEP_LIMIT,
    .in = time_columns,
    .is_single = true,
    .out = due_columns,
    .out_bytes = sizeof(struct due),
};
/* A note's version says for how many seconds it is due. */
static const struct pg_statement note_dated = {
    .name = "note_dated",
    .sql = "SELECT id, $1 - version * 1000000::bigint FROM note WHERE written IS NULL"
           " ORDER BY version DESC, id" SWEEP_LIMIT,
    .in = time_columns,
    .is_single = true,
    .out = walk_row_columns,
    .out_bytes = sizeof(struct walk_row),
};
static const struct pg_statement note_forget = {
    .name = "note_forget",
    .sql =
        "DELETE FROM note WHERE id IN (SELECT id FROM note WHERE written IS NULL" SWEEP_LIMIT ")",
    .is_single = true,
};
static const struct pg_statement note_broken = {
    .name = "note_broken",
    .sql = "SELECT id, version / 0 FROM note",
    .is_single = true,
    .out = due_columns,
    .out_bytes = sizeof(struct due),
};

static int reports;
static size_t reported;

static void
report(void *owner, const void *rows, size_t count)
{
    ck_assert_ptr_eq(owner, &fixture);
    ck_assert_int_eq(((const struct due *)rows)->version, 1);
    reports++;
    reported += count;
}

static bool
never(const void *owner)
{
    ck_assert_ptr_eq(owner, &fixture);
    return false;
}

enum { ALL_PAGES = SWEEP_PAGES_MAX * SWEEP_PAGE };
#define OPS SWEEP_OPS(&note_due, &write_method, struct write_note, due)
#define SHORT_OPS SWEEP_OPS(&note_due, &short_method, struct write_short, id)
#define BROKEN_OPS SWEEP_OPS(&note_broken, &write_method, struct write_note, due)

/* clang-format off */
static const struct {
    const char *what;
    struct sweep sweep;
    int due, refused;
    enum error error; /* of one run, and what is as it says after it */
    int left, reports, reported;
} runs[] = {
    /*                                                                        due  refused  error           left  reports, rows */
    { "nothing is due",          { OPS },                                        0,  0, ERR_OK,                  0, 0, 0 },
    { "an op of each row",       { OPS },                                        3,  0, ERR_OK,                  0, 0, 0 },
    { "a row longer than it",    { SHORT_OPS },                                  3,  0, ERR_OK,                  0, 0, 0 },
    { "full pages go on",        { OPS },                       2 * SWEEP_PAGE + 7,  0, ERR_OK,                  0, 0, 0 },
    { "one that is paced rests", { OPS, .is_paced = true },     2 * SWEEP_PAGE + 7,  0, ERR_OK,     SWEEP_PAGE + 7, 0, 0 },
    { "what fails comes again",  { OPS },                                        3,  2, ERR_STORE_DOWN,          2, 0, 0 },
    { "and ends the run",        { OPS },                           2 * SWEEP_PAGE,  1, ERR_STORE_DOWN, SWEEP_PAGE + 2, 0, 0 },
    { "rows are reported, once", { .statement = &note_due, .report = report },
                                                                    SWEEP_PAGE + 5,  0, ERR_OK,     SWEEP_PAGE + 5, 1, SWEEP_PAGE },
    { "nothing is not reported", { .statement = &note_due, .report = report },   0,  0, ERR_OK,                  0, 0, 0 },
    { "nobody wants it",         { OPS, .is_wanted = never },                    3,  0, ERR_OK,                  3, 0, 0 },
    { "a statement does it all", { .statement = &note_forget }, 2 * SWEEP_PAGE + 7,  0, ERR_OK,                  0, 0, 0 },
    { "as far as a run goes",    { .statement = &note_forget },     ALL_PAGES + 5,   0, ERR_OK,                  5, 0, 0 },
    { "a broken statement",      { BROKEN_OPS },                                 1,  0, ERR_INTERNAL,            1, 0, 0 },
};
/* clang-format on */

static void
set_up(void)
{
    static const struct pg_statement *const statements[] = { &note_due, &note_dated, &note_forget,
                                                             &note_broken, NULL };
    struct batch_options options = {
        .service = &counter_service, .conninfo = fixture.conninfo, .queue_max = 16, .batch_max = 256
    };

    pg_fixture_run(fixture.conninfo, "TRUNCATE note");
    batch = batch_open(&options);
    pg = pg_new(fixture.conninfo, "keeper-test", statements);
    arena = arena_new();
    reports = 0;
    reported = 0;
}

static void
tear_down(void)
{
    batch_stop(batch);
    batch = batch_close(batch);
    pg = pg_free(pg);
    arena_free(arena);
}

static void
make_notes(int count, int version)
{
    pg_fixture_run(fixture.conninfo,
                   "INSERT INTO note SELECT gen_random_uuid(), %d FROM generate_series(1, %d)",
                   version, count);
}

START_TEST(a_run)
{
    struct sweeper sweeper = { .sweep = &runs[_i].sweep, .batch = batch, .owner = &fixture };

    make_notes(runs[_i].due, 1);
    make_notes(runs[_i].refused, 9);
    ck_assert_msg(sweep_run(&sweeper, pg, arena) == runs[_i].error, "%s", runs[_i].what);
    ck_assert_msg(
        pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM note WHERE written IS NULL") ==
            runs[_i].left,
        "%s: left", runs[_i].what);
    ck_assert_msg(reports == runs[_i].reports && reported == (size_t)runs[_i].reported,
                  "%s: %d reports", runs[_i].what, reports);
}
END_TEST

#define SHOWN(name) metric_shown(metrics, "sagamesh_sweep_" name "{task=\"write\"}")

/* Another transaction has one of them: the others are done, and it the next time. Both runs are counted. */
START_TEST(a_locked_row_delays_itself)
{
    const struct sweep sweep = { OPS };
    struct sweeper sweeper = { .sweep = &sweep, .batch = batch };
    struct metrics *metrics = metrics_new();
    PGconn *rival = pg_fixture_connect(fixture.conninfo);
    char text[PG_FIXTURE_TEXT_BYTES];

    sweep_meter(&sweeper, metrics, "write");
    make_notes(5, 1);
    pg_fixture_ask(rival, "BEGIN", text);
    pg_fixture_ask(rival, "SELECT id FROM note LIMIT 1 FOR UPDATE", text);
    ck_assert_int_eq(sweep_run(&sweeper, pg, arena), ERR_STORE_DOWN);
    ck_assert_int_eq(
        pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM note WHERE written IS NULL"), 1);
    ck_assert(SHOWN("found_total") == 5 && SHOWN("done_total") == 4);
    pg_fixture_ask(rival, "COMMIT", text);
    ck_assert_int_eq(sweep_run(&sweeper, pg, arena), ERR_OK);
    ck_assert(SHOWN("found_total") == 6 && SHOWN("done_total") == 5);
    ck_assert(SHOWN("late_seconds") == METRIC_NOT_SHOWN); /* its rows do not say */
    metrics_free(metrics);
    ck_assert_int_eq(
        pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM note WHERE written IS NULL"), 0);
    PQfinish(rival);
}
END_TEST

/* Rows that say since when they are due: the last run shows the oldest, and none when it found none. */
START_TEST(a_run_shows_how_late_its_oldest_row_was)
{
    const struct sweep sweep = { .statement = &note_dated,
                                 .method = &short_method,
                                 .row_offset = offsetof(struct write_short, id),
                                 .due_offset = offsetof(struct walk_row, at_us) };
    struct sweeper sweeper = { .sweep = &sweep, .batch = batch };
    struct metrics *metrics = metrics_new();

    sweep_meter(&sweeper, metrics, "write");
    ck_assert(SHOWN("late_seconds") == 0);
    make_notes(3, 100);
    make_notes(1, 1000);
    make_notes(2, 7);
    ck_assert_int_eq(sweep_run(&sweeper, pg, arena), ERR_OK);
    ck_assert(SHOWN("found_total") == 6 && SHOWN("done_total") == 6);
    ck_assert(SHOWN("late_seconds") >= 1000 && SHOWN("late_seconds") < 1900);
    ck_assert_int_eq(sweep_run(&sweeper, pg, arena), ERR_OK);
    ck_assert(SHOWN("late_seconds") == 0);
    metrics_free(metrics);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("sweep");
    int failed;

    pg_fixture_open(&fixture, "store_sweep", "mesh/store/mesh.sql");
    pg_fixture_run(fixture.conninfo, "%s", counter_schema);
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_loop_test(cases, a_run, 0, ROWS(runs));
    tcase_add_test(cases, a_locked_row_delays_itself);
    tcase_add_test(cases, a_run_shows_how_late_its_oldest_row_was);
    failed = check_run("store_sweep", cases);
    pg_fixture_close(&fixture);
    return failed;
}
