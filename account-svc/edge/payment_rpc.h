/* payment_rpc.h -- Payments as their callers see them, and the providers that are configured. Payments
 * (payment/) know of no provider; providers (provider/) are built on payments; here both are known.
 *
 * Thread    Any.
 * Memory    The set of providers is the caller's, and outlives the edge.
 */
#ifndef PAYMENT_RPC_H
#define PAYMENT_RPC_H

#include "account-svc/payment/payment_op.h"
#include "account-svc/provider/provider.h"

#include <stdatomic.h>

struct metrics;

/* The owner of payments' ops. */
struct payment_edge {
    struct payment_owner owner; /* first */
    const struct provider_set *providers;
    /* Webhooks of each that were answered so since the start; OBSERVE_NONE: those that were refused. */
    atomic_uint_fast64_t webhooks[PROVIDERS_MAX][OBSERVE_COUNT];
};

void payment_edge_init(struct payment_edge *edge, const struct provider_set *providers);

/* Shows what was answered to webhooks; and no more. metrics NULL is fine. */
void payment_edge_meter(struct payment_edge *edge, struct metrics *metrics);
void payment_edge_meter_end(struct payment_edge *edge, struct metrics *metrics);

extern const struct method payment_methods[];

#endif
