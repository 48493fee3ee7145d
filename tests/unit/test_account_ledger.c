/* test_account_ledger.c -- The rules by which money moves, without a database. */
#include "account-svc/account.h"
#include "account-svc/ledger/ledger.h"
#include "mesh/base/clock.h"
#include "mesh/store/batch_rows.h"
#include "tests/support/check.h"

#include <string.h>

#define NOW_US (INT64_C(1700000000) * SECOND_US)

static struct arena *arena;
static struct batch_rows *rows;

static void
set_up(void)
{
    arena = arena_new();
    rows = batch_rows_new(&account_service, arena);
}

static void
tear_down(void)
{
    arena = arena_free(arena);
}

/* An account as if it had been loaded. */
static struct account *
have_account(const char *key, int64_t debits_minor, int64_t credits_minor)
{
    const struct account_kind *kind = account_kind_find(key);
    struct account *account;

    batch_touch_text(batch_rows_touch(rows), LEDGER_ACCOUNT, key);
    account = batch_add_text(rows, LEDGER_ACCOUNT, key);
    account->normal = (int32_t)kind->normal;
    account->overdraft = (int32_t)kind->overdraft;
    account->debits_minor = debits_minor;
    account->credits_minor = credits_minor;
    return account;
}

static struct account *
account_of(const char *key)
{
    batch_touch_text(batch_rows_touch(rows), LEDGER_ACCOUNT, key);
    return batch_find_text(rows, LEDGER_ACCOUNT, key);
}

static struct transfer *
transfer_of(struct uuid id)
{
    return batch_find_uuid(rows, LEDGER_TRANSFER, id);
}

static struct op
op_new(void)
{
    static uint64_t fingerprint = 1;
    struct op op = {
        .id = uuid_v7(NOW_US), .fingerprint = fingerprint++, .now_us = NOW_US, .traceparent = ""
    };

    return op;
}

static struct move
move_new(const char *debit_key, const char *credit_key, int64_t amount_minor)
{
    struct move move = { .op = op_new(),
                         .debit_key = debit_key,
                         .credit_key = credit_key,
                         .amount_minor = amount_minor,
                         .reference = "order-1" };

    return move;
}

static void
move_do(struct move *move, void (*decide)(void *op, struct batch_rows *rows))
{
    batch_rows_touch_records(rows, move->op.id);
    move_touch(move, batch_rows_touch(rows));
    decide(move, rows);
}

static void
refund_do(struct refund *refund)
{
    batch_rows_touch_records(rows, refund->op.id);
    refund_touch(refund, batch_rows_touch(rows));
    refund_decide(refund, rows);
    if (refund->op.problem.error == ERR_OK)
        refund_answer(refund, rows);
}

/* ---- the chart, and keys ---- */

/* clang-format off */
static const struct {
    const char *name;
    enum account_side normal; /* 0: no such kind */
    enum account_overdraft overdraft;
} kinds[] = {
    { "wallet/alice",     ACCOUNT_CREDIT, OVERDRAFT_NEVER   },
    { "clearing/orders",  ACCOUNT_CREDIT, OVERDRAFT_BY_UNDO },
    { "revenue/sales",    ACCOUNT_CREDIT, OVERDRAFT_NEVER   },
    { "expense/fees",     ACCOUNT_DEBIT,  OVERDRAFT_NEVER   },
    { "world/topups JPY", ACCOUNT_DEBIT,  OVERDRAFT_ALWAYS  },
    { "wallets/alice",    0,              0                 },
    { "wall/alice",       0,              0                 },
    { "Wallet/alice",     0,              0                 },
    { "/alice",           0,              0                 },
    { "",                 0,              0                 },
};
/* clang-format on */

START_TEST(kind_is_found)
{
    const struct account_kind *kind = account_kind_find(kinds[_i].name);

    if (kinds[_i].normal == 0) {
        ck_assert_msg(kind == NULL, "'%s' is a kind", kinds[_i].name);
        return;
    }
    ck_assert_msg(kind != NULL, "'%s' is no kind", kinds[_i].name);
    ck_assert_int_eq(kind->normal, kinds[_i].normal);
    ck_assert_int_eq(kind->overdraft, kinds[_i].overdraft);
}
END_TEST

