/* account_store.c -- All tables of the database, in the order of loading, locking and saving. */
#include "account-svc/account.h"
#include "account-svc/ledger/ledger_hold.h"
#include "account-svc/payment/payment_op.h"

static const struct batch_table tables[] = {
    [LEDGER_OP] = OP_TABLE,        [LEDGER_TRANSFER] = TRANSFER_TABLE,
    [LEDGER_HOLD] = FUNDS_TABLE,   [LEDGER_ACCOUNT] = ACCOUNT_TABLE,
    [PAYMENT_INBOX] = INBOX_TABLE, [PAYMENT_PAYMENT] = PAYMENT_TABLE,
    [PAYMENT_TASK] = TASK_TABLE,
};

const struct batch_service account_service = {
    .name = "account-svc",
    .tables = tables,
    .table_count = sizeof tables / sizeof *tables,
    .has_events = true,
};
