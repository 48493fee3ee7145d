/* policy_load.h -- A policy from its file, into what the servers look at (mesh/base/current.h); read again when it changes.
 *
 * Thread    Main.
 * Memory    The loaded policy, its path and domain must live until rpc_policy_close().
 * Errors    ERR_BAD_REQUEST, which is logged with the path, the field and the rule.
 */
#ifndef MESH_RPC_POLICY_LOAD_H
#define MESH_RPC_POLICY_LOAD_H

#include "mesh/base/error.h"

struct current;
struct file_watch;

struct rpc_policy_source {
    const char *path;
    const char
        *domain; /* "": there are no certificates, so there are no identities to have a policy of */
    struct file_watch *files; /* NULL: it is read once */
    struct current *policies; /* NULL until it is open */
};

enum error rpc_policy_open(struct rpc_policy_source *source);

/* After the servers that look at it. One that is not open is fine. */
void rpc_policy_close(struct rpc_policy_source *source);

#endif
