/* policy_load.c -- Read whole, understood whole, then handed over: servers never see half a policy. */
#include "mesh/rpc/policy_load.h"

#include "mesh/base/arena.h"
#include "mesh/base/current.h"
#include "mesh/base/file.h"
#include "mesh/base/log.h"
#include "mesh/rpc/policy.h"

#include <string.h>

static enum error
read_file(const char *path, const char *domain, struct problem *problem,
          struct rpc_policy **ret_policy)
{
    struct arena *arena = arena_new();
    const char *text = file_read(path, RPC_POLICY_BYTES_MAX, arena);
    enum error error;

    if (domain[0] == '\0')
        error =
            problem_set(problem, ERR_BAD_REQUEST, "--policy",
                        "needs --tls-cert, --tls-key and --tls-ca: without certificates callers "
                        "have no identities");
    else if (text == NULL)
        error = problem_set(problem, ERR_BAD_REQUEST, "--policy",
                            "must be a readable file of %d bytes at most", RPC_POLICY_BYTES_MAX);
    else
        error = rpc_policy_read(text, strlen(text), domain, problem, ret_policy);
    arena_free(arena);
    return error;
}

enum error
rpc_policy_load(const char *path, const char *domain, struct current *policies)
{
    struct rpc_policy *policy;
    struct problem problem;

    if (read_file(path, domain, &problem, &policy) != ERR_OK) {
        log_error("event=POLICY_REFUSED file=%s field=%s because=\"%s\"", path, problem.field,
                  problem.text);
        return problem.error;
    }
    log_info("event=POLICY_READ file=%s rules=%zu", path, rpc_policy_rule_count(policy));
    current_set(policies, policy);
    return ERR_OK;
}
