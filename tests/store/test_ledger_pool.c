/* Another program's ledger: a pool of lenders' money, with a chart of accounts of its own, in a database that
 * has the ledger's tables and none of account-svc's. Only the ledger is linked. */
#include "account-svc/ledger/ledger_hold.h"
#include "tests/support/check.h"
#include "tests/support/store/service_fixture.h"

#include <sagamesh/ledger/v1/ledger_service.pb-c.h>
#include <string.h>

/* clang-format off */
const struct account_kind ledger_chart[] = {
    { "lender", ACCOUNT_CREDIT, OVERDRAFT_NEVER },   /* what the pool owes one */
    { "pool",   ACCOUNT_CREDIT, OVERDRAFT_BY_UNDO }, /* what they have put together */
    { "loan",   ACCOUNT_DEBIT,  OVERDRAFT_NEVER },   /* what a borrower owes the pool */
    { "bank",   ACCOUNT_DEBIT,  OVERDRAFT_ALWAYS },
    { 0 },
};
/* clang-format on */

static const struct batch_table tables[] = { [TABLE_OF_OPS] = OP_TABLE, LEDGER_TABLES };
static const struct batch_service pool_service = {
    .name = "pool", .tables = tables, .table_count = LEDGER_TABLES_END, .has_events = true
};

static const struct service_parts pool_parts = {
    .schema = "tests/store/ledger_pool.sql",
    .service = &pool_service,
    .methods = ledger_methods,
};

static void
open_pg(void)
{
    service_begin();
    pg_fixture_run(fixture.conninfo, "TRUNCATE account, transfer, ledger_hold, op, event");
}

static void
close_pg(void)
{
    service_end();
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM ledger_check()"), 0);
}

static char *
new_id_text(char text[UUID_TEXT_BYTES + 1])
{
    return uuid_print(new_id(), text);
}

/* Decodes a message as the wire does, and decides it. */
static struct problem
ask(const char *name, const ProtobufCMessage *message)
{
    struct test_call *test = service_op(name);
    struct problem problem;

    if (test->call.method->decode(message, test->call.arena, test->call.op) == ERR_OK)
        service_run(&pool_service, pg, &test, 1);
    problem = test->call.op->problem;
    call_fixture_free(test);
    return problem;
}

#define expect(wanted, got)                                                                        \
    do {                                                                                           \
        struct problem problem_ = got;                                                             \
                                                                                                   \
        ck_assert_msg(strcmp(problem_reason(&problem_), wanted) == 0, "got '%s': %s",              \
                      problem_reason(&problem_), problem_.text);                                   \
    } while (0)

static struct problem
open_account(const char *name)
{
    Sagamesh__Ledger__V1__OpenAccountRequest request =
        SAGAMESH__LEDGER__V1__OPEN_ACCOUNT_REQUEST__INIT;
    char id[UUID_TEXT_BYTES + 1];

    request.request_id = new_id_text(id);
    request.account = (char *)name;
    request.currency = "JPY";
    return ask("OpenAccount", &request.base);
}

static struct problem
transfer(const char *debit, const char *credit, int64_t amount_minor)
{
    Sagamesh__Ledger__V1__TransferRequest request = SAGAMESH__LEDGER__V1__TRANSFER_REQUEST__INIT;
    char id[UUID_TEXT_BYTES + 1];

    request.request_id = new_id_text(id);
    request.debit_account = (char *)debit;
    request.credit_account = (char *)credit;
    request.amount_minor = amount_minor;
    request.currency = "JPY";
    request.reference = "test";
    return ask("Transfer", &request.base);
}

/* What stands on it, on its normal side. */
static long long
balance(const char *name)
{
    return pg_fixture_int(fixture.conninfo,
                          "SELECT (credits_minor - debits_minor) * CASE normal_side WHEN 1 THEN -1 "
                          "ELSE 1 END FROM account WHERE key = '%s JPY'",
                          name);
}

