#include "bff/bff.h"
#include "bff/bff_gzip.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/base/text.h"
#include "mesh/base/utf8.h"
#include "mesh/observe/trace.h"
#include "mesh/pb/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    ATTEMPTS_MAX = 3,
    ATTEMPT_US = 2 * SECOND_US,
    PARAMETERS_MAX = 8, /* that a route knows */
    NAME_SHOWN_BYTES_MAX = 64,
};

struct job *
job_open(struct http_exchange *exchange)
{
    struct job *job = arena_take(exchange->arena, sizeof *job);

    job->exchange = exchange;
    job->arena = exchange->arena;
    job->bff = exchange->owner;
    job->began_us = clock_steady_us();
    return job;
}

struct job *
job_open_with_token(struct http_exchange *exchange)
{
    struct job *job = job_open(exchange);

    assert(exchange->admitted != NULL); /* the row of the route has bearer_admit */
    job->principal = *(const struct principal *)exchange->admitted;
    return job;
}

bool
bearer_admit(struct http_exchange *exchange, struct http_refusal *ret_refusal)
{
    static const char *const challenge[] = { "WWW-Authenticate: Bearer", NULL };
    const struct bff *bff = exchange->owner;
    struct principal *principal = arena_take(exchange->arena, sizeof *principal);
    struct auth_refusal refusal;
    bool is_compared =
        clock_watch_is_compared(bff->clock); /* before the time is read: then that is right */

    exchange->admitted = principal;
    if (auth_check(bff->auth, http_header_find(exchange->request, "authorization"), clock_now_us(),
                   principal, &refusal))
        return true;
    if (refusal.is_by_time && !is_compared)
        *ret_refusal = (struct http_refusal){
            503, "UNAVAILABLE", "no other clock could be asked yet what time it is; ask again", NULL
        };
    else
        *ret_refusal = (struct http_refusal){ 401, "UNAUTHENTICATED", refusal.because, challenge };
    return false;
}

bool
job_may_act_for(struct job *job, const char *customer_id, const char *pointer)
{
    if (job->principal.is_operator || strcmp(job->principal.customer_id, customer_id) == 0)
        return true;
    job_problem(job, 403, "NOT_YOURS", pointer, "this token is of another customer", NULL);
    return false;
}

bool
job_read_body(struct job *job, const struct body_field *fields, void *values)
{
    const struct http_request *request = job->exchange->request;
    struct body_problem problem;

    if (body_read(request->body, request->body_bytes, fields, values, job->arena, &problem))
        return true;
    job_problem(job, 400, "BAD_REQUEST", problem.pointer, problem.detail, NULL);
    return false;
}

bool
job_ignore_body(struct job *job)
{
    const struct http_request *request = job->exchange->request;
    struct problem problem;
    bool is_object;
    json_t *json;

    if (request->body_bytes == 0)
        return true;
    if (json_read((const char *)request->body, request->body_bytes, "body", &problem, &json) !=
        ERR_OK) {
        job_problem(job, 400, "BAD_REQUEST", "", utf8_repair(problem.text, job->arena), NULL);
        return false;
    }
    is_object = json_is_object(json);
    json_decref(json);
    if (!is_object)
        job_problem(job, 400, "BAD_REQUEST", "", "must be an object, or no body at all", NULL);
    return is_object;
}

const char *
job_read_key(struct job *job)
{
    const char *header = http_header_find(job->exchange->request, "idempotency-key");
    const char *because = "is required here", *key = NULL;

    if (header[0] != '\0')
        key = idempotency_key_read(header, job->arena, &because);
    if (key == NULL)
        job_problem(job, 400, header[0] == '\0' ? "IDEMPOTENCY_KEY_MISSING" : "BAD_REQUEST", NULL,
                    arena_print(job->arena, "the header Idempotency-Key %s", because), NULL);
    return key;
}

const char *
job_read_query(struct job *job, const char *name)
{
    const char *value = http_query_find(job->exchange->request, name, job->arena);

    return value == NULL ? "" : value;
}

static const char *
parameter_fault(const struct http_parameter *parameter, const char *const *names,
                const char *const *seen, size_t seen_count)
{
    while (*names != NULL && strcmp(*names, parameter->name) != 0)
        names++;
    if (*names == NULL)
        return "is not known here";
    if (parameter->value == NULL)
        return "is not well escaped UTF-8";
    if (parameter->value[0] == '\0')
        return "has no value";
    for (size_t i = 0; i < seen_count; i++) {
        if (strcmp(seen[i], parameter->name) == 0)
            return "is there twice";
    }
    return NULL;
}

bool
job_check_query(struct job *job, const char *const *names)
{
    const char *at = job->exchange->request->query, *seen[PARAMETERS_MAX], *fault;
    struct http_parameter parameter;
    size_t count = 0; /* what got so far is known and there once */

    while (http_query_next(&at, job->arena, &parameter)) {
        fault = parameter_fault(&parameter, names, seen, count);
        if (fault != NULL) {
            job_problem(job, 400, "BAD_REQUEST", NULL,
                        arena_print(job->arena, "the parameter %.*s %s", NAME_SHOWN_BYTES_MAX,
                                    parameter.name, fault),
                        NULL);
            return false;
        }
        assert(count < PARAMETERS_MAX);
        seen[count++] = parameter.name;
    }
    return true;
}

bool
job_read_page_size(struct job *job, int32_t *ret_size)
{
    const char *text = job_read_query(job, "pageSize");
    int64_t size = 0;

    if (text[0] == '\0' || text_read_int(text, 1, PAGE_SIZE_MAX, &size)) {
        *ret_size = (int32_t)size;
        return true;
    }
    job_problem(job, 400, "BAD_REQUEST", NULL, "the parameter pageSize must be 1 to 1000", NULL);
    return false;
}

