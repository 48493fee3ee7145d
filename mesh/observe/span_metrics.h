/* span_metrics.h -- Spans recorded, sent and dropped, as metrics of the program.
 *
 * Thread    The main thread.
 */
#ifndef MESH_OBSERVE_SPAN_METRICS_H
#define MESH_OBSERVE_SPAN_METRICS_H

#include "mesh/observe/metrics.h"

/* Where spans are recorded; else nothing is shown. Between span_open() and span_close(), which outlive the
 * metrics. */
void span_metrics_open(struct metrics *metrics);

#endif