START_TEST(money_moves_by_its_own_chart)
{
    static const char *const names[] = { "bank/mizuho", "lender/ann", "pool/autumn", "loan/bob" };

    for (size_t i = 0; i < ROWS(names); i++)
        expect("", open_account(names[i]));
    expect("", transfer("bank/mizuho", "lender/ann", 1000));
    expect("", transfer("lender/ann", "pool/autumn", 600));
    expect("NO_FUNDS", transfer("lender/ann", "pool/autumn", 401));
    expect("", transfer("loan/bob", "bank/mizuho", 250));
    expect("NO_FUNDS", transfer("bank/mizuho", "loan/bob", 251));   /* more than he owes */
    expect("NO_FUNDS", transfer("pool/autumn", "lender/ann", 601)); /* no undo */
    ck_assert_int_eq(balance("bank/mizuho"), 750);
    ck_assert_int_eq(balance("lender/ann"), 400);
    ck_assert_int_eq(balance("pool/autumn"), 600);
    ck_assert_int_eq(balance("loan/bob"), 250);
}
END_TEST

START_TEST(money_is_held)
{
    Sagamesh__Ledger__V1__HoldFundsRequest hold = SAGAMESH__LEDGER__V1__HOLD_FUNDS_REQUEST__INIT;
    Sagamesh__Ledger__V1__PostHoldRequest post = SAGAMESH__LEDGER__V1__POST_HOLD_REQUEST__INIT;
    char hold_id[UUID_TEXT_BYTES + 1], post_id[UUID_TEXT_BYTES + 1];

    expect("", open_account("bank/mizuho"));
    expect("", open_account("lender/ann"));
    expect("", open_account("pool/autumn"));
    expect("", transfer("bank/mizuho", "lender/ann", 1000));
    hold.request_id = new_id_text(hold_id);
    hold.debit_account = "lender/ann";
    hold.credit_account = "pool/autumn";
    hold.amount_minor = 800;
    hold.currency = "JPY";
    hold.hold_seconds = 60;
    expect("", ask("HoldFunds", &hold.base));
    expect("NO_FUNDS", transfer("lender/ann", "pool/autumn", 201));
    post.request_id = new_id_text(post_id);
    post.hold_id = hold_id;
    expect("", ask("PostHold", &post.base));
    ck_assert_int_eq(balance("pool/autumn"), 800);
}
END_TEST

/* The shop's kinds are nothing here, and so are the methods that name them. */
START_TEST(what_is_not_in_the_chart_is_refused)
{
    Sagamesh__Ledger__V1__OpenWalletRequest open = SAGAMESH__LEDGER__V1__OPEN_WALLET_REQUEST__INIT;
    Sagamesh__Ledger__V1__TopUpRequest topup = SAGAMESH__LEDGER__V1__TOP_UP_REQUEST__INIT;
    Sagamesh__Ledger__V1__ChargeRequest charge = SAGAMESH__LEDGER__V1__CHARGE_REQUEST__INIT;
    char id[UUID_TEXT_BYTES + 1];

    open.request_id = topup.request_id = charge.request_id = new_id_text(id);
    open.customer_id = topup.customer_id = charge.customer_id = "ann";
    open.currency = topup.currency = charge.currency = "JPY";
    topup.amount_minor = charge.amount_minor = 1;
    charge.order_id = "order";
    expect("BAD_REQUEST", open_account("wallet/ann"));
    expect("BAD_REQUEST", open_account("clearing/orders"));
    expect("BAD_REQUEST", ask("OpenWallet", &open.base));
    expect("BAD_REQUEST", ask("TopUp", &topup.base));
    expect("BAD_REQUEST", ask("Charge", &charge.base));
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM account"), 0);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("pool");

    tcase_add_checked_fixture(cases, open_pg, close_pg);
    tcase_add_test(cases, money_moves_by_its_own_chart);
    tcase_add_test(cases, money_is_held);
    tcase_add_test(cases, what_is_not_in_the_chart_is_refused);
    return service_fixture_check(&pool_parts, "ledger_pool", cases);
}
