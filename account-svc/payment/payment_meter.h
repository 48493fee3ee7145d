/* payment_meter.h -- What the database is asked of payments, for metrics (mesh/store/asked.h).
 *
 * Thread    Constant.
 */
#ifndef PAYMENT_METER_H
#define PAYMENT_METER_H

#include "account-svc/payment/payment.h"
#include "mesh/store/asked.h"

extern const struct asked_row payment_asked[]; /* ends with a row of zeros */

#endif
