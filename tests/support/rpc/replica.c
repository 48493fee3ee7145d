#include "tests/support/rpc/replica.h"
#include "mesh/base/clock.h"

#include <sagamesh/audit/v1/audit_service.pb-c.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct replica_op {
    struct op op;
    int number;
};

static enum error
check_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    struct replica_op *asked = op;

    (void)message, (void)arena;
    asked->number = ((const struct replica *)asked->op.owner)->number;
    return ERR_OK;
}

static ProtobufCMessage *
check_encode(const void *op, struct arena *arena)
{
    Sagamesh__Audit__V1__CheckResponse *response = arena_take(arena, sizeof *response);

    sagamesh__audit__v1__check_response__init(response);
    response->problem = arena_print(arena, "%d", ((const struct replica_op *)op)->number);
    return &response->base;
}

static const struct method methods[] = { { .name = "Check",
                                           .op_bytes = sizeof(struct replica_op),
                                           .decode = check_decode,
                                           .encode = check_encode },
                                         { 0 } };

static void
replica_submit(void *owner, struct call *call)
{
    struct replica *replica = owner;
    enum error answer = (enum error)atomic_load(&replica->answer);

    atomic_fetch_add(&replica->asked, 1);
    if (answer != ERR_OK)
        problem_set(&call->op->problem, answer, NULL, "said the replica");
    if (replica->queue != NULL) {
        if (queue_push(replica->queue, &call->item))
            return;
        problem_set(&call->op->problem, ERR_BUSY, NULL, "the replica's queue is full");
    }
    if (!atomic_load(&replica->does_hold)) {
        call->finish(call);
        return;
    }
    pthread_mutex_lock(&replica->lock);
    call->item.next = (struct queue_item *)replica->held;
    replica->held = call;
    pthread_mutex_unlock(&replica->lock);
}

void
replica_open(struct replica *replica, int number)
{
    struct rpc_server_options options = { .connection_age_ms = replica->connection_age_ms,
                                          .listener = "public",
                                          .metrics = replica->metrics,
                                          .calls_max = 10000,
                                          .services = &replica->service,
                                          .service_count = 1 };
    char listen[32];

    replica->service =
        (struct rpc_service){ .descriptor = &sagamesh__audit__v1__audit_service__descriptor,
                              .methods = methods,
                              .submit = replica_submit,
                              .owner = replica,
                              .op_owner = replica };
    snprintf(listen, sizeof listen, "127.0.0.%d:%d", number + 1, replica->port);
    options.listen = listen;
    pthread_mutex_init(&replica->lock, NULL);
    replica->number = number;
    ck_assert_int_eq(rpc_server_open(&options, &replica->server), ERR_OK);
    replica->port = rpc_server_port(replica->server);
    rpc_server_set_serving(replica->server, true);
}

void
replica_release(struct replica *replica)
{
    struct call *held;

    atomic_store(&replica->does_hold, false);
    pthread_mutex_lock(&replica->lock);
    held = replica->held;
    replica->held = NULL;
    pthread_mutex_unlock(&replica->lock);
    while (held != NULL) {
        struct call *next = (struct call *)held->item.next;

        held->finish(held);
        held = next;
    }
}

void
replica_close(struct replica *replica, int grace_ms)
{
    if (replica->server == NULL)
        return;
    rpc_server_stop(replica->server, grace_ms);
    replica_release(replica);
    replica->server = rpc_server_close(replica->server);
}

const char *
replicas_target(const struct replica *replicas, size_t count, char target[REPLICA_TARGET_BYTES])
{
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += (size_t)snprintf(target + bytes, REPLICA_TARGET_BYTES - bytes, "%s127.0.0.%d:%d",
                                  i > 0 ? "," : "", replicas[i].number + 1, replicas[i].port);
    return target;
}

int
replica_ask(struct rpc_client *client, uint64_t key, int attempts, struct rpc_result *ret_result)
{
    Sagamesh__Audit__V1__CheckResponse *response;
    struct arena *arena = arena_new();
    int number = -1;

    rpc_ask(client,
            &(struct rpc_post){ .method = "sagamesh.audit.v1.AuditService/Check",
                                .timeout_us = 2 * SECOND_US,
                                .attempts_max = attempts,
                                .key = key },
            1, arena, ret_result);
    if (ret_result->code == WIRE_OK) {
        response = sagamesh__audit__v1__check_response__unpack(NULL, ret_result->reply_bytes,
                                                               ret_result->reply);
        ck_assert_ptr_nonnull(response);
        number = atoi(response->problem);
        sagamesh__audit__v1__check_response__free_unpacked(response, NULL);
    }
    arena_free(arena);
    return number;
}
