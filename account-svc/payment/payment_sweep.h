/* payment_sweep.h -- What time does to payments: Abandons whose time is over, signals that were lost,
 * webhooks that may be forgotten. Tasks of the keeper (mesh/keeper.h), whose owner is the batch.
 */
#ifndef PAYMENT_SWEEP_H
#define PAYMENT_SWEEP_H

#include "account-svc/payment/payment_op.h"
#include "mesh/store/batch_own.h"

enum error payment_sweep_abandons(void *batch, struct pg *pg, struct arena *arena);

/* What was not acknowledged and is due is told again, a thousand at a time. */
enum error payment_sweep_signals(void *batch, struct pg *pg, struct arena *arena);
/* Says which go unheard for long. */
enum error payment_sweep_late_signals(void *batch, struct pg *pg, struct arena *arena);

/* Payments of a provider that no program has in its configuration wait for ever, perhaps with money. */
enum error payment_sweep_unserved(struct pg *pg, struct arena *arena,
                                  bool (*is_served)(void *owner, const char *provider),
                                  void *owner);

enum error payment_sweep_inbox(void *batch, struct pg *pg, struct arena *arena);

#endif