static const struct {
    const char *owner, *key;
} keys[] = {
    { "alice", "wallet/alice JPY" },
    { "al ice USD", "wallet/al ice USD JPY" },
    { " ", "wallet/  JPY" },
    { "\xe5\xb1\xb1", "wallet/\xe5\xb1\xb1 JPY" },
};

START_TEST(key_comes_apart_as_it_was_put_together)
{
    const char *key = account_key(arena, "wallet", keys[_i].owner, "JPY");

    ck_assert_str_eq(key, keys[_i].key);
    ck_assert_str_eq(account_key_owner(arena, key), keys[_i].owner);
    ck_assert_str_eq(account_key_currency(key), "JPY");
    ck_assert_str_eq(account_key_name(arena, key), arena_print(arena, "wallet/%s", keys[_i].owner));
}
END_TEST

START_TEST(account_is_opened_once)
{
    struct open_account open = { .op = op_new(), .key = "wallet/alice JPY" };
    struct open_account again = { .op = op_new(), .key = "wallet/alice JPY" };

    batch_rows_touch_records(rows, open.op.id);
    batch_rows_touch_records(rows, again.op.id);
    open_account_touch(&open, batch_rows_touch(rows));
    open_wallet_decide(&open, rows);
    account_of("wallet/alice JPY")->credits_minor = 7;
    open_account_decide(&again, rows);
    open_account_answer(&again, rows);
    ck_assert_int_eq(again.op.problem.error, ERR_OK);
    ck_assert_int_eq(again.account.credits_minor, 7);
    ck_assert_int_eq(again.account.normal, ACCOUNT_CREDIT);
    ck_assert_int_eq(again.account.overdraft, OVERDRAFT_NEVER);
    ck_assert_ptr_nonnull(batch_find_uuid(rows, TABLE_OF_OPS, open.op.id));
    ck_assert_ptr_nonnull(batch_find_uuid(rows, TABLE_OF_OPS, again.op.id));
}
END_TEST

/* ---- moves ---- */

#define MAX AMOUNT_MINOR_MAX
#define SUM SUM_MINOR_MAX
#define NONE (-1) /* there is no such account */

/* Each row: what is in two accounts (debits, credits), what is moved, the answer ("" posted), and the
 * field a refusal names. */
