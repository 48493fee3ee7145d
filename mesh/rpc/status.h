/* status.h -- What a failed call says: google.rpc.Status with exactly one google.rpc.ErrorInfo; a google.rpc.BadRequest where a field broke a rule; and a google.rpc.RetryInfo when
 * it is BUSY: what waits must get less first.
 *
 * The ErrorInfo is what programs read: the reason is the error's name or a domain's own, the domain
 * is "sagamesh", and its metadata has `field` and `rule` where a request broke a rule,
 * `nothing_done` = "true" where the same call may simply be made again, `stored` = "true" where a
 * refusal is the recorded decision of that id, and of a refusal `service`: who decided (what it means is
 * meaning.h's to say). Code and message equal those of the call's headers.
 *
 * Thread    Plain data.
 * Memory    What is made lives in the arena; what is read is copied out.
 * Errors    Reading never fails: strangers may send anything, and what is not there is left empty.
 */
#ifndef MESH_RPC_STATUS_H
#define MESH_RPC_STATUS_H

#include "mesh/base/arena.h"
#include "mesh/base/error.h"

#include <google/rpc/status.pb-c.h>
#include <stddef.h>
#include <stdint.h>

#define RPC_STATUS_DOMAIN "sagamesh"
#define RPC_STATUS_KEY "grpc-status-details-bin" /* of the trailing metadata */

/* The ErrorInfo of a status, as far as we read it. Longer texts are cut. */
struct rpc_error_info {
    char reason[32]; /* "" when the status has no ErrorInfo */
    char domain[64];
    char field[64];
    char rule[192];
    char service[64];
    bool nothing_done;
    bool is_stored;
    int64_t retry_us; /* of the RetryInfo, 5 s at most; 0: there is none */
};

/* grpc-message of a problem: its own sentence, behind its field where a request broke a rule; else the error's. */
char *rpc_status_message(const struct problem *problem, struct arena *arena);

/* problem.error must not be ERR_OK; the problem need not outlive the call. service: of the method that was
 * asked; NULL: there is none here. */
Google__Rpc__Status *rpc_status_make(const struct problem *problem, const char *service,
                                     struct arena *arena);

/* The same, serialized; returns the number of bytes. */
size_t rpc_status_pack(const struct problem *problem, const char *service, struct arena *arena,
                       uint8_t **ret_bytes);

/* Of a status that is a message already (an envelope's item); NULL says nothing. */
void rpc_status_read(const Google__Rpc__Status *status, struct rpc_error_info *ret_info);

/* Of grpc-status-details-bin. */
void rpc_status_unpack(const uint8_t *bytes, size_t count, struct rpc_error_info *ret_info);

#endif
