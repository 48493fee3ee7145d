/* server.h -- HTTP/1.1 on epoll: tables of routes, answers from any thread.
 *
 * One loop thread owns all connections. A request that matches a route is handed to its handler on the
 * loop thread; the handler must not block: it answers at once, or later from any thread. An answer
 * that comes after its client has gone is dropped. Pipelined requests are answered in order, one at a
 * time. With a set of certificates (https.h) it speaks TLS; HTTP/2 is a front proxy's.
 *
 * Thread    http_server_open/stop/close: main. http_answer: any, exactly once per exchange.
 * Memory    An exchange and its arena live until http_answer(), also when its client, its deadline or
 *           the server has gone meanwhile; the request's texts too.
 * Errors    What the server answers by itself is application/problem+json: 400, 404, 405 with Allow,
 *           408, 413, 414, 415, 417, 431, 501, 503 with Retry-After (too many connections, or bodies
 *           beyond the budget), 504, 505; and what a table's gate says.
 * Units     *_ms milliseconds, *_bytes bytes. Deadlines are absolute per phase, never renewed per byte.
 */
#ifndef MESH_HTTP_SERVER_H
#define MESH_HTTP_SERVER_H

#include "mesh/base/error.h"
#include "mesh/http/http1.h"
#include "mesh/http/problem.h"
#include "mesh/http/route.h"

struct http_server;
struct https;
struct metrics;

/* A request being answered. */
struct http_exchange {
    const struct http_request *request;
    const struct http_route *route;
    struct arena *arena; /* of the exchange: the handler's to use until it answers */
    const char *parameters[HTTP_PARAMETERS_MAX]; /* of {braces} in the route's path, %-decoded */
    const char *remote_address;                  /* "127.0.0.1" */
    char traceparent[56];                        /* the client's when valid, else a new one */
    void *owner;                                 /* the table's */
    void *admitted;                              /* what the table's gate left for the handler */
    int64_t began_us;                            /* clock_steady_us() when the handler got it */
};

struct http_server_options {
    const char *listen;              /* "127.0.0.1:8080"; port 0 picks a free one */
    const struct http_table *tables; /* ends with one of zeros */
    struct metrics *metrics;         /* that it counts in, and outlives it; NULL: it does not */
    const char *name;                /* its port's among the metrics' labels */
    struct https *https;             /* its certificates, which outlive it; NULL: it speaks plain */
    /* JSON of handlers is coded for those who take gzip, from GZIP_BYTES_MIN on; with a "Vary" in any
     * case */
    bool has_gzip;
    size_t connections_max; /* one more is answered 503 and closed; 0: 10,000 */
    size_t share_max; /* beyond it one more takes an idle one's place, or is closed; 0: none */
    size_t bodies_bytes_max; /* of all bodies in memory; what comes beyond it is 503. 0: 64 MiB */
    int head_timeout_ms; /* from the first byte to the end of the headers; the handshake; 0: 10 s */
    int body_timeout_ms; /* for the whole body, and for taking an answer; 0: 30 s */
    int idle_timeout_ms; /* between requests; 0: 60 s */
};

/* ERR_BAD_REQUEST: listen is no address, or the tables are refused (route.h). ERR_UNREACHABLE: it cannot be
 * listened on. All are logged. */
enum error http_server_open(const struct http_server_options *options,
                            struct http_server **ret_server);
int http_server_port(const struct http_server *server);

/* Answers the exchange, which is gone afterwards. headers are "Name: value" lines, ended by NULL; may
 * be NULL. Body and headers are copied. Content-Length, Date, Connection are the server's. HEAD is
 * answered without the body. */
void http_answer(struct http_exchange *exchange, int status, const char *content_type,
                 const char *body, size_t body_bytes, const char *const *headers);

/* The same with what was written, which is freed. */
void http_answer_json(struct http_exchange *exchange, int status, struct json_writer *json,
                      const char *const *headers);

void http_answer_problem(struct http_exchange *exchange, const struct http_problem *problem);

/* Instead of an answer: the connection is closed without a word. For those who play a broken peer. */
void http_drop(struct http_exchange *exchange);

/* No new connections; requests in flight are answered with `connection: close`; at the latest after
 * grace_ms everything is closed. */
void http_server_stop(struct http_server *server, int grace_ms);

/* Waits for the end of the grace, or stops at once. NULL is fine. Returns NULL. */
struct http_server *http_server_close(struct http_server *server);

struct http_server_counters {
    uint64_t connections;
    uint64_t requests; /* all that were answered, or are with a handler */
    uint64_t refused;  /* answered before any handler; connections that were closed at once, too */
    uint64_t timeouts, dropped, handshakes_failed;
    uint64_t open, bodies_bytes; /* now */
};
void http_server_count(const struct http_server *server, struct http_server_counters *ret_counters);

/* How many answers of this status the server gave by itself: refusals, and 504 for a late handler. */
enum { HTTP_OWN_STATUS_MIN = 400, HTTP_OWN_STATUS_END = 600 };
uint64_t http_server_count_own(const struct http_server *server, int status);

#endif
