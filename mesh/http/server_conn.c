/* server_conn.c -- One connection: events move its state, conn_turn() does what the state allows.
 *
 * Nothing here calls back up: an event or an answer only sets the state, then conn_turn() loops, so
 * that a thousand pipelined requests do not make a thousand frames of stack.
 */
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/http/server_inner.h"
#include "mesh/observe/trace.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static bool
is_reading(const struct conn *conn)
{
    return conn->state == CONN_HEADERS || conn->state == CONN_BODY;
}

static void
deadline_set(struct conn *conn, int ms)
{
    struct http_server *server = conn->server;

    conn->deadline_us = server->now_us + (int64_t)ms * 1000;
    if (conn->deadline_us < server->earliest_us)
        server->earliest_us = conn->deadline_us;
}

/* ---- opening and closing --------------------------------------------------------------------- */

struct conn *
conn_open(struct http_server *server, int fd, const struct sockaddr *address)
{
    struct conn *conn = memory_take(sizeof *conn);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = conn };
    bool has_tls = server->options.https != NULL;
    bool is_open = stream_open(&conn->stream, fd, server->options.https);

    conn->server = server;
    conn->state = has_tls ? CONN_HANDSHAKE : CONN_HEADERS;
    conn->interest = EPOLLIN;
    if (address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr,
                  conn->remote_address, sizeof conn->remote_address);
    else
        inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, conn->remote_address,
                  sizeof conn->remote_address);
    conn->next = server->conns;
    if (conn->next != NULL)
        conn->next->before = conn;
    server->conns = conn;
    server->open_count++;
    server->handshake_count += has_tls;
    atomic_store(&server->open, server->open_count);
    deadline_set(conn, has_tls ? server->options.head_timeout_ms : server->options.idle_timeout_ms);
    if (!is_open || epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        conn_close(conn);
    return conn;
}

/* A work that a handler has stays the handler's; its answer will find nobody. */
static void
work_leave(struct conn *conn)
{
    struct work *work = conn->work;

    conn->work = NULL;
    if (work == NULL)
        return;
    work->conn = NULL;
    if (!work->is_handed)
        work_give_back(work);
}

static void
waiting_drop(struct conn *conn)
{
    free(conn->waiting);
    conn->waiting = NULL;
    conn->waiting_start = conn->waiting_end = conn->waiting_size = 0;
}

void
conn_close(struct conn *conn)
{
    struct http_server *server = conn->server;

    if (conn->state == CONN_CLOSED)
        return;
    server->handshake_count -= conn->state == CONN_HANDSHAKE;
    conn->state = CONN_CLOSED;
    stream_close(&conn->stream);
    work_leave(conn);
    waiting_drop(conn);
    free(conn->reply);
    if (conn->before != NULL)
        conn->before->next = conn->next;
    else
        server->conns = conn->next;
    if (conn->next != NULL)
        conn->next->before = conn->before;
    conn->next = server->dead; /* events of this turn may still name it */
    server->dead = conn;
    server->open_count--;
    server->refusal_count -= conn->is_refusal;
    atomic_store(&server->open, server->open_count);
}

/* Closing with unread bytes would reset the connection and destroy the answer on its way. */
static void
conn_drain(struct conn *conn)
{
    work_leave(conn);
    waiting_drop(conn);
    if (conn->is_eof) {
        conn_close(conn);
        return;
    }
    stream_say_end(&conn->stream);
    conn->state = CONN_DRAIN;
    deadline_set(conn, LINGER_MS);
}

/* ---- answering ------------------------------------------------------------------------------- */

void
conn_answer(struct conn *conn, struct reply *reply, bool keeps_alive)
{
    struct http_server *server = conn->server;
    bool is_http10 = conn->work != NULL && http1_request(conn->work->http1)->is_http10;
    const char *connection = "";

    conn->must_close = !keeps_alive || server->is_stopping;
    if (conn->must_close)
        connection = "Connection: close\r\n";
    else if (is_http10)
        connection = "Connection: keep-alive\r\n";
    reply->tail_bytes =
        (size_t)snprintf(reply->tail, sizeof reply->tail, "%s%s\r\n", server->date, connection);
    conn->reply = reply;
    conn->state = CONN_SEND;
    deadline_set(conn, server->options.body_timeout_ms);
}

