/* problem.c -- The members of RFC 9457, and ours: code for programs, trace_id for the one who looks into logs,
 * errors for forms. */
#include "mesh/http/problem.h"
#include "mesh/http/http1.h"
#include "mesh/observe/trace.h"

#include <stdio.h>

enum { CODE_BYTES = 64 };

const char *const http_retry_soon[] = { "Retry-After: 1", NULL };

/* "Not Found" -> NOT_FOUND */
static const char *
code_of(int status, char code[CODE_BYTES])
{
    snprintf(code, CODE_BYTES, "%s", http_status_text(status));
    for (char *at = code; *at != '\0'; at++) {
        if (*at >= 'a' && *at <= 'z')
            *at = (char)(*at - 32);
        else if (*at < 'A' || *at > 'Z')
            *at = '_';
    }
    return code;
}

/* The type is about:blank, so the title is the status in words (RFC 9457, 4.2.1). */
void
http_problem_open(struct json_writer *json, const struct http_problem *problem,
                  const char *traceparent)
{
    char code[CODE_BYTES], trace[TRACE_ID_BYTES + 1];

    json_open_object(json, NULL);
    json_put_text(json, "type", "about:blank");
    json_put_text(json, "title", http_status_text(problem->status));
    json_put_int(json, "status", problem->status);
    json_put_text(json, "detail", problem->detail);
    json_put_text(json, "code",
                  problem->code == NULL ? code_of(problem->status, code) : problem->code);
    if (traceparent != NULL && trace_id(traceparent, trace))
        json_put_text(json, "trace_id", trace);
    if (problem->pointer == NULL)
        return;
    json_open_array(json, "errors");
    json_open_object(json, NULL);
    json_put_text(json, "pointer", problem->pointer);
    json_put_text(json, "detail", problem->detail);
    json_close_object(json);
    json_close_array(json);
}
