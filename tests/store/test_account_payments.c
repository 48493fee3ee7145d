/* Payments on a real PostgreSQL: what the tables hold after each op, and after its repeat. */
#include "account-svc/account.h"
#include "account-svc/edge/payment_rpc.h"
#include "account-svc/payment/payment_sweep.h"
#include "mesh/base/hash.h"
#include "tests/support/check.h"
#include "tests/support/store/service_fixture.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct payment_owner owner;
static struct batch_service service;

static void
open_pg(void)
{
    service = account_service;
    service.owner = &owner;
    service_begin();
}

static const struct service_parts payment_parts = {
    .schema = "account-svc/schema",
    .service = &service,
    .methods = payment_methods,
    .reads = payment_reads,
    .statements = payment_statements,
};

static void
run(struct test_call *test)
{
    service_run(&service, pg, &test, 1);
}

/* Runs it, asserts the reason of its answer ("" is OK), and frees it. */
static void
expect(struct test_call *test, const char *reason)
{
    run(test);
    ck_assert_str_eq(problem_reason(&test->call.op->problem), reason);
    call_fixture_free(test);
}

static struct test_call *
create(struct uuid id, int64_t amount_minor)
{
    struct test_call *test = service_op("Create");
    struct create_payment *op = (struct create_payment *)test->call.op;

    op->op.id = id;
    op->order_id = id;
    op->provider = "sandbox";
    op->currency = "JPY";
    op->description = op->return_url = "";
    op->amount_minor = amount_minor;
    op->expires_seconds = 600;
    op->op.fingerprint = hash_end(hash_int(HASH_SEED, amount_minor));
    return test;
}

/* A verified webhook of the sandbox. */
static struct test_call *
webhook(const char *event_id, struct uuid payment_id, enum observed observed, int64_t amount_minor)
{
    struct test_call *test = service_op("Observe");
    struct observe_payment *op = (struct observe_payment *)test->call.op;

    op->op.id = new_id();
    op->op.fingerprint = 1;
    op->inbox_key = arena_print(test->call.arena, "sandbox %s", event_id);
    op->payment_id = payment_id;
    op->provider = "sandbox";
    op->is_verified = true;
    op->observation = (struct observation){ .source = SOURCE_WEBHOOK,
                                            .observed = observed,
                                            .amount_minor = amount_minor,
                                            .currency = "JPY",
                                            .occurred_at_us = 1800000000000000 };
    return test;
}

static enum observe_outcome
outcome_of(struct test_call *test)
{
    enum observe_outcome outcome;

    run(test);
    ck_assert_int_eq(test->call.op->problem.error, ERR_OK);
    outcome = ((struct observe_payment *)test->call.op)->outcome;
    call_fixture_free(test);
    return outcome;
}

static struct test_call *
undo(const char *method, struct uuid id, struct uuid payment_id)
{
    struct test_call *test = service_op(method);
    struct undo_payment *op = (struct undo_payment *)test->call.op;

    op->op.id = id;
    op->op.fingerprint = hash_end(hash_bytes(HASH_SEED, &payment_id, sizeof payment_id));
    op->payment_id = payment_id;
    return test;
}

static enum claim
claim_of(struct test_call *test)
{
    enum claim claim;

    run(test);
    ck_assert_int_eq(test->call.op->problem.error, ERR_OK);
    claim = ((struct undo_payment *)test->call.op)->claim;
    call_fixture_free(test);
    return claim;
}

/* The task that is leased; its number in *ret_lease. */
static enum task_kind
lease(struct uuid payment_id, int32_t *ret_lease)
{
    struct test_call *test = call_fixture_new(&payment_lease_method);
    struct lease_task *op = (struct lease_task *)test->call.op;
    enum task_kind kind;

    op->op.id = new_id();
    op->payment_id = payment_id;
    run(test);
    kind = op->kind;
    *ret_lease = op->task.lease;
    call_fixture_free(test);
    return kind;
}

static void
learn(struct uuid payment_id, int32_t number, enum outcome outcome,
      const struct observation *observation)
{
    struct test_call *test = call_fixture_new(&payment_learn_method);
    struct learn_task *op = (struct learn_task *)test->call.op;

    op->op.id = new_id();
    op->payment_id = payment_id;
    op->lease = number;
    op->outcome = outcome;
    op->observation = *observation;
    expect(test, "");
}

