/* bff.h -- What a frontend and payment providers talk to: HTTP and JSON in front of the services.
 *
 * A request is a job. It is read strictly and checked on the loop thread of its HTTP server; then
 * gRPC calls go out, one at a time, and each answer comes on the client's thread, where the next call
 * is sent or the request is answered. Nothing blocks, and nothing is kept here: what must outlive this
 * process is in the services before a 2xx leaves.
 *
 *     routes (bff_routes.c) -> handler -> job_send -> ... -> job_answer
 *
 * Thread    A job is with one thread at a time: handing it to job_send() or answering it gives it away.
 * Memory    A job and all it needs live in its exchange's arena, until it is answered.
 * Errors    Every failure ends in job_problem() or job_fail(): application/problem+json.
 * Units     *_us microseconds.
 */
#ifndef BFF_H
#define BFF_H

#include "bff/bff_auth.h"
#include "bff/bff_body.h"
#include "bff/bff_field.h"
#include "mesh/base/json.h"
#include "mesh/http/server.h"
#include "mesh/rpc/clock_watch.h"
#include "mesh/rpc/post.h"

#include <protobuf-c/protobuf-c.h>
#include <stdatomic.h>

/* The services behind. */
enum { BFF_ORDER, BFF_STORAGE, BFF_ACCOUNT, BFF_SAGA, BFF_SERVICE_COUNT };

struct metrics;
struct watchers;

struct bff {
    struct rpc_client *clients[BFF_SERVICE_COUNT];
    struct auth *auth;
    struct metrics *metrics;
    struct watchers *watchers;
    struct http_server *server, *webhooks;
    struct clock_watch *clock;
    atomic_bool is_stopping; /* /readyz says so */
    int64_t place_wait_ms;
    /* Of bff_health.c: when each service last said that it serves, by clock_steady_us(); 0: never, or
     * it said no. */
    atomic_int_fast64_t served_us[BFF_SERVICE_COUNT];
};

extern const char *const bff_service_names[BFF_SERVICE_COUNT];

/* ---- routes ---- */

extern const struct http_route bff_routes[];
extern const struct http_route bff_webhook_routes[];

void order_place(struct http_exchange *exchange);
void order_get(struct http_exchange *exchange);
void order_list(struct http_exchange *exchange);
void order_cancel(struct http_exchange *exchange);
void order_returned(struct http_exchange *exchange);
void product_list(struct http_exchange *exchange);
void wallet_get(struct http_exchange *exchange);
void wallet_top_up(struct http_exchange *exchange);
void webhook_take(struct http_exchange *exchange);
void health_live(struct http_exchange *exchange);
void health_ready(struct http_exchange *exchange);
void metrics_show(struct http_exchange *exchange);
void openapi_show(struct http_exchange *exchange);

/* ---- jobs ---- */

struct job {
    struct http_exchange *exchange;
    struct bff *bff;
    struct arena *arena; /* the exchange's */
    struct principal principal;
    void *state; /* the handler's own */
    const struct field_name
        *fields;        /* what a service refuses, in the words of this request; or NULL */
    const char *method; /* of the call under way, */
    void (*answered)(struct job *job, const struct rpc_result *result); /* and what follows it */
    int64_t began_us;
};

struct job *job_open(struct http_exchange *exchange);

/* The same for a route that admits only who shows a token: with the principal. */
struct job *job_open_with_token(struct http_exchange *exchange);

/* The admission of such routes: 401 before a body is read. */
bool bearer_admit(struct http_exchange *exchange, struct http_refusal *ret_refusal);

/* May this caller act for customer_id? Else 403 was answered. */
bool job_may_act_for(struct job *job, const char *customer_id, const char *pointer);

/* Reads the body by a table into *values. False: 400 was answered. */
bool job_read_body(struct job *job, const struct body_field *fields, void *values);

/* For requests that say all by their path: nothing, or a JSON object, whatever is in it. False: 400
 * was answered. */
bool job_ignore_body(struct job *job);

/* The Idempotency-Key, in the arena. NULL: 400 was answered. */
const char *job_read_key(struct job *job);

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

/* Answers with what was written, which is freed. */
void job_answer(struct job *job, int status, struct json_writer *json, const char *const *headers);
void job_answer_bytes(struct job *job, int status, const char *content_type, const char *body,
                      size_t body_bytes, const char *const *headers);

/* pointer: RFC 6901, to the member of the body at fault; "" the body itself; NULL: none. */
void job_problem(struct job *job, int status, const char *code, const char *pointer,
                 const char *detail, const char *const *headers);

/* What a failed call is to the one who asked. */
void job_fail(struct job *job, const struct rpc_result *result);

/* The same, and when it makes sense to ask again it is after so long. */
enum { RETRY_SECONDS = 1 };
void job_fail_for(struct job *job, const struct rpc_result *result, int retry_seconds);

/* ---- parts ---- */

/* "" is fine: 0 is returned by *ret_number. False: 400 was answered. */
bool job_read_page_size(struct job *job, int32_t *ret_size);
const char *job_read_query(struct job *job, const char *name); /* "" when there is none */

/* Is each query parameter one of names (ended by NULL), there once, with a value that can be read?
 * Else 400 was answered. To take a broken one for absent would show everybody's orders for one's. */
bool job_check_query(struct job *job, const char *const *names);

struct metrics *metrics_new(void);
struct metrics *metrics_free(struct metrics *metrics);
void metrics_count(struct metrics *metrics, const struct http_route *route, int status,
                   int64_t took_us);

/* What a webhook of a provider that is known came to: an ObserveOutcome's name, or BAD_SIGNATURE. */
void metrics_count_webhook(struct metrics *metrics, const char *provider_name, const char *outcome);

/* Somebody looks at an order that waits for this payment. */
struct watchers *watchers_new(void);
struct watchers *watchers_free(struct watchers *watchers);
void watchers_look(struct bff *bff, const char *payment_id, const char *traceparent);

/* Asks every service whether it serves. Once a second, by the main thread. */
void health_probe(struct bff *bff);

#endif
