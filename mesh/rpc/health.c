/* health.c -- grpc.health.v1: is a service fit for work? Kubernetes, load balancers and ./dev ask.
 *
 * Check and List are answered on the server's thread, under its lock. A Watch is a stream that is told when
 * the status it was told last is no longer true. */
#include "mesh/pb/message.h"
#include "mesh/rpc/server_inner.h"

#include <grpc/health/v1/health.pb-c.h>

#include <string.h>

#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus Serving;

struct health_op {
    struct op op;
    const char *service; /* of Check; NULL: it is a List */
    Serving status;      /* the answer to Check */
    const char **names;  /* of List: count services, and the status of each */
    Serving *statuses;
    size_t count;
};

static enum error
check_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    struct health_op *health = op;

    (void)arena;
    health->service = ((const Grpc__Health__V1__HealthCheckRequest *)message)->service;
    return ERR_OK;
}

static ProtobufCMessage *
check_encode(const void *op, struct arena *arena)
{
    const struct health_op *health = op;
    Grpc__Health__V1__HealthCheckResponse *response = arena_take(arena, sizeof *response);

    grpc__health__v1__health_check_response__init(response);
    response->status = health->status;
    return &response->base;
}
/* The request of List has no field. */
static enum error
list_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    (void)message, (void)arena, (void)op;
    return ERR_OK;
}

/* A map on the wire is a list of entries, each a key with its value. */
static ProtobufCMessage *
list_encode(const void *op, struct arena *arena)
{
    const struct health_op *health = op;
    Grpc__Health__V1__HealthListResponse *response = arena_take(arena, sizeof *response);

    grpc__health__v1__health_list_response__init(response);
    response->statuses = arena_take(arena, health->count * sizeof(void *));
    response->n_statuses = health->count;
    for (size_t i = 0; i < health->count; i++) {
        Grpc__Health__V1__HealthListResponse__StatusesEntry *entry =
            arena_take(arena, sizeof *entry);

        grpc__health__v1__health_list_response__statuses_entry__init(entry);
        entry->value = arena_take(arena, sizeof *entry->value);
        grpc__health__v1__health_check_response__init(entry->value);
        entry->key = (char *)(uintptr_t)health->names[i];
        entry->value->status = health->statuses[i];
        response->statuses[i] = entry;
    }
    return &response->base;
}

const struct method rpc_health_methods[] = {
    { .name = "Check",
      .op_bytes = sizeof(struct health_op),
      .decode = check_decode,
      .encode = check_encode },
    { .name = "List",
      .op_bytes = sizeof(struct health_op),
      .decode = list_decode,
      .encode = list_encode },
    { 0 },
};

/* A service of this server, by its whole name. */
static bool
is_served(const struct rpc_server *server, const char *service)
{
    for (size_t i = 0; i < server->service_name_count; i++) {
        if (strcmp(server->service_names[i], service) == 0)
            return true;
    }
    return false;
}

/* "" is the whole program. Under the lock. */
static Serving
status_of(const struct rpc_server *server, const char *service)
{
    bool is_known = service[0] == '\0' || is_served(server, service);
    bool is_serving = server->is_serving;

    for (size_t i = 0; i < server->part_count; i++) {
        if (strcmp(server->parts[i].name, service) == 0) {
            is_known = true;
            is_serving = server->parts[i].is_well;
        }
    }
    if (!is_known)
        return STATUS(SERVICE_UNKNOWN);
    return is_serving ? STATUS(SERVING) : STATUS(NOT_SERVING);
}

/* The status of one of them. Under the lock. */
static void
list_add(const struct rpc_server *server, struct health_op *health, const char *name)
{
    health->names[health->count] = name;
    health->statuses[health->count++] = status_of(server, name);
}

/* All that Check knows: the program, its services, its parts. Under the lock. */
static void
list_fill(const struct rpc_server *server, struct arena *arena, struct health_op *health)
{
    size_t most = 1 + server->service_name_count + server->part_count;

    health->names = arena_take(arena, most * sizeof *health->names);
    health->statuses = arena_take(arena, most * sizeof *health->statuses);
    list_add(server, health, "");
    for (size_t i = 0; i < server->service_name_count; i++)
        list_add(server, health, server->service_names[i]);
    for (size_t i = 0; i < server->part_count; i++) {
        if (!is_served(server, server->parts[i].name))
            list_add(server, health, server->parts[i].name);
    }
}

void
rpc_health_submit(void *owner, struct call *call)
{
    struct rpc_server *server = owner;
    struct health_op *health = (struct health_op *)call->op;

    pthread_mutex_lock(&server->lock);
    if (health->service == NULL)
        list_fill(server, call->arena, health);
    else
        health->status = status_of(server, health->service);
    pthread_mutex_unlock(&server->lock);
    if (health->service != NULL && health->status == STATUS(SERVICE_UNKNOWN))
        problem_set(&health->op.problem, ERR_NOT_FOUND, "service", "no such service here");
    call->finish(call);
}

/* The one request of a Watch; a second one, or none, is refused. */
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
