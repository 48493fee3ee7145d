/* caller.h -- Who calls: an identity, and a lane of the queues (mesh/base/queue.h).
 *
 * With certificates callers stand in lanes by identity: the replicas of a program have one, so a program that has
 * many has no greater share than one that has few. Without, by host; from the loopback, where all have one, by
 * connection. Callers are spread over the lanes by a hash, so two may share one.
 *
 * Thread    Any.
 */
#ifndef MESH_RPC_CALLER_H
#define MESH_RPC_CALLER_H

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

struct rpc_caller {
    grpc_auth_context *context;
    const char *
        identity; /* "spiffe://shop.example/bff"; "": the connection is plain. Until it is closed. */
};

void rpc_caller_open(grpc_call *call, struct rpc_caller *ret_caller);
void rpc_caller_close(struct rpc_caller *caller);

/* peer: what gRPC calls the other end, "fd:12" for the connections that the acceptor hands over. Never 0. */
unsigned rpc_caller_lane(const char *identity, const char *peer);

#endif
