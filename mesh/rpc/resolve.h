/* resolve.h -- The addresses of a name, looked up again and again, by c-ares on a thread of its own.
 *
 * All A and AAAA records count. A name is looked up each 5 s, and at once when a client that uses the addresses
 * says that one fails. An answer without addresses, a name server that says no such name, and one that says nothing leave the last good
 * list standing: while DNS is ill the replicas may well be there.
 *
 * Thread    rpc_resolver_hurry: any, and it never waits. found() runs on the resolver's own. The others: the one that opens
 *           and closes.
 * Memory    The addresses are valid during found() only. The options' texts are copied.
 * Errors    A look-up that fails is in the log (event=NAME_LOST), once until one succeeds.
 */
#ifndef MESH_RPC_RESOLVE_H
#define MESH_RPC_RESOLVE_H

#include "mesh/rpc/target.h"

struct rpc_resolver;

struct rpc_resolver_options {
    const char *name;
    int port;
    const char *servers; /* "127.0.0.1:53"; NULL: those of the system */
    /* Of each other list than before, in order, as gRPC takes them; and once with none, when the first look-up
     * fails. */
    void (*found)(void *owner, const struct rpc_target *addresses);
    void *owner;
};

struct rpc_resolver *rpc_resolver_open(const struct rpc_resolver_options *options);

/* Looks the name up now, but not more often than each quarter of a second. */
void rpc_resolver_hurry(struct rpc_resolver *resolver);

/* NULL is fine. Returns NULL. */
struct rpc_resolver *rpc_resolver_close(struct rpc_resolver *resolver);

#endif
