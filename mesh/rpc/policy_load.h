/* policy_load.h -- A policy from its file, into what the servers look at (mesh/base/current.h).
 *
 * Thread    Any, one at a time.
 * Errors    ERR_BAD_REQUEST, which is logged with the path, the field and the rule; what was current stays so.
 */
#ifndef MESH_RPC_POLICY_LOAD_H
#define MESH_RPC_POLICY_LOAD_H

#include "mesh/base/error.h"

struct current;

/* domain "": there are no certificates, so there are no identities to have a policy of. */
enum error rpc_policy_load(const char *path, const char *domain, struct current *policies);

#endif
