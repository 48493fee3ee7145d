/* Random histories of the ledger against a model of a few lines: same answers, same sums, and the
 * books agree. A seed that fails is printed and plays again: MESH_SEED=N. */
#include "tests/support/account/account_fixture.h"
#include "tests/support/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WALLETS = 5, OPS = 1200, BATCH_MAX = 24, AMOUNT_MAX = 60 };

static uint64_t seed;

/* splitmix64: small, and the same on every machine. */
static uint64_t
draw(uint64_t below)
{
    uint64_t x = (seed += UINT64_C(0x9e3779b97f4a7c15));

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (x ^ (x >> 31)) % below;
}

static const char *const owners[WALLETS] = { "w0", "w1", "w2", "w3", "never opened" };

enum what { TOPUP, CHARGE, MOVE, REFUND };

/* An op that was played, with what the model says of it. */
struct played {
    enum what what;
    struct uuid id;
    size_t from, to; /* wallets */
    int64_t amount_minor;
    size_t charge; /* of a refund: which op it undoes */
    const char *answer;
    bool arrived;            /* a charge that is drawn as a refund's target may not have */
    bool is_buried;          /* its refund came first */
    struct uuid reversed_by; /* of a charge, as the model has it */
    struct uuid reversal;    /* of a refund, its answer */
};

struct model {
    struct played ops[OPS];
    size_t count;
    int64_t balance_minor[WALLETS];
};

static bool
is_open(size_t wallet)
{
    return wallet != WALLETS - 1;
}

/* The rules once more, as simply as they can be said. */
static void
model_decide(struct model *model, struct played *op)
{
    struct played *charge;

    op->answer = "";
    switch (op->what) {
    case TOPUP:
        if (!is_open(op->to))
            op->answer = "NO_ACCOUNT";
        else
            model->balance_minor[op->to] += op->amount_minor;
        return;
    case CHARGE:
    case MOVE:
        if (op->is_buried)
            op->answer = "CHARGE_UNDONE";
        else if (!is_open(op->from))
            op->answer = "NO_ACCOUNT";
        else if (model->balance_minor[op->from] < op->amount_minor)
            op->answer = "NO_FUNDS";
        else if (op->what == MOVE && !is_open(op->to))
            op->answer = "NO_ACCOUNT";
        else
            model->balance_minor[op->from] -= op->amount_minor;
        if (op->what == MOVE && op->answer[0] == '\0')
            model->balance_minor[op->to] += op->amount_minor;
        op->arrived = true;
        return;
    case REFUND:
        charge = &model->ops[op->charge];
        if (!charge->arrived) {
            charge->is_buried = true;
        } else if (charge->answer[0] == '\0' && uuid_is_nil(charge->reversed_by)) {
            model->balance_minor[charge->from] += charge->amount_minor;
            charge->reversed_by = op->id;
        }
        op->reversal = charge->reversed_by;
        return;
    }
}

static struct test_call *
call_of(const struct model *model, const struct played *op)
{
    switch (op->what) {
    case TOPUP:
        return ledger_topup(op->id, owners[op->to], op->amount_minor);
    case CHARGE:
        return ledger_charge(op->id, owners[op->from], op->amount_minor);
    case MOVE:
        return ledger_move("Transfer", op->id, owners[op->from], owners[op->to], op->amount_minor);
    case REFUND:
        break;
    }
    return ledger_refund(op->id, model->ops[op->charge].id);
}

/* The next op: a new one, or (a charge that a refund has overtaken) one that was kept back. */
static struct played *
draw_op(struct model *model)
{
    struct played *op = &model->ops[model->count];

    *op = (struct played){ .what = (enum what)draw(4),
                           .id = new_id(),
                           .from = draw(WALLETS),
                           .amount_minor = 1 + (int64_t)draw(AMOUNT_MAX) };
    op->to = (op->from + 1 + draw(WALLETS - 1)) % WALLETS;
    if (op->what == CHARGE && draw(8) == 0)
        op->amount_minor = 0;
    if (op->what == REFUND) {
        size_t tries = 20;

        do {
            op->charge = model->count == 0 ? 0 : draw(model->count);
        } while (--tries > 0 && model->ops[op->charge].what != CHARGE);
        if (model->count == 0 || model->ops[op->charge].what != CHARGE)
            op->what = CHARGE;
    }
    model->count++;
    return op;
}

