#include "account-svc/payment_signal.h"
#include "mesh/base/log.h"

#include "sagamesh/saga/v1/saga_service.pb-c.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHOD "sagamesh.saga.v1.SagaService/Signal"

struct payment_signal {
    struct payment_signal_options options;
    struct rpc_client *client;
    atomic_size_t in_flight;
};

/* A signal on its way. */
struct send {
    struct rpc_request request; /* first */
    struct payment_signal *signal;
    struct uuid payment_id;
    int32_t version;
    int64_t changed_at_us;
    uint8_t message[];
};

/* Will telling it again change nothing? An unknown attempt before it matters not: a signal has no
 * effect that could be doubled. */
static bool
is_in_vain(const struct send *send, const struct rpc_result *result)
{
    if (result->nothing_done || result->reason[0] == '\0')
        return false;
    if (result->code == WIRE_NOT_FOUND)
        return clock_now_us() - send->changed_at_us > SIGNAL_GIVE_UP_US;
    return result->code == WIRE_INVALID_ARGUMENT || result->code == WIRE_FAILED_PRECONDITION;
}

static void
signal_done(struct rpc_request *request, const struct rpc_result *result)
{
    struct send *send = (struct send *)request;
    struct payment_signal *signal = send->signal;
    bool is_vain = result->code != WIRE_OK && is_in_vain(send, result);
    char id[UUID_TEXT_BYTES + 1];

    if (result->code != WIRE_OK && result->code != WIRE_CANCELLED)
        log_at(is_vain ? LOG_WARN : LOG_DEBUG,
               "payment=%s version=%d signal=%s code=%d reason=%s because=\"%s\"",
               uuid_print(send->payment_id, id), send->version, is_vain ? "dropped" : "unsent",
               (int)result->code, result->reason, result->message);
    if (result->code == WIRE_OK || is_vain)
        signal->options.acknowledged(signal->options.owner, send->payment_id, send->version);
    atomic_fetch_sub(&signal->in_flight, 1);
    free(send);
}

/* One id for each version, so that repeating it is one signal. */
static struct uuid
signal_id(const struct payment *payment)
{
    char id[UUID_TEXT_BYTES + 1], seed[80];

    snprintf(seed, sizeof seed, "signal %s %d", uuid_print(payment->record.id, id),
             payment->version);
    return uuid_v8(payment->changed_at_us, seed, strlen(seed));
}

static struct send *
send_new(const struct payment *payment)
{
    Sagamesh__Saga__V1__SignalRequest message = SAGAMESH__SAGA__V1__SIGNAL_REQUEST__INIT;
    char request_id[UUID_TEXT_BYTES + 1], saga_id[UUID_TEXT_BYTES + 1];
    struct arena *arena = arena_new();
    struct json_writer json = { 0 };
    struct send *send;
    size_t bytes;

    payment_registers(payment, arena, &json);
    message.request_id = uuid_print(signal_id(payment), request_id);
    message.saga_id = uuid_print(payment->order_id, saga_id);
    message.name = "payment";
    message.version = payment->version;
    message.payload_json = json.text;
    bytes = sagamesh__saga__v1__signal_request__get_packed_size(&message);
    send = memory_take(sizeof *send + bytes);
    sagamesh__saga__v1__signal_request__pack(&message, send->message);
    json_writer_free(&json);
    arena_free(arena);
    send->request.message = send->message;
    send->request.message_bytes = bytes;
    return send;
}

bool
payment_signal_send(struct payment_signal *signal, const struct payment *payment)
{
    struct send *send;

    if (atomic_fetch_add(&signal->in_flight, 1) >= signal->options.in_flight_max) {
        atomic_fetch_sub(&signal->in_flight, 1);
        return false;
    }
    send = send_new(payment);
    send->signal = signal;
    send->payment_id = payment->record.id;
    send->version = payment->version;
    send->changed_at_us = payment->changed_at_us;
    send->request.method = METHOD;
    send->request.timeout_us = SIGNAL_TIMEOUT_US;
    send->request.attempts_max = SIGNAL_ATTEMPTS;
    send->request.done = signal_done;
    snprintf(send->request.traceparent, sizeof send->request.traceparent, "%s",
             payment->traceparent);
    rpc_client_send(signal->client, &send->request);
    return true;
}

enum error
payment_signal_open(const struct payment_signal_options *options,
                    struct payment_signal **ret_signal)
{
    struct payment_signal *signal = memory_take(sizeof *signal);
    struct rpc_client_options client = { .address = options->address,
                                         .is_mesh = true,
                                         .waiting_max = options->in_flight_max,
                                         .envelopes_max = 4 };
    enum error error;

    signal->options = *options;
    error = rpc_client_open(&client, &signal->client);
    if (error != ERR_OK) {
        free(signal);
        return error;
    }
    *ret_signal = signal;
    return ERR_OK;
}

struct payment_signal *
payment_signal_close(struct payment_signal *signal)
{
    if (signal == NULL)
        return NULL;
    signal->client = rpc_client_close(signal->client);
    free(signal);
    return NULL;
}
