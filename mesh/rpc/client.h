/* client.h -- Calls to one service: batched when they are due together, retried, reconnected.
 *
 * The service may have several replicas (target.h). A request with a key goes to the replica of that key, one without to
 * the less busy of two (choice.h); each replica has a connection and messages of its own. A replica that fails, or says
 * NOT_SERVING, is left out, and what it did not do is asked of another at once, under the same request.
 * Retries are paid for (retry_budget.h): one without a token is not made, and its time passes all the same.
 *
 * Requests that wait while others are under way go out together in one envelope
 * (sagamesh.batch.v1); to a foreign service (is_mesh = false) each goes alone. A lone request is a
 * unary call. Nothing ever waits to be joined.
 *
 * Thread    rpc_client_send: any. done() is called on the client's own thread and must not block; it
 *           may send again (not after CANCELLED: the client is closing).
 * Memory    A request belongs to the client from send to done(); its message, and its method's name,
 *           must live as long. The reply's bytes are valid during done() only.
 * Errors    What an answer means is in struct rpc_result: a refusal is a decision of the service that was
 *           asked (meaning.h). Answers of the client itself, all with
 *           nothing_done and for requests that it never handed to gRPC, or not this time:
 *             RESOURCE_EXHAUSTED BUSY       waiting_max requests wait already
 *             UNAVAILABLE        UNREACHABLE  the last retry had no token
 *             DEADLINE_EXCEEDED  EXPIRED    no message was free before the attempt's deadline
 *             CANCELLED          STOPPING   rpc_client_close()
 *           and INVALID_ARGUMENT BAD_REQUEST, a refusal, for a message over RPC_MESSAGE_BYTES_MAX.
 *           What was handed to gRPC and failed may have happened, unless ErrorInfo says otherwise:
 *           gRPC's core does not say whether a request reached the wire. Nothing waits for a dead
 *           server: it is UNAVAILABLE at once, and looked for again after 50 ms to 1 s.
 * Units     *_us microseconds; timeout_us is per attempt, counted from send or from when a retry is
 *           due. An item of an envelope is given PARCEL_GRACE_US (20 ms) more, so that the server's
 *           own word about its deadline can arrive.
 */
#ifndef MESH_RPC_CLIENT_H
#define MESH_RPC_CLIENT_H

#include "mesh/base/call.h"
#include "mesh/base/heap.h"
#include "mesh/observe/span.h"
#include "mesh/rpc/choice.h"
#include "mesh/rpc/meaning.h"

struct rpc_client;

/* A call's answer, ErrorInfo already read. */
struct rpc_result {
    enum wire_code code;
    char message[256];
    char reason[32]; /* ErrorInfo.reason, or "" */
    char domain[64];
    char field[64];    /* of the request, that a refusal is about ("lines[0].sku"); or "" */
    char service[64];  /* who decided, as a refusal of ours says; or "" */
    bool nothing_done; /* ErrorInfo said so, or the request was never sent; and no attempt of this
                          request before it ended unknown */
    enum rpc_meaning meaning; /* of the last attempt; NOT_DONE only as nothing_done says */
    bool is_stored;
    int64_t
        retry_us; /* how long the service wants to be left alone (RetryInfo); 0: it does not say */
    bool was_unknown; /* an earlier attempt of this request may have happened: then a refusal that
                             is not stored proves nothing */
    const uint8_t *reply; /* the response message, serialized; when code is WIRE_OK */
    size_t reply_bytes;
};

struct rpc_request {
    struct queue_item item; /* first; the client's while the request is under way */
    const char *method;     /* "sagamesh.storage.v1.StorageService/Reserve" */
    const uint8_t *message;
    size_t message_bytes;
    int64_t timeout_us; /* of one attempt */
    int attempts_max; /* 1: no retry. Retried: an answer that is neither OK nor a decision, but INTERNAL,
                           DATA_LOSS without nothing_done, and the client's own BUSY; all
                           mesh calls can be repeated. After 20 ms, then twice as long, 1 s at most,
                           +-20 %, and not before the service wants it (RetryInfo) */
    uint64_t key;       /* rpc_key() of an order, an account ...: one key, one replica; 0: none */
    bool must_go_alone; /* never in an envelope: a call that waits on purpose (Get with wait_ms)
                           would hold up the others. Takes no place of envelopes_max */
    /* the parent's; from send on that of the call's own span */
    char traceparent[TRACEPARENT_BYTES + 1];
    void (*done)(struct rpc_request *request, const struct rpc_result *result);
    /* the client's */
    int attempt;      /* how many were made */
    uint64_t tried;   /* the replicas that failed it, as bits */
    bool was_unknown; /* one of them may have happened */
    int64_t sent_us;
    int64_t until_us;       /* deadline of this attempt */
    struct heap_item later; /* when the next one is due */
    struct span span;
    char envelope[TRACEPARENT_BYTES + 1]; /* that took it last, where it has a span; or "" */
};

struct rpc_client_options {
    const char *target;       /* "127.0.0.1:7401"; what else it may be, target.h says */
    const char *flag;         /* that says so, for its error; NULL: "target" */
    const char *name_servers; /* of "dns:///": "127.0.0.1:53"; NULL: the system's */
    bool is_mesh;             /* speaks the envelope */
    bool is_quiet;            /* does not log whether the service is there: another client does */
    struct metrics *metrics;  /* NULL: nothing is counted */
    size_t waiting_max;       /* requests that wait to be sent, wait for their retry, or go alone */
    int envelopes_max; /* messages under way at once, to each replica; further requests wait and join up. 4 for a
                            mesh service, more (64) for a foreign one, whose requests cannot join */
};

/* Starts the thread; a lone connection is made by the first request. BAD_REQUEST: the target breaks a rule, which
 * is logged. */
enum error rpc_client_open(const struct rpc_client_options *options,
                           struct rpc_client **ret_client);

/* Takes the request; done() is always called, once, and never from inside this call. */
void rpc_client_send(struct rpc_client *client, struct rpc_request *request);

/* Ends what is under way (done() with CANCELLED) and frees. Nobody else may send any more. NULL is
 * fine. Returns NULL. */
struct rpc_client *rpc_client_close(struct rpc_client *client);

#endif
