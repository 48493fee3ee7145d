/* A client for each address that was ever called, up to CLIENTS_MAX: then the one that was used longest ago makes room. */
#include "saga/forward.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/pb/message.h"
#include "mesh/rpc/post.h"
#include "saga/saga.h"

#include "sagamesh/saga/v1/saga_service.pb-c.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS_MAX = 32, WAITING_MAX = 1 << 14 };
#define ATTEMPT_US (5 * SECOND_US) /* one that stands still is not waited for to the end */
#define WATCH_MORE_US (2 * SECOND_US)

/* clang-format off */
static const struct metric_row forwarded_row = { "sagamesh_saga_forwarded_total", METRIC_COUNTER, METRIC_NUMBER, "Calls handed on to the orchestrator that has their shard, by how that ended.", { "outcome" } };
/* clang-format on */

struct peer {
    char *address;
    struct rpc_client *client;
    int64_t used_us;
};

struct forward {
    struct metrics *metrics;
    pthread_mutex_t lock;
    struct peer peers[CLIENTS_MAX]; /* under lock, as the next */
    size_t count;
    struct metric_series *answered, *not_done, *unknown;
};

struct forward *
forward_open(struct metrics *metrics)
{
    struct forward *forward = memory_take(sizeof *forward);
    const char *const answered = "answered", *const not_done = "not_done",
                      *const unknown = "unknown";

    forward->metrics = metrics;
    pthread_mutex_init(&forward->lock, NULL);
    forward->answered = metrics_series(metrics, &forwarded_row, &answered);
    forward->not_done = metrics_series(metrics, &forwarded_row, &not_done);
    forward->unknown = metrics_series(metrics, &forwarded_row, &unknown);
    return forward;
}

static void
peer_close(struct peer *peer)
{
    rpc_client_close(peer->client);
    free(peer->address);
}

struct forward *
forward_close(struct forward *forward)
{
    if (forward == NULL)
        return NULL;
    for (size_t i = 0; i < forward->count; i++)
        peer_close(&forward->peers[i]);
    pthread_mutex_destroy(&forward->lock);
    free(forward);
    return NULL;
}

/* Under lock. NULL: the address is none. */
static struct peer *
peer_of(struct forward *forward, const char *address)
{
    struct rpc_client_options options = {
        .target = address,
        .flag = "advertise",
        .is_mesh = true,
        .is_quiet = true,
        .metrics = forward->metrics,
        .waiting_max = WAITING_MAX,
        .envelopes_max = 4,
    };
    struct peer *oldest = &forward->peers[0];

    for (size_t i = 0; i < forward->count; i++) {
        if (strcmp(forward->peers[i].address, address) == 0)
            return &forward->peers[i];
        if (forward->peers[i].used_us < oldest->used_us)
            oldest = &forward->peers[i];
    }
    if (forward->count < CLIENTS_MAX) {
        oldest = &forward->peers[forward->count];
    } else {
        peer_close(oldest);
        *oldest = forward->peers[--forward->count];
        oldest = &forward->peers[forward->count];
    }
    if (rpc_client_open(&options, &oldest->client) != ERR_OK)
        return NULL;
    oldest->address = strdup(address);
    forward->count++;
    return oldest;
}

/* ---- answers ---- */

struct sent {
    struct call *call;
    forward_done *done;
    void *owner;
};

/* The other's refusal is the call's. */
static void
take_problem(struct call *call, const struct rpc_result *result)
{
    struct problem *problem = &call->op->problem;
    enum error error = problem_recall(problem, result->reason, "");

    if (error == ERR_OK || error == ERR_REFUSED) /* the reason is a domain's, and says no error */
        error = result->code == WIRE_NOT_FOUND          ? ERR_NOT_FOUND
                : result->code == WIRE_INVALID_ARGUMENT ? ERR_BAD_REQUEST
                                                        : ERR_REFUSED;
    problem_set(problem, error, result->field, "%s", result->message);
    snprintf(problem->reason, sizeof problem->reason, "%s", result->reason);
    problem->is_stored = result->is_stored;
}

static enum forward_end
end_of(const struct rpc_result *result)
{
    if (result->meaning == RPC_REFUSED)
        return FORWARD_ANSWERED;
    if (result->meaning != RPC_NOT_DONE)
        return FORWARD_UNKNOWN;
    /* Busy, or without a database, it has the shard all the same. */
    return strcmp(result->reason, "UNREACHABLE") == 0 || strcmp(result->reason, "STOPPING") == 0
               ? FORWARD_NOT_DONE
               : FORWARD_ANSWERED;
}

static enum forward_end
take_reply(struct call *call, const Sagamesh__Saga__V1__ForwardResponse *response)
{
    const ProtobufCMethodDescriptor *descriptor = saga_descriptor_of(call->method);
    struct problem problem;

    if (pb_message_unpack(descriptor->output, response->response.data, response->response.len,
                          call->arena, &problem, &call->reply) != ERR_OK) {
        call->reply = NULL;
        return FORWARD_UNKNOWN;
    }
    if (saga_method_of(call) == SAGA_WATCH &&
        !((const Sagamesh__Saga__V1__WatchResponse *)call->reply)->has_changed)
        return FORWARD_UNCHANGED;
    return FORWARD_ANSWERED;
}

