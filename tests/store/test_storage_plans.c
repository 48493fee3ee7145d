/* How PostgreSQL does storage's statements: by their keys, in the partitions of their ids, whatever
 * the statistics say. The plans are those of the service's own sessions (pg.c). */
#include "tests/store/pg_fixture.h"
#include "tests/store/storage_fixture.h"

#include <jansson.h>

enum { WEEKS = 6, HOLDS_EACH = 2000 };

static struct pg_fixture fixture;
static struct pg *pg;
static struct arena *arena;
static const char *some_ids[2]; /* of two weeks */

/* What the service prepares: on its store connection, and on its read connection. */
static const struct pg_statement *statements[64];
static size_t statement_count;

static void
collect_statements(void)
{
    for (size_t i = 0; i < storage_service.table_count; i++) {
        const struct batch_table *table = &storage_service.tables[i];

        statements[statement_count++] = table->load;
        if (table->insert != NULL)
            statements[statement_count++] = table->insert;
        if (table->update != NULL)
            statements[statement_count++] = table->update;
    }
    for (size_t i = 0; storage_statements[i] != NULL; i++)
        statements[statement_count++] = storage_statements[i];
}

static void
open_pg(void)
{
    arena = arena_new();
    pg = pg_new(fixture.conninfo, "plans-test", statements);
    ck_assert_int_eq(pg_run(pg, "DISCARD PLANS"), ERR_OK);
}

static void
close_pg(void)
{
    pg = pg_free(pg);
    arena = arena_free(arena);
}

/* Holds and ops of the last weeks and products, none of them counted by ANALYZE. */
static void
fill(void)
{
    pg_fixture_run(fixture.conninfo,
                   "INSERT INTO product SELECT 'sku-' || i, 'JPY', 100, 10, 10, 0, 0"
                   " FROM generate_series(1, 5000) AS i");
    pg_fixture_run(fixture.conninfo,
                   "INSERT INTO hold SELECT (left(mesh_uuid_floor(now() - week * interval '7 days'"
                   " + i * interval '1 ms')::text, 14) || '7' || substr(md5(i::text), 1, 3) || '-8'"
                   " || substr(md5(i::text), 4, 3) || '-' || substr(md5(i::text), 7, 12))::uuid, 1,"
                   " '', '', 1 + i %% 4, 'r', '1 100 sku-' || 1 + i %% 5000 || chr(10), 'JPY', 100,"
                   " extract(epoch FROM now())::bigint * 1000000 - week * 604800000000 + i"
                   " FROM generate_series(0, %d) AS week, generate_series(1, %d) AS i",
                   WEEKS - 1, HOLDS_EACH);
    pg_fixture_run(fixture.conninfo, "INSERT INTO op SELECT id, 1, '', '', 'x' FROM hold");
}

/* A statement's parameters as text, of its columns' types: one row of each. */
static void
print_arguments(const struct pg_statement *statement, char text[1024])
{
    size_t used = 0;

    text[0] = '\0';
    for (const struct pg_column *column = statement->in; column != NULL && column->name != NULL;
         column++) {
        const char *value = column->type == PG_UUID                               ? some_ids[0]
                            : column->type == PG_TEXT || column->type == PG_BYTES ? "sku-77"
                                                                                  : "1";

        used +=
            (size_t)snprintf(text + used, 1024 - used, statement->is_single ? "%s'%s'" : "%s'{%s}'",
                             used > 0 ? ", " : "", value);
    }
}

static json_t *
explain(const char *how, const char *name, const char *arguments)
{
    char sql[2048];
    const char *text = NULL;
    json_t *plan;

    snprintf(sql, sizeof sql, "EXPLAIN (%sFORMAT JSON) EXECUTE %s%s%s%s", how, name,
             arguments[0] != '\0' ? "(" : "", arguments, arguments[0] != '\0' ? ")" : "");
    ck_assert_msg(pg_text(pg, sql, arena, &text) == ERR_OK, "%s", sql);
    plan = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(plan);
    return plan;
}

static const char *
text_of(const json_t *node, const char *key)
{
    const char *text = json_string_value(json_object_get(node, key));

    return text == NULL ? "" : text;
}

/* Every node that reads a table does so by an index, and by a condition on it. */
static void
expect_index_scans(const json_t *node, const char *name)
{
    const char *type = text_of(node, "Node Type");
    json_t *plan;
    size_t i;

    if (json_object_get(node, "Relation Name") != NULL && strcmp(type, "ModifyTable") != 0) {
        bool is_bitmap = strcmp(type, "Bitmap Heap Scan") == 0; /* a bitmap of an index */

        ck_assert_msg(is_bitmap || strncmp(type, "Index", 5) == 0, "%s: %s on %s", name, type,
                      text_of(node, "Relation Name"));
        if (strcmp(text_of(node, "Relation Name"), "sweep") == 0)
            return; /* a table of one row: its whole index is that row */
        ck_assert_msg(json_object_get(node, is_bitmap ? "Recheck Cond" : "Index Cond") != NULL,
                      "%s: the whole index of %s", name, text_of(node, "Relation Name"));
    }
    json_array_foreach(json_object_get(node, "Plans"), i, plan) expect_index_scans(plan, name);
}

