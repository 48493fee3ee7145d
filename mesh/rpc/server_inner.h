/* server_inner.h -- What the files of the server share. For no other file.
 *
 *   server.c         open, stop, close; the table of methods; the thread
 *   server_unary.c   one unary call: arrive, decode, submit, finish
 *   envelope.c       many calls in one unary call
 *   server_stream.c  everything that is not a registered method: streams and unknown methods
 *   server_metrics.c what is counted of them
 *   health.c         Check and Watch
 *   reflection.c     the descriptor set, answered symbol by symbol
 *
 * Thread    The rpc thread runs every tag. finish() comes from any thread and touches, of the
 *           server, only the counters and what is under the lock. Streams are under the lock.
 */
#ifndef MESH_RPC_SERVER_INNER_H
#define MESH_RPC_SERVER_INNER_H

#include "mesh/rpc/acceptor.h"
#include "mesh/rpc/durations.h"
#include "mesh/rpc/gate.h"
#include "mesh/rpc/server.h"
#include "mesh/rpc/spans.h"

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    RPC_SLOTS = 8,                 /* calls of a method that the library may hand over at once */
    RPC_STREAMS_MAX = 256,         /* watchers and reflection clients */
    RPC_CALM = 64,                 /* calls in flight, up to which nobody is asked who calls */
    RPC_POOL_MAX = 2048,           /* calls kept for reuse, 4 KB each */
    RPC_REPLY_BYTES_MAX = 4 << 20, /* of an envelope: what gRPC clients take by default */
};

struct rpc_server;
struct rpc_unary;
struct rpc_item;
struct rpc_stream;
struct rpc_reflection;

/* What the completion queue gives back. */
struct rpc_tag {
    void (*run)(void *owner, bool is_ok);
    void *owner;
};

/* A registered unary method. */
struct rpc_route {
    const char *name; /* "sagamesh.storage.v1.StorageService/Reserve" */
    const ProtobufCMessageDescriptor *input;
    const struct method *method;
    const struct rpc_service *service; /* who takes the call */
    const char *service_name;          /* who decides it: "sagamesh.storage.v1.StorageService" */
    /* Takes a call that arrived with this request; the rpc thread. */
    void (*take)(struct rpc_unary *unary, const uint8_t *bytes, size_t count);
    bool is_own; /* of the program's services: may come in an envelope, counts, stops */
    void *registered;
    struct rpc_durations *durations;
};

/* A call that has just come knows nothing of an earlier one in its place. */
void rpc_call_begin(struct call *call);

/* Before it is answered: what its problem says to its caller. */
void rpc_call_settle(struct call *call);

/* Its answer, when it has no problem. */
ProtobufCMessage *rpc_call_reply(const struct call *call);

/* Says at debug what the call came to: a line for each call. NULL: a method that is not here. */
void rpc_call_log(const struct rpc_route *route, const struct call *call);

/* Who decides what a route takes; NULL: a method that is not here. */
const char *rpc_route_service(const struct rpc_route *route);

/* A stream's manners. message() is called for each message of the client; NULL bytes: it sends no
 * more. next() is asked whenever the stream is idle: the next reply, or false. Both run under the
 * lock. */
struct rpc_stream_kind {
    void (*message)(struct rpc_stream *stream, const uint8_t *bytes, size_t count);
    bool (*next)(struct rpc_stream *stream, grpc_slice *ret_reply);
};

struct rpc_stream {
    struct rpc_stream *next, **link; /* the server's list */
    struct rpc_server *server;
    const struct rpc_stream_kind *kind; /* NULL: only to be ended */
    grpc_call *grpc;
    struct rpc_tag receive_tag, send_tag, end_tag, close_tag;
    grpc_byte_buffer *received;
    int pending;      /* batches under way; with the last one the stream is freed */
    int is_cancelled; /* written by the library */
    bool is_sending, is_ended, is_closed;
    bool must_end;         /* with ending, once nothing is to be sent */
    struct problem ending; /* ERR_OK: a good end */
    /* Watch */
    char *service; /* NULL until asked for */
    int told;      /* the status sent last; -1: none */
    /* Reflection: the reply that waits to be sent */
    bool has_reply;
    grpc_slice reply;
};

struct rpc_server {
    struct rpc_server_options options;
    grpc_server *grpc;
    grpc_server_credentials *credentials;
    void *handler; /* of connections that speak TLS (tls.h); NULL: they are plain */
    grpc_completion_queue *queue;
    struct rpc_acceptor *acceptor; /* NULL: the port is closed */
    pthread_t thread;
    int port;

    struct rpc_service health_service; /* Check, answered on the rpc thread */
    struct rpc_route *routes;          /* by name */
    size_t route_count;
    struct rpc_durations others; /* of methods that are not here */
    const char **service_names;  /* all that is served, for reflection */
    size_t service_name_count;
    struct rpc_reflection *reflection;
    struct rpc_gate *gate;      /* NULL: all may call all */
    const char **gated_methods; /* the routes' names, for the gate */

