/* server.h -- gRPC's C core behind a table of methods.
 *
 * One thread serves the completion queue: it decodes a message into an op, validates it, and
 * submits the call; no I/O and no waiting happens there. Answers come back by call->finish() from
 * any thread.
 *
 * Connections come by mesh/rpc/acceptor.h: the core itself does not listen.
 *
 * Beside the program's own services a server answers
 *   grpc.health.v1.Health            Check and Watch, per service name and for "", and of the parts of the program
 *                                    that it has told of: "database"
 *   grpc.reflection.v1, .v1alpha     from the descriptor set that is embedded at build
 *   sagamesh.batch.v1.BatchService   the envelope: many calls of any of its methods
 *
 * A service may have an inner one beside it, whose methods only the mesh may call: they are served by a server that
 * has serves_inner, on a port of its own, and are UNIMPLEMENTED elsewhere, in an envelope too.
 *
 * With a policy a call of the program's own services, alone or in an envelope, and of reflection is NOT_ALLOWED
 * unless a rule lets the caller's identity make it. Health, the clock and the envelope itself are for all who are let in:
 * clients ask them of every server each few seconds, and they tell nothing of the business.
 *
 * Thread    rpc_server_open/stop/close: the main thread. rpc_server_set_serving/part: any.
 * Memory    The options' texts and tables must outlive the server. A call's op, message and reply
 *           live in the call's arena and go when finish() is called.
 * Errors    Every failed call carries grpc-status-details-bin with one google.rpc.ErrorInfo
 *           (status.h). A deadline that has passed before submit is ERR_EXPIRED; a message that
 *           cannot be parsed, or has text that is not UTF-8, BAD_REQUEST; more than calls_max in
 *           flight BUSY; an unknown method UNIMPLEMENTED. gRPC itself refuses, without an
 *           ErrorInfo, a message or metadata over the limit (RESOURCE_EXHAUSTED) and compressed
 *           messages (UNIMPLEMENTED); too much metadata also costs the client its connection.
 * Units     *_bytes bytes, *_ms milliseconds.
 */
#ifndef MESH_RPC_SERVER_H
#define MESH_RPC_SERVER_H

#include "mesh/base/call.h"

#include <protobuf-c/protobuf-c.h>

enum {
    RPC_MESSAGE_BYTES_MAX = 1 << 20, /* a request, or an envelope */
    RPC_ITEMS_MAX = 1024,            /* in an envelope */
    RPC_METADATA_BYTES_MAX = 8 << 10,
};

struct current;
struct rpc_server;

/* One gRPC service of the program, with its inner one. Its table is checked against both descriptors when the
 * server opens: a method without a row, or a row without a method, ends the program. */
struct rpc_service {
    const ProtobufCServiceDescriptor *descriptor;
    const ProtobufCServiceDescriptor *inner; /* NULL: all may call all of it */
    const struct method *methods;            /* of both; ends with a row of zeros */
    /* Takes the decoded call: queues it or finishes it; the rpc thread. Must not block. A call
     * without a deadline has one a day away. */
    void (*submit)(void *owner, struct call *call);
    void *owner;
    void *op_owner; /* becomes op->owner of its calls */
};

struct rpc_server_options {
    const char *listen; /* "127.0.0.1:7401"; port 0 picks a free one */
    /* how long a connection lives, 10 % more or less, before its client is told to make a new one, and then
     * 30 s for what is under way; 0: for ever */
    int64_t connection_age_ms;
    size_t calls_max; /* unary calls and envelope items in flight */
    const struct rpc_service *services;
    size_t service_count;
    bool serves_inner;       /* the inner services, too */
    bool leaves_room;        /* keeps descriptors for another port of the program (acceptor.h) */
    const char *listener;    /* its name in metrics: "public" */
    struct metrics *metrics; /* NULL: nothing is counted */
    /* Who may call what (gate.h), with certificates. NULL: all may call all. */
    struct current *policies;
};

/* Binds, checks the tables and starts the thread. Health is NOT_SERVING until set. Errors: those of
 * rpc_acceptor_open(). */
enum error rpc_server_open(const struct rpc_server_options *options,
                           struct rpc_server **ret_server);

int rpc_server_port(const struct rpc_server *server);

/* Asks through the port whether the server answers: see probe.h. Not after the stop. */
enum error rpc_server_probe(const struct rpc_server *server, int wait_ms);

/* Health of "" and of every own service; watchers are told. */
void rpc_server_set_serving(struct rpc_server *server, bool is_serving);

/* Health of a part that it stands on, by a name that is none of a service, constant. It is known from the first call
 * on. RPC_PARTS_MAX at most. */
enum { RPC_PARTS_MAX = 4 };
void rpc_server_set_part(struct rpc_server *server, const char *part, bool is_well);

/* Drains: NOT_SERVING, no new calls (STOPPING), what is in flight is answered, streams are ended,
 * then the port is closed. Returns after grace_ms at the latest; what is still open then is
 * cancelled: its calls must be finished all the same, and nobody hears of it. Once. */
void rpc_server_stop(struct rpc_server *server, int grace_ms);

/* After rpc_server_stop(), and after every submitted call was finished: stop the threads that hold
 * calls in between. NULL is fine. Returns NULL. */
struct rpc_server *rpc_server_close(struct rpc_server *server);

#endif
