/* client_inner.h -- What the files of the client share. For no other file.
 *
 *   client.c           open, close; what senders touch; the thread
 *   client_answer.c    what becomes of a request: answered, moved to another replica, sent again later
 *   client_endpoint.c  the replicas, who is asked and who is left out
 *   client_watch.c     a replica's own word about itself
 *   client_parcel.c    one message, byte by byte
 *   client_meter.c     the counters
 *
 * Thread    The client's, but for what is under the lock and the counts.
 */
#ifndef MESH_RPC_CLIENT_INNER_H
#define MESH_RPC_CLIENT_INNER_H

#include "mesh/rpc/client_endpoint.h"
#include "mesh/rpc/client_meter.h"
#include "mesh/rpc/resolve.h"
#include "mesh/rpc/retry_budget.h"

#include <pthread.h>
#include <stdatomic.h>

/* For whom a sender must wake the thread. */
enum wake { WAKE_NOBODY, WAKE_FOR_ALONE, WAKE_FOR_ALL };

struct rpc_client {
    char *target, *authority; /* authority NULL: its address */
    bool is_mesh, is_quiet;
    size_t waiting_max;
    int envelopes_max;
    pthread_t thread;
    grpc_completion_queue *queue;
    grpc_channel *wake_channel; /* to no endpoint */
    grpc_call *wake_call;

    struct rpc_resolver *resolver; /* NULL: all addresses are known */

    pthread_mutex_t lock;
    struct rpc_target *found;   /* under lock: a new list of addresses; NULL: none */
    struct list inbox, refused; /* under lock, as the next two */
    enum wake wake;
    bool is_closing;
    atomic_size_t held_count; /* requests that take no message's place: against waiting_max */
    struct client_meter meter;

    /* the thread's own */
    struct endpoints endpoints;
    struct retry_budget budget;
    struct list rejected;
    struct parcel *under_way;
    struct endpoint *answering; /* whose answers are read */
    int64_t
        expires_us; /* no parcel under way expires before this; most never do (gRPC's deadline) */
    struct heap later;
    bool is_ending;
};

/* client_answer.c */

/* A parcel's answer to one of its requests; owner: the client, whose `answering` is set. */
void client_answered(void *owner, struct rpc_request *request, struct rpc_result *result);

/* The client's own answer to a request that was not handed to gRPC this time. */
void client_answer_unsent(struct rpc_client *client, struct rpc_request *request,
                          enum wire_code code, const char *reason, const char *message);

/* The same where no replica is known: tried again, as if one had not done it. */
void client_answer_nowhere(struct rpc_client *client, struct rpc_request *request);

/* Those that are due are placed again. */
void client_retries_wake(struct rpc_client *client, int64_t now_us);

#endif
