/* account.h -- What the two nouns of account-svc share: one database, one batch, one list of tables.
 *
 * The ledger (ledger/) and payments (payment/, provider/) are two gRPC services over it.
 */
#ifndef ACCOUNT_H
#define ACCOUNT_H

#include "mesh/store/batch.h"

extern const struct batch_service account_service; /* account_store.c */

#endif