/* Asserts what a statement says of a payment; %s in sql is its id. */
static void
expect_sql(const char *sql, struct uuid payment_id, const char *wanted)
{
    char text[PG_FIXTURE_TEXT_BYTES], id[UUID_TEXT_BYTES + 1], whole[1024];

    snprintf(whole, sizeof whole, "%s '%s'", sql, uuid_print(payment_id, id));
    pg_fixture_text(fixture.conninfo, text, "%s", whole);
    ck_assert_msg(strcmp(text, wanted) == 0, "%s: got '%s', not '%s'", sql, text, wanted);
}

#define REGISTERS                                                                                  \
    "SELECT concat_ws(' ', observed, claim, version, signaled_version) FROM payment WHERE id ="
#define EVENTS                                                                                     \
    "SELECT string_agg(version || ' ' || type || ' ' || (payload::json ->> 'status'), ', '"        \
    " ORDER BY version) FROM event WHERE aggregatetype = 'payment' AND aggregateid ="
#define TASK                                                                                       \
    "SELECT concat_ws(' ', kind, is_leased, create_state) FROM provider_task WHERE payment_id ="

/* ---- the life of one ---- */

START_TEST(create_pay_and_return)
{
    struct uuid id = new_id(), refund = new_id();
    struct observation created = { .source = SOURCE_CREATE,
                                   .observed = OBSERVED_CREATED,
                                   .url = "https://pay.example/x",
                                   .reference = "p_1" };
    struct observation refunded = { .source = SOURCE_REFUND,
                                    .refunds = { { "r", 500 } },
                                    .refund_count = 1 };
    int32_t number;

    for (int i = 0; i < 2; i++)
        expect(create(id, 500), "");
    expect(create(id, 501), "ID_REUSED");
    expect_sql(REGISTERS, id, "1 1 1 0");
    expect_sql(TASK, id, "1 f 0");
    ck_assert_int_eq(lease(id, &number), TASK_CREATE);
    expect_sql(TASK, id, "1 t 1");
    ck_assert_int_eq(lease(id, &number), TASK_NONE);
    learn(id, number, OUTCOME_KNOWN, &created);
    expect_sql(TASK, id, "2 f 3");
    expect_sql("SELECT url || ' ' || reference FROM payment WHERE id =", id,
               "https://pay.example/x p_1");
    ck_assert_int_eq(outcome_of(webhook("e1", id, OBSERVED_SUCCEEDED, 500)), OBSERVE_STORED);
    ck_assert_int_eq(outcome_of(webhook("e1", id, OBSERVED_SUCCEEDED, 500)), OBSERVE_DUPLICATE);
    ck_assert_int_eq(outcome_of(webhook("e2", id, OBSERVED_FAILED, 500)), OBSERVE_STORED);
    expect_sql(REGISTERS, id, "7 2 3 0");
    ck_assert_int_eq(claim_of(undo("Abandon", new_id(), id)), CLAIM_TAKEN);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(claim_of(undo("Refund", refund, id)), CLAIM_RETURNED);
    ck_assert_int_eq(lease(id, &number), TASK_REFUND);
    learn(id, number, OUTCOME_KNOWN, &refunded);
    expect_sql(REGISTERS, id, "7 4 5 0");
    expect_sql(TASK, id, "0 f 3");
    expect_sql(EVENTS, id,
               "1 payment.observed CREATED, 3 payment.observed SUCCEEDED, 5 payment.observed"
               " REFUNDED");
    expect_sql(
        "SELECT payload::json ->> 'occurredAtUs' FROM event WHERE version = 3 AND aggregateid =",
        id, "1800000000000000");
}
END_TEST

static const struct pace *
pace_of_slow(const struct payment_owner *payments, const char *provider)
{
    static const struct poll_step overdue[] = { { .count = 0, .gap_us = 7000 * SECOND_US } };
    static const struct pace slow = { .watched_gap_us = SECOND_US, .overdue = overdue };

    (void)payments;
    return strcmp(provider, "slow") == 0 ? &slow : NULL;
}

