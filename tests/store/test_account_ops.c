/* The ledger on a real PostgreSQL: what its tables hold after each op, and after its repeat. */
#include "tests/support/account/account_fixture.h"
#include "tests/support/check.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whatever a test did, the books agree afterwards. */
static void
close_pg(void)
{
    service_end();
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM ledger_check()"), 0);
}

/* A wallet of its own for each test. */
static void
make_wallet(const char *customer, int64_t amount_minor)
{
    ledger_expect(pg, ledger_open(new_id(), customer), "");
    if (amount_minor > 0)
        ledger_expect(pg, ledger_topup(new_id(), customer, amount_minor), "");
}

static void
expect_wallet(const char *customer, const char *debits_credits)
{
    char text[PG_FIXTURE_TEXT_BYTES];

    pg_fixture_text(fixture.conninfo, text,
                    "SELECT concat_ws(' ', debits_minor, credits_minor) FROM account"
                    " WHERE key = 'wallet/%s JPY'",
                    customer);
    ck_assert_str_eq(text, debits_credits);
}

/* "1 payment.succeeded, 2 payment.refunded" of a charge. */
static void
expect_events(struct uuid charge, const char *events)
{
    char text[PG_FIXTURE_TEXT_BYTES], id[UUID_TEXT_BYTES + 1];

    pg_fixture_text(fixture.conninfo, text,
                    "SELECT string_agg(version || ' ' || type, ', ' ORDER BY version) FROM event"
                    " WHERE aggregateid = '%s' AND aggregatetype = 'payment'",
                    uuid_print(charge, id));
    ck_assert_str_eq(text, events);
}

static long long
count_transfers(struct uuid id)
{
    char text[UUID_TEXT_BYTES + 1];

    return pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM transfer WHERE id = '%s'",
                          uuid_print(id, text));
}

/* ---- one op after the other, each repeated ---- */

START_TEST(charge_and_refund)
{
    struct uuid charge = new_id(), refund = new_id();
    struct test_call *test;

    make_wallet("ann", 100);
    expect_wallet("ann", "0 100");
    for (int i = 0; i < 2; i++) {
        ledger_expect(pg, ledger_charge(charge, "ann", 40), "");
        expect_wallet("ann", "40 100");
        expect_events(charge, "1 payment.succeeded");
    }
    ledger_expect(pg, ledger_charge(charge, "ann", 41), "ID_REUSED");
    for (int i = 0; i < 2; i++) {
        test = ledger_refund(refund, charge);
        service_run(&account_service, pg, &test, 1);
        ck_assert(uuid_equal(ledger_reversal(test), refund));
        call_fixture_free(test);
        expect_wallet("ann", "40 140");
        expect_events(charge, "1 payment.succeeded, 2 payment.refunded");
    }
    for (int i = 0; i < 2; i++) { /* another refund of the same charge finds the first one */
        test = ledger_refund(new_id(), charge);
        service_run(&account_service, pg, &test, 1);
        ck_assert_int_eq(test->call.op->problem.error, ERR_OK);
        ck_assert(uuid_equal(ledger_reversal(test), refund));
        call_fixture_free(test);
        expect_wallet("ann", "40 140");
    }
    ledger_expect(pg, ledger_charge(charge, "ann", 40), ""); /* today as yesterday: it was taken */
    expect_wallet("ann", "40 140");
}
END_TEST

START_TEST(event_says_what_was_paid)
{
    struct uuid charge = new_id();
    char text[PG_FIXTURE_TEXT_BYTES], id[UUID_TEXT_BYTES + 1], wanted[PG_FIXTURE_TEXT_BYTES];

    make_wallet("eve \"e\"", 10);
    ledger_expect(pg, ledger_charge(charge, "eve \"e\"", 11), "NO_FUNDS");
    expect_events(charge, "1 payment.failed");
    pg_fixture_text(fixture.conninfo, text,
                    "SELECT payload::json ->> 'paymentId' || '|' || (payload::json ->> 'orderId')"
                    " || '|' || (payload::json ->> 'customerId')"
                    " || '|' || (payload::json ->> 'amountMinor')"
                    " || '|' || (payload::json ->> 'currency')"
                    " || '|' || (payload::json ->> 'status')"
                    " || '|' || (payload::json ->> 'reason') FROM event WHERE aggregateid = '%s'",
                    uuid_print(charge, id));
    snprintf(wanted, sizeof wanted, "%s|order of eve \"e\"|eve \"e\"|11|JPY|FAILED|NO_FUNDS", id);
    ck_assert_str_eq(text, wanted);
}
END_TEST

