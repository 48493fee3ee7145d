#include "saga/participants.h"
#include "mesh/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SERVICES_MAX = 64, WAITING_MAX = 1 << 17 };

struct service_address {
    char *service, *target;
    struct rpc_client *client;
};

struct participants {
    const struct pbjson *pbjson;
    struct metrics *metrics; /* of the clients */
    struct service_address services[SERVICES_MAX];
    size_t count;
};

static struct service_address *
find(struct participants *participants, const char *service)
{
    for (size_t i = 0; i < participants->count; i++) {
        if (strcmp(participants->services[i].service, service) == 0)
            return &participants->services[i];
    }
    return NULL;
}

/* Services behind one target share its client. */
static struct rpc_client *
client_of(struct participants *participants, const char *service, const char *target)
{
    struct rpc_client_options options = {
        .target = target,
        .flag = "participants",
        .is_mesh = strncmp(service, "sagamesh.", strlen("sagamesh.")) == 0,
        .metrics = participants->metrics,
        .waiting_max = WAITING_MAX,
        .envelopes_max = 4,
    };
    struct rpc_client *client = NULL;

    for (size_t i = 0; i < participants->count; i++) {
        if (strcmp(participants->services[i].target, target) == 0)
            return participants->services[i].client;
    }
    return rpc_client_open(&options, &client) == ERR_OK ? client : NULL;
}

/* Where the pair that begins here ends: a piece of the list without '=' is one more address of the service before it. */
static size_t
pair_bytes(const char *pair)
{
    const char *end = pair + strcspn(pair, ",");

    while (*end == ',' && end[1 + strcspn(end + 1, ",=")] != '=')
        end += 1 + strcspn(end + 1, ",");
    return (size_t)(end - pair);
}

static bool
add(struct participants *participants, char *pair)
{
    char *target = strchr(pair, '=');
    struct service_address *entry = &participants->services[participants->count];

    if (target == NULL || target == pair || target[1] == '\0' ||
        participants->count == SERVICES_MAX)
        return false;
    *target++ = '\0';
    if (find(participants, pair) != NULL)
        return false;
    entry->client = client_of(participants, pair, target);
    if (entry->client == NULL)
        return false;
    entry->service = strdup(pair);
    entry->target = strdup(target);
    participants->count++;
    return true;
}

enum error
participants_open(const char *targets, const struct pbjson *pbjson, struct metrics *metrics,
                  struct participants **ret_participants)
{
    struct participants *participants = memory_take(sizeof *participants);
    bool is_well = true;

    participants->pbjson = pbjson;
    participants->metrics = metrics;
    while (is_well && *targets != '\0') {
        size_t bytes = pair_bytes(targets);
        char *pair = strndup(targets, bytes);

        is_well = add(participants, pair);
        if (!is_well)
            log_error(
                "participants=%.*s because=\"must be pkg.Service=target, each service once; a "
                "target is host:port, several with commas, or dns:///name:port\"",
                (int)bytes, targets);
        free(pair);
        targets += bytes + (targets[bytes] == ',');
    }
    if (!is_well) {
        participants_close(participants);
        return ERR_BAD_REQUEST;
    }
    *ret_participants = participants;
    return ERR_OK;
}

struct participants *
participants_close(struct participants *participants)
{
    if (participants == NULL)
        return NULL;
    for (size_t i = 0; i < participants->count; i++) {
        struct service_address *entry = &participants->services[i];
        bool is_first = true;

        for (size_t j = 0; j < i; j++)
            is_first = is_first && participants->services[j].client != entry->client;
        if (is_first)
            rpc_client_close(entry->client);
    }
    for (size_t i = 0; i < participants->count; i++) {
        free(participants->services[i].service);
        free(participants->services[i].target);
    }
    free(participants);
    return NULL;
}

