/* account_store.c -- All tables of the database, in the order of loading, locking and saving. */
#include "account-svc/account.h"
#include "account-svc/ledger/ledger_hold.h"
#include "account-svc/payment/payment_op.h"

_Static_assert((int)PAYMENT_TABLES_BEGIN == (int)LEDGER_TABLES_END, "one noun behind the other");

static const struct batch_table tables[] = { [TABLE_OF_OPS] = OP_TABLE, /* of both */
                                             LEDGER_TABLES,
                                             PAYMENT_TABLES };

const struct batch_service account_service = {
    .name = "account-svc",
    .tables = tables,
    .table_count = sizeof tables / sizeof *tables,
    .has_events = true,
};
