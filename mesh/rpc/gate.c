/* gate.c -- Sets of rules, kept for what comes again and again: the server's methods, and callers of late.
 *
 * The rpc thread is the only one here, so nothing is locked but the policy's replacement (mesh/base/current.h). What is
 * kept goes with the policy that it was made of. Callers are kept in a small table by a hash of their identity, the
 * last one of a place winning: a stranger with many identities, all of our CA, can make the table useless, but not large. */
#include "mesh/rpc/gate.h"

#include "mesh/base/arena.h"
#include "mesh/base/current.h"
#include "mesh/base/hash.h"
#include "mesh/base/log.h"
#include "mesh/observe/metrics.h"
#include "mesh/rpc/caller.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Identities that are kept: one that is longer, or whose place another has taken, is looked up anew. */
enum { SEEN_MAX = 64, SEEN_BYTES_MAX = 255 };

/* clang-format off */
static const struct metric_row denied_row = { "sagamesh_rpc_server_denied_total", METRIC_COUNTER, METRIC_NUMBER, "Calls that the policy did not let their caller's identity make, those in envelopes too.", { "listener", "method" } };
/* clang-format on */

struct seen {
    char identity[SEEN_BYTES_MAX + 1]; /* "": none */
    struct rpc_policy_rules rules;
};

struct rpc_gate {
    struct rpc_gate_options options;
    struct current_view view;
    const struct rpc_policy *policy; /* what is kept below is of this one */
    struct rpc_policy_rules *methods;
    struct seen seen[SEEN_MAX];
};

/* The policy was replaced: all that is kept was of the old one. */
static void
keep_of(struct rpc_gate *gate, const struct rpc_policy *policy)
{
    gate->policy = policy;
    memset(gate->seen, 0, sizeof gate->seen);
    for (size_t i = 0; i < gate->options.method_count; i++)
        gate->methods[i] = rpc_policy_of_method(policy, gate->options.methods[i]);
}

struct rpc_gate *
rpc_gate_open(const struct rpc_gate_options *options)
{
    struct rpc_gate *gate;

    metrics_declare(options->metrics, &denied_row);
    if (options->policies == NULL)
        return NULL;
    gate = memory_take(sizeof *gate);
    gate->options = *options;
    gate->methods = memory_take(options->method_count * sizeof *gate->methods);
    return gate;
}

struct rpc_gate *
rpc_gate_close(struct rpc_gate *gate)
{
    if (gate == NULL)
        return NULL;
    current_end(gate->options.policies, &gate->view);
    free(gate->methods);
    free(gate);
    return NULL;
}

struct rpc_policy_rules
rpc_gate_caller(struct rpc_gate *gate, grpc_call *call)
{
    const struct rpc_policy *policy = current_look(gate->options.policies, &gate->view);
    struct rpc_policy_rules rules;
    struct rpc_caller caller;
    struct seen *seen;
    size_t bytes;

    if (policy != gate->policy)
        keep_of(gate, policy);
    rpc_caller_open(call, &caller);
    bytes = strlen(caller.identity);
    seen = &gate->seen[hash_in_memory(caller.identity, bytes) % SEEN_MAX];
    if (bytes > 0 && strcmp(seen->identity, caller.identity) == 0) {
        rules = seen->rules;
    } else {
        rules = rpc_policy_of_identity(policy, caller.identity);
        if (bytes <= SEEN_BYTES_MAX) {
            memcpy(seen->identity, caller.identity, bytes + 1);
            seen->rules = rules;
        }
    }
    rpc_caller_close(&caller);
    return rules;
}

static enum error
deny(struct rpc_gate *gate, grpc_call *call, const char *method,
     const struct rpc_policy_rules *rules, struct problem *problem)
{
    struct rpc_caller caller;

    rpc_caller_open(call, &caller);
    rpc_policy_deny(gate->policy, rules, caller.identity, problem);
    log_warn("event=CALL_DENIED method=%s identity=%s listener=%s because=\"%s\"", method,
             caller.identity, gate->options.listener, problem->text);
    metric_add(metrics_series(gate->options.metrics, &denied_row,
                              (const char *const[]){ gate->options.listener, method }),
               1);
    rpc_caller_close(&caller);
    return problem->error;
}

enum error
rpc_gate_check(struct rpc_gate *gate, grpc_call *call, const struct rpc_policy_rules *caller,
               size_t method, struct problem *problem)
{
    assert(method < gate->options.method_count);
    if (rpc_policy_lets(caller, &gate->methods[method]))
        return ERR_OK;
    return deny(gate, call, gate->options.methods[method], &gate->methods[method], problem);
}

enum error
rpc_gate_check_name(struct rpc_gate *gate, grpc_call *call, const char *method,
                    struct problem *problem)
{
    struct rpc_policy_rules caller = rpc_gate_caller(gate, call);
    struct rpc_policy_rules rules = rpc_policy_of_method(gate->policy, method);

    return rpc_policy_lets(&caller, &rules) ? ERR_OK : deny(gate, call, method, &rules, problem);
}
