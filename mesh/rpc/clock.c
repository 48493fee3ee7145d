/* sagamesh.clock.v1: what this machine's wall clock says. Peers compare theirs with it (clock_watch.h). */
#include "mesh/base/clock.h"
#include "mesh/rpc/server_inner.h"

#include <sagamesh/clock/v1/clock_service.pb-c.h>

static enum error
clock_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    (void)message;
    (void)arena;
    (void)op;
    return ERR_OK;
}

static ProtobufCMessage *
clock_encode(const void *op, struct arena *arena)
{
    Sagamesh__Clock__V1__NowResponse *response = arena_take(arena, sizeof *response);

    (void)op;
    sagamesh__clock__v1__now_response__init(response);
    response->wall_us = clock_wall_us();
    return &response->base;
}

static const struct method clock_now = {
    .name = "Now",
    .op_bytes = sizeof(struct op),
    .decode = clock_decode,
    .encode = clock_encode,
};

static void
clock_submit(void *owner, struct call *call)
{
    (void)owner;
    call->finish(call);
}

const struct rpc_service rpc_clock_service = {
    .descriptor = &sagamesh__clock__v1__clock_service__descriptor,
    .methods = &clock_now,
    .submit = clock_submit,
};