struct participant_call *
participant_call_new(struct uuid saga_id, void *owner, void (*done)(struct participant_call *call))
{
    struct participant_call *call = memory_take(sizeof *call);

    call->saga_id = saga_id;
    call->owner = owner;
    call->done = done;
    return call;
}

void
participant_call_free(struct participant_call *call)
{
    json_decref(call->result);
    free(call);
}

static void
answer(struct participant_call *call, enum outcome outcome, const char *reason, const char *message)
{
    call->outcome = outcome;
    snprintf(call->reason, sizeof call->reason, "%s", reason);
    snprintf(call->message, sizeof call->message, "%s", message);
    call->done(call);
}

static enum outcome
outcome_of(enum rpc_meaning meaning)
{
    switch (meaning) {
    case RPC_REFUSED:
        return OUTCOME_REFUSED;
    case RPC_NOT_DONE:
        return OUTCOME_NOT_DONE;
    default:
        return OUTCOME_UNKNOWN;
    }
}

static void
attempt_done(void *owner, const void *context, const struct rpc_result *result,
             const ProtobufCMessage *reply)
{
    struct participant_call *call = owner;
    struct problem problem;

    (void)context, (void)reply;
    call->is_stored = result->is_stored;
    if (result->code != WIRE_OK) {
        answer(call, outcome_of(result->meaning), result->reason, result->message);
    } else if (pbjson_decode(call->response, result->reply, result->reply_bytes, &problem,
                             &call->result) != ERR_OK) {
        /* It said OK, so it happened; what it said cannot be used. */
        answer(call, OUTCOME_UNKNOWN, "BAD_RESPONSE", problem.text);
    } else {
        answer(call, OUTCOME_OK, "", "");
    }
}

/* A definition is checked against the descriptors when it is loaded first. One that was stored then may
 * have outlived its methods; NULL: this one can be called. */
static const char *
impossible(const struct participants *participants, const struct call_due *due,
           struct pbjson_method *ret_method)
{
    if (!pbjson_method_find(participants->pbjson, due->service, due->method, ret_method))
        return "is not in the descriptors any more";
    if (ret_method->is_streaming)
        return "has become a streaming method";
    if (pbjson_message_has(ret_method->request, "request_id"))
        return NULL;
    json_object_del(due->request, "requestId");
    return due->is_read ? NULL : "has no request_id any more";
}

void
participants_call(struct participants *participants, const struct call_due *due,
                  const char *traceparent, struct arena *arena, struct participant_call *call)
{
    struct service_address *entry = find(participants, due->service);
    struct pbjson_method method;
    const char *because = impossible(participants, due, &method);
    struct rpc_post post = {
        .method = call->method,
        .timeout_us = due->timeout_us,
        .attempts_max = 1, /* retries are the saga's: durable and visible */
        .key = rpc_key(&call->saga_id, sizeof call->saga_id),
        .traceparent = traceparent,
        .owner = call,
        .done = attempt_done,
    };
    struct problem problem;
    uint8_t *packed;
    char text[256];

    call->activation = due->activation;
    if (because != NULL) {
        snprintf(text, sizeof text, "%s/%s %s", due->service, due->method, because);
        answer(call, OUTCOME_IMPOSSIBLE, "NO_METHOD", text);
        return;
    }
    if (entry == NULL) {
        snprintf(text, sizeof text, "no address is configured for %s (--participants)",
                 due->service);
        answer(call, OUTCOME_NOT_DONE, "UNREACHABLE", text);
        return;
    }
    /* A request that does not fit the message is never sent. */
    if (pbjson_encode(method.request, due->request, arena, &problem, &packed, &post.packed_bytes) !=
        ERR_OK) {
        snprintf(text, sizeof text, "%s %s", problem.field, problem.text);
        answer(call, OUTCOME_REFUSED, "BAD_INPUT", text);
        return;
    }
    call->response = method.response;
    snprintf(call->method, sizeof call->method, "%s/%s", due->service, due->method);
    post.packed = packed;
    rpc_post(entry->client, &post);
}
