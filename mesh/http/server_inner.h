/* server_inner.h -- The server's parts among themselves: connections, works, replies, routes.
 *
 *     HANDSHAKE -> HEADERS -> BODY -> WAIT -> SEND -> HEADERS | DRAIN        (HANDSHAKE: with TLS)
 *
 * A work is a request with its parser and arena. It is the connection's until a handler has it; then
 * it is the handler's until http_answer(), whatever becomes of the connection, which only clears
 * work->conn. So an answer can never reach a later request: each has a work of its own, and a work is
 * used again only after its answer was seen. (This is what generation numbers would be for.)
 *
 * Thread    Everything is the loop's, but what stands under the lock or is atomic, and a handed-out
 *           work's arena and reply.
 */
#ifndef MESH_HTTP_SERVER_INNER_H
#define MESH_HTTP_SERVER_INNER_H

#include "mesh/base/listen.h"
#include "mesh/http/server.h"
#include "mesh/http/stream.h"
#include "mesh/observe/span.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    RECEIVE_BYTES = 32 * 1024,
    WAITING_BYTES_MAX = 64 * 1024, /* of pipelined requests; then the socket is not read */
    LINGER_MS = 1000,              /* after our last byte: until the peer has taken it */
    LINGER_BYTES_MAX = 256 * 1024,
    HANDLER_MS = 30000,
    POOL_MAX = 64, /* works kept for the next requests */
    /* At once; each may make OpenSSL take 128 KiB for a first message that never comes whole. */
    HANDSHAKES_MAX = 512,
    HANDSHAKE_WORDS_MS = 10000, /* a line of the log about those that failed, at most */
    HTTP_STATUS_END = 600,
};

enum conn_state {
    CONN_HANDSHAKE,
    CONN_HEADERS,
    CONN_BODY,
    CONN_WAIT, /* for the handler's answer */
    CONN_SEND,
    CONN_DRAIN, /* everything said; what still comes is dropped */
    CONN_CLOSED,
};

/* An answer as bytes: head without the lines that only the loop knows, then the body. */
struct reply {
    size_t head_bytes, tail_bytes, body_bytes, sent_bytes;
    char tail[160]; /* Date, Strict-Transport-Security, Connection, and the empty line */
    char text[];    /* head, body */
};

struct work {
    struct work *next; /* in the pool, or among the answers */
    struct http_server *server;
    struct conn *conn; /* NULL: gone, or answered without the handler */
    struct http1 *http1;
    struct arena *arena;
    struct reply *reply; /* of http_answer() */
    size_t body_bytes;   /* of the server's budget */
    bool is_handed;      /* to the handler */
    const struct http_place *place;
    struct span span; /* the loop's */
    int status;       /* of the reply; 0: none */
    struct http_exchange exchange;
};

struct conn {
    struct conn *next, *before;
    struct http_server *server;
    struct work *work; /* NULL between requests: an idle connection has little memory */
    struct reply *reply;
    int64_t deadline_us;
    struct stream stream;
    enum conn_state state;
    uint32_t interest; /* of epoll */
    /* is_blocked: the answer waits until the socket takes bytes; reads_by_write: reading does, for TLS. */
    bool is_eof, must_close, is_blocked, reads_by_write, is_refusal, has_spoken;
    char *waiting; /* pipelined bytes */
    size_t waiting_start, waiting_end, waiting_size, drained_bytes;
    char remote_address[INET6_ADDRSTRLEN];
};

/* The counters of a route; its series are found once. */
struct route_count {
    _Atomic(struct metric_series *) answers[HTTP_STATUS_END]; /* by status */
    struct metric_series *duration;
};

struct http_server {
    struct http_server_options options;
    struct http_routes *routes;
    struct route_count *counts; /* of each of them; NULL without metrics */
    struct listen listen;
    int epoll_fd, event_fd;
    pthread_t loop, self; /* the same thread: main's to join, the loop's to know itself */

    pthread_mutex_t lock;
    struct work *answers, **answers_end; /* under lock, as the next three */
    int64_t grace_us;
    bool must_stop, is_over;
    atomic_size_t references; /* main, and each work with a handler */

    struct conn *conns, *dead; /* dead: freed at the end of the turn */
    struct work *pool;
    size_t pool_count, open_count, refusal_count, handshake_count;
    int64_t handshake_words_us;  /* when the log may say the next one that failed */
    int64_t now_us, earliest_us; /* of the turn; when a deadline may pass next */
    int64_t date_second;
    char date[112]; /* "Date: ...\r\n", and with TLS "Strict-Transport-Security: ...\r\n" */
    char hsts[64];  /* empty: not said */
    bool is_stopping;
    char bytes[RECEIVE_BYTES];

    atomic_uint_fast64_t connections, requests, refused, timeouts, dropped, handshakes_failed;
    atomic_uint_fast64_t own_answers[HTTP_OWN_STATUS_END - HTTP_OWN_STATUS_MIN];
    atomic_size_t open, bodies_bytes;
};

/* server_work.c */
void work_give_back(struct work *work);
struct work *work_take(struct conn *conn);
void work_free(struct work *work);

/* Counts the body as far as it has come. False: with it, bodies have more than the server's budget. */
bool work_measure(struct work *work);

/* server_conn.c */
struct conn *conn_open(struct http_server *server, int fd, const struct sockaddr *address);
void conn_close(struct conn *conn);
void conn_refuse_crowd(struct conn *conn);
void conn_event(struct conn *conn, uint32_t events);
void conn_answer(struct conn *conn, struct reply *reply, bool keeps_alive); /* takes the reply */
void conn_turn(struct conn *conn);
void conn_expire(struct conn *conn);

/* server_reply.c; a reply is one block for free() */
struct reply *reply_new(const struct http_request *request, int status, const char *content_type,
                        const char *body, size_t body_bytes, const char *const *headers);
struct reply *reply_problem(const struct http_request *request, const char *traceparent,
                            const struct http_problem *problem);

/* server.c */
void work_answer(struct work *work, struct reply *reply); /* reply NULL: http_drop() */

/* server_span.c */
void server_span_begin(struct work *work);
void server_span_end(struct work *work, int status); /* status 0: closed without a word */

/* server_metrics.c */
void server_metrics_open(struct http_server *server);
void server_metrics_close(struct http_server *server); /* before the counters go */
void server_count_answer(struct work *work, int status);

#endif
