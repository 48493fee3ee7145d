/* meaning.h -- What a caller may conclude from an answer.
 *
 * Four things, and no code says them alone: a proxy, a wrong address, a clock, an old version answer with
 * the same codes as a service that decides. So a refusal is the own decision of the service that was asked.
 *
 *   of a mesh service   an ErrorInfo of our domain that names this very service
 *   of a foreign one    an ErrorInfo of a domain of its own; without one, a code that no library and no
 *                       proxy makes up: NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION, OUT_OF_RANGE
 *
 * A call with any other error was not done for sure (the ErrorInfo says so) or may have been done, and is
 * asked again. That an *earlier* attempt may have happened is the caller's to weigh: was_unknown.
 *
 * Thread    Pure.
 */
#ifndef MESH_RPC_MEANING_H
#define MESH_RPC_MEANING_H

#include "mesh/base/error.h"

#include <stdbool.h>

enum rpc_meaning {
    RPC_UNKNOWN,  /* it may have happened */
    RPC_DONE,     /* OK */
    RPC_REFUSED,  /* a decision: nothing was done, and asking again will not change it */
    RPC_NOT_DONE, /* nothing was done; ask again */
};

struct rpc_answer {
    enum wire_code code;
    const char *reason, *domain; /* of the ErrorInfo; "" when there is none */
    const char *service;         /* who decided, as its ErrorInfo says; or "" */
    bool nothing_done;
};

/* method: "sagamesh.storage.v1.StorageService/Reserve", as it was asked. */
enum rpc_meaning rpc_meaning_of(const struct rpc_answer *answer, const char *method, bool is_mesh);

#endif
