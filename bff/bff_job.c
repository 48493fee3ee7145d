#include "bff/bff_job.h"
#include "mesh/base/log.h"
#include "mesh/pb/message.h"

#include <assert.h>
#include <string.h>

enum { ATTEMPTS_MAX = 3, ATTEMPT_US = 2 * SECOND_US };

struct job *
job_open(struct http_exchange *exchange)
{
    struct job *job = arena_take(exchange->arena, sizeof *job);

    job->exchange = exchange;
    job->arena = exchange->arena;
    job->bff = exchange->owner;
    return job;
}

struct job *
job_open_with_token(struct http_exchange *exchange)
{
    struct job *job = job_open(exchange);

    assert(exchange->admitted != NULL); /* the table has bff's gate */
    job->principal = *(const struct principal *)exchange->admitted;
    return job;
}

/* The orchestrator's calls about an order have its id's bytes as their key. */
void
job_about(struct job *job, const char *id)
{
    struct uuid uuid;

    if (uuid_parse(id, strlen(id), &uuid))
        job->key = rpc_key(&uuid, sizeof uuid);
    else
        job->key = rpc_key(id, strlen(id));
}

bool
job_may_act_for(struct job *job, const char *customer_id, const char *pointer)
{
    if (job->principal.is_operator || strcmp(job->principal.customer_id, customer_id) == 0)
        return true;
    http_answer_problem(job->exchange,
                        &(struct http_problem){ .status = 403,
                                                .code = "NOT_YOURS",
                                                .detail = "this token is of another customer",
                                                .pointer = pointer });
    return false;
}

/* ---- calls ---- */

static void
call_done(void *owner, const void *context, const struct rpc_result *result,
          const ProtobufCMessage *reply)
{
    struct job *job = owner;
    struct log_trace before = log_trace_begin(job->exchange->traceparent);

    (void)context, (void)reply;
    job->answered(job, result); /* the job may be over and gone */
    log_trace_end(&before);
}

static void
call(struct job *job, int service, struct rpc_post post,
     void (*answered)(struct job *job, const struct rpc_result *result))
{
    job->method = post.method;
    job->answered = answered;
    post.key = job->key;
    post.traceparent = job->exchange->traceparent;
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
    http_answer_problem(
        job->exchange,
        &(struct http_problem){ .status = 500,
                                .code = "INTERNAL",
                                .detail = "an answer behind this one could not be read" });
    return NULL;
}
