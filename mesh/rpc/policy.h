/* policy.h -- Which identity may call which method: a table of rules, and what it says.
 *
 *     { "rules": [ { "name": "payments-tell-sagas",
 *                    "identities": ["/account-svc"],
 *                    "methods": ["sagamesh.saga.v1.SagaControlService/Signal"] } ] }
 *
 * A rule lets each of its identities call each of its methods; what no rule lets is denied. An identity is a SPIFFE
 * URI, or its path alone, which is one of our own trust domain; with a "*" at its end all that begin so. A method is
 * "package.Service/Method", or "package.Service/" with a "*" for all of a service. Several rules may name one method.
 *
 * A call compares no texts: a method has the set of rules that name it, an identity
 * likewise, and a call is let where the two have a rule in common. Who asks keeps both sets (gate.h).
 *
 * Thread    A policy is never changed: any.
 * Memory    The policy holds its texts itself.
 * Errors    A file that is no policy is ERR_BAD_REQUEST; the problem names the field, "rules[2].methods[0]", and the rule.
 */
#ifndef MESH_RPC_POLICY_H
#define MESH_RPC_POLICY_H

#include "mesh/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RPC_POLICY_BYTES_MAX = 256 << 10, /* of a file */
    RPC_POLICY_RULES_MAX = 256,
    RPC_POLICY_NAMES_MAX = 1024, /* identities, or methods, of a rule */
    RPC_POLICY_WORDS = RPC_POLICY_RULES_MAX / 64,
};

/* A set of rules; all zeros: none. */
struct rpc_policy_rules {
    uint64_t words[RPC_POLICY_WORDS];
};

struct rpc_policy;

/* domain: our own, "shop.example"; a URI of another one in the file is refused, since its programs are not let in. */
enum error rpc_policy_read(const char *text, size_t bytes, const char *domain,
                           struct problem *problem, struct rpc_policy **ret_policy);
void rpc_policy_free(void *policy); /* NULL is fine */

size_t rpc_policy_rule_count(const struct rpc_policy *policy);

/* identity: "spiffe://shop.example/bff"; method: "sagamesh.order.v1.OrderService/Place". Neither needs to be known. */
struct rpc_policy_rules rpc_policy_of_identity(const struct rpc_policy *policy,
                                               const char *identity);
struct rpc_policy_rules rpc_policy_of_method(const struct rpc_policy *policy, const char *method);

static inline bool
rpc_policy_lets(const struct rpc_policy_rules *identity, const struct rpc_policy_rules *method)
{
    uint64_t common = 0;

    for (int i = 0; i < RPC_POLICY_WORDS; i++)
        common |= identity->words[i] & method->words[i];
    return common != 0;
}

/* Why identity, which has no rule in common with the method, may not call it: ERR_NOT_ALLOWED, with the first rule that
 * lets others, or that there is none. */
enum error rpc_policy_deny(const struct rpc_policy *policy, const struct rpc_policy_rules *method,
                           const char *identity, struct problem *problem);

#endif
