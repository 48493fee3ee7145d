/* server_answer.c -- What handlers answer, on the thread that answers: counted, coded, handed to the loop. */
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/gzip.h"
#include "mesh/base/log.h"
#include "mesh/http/server_inner.h"

#include <stdlib.h>
#include <string.h>

static struct work *
work_of(struct http_exchange *exchange)
{
    return (struct work *)((char *)exchange - offsetof(struct work, exchange));
}

/* The lines of an answer that may be coded: caches must know, and a strong tag is of one form only. */
static const char *const *
coded_headers(struct arena *arena, const char *const *headers, bool is_coded)
{
    const char **lines;
    size_t count = 0;

    while (headers != NULL && headers[count] != NULL)
        count++;
    lines = arena_take(arena, (count + 3) * sizeof *lines);
    for (size_t i = 0; i < count; i++) {
        lines[i] = headers[i];
        if (is_coded && strncmp(lines[i], "ETag: \"", 7) == 0)
            lines[i] = arena_print(arena, "ETag: W/%s", lines[i] + 6);
    }
    lines[count++] = "Vary: Accept-Encoding";
    if (is_coded)
        lines[count] = "Content-Encoding: gzip";
    return lines;
}

/* Is it JSON, or the 304 that stands for it? */
static bool
may_be_coded(const struct http_server *server, int status, const char *content_type)
{
    if (!server->options.has_gzip)
        return false;
    return content_type == NULL ? status == 304 : strstr(content_type, "json") != NULL;
}

static void
log_answer(const struct http_exchange *exchange, int status)
{
    struct log_trace before = log_trace_begin(exchange->traceparent);

    log_debug("event=HTTP_ANSWERED http=%s route=%s status=%d ms=%lld", exchange->route->method,
              exchange->route->path, status,
              (long long)(clock_steady_us() - exchange->began_us) / 1000);
    log_trace_end(&before);
}

void
http_answer(struct http_exchange *exchange, int status, const char *content_type, const char *body,
            size_t body_bytes, const char *const *headers)
{
    struct work *work = work_of(exchange);
    const struct http_server *server = work->server;
    struct reply *reply;
    char *packed = NULL;

    work->status = status;
    server_count_answer(work, status);
    log_answer(exchange, status);
    if (may_be_coded(server, status, content_type)) {
        if (body_bytes >= GZIP_BYTES_MIN &&
            gzip_is_accepted(http_header_find(exchange->request, "accept-encoding")))
            packed = gzip_pack(body, body_bytes, &body_bytes);
        headers = coded_headers(exchange->arena, headers, packed != NULL);
    }
    reply = reply_new(exchange->request, status, content_type, packed == NULL ? body : packed,
                      body_bytes, headers);
    free(packed);
    work_answer(work, reply);
}

void
http_answer_json(struct http_exchange *exchange, int status, struct json_writer *json,
                 const char *const *headers)
{
    struct json_writer written = *json; /* which may live in the exchange's arena */

    http_answer(exchange, status, "application/json", written.text, written.bytes, headers);
    json_writer_free(&written);
}

void
http_answer_problem(struct http_exchange *exchange, const struct http_problem *problem)
{
    struct json_writer json = { 0 };

    http_problem_open(&json, problem, exchange->traceparent);
    json_close_object(&json);
    http_answer(exchange, problem->status, HTTP_PROBLEM_TYPE, json.text, json.bytes,
                problem->headers);
    json_writer_free(&json);
}

void
http_drop(struct http_exchange *exchange)
{
    work_answer(work_of(exchange), NULL);
}
