/* caller.h -- Who calls, as a lane of the queues (mesh/base/queue.h).
 *
 * By host; from the loopback, where all have one, by connection. Callers are spread over the lanes by a hash, so two
 * may share one.
 *
 * Thread    Any.
 */
#ifndef MESH_RPC_CALLER_H
#define MESH_RPC_CALLER_H

/* peer: what gRPC calls it: "fd:12" for the connections that the acceptor hands over. Never 0. */
unsigned rpc_caller_lane(const char *peer);

#endif
