/* metrics.h -- GET /metrics: what a program counts (mesh/observe/metrics.h).
 *
 * Thread    The server's loop, which writes the text: some hundred series cost it a millisecond.
 */
#ifndef MESH_HTTP_METRICS_H
#define MESH_HTTP_METRICS_H

#include "mesh/http/route.h"

/* Their table's owner is the struct metrics. */
extern const struct http_route metrics_routes[];

#endif
