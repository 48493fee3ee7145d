/* bff_fail.c -- What a failed call behind us is to the one who asked over HTTP. */
#include "bff/bff_job.h"
#include "mesh/base/log.h"
#include "mesh/base/utf8.h"
#include "mesh/rpc/status.h"

#include <string.h>

/* For reasons that are none of ours: a domain's own, or a foreign service. gRPC's own mapping
 * (google.rpc.code.proto), but that a rule of a domain is a conflict with the state, not a bad request. */
/* clang-format off */
static const int statuses[] = {
    [WIRE_OK] = 200,                  [WIRE_CANCELLED] = 503,         [WIRE_UNKNOWN] = 500,
    [WIRE_INVALID_ARGUMENT] = 400,    [WIRE_DEADLINE_EXCEEDED] = 504, [WIRE_NOT_FOUND] = 404,
    [WIRE_ALREADY_EXISTS] = 409,      [WIRE_PERMISSION_DENIED] = 403, [WIRE_RESOURCE_EXHAUSTED] = 429,
    [WIRE_FAILED_PRECONDITION] = 409, [WIRE_ABORTED] = 409,           [WIRE_OUT_OF_RANGE] = 400,
    [WIRE_UNIMPLEMENTED] = 503,       [WIRE_INTERNAL] = 500,          [WIRE_UNAVAILABLE] = 503,
    [WIRE_DATA_LOSS] = 500,           [WIRE_UNAUTHENTICATED] = 401,
};
static const char *const codes[] = {
    [WIRE_OK] = "OK",                                   [WIRE_CANCELLED] = "STOPPING",
    [WIRE_UNKNOWN] = "UNCERTAIN",                       [WIRE_INVALID_ARGUMENT] = "BAD_REQUEST",
    [WIRE_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",     [WIRE_NOT_FOUND] = "NOT_FOUND",
    [WIRE_ALREADY_EXISTS] = "ID_REUSED",                [WIRE_PERMISSION_DENIED] = "PERMISSION_DENIED",
    [WIRE_RESOURCE_EXHAUSTED] = "BUSY",                 [WIRE_FAILED_PRECONDITION] = "REFUSED",
    [WIRE_ABORTED] = "CONFLICT",                        [WIRE_OUT_OF_RANGE] = "BAD_REQUEST",
    [WIRE_UNIMPLEMENTED] = "UNIMPLEMENTED",             [WIRE_INTERNAL] = "INTERNAL",
    [WIRE_UNAVAILABLE] = "UNAVAILABLE",                 [WIRE_DATA_LOSS] = "INTERNAL",
    [WIRE_UNAUTHENTICATED] = "UNAUTHENTICATED",
};
/* clang-format on */

/* ERR_OK: none of ours has this name. */
static enum error
error_of(const struct rpc_result *result)
{
    if (strcmp(result->domain, RPC_STATUS_DOMAIN) != 0)
        return ERR_OK;
    for (int error = ERR_OK + 1; error < ERR_COUNT; error++) {
        if (strcmp(result->reason, error_name((enum error)error)) == 0)
            return (enum error)error;
    }
    return ERR_OK;
}

/* A client's error only if the service that was asked has decided so: what a proxy, a wrong address or
 * another version says is trouble behind us, and may be over in a moment. */
static int
status_of(const struct rpc_result *result)
{
    enum error error = error_of(result);
    bool is_decided = result->meaning == RPC_REFUSED;
    int status;

    if (error != ERR_OK && (is_decided || error_kind(error) != ERROR_KIND_REFUSAL))
        return error_http_status(error);
    status = result->code <= WIRE_UNAUTHENTICATED ? statuses[result->code] : 500;
    return is_decided || status >= 500 ? status : 503;
}

/* A service names its own field before its rule; where the browser's name of it is known, the rule is taken alone. */
static const char *
detail_of(const struct rpc_result *result, bool has_name, struct arena *arena)
{
    const char *text = result->message;
    size_t bytes = strlen(result->field);

    if (text[0] == '\0')
        return "refused";
    if (has_name && strncmp(text, result->field, bytes) == 0 && text[bytes] == ' ')
        text += bytes + 1;
    return utf8_repair(text, arena); /* it may be cut */
}

void
job_fail(struct job *job, const struct rpc_result *result)
{
    job_fail_for(job, result, RETRY_SECONDS);
}

void
job_fail_for(struct job *job, const struct rpc_result *result, int retry_seconds)
{
    const char *again[] = { arena_print(job->arena, "Retry-After: %d", retry_seconds), NULL };
    int status = status_of(result);
    const char *pointer;
    const struct field_name *name =
        field_name_find(job->fields, result->field, job->arena, &pointer);
    const char *detail = detail_of(result, name != NULL, job->arena);
    const char *code = result->reason[0] != '\0'              ? result->reason
                       : result->code <= WIRE_UNAUTHENTICATED ? codes[result->code]
                                                              : "INTERNAL";

    if (status >= 500) {
        bool is_strange = result->meaning != RPC_REFUSED &&
                          (statuses[result->code] < 500 || result->code == WIRE_UNIMPLEMENTED);

        log_warn("method=%s status=%d code=%s because=\"%s\"", job->method, status, code,
                 result->message);
        /* The reason is for our log; a stranger learns whether to come again. */
        if (result->reason[0] == '\0' || is_strange)
            detail =
                "a service behind this one did not answer; ask again, with the same key if any";
        if (is_strange)
            code = "UNAVAILABLE";
    }
    if (name != NULL && name->parameter != NULL)
        detail = arena_print(job->arena, "the parameter %s %s", name->parameter, detail);
    http_answer_problem(
        job->exchange,
        &(struct http_problem){
            .status = status,
            .code = code,
            .detail = detail,
            .pointer = pointer,
            .headers = status == 429 || status == 503 || status == 504 ? again : NULL });
}
