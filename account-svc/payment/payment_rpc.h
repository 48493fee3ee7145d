/* payment_rpc.h -- What decoding needs to know beside the message: the providers that are configured. */
#ifndef PAYMENT_RPC_H
#define PAYMENT_RPC_H

#include "account-svc/payment/payment_op.h"
#include "account-svc/provider/provider.h"

/* Before the first call; the set must outlive the last one. A row's decode is told nothing but the
 * message, so this is kept by the module. */
void payment_rpc_open(const struct provider_set *providers);

/* Webhooks of a provider that were answered so since the start; OBSERVE_NONE: those that were refused. */
uint64_t payment_rpc_count(const struct provider *provider, enum observe_outcome outcome);

/* A line for each provider that sent any. */
void payment_rpc_log_counts(void);

#endif