/* A row that is found has the pace of its provider, though no column holds it. */
START_TEST(pace_of_the_provider)
{
    static const char *const names[] = { "slow", "sandbox" };
    struct observation created = { .source = SOURCE_CREATE, .observed = OBSERVED_CREATED };

    owner.pace_of = pace_of_slow;
    for (size_t i = 0; i < 2; i++) {
        struct uuid id = new_id();
        struct test_call *test = create(id, 500);
        int32_t number;

        ((struct create_payment *)test->call.op)->provider = names[i];
        ((struct create_payment *)test->call.op)->expires_seconds = 86400;
        expect(test, "");
        ck_assert_int_eq(lease(id, &number), TASK_CREATE);
        learn(id, number, OUTCOME_KNOWN, &created);
        expect_sql("SELECT due_us - queried_at_us > 5000000000 FROM provider_task"
                   " WHERE payment_id =",
                   id, i == 0 ? "t" : "f");
    }
    owner.pace_of = NULL;
}
END_TEST

START_TEST(abandon_first_leaves_a_tombstone)
{
    struct uuid id = new_id(), request = new_id();
    struct problem problem;
    struct test_call *test;

    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(claim_of(undo("Abandon", request, id)), CLAIM_ABANDONED);
    for (int i = 0; i < 2; i++) {
        test = create(id, 500);
        run(test);
        problem = test->call.op->problem;
        ck_assert_str_eq(problem_reason(&problem), "PAYMENT_ABANDONED");
        ck_assert(problem.is_stored);
        call_fixture_free(test);
    }
    expect_sql("SELECT count(*) FROM provider_task WHERE payment_id =", id, "0");
    expect_sql(REGISTERS, id, "0 3 0 0");
    /* A webhook of something that we never made changes nothing. */
    ck_assert_int_eq(outcome_of(webhook("e3", id, OBSERVED_SUCCEEDED, 500)),
                     OBSERVE_UNKNOWN_PAYMENT);
    expect_sql(REGISTERS, id, "0 3 0 0");
    ck_assert_int_eq(claim_of(undo("Refund", new_id(), id)), CLAIM_ABANDONED);
}
END_TEST

START_TEST(abandon_waits_for_the_create_under_way)
{
    struct uuid id = new_id();
    struct observation none = { .source = SOURCE_CREATE };
    struct observation canceled = { .source = SOURCE_QUERY,
                                    .observed = OBSERVED_CANCELED,
                                    .amount_minor = 500,
                                    .currency = "JPY" };
    struct observation pending = canceled;
    int32_t number;

    pending.observed = OBSERVED_PENDING;
    expect(create(id, 500), "");
    ck_assert_int_eq(lease(id, &number), TASK_CREATE);
    ck_assert_int_eq(claim_of(undo("Abandon", new_id(), id)), CLAIM_OPEN);
    learn(id, number, OUTCOME_UNKNOWN, &none);
    ck_assert_int_eq(lease(id, &number), TASK_QUERY);
    learn(id, number, OUTCOME_KNOWN, &pending);
    ck_assert_int_eq(lease(id, &number), TASK_CANCEL);
    learn(id, number, OUTCOME_REFUSED, &none);
    ck_assert_int_eq(lease(id, &number), TASK_QUERY);
    learn(id, number, OUTCOME_KNOWN, &canceled);
    expect_sql("SELECT concat_ws(' ', observed, claim) FROM payment WHERE id =", id, "6 3");
    expect_sql("SELECT give_up_us FROM provider_task WHERE payment_id =", id, "0");
    /* Paid after all: the refund is the next task. */
    ck_assert_int_eq(outcome_of(webhook("e4", id, OBSERVED_SUCCEEDED, 500)), OBSERVE_STORED);
    ck_assert_int_eq(lease(id, &number), TASK_REFUND);
}
END_TEST

START_TEST(another_amount_makes_a_query_due)
{
    struct uuid id = new_id();
    struct observation created = { .source = SOURCE_CREATE, .observed = OBSERVED_CREATED };
    struct observation less = { .source = SOURCE_QUERY,
                                .observed = OBSERVED_SUCCEEDED,
                                .amount_minor = 499,
                                .currency = "JPY" };
    int32_t number;

    expect(create(id, 500), "");
    ck_assert_int_eq(lease(id, &number), TASK_CREATE);
    learn(id, number, OUTCOME_KNOWN, &created);
    ck_assert_int_eq(outcome_of(webhook("e5", id, OBSERVED_SUCCEEDED, 499)), OBSERVE_STORED);
    expect_sql("SELECT concat_ws(' ', kind, query_wanted) FROM provider_task WHERE payment_id =",
               id, "2 t");
    pg_fixture_run(fixture.conninfo,
                   "UPDATE provider_task SET due_us = 0, queried_at_us = 0 WHERE query_wanted");
    ck_assert_int_eq(lease(id, &number), TASK_QUERY);
    learn(id, number, OUTCOME_KNOWN, &less);
    expect_sql("SELECT concat_ws(' ', observed, claim, is_quarantined) FROM payment WHERE id =", id,
               "1 1 t");
    expect_sql(TASK, id, "0 f 3");
    ck_assert_int_eq(claim_of(undo("Abandon", new_id(), id)), CLAIM_ABANDONED);
}
END_TEST

