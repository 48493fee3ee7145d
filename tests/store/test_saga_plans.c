/* How PostgreSQL does the journal's statements: by their keys, whatever the statistics say. */
#include "mesh/store/journal.h"
#include "tests/support/store/plan_fixture.h"

enum { WEEKS = 6, SAGAS_EACH = 2000 };

static void
fill(void)
{
    pg_fixture_run(plan_fixture.conninfo,
                   "INSERT INTO journal_page SELECT i %% 4, i, 1, '{}' FROM generate_series(1, %d)"
                   " AS i",
                   10 * SAGAS_EACH);
    pg_fixture_run(
        plan_fixture.conninfo,
        "INSERT INTO journal_final SELECT " PLAN_ID(
            "week", "i") ", 0, 1, 'ended', '{}', i * 100 + week"
                         " FROM generate_series(0, %d) AS week, generate_series(1, %d) AS i",
        WEEKS - 1, SAGAS_EACH);
    pg_fixture_run(plan_fixture.conninfo, "INSERT INTO journal_parked SELECT id, 0, 1, 1, 0,"
                                          " 'waiting', '{}' FROM journal_final");
    pg_fixture_run(plan_fixture.conninfo,
                   "INSERT INTO op SELECT id, 1, '', '', 'Cancel' FROM journal_final");
}

/* Over all weeks, for a saga that ends has an id of its start. */
START_TEST(ended_ones_come_in_the_order_of_an_index)
{
    json_t *all;
    const json_t *plan = plan_explain("", "journal_final_page", "'0', '500', '10'", &all);

    ck_assert(!plan_has_sort(plan));
    json_decref(all);
}
END_TEST

static void
add_tests(TCase *cases)
{
    tcase_add_test(cases, ended_ones_come_in_the_order_of_an_index);
}

int
main(void)
{
    static const struct pg_statement *const *const lists[] = { journal_statements, NULL };
    static const char *const small[] = { "journal_shard", NULL };
    static const char *const whole[] = { "journal_parked_index", NULL }; /* once, at start */
    const struct plan_spec spec = {
        .name = "saga_plans",
        .schema = "saga/schema",
        .lists = lists,
        .whole = whole,
        .small = small,
        .empty = "TRUNCATE journal_page, journal_parked, journal_final, op",
        .fill = fill,
        .add_tests = add_tests,
    };

    return plan_fixture_main(&spec);
}
