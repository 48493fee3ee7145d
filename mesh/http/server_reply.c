/* server_reply.c -- Answers as bytes, made on the thread that answers. */
#include "mesh/base/arena.h"
#include "mesh/http/server_inner.h"

#include <stdio.h>
#include <string.h>

/* What would end a header line early is a letter of somebody's text: it becomes a space. */
static char *
line_put(char *at, const char *line)
{
    for (; *line != '\0'; line++)
        *at++ = (unsigned char)*line < 0x20 && *line != '\t' ? ' ' : *line;
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

static size_t
lines_bytes(const char *const *lines)
{
    size_t bytes = 0;

    for (; lines != NULL && *lines != NULL; lines++)
        bytes += strlen(*lines) + 2;
    return bytes;
}

struct reply *
reply_new(const struct http_request *request, int status, const char *content_type,
          const char *body, size_t body_bytes, const char *const *headers)
{
    bool has_length = status >= 200 && status != 204 && status != 304;
    bool is_head =
        request != NULL && request->method != NULL && strcmp(request->method, "HEAD") == 0;
    size_t sent_bytes = has_length && !is_head ? body_bytes : 0;
    size_t type_bytes = content_type == NULL ? 0 : strlen(content_type);
    struct reply *reply =
        memory_take(sizeof *reply + 160 + type_bytes + lines_bytes(headers) + sent_bytes);
    char *at = reply->text, line[64];

    snprintf(line, sizeof line, "HTTP/1.1 %d %s", status, http_status_text(status));
    at = line_put(at, line);
    if (type_bytes > 0 && has_length) {
        memcpy(at, "Content-Type: ", 14);
        at = line_put(at + 14, content_type);
    }
    if (has_length) {
        snprintf(line, sizeof line, "Content-Length: %zu", body_bytes);
        at = line_put(at, line);
    }
    for (; headers != NULL && *headers != NULL; headers++)
        at = line_put(at, *headers);
    reply->head_bytes = (size_t)(at - reply->text);
    reply->body_bytes = sent_bytes;
    if (sent_bytes > 0)
        memcpy(at, body, sent_bytes);
    return reply;
}

struct reply *
reply_problem(const struct http_request *request, const char *traceparent,
              const struct http_problem *problem)
{
    struct json_writer json = { 0 };
    struct reply *reply;

    http_problem_open(&json, problem, traceparent);
    json_close_object(&json);
    reply = reply_new(request, problem->status, HTTP_PROBLEM_TYPE, json.text, json.bytes,
                      problem->headers);
    json_writer_free(&json);
    return reply;
}
