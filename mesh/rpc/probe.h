/* probe.h -- Does this program answer at its own port? Asked as a stranger would: a new connection, and
 * grpc.health.v1.Health/Check over it. So accepting, the core and the rpc thread are all in it.
 *
 * It waits for any answer to the call, also a refusal; or for the end of the connection, which is
 * the answer of a program that is full or stops. What it says does not matter here.
 *
 * Thread    Any. Blocks for wait_ms at most.
 * Errors    OK           it answers
 *           UNREACHABLE  no answer within wait_ms
 *           BUSY         it could not be asked: no descriptor was free for the question
 */
#ifndef MESH_RPC_PROBE_H
#define MESH_RPC_PROBE_H

#include "mesh/base/error.h"
#include "mesh/base/listen.h"

enum error rpc_probe(const struct listen *listen, int wait_ms);

#endif