static struct test_call *
settle(struct uuid id, struct uuid payment_id)
{
    struct test_call *test = undo("Settle", id, payment_id);

    ((struct undo_payment *)test->call.op)->comment = "ada: refund it";
    return test;
}

/* How many payments need somebody, and the first of them. */
static size_t
troubled(struct uuid *ret_first)
{
    struct list_troubled list = { .page_size = 10 };
    struct op *lists[] = { &list.op };
    struct arena *arena = arena_new();

    ck_assert_int_eq(service_read("ListTroubled", lists, 1, arena), ERR_OK);
    ck_assert(!list.has_more);
    if (list.count > 0)
        *ret_first = list.payments[0].record.id;
    arena_free(arena);
    return list.count;
}

/* From the provider's other amount to a refund of it, which a person asks for twice. */
START_TEST(quarantined_is_settled)
{
    struct uuid id = new_id(), request = new_id(), first;
    struct observation created = { .source = SOURCE_CREATE, .observed = OBSERVED_CREATED };
    struct observation more = { .source = SOURCE_QUERY,
                                .observed = OBSERVED_SUCCEEDED,
                                .amount_minor = 501,
                                .currency = "JPY" };
    struct observation refunded = { .source = SOURCE_REFUND,
                                    .refunds = { { "r", 501 } },
                                    .refund_count = 1 };
    int32_t number;

    pg_fixture_run(fixture.conninfo, "UPDATE payment SET needs_person = false");
    expect(create(id, 500), "");
    expect(settle(new_id(), id), "NOT_TROUBLED");
    expect(settle(new_id(), new_id()), "NOT_FOUND");
    ck_assert_int_eq(lease(id, &number), TASK_CREATE);
    learn(id, number, OUTCOME_KNOWN, &created);
    pg_fixture_run(fixture.conninfo,
                   "UPDATE provider_task SET due_us = 0 WHERE kind = 2 AND NOT is_leased");
    ck_assert_int_eq(lease(id, &number), TASK_QUERY);
    learn(id, number, OUTCOME_KNOWN, &more);
    ck_assert_uint_eq(troubled(&first), 1);
    ck_assert(uuid_equal(first, id));
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(claim_of(settle(request, id)), CLAIM_ABANDONED);
    ck_assert_int_eq(lease(id, &number), TASK_QUERY);
    learn(id, number, OUTCOME_KNOWN, &more);
    pg_fixture_run(fixture.conninfo,
                   "UPDATE provider_task SET due_us = 0 WHERE kind = 4 AND NOT is_leased");
    ck_assert_int_eq(lease(id, &number), TASK_REFUND);
    learn(id, number, OUTCOME_KNOWN, &refunded);
    expect_sql("SELECT concat_ws(' ', refunds, booked_minor, booked_currency, settle_comment,"
               " needs_person) FROM payment WHERE id =",
               id, "501 r 501 JPY ada: refund it f");
    expect_sql(TASK, id, "0 f 3");
    ck_assert_uint_eq(troubled(&first), 0);
    ck_assert_int_eq(claim_of(settle(request, id)), CLAIM_ABANDONED); /* the same try */
    expect(settle(new_id(), id), "NOT_TROUBLED");
}
END_TEST