static void
expect_all_by_index(void)
{
    char arguments[1024];

    for (size_t i = 0; i < statement_count; i++) {
        json_t *plan;

        print_arguments(statements[i], arguments);
        plan = explain("", statements[i]->name, arguments);
        expect_index_scans(json_object_get(json_array_get(plan, 0), "Plan"), statements[i]->name);
        json_decref(plan);
    }
}

START_TEST(every_statement_goes_by_an_index)
{
    expect_all_by_index();
}
END_TEST

/* How many tables' scans ran at least once, and how many rows they read in vain. */
static int
scans_that_ran(const json_t *node, const char *relation, int64_t *in_vain)
{
    const char *name = text_of(node, "Relation Name");
    int count = 0;
    json_t *plan;
    size_t i;

    if (strncmp(name, relation, strlen(relation)) == 0 &&
        strcmp(text_of(node, "Node Type"), "ModifyTable") != 0 &&
        json_integer_value(json_object_get(node, "Actual Loops")) > 0)
        count++;
    *in_vain += json_integer_value(json_object_get(node, "Rows Removed by Filter"));
    *in_vain += json_integer_value(json_object_get(node, "Rows Removed by Join Filter"));
    *in_vain += json_integer_value(json_object_get(node, "Rows Removed by Index Recheck"));
    json_array_foreach(json_object_get(node, "Plans"), i, plan) count +=
        scans_that_ran(plan, relation, in_vain);
    return count;
}

/* clang-format off */
static const struct {
    const char *statement, *relation, *more; /* parameters after the ids */
} by_id[] = {
    { "hold_load",   "hold_", "" },
    { "hold_get",    "hold_", "" },
    { "hold_update", "hold_", ", '{1,1}', '{1,1}'" },
    { "op_load",     "op_",   "" },
};
/* clang-format on */

START_TEST(only_the_partitions_of_the_ids_are_touched)
{
    int64_t in_vain = 0;
    char arguments[1024];
    json_t *plan;

    for (int weeks = 1; weeks <= 2; weeks++) {
        snprintf(arguments, sizeof arguments, "'{%s,%s}'%s", some_ids[0], some_ids[weeks - 1],
                 by_id[_i].more);
        plan = explain("ANALYZE, ", by_id[_i].statement, arguments);
        ck_assert_int_eq(scans_that_ran(json_object_get(json_array_get(plan, 0), "Plan"),
                                        by_id[_i].relation, &in_vain),
                         weeks);
        ck_assert_int_eq(in_vain, 0);
        json_decref(plan);
    }
}
END_TEST

/* The sweep reads what ended since, not the holds of all weeks. */
START_TEST(the_sweep_reads_only_its_range)
{
    char arguments[256];
    long long now_us;
    int64_t in_vain = 0;
    json_t *plan;

    now_us = pg_fixture_int(fixture.conninfo, "SELECT max(until_us) FROM hold");
    snprintf(arguments, sizeof arguments, "%lld, %lld", now_us - 400, now_us);
    plan = explain("ANALYZE, ", "hold_expired", arguments);
    scans_that_ran(json_object_get(json_array_get(plan, 0), "Plan"), "hold_", &in_vain);
    ck_assert_int_gt(in_vain, 0); /* it looks at states */
    ck_assert_int_le(in_vain, 400);
    json_decref(plan);
}
END_TEST

/* The trap: statistics that say "empty" of tables that are not any more. */
static void
count_while_empty(void)
{
    pg_fixture_run(fixture.conninfo, "TRUNCATE hold, op, product");
    pg_fixture_run(fixture.conninfo, "ANALYZE");
    fill();
}

static void
keep_ids(void)
{
    static char texts[2][PG_FIXTURE_TEXT_BYTES];

    for (int i = 0; i < 2; i++) {
        pg_fixture_text(fixture.conninfo, texts[i],
                        "SELECT id FROM hold WHERE id > mesh_uuid_floor(now() - interval '%d days')"
                        " ORDER BY id LIMIT 1",
                        i * 7);
        some_ids[i] = texts[i];
    }
}

static void
add_tests(TCase *cases)
{
    tcase_set_timeout(cases, 30);
    tcase_add_checked_fixture(cases, open_pg, close_pg);
    tcase_add_test(cases, every_statement_goes_by_an_index);
    tcase_add_loop_test(cases, only_the_partitions_of_the_ids_are_touched, 0,
                        (int)(sizeof by_id / sizeof by_id[0]));
    tcase_add_test(cases, the_sweep_reads_only_its_range);
}

int
main(void)
{
    Suite *suite = suite_create("storage_plans");
    TCase *fresh = tcase_create("fresh tables"), *empty = tcase_create("counted while empty");
    SRunner *runner;
    int failed;

    collect_statements();
    pg_fixture_open(&fixture, "storage_plans", "storage-svc/schema.sql");
    pg_fixture_run(fixture.conninfo,
                   "ALTER DATABASE %s SET track_counts = off", /* nobody analyzes meanwhile */
                   fixture.database);
    fill();
    keep_ids();
    add_tests(fresh);
    add_tests(empty);
    tcase_add_unchecked_fixture(empty, count_while_empty, NULL);
    suite_add_tcase(suite, fresh);
    suite_add_tcase(suite, empty);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    pg_fixture_close(&fixture);
    return failed == 0 ? 0 : 1;
}
