/* payment_sweep.h -- What time does to payments: Abandons whose time is over, signals that were lost,
 * webhooks that may be forgotten. Tasks of the keeper thread (mesh/service.h).
 */
#ifndef PAYMENT_SWEEP_H
#define PAYMENT_SWEEP_H

#include "account-svc/payment_signal.h"
#include "mesh/service.h"

enum error payment_sweep_abandons(struct service *service, struct pg *pg, struct arena *arena);

/* Sends again what was not acknowledged. *seen_us is where the last sweep was in time; 0: none was. */
enum error payment_sweep_signals(struct payment_signal *signal, int64_t *seen_us, struct pg *pg,
                                 struct arena *arena);

enum error payment_sweep_inbox(struct service *service, struct pg *pg, struct arena *arena);

#endif
