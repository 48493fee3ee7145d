/* alert_meter.h -- What the database is asked of alerts, for metrics (mesh/store/asked.h).
 *
 * Thread    Constant.
 */
#ifndef ALERTS_ALERT_METER_H
#define ALERTS_ALERT_METER_H

#include "mesh/store/asked.h"

extern const struct asked_row alert_asked[]; /* ends with a row of zeros */

#endif
