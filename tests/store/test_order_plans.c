/* How PostgreSQL does order-svc's statements: by their keys, and pages in the order of an index,
 * whatever the statistics say. */
#include "mesh/kafka/relay.h"
#include "tests/support/order/order_fixture.h"
#include "tests/support/store/plan_fixture.h"

enum { WEEKS = 6, ORDERS_EACH = 2000 };

static void
fill(void)
{
    pg_fixture_run(
        plan_fixture.conninfo,
        "INSERT INTO orders SELECT " PLAN_ID(
            "week",
            "i") ", 1, '', '',"
                 " 'customer-' || i %% 500, 'JPY', E'1 pen\\n', 1 + i %% 4, 2, 1,"
                 " CASE i %% 4 WHEN 3 THEN 'NO_STOCK' ELSE '' END, '', i %% 9 = 0,"
                 " extract(epoch FROM now())::bigint * 1000000 - week * 604800000000 + i, 2000,"
                 " 'f', 'wallet', ''"
                 " FROM generate_series(0, %d) AS week, generate_series(1, %d) AS i",
        WEEKS - 1, ORDERS_EACH);
    pg_fixture_run(plan_fixture.conninfo, "INSERT INTO op SELECT id, 1, '', '', 'x' FROM orders");
    pg_fixture_run(plan_fixture.conninfo,
                   "INSERT INTO event (id, aggregatetype, aggregateid, version, type, payload,"
                   " time_us, traceparent) SELECT id, 'order', id, v, 'x', '{}', 1, ''"
                   " FROM orders, generate_series(1, 3) AS v");
    pg_fixture_run(plan_fixture.conninfo,
                   "INSERT INTO idempotency SELECT 'key-' || id, '\\x01', id, id, 5, 0, '',"
                   " placed_at_us FROM orders");
}

/* clang-format off */
static const struct {
    const char *statement, *index;
} pages[] = {
    { "order_page",     "orders_by_customer_and_seq" },
    { "order_page_all", "orders_by_seq" },
};
/* clang-format on */

START_TEST(pages_come_in_the_order_of_an_index)
{
    plan_expect_pages_by(pages[_i].statement, pages[_i].index);
}
END_TEST

/* The sweep's walk: a page of the index, then what is found in it is looked at. */
START_TEST(the_sweep_walks_its_index)
{
    json_t *all;
    const json_t *plan = plan_explain("", "order_open", "'1', '99', '5'", &all);

    ck_assert(plan_has_index(plan, "orders_by_seq"));
    json_decref(all);
}
END_TEST

static void
add_tests(TCase *cases)
{
    tcase_add_loop_test(cases, pages_come_in_the_order_of_an_index, 0, ROWS(pages));
    tcase_add_test(cases, the_sweep_walks_its_index);
}

int
main(void)
{
    static const struct pg_statement *const *const lists[] = { order_statements, relay_statements,
                                                               NULL };
    static const char *const small[] = { "sweep", "event_cursor", NULL };
    const struct plan_spec spec = {
        .name = "order_plans",
        .schema = "order-svc/schema",
        .service = &order_service,
        .lists = lists,
        .small = small,
        .empty = "TRUNCATE orders, op, event, idempotency",
        .fill = fill,
        .add_tests = add_tests,
    };

    return plan_fixture_main(&spec);
}
