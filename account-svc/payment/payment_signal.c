/* A signal is a post (mesh/rpc/post.h) with all registers of a payment. Its answer goes by what was sent, and not by
 * the payment, which may have moved on meanwhile: only a version that the saga has named is acknowledged. */
#include "account-svc/payment/payment_signal.h"
#include "mesh/base/log.h"

#include "sagamesh/saga/v1/saga_service.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHOD "sagamesh.saga.v1.SagaControlService/Signal"

enum { KNOWN_VERSION_MAX = INT32_MAX / 2 }; /* there is room for those that come after it */

struct payment_signal {
    struct payment_signal_options options;
    struct rpc_client *client;
    struct rpc_posts posts;
};

/* What an answer is about. */
struct sent {
    struct uuid payment_id, order_id;
    int32_t version;
    enum claim claim;
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
log_word(const struct sent *sent, const struct rpc_result *result, enum signal_word word,
         const char *status)
{
    bool is_dead = word == SIGNAL_ENDED && strcmp(status, "SU") != 0;
    char id[UUID_TEXT_BYTES + 1], order_id[UUID_TEXT_BYTES + 1];

    uuid_print(sent->payment_id, id);
    uuid_print(sent->order_id, order_id);
    if (word == SIGNAL_UNHEARD && result->code != WIRE_CANCELLED)
        log_warn("payment=%s order=%s version=%d signal=unheard code=%d reason=%s because=\"%s\" "
                 "next=\"it is told again\"",
                 id, order_id, sent->version, (int)result->code, result->reason, result->message);
    else if (word == SIGNAL_FORGOTTEN)
        log_info("payment=%s order=%s version=%d signal=forgotten because=\"its saga ended so long "
                 "ago that saga-svc does not know it any more\"",
                 id, order_id, sent->version);
    else if (is_dead && sent->claim == CLAIM_TAKEN)
        log_error(
            "payment=%s order=%s version=%d event=TAKEN_FOR_DEAD_SAGA status=%s "
            "because=\"its saga has ended without it\" next=\"sagactl show the order, then pay "
            "it back: PaymentService.Refund\"",
            id, order_id, sent->version, status);
}

static void
signal_done(void *owner, const void *context, const struct rpc_result *result,
            const ProtobufCMessage *reply)
{
    const struct payment_signal *signal = owner;
    const struct sent *sent = context;
    struct signal_said said = signal_read(result, sent->version, sent->order_id, clock_now_us());

    (void)reply;
    log_word(sent, result, said.word, said.status);
    if (said.word != SIGNAL_UNHEARD)
        signal->options.acknowledged(signal->options.owner, sent->payment_id, sent->version,
                                     said.known_version);
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

bool
payment_signal_send(struct payment_signal *signal, const struct payment *payment)
{
    Sagamesh__Saga__V1__SignalRequest message = SAGAMESH__SAGA__V1__SIGNAL_REQUEST__INIT;
    char request_id[UUID_TEXT_BYTES + 1], saga_id[UUID_TEXT_BYTES + 1];
    struct sent sent = { .payment_id = payment->record.id,
                         .order_id = payment->order_id,
                         .version = payment->version,
                         .claim = (enum claim)payment->claim };
    struct json_writer json = { 0 };
    struct arena *arena;
    bool is_sent;

    if (rpc_posts_are_full(&signal->posts))
        return false;
    arena = arena_new();
    payment_registers(payment, arena, &json);
    message.request_id = uuid_print(signal_id(payment), request_id);
    message.saga_id = uuid_print(payment->order_id, saga_id);
    message.name = "payment";
    message.version = payment->version;
    message.payload_json = json.text;
    is_sent =
        rpc_post(signal->client,
                 &(struct rpc_post){ .method = METHOD,
                                     .message = &message.base,
                                     .timeout_us = SIGNAL_TIMEOUT_US,
                                     .attempts_max = SIGNAL_ATTEMPTS,
                                     .traceparent = payment->traceparent,
                                     .key = rpc_key(&payment->order_id, sizeof payment->order_id),
                                     .posts = &signal->posts,
                                     .owner = signal,
                                     .context = &sent,
                                     .context_bytes = sizeof sent,
                                     .done = signal_done });
    json_writer_free(&json);
    arena_free(arena);
    return is_sent;
}

enum error
payment_signal_open(const struct payment_signal_options *options,
                    struct payment_signal **ret_signal)
{
    struct payment_signal *signal = memory_take(sizeof *signal);
    struct rpc_client_options client = { .target = options->address,
                                         .flag = "saga",
                                         .is_mesh = true,
                                         .metrics = options->metrics,
                                         .waiting_max = options->in_flight_max,
                                         .envelopes_max = 4 };
    enum error error;

    signal->options = *options;
    signal->posts.max = options->in_flight_max;
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
