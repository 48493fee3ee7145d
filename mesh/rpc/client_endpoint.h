/* client_endpoint.h -- The replicas of a service, as one client sees them. Inside mesh/rpc/client only.
 *
 * Each has a connection, its own requests that wait, and, where there are two or more, a watch over its health. A replica is not
 * well while its watch says so or is lost, and from a call that failed until its watch says that it serves.
 * choice.h says who is asked and who is left out.
 *
 * Thread    The client's. The counts: any.
 * Memory    The set owns its endpoints. It stands in its client, and its address goes to gRPC.
 * Units     *_us microseconds by clock_steady_us().
 */
#ifndef MESH_RPC_CLIENT_ENDPOINT_H
#define MESH_RPC_CLIENT_ENDPOINT_H

#include "mesh/rpc/choice.h"
#include "mesh/rpc/client_wait.h"
#include "mesh/rpc/client_watch.h"
#include "mesh/rpc/target.h"

#include <stdatomic.h>

struct endpoint {
    struct parcel_way way; /* first */
    struct list waiting, alone;
    int slots_used;
    size_t index; /* in the set */
    bool is_away; /* its last message did not arrive */
    int silent;   /* messages in a row that had no answer in time */
    struct client_watch watch;
    char *address;
    size_t parcels;        /* under way */
    bool is_gone;          /* out of the set: freed when nothing is under way */
    struct endpoint *next; /* of those */
};

struct endpoints {
    const char *service; /* for the log; NULL: nothing is logged */
    grpc_completion_queue *queue;
    const char *authority; /* by which the service is asked; NULL: by its address */
    size_t count;
    struct endpoint *of[RPC_ENDPOINTS_MAX];
    struct rpc_candidate candidates[RPC_ENDPOINTS_MAX]; /* the same, by index */
    struct list stray;    /* requests that waited for one that was left out: to be placed anew */
    struct list unplaced; /* requests of before any address was known */
    struct endpoint *gone;
    uint32_t random;
    bool is_looked_up; /* the addresses are known, if there are any */
    bool must_look_up; /* one fails: others may be there instead */
    bool is_ending;
    atomic_size_t known, left_out;
};

/* What an answer's message says of its sender. */
enum endpoint_sign {
    SIGN_ANSWERED,
    SIGN_LOST,   /* the message did not arrive, or the connection broke */
    SIGN_SILENT, /* no answer in time */
};

void endpoints_init(struct endpoints *set, const char *service, grpc_completion_queue *queue);

/* From now on these are the replicas. What is with one that is not among them is still answered by it. */
void endpoints_change(struct endpoints *set, const struct rpc_target *found, int64_t now_us);

/* Puts the request where it waits to be sent: not to a replica that failed it, unless there is no other. */
void endpoints_place(struct endpoints *set, struct rpc_request *request);

/* Is there another than those where it was tried? */
bool endpoints_have_other(const struct endpoints *set, const struct rpc_request *request);

/* Requests that went to it, or come back (by below 0). */
void endpoint_count(struct endpoints *set, const struct endpoint *endpoint, int by);

void endpoint_note(struct endpoints *set, struct endpoint *endpoint, enum endpoint_sign sign,
                   int64_t now_us);

/* Did the last message to each of them not arrive? */
bool endpoints_are_away(const struct endpoints *set);

/* A batch of a watch is back. */
void endpoints_step(struct endpoints *set, const struct client_tag *tag, int64_t now_us);

/* What is due by the time, and when that is next: INT64_MAX, never. */
void endpoints_turn(struct endpoints *set, int64_t now_us);
int64_t endpoints_due_us(const struct endpoints *set);

/* Ends the watches; true when they are over. */
bool endpoints_end(struct endpoints *set);

/* Connections and memory, when nothing is under way. */
void endpoints_free(struct endpoints *set);

#endif
