/* rpc_client.h -- Calls to one address: batched when they are due together, retried, reconnected.
 *
 * Requests that wait while others are under way go out together in one envelope
 * (sagamesh.batch.v1); to a foreign service (is_mesh = false) each goes alone. A lone request is a
 * unary call. Nothing ever waits to be joined.
 *
 * Thread    rpc_client_send: any. done() is called on the client's own thread and must not block; it
 *           may send again.
 * Memory    A request belongs to the client from send to done(); its message must live as long. The
 *           reply's bytes are valid during done() only.
 * Errors    What an answer means is in struct rpc_result. The client itself answers UNREACHABLE
 *           (nothing_done) only for a request that it never handed to gRPC (rpc_client_close, queue
 *           full): gRPC's core does not say whether a request reached the wire.
 * Units     *_us microseconds; timeout_us is per attempt.
 */
#ifndef MESH_WIRE_RPC_CLIENT_H
#define MESH_WIRE_RPC_CLIENT_H

#include "mesh/base/call.h"

struct rpc_client;

/* A call's answer, ErrorInfo already read. */
struct rpc_result {
    enum wire_code code;
    char message[256];
    char reason[32]; /* ErrorInfo.reason, or "" */
    char domain[64];
    bool nothing_done; /* ErrorInfo said so, or the request was never sent */
    bool is_stored;
    const uint8_t *reply; /* the response message, serialized; when code is WIRE_OK */
    size_t reply_bytes;
};

struct rpc_request {
    struct queue_item item; /* first; the client's while the request is under way */
    const char *method;     /* "sagamesh.storage.v1.StorageService/Reserve" */
    const uint8_t *message;
    size_t message_bytes;
    int64_t timeout_us; /* of one attempt */
    int attempts_max;   /* 1: no retry. Retried: nothing_done, UNAVAILABLE, DEADLINE_EXCEEDED,
                            UNKNOWN, ABORTED, RESOURCE_EXHAUSTED; all mesh calls can be repeated */
    bool must_go_alone; /* never in an envelope: a call that waits on purpose (Get with wait_ms)
                            would hold up the others */
    char traceparent[TRACEPARENT_BYTES + 1];
    void (*done)(struct rpc_request *request, const struct rpc_result *result);
    int attempt; /* the client's: how many were made */
};

struct rpc_client_options {
    const char *address; /* "127.0.0.1:7401" */
    bool is_mesh;        /* speaks the envelope */
    size_t waiting_max;  /* requests that wait to be sent */
    int envelopes_max;   /* messages under way at once; further requests wait and join up. 4 */
};

enum error rpc_client_open(const struct rpc_client_options *options,
                           struct rpc_client **ret_client);

/* Takes the request; done() is always called, once. */
void rpc_client_send(struct rpc_client *client, struct rpc_request *request);

/* Ends what is under way (done() with CANCELLED) and frees. NULL is fine. Returns NULL. */
struct rpc_client *rpc_client_close(struct rpc_client *client);

/* For tools: sends message, waits, copies the reply into arena. */
void rpc_client_call(struct rpc_client *client, const char *method, const uint8_t *message,
                     size_t message_bytes, int64_t timeout_us, struct arena *arena,
                     struct rpc_result *ret_result);

#endif