/* clang-format off */
static const struct {
    const char *what;
    void (*decide)(void *op, struct batch_rows *rows);
    const char *debit;  int64_t debit_debits, debit_credits;
    const char *credit; int64_t credit_debits, credit_credits;
    int64_t amount;
    const char *answer, *field;
} moves[] = {
    { "a top-up makes the world",          topup_decide,    "world/topups JPY",   NONE,   0, "wallet/a JPY",        0,   0,   5, "", "" },
    { "a top-up overdraws the world",      topup_decide,    "world/topups JPY",      9,   0, "wallet/a JPY",        0,   0, MAX, "", "" },
    { "a top-up of no wallet",             topup_decide,    "world/topups JPY",   NONE,   0, "wallet/a JPY",     NONE,   0,   5, "NO_ACCOUNT", "customer_id" },
    { "a top-up up to the limit",          topup_decide,    "world/topups JPY",      0,   0, "wallet/a JPY",        0, SUM-5, 5, "", "" },
    { "a top-up past the limit",           topup_decide,    "world/topups JPY",      0,   0, "wallet/a JPY",        0, SUM-4, 5, "BALANCE_OVERFLOW", "customer_id" },
    { "a top-up past the world's limit",   topup_decide,    "world/topups JPY",  SUM-4,   0, "wallet/a JPY",        0,   0,   5, "BALANCE_OVERFLOW", "" },

    { "a charge makes clearing",           charge_decide,   "wallet/a JPY",          0,  10, "clearing/orders JPY", NONE, 0,   4, "", "" },
    { "a charge of all of it",             charge_decide,   "wallet/a JPY",         60, 100, "clearing/orders JPY",  0,   0,  40, "", "" },
    { "a charge of one more than is left", charge_decide,   "wallet/a JPY",         60, 100, "clearing/orders JPY",  0,   0,  41, "NO_FUNDS", "customer_id" },
    { "a charge of an empty wallet",       charge_decide,   "wallet/a JPY",          0,   0, "clearing/orders JPY",  0,   0,   1, "NO_FUNDS", "customer_id" },
    { "the largest charge of all",         charge_decide,   "wallet/a JPY",          0,  10, "clearing/orders JPY",  0,   0, MAX, "NO_FUNDS", "customer_id" },
    { "a free order, no money",            charge_decide,   "wallet/a JPY",          0,   0, "clearing/orders JPY",  0,   0,   0, "", "" },
    { "a free order makes clearing",       charge_decide,   "wallet/a JPY",          5,   5, "clearing/orders JPY", NONE, 0,   0, "", "" },
    { "a free order without a wallet",     charge_decide,   "wallet/a JPY",       NONE,   0, "clearing/orders JPY",  0,   0,   0, "NO_ACCOUNT", "customer_id" },
    { "a charge of no wallet",             charge_decide,   "wallet/a JPY",       NONE,   0, "clearing/orders JPY",  0,   0,   1, "NO_ACCOUNT", "customer_id" },
    { "a charge past clearing's limit",    charge_decide,   "wallet/a JPY",          0,  10, "clearing/orders JPY",  0, SUM-4, 5, "BALANCE_OVERFLOW", "" },
    { "a charge past the wallet's limit",  charge_decide,   "wallet/a JPY",      SUM-4, SUM+1, "clearing/orders JPY", 0,  0,   5, "BALANCE_OVERFLOW", "customer_id" },

    { "a transfer between wallets",        transfer_decide, "wallet/a JPY",          0,  10, "wallet/b JPY",         0,   0,  10, "", "" },
    { "a transfer not covered",            transfer_decide, "wallet/a JPY",          0,  10, "wallet/b JPY",         0,   0,  11, "NO_FUNDS", "debit_account" },
    { "a transfer from nobody",            transfer_decide, "wallet/a JPY",       NONE,   0, "wallet/b JPY",         0,   0,   1, "NO_ACCOUNT", "debit_account" },
    { "a transfer to nobody",              transfer_decide, "wallet/a JPY",          0,  10, "wallet/b JPY",      NONE,   0,   1, "NO_ACCOUNT", "credit_account" },
    { "a transfer makes no account",       transfer_decide, "world/bank JPY",     NONE,   0, "wallet/b JPY",         0,   0,   1, "NO_ACCOUNT", "debit_account" },
    { "settled orders leave clearing",     transfer_decide, "clearing/orders JPY",   0,  10, "revenue/sales JPY",    0,   0,  10, "", "" },
    { "clearing is not overdrawn by hand", transfer_decide, "clearing/orders JPY",   5,  10, "revenue/sales JPY",    0,   0,   6, "NO_FUNDS", "debit_account" },
    { "a debit adds to an expense",        transfer_decide, "expense/fees JPY",      0,   0, "world/bank JPY",       0,   0,   6, "", "" },
    { "an expense taken back",             transfer_decide, "wallet/a JPY",          0,   9, "expense/fees JPY",     6,   0,   6, "", "" },
    { "an expense that never was",         transfer_decide, "wallet/a JPY",          0,   9, "expense/fees JPY",     6,   0,   7, "NO_FUNDS", "credit_account" },
    { "the world takes any amount",        transfer_decide, "wallet/a JPY",          0, MAX, "world/bank JPY",       0,   0, MAX, "", "" },
};
/* clang-format on */