    struct rpc_unary *unary_pool; /* the rpc thread's */
    struct rpc_item *item_pool;
    size_t unary_pool_count, item_pool_count;

    struct rpc_tag generic_tag; /* the one request for whatever is not registered */
    grpc_call *generic_call;
    grpc_call_details generic_details;
    grpc_metadata_array generic_metadata;
    struct rpc_tag shutdown_tag;

    size_t outstanding; /* the rpc thread's: tags that the library has, but for shutdown_tag */

    atomic_uint_fast64_t items, busy;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* in_flight is 0, or is_shut */
    /* own unary calls and items from arrival to finish; written under lock, as below */
    atomic_size_t in_flight;
    bool is_stopping, is_serving;
    struct {
        const char *name;
        bool is_well;
    } parts[RPC_PARTS_MAX];
    size_t part_count;
    bool is_shut; /* written by the rpc thread */
    struct rpc_stream *streams;
    size_t stream_count;
};

/* server.c */
const struct rpc_route *rpc_route_find(const struct rpc_server *server, const char *name);
bool rpc_server_enter(struct rpc_server *server, struct problem *problem); /* one more in flight */
void rpc_server_leave(struct rpc_server *server);

/* server_metrics.c */
void rpc_server_metrics_open(struct rpc_server *server);  /* once it has its routes */
void rpc_server_metrics_close(struct rpc_server *server); /* before it stops */
/* Any thread. route NULL: the method is not here. */
void rpc_server_count_answer(struct rpc_server *server, const struct rpc_route *route,
                             enum error answer, int64_t arrived_us, const char *traceparent);

/* server_unary.c */
struct rpc_unary {
    struct rpc_tag tag; /* arrive, then end */
    struct call call;
    struct span span;
    struct rpc_unary *next;
    struct rpc_server *server;
    const struct rpc_route *route;
    grpc_call *grpc;
    gpr_timespec deadline;
    int64_t arrived_us;
    struct rpc_policy_rules rules; /* of the caller; with a gate */
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload;
    int is_cancelled;
    bool is_counted; /* in in_flight */
    struct rpc_envelope *envelope;
};
void rpc_unary_request(struct rpc_server *server, const struct rpc_route *route);
void rpc_unary_take(struct rpc_unary *unary, const uint8_t *bytes, size_t count);
/* Whether who sent this call may call the route, which is its own or that of an item in it. */
enum error rpc_route_check(struct rpc_unary *unary, const struct rpc_route *route,
                           struct problem *problem);
/* Sends and ends; neither unary nor its arena may be touched afterwards. */
void rpc_unary_answer(struct rpc_unary *unary, grpc_slice reply);
void rpc_unary_refuse(struct rpc_unary *unary, const struct problem *problem);
void rpc_unary_pool_free(struct rpc_server *server);
/* Decodes into call->op, checks the deadline, and hands over; a refusal is finished at once. */
void rpc_call_submit(const struct rpc_route *route, struct call *call, const uint8_t *bytes,
                     size_t count);

/* server_stream.c */
void rpc_stream_request(struct rpc_server *server);
void rpc_stream_pump(struct rpc_stream *stream);                               /* under the lock */
void rpc_stream_end(struct rpc_stream *stream, const struct problem *problem); /* under the lock */
void rpc_streams_stop(struct rpc_server *server);
/* A status to be sent; the slices are the caller's to unref after the batch has started. */
struct rpc_ending {
    grpc_slice message;
    grpc_metadata detail;
    bool has_detail;
};
void rpc_ending_make(const struct problem *problem, const char *service,
                     struct rpc_ending *ret_ending);
void rpc_ending_free(struct rpc_ending *ending);
void rpc_ending_set(const struct problem *problem, struct rpc_ending *ending, grpc_op *ret_op);

/* envelope.c */
void rpc_envelope_take(struct rpc_unary *unary, const uint8_t *bytes, size_t count);
void rpc_envelope_free(struct rpc_unary *unary); /* gives the items back; the rpc thread */
void rpc_item_pool_free(struct rpc_server *server);

/* health.c */
enum { RPC_HEALTH_METHODS = 2 };
extern const struct method rpc_health_methods[RPC_HEALTH_METHODS + 1];
extern const struct rpc_stream_kind rpc_health_watch;
void rpc_health_submit(void *owner, struct call *call);

/* clock.c */
extern const struct rpc_service rpc_clock_service;

/* reflection.c */
extern const struct rpc_stream_kind rpc_reflection_info;
struct rpc_reflection *rpc_reflection_open(void);
struct rpc_reflection *rpc_reflection_close(struct rpc_reflection *reflection);

#endif