static void
own_count(struct conn *conn, int status)
{
    struct http_server *server = conn->server;

    atomic_fetch_add(&server->refused, 1);
    atomic_fetch_add(&server->own_answers[status - HTTP_OWN_STATUS_MIN], 1);
    if (!conn->is_refusal)
        atomic_fetch_add(&server->requests, 1);
}

/* The server's own no, or its gate's. Where a body was announced it is not waited for: the connection ends. */
static void
conn_problem(struct conn *conn, const struct http_problem *problem, const char *traceparent,
             bool keeps_alive)
{
    const struct http_request *request =
        conn->work == NULL ? NULL : http1_request(conn->work->http1);

    own_count(conn, problem->status);
    if (conn->work != NULL)
        server_span_end(conn->work, problem->status);
    conn_answer(conn, reply_problem(request, traceparent, problem), keeps_alive);
}

static void
conn_refuse(struct conn *conn, int status, const char *because, const char *const *headers)
{
    conn_problem(conn,
                 &(struct http_problem){ .status = status, .detail = because, .headers = headers },
                 NULL, false);
}

void
conn_refuse_crowd(struct conn *conn)
{
    conn_refuse(conn, 503, "too many connections are open", http_retry_soon);
}

/* The parts of the reply that are not sent yet. */
static size_t
reply_parts(struct reply *reply, struct iovec parts[3])
{
    struct iovec all[3] = { { reply->text, reply->head_bytes },
                            { reply->tail, reply->tail_bytes },
                            { reply->text + reply->head_bytes, reply->body_bytes } };
    size_t skip = reply->sent_bytes, count = 0;

    for (size_t i = 0; i < 3; i++) {
        size_t gone = skip < all[i].iov_len ? skip : all[i].iov_len;

        skip -= gone;
        if (gone == all[i].iov_len)
            continue;
        parts[count].iov_base = (char *)all[i].iov_base + gone;
        parts[count++].iov_len = all[i].iov_len - gone;
    }
    return count;
}

