/* One unary call, in the order it happens: request a slot, arrive, decode, submit; then, on the
 * thread that decided it, finish; then end. Everything a call needs is in its rpc_unary and its
 * arena, which are used again. */
#include "mesh/pb/message.h"
#include "mesh/rpc/caller.h"
#include "mesh/rpc/payload.h"
#include "mesh/rpc/server_inner.h"
#include "mesh/rpc/status.h"

#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/observe/trace.h"

#include <grpc/byte_buffer.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)TRACE_PARENT_BYTES == (int)TRACEPARENT_BYTES, "one length of a traceparent");

static void unary_arrived(void *owner, bool is_ok);
static void unary_ended(void *owner, bool is_ok);
static void unary_finish(struct call *call);

static struct rpc_unary *
unary_new(struct rpc_server *server)
{
    struct rpc_unary *unary = server->unary_pool;

    if (unary != NULL) {
        server->unary_pool = unary->next;
        server->unary_pool_count--;
        return unary;
    }
    unary = memory_take(sizeof *unary);
    unary->call.arena = arena_new();
    unary->server = server;
    grpc_metadata_array_init(&unary->metadata);
    return unary;
}

static void
unary_free(struct rpc_unary *unary)
{
    grpc_metadata_array_destroy(&unary->metadata);
    arena_free(unary->call.arena);
    free(unary);
}

static void
unary_give_back(struct rpc_unary *unary)
{
    struct rpc_server *server = unary->server;

    server->outstanding--;
    if (server->unary_pool_count >= RPC_POOL_MAX) {
        unary_free(unary);
        return;
    }
    arena_reset(unary->call.arena);
    unary->next = server->unary_pool;
    server->unary_pool = unary;
    server->unary_pool_count++;
}

void
rpc_unary_pool_free(struct rpc_server *server)
{
    while (server->unary_pool != NULL) {
        struct rpc_unary *unary = server->unary_pool;

        server->unary_pool = unary->next;
        unary_free(unary);
    }
}

void
rpc_unary_request(struct rpc_server *server, const struct rpc_route *route)
{
    struct rpc_unary *unary = unary_new(server);
    grpc_call_error error;

    unary->tag = (struct rpc_tag){ unary_arrived, unary };
    unary->route = route;
    unary->grpc = NULL;
    unary->payload = NULL;
    unary->is_counted = false;
    unary->envelope = NULL;
    unary->metadata.count = 0;
    error = grpc_server_request_registered_call(server->grpc, route->registered, &unary->grpc,
                                                &unary->deadline, &unary->metadata, &unary->payload,
                                                server->queue, server->queue, &unary->tag);
    assert(error == GRPC_CALL_OK);
    (void)error;
    server->outstanding++;
}

/* By clock_steady_us(). A call without a deadline has a day: sums with it do not overflow. */
static int64_t
deadline_read(gpr_timespec deadline, int64_t now_us)
{
    gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));

    if (left.tv_sec >= DAY_US / SECOND_US)
        return now_us + DAY_US;
    if (left.tv_sec < 0)
        return now_us;
    return now_us + left.tv_sec * SECOND_US + left.tv_nsec / 1000;
}

static void
metadata_read(const grpc_metadata_array *metadata, char ret_traceparent[TRACEPARENT_BYTES + 1])
{
    static const char key[] = "traceparent";

    ret_traceparent[0] = '\0';
    for (size_t i = 0; i < metadata->count; i++) {
        const grpc_metadata *entry = &metadata->metadata[i];

        if (GRPC_SLICE_LENGTH(entry->key) == sizeof key - 1 &&
            memcmp(GRPC_SLICE_START_PTR(entry->key), key, sizeof key - 1) == 0)
            trace_parse((const char *)GRPC_SLICE_START_PTR(entry->value),
                        GRPC_SLICE_LENGTH(entry->value), ret_traceparent);
    }
}

/* Health, reflection and clocks are asked each second, and are none of a trace. An envelope is part of one only
 * where its sender says so. */
static void
unary_span_begin(struct rpc_unary *unary)
{
    unary->span = (struct span){ 0 };
    if (unary->route->is_own)
        rpc_span_served(&unary->span, unary->call.traceparent);
    else if (unary->route->take == rpc_envelope_take)
        span_begin(&unary->span, unary->call.traceparent);
}

