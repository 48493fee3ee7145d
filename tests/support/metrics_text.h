/* metrics_text.h -- What metrics show of one series.
 *
 * Thread    Any.
 */
#ifndef TESTS_SUPPORT_METRICS_TEXT_H
#define TESTS_SUPPORT_METRICS_TEXT_H

#include "mesh/observe/metrics.h"

/* The number behind a series as the text has it: "shop_asked_total{method=\"GET\"}". Of one that is not there
 * METRIC_NOT_SHOWN. */
#define METRIC_NOT_SHOWN (-1e9)
double metric_shown(struct metrics *metrics, const char *series);

#endif
