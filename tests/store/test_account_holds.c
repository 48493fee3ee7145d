/* Holds on money on a real PostgreSQL: what may be spent beside them, and how each ends. */
#include "account-svc/ledger/ledger_hold.h"
#include "mesh/base/hash.h"
#include "tests/support/account/account_fixture.h"
#include "tests/support/check.h"

static void
open_pg(void)
{
    service_begin();
    pg_fixture_run(fixture.conninfo, "TRUNCATE account, transfer, ledger_hold, op, event");
    ledger_expect(pg, ledger_open(new_id(), "ann"), "");
    ledger_expect(pg, ledger_open(new_id(), "shop"), "");
    ledger_expect(pg, ledger_topup(new_id(), "ann", 100), "");
}

/* Whatever a test did, the books agree afterwards, and what is held is what holds say. */
static void
close_pg(void)
{
    service_end();
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM ledger_check()"), 0);
}

static struct test_call *
hold(struct uuid id, int64_t amount_minor)
{
    struct test_call *test = service_op("HoldFunds");
    struct hold_funds *op = (struct hold_funds *)test->call.op;

    op->move.op.id = id;
    op->move.debit_key = ledger_key(test, "ann");
    op->move.credit_key = ledger_key(test, "shop");
    op->move.amount_minor = amount_minor;
    op->move.reference = "rent";
    op->hold_seconds = 60;
    op->move.op.fingerprint = hash_end(hash_int(HASH_SEED + 4, amount_minor));
    return test;
}

static struct test_call *
end(const char *method, struct uuid id, struct uuid hold_id, int64_t amount_minor)
{
    struct test_call *test = service_op(method);
    struct end_funds *op = (struct end_funds *)test->call.op;
    uint64_t hash = hash_bytes(hash_text(HASH_SEED, method), &hold_id, sizeof hold_id);

    op->op.id = id;
    op->hold_id = hold_id;
    op->amount_minor = amount_minor;
    op->op.fingerprint = hash_end(hash_int(hash, amount_minor));
    return test;
}

static void
expire(struct uuid hold_id)
{
    struct test_call *test = call_fixture_new(&ledger_expire_method);
    struct expire_funds *op = (struct expire_funds *)test->call.op;

    op->op.id = new_id();
    op->hold_id = hold_id;
    ledger_expect(pg, test, "");
}

/* "balance held" of ann, then of the shop. */
static void
expect_money(const char *wanted)
{
    char text[PG_FIXTURE_TEXT_BYTES];

    pg_fixture_text(fixture.conninfo, text,
                    "SELECT string_agg(concat_ws(' ', credits_minor - debits_minor, held_minor),"
                    " ', ' ORDER BY key) FROM account WHERE key LIKE 'wallet/%%'");
    ck_assert_str_eq(text, wanted);
}

static int
state_of(struct uuid id)
{
    char text[UUID_TEXT_BYTES + 1];

    return (int)pg_fixture_int(fixture.conninfo, "SELECT state FROM ledger_hold WHERE id = '%s'",
                               uuid_print(id, text));
}

START_TEST(held_then_posted_in_part)
{
    struct uuid id = new_id(), post = new_id();

    for (int i = 0; i < 2; i++)
        ledger_expect(pg, hold(id, 60), "");
    ledger_expect(pg, hold(id, 61), "ID_REUSED");
    expect_money("100 60, 0 0");
    ledger_expect(pg, ledger_charge(new_id(), "ann", 41), "NO_FUNDS"); /* one more than is free */
    ledger_expect(pg, hold(new_id(), 41), "NO_FUNDS");
    ledger_expect(pg, ledger_charge(new_id(), "ann", 40), "");
    ledger_expect(pg, end("PostHold", new_id(), id, 61), "OVER_HOLD");
    for (int i = 0; i < 2; i++)
        ledger_expect(pg, end("PostHold", post, id, 25), "");
    expect_money("35 0, 25 0");
    ck_assert_int_eq(state_of(id), FUNDS_POSTED);
    ledger_expect(pg, end("PostHold", new_id(), id, 25), "HOLD_ENDED");
    ledger_expect(pg, end("VoidHold", new_id(), id, 0), "HOLD_POSTED");
    expect_money("35 0, 25 0");
}
END_TEST

START_TEST(posted_in_full)
{
    struct uuid id = new_id();

    ledger_expect(pg, hold(id, 100), "");
    ledger_expect(pg, end("PostHold", new_id(), id, 0), "");
    expect_money("0 0, 100 0");
}
END_TEST

