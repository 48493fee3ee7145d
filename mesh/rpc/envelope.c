/* The envelope: many calls in one message (sagamesh.batch.v1.BatchService/Call).
 *
 * Each item is a call of its own, with its own arena, because its answer is encoded by whichever
 * thread decided it. The last one to finish packs the reply. */
#include "mesh/pb/message.h"
#include "mesh/rpc/server_inner.h"
#include "mesh/rpc/status.h"

#include "mesh/base/clock.h"
#include "mesh/base/hold.h"
#include "mesh/base/log.h"
#include "mesh/observe/trace.h"

#include <sagamesh/batch/v1/batch_service.pb-c.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct rpc_item {
    struct call call;
    struct span span;
    struct rpc_item *next; /* in the pool */
    struct rpc_server *server;
    struct rpc_envelope *envelope;
    const struct rpc_route *route; /* NULL: no such method is here */
    bool is_counted;               /* in in_flight */
    Sagamesh__Batch__V1__CallResult result;
};

/* Lives in the arena of its unary call. */
struct rpc_envelope {
    struct rpc_unary *unary;
    struct rpc_item **items;
    size_t item_count;
    atomic_size_t
        waiting; /* items without an answer, and one for the rpc thread until all are out */
};

static struct rpc_item *
item_new(struct rpc_envelope *envelope)
{
    struct rpc_server *server = envelope->unary->server;
    struct rpc_item *item = server->item_pool;

    if (item != NULL) {
        server->item_pool = item->next;
        server->item_pool_count--;
    } else {
        item = memory_take(sizeof *item);
        item->call.arena = arena_new();
        item->server = server;
    }
    item->envelope = envelope;
    item->is_counted = false;
    sagamesh__batch__v1__call_result__init(&item->result);
    return item;
}

static void
item_free(struct rpc_item *item)
{
    arena_free(item->call.arena);
    free(item);
}

static void
item_give_back(struct rpc_item *item)
{
    struct rpc_server *server = item->server;

    if (server->item_pool_count >= RPC_POOL_MAX) {
        item_free(item);
        return;
    }
    arena_reset(item->call.arena);
    item->next = server->item_pool;
    server->item_pool = item;
    server->item_pool_count++;
}

void
rpc_item_pool_free(struct rpc_server *server)
{
    while (server->item_pool != NULL) {
        struct rpc_item *item = server->item_pool;

        server->item_pool = item->next;
        item_free(item);
    }
}

void
rpc_envelope_free(struct rpc_unary *unary)
{
    struct rpc_envelope *envelope = unary->envelope;

    for (size_t i = 0; i < envelope->item_count; i++)
        item_give_back(envelope->items[i]);
}

/* An answer that would make the reply larger than clients take is withheld: what was done is done,
 * and the caller learns it by repeating the call, alone. */
static void
replies_limit(struct rpc_envelope *envelope)
{
    enum { FRAME_BYTES = 16 }; /* tags and lengths of a result, at most */
    size_t total = 0;

    for (size_t i = 0; i < envelope->item_count; i++) {
        struct rpc_item *item = envelope->items[i];
        size_t bytes = sagamesh__batch__v1__call_result__get_packed_size(&item->result);
        struct problem problem;

        if (total + bytes + FRAME_BYTES > RPC_REPLY_BYTES_MAX) {
            problem_set(&problem, ERR_UNCERTAIN, NULL,
                        "the answer did not fit in the envelope; repeat the call, alone");
            sagamesh__batch__v1__call_result__init(&item->result);
            item->result.status = rpc_status_make(&problem, NULL, item->call.arena);
            bytes = sagamesh__batch__v1__call_result__get_packed_size(&item->result);
        }
        total += bytes + FRAME_BYTES;
    }
}

/* The last item has its answer: all of them are this thread's now. */
static void
envelope_answer(struct rpc_envelope *envelope)
{
    struct arena *arena = envelope->unary->call.arena;
    Sagamesh__Batch__V1__CallResponse response = SAGAMESH__BATCH__V1__CALL_RESPONSE__INIT;
    grpc_slice slice;

    replies_limit(envelope);
    response.n_results = envelope->item_count;
    response.results = arena_take(arena, envelope->item_count * sizeof *response.results);
    for (size_t i = 0; i < envelope->item_count; i++)
        response.results[i] = &envelope->items[i]->result;
    slice = grpc_slice_malloc(sagamesh__batch__v1__call_response__get_packed_size(&response));
    sagamesh__batch__v1__call_response__pack(&response, GRPC_SLICE_START_PTR(slice));
    rpc_unary_answer(envelope->unary, slice);
}

static void
envelope_release(struct rpc_envelope *envelope)
{
    if (atomic_fetch_sub_explicit(&envelope->waiting, 1, memory_order_acq_rel) == 1)
        envelope_answer(envelope);
}

static void
item_span_end(const struct rpc_item *item)
{
    const struct rpc_unary *whole = item->envelope->unary;

    if (span_is_on(&item->span))
        rpc_span_answered(&item->span, item->call.traceparent, item->route->name,
                          item->call.op->problem.error,
                          span_is_on(&whole->span) ? whole->call.traceparent : NULL);
}

