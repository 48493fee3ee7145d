/* payment_rpc.h -- What decoding needs to know beside the message: the providers that are configured. */
#ifndef PAYMENT_RPC_H
#define PAYMENT_RPC_H

#include "account-svc/provider.h"

/* Before the first call; the set must outlive the last one. A row's decode is told nothing but the
 * message, so this is kept by the module. */
void payment_rpc_open(const struct provider_set *providers);

#endif
