#include "order-svc/order_saga.h"
#include "mesh/base/clock.h"
#include "mesh/base/crash.h"
#include "mesh/base/log.h"
#include "order-svc/order_event.h"

#include "sagamesh/saga/v1/saga_service.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_METHOD "sagamesh.saga.v1.SagaControlService/Start"
#define CANCEL_METHOD "sagamesh.saga.v1.SagaControlService/Cancel"

struct order_saga {
    struct order_saga_options options;
    struct rpc_client *client;
    struct rpc_posts starts, cancels;
};

/* What the answer to a Start, or to the Cancel that follows it, is about. */
struct sent {
    struct uuid order_id;
    bool cancel_too;
    char traceparent[TRACEPARENT_BYTES + 1];
};

void
order_saga_input(const struct order *order, struct json_writer *writer)
{
    char id[UUID_TEXT_BYTES + 1];

    json_open_object(writer, NULL);
    json_put_text(writer, "orderId", uuid_print(order->record.id, id));
    json_put_text(writer, "customerId", order->customer_id);
    json_put_text(writer, "currency", order->currency);
    order_lines_write(order->lines, writer);
    json_put_text(writer, "paymentMethod", order->payment_method);
    if (order->provider[0] != '\0')
        json_put_text(writer, "provider", order->provider);
    if (order->return_url[0] != '\0')
        json_put_text(writer, "returnUrl", order->return_url);
    json_close_object(writer);
}

/* The orchestrator's own decision. Not ALREADY_EXISTS: there is a saga of this id, and it will end the
 * order. Not after an unknown attempt, unless the answer is the stored one. */
bool
order_saga_is_refusal(const struct rpc_result *result)
{
    return result->meaning == RPC_REFUSED && result->code != WIRE_ALREADY_EXISTS &&
           (!result->was_unknown || result->is_stored);
}

/* An orchestrator that is away is logged once, by the client; not for every order. */
static void
log_answer(const struct sent *sent, const char *method, const struct rpc_result *result)
{
    bool is_answer = result->meaning == RPC_REFUSED;
    char id[UUID_TEXT_BYTES + 1];

    log_at(is_answer ? LOG_WARN : LOG_DEBUG, "order=%s call=%s code=%d reason=%s because=\"%s\"",
           uuid_print(sent->order_id, id), method, (int)result->code, result->reason,
           result->message);
}

static void
cancel_done(void *owner, const void *context, const struct rpc_result *result,
            const ProtobufCMessage *reply)
{
    (void)owner, (void)reply;
    if (result->meaning != RPC_DONE &&
        (result->meaning != RPC_REFUSED || strcmp(result->reason, "TOO_LATE") != 0))
        log_answer(context, CANCEL_METHOD, result);
}

struct uuid
order_saga_cancel_id(struct uuid order_id, int64_t now_us)
{
    int64_t time_us = uuid_time_us(order_id);
    char seed[64], text[UUID_TEXT_BYTES + 1];

    if (time_us < now_us - (ID_DAYS_KEPT - 1) * DAY_US)
        time_us = now_us - now_us % DAY_US;
    snprintf(seed, sizeof seed, "cancel %s", uuid_print(order_id, text));
    return uuid_v8(time_us, seed, strlen(seed));
}

/* False when posts are full: the sweep comes back. */
static bool
post(struct order_saga *saga, const char *method, const ProtobufCMessage *message,
     struct rpc_posts *posts, const struct sent *sent,
     void (*done)(void *owner, const void *context, const struct rpc_result *result,
                  const ProtobufCMessage *reply))
{
    return rpc_post(saga->client,
                    &(struct rpc_post){ .method = method,
                                        .message = message,
                                        .timeout_us = SAGA_CALL_TIMEOUT_US,
                                        .attempts_max = SAGA_CALL_ATTEMPTS,
                                        .traceparent = sent->traceparent,
                                        .key = rpc_key(&sent->order_id, sizeof sent->order_id),
                                        .posts = posts,
                                        .owner = saga,
                                        .context = sent,
                                        .context_bytes = sizeof *sent,
                                        .done = done });
}

static void
send_cancel(struct order_saga *saga, const struct sent *sent)
{
    Sagamesh__Saga__V1__CancelRequest message = SAGAMESH__SAGA__V1__CANCEL_REQUEST__INIT;
    char saga_id[UUID_TEXT_BYTES + 1], request_id[UUID_TEXT_BYTES + 1];

    message.saga_id = uuid_print(sent->order_id, saga_id);
    message.request_id =
        uuid_print(order_saga_cancel_id(sent->order_id, clock_now_us()), request_id);
    post(saga, CANCEL_METHOD, &message.base, &saga->cancels, sent, cancel_done);
}

static void
start_done(void *owner, const void *context, const struct rpc_result *result,
           const ProtobufCMessage *reply)
{
    const struct sent *sent = context;
    struct order_saga *saga = owner;

    (void)reply;
    if (result->code == WIRE_OK && sent->cancel_too) {
        send_cancel(saga, sent);
    } else if (result->code != WIRE_OK && result->code != WIRE_CANCELLED) {
        log_answer(sent, START_METHOD, result);
        if (order_saga_is_refusal(result))
            saga->options.refused(saga->options.owner, sent->order_id, result->reason,
                                  result->message);
    }
}

bool
order_saga_send(struct order_saga *saga, const struct order *order)
{
    Sagamesh__Saga__V1__StartRequest message = SAGAMESH__SAGA__V1__START_REQUEST__INIT;
    struct sent sent = { .order_id = order->record.id, .cancel_too = order->cancel_wanted };
    char id[UUID_TEXT_BYTES + 1];
    struct json_writer input = { 0 };
    bool is_sent;

    crash_point("order.before-start");
    if (rpc_posts_are_full(&saga->starts))
        return false;
    order_saga_input(order, &input);
    message.saga_id = uuid_print(order->record.id, id);
    message.definition = (char *)order->flow;
    message.input_json = input.text;
    if (order->traceparent != NULL)
        snprintf(sent.traceparent, sizeof sent.traceparent, "%s", order->traceparent);
    is_sent = post(saga, START_METHOD, &message.base, &saga->starts, &sent, start_done);
    json_writer_free(&input);
    return is_sent;
}

enum error
order_saga_open(const struct order_saga_options *options, struct order_saga **ret_saga)
{
    struct order_saga *saga = memory_take(sizeof *saga);
    struct rpc_client_options client = {
        .target = options->address,
        .flag = "saga",
        .is_mesh = true,
        .metrics = options->metrics,
        .waiting_max = 2 * options->in_flight_max, /* Starts, and as many Cancels */
        .envelopes_max = 4,
    };
    enum error error;

    saga->options = *options;
    saga->starts.max = saga->cancels.max = options->in_flight_max;
    error = rpc_client_open(&client, &saga->client);
    if (error != ERR_OK) {
        free(saga);
        return error;
    }
    *ret_saga = saga;
    return ERR_OK;
}

struct order_saga *
order_saga_close(struct order_saga *saga)
{
    if (saga == NULL)
        return NULL;
    saga->client = rpc_client_close(saga->client);
    free(saga);
    return NULL;
}