static void
compare(const struct model *model, const struct played *op, const struct test_call *test)
{
    const struct problem *problem = &test->call.op->problem;

    ck_assert_msg(strcmp(problem_reason(problem), op->answer) == 0, "op %zu: got '%s', not '%s'",
                  (size_t)(op - model->ops), problem_reason(problem), op->answer);
    if (op->what == REFUND)
        ck_assert_msg(uuid_equal(ledger_reversal(test), op->reversal), "op %zu: the reversal",
                      (size_t)(op - model->ops));
}

/* Some ops of a batch are new, some are repeats, some are charges that were kept back. */
static void
play_batch(struct model *model, struct pg *over)
{
    struct test_call *tests[BATCH_MAX];
    struct played *ops[BATCH_MAX];
    size_t count = 1 + draw(BATCH_MAX);

    for (size_t i = 0; i < count; i++) {
        struct played *op = &model->ops[model->count == 0 ? 0 : draw(model->count)];

        if (model->count == 0 || (draw(4) != 0 && model->count < OPS)) {
            op = draw_op(model);
            if (op->what == CHARGE && draw(4) == 0) { /* kept back */
                i--;
                if (model->count == OPS)
                    count = i + 1;
                continue;
            }
            model_decide(model, op);
        } else if (op->what == CHARGE && !op->arrived) {
            model_decide(model, op);
        }
        ops[i] = op;
        tests[i] = call_of(model, op);
    }
    service_run(&account_service, over, tests, count);
    for (size_t i = 0; i < count; i++) {
        compare(model, ops[i], tests[i]);
        call_fixture_free(tests[i]);
    }
}

START_TEST(histories_agree_with_the_model)
{
    struct model *model = memory_take(sizeof *model);
    struct pg *replicas[2];
    long long total_minor = 0;

    for (int i = 0; i < 2; i++)
        replicas[i] = batch_pg_new(&account_service, fixture.conninfo);
    for (size_t i = 0; i < WALLETS - 1; i++)
        ledger_expect(replicas[0], ledger_open(new_id(), owners[i]), "");
    while (model->count < OPS)
        play_batch(model, replicas[draw(2)]);
    for (size_t i = 0; i < WALLETS - 1; i++) {
        ck_assert_int_eq(pg_fixture_int(fixture.conninfo,
                                        "SELECT credits_minor - debits_minor FROM account"
                                        " WHERE key = 'wallet/%s JPY'",
                                        owners[i]),
                         model->balance_minor[i]);
        total_minor += model->balance_minor[i];
    }
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM ledger_check()"), 0);
    /* What came from outside is in wallets or in clearing. */
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo,
                                    "SELECT sum(CASE WHEN key LIKE 'world/%%' THEN debits_minor"
                                    " WHEN key LIKE 'clearing/%%' THEN debits_minor - credits_minor"
                                    " ELSE 0 END)::bigint FROM account"),
                     total_minor);
    /* One event for each charge that was decided, and one for each reversal. */
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM event"),
                     pg_fixture_int(fixture.conninfo,
                                    "SELECT count(*) FROM transfer WHERE state < 2"
                                    " AND kind IN ('charge', 'refund')"));
    ck_assert_int_gt(
        pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM transfer WHERE kind = 'refund'"), 0);
    for (int i = 0; i < 2; i++)
        pg_free(replicas[i]);
    free(model);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("history");
    const char *given = getenv("MESH_SEED");

    seed = given == NULL ? (uint64_t)clock_now_us() : strtoull(given, NULL, 10);
    printf("MESH_SEED=%" PRIu64 "\n", seed);
    tcase_add_test(cases, histories_agree_with_the_model);
    return service_fixture_check(&ledger_parts, "account_history", cases);
}