/* What a caller, and who reads the counters, is told of each kind of event. */
START_TEST(outcomes_are_told_apart)
{
    static const struct uuid none;
    struct uuid id = new_id();
    struct test_call *test;

    expect(create(id, 500), "");
    ck_assert_int_eq(outcome_of(webhook("o1", id, OBSERVED_PENDING, 500)), OBSERVE_STORED);
    ck_assert_int_eq(outcome_of(webhook("o1", id, OBSERVED_PENDING, 500)), OBSERVE_DUPLICATE);
    ck_assert_int_eq(outcome_of(webhook("o2", none, OBSERVED_NONE, 0)), OBSERVE_IGNORED);
    ck_assert_int_eq(outcome_of(webhook("o2", none, OBSERVED_NONE, 0)), OBSERVE_DUPLICATE);
    ck_assert_int_eq(outcome_of(webhook("o3", new_id(), OBSERVED_PENDING, 500)),
                     OBSERVE_UNKNOWN_PAYMENT);
    test = webhook("o4", id, OBSERVED_SUCCEEDED, 500);
    ((struct observe_payment *)test->call.op)->provider = "another";
    ck_assert_int_eq(outcome_of(test), OBSERVE_UNKNOWN_PAYMENT);
    for (int is_known = 0; is_known < 2; is_known++) {
        struct observe_payment *op;

        test = webhook("o5", is_known ? id : new_id(), OBSERVED_NONE, 0);
        op = (struct observe_payment *)test->call.op;
        op->inbox_key = NULL;
        op->is_verified = false;
        ck_assert_int_eq(outcome_of(test), is_known ? OBSERVE_QUERY : OBSERVE_UNKNOWN_PAYMENT);
    }
    /* Of nothing that is about payments, and of a payment that cannot be ours; not signed, and signed. */
    for (int i = 0; i < 4; i++) {
        struct observe_payment *op;

        test = webhook(i < 2 ? "o6" : i == 2 ? "o7" : "o8", none, OBSERVED_NONE, 0);
        op = (struct observe_payment *)test->call.op;
        op->inbox_key = i < 2 ? NULL : op->inbox_key;
        op->is_verified = i >= 2;
        op->is_of_payment = i % 2 == 1;
        ck_assert_int_eq(outcome_of(test), i % 2 == 1 ? OBSERVE_UNKNOWN_PAYMENT : OBSERVE_IGNORED);
    }
    expect_sql(REGISTERS, id, "2 1 2 0");
}
END_TEST

/* A signed word that is not known here, as of a provider that has new ones: its books are asked. */
START_TEST(an_unknown_word_is_asked_about)
{
    static const struct observation created = { .source = SOURCE_CREATE,
                                                .observed = OBSERVED_CREATED };
    struct uuid id = new_id();
    int32_t number;

    expect(create(id, 500), "");
    ck_assert_int_eq(lease(id, &number), TASK_CREATE);
    learn(id, number, OUTCOME_KNOWN, &created);
    expect_sql("SELECT query_wanted FROM provider_task WHERE payment_id =", id, "f");
    ck_assert_int_eq(outcome_of(webhook("w1", id, OBSERVED_NONE, 500)), OBSERVE_STORED);
    expect_sql("SELECT query_wanted FROM provider_task WHERE payment_id =", id, "t");
}
END_TEST

static void
acknowledge(struct uuid payment_id, int32_t version, int32_t known_version)
{
    struct test_call *test = call_fixture_new(&payment_signaled_method);
    struct signaled *op = (struct signaled *)test->call.op;

    op->op.id = new_id();
    op->payment_id = payment_id;
    op->version = version;
    op->known_version = known_version;
    expect(test, "");
}

/* A restore set it back, and its saga has heard of what is not here any more: it is told above that. */
START_TEST(a_saga_that_knows_a_later_version_is_told_again)
{
    struct uuid id = new_id();

    expect(create(id, 500), "");
    acknowledge(id, 1, 1);
    expect_sql(REGISTERS, id, "1 1 1 1");
    acknowledge(id, 1, 7);
    expect_sql(REGISTERS, id, "1 1 8 1");
    acknowledge(id, 1, 7); /* the answer to what was told before */
    expect_sql(REGISTERS, id, "1 1 8 1");
    acknowledge(id, 8, 8);
    expect_sql(REGISTERS, id, "1 1 8 8");
}
END_TEST

START_TEST(signaled_only_grows)
{
    struct uuid id = new_id();

    expect(create(id, 500), "");
    for (int32_t version = 1; version >= 0; version--) {
        acknowledge(id, version, 0);
        expect_sql(REGISTERS, id, "1 1 1 1");
    }
}
END_TEST

static struct test_call *
tell(struct uuid id, struct uuid payment_id)
{
    struct test_call *test = service_op("Tell");
    struct tell_payment *op = (struct tell_payment *)test->call.op;

    op->op.id = id;
    op->op.fingerprint = hash_end(hash_bytes(HASH_SEED, &payment_id, sizeof payment_id));
    op->payment_id = payment_id;
    op->comment = "";
    return test;
}

