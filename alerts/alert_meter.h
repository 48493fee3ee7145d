/* alert_meter.h -- What the database is asked of alerts, for metrics (mesh/store/asked.h), and what several files count.
 *
 * Thread    Constant.
 */
#ifndef ALERTS_ALERT_METER_H
#define ALERTS_ALERT_METER_H

#include "mesh/store/asked.h"

extern const struct asked_row alert_asked[]; /* ends with a row of zeros */

/* By rule: shards count those of orders, the look at sources those of silence. */
extern const struct metric_row alert_raised_row, alert_resolved_row;

#endif