/* Who calls matters when calls wait for each other; to ask takes memory. */
static unsigned
lane_of(const struct rpc_unary *unary)
{
    struct rpc_caller caller;
    unsigned lane;
    char *peer;

    if (atomic_load_explicit(&unary->server->in_flight, memory_order_relaxed) <= RPC_CALM)
        return 0;
    rpc_caller_open(unary->grpc, &caller);
    peer = grpc_call_get_peer(unary->grpc);
    lane = rpc_caller_lane(caller.identity, peer);
    gpr_free(peer);
    rpc_caller_close(&caller);
    return lane;
}

static void
unary_open(struct rpc_unary *unary)
{
    struct call *call = &unary->call;
    const struct method *method = unary->route->method;

    rpc_call_begin(call);
    call->method = method;
    call->finish = unary_finish;
    call->item.lane = lane_of(unary);
    if (unary->server->gate != NULL)
        unary->rules = rpc_gate_caller(unary->server->gate, unary->grpc);
    unary->arrived_us = clock_steady_us();
    call->deadline_us = deadline_read(unary->deadline, unary->arrived_us);
    call->op = arena_take(call->arena, method == NULL ? sizeof(struct op) : method->op_bytes);
    metadata_read(&unary->metadata, call->traceparent);
    unary_span_begin(unary);
    call->op->traceparent = call->traceparent;
}

static void
unary_arrived(void *owner, bool is_ok)
{
    struct rpc_unary *unary = owner;
    struct rpc_server *server = unary->server;
    grpc_slice request;
    struct problem problem;
    enum error error;

    if (!is_ok) { /* the server shuts down; the slot was not used */
        unary_give_back(unary);
        return;
    }
    rpc_unary_request(server, unary->route);
    unary_open(unary);
    if (unary->payload == NULL) {
        problem_set(&problem, ERR_BAD_REQUEST, NULL, "a unary call has exactly one message");
        rpc_unary_refuse(unary, &problem);
        return;
    }
    error = rpc_payload_read(unary->payload, &problem, &request);
    grpc_byte_buffer_destroy(unary->payload);
    unary->payload = NULL;
    if (error != ERR_OK) {
        rpc_unary_refuse(unary, &problem);
        return;
    }
    unary->route->take(unary, GRPC_SLICE_START_PTR(request), GRPC_SLICE_LENGTH(request));
    grpc_slice_unref(request);
}

enum error
rpc_route_check(struct rpc_unary *unary, const struct rpc_route *route, struct problem *problem)
{
    struct rpc_server *server = unary->server;

    return server->gate == NULL ? ERR_OK
                                : rpc_gate_check(server->gate, unary->grpc, &unary->rules,
                                                 (size_t)(route - server->routes), problem);
}

void
rpc_unary_take(struct rpc_unary *unary, const uint8_t *bytes, size_t count)
{
    struct problem problem;

    if (unary->route->is_own) {
        if (rpc_route_check(unary, unary->route, &problem) != ERR_OK ||
            !rpc_server_enter(unary->server, &problem)) {
            rpc_unary_refuse(unary, &problem);
            return;
        }
        unary->is_counted = true;
    }
    rpc_call_submit(unary->route, &unary->call, bytes, count);
}

void
rpc_call_begin(struct call *call)
{
    call->message = NULL;
    call->reply = NULL;
    call->was_unknown = false;
    call->taken = NULL;
}

void
rpc_call_settle(struct call *call)
{
    struct problem *problem = &call->op->problem;

    if (call->was_unknown && error_kind(problem->error) == ERROR_KIND_NOT_DONE)
        problem_set(problem, ERR_UNCERTAIN, NULL, "%s", error_text(ERR_UNCERTAIN));
}

ProtobufCMessage *
rpc_call_reply(const struct call *call)
{
    return call->reply != NULL ? call->reply : call->method->encode(call->op, call->arena);
}

void
rpc_call_log(const struct rpc_route *route, const struct call *call)
{
    const struct problem *problem = &call->op->problem;

    if (route != NULL && route->is_own)
        log_debug("event=RPC_ANSWERED method=%s answer=%s reason=%s because=\"%s\"", route->name,
                  error_name(problem->error), problem_reason(problem),
                  problem->error == ERR_OK ? "" : problem->text);
}