START_TEST(move_is_decided)
{
    struct move move = move_new(moves[_i].debit, moves[_i].credit, moves[_i].amount);
    bool is_posted = moves[_i].answer[0] == '\0';
    const struct account *debit = NULL, *credit = NULL;
    const struct transfer *transfer;

    if (moves[_i].debit_debits != NONE)
        have_account(moves[_i].debit, moves[_i].debit_debits, moves[_i].debit_credits);
    if (moves[_i].credit_debits != NONE)
        have_account(moves[_i].credit, moves[_i].credit_debits, moves[_i].credit_credits);
    move_do(&move, moves[_i].decide);
    ck_assert_msg(strcmp(problem_reason(&move.op.problem), moves[_i].answer) == 0, "%s: got '%s'",
                  moves[_i].what, move.op.problem.text);
    ck_assert_msg(strcmp(move.op.problem.field, moves[_i].field) == 0, "%s: field '%s'",
                  moves[_i].what, move.op.problem.field);

    transfer = transfer_of(move.op.id);
    ck_assert_msg(transfer != NULL, "%s: no record", moves[_i].what);
    ck_assert_int_eq(transfer->state, is_posted ? TRANSFER_POSTED : TRANSFER_REFUSED);
    ck_assert_str_eq(transfer->record.reason, moves[_i].answer);
    ck_assert_uint_eq(transfer->record.fingerprint, move.op.fingerprint);
    ck_assert_int_eq(transfer->amount_minor, moves[_i].amount);
    ck_assert_int_eq(transfer->posted_at_us, NOW_US);

    debit = account_of(moves[_i].debit);
    credit = account_of(moves[_i].credit);
    if (!is_posted) { /* nothing has moved, and no account was made */
        ck_assert_msg((debit == NULL) == (moves[_i].debit_debits == NONE), "%s", moves[_i].what);
        ck_assert_msg((credit == NULL) == (moves[_i].credit_debits == NONE), "%s", moves[_i].what);
        ck_assert(debit == NULL || debit->debits_minor == moves[_i].debit_debits);
        ck_assert(credit == NULL || credit->credits_minor == moves[_i].credit_credits);
        return;
    }
    ck_assert_int_eq(debit->debits_minor - moves[_i].amount,
                     moves[_i].debit_debits == NONE ? 0 : moves[_i].debit_debits);
    ck_assert_int_eq(debit->credits_minor, moves[_i].debit_credits);
    ck_assert_int_eq(credit->credits_minor - moves[_i].amount, moves[_i].credit_credits);
    ck_assert_int_eq(credit->debits_minor,
                     moves[_i].credit_debits == NONE ? 0 : moves[_i].credit_debits);
}
END_TEST

/* ---- Refund ---- */

enum past { ABSENT, ABSENT_OLD, REFUSED, POSTED, FREE, REVERSED, BURIED, TOPUP, DRAINED, FULL };

/* Each row: what became of the charge before, and what its refund does. */
/* clang-format off */
static const struct {
    const char *what;
    enum past past;
    const char *answer;
    bool reverses;   /* makes the reversal */
    bool buries;     /* leaves a tombstone */
    bool is_known;   /* answers with the reversal that was made before */
} refunds[] = {
    /*                                       past         answer           reverses buries is_known */
    { "a charge that was posted",            POSTED,      "",              true,    false, false },
    { "a charge of nothing",                 FREE,        "",              true,    false, false },
    { "a charge that was refused",           REFUSED,     "",              false,   false, false },
    { "a charge that never arrived",         ABSENT,      "",              false,   true,  false },
    { "a charge that can no longer arrive",  ABSENT_OLD,  "",              false,   false, false },
    { "a charge refunded under another id",  REVERSED,    "",              false,   false, true  },
    { "a charge refunded before it arrived", BURIED,      "",              false,   false, false },
    { "not a charge",                        TOPUP,       "NOT_A_CHARGE",  false,   false, false },
    { "a charge whose money was moved on",   DRAINED,     "",              true,    false, false },
    { "a charge of a full wallet",           FULL,        "",              true,    false, false },
};
/* clang-format on */

#define WALLET "wallet/a JPY"
#define CLEARING "clearing/orders JPY"