/* An undo that comes though all is decided: its saga has not heard, though it was acknowledged. */
START_TEST(an_abandon_of_what_is_decided_is_told_again)
{
    struct uuid id = new_id(), abandon = new_id();

    expect(create(id, 500), "");
    ck_assert_int_eq(outcome_of(webhook("t1", id, OBSERVED_SUCCEEDED, 500)), OBSERVE_STORED);
    acknowledge(id, 2, 0);
    expect_sql(REGISTERS, id, "7 2 2 2");
    ck_assert_int_eq(claim_of(undo("Abandon", abandon, id)), CLAIM_TAKEN);
    expect_sql(REGISTERS, id, "7 2 2 1");
    expect_sql("SELECT signal_due_us - (extract(epoch FROM now()) * 1000000)::bigint"
               " BETWEEN 0 AND 2000000 FROM payment WHERE id =",
               id, "t");
    acknowledge(id, 2, 0);
    ck_assert_int_eq(claim_of(undo("Abandon", abandon, id)), CLAIM_TAKEN); /* a repeat */
    expect_sql(REGISTERS, id, "7 2 2 2");
    ck_assert_int_eq(claim_of(undo("Abandon", new_id(), id)), CLAIM_TAKEN);
    expect_sql(REGISTERS, id, "7 2 2 1");
    acknowledge(id, 2, 0);
}
END_TEST

/* A repeat of the same Tell is the same Tell, and does not tell once more. */
START_TEST(what_was_acknowledged_is_told_again)
{
    struct uuid id = new_id(), told = new_id(), buried = new_id();

    expect(create(id, 500), "");
    acknowledge(id, 1, 0);
    expect_sql(REGISTERS, id, "1 1 1 1");
    expect(tell(told, id), "");
    expect_sql(REGISTERS, id, "1 1 1 0");
    acknowledge(id, 1, 0);
    expect(tell(told, id), "");
    expect_sql(REGISTERS, id, "1 1 1 1");
    expect(tell(new_id(), new_id()), "NOT_FOUND");
    ck_assert_int_eq(claim_of(undo("Abandon", new_id(), buried)), CLAIM_ABANDONED);
    expect(tell(new_id(), buried), "NOT_FOUND");
}
END_TEST

/* Two webhooks of one payment, and a Create with its Abandon, in one batch. */
START_TEST(many_in_one_batch)
{
    struct uuid id = new_id(), other = new_id();
    struct test_call *tests[] = {
        create(id, 500),
        webhook("e6", id, OBSERVED_PENDING, 500),
        webhook("e6", id, OBSERVED_PENDING, 500),
        webhook("e7", id, OBSERVED_SUCCEEDED, 500),
        undo("Abandon", new_id(), other),
        create(other, 500),
    };
    struct call *calls[6];

    for (size_t i = 0; i < 6; i++)
        calls[i] = &tests[i]->call;
    batch_run(&service, pg, calls, 6);
    ck_assert_int_eq(((struct observe_payment *)tests[2]->call.op)->outcome, OBSERVE_DUPLICATE);
    ck_assert_str_eq(problem_reason(&tests[5]->call.op->problem), "PAYMENT_ABANDONED");
    for (size_t i = 0; i < 6; i++)
        call_fixture_free(tests[i]);
    expect_sql(REGISTERS, id, "7 2 3 0");
    expect_sql(EVENTS, id,
               "1 payment.observed CREATED, 2 payment.observed PENDING, 3 payment.observed"
               " SUCCEEDED");
}
END_TEST

/* Paid, and paid back, heard at once: two pieces of news, and nothing for the order to take. */
START_TEST(paid_back_before_it_was_taken)
{
    struct uuid id = new_id();
    struct test_call *test = webhook("e8", id, OBSERVED_SUCCEEDED, 500);
    struct observation *observation = &((struct observe_payment *)test->call.op)->observation;

    expect(create(id, 500), "");
    observation->refunds[0] = (struct refunded){ .id = "office", .amount_minor = 500 };
    observation->refund_count = 1;
    ck_assert_int_eq(outcome_of(test), OBSERVE_STORED);
    expect_sql(REGISTERS, id, "7 3 3 0");
    expect_sql(EVENTS, id,
               "1 payment.observed CREATED, 2 payment.observed SUCCEEDED, 3 payment.observed"
               " REFUNDED");
    ck_assert_int_eq(claim_of(undo("Refund", new_id(), id)), CLAIM_ABANDONED);
    expect_sql(REGISTERS, id, "7 3 3 0");
}
END_TEST