static enum error
call_decode(const struct rpc_route *route, struct call *call, const uint8_t *bytes, size_t count)
{
    struct problem *problem = &call->op->problem;
    ProtobufCMessage *message;
    enum error error;

    if (pb_message_unpack(route->input, bytes, count, call->arena, problem, &message) != ERR_OK)
        return problem->error;
    call->message = message;
    call->op->owner = route->service->op_owner;
    error = route->method->decode(message, call->arena, call->op);
    assert(error == problem->error);
    if (error == ERR_OK && clock_steady_us() >= call->deadline_us)
        return problem_set(problem, ERR_EXPIRED, NULL, "%s", error_text(ERR_EXPIRED));
    return error;
}

void
rpc_call_submit(const struct rpc_route *route, struct call *call, const uint8_t *bytes,
                size_t count)
{
    struct log_trace before = log_trace_begin(call->traceparent);
    enum error error = call_decode(route, call, bytes, count);

    log_trace_end(&before);
    if (error != ERR_OK)
        call->finish(call);
    else
        route->service->submit(route->service->owner, call);
}

static struct rpc_unary *
unary_of(struct call *call)
{
    return (struct rpc_unary *)(void *)((char *)call - offsetof(struct rpc_unary, call));
}

/* Any thread. */
static void
unary_finish(struct call *call)
{
    struct rpc_unary *unary = unary_of(call);
    struct rpc_server *server = unary->server;
    bool is_counted = unary->is_counted;
    struct log_trace before = log_trace_begin(call->traceparent);

    rpc_call_settle(call);
    rpc_call_log(unary->route, call);
    if (call->op->problem.error != ERR_OK) {
        rpc_unary_refuse(unary, &call->op->problem);
    } else {
        ProtobufCMessage *reply = rpc_call_reply(call);
        grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(reply));

        protobuf_c_message_pack(reply, GRPC_SLICE_START_PTR(slice));
        rpc_unary_answer(unary, slice); /* it may be sent now, and the call gone */
    }
    if (is_counted)
        rpc_server_leave(server);
    log_trace_end(&before);
}

static void
unary_end(struct rpc_unary *unary, const grpc_op *ops, size_t count)
{
    grpc_call_error error;

    unary->tag.run = unary_ended;
    error = grpc_call_start_batch(unary->grpc, ops, count, &unary->tag, NULL);
    assert(error == GRPC_CALL_OK);
    (void)error;
}

static void
unary_count(struct rpc_unary *unary, enum error answer)
{
    rpc_server_count_answer(unary->server, unary->route, answer, unary->arrived_us,
                            unary->call.traceparent);
    rpc_span_answered(&unary->span, unary->call.traceparent, unary->route->name, answer, NULL);
}

void
rpc_unary_answer(struct rpc_unary *unary, grpc_slice reply)
{
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&reply, 1);
    grpc_op ops[4] = {
        { .op = GRPC_OP_SEND_INITIAL_METADATA },
        { .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message },
        { .op = GRPC_OP_SEND_STATUS_FROM_SERVER },
        { .op = GRPC_OP_RECV_CLOSE_ON_SERVER,
          .data.recv_close_on_server.cancelled = &unary->is_cancelled },
    };

    unary_count(unary, ERR_OK);
    unary_end(unary, ops, 4); /* moves the message out of the buffer at once */
    grpc_byte_buffer_destroy(message);
    grpc_slice_unref(reply);
}

void
rpc_unary_refuse(struct rpc_unary *unary, const struct problem *problem)
{
    struct rpc_ending ending;
    grpc_op ops[3] = {
        { .op = GRPC_OP_SEND_INITIAL_METADATA },
        { .op = GRPC_OP_SEND_STATUS_FROM_SERVER },
        { .op = GRPC_OP_RECV_CLOSE_ON_SERVER,
          .data.recv_close_on_server.cancelled = &unary->is_cancelled },
    };

    unary_count(unary, problem->error);
    rpc_ending_make(problem, rpc_route_service(unary->route), &ending);
    rpc_ending_set(problem, &ending, &ops[1]);
    unary_end(unary, ops, 3);
    rpc_ending_free(&ending);
}

/* The rpc thread: what was to be sent is sent, or the client is gone; both are an end. */
static void
unary_ended(void *owner, bool is_ok)
{
    struct rpc_unary *unary = owner;

    (void)is_ok;
    grpc_call_unref(unary->grpc);
    if (unary->envelope != NULL)
        rpc_envelope_free(unary);
    unary_give_back(unary);
}
