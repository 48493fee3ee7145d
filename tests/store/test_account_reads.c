/* What is read from the ledger, and what its schema refuses by itself. */
#include "account-svc/payment/payment_op.h"
#include "tests/support/account/account_fixture.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

static struct arena *arena;

static void
set_up(void)
{
    service_begin();
    arena = arena_new();
}

static void
tear_down(void)
{
    service_end();
    arena = arena_free(arena);
}

static void
make_wallet(const char *customer, int64_t amount_minor)
{
    ledger_expect(pg, ledger_open(new_id(), customer), "");
    if (amount_minor > 0)
        ledger_expect(pg, ledger_topup(new_id(), customer, amount_minor), "");
}

/* ---- reads ---- */

START_TEST(accounts_are_read_together)
{
    struct get_account gets[4] = {
        { .key = "wallet/ann JPY", .field = "account" },
        { .key = "wallet/nobody JPY", .field = "customer_id" },
        { .key = "wallet/ann JPY", .field = "account" }, /* two callers, one row */
        { .key = "world/topups JPY", .field = "account" },
    };
    struct op *ops[4] = { &gets[0].op, &gets[1].op, &gets[2].op, &gets[3].op };

    make_wallet("ann", 100);
    ledger_expect(pg, ledger_charge(new_id(), "ann", 30), "");
    ck_assert_int_eq(service_read("GetAccount", ops, 4, arena), ERR_OK);
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(gets[i].op.problem.error, i == 1 ? ERR_NOT_FOUND : ERR_OK);
    ck_assert_str_eq(gets[1].op.problem.field, "customer_id");
    ck_assert_int_eq(gets[0].account.debits_minor, 30);
    ck_assert_int_eq(gets[2].account.credits_minor, 100);
    ck_assert_int_eq(account_balance_minor(&gets[0].account), 70);
    ck_assert_int_ge(account_balance_minor(&gets[3].account), 100);
    ck_assert_int_eq(service_read("Balance", ops, 1, arena), ERR_OK);
    ck_assert_int_eq(account_balance_minor(&gets[0].account), 70);
}
END_TEST

START_TEST(only_posted_transfers_are_read)
{
    struct get_transfer gets[5] = { 0 };
    struct op *ops[5];

    for (size_t i = 0; i < 5; i++) {
        gets[i].op.id = new_id();
        ops[i] = &gets[i].op;
    }
    make_wallet("ben", 10);
    ledger_expect(pg, ledger_charge(gets[0].op.id, "ben", 10), "");
    ledger_expect(pg, ledger_refund(gets[1].op.id, gets[0].op.id), "");
    ledger_expect(pg, ledger_charge(gets[2].op.id, "ben", 11), "NO_FUNDS");
    ledger_expect(pg, ledger_refund(new_id(), gets[3].op.id), ""); /* a tombstone */
    ck_assert_int_eq(service_read("GetTransfer", ops, 5, arena), ERR_OK);
    for (size_t i = 0; i < 5; i++)
        ck_assert_int_eq(gets[i].op.problem.error, i < 2 ? ERR_OK : ERR_NOT_FOUND);
    ck_assert_str_eq(gets[0].transfer.kind, "charge");
    ck_assert_str_eq(gets[0].transfer.debit_key, "wallet/ben JPY");
    ck_assert_str_eq(gets[0].transfer.reference, "order of ben");
    ck_assert_int_eq(gets[0].transfer.amount_minor, 10);
    ck_assert(uuid_equal(gets[0].transfer.reversed_by, gets[1].op.id));
    ck_assert(uuid_is_nil(gets[0].transfer.reverses_id));
    ck_assert_str_eq(gets[1].transfer.kind, "refund");
    ck_assert_str_eq(gets[1].transfer.credit_key, "wallet/ben JPY");
    ck_assert(uuid_equal(gets[1].transfer.reverses_id, gets[0].op.id));
    ck_assert_int_gt(gets[0].transfer.posted_at_us, clock_now_us() - 60 * SECOND_US);
}
END_TEST

