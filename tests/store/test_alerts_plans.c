/* How PostgreSQL does the statements of alerts-svc: by their keys, and pages in the order of one index. */
#include "tests/support/alerts/alerts_fixture.h"
#include "tests/support/store/plan_fixture.h"

enum { ROWS_EACH = 5000 };

/* Alerts of which one in ten is open, with what belongs to them. */
static void
fill(void)
{
    pg_fixture_run(
        plan_fixture.conninfo,
        "INSERT INTO alert (id, rule, severity, subject, payload, resolved_payload, occurred_us,"
        " detected_us, resolved_us, acknowledged_us, acknowledged_by, acknowledged_reason)"
        " SELECT md5(i::text)::uuid, 'RULE_' || chr(65 + i %% 3), 'high', i::text, '{}',"
        " CASE WHEN i %% 10 = 0 THEN '' ELSE '{}' END, i, i,"
        " CASE WHEN i %% 10 = 0 THEN 0 ELSE i END, 0, '', ''"
        " FROM generate_series(1, %d) AS i",
        ROWS_EACH);
    pg_fixture_run(plan_fixture.conninfo,
                   "INSERT INTO repair SELECT " PLAN_ID(
                       "0", "i") ", 1, '', '',"
                                 " md5(i::text)::uuid, 'ai', 'x', i, i, true, 'x'"
                                 " FROM generate_series(1, %d) AS i",
                   ROWS_EACH);
    pg_fixture_run(plan_fixture.conninfo,
                   "INSERT INTO notice SELECT a.id || '/raised/x', a.id, 'raised', 'x', 1,"
                   " CASE WHEN a.seq %% 100 = 0 THEN 1 ELSE 0 END FROM alert a");
    pg_fixture_run(plan_fixture.conninfo,
                   "INSERT INTO dead_letter SELECT " PLAN_ID(
                       "0", "i") ", 't', 1, i, 1, NULL,"
                                 " '\\x00', '', 'x', i, CASE WHEN i %% 100 = 0 THEN 1 ELSE 0 END"
                                 " FROM generate_series(1, %d) AS i",
                   ROWS_EACH);
    pg_fixture_run(plan_fixture.conninfo, "INSERT INTO op SELECT id, 1, '', '', 'x' FROM repair");
}

/* Alerts are few: those of a rule, or those that are open, may be sorted, but they alone are read. */
START_TEST(pages_go_by_an_index)
{
    static const struct {
        const char *statement, *index;
    } pages[] = { { "alert_page_open", "alert_open" }, { "alert_page_rule", "alert_by_rule" } };
    json_t *all;

    for (int i = 0; i < ROWS(pages); i++) {
        ck_assert_msg(plan_has_index(plan_explain("", pages[i].statement,
                                                  "'00000000-0000-0000-0000-000000000000', 10, 5,"
                                                  " 'RULE_A'",
                                                  &all),
                                     pages[i].index),
                      "%s", pages[i].statement);
        json_decref(all);
    }
    plan_expect_pages_by("alert_page_all", "alert_by_seq");
    plan_expect_pages_by("letter_page", "dead_letter_pkey");
}
END_TEST

static void
add_tests(TCase *cases)
{
    tcase_add_test(cases, pages_go_by_an_index);
}

int
main(void)
{
    static const struct pg_statement *const *const lists[] = { desk_statements, alert_statements,
                                                               NULL };
    static const char *const small[] = { "alert_source", "silence", NULL };
    const struct plan_spec spec = {
        .name = "alerts_plans",
        .schema = "alerts/schema",
        .service = &alert_service,
        .lists = lists,
        .small = small,
        .empty = "TRUNCATE alert, repair, notice, dead_letter, alert_source, op",
        .fill = fill,
        .add_tests = add_tests,
    };

    return plan_fixture_main(&spec);
}
