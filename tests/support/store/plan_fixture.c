#include "tests/support/store/plan_fixture.h"

#include <stdio.h>
#include <string.h>

enum { PLAN_STATEMENTS_MAX = 96 };

static const struct plan_spec *plan_spec;

struct pg_fixture plan_fixture;

static struct pg *plan_fixture_pg;

static struct arena *plan_fixture_arena;

static const struct pg_statement *plan_statements[PLAN_STATEMENTS_MAX];

static size_t plan_statement_count;

static void
plan_add(const struct pg_statement *statement)
{
    for (size_t i = 0; i < plan_statement_count; i++) {
        if (plan_statements[i] == statement)
            return;
    }
    if (statement != NULL)
        plan_statements[plan_statement_count++] = statement;
    if (plan_statement_count == PLAN_STATEMENTS_MAX) /* the last is the NULL at the end */
        pg_fixture_fail(plan_spec->name, "has more statements than PLAN_STATEMENTS_MAX");
}

/* What the program prepares: on its store connection, and on its others. */
static void
plan_collect(void)
{
    const struct batch_service *service = plan_spec->service;

    for (size_t i = 0; service != NULL && i < service->table_count; i++) {
        plan_add(service->tables[i].load);
        plan_add(service->tables[i].locked);
        plan_add(service->tables[i].insert);
        plan_add(service->tables[i].update);
    }
    if (service != NULL && service->has_events)
        plan_add(&event_append);
    for (size_t i = 0; plan_spec->lists[i] != NULL; i++) {
        for (size_t j = 0; plan_spec->lists[i][j] != NULL; j++)
            plan_add(plan_spec->lists[i][j]);
    }
}

static void
plan_open(void)
{
    plan_fixture_arena = arena_new();
    plan_fixture_pg = pg_new(plan_fixture.conninfo, "plans-test", plan_statements);
    ck_assert_int_eq(pg_run(plan_fixture_pg, "DISCARD PLANS"), ERR_OK);
}

static void
plan_close(void)
{
    plan_fixture_pg = pg_free(plan_fixture_pg);
    plan_fixture_arena = arena_free(plan_fixture_arena);
}

static const char *
plan_value(enum pg_type type)
{
    if (type == PG_UUID)
        return "0190a5f0-1c7b-7abc-8def-0123456789ab";
    return type == PG_TEXT || type == PG_BYTES ? "sku-77" : "1";
}

/* A statement's parameters as text, of its columns' types: one row of each. */
static void
plan_print_arguments(const struct pg_statement *statement, char text[2048])
{
    size_t used = 0;

    text[0] = '\0';
    for (const struct pg_column *column = statement->in; column != NULL && column->name != NULL;
         column++)
        used +=
            (size_t)snprintf(text + used, 2048 - used, statement->is_single ? "%s'%s'" : "%s'{%s}'",
                             used > 0 ? ", " : "", plan_value(column->type));
}

const json_t *
plan_explain(const char *how, const char *name, const char *arguments, json_t **ret_all)
{
    char sql[4096];
    const char *text = NULL;

    snprintf(sql, sizeof sql, "EXPLAIN (%sFORMAT JSON) EXECUTE %s%s%s%s", how, name,
             arguments[0] != '\0' ? "(" : "", arguments, arguments[0] != '\0' ? ")" : "");
    ck_assert_msg(pg_text(plan_fixture_pg, sql, plan_fixture_arena, &text) == ERR_OK, "%s", sql);
    *ret_all = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(*ret_all);
    return json_object_get(json_array_get(*ret_all, 0), "Plan");
}

const char *
plan_text(const json_t *node, const char *key)
{
    const char *text = json_string_value(json_object_get(node, key));

    return text == NULL ? "" : text;
}

static bool
plan_is_named(const char *const *names, const char *name)
{
    for (; names != NULL && *names != NULL; names++) {
        if (strcmp(*names, name) == 0)
            return true;
    }
    return false;
}

