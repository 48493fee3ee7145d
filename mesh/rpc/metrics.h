/* metrics.h -- What clients and clocks count, for a reader of a program's metrics (observe/metrics.h).
 *
 * Thread    The reader's.
 */
#ifndef MESH_RPC_METRICS_H
#define MESH_RPC_METRICS_H

struct clock_watch;
struct metrics;
struct rpc_client;

/* service: the value of the label. */
void metrics_set_client(struct metrics *metrics, const char *service,
                        const struct rpc_client *client);

/* Of each clock that is compared, this program's too: those about which no two agree are left out. */
void metrics_set_clock(struct metrics *metrics, struct clock_watch *clock);

#endif