START_TEST(refused_stays_refused)
{
    struct uuid charge = new_id(), nil = { 0 };
    struct problem problem;
    struct test_call *test;

    make_wallet("ben", 10);
    for (int i = 0; i < 2; i++) {
        service_do(pg, ledger_charge(charge, "ben", 11), &problem);
        ck_assert_str_eq(problem_reason(&problem), "NO_FUNDS");
        ck_assert(problem.is_stored);
        ledger_expect(pg, ledger_topup(new_id(), "ben", 10), ""); /* money comes too late */
    }
    test = ledger_refund(new_id(), charge);
    service_run(&account_service, pg, &test, 1);
    ck_assert_int_eq(test->call.op->problem.error, ERR_OK);
    ck_assert(uuid_equal(ledger_reversal(test), nil));
    call_fixture_free(test);
    expect_wallet("ben", "0 30");
    expect_events(charge, "1 payment.failed");
    ledger_expect(pg, ledger_charge(new_id(), "nobody", 1), "NO_ACCOUNT");
}
END_TEST

START_TEST(late_charge_finds_the_tombstone)
{
    struct uuid charge = new_id(), refund = new_id();
    struct problem problem;

    make_wallet("cat", 100);
    for (int i = 0; i < 2; i++)
        ledger_expect(pg, ledger_refund(refund, charge), "");
    for (int i = 0; i < 2; i++) {
        service_do(pg, ledger_charge(charge, "cat", 40), &problem);
        ck_assert_str_eq(problem_reason(&problem), "CHARGE_UNDONE");
        ck_assert(problem.is_stored);
    }
    ledger_expect(pg, ledger_refund(new_id(), charge), "");
    expect_wallet("cat", "0 100");
    expect_events(charge, "");
    ck_assert_int_eq(count_transfers(charge), 1);
}
END_TEST

/* A charge that is older than op records are kept: gone without a row, refunded with one. */
START_TEST(old_charges)
{
    struct uuid gone = uuid_v7(clock_now_us() - (ID_DAYS_KEPT + 1) * DAY_US);
    struct uuid old = uuid_v7(clock_now_us() - 80 * DAY_US), refund = new_id();
    char text[UUID_TEXT_BYTES + 1];

    make_wallet("dan", 100);
    ledger_expect(pg, ledger_charge(gone, "dan", 1), "ID_TOO_OLD");
    ledger_expect(pg, ledger_refund(new_id(), gone), "");
    ck_assert_int_eq(count_transfers(gone), 0);

    ledger_expect(pg, ledger_charge(new_id(), "dan", 1), ""); /* makes clearing */
    pg_fixture_run(
        fixture.conninfo,
        "SELECT mesh_partitions_make('event', now() - interval '90 days', now(), 100);"
        "INSERT INTO transfer VALUES ('%s', 1, '', '', 1, 'charge', 'wallet/dan JPY',"
        " 'clearing/orders JPY', 30, 'old', NULL, NULL, 0);"
        "UPDATE account SET debits_minor = debits_minor + 30 WHERE key = 'wallet/dan JPY';"
        "UPDATE account SET credits_minor = credits_minor + 30"
        " WHERE key = 'clearing/orders JPY'",
        uuid_print(old, text));
    expect_wallet("dan", "31 100");
    ledger_expect(pg, ledger_refund(refund, old), "");
    expect_wallet("dan", "31 130");
    expect_events(old, "2 payment.refunded");
}
END_TEST

START_TEST(transfer_overdraws_only_where_the_chart_says_so)
{
    make_wallet("fay", 50);
    make_wallet("gus", 0);
    ledger_expect(pg, ledger_move("Transfer", new_id(), "fay", "revenue/none", 1), "NO_ACCOUNT");
    ledger_expect(pg, ledger_move("Transfer", new_id(), "fay", "gus", 50), "");
    ledger_expect(pg, ledger_move("Transfer", new_id(), "fay", "gus", 1), "NO_FUNDS");
    ledger_expect(pg, ledger_move("Transfer", new_id(), "world/topups", "fay", 7), "");
    expect_wallet("fay", "50 57");
    expect_wallet("gus", "0 50");
}
END_TEST

/* ---- ids that meet ---- */

