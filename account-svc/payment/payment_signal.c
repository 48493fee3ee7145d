#include "account-svc/payment/payment_signal.h"
#include "mesh/base/log.h"

#include "sagamesh/saga/v1/saga_service.pb-c.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHOD "sagamesh.saga.v1.SagaService/Signal"

enum { KNOWN_VERSION_MAX = INT32_MAX / 2 }; /* there is room for those that come after it */

struct payment_signal {
    struct payment_signal_options options;
    struct rpc_client *client;
    atomic_size_t in_flight;
};

/* A signal on its way. */
struct send {
    struct rpc_request request; /* first */
    struct payment_signal *signal;
    struct uuid payment_id, order_id;
    int32_t version;
    enum claim claim;
    uint8_t message[];
};

/* Not there, by saga-svc's own word. One that could still be begun may come. */
static bool
is_forgotten(const struct rpc_result *result, struct uuid saga_id, int64_t now_us)
{
    return result->code == WIRE_NOT_FOUND && result->meaning == RPC_REFUSED &&
           id_is_too_old(saga_id, now_us);
}

struct signal_said
signal_read(const struct rpc_result *result, int32_t version, struct uuid saga_id, int64_t now_us)
{
    struct signal_said said = { .word = SIGNAL_UNHEARD };
    Sagamesh__Saga__V1__SignalResponse *response;

    if (is_forgotten(result, saga_id, now_us))
        said.word = SIGNAL_FORGOTTEN;
    if (result->code != WIRE_OK)
        return said;
    response =
        sagamesh__saga__v1__signal_response__unpack(NULL, result->reply_bytes, result->reply);
    if (response == NULL)
        return said;
    if (response->version >= version)
        said.word = SIGNAL_STORED;
    else if (response->has_ended)
        said.word = SIGNAL_ENDED;
    if (response->has_ended)
        snprintf(said.status, sizeof said.status, "%s", response->status);
    else if (response->version > 0 && response->version <= KNOWN_VERSION_MAX)
        said.known_version = (int32_t)response->version;
    sagamesh__saga__v1__signal_response__free_unpacked(response, NULL);
    return said;
}

static void
log_word(const struct send *send, const struct rpc_result *result, enum signal_word word,
         const char *status)
{
    bool is_dead = word == SIGNAL_ENDED && strcmp(status, "SU") != 0;
    char id[UUID_TEXT_BYTES + 1], order_id[UUID_TEXT_BYTES + 1];

    uuid_print(send->payment_id, id);
    uuid_print(send->order_id, order_id);
    if (word == SIGNAL_UNHEARD && result->code != WIRE_CANCELLED)
        log_warn("payment=%s order=%s version=%d signal=unheard code=%d reason=%s because=\"%s\" "
                 "next=\"it is told again\"",
                 id, order_id, send->version, (int)result->code, result->reason, result->message);
    else if (word == SIGNAL_FORGOTTEN)
        log_info("payment=%s order=%s version=%d signal=forgotten because=\"its saga ended so long "
                 "ago that saga-svc does not know it any more\"",
                 id, order_id, send->version);
    else if (is_dead && send->claim == CLAIM_TAKEN)
        log_error(
            "payment=%s order=%s version=%d event=TAKEN_FOR_DEAD_SAGA status=%s "
            "because=\"its saga has ended without it\" next=\"sagactl show the order, then pay "
            "it back: PaymentService.Refund\"",
            id, order_id, send->version, status);
}

static void
signal_done(struct rpc_request *request, const struct rpc_result *result)
{
    struct send *send = (struct send *)request;
    struct payment_signal *signal = send->signal;
    struct signal_said said = signal_read(result, send->version, send->order_id, clock_now_us());

    log_word(send, result, said.word, said.status);
    if (said.word != SIGNAL_UNHEARD)
        signal->options.acknowledged(signal->options.owner, send->payment_id, send->version,
                                     said.known_version);
    atomic_fetch_sub(&signal->in_flight, 1);
    free(send);
}

/* One id for each version, so that repeating it is one signal. Its time is the payment's: it was accepted
 * before, while the clock that said when this version was made may have been ahead. */
static struct uuid
signal_id(const struct payment *payment)
{
    char id[UUID_TEXT_BYTES + 1], seed[80];

    snprintf(seed, sizeof seed, "signal %s %d", uuid_print(payment->record.id, id),
             payment->version);
    return uuid_v8(uuid_time_us(payment->record.id), seed, strlen(seed));
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
    send->order_id = payment->order_id;
    send->claim = (enum claim)payment->claim;
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
