/* account.h -- What the two nouns of account-svc share: one database, one batch, one set of tables.
 *
 * The ledger (ledger_*) and payments (payment_*, provider_*) are two gRPC services over it.
 */
#ifndef ACCOUNT_H
#define ACCOUNT_H

#include "mesh/store/op.h"
#include "mesh/store/reader.h"

/* Tables in the order of loading, locking and saving. */
enum account_table {
    LEDGER_OP, /* of payments' ops as well */
    LEDGER_TRANSFER,
    LEDGER_HOLD, /* names accounts */
    LEDGER_ACCOUNT,
    PAYMENT_INBOX,
    PAYMENT_PAYMENT,
    PAYMENT_TASK,
};

extern const struct batch_service account_service; /* account_store.c */

#endif