START_TEST(twice_in_one_batch)
{
    struct uuid topup = new_id(), charge = new_id(), refund = new_id(), nil = { 0 };
    static const char *const answers[] = {
        "", "", "", "", "", "", "", "ID_REUSED", "NO_FUNDS", ""
    };
    struct test_call *tests[10];

    make_wallet("hal", 0);
    tests[0] = ledger_topup(topup, "hal", 100);
    tests[1] = ledger_topup(topup, "hal", 100);
    tests[2] = ledger_charge(charge, "hal", 60);
    tests[3] = ledger_charge(charge, "hal", 60);
    tests[4] = ledger_refund(refund, charge);
    tests[5] = ledger_refund(refund, charge);
    tests[6] = ledger_charge(charge, "hal", 60);
    tests[7] = ledger_charge(charge, "hal", 61);
    tests[8] = ledger_charge(new_id(), "hal", 101);
    tests[9] = ledger_refund(new_id(), charge);
    service_run(&account_service, pg, tests, 10);
    for (size_t i = 0; i < 10; i++) {
        const struct problem *problem = &tests[i]->call.op->problem;

        ck_assert_msg(strcmp(problem_reason(problem), answers[i]) == 0, "%zu: got '%s'", i,
                      problem_reason(problem));
    }
    ck_assert(uuid_equal(ledger_reversal(tests[5]), refund));
    ck_assert(uuid_equal(ledger_reversal(tests[9]), refund));
    ck_assert(!uuid_equal(ledger_reversal(tests[4]), nil));
    for (size_t i = 0; i < 10; i++)
        call_fixture_free(tests[i]);
    expect_wallet("hal", "60 160");
    expect_events(charge, "1 payment.succeeded, 2 payment.refunded");
}
END_TEST

START_TEST(refund_before_its_charge_in_one_batch)
{
    struct uuid charge = new_id();
    struct test_call *tests[3];

    make_wallet("ida", 100);
    tests[0] = ledger_refund(new_id(), charge);
    tests[1] = ledger_charge(charge, "ida", 60);
    tests[2] = ledger_refund(new_id(), charge);
    service_run(&account_service, pg, tests, 3);
    ck_assert_str_eq(problem_reason(&tests[0]->call.op->problem), "");
    ck_assert_str_eq(problem_reason(&tests[1]->call.op->problem), "CHARGE_UNDONE");
    ck_assert_str_eq(problem_reason(&tests[2]->call.op->problem), "");
    for (size_t i = 0; i < 3; i++)
        call_fixture_free(tests[i]);
    expect_wallet("ida", "0 100");
}
END_TEST

/* Encodes inside finish(), as the wire does, and then forgets the call's memory, as the wire does:
 * what a later call answers from must not lie there. */
static void
encode_and_scrub(struct test_call *test)
{
    struct move *move = (struct move *)test->call.op;

    ck_assert_ptr_nonnull(test->call.method->encode(move, test->call.arena));
    ck_assert_str_eq(move->transfer.debit_key, "wallet/joe JPY");
    ck_assert_str_eq(move->transfer.reference, "order of joe");
    memset((char *)move->debit_key, 'x', strlen(move->debit_key));
    memset((char *)move->credit_key, 'x', strlen(move->credit_key));
    memset((char *)move->reference, 'x', strlen(move->reference));
}

START_TEST(repeat_outlives_the_call_it_repeats)
{
    struct uuid id = new_id();
    struct test_call *tests[2];

    make_wallet("joe", 100);
    for (size_t i = 0; i < 2; i++) {
        tests[i] = ledger_move("Transfer", id, "joe", "world/topups", 5);
        tests[i]->look = encode_and_scrub;
    }
    service_run(&account_service, pg, tests, 2);
    for (size_t i = 0; i < 2; i++)
        call_fixture_free(tests[i]);
}
END_TEST

/* ---- two replicas at once ---- */

enum { ROUNDS = 60 };

/* One replica: waits at the gate, then decides its call; round after round. */
struct replica {
    pthread_t thread;
    pthread_barrier_t *gate;
    struct test_call *tests[ROUNDS];
};

static void *
replica_main(void *context)
{
    struct replica *replica = context;
    struct pg *own = batch_pg_new(&account_service, fixture.conninfo);

    if (pg_connect(own) != ERR_OK)
        abort();
    for (int i = 0; i < ROUNDS; i++) {
        struct call *call = &replica->tests[i]->call;

        pthread_barrier_wait(replica->gate);
        batch_run(&account_service, own, &call, 1);
    }
    pg_free(own);
    return NULL;
}

