/* problem.c -- The members of RFC 9457, and ours: code for programs, trace_id for the one who looks into logs,
 * errors for forms. */
#include "mesh/http/problem.h"
#include "mesh/base/arena.h"
#include "mesh/http/http1.h"
#include "mesh/observe/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* "/items/0/quantity" as people write it: items[0].quantity. at has room for twice the pointer. */
static char *
member_print(const char *pointer, char *at)
{
    bool is_first = true;

    for (; *pointer == '/'; is_first = false) {
        size_t bytes = strcspn(++pointer, "/");
        bool is_index = bytes > 0 && strspn(pointer, "0123456789") == bytes && !is_first;

        if (is_index)
            *at++ = '[';
        else if (!is_first)
            *at++ = '.';
        for (; bytes > 0; bytes--, pointer++) {
            bool is_escaped = pointer[0] == '~' && bytes > 1;

            pointer += is_escaped;
            bytes -= is_escaped;
            *at++ = !is_escaped ? *pointer : *pointer == '1' ? '/' : '~';
        }
        if (is_index)
            *at++ = ']';
    }
    return at;
}

/* A rule needs its subject: the member that broke it, or the body. */
static void
detail_put(struct json_writer *json, const struct http_problem *problem)
{
    size_t rule_bytes = strlen(problem->detail) + 1;
    char *text, *end;

    if (problem->pointer == NULL || problem->status != 400) {
        json_put_text(json, "detail", problem->detail);
        return;
    }
    text = memory_take(2 * strlen(problem->pointer) + sizeof "the body " + rule_bytes);
    end = problem->pointer[0] == '/' ? member_print(problem->pointer, text)
                                     : text + sprintf(text, "the body");
    *end++ = ' ';
    memcpy(end, problem->detail, rule_bytes);
    json_put_text(json, "detail", text);
    free(text);
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
    detail_put(json, problem);
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