enum { LISTED = 11, PAGE = 3 };

/* An id as a caller makes it who could not send for a while: of so many days ago. */
static struct uuid
old_id(int64_t days)
{
    return uuid_v7(clock_now_us() - days * 24 * 3600 * SECOND_US);
}

/* Makes transfers of all kinds, among them some that no statement lists; the later, the older is its id. */
static void
make_history(struct uuid listed[LISTED])
{
    for (size_t i = 0; i < LISTED; i++) {
        listed[i] = old_id((int64_t)i);
        if (i % 4 == 0)
            ledger_expect(pg, ledger_topup(listed[i], "cat", 10), "");
        else if (i % 4 == 1)
            ledger_expect(pg, ledger_charge(listed[i], "cat", 3), "");
        else if (i % 4 == 2)
            ledger_expect(pg, ledger_refund(listed[i], listed[i - 1]), "");
        else
            ledger_expect(pg, ledger_move("Transfer", listed[i], "cat", "dan", 1), "");
        ledger_expect(pg, ledger_charge(new_id(), "cat", 100000), "NO_FUNDS");
        ledger_expect(pg, ledger_topup(new_id(), "dan", 1), ""); /* somebody else's */
    }
}

START_TEST(statement_goes_page_by_page)
{
    struct statement page = { .key = "wallet/cat JPY", .page_size = PAGE };
    struct op *op = &page.op;
    struct uuid listed[LISTED];
    size_t left = LISTED;

    make_wallet("cat", 0);
    make_wallet("dan", 0);
    make_history(listed);
    do {
        ck_assert_int_eq(service_read("Statement", &op, 1, arena), ERR_OK);
        ck_assert_uint_eq(page.count, left < PAGE ? left : PAGE);
        for (size_t i = 0; i < page.count; i++) /* newest first */
            ck_assert(uuid_equal(page.transfers[i].record.id, listed[--left]));
        ck_assert(page.has_more == (left > 0));
        page.before_id = page.transfers[page.count - 1].record.id;
    } while (page.has_more);
    ck_assert_uint_eq(left, 0);

    page.page_size = LISTED; /* exactly all of them: nothing more */
    memset(&page.before_id, 0, sizeof page.before_id);
    ck_assert_int_eq(service_read("Statement", &op, 1, arena), ERR_OK);
    ck_assert_uint_eq(page.count, LISTED);
    ck_assert(!page.has_more);
    page.key = "wallet/nobody JPY";
    ck_assert_int_eq(service_read("Statement", &op, 1, arena), ERR_OK);
    ck_assert_uint_eq(page.count, 0);
    page.key = "wallet/dan JPY"; /* a transfer between wallets stands in both statements */
    page.page_size = 100;
    ck_assert_int_eq(service_read("Statement", &op, 1, arena), ERR_OK);
    ck_assert_uint_eq(page.count, LISTED + LISTED / 4);
}
END_TEST

static const struct uuid newest; /* before it: all */

static void
statement_read(struct statement *page, const char *key, struct uuid before, int32_t page_size)
{
    struct op *op = &page->op;

    page->key = key;
    page->before_id = before;
    page->page_size = page_size;
    ck_assert_int_eq(service_read("Statement", &op, 1, arena), ERR_OK);
}

START_TEST(a_batch_is_booked_in_the_order_of_arrival)
{
    struct test_call *tests[LISTED];
    struct uuid ids[LISTED];
    struct statement page = { 0 };

    make_wallet("eva", 0);
    make_wallet("fay", 0);
    for (size_t i = 0; i < LISTED; i++) {
        ids[i] = old_id((int64_t)(i * 7 % LISTED));
        tests[i] = i % 3 == 2 ? ledger_move("Transfer", ids[i], "eva", "fay", 1)
                              : ledger_topup(ids[i], "eva", 5);
    }
    service_run(&account_service, pg, tests, LISTED);
    for (size_t i = 0; i < LISTED; i++) {
        ck_assert_int_eq(tests[i]->call.op->problem.error, ERR_OK);
        call_fixture_free(tests[i]);
    }
    statement_read(&page, "wallet/eva JPY", newest, 100);
    ck_assert_uint_eq(page.count, LISTED);
    for (size_t i = 0; i < LISTED; i++)
        ck_assert(uuid_equal(page.transfers[i].record.id, ids[LISTED - 1 - i]));
    statement_read(&page, "wallet/fay JPY", newest, 100);
    ck_assert_uint_eq(page.count, LISTED / 3);
}
END_TEST