static enum forward_end
take_part(struct call *call, const Sagamesh__Saga__V1__ListShardResponse *response,
          struct forward_part *ret_part)
{
    char **histories = arena_take(call->arena, response->n_histories * sizeof *histories);
    int64_t *places = arena_take(call->arena, response->n_histories * sizeof *places);

    if (response->n_histories != response->n_places)
        return FORWARD_UNKNOWN;
    for (size_t i = 0; i < response->n_histories; i++) {
        histories[i] =
            arena_copy(call->arena, response->histories[i], strlen(response->histories[i]));
        places[i] = response->places[i];
    }
    *ret_part = (struct forward_part){ .count = response->n_histories,
                                       .histories = histories,
                                       .places = places,
                                       .has_more = response->has_more };
    return FORWARD_PART;
}

static void
answered(void *owner, const void *context, const struct rpc_result *result,
         const ProtobufCMessage *reply)
{
    struct forward *forward = owner;
    const struct sent *sent = context;
    struct forward_part part = { 0 };
    enum forward_end end;

    if (result->code != WIRE_OK)
        end = end_of(result);
    else if (reply == NULL)
        end = FORWARD_UNKNOWN;
    else if (saga_method_of(sent->call) == SAGA_LIST)
        end = take_part(sent->call, (const Sagamesh__Saga__V1__ListShardResponse *)reply, &part);
    else
        end = take_reply(sent->call, (const Sagamesh__Saga__V1__ForwardResponse *)reply);
    if (end == FORWARD_ANSWERED && result->code != WIRE_OK)
        take_problem(sent->call, result);
    metric_add(end == FORWARD_NOT_DONE  ? forward->not_done
               : end == FORWARD_UNKNOWN ? forward->unknown
                                        : forward->answered,
               1);
    sent->done(sent->owner, sent->call, end, &part);
}

/* ---- sending ---- */

static bool
post(struct forward *forward, const char *address, const struct rpc_post *post)
{
    struct peer *peer;
    bool is_sent = false;

    pthread_mutex_lock(&forward->lock);
    peer = peer_of(forward, address);
    if (peer != NULL) {
        peer->used_us = clock_steady_us();
        is_sent = rpc_post(peer->client, post);
    }
    pthread_mutex_unlock(&forward->lock);
    return is_sent;
}

/* Its own message is packed; that of a Watch says how long the other one may wait. */
static void
pack_message(const struct call *call, int32_t wait_ms, ProtobufCBinaryData *ret_bytes)
{
    const ProtobufCMessage *message = call->message;
    Sagamesh__Saga__V1__WatchRequest watch;

    if (saga_method_of(call) == SAGA_WATCH) {
        watch = *(const Sagamesh__Saga__V1__WatchRequest *)message;
        watch.wait_ms = wait_ms;
        message = &watch.base;
    }
    ret_bytes->len = protobuf_c_message_get_packed_size(message);
    ret_bytes->data = arena_take(call->arena, ret_bytes->len + 1);
    protobuf_c_message_pack(message, ret_bytes->data);
}

static bool
send_list(struct forward *forward, const char *address, struct rpc_post *posted,
          const struct saga_list *list)
{
    Sagamesh__Saga__V1__ListShardRequest request = SAGAMESH__SAGA__V1__LIST_SHARD_REQUEST__INIT;
    size_t left = (size_t)list->page_size - list->count;

    request.shard = (int32_t)list->shard;
    request.phase = (Sagamesh__Saga__V1__SagaPhase)saga_phase_number(list->phase);
    request.page_size =
        left == 0 ? 1 : (int32_t)left; /* one that does not fit says that there is more */
    request.before_place = saga_list_before(list);
    posted->method = "sagamesh.saga.v1.SagaControlService/ListShard";
    posted->message = &request.base;
    posted->reply_type = &sagamesh__saga__v1__list_shard_response__descriptor;
    posted->must_go_alone = true; /* its answer is large */
    return post(forward, address, posted);
}

static bool
send_call(struct forward *forward, const char *address, struct rpc_post *posted,
          const struct call *call, int32_t wait_ms)
{
    Sagamesh__Saga__V1__ForwardRequest request = SAGAMESH__SAGA__V1__FORWARD_REQUEST__INIT;

    request.method = (char *)(uintptr_t)call->method->name;
    pack_message(call, wait_ms, &request.request);
    if (saga_method_of(call) == SAGA_WATCH) {
        posted->must_go_alone = true;
        posted->timeout_us = wait_ms * MILLISECOND_US + WATCH_MORE_US;
    }
    posted->method = "sagamesh.saga.v1.SagaControlService/Forward";
    posted->message = &request.base;
    posted->reply_type = &sagamesh__saga__v1__forward_response__descriptor;
    return post(forward, address, posted);
}

bool
forward_send(struct forward *forward, const char *address, struct call *call, int32_t wait_ms,
             forward_done *done, void *owner)
{
    const struct sent sent = { call, done, owner };
    int64_t left_us = call->deadline_us - clock_steady_us();
    struct rpc_post posted = {
        .timeout_us = left_us < ATTEMPT_US ? left_us : ATTEMPT_US,
        .attempts_max = 1,
        .traceparent = call->traceparent,
        .owner = forward,
        .context = &sent,
        .context_bytes = sizeof sent,
        .done = answered,
    };

    if (saga_method_of(call) == SAGA_LIST)
        return send_list(forward, address, &posted, (const struct saga_list *)call->op);
    return send_call(forward, address, &posted, call, wait_ms);
}
