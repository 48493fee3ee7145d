/* How PostgreSQL does account-svc's statements, the ledger's and the payments': by their keys, whatever
 * the statistics say. */
#include "account-svc/account.h"
#include "account-svc/payment/payment_op.h"
#include "tests/support/account/account_fixture.h"
#include "tests/support/store/plan_fixture.h"

enum { WEEKS = 6, EACH = 1000 };

static void
fill_ledger(void)
{
    pg_fixture_run(plan_fixture.conninfo,
                   "INSERT INTO account SELECT 'wallet/' || i || ' JPY', 2, 0, 0, 0, 0"
                   " FROM generate_series(1, 5000) AS i");
    pg_fixture_run(
        plan_fixture.conninfo,
        "INSERT INTO transfer SELECT " PLAN_ID(
            "week", "i") ", 1, '', '', 1, 'charge',"
                         " 'wallet/' || i || ' JPY', 'clearing/orders JPY', 5, 'r', NULL, NULL, i"
                         " FROM generate_series(0, %d) AS week, generate_series(1, %d) AS i",
        WEEKS - 1, EACH);
    pg_fixture_run(plan_fixture.conninfo, "INSERT INTO op SELECT id, 1, '', '', 'x' FROM transfer");
    pg_fixture_run(plan_fixture.conninfo,
                   "INSERT INTO ledger_hold SELECT id, 1, debit_key, credit_key, 5, 0, NULL, 'r',"
                   " posted_at_us FROM transfer");
}

static void
fill_payments(void)
{
    pg_fixture_run(plan_fixture.conninfo,
                   "INSERT INTO payment SELECT id, 1, '', '', id, 'sandbox', 5, 'JPY', '', '',"
                   " 2, 1, false, 0, 2, 1 + (posted_at_us %% 2)::int, '', '', 0, '', 0,"
                   " posted_at_us, posted_at_us, '' FROM transfer");
    pg_fixture_run(plan_fixture.conninfo,
                   "INSERT INTO payment_inbox SELECT 'sandbox ' || id, id, id, posted_at_us"
                   " FROM transfer");
    pg_fixture_run(plan_fixture.conninfo,
                   "INSERT INTO provider_task SELECT id, 'sandbox', 2, posted_at_us, false, 0, 0,"
                   " 2, 0, 0, false, false, 0, 0, posted_at_us %% 2 FROM transfer");
    pg_fixture_run(plan_fixture.conninfo,
                   "INSERT INTO event (id, aggregatetype, aggregateid, version, type, payload,"
                   " time_us, traceparent) SELECT id, 'payment', id, v, 'x', '{}', 1, ''"
                   " FROM transfer, generate_series(1, 3) AS v");
}

static void
fill(void)
{
    fill_ledger();
    fill_payments();
}

int
main(void)
{
    static const struct pg_statement *const *const lists[] = { ledger_statements,
                                                               payment_statements, NULL };
    static const char *const small[] = { "sweep", NULL };
    const struct plan_spec spec = {
        .name = "account_plans",
        .schema = "account-svc/schema",
        .service = &account_service,
        .lists = lists,
        .small = small,
        .empty = "TRUNCATE account, transfer, ledger_hold, op, event, payment, payment_inbox,"
                 " provider_task",
        .fill = fill,
    };

    return plan_fixture_main(&spec);
}