/* Who reads until the last one it knows misses none, and who is in the middle of pages sees none twice. */
START_TEST(what_is_booked_meanwhile_comes_before_all_others)
{
    struct statement page = { 0 };
    struct uuid first = old_id(1), second = new_id(), third = old_id(40), unknown = new_id();

    make_wallet("gil", 0);
    ledger_expect(pg, ledger_topup(first, "gil", 1), "");
    ledger_expect(pg, ledger_topup(second, "gil", 1), "");
    statement_read(&page, "wallet/gil JPY", newest, 1);
    ck_assert(uuid_equal(page.transfers[0].record.id, second));
    ck_assert(page.has_more);
    ledger_expect(pg, ledger_topup(third, "gil", 1), "");
    statement_read(&page, "wallet/gil JPY", second, 100);
    ck_assert_uint_eq(page.count, 1);
    ck_assert(uuid_equal(page.transfers[0].record.id, first));
    statement_read(&page, "wallet/gil JPY", newest, 100);
    ck_assert_uint_eq(page.count, 3);
    ck_assert(uuid_equal(page.transfers[0].record.id, third));
    statement_read(&page, "wallet/gil JPY", unknown, 100);
    ck_assert_uint_eq(page.count, 0);
}
END_TEST

/* ---- the schema by itself ---- */

/* clang-format off */
static const struct {
    const char *what, *sql;
} refused[] = {
    { "an overdrawn wallet",
      "INSERT INTO account VALUES ('wallet/x JPY', 2, 0, 1, 0)" },
    { "an overdrawn expense",
      "INSERT INTO account VALUES ('expense/x JPY', 1, 0, 0, 1)" },
    { "sums below nothing",
      "INSERT INTO account VALUES ('world/x JPY', 1, 2, -1, 0)" },
    { "an account without a currency",
      "INSERT INTO account VALUES ('wallet/x', 2, 0, 0, 0)" },
    { "a transfer to itself",
      "INSERT INTO transfer VALUES (gen_random_uuid(), 1, '', '', 1, 'transfer', 'wallet/x JPY',"
      " 'wallet/x JPY', 1, '', NULL, NULL, 0)" },
    { "a transfer between currencies",
      "INSERT INTO transfer VALUES (gen_random_uuid(), 1, '', '', 1, 'transfer', 'wallet/x JPY',"
      " 'wallet/y USD', 1, '', NULL, NULL, 0)" },
    { "a posted transfer with a reason",
      "INSERT INTO transfer VALUES (gen_random_uuid(), 1, 'NO_FUNDS', '', 1, 'transfer',"
      " 'wallet/x JPY', 'wallet/y JPY', 1, '', NULL, NULL, 0)" },
    { "less than nothing",
      "INSERT INTO transfer VALUES (gen_random_uuid(), 1, '', '', 1, 'transfer', 'wallet/x JPY',"
      " 'wallet/y JPY', -1, '', NULL, NULL, 0)" },
    { "a refund of no charge",
      "INSERT INTO transfer VALUES (gen_random_uuid(), 1, '', '', 1, 'refund', 'wallet/x JPY',"
      " 'wallet/y JPY', 1, '', NULL, NULL, 0)" },
};

