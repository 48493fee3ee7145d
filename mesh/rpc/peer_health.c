#include "mesh/rpc/peer_health.h"
#include "mesh/rpc/post.h"

#include <grpc/health/v1/health.pb-c.h>

enum { ASK_TIMEOUT_US = SECOND_US };

static void
answered(void *owner, const void *context, const struct rpc_result *result,
         const ProtobufCMessage *reply)
{
    const Grpc__Health__V1__HealthCheckResponse *response =
        (const Grpc__Health__V1__HealthCheckResponse *)reply;
    struct peer_health *peer = owner;
    bool is_serving =
        response != NULL &&
        response->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;

    (void)context, (void)result;
    atomic_store(&peer->served_us, is_serving ? clock_steady_us() : 0);
}

/* The empty message: the whole server. No item of an envelope: it is not a method of the mesh. */
void
peer_health_ask(struct peer_health *peer)
{
    rpc_post(peer->client,
             &(struct rpc_post){ .method = "grpc.health.v1.Health/Check",
                                 .timeout_us = ASK_TIMEOUT_US,
                                 .attempts_max = 1,
                                 .must_go_alone = true,
                                 .reply_type = &grpc__health__v1__health_check_response__descriptor,
                                 .owner = peer,
                                 .done = answered });
}

bool
peer_health_is_serving(void *owner)
{
    const struct peer_health *peer = owner;
    int64_t served_us = atomic_load(&peer->served_us);

    return served_us != 0 && clock_steady_us() - served_us < PEER_FRESH_US;
}
