/* grpc.health.v1: is a service fit for work? Kubernetes, load balancers and ./dev ask. */
#include "mesh/pb/message.h"
#include "mesh/rpc/server_inner.h"

#include <grpc/health/v1/health.pb-c.h>

#include <string.h>

struct health_op {
    struct op op;
    const char *service;
    Grpc__Health__V1__HealthCheckResponse__ServingStatus status;
};

static enum error
health_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    struct health_op *health = op;

    (void)arena;
    health->service = ((const Grpc__Health__V1__HealthCheckRequest *)message)->service;
    return ERR_OK;
}

static ProtobufCMessage *
health_encode(const void *op, struct arena *arena)
{
    const struct health_op *health = op;
    Grpc__Health__V1__HealthCheckResponse *response = arena_take(arena, sizeof *response);

    grpc__health__v1__health_check_response__init(response);
    response->status = health->status;
    return &response->base;
}

const struct method rpc_health_check = {
    .name = "Check",
    .op_bytes = sizeof(struct health_op),
    .decode = health_decode,
    .encode = health_encode,
};

/* "" is the whole program. Under the lock. */
static Grpc__Health__V1__HealthCheckResponse__ServingStatus
status_of(const struct rpc_server *server, const char *service)
{
    bool is_known = service[0] == '\0', is_serving = server->is_serving;

    for (size_t i = 0; i < server->part_count; i++) {
        if (strcmp(server->parts[i].name, service) == 0) {
            is_known = true;
            is_serving = server->parts[i].is_well;
        }
    }
    for (size_t i = 0; i < server->service_name_count; i++)
        is_known = is_known || strcmp(server->service_names[i], service) == 0;
    if (!is_known)
        return GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
    return is_serving ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
                      : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
}

void
rpc_health_submit(void *owner, struct call *call)
{
    struct rpc_server *server = owner;
    struct health_op *health = (struct health_op *)call->op;

    pthread_mutex_lock(&server->lock);
    health->status = status_of(server, health->service);
    pthread_mutex_unlock(&server->lock);
    if (health->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN)
        problem_set(&health->op.problem, ERR_NOT_FOUND, "service", "no such service here");
    call->finish(call);
}

static void
watch_message(struct rpc_stream *stream, const uint8_t *bytes, size_t count)
{
    struct arena *arena = arena_new();
    struct problem problem;
    ProtobufCMessage *message;
    enum error error;

    if (bytes == NULL)
        error = problem_set(&problem, ERR_BAD_REQUEST, NULL, "Watch takes exactly one message");
    else
        error = pb_message_unpack(&grpc__health__v1__health_check_request__descriptor, bytes, count,
                                  arena, &problem, &message);
    if (error != ERR_OK)
        rpc_stream_end(stream, &problem);
    else
        stream->service = strdup(((Grpc__Health__V1__HealthCheckRequest *)message)->service);
    arena_free(arena);
}

/* The status, when the watcher has not been told it yet. */
static bool
watch_next(struct rpc_stream *stream, grpc_slice *ret_reply)
{
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    uint8_t bytes[16];
    size_t count;

    if (stream->service == NULL)
        return false;
    response.status = status_of(stream->server, stream->service);
    if (stream->told == (int)response.status)
        return false;
    stream->told = (int)response.status;
    count = grpc__health__v1__health_check_response__pack(&response, bytes);
    *ret_reply = grpc_slice_from_copied_buffer((const char *)bytes, count);
    return true;
}

const struct rpc_stream_kind rpc_health_watch = { watch_message, watch_next };
