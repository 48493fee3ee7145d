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
    bool is_refused =
        response != NULL &&
        response->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;

    (void)context, (void)result;
    atomic_store(&peer->served_us, is_serving ? clock_steady_us() : 0);
    atomic_store(&peer->refused_us, is_refused ? clock_steady_us() : 0);
}

/* No item of an envelope: it is not a method of the mesh. */
void
peer_health_ask(struct peer_health *peer)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;

    if (peer->part != NULL)
        request.service = (char *)(uintptr_t)peer->part;
    rpc_post(peer->client,
             &(struct rpc_post){ .method = "grpc.health.v1.Health/Check",
                                 .message = &request.base,
                                 .timeout_us = ASK_TIMEOUT_US,
                                 .attempts_max = 1,
                                 .must_go_alone = true,
                                 .reply_type = &grpc__health__v1__health_check_response__descriptor,
                                 .owner = peer,
                                 .done = answered });
}

static bool
is_fresh(int64_t heard_us)
{
    return heard_us != 0 && clock_steady_us() - heard_us < PEER_FRESH_US;
}

bool
peer_health_is_serving(void *owner)
{
    return is_fresh(atomic_load(&((const struct peer_health *)owner)->served_us));
}

bool
peer_health_is_refused(const struct peer_health *peer)
{
    return is_fresh(atomic_load(&peer->refused_us));
}