/* False when the socket takes no more for now, or is gone. */
static bool
conn_send(struct conn *conn)
{
    struct reply *reply = conn->reply;
    struct iovec parts[3];
    size_t count;

    while ((count = reply_parts(reply, parts)) > 0) {
        size_t sent;
        enum stream_outcome outcome = stream_send(&conn->stream, parts, count, &sent);

        if (outcome != STREAM_DONE) {
            conn->is_blocked = outcome == STREAM_WANTS_WRITE;
            if (!conn->is_blocked)
                conn_close(conn);
            return false;
        }
        reply->sent_bytes += sent;
    }
    free(reply);
    conn->reply = NULL;
    conn->is_blocked = false;
    if (conn->must_close) {
        conn_drain(conn);
        return true;
    }
    work_leave(conn);
    conn->state = CONN_HEADERS;
    deadline_set(conn, conn->server->options.idle_timeout_ms);
    return true;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void
exchange_fill(struct work *work)
{
    struct http_exchange *exchange = &work->exchange;
    const struct http_request *request = http1_request(work->http1);
    const char *parent = http_header_find(request, "traceparent");

    exchange->request = request;
    exchange->route = work->place->route;
    exchange->arena = work->arena;
    exchange->owner = work->place->owner;
    exchange->remote_address =
        arena_copy(work->arena, work->conn->remote_address, strlen(work->conn->remote_address));
    trace_parse(parent, strlen(parent), exchange->traceparent);
    server_span_begin(work);
}

/* No route: 404, 405, or what OPTIONS asks. */
static void
conn_unrouted(struct conn *conn, int status, const char *allow)
{
    const struct http_request *request = http1_request(conn->work->http1);
    const char *lines[2] = { NULL, NULL };
    struct http_problem problem = { .status = status };
    bool keeps_alive = request->keeps_alive && !request->has_body;

    if (allow != NULL)
        lines[0] = arena_print(conn->work->arena, "Allow: %s", allow);
    if (status == 204) {
        atomic_fetch_add(&conn->server->requests, 1);
        conn_answer(conn, reply_new(request, 204, NULL, NULL, 0, lines), keeps_alive);
        return;
    }
    problem.headers = lines;
    problem.detail = status == 405 ? "this path has other methods, see Allow" : "no such path here";
    conn_problem(conn, &problem, NULL, keeps_alive);
}

static void
conn_refuse_type(struct conn *conn, const struct http_route *route)
{
    const char *rule = "the body must come without a Content-Encoding";

    if (route->content_type != NULL)
        rule = arena_print(conn->work->arena, "the body must be %s, without a Content-Encoding",
                           route->content_type);
    conn_refuse(conn, 415, rule, NULL);
}

static bool
conn_takes_type(const struct conn *conn)
{
    const struct http_route *route = conn->work->exchange.route;

    return route->body_bytes_max == 0 ||
           http_route_takes_type(route, http1_request(conn->work->http1));
}

/* Chunks may turn out to be an empty body, which has no type; so a chunked one is judged by its first byte. */
static bool
conn_has_wrong_chunks(const struct conn *conn)
{
    const struct http_request *request = http1_request(conn->work->http1);

    return request->is_chunked && request->body_bytes > 0 && !conn_takes_type(conn);
}

/* The head or the body broke a rule of HTTP. */
static void
conn_refuse_broken(struct conn *conn)
{
    static const char *const methods[] = { "Allow: " HTTP1_METHODS, NULL };
    const char *because;
    int status = http1_status(conn->work->http1, &because);

    conn_refuse(conn, status, because, status == 405 ? methods : NULL);
}

/* False: answered. */
static bool
conn_admit(struct conn *conn)
{
    struct http_exchange *exchange = &conn->work->exchange;
    const struct http_gate *gate = &conn->work->place->gate;
    const struct http_request *request = exchange->request;
    struct http_problem problem = { 0 };
    struct log_trace before;
    bool may_come;

    if (gate->admit == NULL)
        return true;
    before = log_trace_begin(exchange->traceparent);
    may_come = gate->admit(gate->owner, exchange, &problem);
    log_trace_end(&before);
    if (may_come)
        return true;
    conn_problem(conn, &problem, exchange->traceparent, request->keeps_alive && !request->has_body);
    return false;
}

static void
conn_continue(struct conn *conn)
{
    static char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const struct iovec part = { line, sizeof line - 1 };
    size_t sent = 0;

    /* Nothing else is under way here, so the socket has room for a line; if not, it is ill. */
    if (stream_send(&conn->stream, &part, 1, &sent) != STREAM_DONE || sent != part.iov_len)
        conn_close(conn);
}

/* The head is there: is the body wanted? has_more: it has begun to come unasked. */
static void
conn_head(struct conn *conn, bool has_more)
{
    struct work *work = conn->work;
    const struct http_request *request = http1_request(work->http1);
    const struct http_route *route;
    const char *allow;
    int status;

    work->place = http_route_find(conn->server->routes, request, work->arena,
                                  work->exchange.parameters, &status, &allow);
    if (work->place == NULL) {
        conn_unrouted(conn, status, allow);
        return;
    }
    route = work->place->route;
    exchange_fill(work);
    if (!conn_admit(conn))
        return;
    if (request->has_body && (!request->is_chunked || request->wants_continue) &&
        !conn_takes_type(conn)) {
        conn_refuse_type(conn, route);
        return;
    }
    if (!http1_set_body_max(work->http1, route->body_bytes_max)) {
        conn_refuse_broken(conn);
        return;
    }
    conn->state = CONN_BODY;
    deadline_set(conn, conn->server->options.body_timeout_ms);
    if (request->wants_continue && !has_more)
        conn_continue(conn);
}

static void
conn_dispatch(struct conn *conn)
{
    struct work *work = conn->work;
    const struct http_route *route = work->exchange.route;
    struct log_trace before = log_trace_begin(work->exchange.traceparent);

    conn->state = CONN_WAIT;
    deadline_set(conn, route->deadline_ms > 0 ? route->deadline_ms : HANDLER_MS);
    work->is_handed = true;
    atomic_fetch_add(&conn->server->references, 1);
    atomic_fetch_add(&conn->server->requests, 1);
    work->exchange.began_us = clock_steady_us();
    route->handler(&work->exchange); /* it may be answered now, and the work gone */
    log_trace_end(&before);
}

/* Returns how many bytes the present request took. */
static size_t
conn_feed(struct conn *conn, const char *bytes, size_t count)
{
    size_t used, more = 0;
    enum http1_state state;

    if (conn->work == NULL) {
        conn->work = work_take(conn);
        conn->has_spoken = true;
        deadline_set(conn, conn->server->options.head_timeout_ms);
    }
    state = http1_read(conn->work->http1, bytes, count, &used);
    if (state == HTTP1_HAS_HEAD) {
        conn_head(conn, used < count);
        if (conn->state != CONN_BODY)
            return used;
        state = http1_read(conn->work->http1, bytes + used, count - used, &more);
    }
    if (state != HTTP1_REFUSED && !work_measure(conn->work)) {
        conn_refuse(conn, 503, "too many bodies are being read", http_retry_soon);
    } else if (state == HTTP1_REFUSED) {
        conn_refuse_broken(conn);
    } else if (conn->state == CONN_BODY && conn_has_wrong_chunks(conn)) {
        conn_refuse_type(conn, conn->work->exchange.route);
    } else if (state == HTTP1_HAS_REQUEST) {
        conn_dispatch(conn);
    }
    return used + more;
}

static void
waiting_add(struct conn *conn, const char *bytes, size_t count)
{
    if (conn->waiting_size - conn->waiting_end < count) {
        conn->waiting_size = conn->waiting_end + count;
        conn->waiting = memory_grow(conn->waiting, conn->waiting_size);
    }
    memcpy(conn->waiting + conn->waiting_end, bytes, count);
    conn->waiting_end += count;
}

static void
conn_receive(struct conn *conn)
{
    struct http_server *server = conn->server;
    bool is_drain = conn->state == CONN_DRAIN;
    size_t used = 0, count;
    enum stream_outcome outcome =
        is_drain ? stream_drop(&conn->stream, server->bytes, sizeof server->bytes, &count)
                 : stream_read(&conn->stream, server->bytes, sizeof server->bytes, &count);

    conn->reads_by_write = outcome == STREAM_WANTS_WRITE;
    if (outcome == STREAM_GONE)
        conn_close(conn);
    if (outcome != STREAM_DONE)
        return;
    conn->is_eof = count == 0;
    if (is_drain) {
        conn->drained_bytes += count;
        if (conn->is_eof || conn->drained_bytes > LINGER_BYTES_MAX)
            conn_close(conn);
        return;
    }
    while (used < count && is_reading(conn))
        used += conn_feed(conn, server->bytes + used, count - used);
    if (used < count && conn->state != CONN_CLOSED)
        waiting_add(conn, server->bytes + used, count - used);
}

/* ---- the handshake --------------------------------------------------------------------------- */

/* Strangers make as many of these as they like, so the log has one now and then. */
static void
handshake_failed(struct conn *conn, const char *because)
{
    struct http_server *server = conn->server;
    uint64_t count = atomic_fetch_add(&server->handshakes_failed, 1) + 1;

    if (server->now_us < server->handshake_words_us)
        return;
    server->handshake_words_us = server->now_us + HANDSHAKE_WORDS_MS * 1000;
    log_warn("port=%d event=HANDSHAKE_FAILED remote_address=%s count=%llu because=\"%s\"",
             server->listen.port, conn->remote_address, (unsigned long long)count, because);
}

static void
conn_shake(struct conn *conn)
{
    const char *because = NULL;
    enum stream_outcome outcome = stream_shake(&conn->stream, &because);

    conn->reads_by_write = outcome == STREAM_WANTS_WRITE;
    if (outcome == STREAM_GONE) {
        if (because != NULL)
            handshake_failed(conn, because);
        conn_close(conn);
    }
    if (outcome != STREAM_DONE)
        return;
    conn->server->handshake_count--;
    conn->state = CONN_HEADERS;
    deadline_set(conn, conn->server->options.idle_timeout_ms);
    if (conn->is_refusal)
        conn_refuse_crowd(conn);
}

/* ---- the turn -------------------------------------------------------------------------------- */

/* What epoll should report. What is not wanted is not asked for: epoll would say it without end. */
static void
conn_watch(struct conn *conn)
{
    struct epoll_event event = { .data.ptr = conn };
    bool has_room = conn->waiting_end - conn->waiting_start < WAITING_BYTES_MAX;

    if (!conn->is_eof && !conn->reads_by_write && (has_room || conn->state == CONN_DRAIN))
        event.events |= EPOLLIN;
    if (conn->is_blocked || conn->reads_by_write)
        event.events |= EPOLLOUT;
    if (event.events == conn->interest)
        return;
    conn->interest = event.events;
    if (epoll_ctl(conn->server->epoll_fd, EPOLL_CTL_MOD, conn->stream.fd, &event) != 0)
        conn_close(conn);
}

void
conn_turn(struct conn *conn)
{
    for (;;) {
        if (conn->state == CONN_SEND) {
            if (!conn_send(conn))
                break;
        } else if (is_reading(conn) && conn->waiting_start < conn->waiting_end) {
            conn->waiting_start += conn_feed(conn, conn->waiting + conn->waiting_start,
                                             conn->waiting_end - conn->waiting_start);
        } else {
            break;
        }
    }
    if (conn->waiting != NULL && conn->waiting_start == conn->waiting_end)
        waiting_drop(conn);
    if (is_reading(conn) && conn->is_eof)
        conn_close(conn); /* half a request, or none: nobody waits for an answer */
    if (conn->state != CONN_CLOSED)
        conn_watch(conn);
}

void
conn_event(struct conn *conn, uint32_t events)
{
    if (conn->state == CONN_CLOSED)
        return;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        conn_close(conn); /* both directions are gone; a mere half-close comes as EPOLLIN */
        return;
    }
    if (conn->state == CONN_HANDSHAKE)
        conn_shake(conn);
    else if ((events & EPOLLIN) != 0 || conn->reads_by_write)
        conn_receive(conn);
    conn_turn(conn);
}

/* The deadline of the present phase has passed. */
void
conn_expire(struct conn *conn)
{
    struct http_server *server = conn->server;
    bool is_idle = conn->state == CONN_HEADERS && conn->work == NULL;

    if (!is_idle && conn->state != CONN_DRAIN)
        atomic_fetch_add(&server->timeouts, 1);
    if (conn->state == CONN_HANDSHAKE)
        handshake_failed(conn, "it took too long");
    if (is_reading(conn) && !is_idle) {
        conn_refuse(conn, 408,
                    conn->state == CONN_BODY ? "the body took too long" : "the head took too long",
                    NULL);
    } else if (conn->state == CONN_WAIT) {
        const struct http_exchange *exchange = &conn->work->exchange;
        const struct http_problem late = {
            .status = 504, .detail = "no answer was ready in time; it may have happened"
        };
        struct reply *reply = reply_problem(exchange->request, exchange->traceparent, &late);

        atomic_fetch_add(&server->own_answers[504 - HTTP_OWN_STATUS_MIN], 1);
        server_span_end(conn->work, 504);
        conn_answer(conn, reply, exchange->request->keeps_alive);
        work_leave(conn);
    } else {
        conn_close(conn);
        return;
    }
    conn_turn(conn);
}
