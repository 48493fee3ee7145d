#include "tests/support/account/account_fixture.h"
#include "mesh/base/hash.h"

#include <unistd.h>

const struct method *
ledger_method(const char *name)
{
    const struct method *method = ledger_methods;

    while (method->name != NULL && strcmp(method->name, name) != 0)
        method++;
    ck_assert_msg(method->name != NULL, "%s is no method", name);
    return method;
}

struct uuid
ledger_id(void)
{
    return uuid_v7(clock_now_us());
}

const char *
ledger_key(struct test_call *test, const char *name)
{
    if (strchr(name, '/') != NULL)
        return arena_print(test->call.arena, "%s JPY", name);
    return account_key(test->call.arena, "wallet", name, "JPY");
}

struct test_call *
ledger_open(struct uuid id, const char *customer)
{
    struct test_call *test = call_fixture_new(ledger_method("OpenWallet"));
    struct open_account *open = (struct open_account *)test->call.op;

    open->op.id = id;
    open->key = ledger_key(test, customer);
    open->op.fingerprint = hash_end(hash_text(HASH_SEED + 1, open->key));
    return test;
}

struct test_call *
ledger_move(const char *method, struct uuid id, const char *debit, const char *credit,
            int64_t amount_minor)
{
    struct test_call *test = call_fixture_new(ledger_method(method));
    struct move *move = (struct move *)test->call.op;

    move->op.id = id;
    move->debit_key = ledger_key(test, debit);
    move->credit_key = ledger_key(test, credit);
    move->amount_minor = amount_minor;
    move->reference = arena_print(test->call.arena, "order of %s", debit);
    move->op.fingerprint = hash_end(hash_int(
        hash_text(hash_text(hash_text(HASH_SEED + 2, method), debit), credit), amount_minor));
    return test;
}

struct test_call *
ledger_topup(struct uuid id, const char *customer, int64_t amount_minor)
{
    return ledger_move("TopUp", id, "world/topups", customer, amount_minor);
}

struct test_call *
ledger_charge(struct uuid id, const char *customer, int64_t amount_minor)
{
    return ledger_move("Charge", id, customer, "clearing/orders", amount_minor);
}

struct test_call *
ledger_refund(struct uuid id, struct uuid charge_id)
{
    struct test_call *test = call_fixture_new(ledger_method("Refund"));
    struct refund *refund = (struct refund *)test->call.op;

    refund->op.id = id;
    refund->charge_id = charge_id;
    refund->op.fingerprint = hash_end(hash_bytes(HASH_SEED + 3, &charge_id, sizeof charge_id));
    return test;
}

struct uuid
ledger_reversal(const struct test_call *test)
{
    return ((const struct refund *)test->call.op)->reversal_id;
}

void
ledger_run(struct pg *pg, struct test_call **tests, size_t count)
{
    struct call *calls[64];

    ck_assert_uint_le(count, 64);
    for (size_t i = 0; i < count; i++)
        calls[i] = &tests[i]->call;
    batch_run(&account_service, pg, calls, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(tests[i]->finished, 1);
}

struct problem
ledger_do(struct pg *pg, struct test_call *test)
{
    struct problem problem;

    ledger_run(pg, &test, 1);
    problem = test->call.op->problem;
    call_fixture_free(test);
    return problem;
}

enum error
ledger_read(struct pg *pg, const char *name, struct op *const *ops, size_t count,
            struct arena *arena)
{
    const struct read *read = ledger_reads;

    while (strcmp(read->name, name) != 0)
        read++;
    ck_assert_int_eq(pg_connect(pg), ERR_OK);
    return read_together(read, pg, ops, count, arena);
}
