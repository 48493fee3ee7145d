/* target.h -- Where a service is: what an address flag says.
 *
 *   host:port                    one address
 *   host:port,host:port,...      its replicas, by name
 *   dns:///name:port             its replicas, as many as DNS has addresses of that name
 *
 * A host is a name, an IPv4 address or an IPv6 address in brackets.
 *
 * Thread    Pure.
 * Memory    A target holds its texts itself. It is large (20 KiB): take it, or keep it on a deep stack.
 * Errors    BAD_REQUEST, with the flag as the field and the rule that the text broke.
 */
#ifndef MESH_RPC_TARGET_H
#define MESH_RPC_TARGET_H

#include "mesh/base/error.h"

#include <stddef.h>

enum {
    RPC_ENDPOINTS_MAX = 64, /* a set of them is a word of 64 bits (choice.h) */
    RPC_HOST_BYTES_MAX = 253,
    RPC_ADDRESS_BYTES_MAX = RPC_HOST_BYTES_MAX + 8, /* "[", "]", ":65535" */
};

struct rpc_target {
    char name[RPC_HOST_BYTES_MAX + 1]; /* to look up; "": the addresses are all there is */
    int port;                          /* of the name */
    size_t count;
    char addresses[RPC_ENDPOINTS_MAX][RPC_ADDRESS_BYTES_MAX + 1];
};

/* field: the flag, for the problem. */
enum error rpc_target_parse(const char *field, const char *text, struct rpc_target *ret_target,
                            struct problem *problem);

#endif
