/* How PostgreSQL does storage's statements: by their keys, in the partitions of their ids, whatever
 * the statistics say. The plans are those of the service's own sessions (pg.c). */
#include "tests/support/storage/storage_fixture.h"
#include "tests/support/store/plan_fixture.h"

#include <stdio.h>
#include <string.h>

enum { WEEKS = 6, HOLDS_EACH = 2000 };

/* Holds and ops of the last weeks and products, none of them counted by ANALYZE. */
static void
fill(void)
{
    pg_fixture_run(plan_fixture.conninfo,
                   "INSERT INTO product SELECT 'sku-' || i, 'JPY', 100, 10, 10, 0, 0"
                   " FROM generate_series(1, 5000) AS i");
    pg_fixture_run(
        plan_fixture.conninfo,
        "INSERT INTO hold SELECT " PLAN_ID(
            "week",
            "i") ", 1,"
                 " '', '', 1 + i %% 4, 'r', '1 100 sku-' || 1 + i %% 5000 || chr(10), 'JPY', 100,"
                 " extract(epoch FROM now())::bigint * 1000000 - week * 604800000000 + i"
                 " FROM generate_series(0, %d) AS week, generate_series(1, %d) AS i",
        WEEKS - 1, HOLDS_EACH);
    pg_fixture_run(plan_fixture.conninfo, "INSERT INTO op SELECT id, 1, '', '', 'x' FROM hold");
}

/* How many tables' scans ran at least once, and how many rows they read in vain. */
static int
scans_that_ran(const json_t *node, const char *relation, int64_t *in_vain)
{
    const char *name = plan_text(node, "Relation Name");
    int count = 0;
    json_t *plan;
    size_t i;

    if (strncmp(name, relation, strlen(relation)) == 0 &&
        strcmp(plan_text(node, "Node Type"), "ModifyTable") != 0 &&
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
    char arguments[1024], ids[2][PG_FIXTURE_TEXT_BYTES];
    const json_t *plan;
    json_t *all;

    /* The newest of this week's and of the last one's. They were made some time ago. */
    for (int i = 0; i < 2; i++)
        pg_fixture_text(plan_fixture.conninfo, ids[i],
                        "SELECT id FROM hold WHERE id < mesh_uuid_floor(now() - interval '%d days')"
                        " ORDER BY id DESC LIMIT 1",
                        i * 7 - 3);
    for (int weeks = 1; weeks <= 2; weeks++) {
        snprintf(arguments, sizeof arguments, "'{%.36s,%.36s}'%s", ids[0], ids[weeks - 1],
                 by_id[_i].more);
        plan = plan_explain("ANALYZE, ", by_id[_i].statement, arguments, &all);
        ck_assert_int_eq(scans_that_ran(plan, by_id[_i].relation, &in_vain), weeks);
        ck_assert_int_eq(in_vain, 0);
        json_decref(all);
    }
}
END_TEST

/* The sweep reads what ended since, not the holds of all weeks. */
START_TEST(the_sweep_reads_only_its_range)
{
    char arguments[256];
    long long now_us;
    int64_t in_vain = 0;
    json_t *all;

    now_us = pg_fixture_int(plan_fixture.conninfo, "SELECT max(until_us) FROM hold");
    snprintf(arguments, sizeof arguments, "%lld, %lld", now_us - 400, now_us);
    scans_that_ran(plan_explain("ANALYZE, ", "hold_expired", arguments, &all), "hold_", &in_vain);
    ck_assert_int_gt(in_vain, 0); /* it looks at states */
    ck_assert_int_le(in_vain, 400);
    json_decref(all);
}
END_TEST

static void
add_tests(TCase *cases)
{
    tcase_add_loop_test(cases, only_the_partitions_of_the_ids_are_touched, 0, ROWS(by_id));
    tcase_add_test(cases, the_sweep_reads_only_its_range);
}

int
main(void)
{
    static const struct pg_statement *const *const lists[] = { storage_statements, NULL };
    static const char *const small[] = { "sweep", NULL };
    const struct plan_spec spec = {
        .name = "storage_plans",
        .schema = "storage-svc/schema",
        .service = &storage_service,
        .lists = lists,
        .small = small,
        .empty = "TRUNCATE hold, op, product",
        .fill = fill,
        .add_tests = add_tests,
    };

    return plan_fixture_main(&spec);
}
