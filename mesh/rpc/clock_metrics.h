/* clock_metrics.h -- How far clocks are off, in a program's metrics.
 *
 * Thread    The one that opens and closes.
 */
#ifndef MESH_RPC_CLOCK_METRICS_H
#define MESH_RPC_CLOCK_METRICS_H

struct clock_watch;
struct metrics;

/* Of each clock that is compared, this program's too: those about which no two agree are left out. metrics NULL
 * is fine for both. */
void clock_metrics_open(struct metrics *metrics, struct clock_watch *clock);
void clock_metrics_close(struct metrics *metrics, struct clock_watch *clock);

#endif