START_TEST(voided)
{
    struct uuid id = new_id(), request = new_id();

    ledger_expect(pg, hold(id, 100), "");
    for (int i = 0; i < 2; i++)
        ledger_expect(pg, end("VoidHold", request, id, 0), "");
    ledger_expect(pg, end("VoidHold", new_id(), id, 0), "");
    expect_money("100 0, 0 0");
    ledger_expect(pg, end("PostHold", new_id(), id, 0), "HOLD_ENDED");
    expect_money("100 0, 0 0");
}
END_TEST

START_TEST(voided_before_it_arrived)
{
    struct uuid id = new_id();
    struct problem problem;

    ledger_expect(pg, end("VoidHold", new_id(), id, 0), "");
    for (int i = 0; i < 2; i++) {
        service_do(pg, hold(id, 10), &problem);
        ck_assert_str_eq(problem_reason(&problem), "HOLD_ENDED");
        ck_assert(problem.is_stored);
    }
    ledger_expect(pg, end("PostHold", new_id(), new_id(), 0), "HOLD_ENDED");
    expect_money("100 0, 0 0");
}
END_TEST

START_TEST(expired_and_tried_again)
{
    struct uuid id = new_id(), other = new_id();

    ledger_expect(pg, hold(id, 60), "");
    ledger_expect(pg, hold(other, 40), "");
    expire(id); /* its time is not over */
    expect_money("100 100, 0 0");
    pg_fixture_run(fixture.conninfo, "UPDATE ledger_hold SET until_us = 1");
    expire(id);
    expire(id);
    expire(other);
    expect_money("100 0, 0 0");
    ck_assert_int_eq(state_of(id), FUNDS_EXPIRED);
    ledger_expect(pg, end("PostHold", new_id(), id, 0), ""); /* the money is still there */
    expect_money("40 0, 60 0");
    ledger_expect(pg, ledger_charge(new_id(), "ann", 1), "");
    ledger_expect(pg, end("PostHold", new_id(), other, 0), "NO_FUNDS"); /* and now it is not */
    ledger_expect(pg, end("VoidHold", new_id(), other, 0), "");
    expect_money("39 0, 60 0");
}
END_TEST

/* All of it in one batch: each sees what the one before it did. */
START_TEST(many_in_one_batch)
{
    struct uuid id = new_id(), never = new_id();
    struct test_call *tests[] = {
        hold(id, 100),
        ledger_charge(new_id(), "ann", 1),
        end("PostHold", new_id(), id, 30),
        ledger_charge(new_id(), "ann", 70),
        end("VoidHold", new_id(), never, 0),
        hold(never, 1),
    };
    static const char *const answers[] = { "", "NO_FUNDS", "", "", "", "HOLD_ENDED" };

    service_run(&account_service, pg, tests, 6);
    for (size_t i = 0; i < 6; i++) {
        ck_assert_str_eq(problem_reason(&tests[i]->call.op->problem), answers[i]);
        call_fixture_free(tests[i]);
    }
    expect_money("0 0, 30 0");
}
END_TEST

START_TEST(get_hold)
{
    struct uuid id = new_id();
    struct get_funds get = { .op.id = id }, missing = { .op.id = new_id() };
    struct op *ops[] = { &missing.op, &get.op };
    struct arena *arena = arena_new();

    ledger_expect(pg, hold(id, 60), "");
    ck_assert_int_eq(service_read("GetHold", ops, 2, arena), ERR_OK);
    ck_assert_int_eq(missing.op.problem.error, ERR_NOT_FOUND);
    ck_assert_int_eq(get.op.problem.error, ERR_OK);
    ck_assert_int_eq(get.funds.amount_minor, 60);
    ck_assert_str_eq(get.funds.reference, "rent");
    arena_free(arena);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("holds");

    tcase_add_checked_fixture(cases, open_pg, close_pg);
    tcase_add_test(cases, held_then_posted_in_part);
    tcase_add_test(cases, posted_in_full);
    tcase_add_test(cases, voided);
    tcase_add_test(cases, voided_before_it_arrived);
    tcase_add_test(cases, expired_and_tried_again);
    tcase_add_test(cases, many_in_one_batch);
    tcase_add_test(cases, get_hold);
    return service_fixture_check(&ledger_parts, "account_holds", cases);
}