/* The charge as `past` has it, decided by the rules themselves; returns its id. */
static struct uuid
charge_with(enum past past, struct uuid *ret_reversal)
{
    struct move charge = move_new(WALLET, CLEARING, past == FREE ? 0 : 40);
    struct refund refund = { .op = op_new(), .charge_id = charge.op.id };

    switch (past) {
    case ABSENT_OLD:
        charge.op.id = uuid_v7(NOW_US - (ID_DAYS_KEPT + 1) * DAY_US);
        return charge.op.id;
    case ABSENT:
        return charge.op.id;
    case BURIED:
        refund_do(&refund);
        return charge.op.id;
    case TOPUP:
        charge.debit_key = "world/topups JPY";
        charge.credit_key = WALLET;
        move_do(&charge, topup_decide);
        return charge.op.id;
    default:
        move_do(&charge, charge_decide);
    }
    if (past == REVERSED) {
        refund_do(&refund);
        *ret_reversal = refund.op.id;
    } else if (past == DRAINED) {
        account_of(CLEARING)->debits_minor = 40;
    } else if (past == FULL) {
        account_of(WALLET)->credits_minor = SUM;
    }
    return charge.op.id;
}

START_TEST(refund_is_decided)
{
    struct uuid reversal = { 0 }, nil = { 0 }, charge_id;
    struct refund refund = { .op = op_new() };
    struct account *wallet = have_account(WALLET, 0, refunds[_i].past == REFUSED ? 0 : 100);
    int64_t before_minor;
    const struct transfer *made;

    charge_id = refund.charge_id = charge_with(refunds[_i].past, &reversal);
    before_minor = account_balance_minor(wallet);
    refund_do(&refund);
    ck_assert_msg(strcmp(problem_reason(&refund.op.problem), refunds[_i].answer) == 0,
                  "%s: got '%s'", refunds[_i].what, refund.op.problem.text);

    made = transfer_of(refund.op.id);
    ck_assert_msg((made != NULL) == refunds[_i].reverses, "%s: reversal", refunds[_i].what);
    /* The reversal is the record, and otherwise there is one in op. */
    ck_assert_msg((batch_find_uuid(rows, TABLE_OF_OPS, refund.op.id) != NULL) == (made == NULL),
                  "%s: record", refunds[_i].what);
    if (made != NULL) {
        const struct transfer *charge = transfer_of(charge_id);

        ck_assert_str_eq(made->debit_key, charge->credit_key);
        ck_assert_str_eq(made->credit_key, charge->debit_key);
        ck_assert_int_eq(made->amount_minor, charge->amount_minor);
        ck_assert_str_eq(made->reference, charge->reference);
        ck_assert(uuid_equal(made->reverses_id, charge_id));
        ck_assert(uuid_equal(charge->reversed_by, refund.op.id));
        ck_assert(uuid_equal(refund.reversal_id, refund.op.id));
        ck_assert_int_eq(account_balance_minor(wallet), before_minor + charge->amount_minor);
    } else {
        ck_assert_msg(account_balance_minor(wallet) == before_minor, "%s: money moved",
                      refunds[_i].what);
        ck_assert(uuid_equal(refund.reversal_id, refunds[_i].is_known ? reversal : nil));
    }
    if (refunds[_i].buries)
        ck_assert_int_eq(transfer_of(charge_id)->state, TRANSFER_TOMBSTONE);
    else if (refunds[_i].past == ABSENT_OLD)
        ck_assert_ptr_null(transfer_of(charge_id));
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    void (*decide)(void *op, struct batch_rows *rows);
    const char *debit, *credit;
} late[] = {
    { "a charge",   charge_decide,   WALLET,             CLEARING            },
    { "a top-up",   topup_decide,    "world/topups JPY", WALLET              },
    { "a transfer", transfer_decide, WALLET,             "revenue/sales JPY" },
};
/* clang-format on */

