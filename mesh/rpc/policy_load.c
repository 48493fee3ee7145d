/* policy_load.c -- Read whole, understood whole, then handed over: servers never see half a policy. */
#include "mesh/rpc/policy_load.h"

#include "mesh/base/arena.h"
#include "mesh/base/current.h"
#include "mesh/base/log.h"
#include "mesh/observe/file_watch.h"
#include "mesh/rpc/policy.h"

#include <string.h>

/* A file_owner's read(). */
static enum error
policy_read(void *owner, struct file_reads *reads, struct problem *problem)
{
    struct rpc_policy_source *source = owner;
    struct arena *arena = arena_new();
    const char *text = file_reads_text(reads, source->path, RPC_POLICY_BYTES_MAX, arena);
    struct rpc_policy *policy;
    enum error error;

    if (source->domain[0] == '\0')
        error =
            problem_set(problem, ERR_BAD_REQUEST, "--policy",
                        "needs --tls-cert, --tls-key and --tls-ca: without certificates callers "
                        "have no identities");
    else if (text == NULL)
        error = problem_set(problem, ERR_BAD_REQUEST, "--policy",
                            "must be a readable file of %d bytes at most", RPC_POLICY_BYTES_MAX);
    else
        error = rpc_policy_read(text, strlen(text), source->domain, problem, &policy);
    arena_free(arena);
    if (error != ERR_OK)
        return error;
    log_info("event=POLICY_READ file=%s rules=%zu", source->path, rpc_policy_rule_count(policy));
    current_set(source->policies, policy);
    return ERR_OK;
}

enum error
rpc_policy_open(struct rpc_policy_source *source)
{
    const struct file_owner owner = {
        .name = "policy", .path = source->path, .read = policy_read, .owner = source
    };
    enum error error;

    source->policies = current_new(rpc_policy_free);
    error = file_watch_add(source->files, &owner);
    if (error != ERR_OK)
        source->policies = current_free(source->policies);
    return error;
}

void
rpc_policy_close(struct rpc_policy_source *source)
{
    if (source->policies == NULL)
        return;
    file_watch_remove(source->files, source);
    source->policies = current_free(source->policies);
}
