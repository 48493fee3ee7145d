/* peer_health.h -- Does a service behind this program serve, or a part that it stands on? By grpc.health.v1.
 *
 * The program asks once a second, however often it is asked itself: a probe of it costs the services nothing
 * more. An answer is good for PEER_FRESH_US.
 *
 * Thread    peer_health_ask: one. The others: any.
 * Memory    A peer outlives its client.
 */
#ifndef MESH_RPC_PEER_HEALTH_H
#define MESH_RPC_PEER_HEALTH_H

#include "mesh/base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>

#define PEER_FRESH_US (5 * SECOND_US)

struct rpc_client;

struct peer_health {
    struct rpc_client *client;
    const char *part; /* "database" (rpc/server.h); NULL: the service itself */
    /* When it last said so, by clock_steady_us(); 0: the last answer was another, or there was none. */
    atomic_int_fast64_t served_us, refused_us;
};

void peer_health_ask(struct peer_health *peer);

/* peer: a struct peer_health, as a health_condition's owner. */
bool peer_health_is_serving(void *peer);

/* It says that it does not, or that the part is not well; false also while it is not heard. */
bool peer_health_is_refused(const struct peer_health *peer);

#endif
