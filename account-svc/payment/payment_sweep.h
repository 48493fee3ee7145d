/* payment_sweep.h -- What time does to payments: Abandons whose time is over, signals that were lost,
 * webhooks that may be forgotten. Tasks of the keeper thread (mesh/service.h).
 */
#ifndef PAYMENT_SWEEP_H
#define PAYMENT_SWEEP_H

#include "account-svc/payment/payment_op.h"
#include "mesh/service.h"

enum error payment_sweep_abandons(struct service *service, struct pg *pg, struct arena *arena);

/* What was not acknowledged and is due is told again, a thousand at a time. */
enum error payment_sweep_signals(struct service *service, struct pg *pg, struct arena *arena);
/* Says which go unheard for long. */
enum error payment_sweep_late_signals(struct service *service, struct pg *pg, struct arena *arena);

/* Payments of a provider that no program has in its configuration wait for ever, perhaps with money. */
enum error payment_sweep_unserved(struct pg *pg, struct arena *arena,
                                  bool (*is_served)(const char *provider));

enum error payment_sweep_inbox(struct service *service, struct pg *pg, struct arena *arena);

#endif
