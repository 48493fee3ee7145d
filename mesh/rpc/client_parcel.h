/* client_parcel.h -- One gRPC call under way: a request alone, or an envelope of many.
 *
 * Thread    The client's.
 * Memory    A parcel owns its gRPC objects and its list of requests, not the requests. What it sends
 *           is copied: a request may be answered (its item's deadline) before its parcel is back.
 * Units     *_us microseconds by clock_steady_us().
 */
#ifndef MESH_RPC_CLIENT_PARCEL_H
#define MESH_RPC_CLIENT_PARCEL_H

#include "mesh/rpc/client.h"

#include <grpc/grpc.h>

/* How much longer an envelope is waited for than its items may take, so that the server's own word
 * ("nothing was done") wins over our "deadline exceeded". */
enum { PARCEL_GRACE_US = 20 * 1000 };

/* What comes out of the client's queue. */
enum client_kind { CLIENT_WAKE, CLIENT_PARCEL, CLIENT_WATCH };
struct client_tag {
    enum client_kind kind;
    void *owner;
};

/* Where parcels go. Method handles of gRPC are kept for as long as the channel lives. */
struct parcel_way {
    grpc_channel *channel;
    grpc_completion_queue *queue;
    struct parcel_method *methods;
    size_t method_count;
};

#define PARCEL_BATCH_METHOD "sagamesh.batch.v1.BatchService/Call"

struct parcel {
    struct client_tag tag; /* first */
    struct parcel_way *way;
    struct parcel *next, **link; /* the client's list of what is under way */
    grpc_call *call;
    bool is_envelope;
    bool has_slot;    /* counts against envelopes_max */
    struct span span; /* of an envelope with a request that is recorded */
    char traceparent[TRACEPARENT_BYTES + 1];
    /* of the item whose deadline comes first; INT64_MAX: gRPC's own is enough */
    int64_t expires_us;
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *reply;
    grpc_status_code code;
    grpc_slice message;
    size_t count;
    struct rpc_request *requests[]; /* NULL: answered already */
};

typedef void (*parcel_answer)(void *owner, struct rpc_request *request, struct rpc_result *result);

void parcel_way_close(struct parcel_way *way);

/* What a request adds to an envelope. */
size_t parcel_item_bytes(const struct rpc_request *request, int64_t now_us);

struct parcel *parcel_new(size_t count);

/* Starts the call; its completion comes out of the queue with the parcel's tag. An envelope when
 * it has more than one request. */
void parcel_send(struct parcel *parcel, struct parcel_way *way, int64_t now_us);

/* Calls answer for every request that has no answer yet, when the completion is there. */
void parcel_answer_all(struct parcel *parcel, parcel_answer answer, void *owner);

/* The requests whose own deadline has passed; the others go on. Sets expires_us anew. */
void parcel_expire(struct parcel *parcel, int64_t now_us, parcel_answer answer, void *owner);

/* What gRPC said of the call. */
enum wire_code parcel_code(const struct parcel *parcel);

/* After the completion. Returns NULL. */
struct parcel *parcel_free(struct parcel *parcel);

#endif
