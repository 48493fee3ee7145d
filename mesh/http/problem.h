/* problem.h -- Errors as HTTP callers read them: application/problem+json (RFC 9457).
 *
 * The server's own refusals, the answers of handlers and those of the sandbox's provider are all written here.
 *
 * Thread    Plain data.
 * Memory    A problem's texts are literals, or live until it was written.
 */
#ifndef MESH_HTTP_PROBLEM_H
#define MESH_HTTP_PROBLEM_H

#include "mesh/base/json.h"

#define HTTP_PROBLEM_TYPE "application/problem+json"

struct http_problem {
    int status;
    const char *code;   /* for programs: "NO_SUCH_ORDER"; NULL: the status in capitals */
    const char *detail; /* the rule that was broken, or the reason */
    /* RFC 6901, to the body's member at fault; "" the whole body; NULL: none. The detail of a 400 is a rule then, "must be 1 to
     * 100", and the answer's names the member before it: "items[0].quantity must be 1 to 100". */
    const char *pointer;
    const char *const *headers; /* "Name: value" lines of the answer, ended by NULL; may be NULL */
};

/* Headers of those who are to come again: "Retry-After: 1". */
extern const char *const http_retry_soon[];

/* Writes the object but for its end, so that a program may put members of its own before it closes it.
 * traceparent: the request's, "" or NULL: there is none. */
void http_problem_open(struct json_writer *json, const struct http_problem *problem,
                       const char *traceparent);

#endif
