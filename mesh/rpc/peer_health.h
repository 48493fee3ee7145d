/* peer_health.h -- Does a service behind this program serve? By grpc.health.v1.
 *
 * The program asks once a second, however often it is asked itself: a probe of it costs the services nothing
 * more. An answer is good for PEER_FRESH_US.
 *
 * Thread    peer_health_ask: one. peer_health_is_serving: any.
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
    atomic_int_fast64_t served_us; /* when it last said so, by clock_steady_us(); 0: never, or no */
};

void peer_health_ask(struct peer_health *peer);

/* peer: a struct peer_health, as a health_condition's owner. */
bool peer_health_is_serving(void *peer);

#endif