START_TEST(what_was_undone_before_it_arrived_is_refused)
{
    struct move move = move_new(late[_i].debit, late[_i].credit, 10);
    struct refund refund = { .op = op_new(), .charge_id = move.op.id };
    const struct account *wallet = have_account(WALLET, 0, 100);

    refund_do(&refund);
    ck_assert_int_eq(refund.op.problem.error, ERR_OK);
    move_do(&move, late[_i].decide);
    ck_assert_msg(strcmp(problem_reason(&move.op.problem), "CHARGE_UNDONE") == 0, "%s: got '%s'",
                  late[_i].what, problem_reason(&move.op.problem));
    ck_assert_int_eq(account_balance_minor(wallet), 100);
    ck_assert_int_eq(transfer_of(move.op.id)->state, TRANSFER_TOMBSTONE);
    ck_assert_uint_eq(transfer_of(move.op.id)->record.fingerprint, 0);
}
END_TEST

START_TEST(refund_under_a_buried_charges_id_is_refused)
{
    struct refund first = { .op = op_new(), .charge_id = uuid_v7(NOW_US) };
    struct refund second = { .op = op_new(), .charge_id = uuid_v7(NOW_US) };

    refund_do(&first);
    second.op.id = first.charge_id;
    refund_do(&second);
    ck_assert_int_eq(second.op.problem.error, ERR_ID_REUSED);
}
END_TEST

/* What a charge takes, its refund gives back, however full the accounts are: the half of an int64
 * above SUM_MINOR_MAX is enough for the refunds of everything below it. */
START_TEST(refunds_always_fit)
{
    struct account *wallet = have_account(WALLET, 0, SUM);
    struct account *clearing = have_account(CLEARING, 0, SUM - AMOUNT_MINOR_MAX);
    struct move charge = move_new(WALLET, CLEARING, AMOUNT_MINOR_MAX);
    struct refund refund = { .op = op_new(), .charge_id = charge.op.id };

    clearing->debits_minor = SUM - AMOUNT_MINOR_MAX; /* everything before was refunded, too */
    wallet->debits_minor = SUM - AMOUNT_MINOR_MAX;
    wallet->credits_minor = INT64_MAX - 1 - AMOUNT_MINOR_MAX;
    move_do(&charge, charge_decide);
    ck_assert_int_eq(charge.op.problem.error, ERR_OK);
    refund_do(&refund);
    ck_assert_int_eq(refund.op.problem.error, ERR_OK);
    ck_assert_int_eq(wallet->credits_minor, INT64_MAX - 1);
    ck_assert_int_eq(clearing->debits_minor, SUM);
}
END_TEST

/* ---- follow ---- */

START_TEST(loaded_charge_names_the_accounts_of_its_refund)
{
    const struct transfer charge = { .state = TRANSFER_POSTED,
                                     .kind = TRANSFER_CHARGE,
                                     .debit_key = WALLET,
                                     .credit_key = CLEARING };

    transfer_follow(&charge, batch_rows_touch(rows));
    /* Finding asserts that it was touched. */
    ck_assert_ptr_null(batch_find_text(rows, LEDGER_ACCOUNT, WALLET));
    ck_assert_ptr_null(batch_find_text(rows, LEDGER_ACCOUNT, CLEARING));
}
END_TEST

int
main(void)
{
    TCase *rules = check_case("rules");

    tcase_add_checked_fixture(rules, set_up, tear_down);
    tcase_add_loop_test(rules, kind_is_found, 0, ROWS(kinds));
    tcase_add_loop_test(rules, key_comes_apart_as_it_was_put_together, 0, ROWS(keys));
    tcase_add_test(rules, account_is_opened_once);
    tcase_add_loop_test(rules, move_is_decided, 0, ROWS(moves));
    tcase_add_loop_test(rules, refund_is_decided, 0, ROWS(refunds));
    tcase_add_loop_test(rules, what_was_undone_before_it_arrived_is_refused, 0, ROWS(late));
    tcase_add_test(rules, refund_under_a_buried_charges_id_is_refused);
    tcase_add_test(rules, refunds_always_fit);
    tcase_add_test(rules, loaded_charge_names_the_accounts_of_its_refund);
    return check_run("account ledger", rules);
}
