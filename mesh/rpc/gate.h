/* gate.h -- Whether who calls may call this, by the policy as it is now (policy.h).
 *
 * A server has one. It keeps, for the policy that it has seen last, the rules of each of its methods, and those of the
 * identities that called of late, so that a call costs the look at its peer's identity and a few words of AND. A new
 * policy counts from the next call on; connections that are there stay.
 *
 * A denied call is counted by method, and logged within the budget of its place.
 *
 * Thread    open, close: before and after the rpc thread. The others: the rpc thread.
 * Memory    What the options name must outlive the gate.
 * Errors    ERR_NOT_ALLOWED, with the rule and the identity.
 */
#ifndef MESH_RPC_GATE_H
#define MESH_RPC_GATE_H

#include "mesh/rpc/policy.h"

#include <grpc/grpc.h>

struct current;
struct metrics;
struct rpc_gate;

struct rpc_gate_options {
    struct current *policies; /* its values are struct rpc_policy; there is one already */
    struct metrics *metrics;
    const char *listener;
    const char *const
        *methods; /* "package.Service/Method"; their places are what the calls below go by */
    size_t method_count;
};

/* NULL: there are no policies, and all may call all; the metric of refusals is shown all the same. */
struct rpc_gate *rpc_gate_open(const struct rpc_gate_options *options);
/* NULL is fine. Returns NULL. */
struct rpc_gate *rpc_gate_close(struct rpc_gate *gate);

/* The rules that name who sent this call, of the policy as it is now. They are good until the next call is looked at. */
struct rpc_policy_rules rpc_gate_caller(struct rpc_gate *gate, grpc_call *call);

/* ERR_OK, or why this caller may not call the method. The second: of a method that is in no place, by its name. */
enum error rpc_gate_check(struct rpc_gate *gate, grpc_call *call,
                          const struct rpc_policy_rules *caller, size_t method,
                          struct problem *problem);
enum error rpc_gate_check_name(struct rpc_gate *gate, grpc_call *call, const char *method,
                               struct problem *problem);

#endif
