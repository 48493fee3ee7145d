/* payment_sweep.h -- What sweeps report of payments that an operator must see to (mesh/store/sweep.h). Their owner
 * is a struct payment_owner.
 *
 * Thread    The keeper's.
 */
#ifndef PAYMENT_SWEEP_H
#define PAYMENT_SWEEP_H

#include "account-svc/payment/payment_op.h"

/* Of payment_signals_late: payments whose sagas go unheard for long. */
void payment_report_late(void *owner, const void *rows, size_t count);

/* Of payment_overdue_providers: payments of a provider that no program has in its configuration wait for ever,
 * perhaps with money. */
void payment_report_unserved(void *owner, const void *rows, size_t count);

#endif
