/* payment_rpc.h -- What was answered to providers' webhooks. The methods are payment_methods (payment_op.h); the
 * owner of their ops is a struct payment_owner.
 *
 * Thread    Any.
 */
#ifndef PAYMENT_RPC_H
#define PAYMENT_RPC_H

#include "account-svc/payment/payment_op.h"
#include "account-svc/provider/provider.h"

/* A line for each provider. */
void payment_rpc_log_counts(const struct payment_owner *owner);

#endif