/* Any thread. */
static void
item_finish(struct call *call)
{
    struct rpc_item *item = (struct rpc_item *)(void *)call; /* its first member */
    struct rpc_server *server = item->server;
    bool is_counted = item->is_counted;
    struct log_trace before = log_trace_begin(call->traceparent);

    rpc_call_settle(call);
    rpc_call_log(item->route, call);
    rpc_server_count_answer(server, item->route, call->op->problem.error,
                            item->envelope->unary->arrived_us, call->traceparent);
    item_span_end(item);
    if (call->op->problem.error != ERR_OK) {
        item->result.status =
            rpc_status_make(&call->op->problem, rpc_route_service(item->route), call->arena);
    } else {
        ProtobufCMessage *reply = rpc_call_reply(call);
        size_t bytes = protobuf_c_message_get_packed_size(reply);

        item->result.response.data = arena_take(call->arena, bytes);
        item->result.response.len = protobuf_c_message_pack(reply, item->result.response.data);
    }
    envelope_release(item->envelope); /* before leaving: the server stays until this was sent */
    if (is_counted)
        rpc_server_leave(server);
    log_trace_end(&before);
}

/* What keeps the item from being a call of ours, if anything. */
static enum error
item_check(const struct rpc_item *item, const Sagamesh__Batch__V1__CallItem *request,
           struct problem *problem)
{
    const struct rpc_route *route = item->route;

    if (route == NULL || !route->is_own)
        return problem_set(problem, ERR_UNIMPLEMENTED, "method", "no method %s here",
                           request->method);
    if (request->timeout_ms < 0)
        return problem_set(problem, ERR_BAD_REQUEST, "timeout_ms",
                           "timeout_ms must not be negative");
    return rpc_route_check(item->envelope->unary, route, problem);
}

static void
item_submit(struct rpc_item *item, const Sagamesh__Batch__V1__CallItem *request, int64_t now_us)
{
    struct rpc_server *server = item->server;
    const struct rpc_route *route = rpc_route_find(server, request->method);
    const struct call *whole = &item->envelope->unary->call;
    struct call *call = &item->call;
    struct problem problem = { 0 };

    item->route = route;
    rpc_call_begin(call);
    call->finish = item_finish;
    call->item.lane = whole->item.lane;
    call->deadline_us = whole->deadline_us;
    if (request->timeout_ms > 0 && now_us + request->timeout_ms * INT64_C(1000) < call->deadline_us)
        call->deadline_us = now_us + request->timeout_ms * INT64_C(1000);
    trace_parse(request->traceparent, strlen(request->traceparent), call->traceparent);
    item->span = (struct span){ 0 };
    if (route != NULL && route->is_own)
        rpc_span_served(&item->span, call->traceparent);
    if (item_check(item, request, &problem) == ERR_OK)
        item->is_counted = rpc_server_enter(server, &problem);
    call->method = item->is_counted ? route->method : NULL;
    call->op =
        arena_take(call->arena, item->is_counted ? route->method->op_bytes : sizeof(struct op));
    call->op->traceparent = call->traceparent;
    if (item->is_counted) {
        rpc_call_submit(route, call, request->request.data, request->request.len);
    } else {
        call->op->problem = problem;
        item_finish(call);
    }
}

static void
items_submit(struct rpc_envelope *envelope, const Sagamesh__Batch__V1__CallRequest *request)
{
    struct rpc_server *server = envelope->unary->server;
    int64_t now_us = clock_steady_us();

    envelope->item_count = request->n_items;
    envelope->items =
        arena_take(envelope->unary->call.arena, request->n_items * sizeof(struct rpc_item *));
    for (size_t i = 0; i < request->n_items; i++)
        envelope->items[i] = item_new(envelope);
    atomic_init(&envelope->waiting, request->n_items + 1);
    atomic_fetch_add_explicit(&server->items, request->n_items, memory_order_relaxed);
    hold_begin();
    for (size_t i = 0; i < request->n_items; i++)
        item_submit(envelope->items[i], request->items[i], now_us);
    hold_end();
    envelope_release(envelope);
}

void
rpc_envelope_take(struct rpc_unary *unary, const uint8_t *bytes, size_t count)
{
    struct arena *arena = unary->call.arena;
    struct problem problem;
    ProtobufCMessage *message;
    const Sagamesh__Batch__V1__CallRequest *request;

    if (pb_message_unpack(unary->route->input, bytes, count, arena, &problem, &message) != ERR_OK) {
        rpc_unary_refuse(unary, &problem);
        return;
    }
    request = (const Sagamesh__Batch__V1__CallRequest *)message;
    if (request->n_items > RPC_ITEMS_MAX) {
        problem_set(&problem, ERR_BAD_REQUEST, "items", "an envelope holds %d items at most",
                    RPC_ITEMS_MAX);
        rpc_unary_refuse(unary, &problem);
        return;
    }
    unary->envelope = arena_take(arena, sizeof *unary->envelope);
    unary->envelope->unary = unary;
    items_submit(unary->envelope, request);
}