static void
race(struct replica replicas[2])
{
    pthread_barrier_t gate;

    pthread_barrier_init(&gate, NULL, 2);
    for (int i = 0; i < 2; i++) {
        replicas[i].gate = &gate;
        ck_assert_int_eq(pthread_create(&replicas[i].thread, NULL, replica_main, &replicas[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(replicas[i].thread, NULL);
    pthread_barrier_destroy(&gate);
}

static void
free_tests(struct replica replicas[2])
{
    for (int i = 0; i < 2 * ROUNDS; i++)
        call_fixture_free(replicas[i % 2].tests[i / 2]);
}

START_TEST(one_charge_on_two_replicas_is_taken_once)
{
    struct replica replicas[2] = { 0 };

    make_wallet("kim", ROUNDS * 3 - 30); /* not enough for all: some are refused */
    for (int i = 0; i < ROUNDS; i++) {
        struct uuid id = new_id();

        for (int j = 0; j < 2; j++)
            replicas[j].tests[i] = ledger_charge(id, "kim", 3);
    }
    race(replicas);
    for (int i = 0; i < ROUNDS; i++) {
        const struct op *a = replicas[0].tests[i]->call.op, *b = replicas[1].tests[i]->call.op;

        ck_assert_str_eq(problem_reason(&a->problem), i < ROUNDS - 10 ? "" : "NO_FUNDS");
        ck_assert_str_eq(problem_reason(&b->problem), problem_reason(&a->problem));
        ck_assert_int_eq(count_transfers(a->id), 1);
    }
    expect_wallet("kim", "150 150");
    free_tests(replicas);
}
END_TEST

/* Whoever is first decides, and both agree: taken and given back, or never taken. */
START_TEST(charge_and_its_refund_on_two_replicas)
{
    struct replica replicas[2] = { 0 };
    struct uuid charges[ROUNDS];

    make_wallet("leo", ROUNDS);
    for (int i = 0; i < ROUNDS; i++) {
        charges[i] = new_id();
        replicas[i % 2].tests[i] = ledger_charge(charges[i], "leo", 1);
        replicas[1 - i % 2].tests[i] = ledger_refund(new_id(), charges[i]);
    }
    race(replicas);
    for (int i = 0; i < ROUNDS; i++) {
        struct test_call *charge = replicas[i % 2].tests[i];
        struct test_call *refund = replicas[1 - i % 2].tests[i];
        bool was_taken = charge->call.op->problem.error == ERR_OK;

        ck_assert_int_eq(refund->call.op->problem.error, ERR_OK);
        if (!was_taken)
            ck_assert_str_eq(problem_reason(&charge->call.op->problem), "CHARGE_UNDONE");
        ck_assert(uuid_is_nil(ledger_reversal(refund)) == !was_taken);
        expect_events(charges[i], was_taken ? "1 payment.succeeded, 2 payment.refunded" : "");
    }
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo,
                                    "SELECT credits_minor - debits_minor FROM account"
                                    " WHERE key = 'wallet/leo JPY'"),
                     ROUNDS);
    free_tests(replicas);
}
END_TEST

START_TEST(two_refunds_of_one_charge_on_two_replicas)
{
    struct replica replicas[2] = { 0 };

    make_wallet("may", ROUNDS);
    for (int i = 0; i < ROUNDS; i++) {
        struct uuid charge = new_id();
        struct uuid refund = new_id();

        ledger_expect(pg, ledger_charge(charge, "may", 1), "");
        for (int j = 0; j < 2; j++) /* the same id, or another one */
            replicas[j].tests[i] = ledger_refund(i % 2 == 0 ? refund : new_id(), charge);
    }
    race(replicas);
    for (int i = 0; i < ROUNDS; i++) {
        struct test_call *a = replicas[0].tests[i], *b = replicas[1].tests[i];

        ck_assert_int_eq(a->call.op->problem.error, ERR_OK);
        ck_assert_int_eq(b->call.op->problem.error, ERR_OK);
        ck_assert(!uuid_is_nil(ledger_reversal(a)));
        ck_assert(uuid_equal(ledger_reversal(a), ledger_reversal(b)));
    }
    expect_wallet("may", "60 120");
    free_tests(replicas);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("ops");

    tcase_add_checked_fixture(cases, service_begin, close_pg);
    tcase_add_test(cases, charge_and_refund);
    tcase_add_test(cases, event_says_what_was_paid);
    tcase_add_test(cases, refused_stays_refused);
    tcase_add_test(cases, late_charge_finds_the_tombstone);
    tcase_add_test(cases, old_charges);
    tcase_add_test(cases, transfer_overdraws_only_where_the_chart_says_so);
    tcase_add_test(cases, twice_in_one_batch);
    tcase_add_test(cases, refund_before_its_charge_in_one_batch);
    tcase_add_test(cases, repeat_outlives_the_call_it_repeats);
    tcase_add_test(cases, one_charge_on_two_replicas_is_taken_once);
    tcase_add_test(cases, charge_and_its_refund_on_two_replicas);
    tcase_add_test(cases, two_refunds_of_one_charge_on_two_replicas);
    return service_fixture_check(&ledger_parts, "account_ops", cases);
}
