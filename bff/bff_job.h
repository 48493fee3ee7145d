/* bff_job.h -- One request at work.
 *
 * A request is a job. It is read strictly and checked on the loop thread of its HTTP server; then gRPC calls
 * go out, one at a time, and each answer comes on the client's thread, where the next call is sent or the
 * request is answered. Nothing blocks.
 *
 *     route -> handler -> job_send -> ... -> http_answer_json
 *
 * Thread    A job is with one thread at a time: handing it to job_send() or answering it gives it away.
 * Memory    A job and all it needs live in its exchange's arena, until the exchange is answered.
 * Errors    Every failure ends in http_answer_problem() or job_fail().
 * Units     *_us microseconds.
 */
#ifndef BFF_JOB_H
#define BFF_JOB_H

#include "bff/bff.h"
#include "mesh/http/field.h"
#include "mesh/http/read.h"
#include "mesh/rpc/post.h"

struct job {
    struct http_exchange *exchange;
    struct bff *bff;
    struct arena *arena; /* the exchange's */
    struct principal principal;
    void *state; /* the handler's own */
    const struct field_name
        *fields;  /* what a service refuses, in the words of this request; or NULL */
    uint64_t key; /* of what its calls are about, so that one replica is asked of it (job_about) */
    const char *method;                                                 /* of the call under way, */
    void (*answered)(struct job *job, const struct rpc_result *result); /* and what follows it */
};

struct job *job_open(struct http_exchange *exchange);

/* The same for a table with bff's gate: with the principal. */
struct job *job_open_with_token(struct http_exchange *exchange);

/* The calls from now on are about the order of this id; another text is a key by itself. */
void job_about(struct job *job, const char *id);

/* May this caller act for customer_id? Else 403 was answered. */
bool job_may_act_for(struct job *job, const char *customer_id, const char *pointer);

/* Sends a message, packed before this returns, to a method ("sagamesh.order.v1.OrderService/Get"),
 * with three attempts of 2 s. answered() is called on the client's thread. */
void job_send(struct job *job, int service, const char *method, const ProtobufCMessage *message,
              void (*answered)(struct job *job, const struct rpc_result *result));

/* The same for a call whose answer may be large: a full envelope of them would be more than fits. */
void job_send_alone(struct job *job, int service, const char *method,
                    const ProtobufCMessage *message,
                    void (*answered)(struct job *job, const struct rpc_result *result));

/* The same for a call that waits on purpose, up to wait_ms: alone, once. */
void job_send_waiting(struct job *job, int service, const char *method,
                      const ProtobufCMessage *message, int wait_ms,
                      void (*answered)(struct job *job, const struct rpc_result *result));

/* The reply, in the arena. NULL: the call failed, or its reply is no such message, and that has been
 * answered. */
const void *job_reply(struct job *job, const struct rpc_result *result,
                      const ProtobufCMessageDescriptor *descriptor);

/* What a failed call is to the one who asked (bff_fail.c). */
void job_fail(struct job *job, const struct rpc_result *result);

/* The same, and when it makes sense to ask again it is after so long. */
enum { RETRY_SECONDS = 1 };
void job_fail_for(struct job *job, const struct rpc_result *result, int retry_seconds);

#endif