/* Every node that reads a table does so by an index, and by a condition on it. */
static void
plan_expect_index_scans(const json_t *node, const char *name)
{
    const char *type = plan_text(node, "Node Type"), *table = plan_text(node, "Relation Name");
    json_t *plan;
    size_t i;

    if (table[0] != '\0' && strcmp(type, "ModifyTable") != 0 && strcmp(table, "event_seq") != 0 &&
        strcmp(table, "order_seq") != 0) { /* a sequence is one row, without an index */
        bool is_bitmap = strcmp(type, "Bitmap Heap Scan") == 0; /* a bitmap of an index */

        ck_assert_msg(is_bitmap || strncmp(type, "Index", 5) == 0, "%s: %s on %s", name, type,
                      table);
        ck_assert_msg(json_object_get(node, is_bitmap ? "Recheck Cond" : "Index Cond") != NULL ||
                          plan_is_named(plan_spec->small, table) ||
                          plan_is_named(plan_spec->whole, name),
                      "%s: the whole index of %s", name, table);
    }
    json_array_foreach(json_object_get(node, "Plans"), i, plan) plan_expect_index_scans(plan, name);
}

START_TEST(every_statement_goes_by_an_index)
{
    char arguments[2048];
    json_t *all;

    ck_assert_uint_gt(plan_statement_count, 0);
    for (size_t i = 0; i < plan_statement_count; i++) {
        plan_print_arguments(plan_statements[i], arguments);
        plan_expect_index_scans(plan_explain("", plan_statements[i]->name, arguments, &all),
                                plan_statements[i]->name);
        json_decref(all);
    }
}
END_TEST

bool
plan_has_sort(const json_t *node)
{
    bool has = strstr(plan_text(node, "Node Type"), "Sort") != NULL;
    json_t *plan;
    size_t i;

    json_array_foreach(json_object_get(node, "Plans"), i, plan) has = has || plan_has_sort(plan);
    return has;
}

bool
plan_has_index(const json_t *node, const char *index)
{
    bool has = strcmp(plan_text(node, "Index Name"), index) == 0;
    json_t *plan;
    size_t i;

    json_array_foreach(json_object_get(node, "Plans"), i, plan) has =
        has || plan_has_index(plan, index);
    return has;
}

void
plan_expect_pages_by(const char *statement, const char *index)
{
    char arguments[2048];
    json_t *all;
    const json_t *plan;

    for (size_t i = 0; i < plan_statement_count; i++) {
        if (strcmp(plan_statements[i]->name, statement) != 0)
            continue;
        plan_print_arguments(plan_statements[i], arguments);
        plan = plan_explain("", statement, arguments, &all);
        ck_assert_msg(plan_has_index(plan, index), "%s: not by %s", statement, index);
        ck_assert_msg(!plan_has_sort(plan), "%s: it is sorted", statement);
        json_decref(all);
        return;
    }
    ck_abort_msg("there is no statement %s", statement);
}

/* The trap: statistics that say "empty" of tables that are not any more. */
static void
plan_count_while_empty(void)
{
    pg_fixture_run(plan_fixture.conninfo, "%s", plan_spec->empty);
    pg_fixture_run(plan_fixture.conninfo, "ANALYZE");
    plan_spec->fill();
}

static TCase *
plan_tests(const char *name)
{
    TCase *cases = check_case(name);

    tcase_add_checked_fixture(cases, plan_open, plan_close);
    tcase_add_test(cases, every_statement_goes_by_an_index);
    if (plan_spec->add_tests != NULL)
        plan_spec->add_tests(cases);
    return cases;
}

int
plan_fixture_main(const struct plan_spec *spec)
{
    TCase *fresh, *empty;
    int status;

    plan_spec = spec;
    plan_collect();
    pg_fixture_open(&plan_fixture, spec->name, spec->schema);
    pg_fixture_run(plan_fixture.conninfo,
                   "ALTER DATABASE %s SET track_counts = off", /* nobody analyzes meanwhile */
                   plan_fixture.database);
    spec->fill();
    fresh = plan_tests("fresh tables");
    empty = plan_tests("counted while empty");
    tcase_add_unchecked_fixture(empty, plan_count_while_empty, NULL);
    status = check_run(spec->name, fresh, empty);
    pg_fixture_close(&plan_fixture);
    return status;
}
