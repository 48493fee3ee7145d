/* process.h -- What Prometheus wants to know of every process, in its own names (process_*), and build_info.
 *
 * Thread    The reader's (metrics.h): from /proc, in well under a millisecond.
 */
#ifndef MESH_OBSERVE_PROCESS_H
#define MESH_OBSERVE_PROCESS_H

struct build;
struct metrics;

/* From now on, for as long as the metrics live. */
void process_metrics_open(struct metrics *metrics, const struct build *build);

#endif
