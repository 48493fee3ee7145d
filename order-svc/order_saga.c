#include "order-svc/order_saga.h"
#include "mesh/base/clock.h"
#include "mesh/base/crash.h"
#include "mesh/base/log.h"
#include "order-svc/order_event.h"

#include "sagamesh/saga/v1/saga_service.pb-c.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_METHOD "sagamesh.saga.v1.SagaService/Start"
#define CANCEL_METHOD "sagamesh.saga.v1.SagaService/Cancel"

struct order_saga {
    struct order_saga_options options;
    struct rpc_client *client;
    atomic_size_t in_flight;
};

/* A Start, or the Cancel that follows it, with its message. */
struct send {
    struct rpc_request request; /* first */
    struct order_saga *saga;
    struct uuid order_id;
    bool cancel_too;
    uint8_t message[];
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

static void
send_free(struct send *send)
{
    atomic_fetch_sub(&send->saga->in_flight, 1);
    free(send);
}

static struct send *
send_new(struct order_saga *saga, struct uuid order_id, const char *method,
         const ProtobufCMessage *message, const char *traceparent)
{
    size_t bytes = protobuf_c_message_get_packed_size(message);
    struct send *send = memory_take(sizeof *send + bytes);

    send->saga = saga;
    send->order_id = order_id;
    protobuf_c_message_pack(message, send->message);
    send->request.method = method;
    send->request.message = send->message;
    send->request.message_bytes = bytes;
    send->request.timeout_us = SAGA_CALL_TIMEOUT_US;
    send->request.attempts_max = SAGA_CALL_ATTEMPTS;
    if (traceparent != NULL)
        snprintf(send->request.traceparent, sizeof send->request.traceparent, "%s", traceparent);
    return send;
}

/* An orchestrator that is away is logged once, by the client; not for every order. */
static void
log_answer(const struct send *send, const struct rpc_result *result)
{
    bool is_answer = result->meaning == RPC_REFUSED;
    char id[UUID_TEXT_BYTES + 1];

    log_at(is_answer ? LOG_WARN : LOG_DEBUG, "order=%s call=%s code=%d reason=%s because=\"%s\"",
           uuid_print(send->order_id, id), send->request.method, (int)result->code, result->reason,
           result->message);
}

static void
cancel_done(struct rpc_request *request, const struct rpc_result *result)
{
    struct send *send = (struct send *)request;

    if (result->meaning != RPC_DONE &&
        (result->meaning != RPC_REFUSED || strcmp(result->reason, "TOO_LATE") != 0))
        log_answer(send, result);
    send_free(send);
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

static void
send_cancel(struct order_saga *saga, struct uuid order_id, const char *traceparent)
{
    Sagamesh__Saga__V1__CancelRequest message = SAGAMESH__SAGA__V1__CANCEL_REQUEST__INIT;
    char saga_id[UUID_TEXT_BYTES + 1], request_id[UUID_TEXT_BYTES + 1];
    struct send *send;

    message.saga_id = uuid_print(order_id, saga_id);
    message.request_id = uuid_print(order_saga_cancel_id(order_id, clock_now_us()), request_id);
    send = send_new(saga, order_id, CANCEL_METHOD, &message.base, traceparent);
    send->request.done = cancel_done;
    atomic_fetch_add(&saga->in_flight, 1);
    rpc_client_send(saga->client, &send->request);
}

static void
start_done(struct rpc_request *request, const struct rpc_result *result)
{
    struct send *send = (struct send *)request;
    struct order_saga *saga = send->saga;

    if (result->code == WIRE_OK && send->cancel_too) {
        send_cancel(saga, send->order_id, request->traceparent);
    } else if (result->code != WIRE_OK && result->code != WIRE_CANCELLED) {
        log_answer(send, result);
        if (order_saga_is_refusal(result))
            saga->options.refused(saga->options.owner, send->order_id, result->reason,
                                  result->message);
    }
    send_free(send);
}

bool
order_saga_send(struct order_saga *saga, const struct order *order)
{
    Sagamesh__Saga__V1__StartRequest message = SAGAMESH__SAGA__V1__START_REQUEST__INIT;
    char id[UUID_TEXT_BYTES + 1];
    struct json_writer input = { 0 };
    struct send *send;

    if (atomic_fetch_add(&saga->in_flight, 1) >= saga->options.in_flight_max) {
        atomic_fetch_sub(&saga->in_flight, 1);
        return false;
    }
    crash_point("order.before-start");
    order_saga_input(order, &input);
    message.saga_id = uuid_print(order->record.id, id);
    message.definition = (char *)order->flow;
    message.input_json = input.text;
    send = send_new(saga, order->record.id, START_METHOD, &message.base, order->traceparent);
    json_writer_free(&input);
    send->request.done = start_done;
    send->cancel_too = order->cancel_wanted;
    rpc_client_send(saga->client, &send->request);
    return true;
}

enum error
order_saga_open(const struct order_saga_options *options, struct order_saga **ret_saga)
{
    struct order_saga *saga = memory_take(sizeof *saga);
    struct rpc_client_options client = {
        .address = options->address,
        .is_mesh = true,
        .waiting_max = 2 * options->in_flight_max, /* a Cancel is added before its Start is freed */
        .envelopes_max = 4,
    };
    enum error error;

    saga->options = *options;
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