/* ---- reads, and what the program itself looks for ---- */

static size_t
rows_of(const struct pg_statement *statement, const void *row)
{
    static const struct pg_statement *statements[] = { &payment_tasks_due,   &payment_give_ups_due,
                                                       &payment_signals_due, &payment_signals_late,
                                                       &payment_inbox_purge, NULL };
    struct pg *looker = pg_new(fixture.conninfo, "test", statements);
    struct pg_answer answer;
    struct arena *arena = arena_new();

    ck_assert_int_eq(pg_ask(looker, statement, row, arena, &answer), ERR_OK);
    arena_free(arena);
    pg_free(looker);
    return answer.count > 0 ? answer.count : answer.changed;
}

static size_t
due_of(const struct pg_statement *statement)
{
    int64_t program_us = clock_now_us();

    return rows_of(statement, &program_us);
}

START_TEST(what_is_due_is_found)
{
    struct uuid id = new_id();
    struct task_range range = { .program_us = clock_now_us(),
                                .provider = "due",
                                .errand = ERRAND_CREATE };
    struct test_call *test = create(id, 500);
    int32_t number;

    ((struct create_payment *)test->call.op)->provider = "due";
    expect(test, "");
    ck_assert_uint_eq(rows_of(&payment_tasks_due, &range), 1);
    ck_assert_int_eq(lease(id, &number), TASK_CREATE);
    ck_assert_uint_eq(rows_of(&payment_tasks_due, &range), 0);
    ck_assert_int_eq(claim_of(undo("Abandon", new_id(), id)), CLAIM_OPEN);
    ck_assert_uint_eq(due_of(&payment_give_ups_due), 0);
    pg_fixture_run(fixture.conninfo,
                   "UPDATE provider_task SET give_up_us = 1 WHERE give_up_us > 0");
    ck_assert_uint_ge(due_of(&payment_give_ups_due), 1);
}
END_TEST

static int unserved;

static bool
is_served(const struct payment_owner *payments, const char *provider)
{
    (void)payments;
    unserved += strcmp(provider, "gone") == 0;
    return strcmp(provider, "sandbox") == 0;
}

/* A payment that waits at a provider that is not configured is found, once it has waited for long. */
START_TEST(unserved_is_found)
{
    static const struct keeper_task unserved_task = {
        .name = "unserved",
        .sweep = { .statement = &payment_overdue_providers, .report = payment_report_unserved }
    };

    for (int i = 0; i < 3; i++) {
        struct test_call *test = create(new_id(), 500);

        ((struct create_payment *)test->call.op)->provider = i == 0 ? "gone" : "sandbox";
        expect(test, "");
    }
    owner.is_served = is_served;
    service_task_run(&unserved_task, ERR_OK);
    ck_assert_int_eq(unserved, 0); /* it may be leased in a moment */
    pg_fixture_run(fixture.conninfo,
                   "UPDATE provider_task SET due_us = 1 WHERE provider IN ('gone', 'sandbox')");
    service_task_run(&unserved_task, ERR_OK);
    ck_assert_int_eq(unserved, 1);
    pg_fixture_run(fixture.conninfo, "DELETE FROM provider_task WHERE provider = 'gone'");
}
END_TEST

/* A signal is due only when it is, is put off by who sends it, and is over when it was acknowledged. */
START_TEST(signal_is_due_again)
{
    struct uuid id = new_id();

    pg_fixture_run(fixture.conninfo, "UPDATE payment SET signaled_version = version");
    expect(create(id, 500), "");
    ck_assert_uint_eq(due_of(&payment_signals_due), 0); /* it is under way */
    for (int32_t version = 1; version >= 0; version--) {
        struct test_call *test = call_fixture_new(&payment_signal_again_method);
        struct signal_again *op = (struct signal_again *)test->call.op;

        pg_fixture_run(fixture.conninfo, "UPDATE payment SET signal_due_us = 1");
        ck_assert_uint_eq(due_of(&payment_signals_due), 1);
        op->op.id = new_id();
        op->due = (struct signal_due){ id, version, 0 };
        expect(test, "");
        /* Of an older version there is nothing to say: the newest is due by itself. */
        ck_assert_uint_eq(due_of(&payment_signals_due), version == 1 ? 0 : 1);
    }
    expect_sql(REGISTERS, id, "1 1 1 0");
    pg_fixture_run(fixture.conninfo, "UPDATE payment SET signaled_version = version");
    ck_assert_uint_eq(due_of(&payment_signals_due), 0);
}
END_TEST