/* Each row breaks the books in a way that no constraint sees, and says how the audit calls it. */
static const struct {
    const char *sql, *what;
} broken[] = {
    { "UPDATE account SET credits_minor = credits_minor + 1 WHERE key = 'wallet/fay JPY'",
      "credits of an account, debits and credits of a currency" },
    { "UPDATE account SET debits_minor = debits_minor + 1 WHERE key = 'world/topups JPY'",
      "debits and credits of a currency, debits of an account" },
    { "UPDATE transfer SET amount_minor = amount_minor + 1 WHERE kind = 'topup' AND"
      " credit_key = 'wallet/fay JPY'",
      "credits of an account, debits of an account" },
    { "UPDATE transfer SET amount_minor = amount_minor + 1 WHERE kind = 'refund' AND"
      " credit_key = 'wallet/fay JPY'",
      "charge whose refund does not mirror it, credits of an account, debits of an account" },
    { "UPDATE transfer SET reversed_by = NULL WHERE kind = 'charge' AND"
      " debit_key = 'wallet/fay JPY'",
      "refund that its charge does not know" },
    { "DELETE FROM account WHERE key = 'wallet/fay JPY'",
      "credits of an account, debits and credits of a currency, debits of an account" },
};
/* clang-format on */

START_TEST(schema_refuses)
{
    PGconn *connection = pg_fixture_connect(fixture.conninfo);
    PGresult *result = PQexec(connection, refused[_i].sql);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    ck_assert_msg(state != NULL && strcmp(state, "23514") == 0, "%s: %s", refused[_i].what,
                  state == NULL ? "taken" : PQresultErrorMessage(result));
    PQclear(result);
    PQfinish(connection);
}
END_TEST

START_TEST(audit_finds)
{
    PGconn *connection;
    char text[PG_FIXTURE_TEXT_BYTES];
    struct uuid charge = new_id();

    ledger_expect(pg, ledger_open(new_id(), "fay"), "");
    ledger_expect(pg, ledger_topup(new_id(), "fay", 10), "");
    ledger_expect(pg, ledger_charge(charge, "fay", 4), "");
    ledger_expect(pg, ledger_refund(new_id(), charge), "");
    connection = pg_fixture_connect(fixture.conninfo);
    pg_fixture_ask(connection, "BEGIN", text);
    pg_fixture_ask(connection, broken[_i].sql, text);
    pg_fixture_ask(connection, "SELECT string_agg(DISTINCT what, ', ') FROM ledger_check()", text);
    ck_assert_str_eq(text, broken[_i].what);
    pg_fixture_ask(connection, "ROLLBACK", text);
    pg_fixture_ask(connection, "SELECT count(*) FROM ledger_check()", text);
    ck_assert_str_eq(text, "0");
    PQfinish(connection);
}
END_TEST

/* Marking a charge as reversed writes no index. */
START_TEST(marking_a_charge_stays_hot)
{
    PGconn *connection;
    struct uuid charge = new_id();
    char text[PG_FIXTURE_TEXT_BYTES], id[UUID_TEXT_BYTES + 1], sql[256];

    make_wallet("gus", 10);
    ledger_expect(pg, ledger_charge(charge, "gus", 1), "");
    connection = pg_fixture_connect(fixture.conninfo);
    pg_fixture_ask(connection, "BEGIN", text);
    snprintf(sql, sizeof sql, "UPDATE transfer SET reversed_by = id WHERE id = '%s'",
             uuid_print(charge, id));
    pg_fixture_ask(connection, sql, text);
    pg_fixture_ask(connection, "SELECT pg_stat_get_xact_tuples_hot_updated('transfer'::regclass)",
                   text);
    ck_assert_str_eq(text, "1");
    pg_fixture_ask(connection, "ROLLBACK", text);
    PQfinish(connection);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("reads");

    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, accounts_are_read_together);
    tcase_add_test(cases, only_posted_transfers_are_read);
    tcase_add_test(cases, statement_goes_page_by_page);
    tcase_add_test(cases, a_batch_is_booked_in_the_order_of_arrival);
    tcase_add_test(cases, what_is_booked_meanwhile_comes_before_all_others);
    tcase_add_loop_test(cases, schema_refuses, 0, ROWS(refused));
    tcase_add_loop_test(cases, audit_finds, 0, ROWS(broken));
    tcase_add_test(cases, marking_a_charge_stays_hot);
    return service_fixture_check(&ledger_parts, "account_reads", cases);
}