/* ---- calls ---- */

static void
call_done(void *owner, const void *context, const struct rpc_result *result,
          const ProtobufCMessage *reply)
{
    struct job *job = owner;
    char trace[TRACE_ID_BYTES + 1];

    (void)context, (void)reply;
    log_set_trace(trace_id(job->exchange->traceparent, trace) ? trace : NULL);
    job->answered(job, result);
    log_set_trace(NULL);
}

static void
call(struct job *job, int service, struct rpc_post post,
     void (*answered)(struct job *job, const struct rpc_result *result))
{
    char child[TRACEPARENT_BYTES + 1];

    trace_child(job->exchange->traceparent, child);
    job->method = post.method;
    job->answered = answered;
    post.traceparent = child;
    post.owner = job;
    post.done = call_done;
    rpc_post(job->bff->clients[service], &post);
}

void
job_send(struct job *job, int service, const char *method, const ProtobufCMessage *message,
         void (*answered)(struct job *job, const struct rpc_result *result))
{
    call(job, service,
         (struct rpc_post){ .method = method,
                            .message = message,
                            .timeout_us = ATTEMPT_US,
                            .attempts_max = ATTEMPTS_MAX },
         answered);
}

void
job_send_alone(struct job *job, int service, const char *method, const ProtobufCMessage *message,
               void (*answered)(struct job *job, const struct rpc_result *result))
{
    call(job, service,
         (struct rpc_post){ .method = method,
                            .message = message,
                            .timeout_us = ATTEMPT_US,
                            .attempts_max = ATTEMPTS_MAX,
                            .must_go_alone = true },
         answered);
}

void
job_send_waiting(struct job *job, int service, const char *method, const ProtobufCMessage *message,
                 int wait_ms, void (*answered)(struct job *job, const struct rpc_result *result))
{
    call(job, service,
         (struct rpc_post){ .method = method,
                            .message = message,
                            .timeout_us = ATTEMPT_US + wait_ms * INT64_C(1000),
                            .attempts_max = 1,
                            .must_go_alone = true },
         answered);
}

const void *
job_reply(struct job *job, const struct rpc_result *result,
          const ProtobufCMessageDescriptor *descriptor)
{
    ProtobufCMessage *message;
    struct problem problem;

    if (result->code != WIRE_OK) {
        job_fail(job, result);
        return NULL;
    }
    if (pb_message_unpack(descriptor, result->reply, result->reply_bytes, job->arena, &problem,
                          &message) == ERR_OK)
        return message;
    log_error("method=%s because=\"its reply cannot be read: %s\"", job->method, problem.text);
    job_problem(job, 500, "INTERNAL", NULL, "an answer behind this one could not be read", NULL);
    return NULL;
}

/* ---- answers ---- */

/* The lines of an answer that may be coded: caches must know, and a strong tag is of one form only. */
static const char *const *
coded_headers(struct job *job, const char *const *headers, bool is_coded)
{
    const char **lines;
    size_t count = 0;

    for (; headers != NULL && headers[count] != NULL;)
        count++;
    lines = arena_take(job->arena, (count + 3) * sizeof *lines);
    for (size_t i = 0; i < count; i++) {
        lines[i] = headers[i];
        if (is_coded && strncmp(lines[i], "ETag: \"", 7) == 0)
            lines[i] = arena_print(job->arena, "ETag: W/%s", lines[i] + 6);
    }
    lines[count++] = "Vary: Accept-Encoding";
    if (is_coded)
        lines[count] = "Content-Encoding: gzip";
    return lines;
}

void
job_answer_bytes(struct job *job, int status, const char *content_type, const char *body,
                 size_t body_bytes, const char *const *headers)
{
    const struct http_request *request = job->exchange->request;
    bool is_json = content_type == NULL ? status == 304 : strstr(content_type, "json") != NULL;
    char *packed = NULL;
    size_t packed_bytes;

    if (is_json && body_bytes >= GZIP_BYTES_MIN &&
        gzip_is_accepted(http_header_find(request, "accept-encoding")))
        packed = gzip_pack(body, body_bytes, &packed_bytes);
    if (is_json)
        headers = coded_headers(job, headers, packed != NULL);
    metrics_count(job->bff->metrics, job->exchange->route, status,
                  clock_steady_us() - job->began_us);
    if (packed != NULL)
        http_answer(job->exchange, status, content_type, packed, packed_bytes, headers);
    else
        http_answer(job->exchange, status, content_type, body, body_bytes, headers);
    free(packed);
}

void
job_answer(struct job *job, int status, struct json_writer *json, const char *const *headers)
{
    struct json_writer written = *json;

    job_answer_bytes(job, status, "application/json", written.text, written.bytes, headers);
    json_writer_free(&written);
}

void
job_problem(struct job *job, int status, const char *code, const char *pointer, const char *detail,
            const char *const *headers)
{
    struct json_writer json = { 0 };
    char trace[TRACE_ID_BYTES + 1];

    json_open_object(&json, NULL);
    json_put_text(&json, "type", "about:blank");
    json_put_text(&json, "title", http_status_text(status));
    json_put_int(&json, "status", status);
    json_put_text(&json, "detail", detail);
    json_put_text(&json, "code", code);
    if (trace_id(job->exchange->traceparent, trace))
        json_put_text(&json, "trace_id", trace);
    if (pointer != NULL) {
        json_open_array(&json, "errors");
        json_open_object(&json, NULL);
        json_put_text(&json, "pointer", pointer);
        json_put_text(&json, "detail", detail);
        json_close_object(&json);
        json_close_array(&json);
    }
    json_close_object(&json);
    job_answer_bytes(job, status, "application/problem+json", json.text, json.bytes, headers);
    json_writer_free(&json);
}