/* What was told and not acknowledged for ten minutes; not what is told again in this moment. */
START_TEST(a_signal_that_goes_unheard_is_late)
{
    struct uuid id = new_id();
    char text[UUID_TEXT_BYTES + 1];

    pg_fixture_run(fixture.conninfo, "UPDATE payment SET signaled_version = version");
    expect(create(id, 500), "");
    ck_assert_uint_eq(due_of(&payment_signals_late), 0);
    pg_fixture_run(fixture.conninfo,
                   "UPDATE payment SET changed_at_us = changed_at_us - 601000000,"
                   " signal_due_us = signal_due_us + 60000000 WHERE id = '%s'",
                   uuid_print(id, text));
    ck_assert_uint_eq(due_of(&payment_signals_late), 1);
    acknowledge(id, 1, 0);
    ck_assert_uint_eq(due_of(&payment_signals_late), 0);
    expect(tell(new_id(), id), "");
    ck_assert_uint_eq(due_of(&payment_signals_late), 0);
    pg_fixture_run(fixture.conninfo, "UPDATE payment SET signaled_version = version");
}
END_TEST

START_TEST(inbox_forgets_what_is_old)
{
    ck_assert_int_eq(outcome_of(webhook("old", new_id(), OBSERVED_PENDING, 1)),
                     OBSERVE_UNKNOWN_PAYMENT);
    ck_assert_int_eq(outcome_of(webhook("new", new_id(), OBSERVED_PENDING, 1)),
                     OBSERVE_UNKNOWN_PAYMENT);
    pg_fixture_run(fixture.conninfo,
                   "UPDATE payment_inbox SET received_at_us = 1 WHERE key = 'sandbox old'");
    ck_assert_uint_eq(due_of(&payment_inbox_purge), 1);
    ck_assert_int_eq(outcome_of(webhook("new", new_id(), OBSERVED_PENDING, 1)), OBSERVE_DUPLICATE);
}
END_TEST

START_TEST(get_and_list)
{
    struct uuid id = new_id();
    struct get_payment get = { .op.id = id }, missing = { .op.id = new_id() };
    struct list_payments list = { .op.id = id };
    struct op *gets[] = { &missing.op, &get.op }, *lists[] = { &list.op };
    struct arena *arena = arena_new();

    expect(create(id, 500), "");
    ck_assert_int_eq(service_read("Get", gets, 2, arena), ERR_OK);
    ck_assert_int_eq(missing.op.problem.error, ERR_NOT_FOUND);
    ck_assert_int_eq(get.op.problem.error, ERR_OK);
    ck_assert_int_eq(get.payment.amount_minor, 500);
    ck_assert_int_eq(service_read("List", lists, 1, arena), ERR_OK);
    ck_assert_uint_eq(list.count, 1);
    arena_free(arena);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("store");

    tcase_add_checked_fixture(tests, open_pg, service_end);
    tcase_add_test(tests, create_pay_and_return);
    tcase_add_test(tests, pace_of_the_provider);
    tcase_add_test(tests, abandon_first_leaves_a_tombstone);
    tcase_add_test(tests, abandon_waits_for_the_create_under_way);
    tcase_add_test(tests, another_amount_makes_a_query_due);
    tcase_add_test(tests, quarantined_is_settled);
    tcase_add_test(tests, outcomes_are_told_apart);
    tcase_add_test(tests, an_unknown_word_is_asked_about);
    tcase_add_test(tests, signaled_only_grows);
    tcase_add_test(tests, a_saga_that_knows_a_later_version_is_told_again);
    tcase_add_test(tests, an_abandon_of_what_is_decided_is_told_again);
    tcase_add_test(tests, a_signal_that_goes_unheard_is_late);
    tcase_add_test(tests, what_was_acknowledged_is_told_again);
    tcase_add_test(tests, many_in_one_batch);
    tcase_add_test(tests, paid_back_before_it_was_taken);
    tcase_add_test(tests, what_is_due_is_found);
    tcase_add_test(tests, unserved_is_found);
    tcase_add_test(tests, signal_is_due_again);
    tcase_add_test(tests, inbox_forgets_what_is_old);
    tcase_add_test(tests, get_and_list);
    return service_fixture_check(&payment_parts, "payments", tests);
}
