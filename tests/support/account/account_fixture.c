#include "tests/support/account/account_fixture.h"
#include "mesh/base/hash.h"

const struct service_parts ledger_parts = {
    .schema = "account-svc/schema",
    .service = &account_service,
    .methods = ledger_methods,
    .reads = ledger_reads,
    .statements = ledger_statements,
};

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
    struct test_call *test = service_op("OpenWallet");
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
    struct test_call *test = service_op(method);
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
    struct test_call *test = service_op("Refund");
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
