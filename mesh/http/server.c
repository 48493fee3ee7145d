/* server.c -- The loop: accepts, hands events to connections, takes answers, keeps deadlines. */
#include "mesh/http/server.h"
#include "mesh/base/clock.h"
#include "mesh/base/descriptor.h"
#include "mesh/base/die.h"
#include "mesh/base/log.h"
#include "mesh/base/time.h"
#include "mesh/http/https.h"
#include "mesh/http/server_inner.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 256,
    ACCEPTS_MAX = 256,  /* in a turn, so that who is in gets served */
    REFUSALS_MAX = 256, /* connections that are being told 503; beyond that they are just closed */
    DEADLINE_STEP_MS = 10, /* deadlines are looked at no more often */
    CONNECTIONS_DEFAULT = 10000,
    HEAD_MS = 10000,
    BODY_MS = 30000,
    IDLE_MS = 60000,
    BODIES_BYTES = 64 << 20,
};

static void
server_unreference(struct http_server *server)
{
    if (atomic_fetch_sub(&server->references, 1) > 1)
        return;
    pthread_mutex_destroy(&server->lock);
    http_routes_free(server->routes);
    free(server->counts);
    free(server);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void
server_wake(struct http_server *server)
{
    uint64_t one = 1;

    while (write(server->event_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

void
work_answer(struct work *work, struct reply *reply)
{
    struct http_server *server = work->server;
    bool is_over, is_first;

    assert(work->is_handed && work->reply == NULL); /* exactly once per exchange */
    work->reply = reply;
    work->next = NULL;
    pthread_mutex_lock(&server->lock);
    is_over = server->is_over;
    is_first = server->answers == NULL;
    if (!is_over) {
        *server->answers_end = work;
        server->answers_end = &work->next;
        if (is_first && !pthread_equal(pthread_self(), server->self))
            server_wake(server);
    }
    pthread_mutex_unlock(&server->lock);
    if (is_over) {
        work_free(work);
        server_unreference(server);
    }
}

static void
answer_deliver(struct http_server *server, struct work *work)
{
    struct conn *conn = work->conn;
    struct reply *reply = work->reply;

    work->reply = NULL;
    work->is_handed = false;
    server_span_end(work, reply == NULL ? 0 : work->status);
    atomic_fetch_sub(&server->references, 1); /* never the last: main has one while the loop runs */
    if (conn == NULL) {
        atomic_fetch_add(&server->dropped, 1);
        free(reply);
        work_give_back(work);
        return;
    }
    if (reply == NULL) { /* http_drop() */
        conn_close(conn);
        return;
    }
    conn_answer(conn, reply, http1_request(work->http1)->keeps_alive);
    conn_turn(conn);
}

/* What handlers answered so far. True when more have come meanwhile. */
static bool
answers_take(struct http_server *server)
{
    struct work *work;
    bool has_more;

    pthread_mutex_lock(&server->lock);
    work = server->answers;
    server->answers = NULL;
    server->answers_end = &server->answers;
    pthread_mutex_unlock(&server->lock);
    while (work != NULL) {
        struct work *next = work->next;

        answer_deliver(server, work);
        work = next;
    }
    pthread_mutex_lock(&server->lock);
    has_more = server->answers != NULL;
    pthread_mutex_unlock(&server->lock);
    return has_more;
}

/* ---- accepting ------------------------------------------------------------------------------- */

/* The connection without a request that is missed least: one that never had any before one that a
 * client keeps, and the longest idle of them. NULL: each has one. */
static struct conn *
idle_find(const struct http_server *server)
{
    struct conn *found = NULL;

    for (struct conn *conn = server->conns; conn != NULL; conn = conn->next) {
        if (conn->state > CONN_HEADERS || conn->work != NULL)
            continue;
        if (found == NULL || (found->has_spoken && !conn->has_spoken) ||
            (found->has_spoken == conn->has_spoken &&
             conn->deadline_us <= found->deadline_us)) /* the list begins with the newest */
            found = conn;
    }
    return found;
}

/* Handshakes are the dearest that a stranger gets for nothing: of too many the longest one makes room. */
static void
handshakes_bound(struct http_server *server)
{
    struct conn *longest = NULL;

    if (server->handshake_count < HANDSHAKES_MAX)
        return;
    for (struct conn *conn = server->conns; conn != NULL; conn = conn->next) {
        if (conn->state == CONN_HANDSHAKE) /* the list begins with the newest */
            longest = conn;
    }
    conn_close(longest);
    atomic_fetch_add(&server->handshakes_failed, 1);
}

static bool
is_share_used_up(const struct http_server *server)
{
    return server->options.share_max > 0 && server->open_count >= server->options.share_max;
}

/* Only the reserve of descriptors is left, or other ports' share: an idle connection makes room. -1: none was idle, and the
 * new one is closed. */
static int
make_room(struct http_server *server, int fd)
{
    struct conn *idle = idle_find(server);

    if (idle != NULL) {
        conn_close(idle);
        return descriptor_lower(fd);
    }
    log_warn("port=%d event=CONNECTION_REFUSED because=\"all descriptors but the %s are in use"
             " (ulimit -n)\"",
             server->listen.port, is_share_used_up(server) ? "other ports' share" : "reserve");
    close(fd);
    return -1;
}

static void
conn_accept(struct http_server *server, int fd, const struct sockaddr *address)
{
    int yes = 1;
    struct conn *conn;

    if (descriptor_is_in_reserve(fd, false) || is_share_used_up(server))
        fd = make_room(server, fd);
    if (fd < 0 || server->refusal_count >= REFUSALS_MAX) {
        atomic_fetch_add(&server->refused, 1);
        if (fd >= 0)
            close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    handshakes_bound(server);
    conn = conn_open(server, fd, address);
    atomic_fetch_add(&server->connections, 1);
    if (conn->state == CONN_CLOSED ||
        server->open_count - server->refusal_count <= server->options.connections_max)
        return;
    conn->is_refusal = true;
    server->refusal_count++;
    if (conn->state == CONN_HANDSHAKE)
        return; /* it is told when it can be told something */
    conn_refuse_crowd(conn);
    conn_turn(conn);
}

static void
server_accept(struct http_server *server, int listen_fd)
{
    for (int i = 0; i < ACCEPTS_MAX && !server->is_stopping; i++) {
        struct sockaddr_storage address;
        int fd;

        switch (listen_accept(&server->listen, listen_fd, &address, &fd)) {
        case LISTEN_TAKEN:
            conn_accept(server, fd, (struct sockaddr *)&address);
            break;
        case LISTEN_DROPPED:
            atomic_fetch_add(&server->refused, 1);
            return;
        case LISTEN_NONE:
            return;
        }
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void
clock_read(struct http_server *server)
{
    int64_t second = clock_now_us() / SECOND_US;
    char date[TIME_HTTP_BYTES + 1];

    server->now_us = clock_steady_us();
    if (second == server->date_second)
        return;
    server->date_second = second;
    snprintf(server->date, sizeof server->date, "Date: %s\r\n%s",
             time_print_http(second * SECOND_US, date), server->hsts);
}

/* Deadlines move with every request, so the earliest is only a bound: looking finds the next one. */
static void
deadlines_look(struct http_server *server)
{
    struct conn *next;

    if (server->now_us < server->earliest_us)
        return;
    server->earliest_us = INT64_MAX;
    for (struct conn *conn = server->conns; conn != NULL; conn = next) {
        next = conn->next;
        if (conn->deadline_us <= server->now_us)
            conn_expire(conn);
        else if (conn->deadline_us < server->earliest_us)
            server->earliest_us = conn->deadline_us;
    }
    if (server->earliest_us < server->now_us + DEADLINE_STEP_MS * 1000)
        server->earliest_us = server->now_us + DEADLINE_STEP_MS * 1000;
}

static void
stop_look(struct http_server *server)
{
    struct conn *next;
    bool must_stop;

    pthread_mutex_lock(&server->lock);
    must_stop = server->must_stop;
    pthread_mutex_unlock(&server->lock);
    if (!must_stop || server->is_stopping)
        return;
    server->is_stopping = true;
    listen_close(&server->listen);
    for (struct conn *conn = server->conns; conn != NULL; conn = next) {
        next = conn->next;
        if (conn->state <= CONN_HEADERS && conn->work == NULL)
            conn_close(conn);
    }
}

static bool
is_over(const struct http_server *server)
{
    return server->is_stopping &&
           (server->open_count == 0 || clock_steady_us() >= server->grace_us);
}

static void
dead_free(struct http_server *server)
{
    while (server->dead != NULL) {
        struct conn *conn = server->dead;

        server->dead = conn->next;
        free(conn);
    }
}

static int
wait_ms(const struct http_server *server, bool has_more)
{
    int64_t until_us = server->earliest_us, wait_us;

    if (has_more)
        return 0;
    if (server->is_stopping && server->grace_us < until_us)
        until_us = server->grace_us;
    if (until_us == INT64_MAX)
        return -1;
    wait_us = until_us - clock_steady_us();
    if (wait_us <= 0)
        return 0;
    return wait_us > 60 * SECOND_US ? 60000 : (int)((wait_us + 999) / 1000);
}

static void
server_event(struct http_server *server, const struct epoll_event *event)
{
    uint64_t count;

    const int *listening = server->listen.fds;

    if ((const int *)event->data.ptr >= listening &&
        (const int *)event->data.ptr < listening + LISTEN_SOCKETS_MAX)
        server_accept(server, *(int *)event->data.ptr);
    else if (event->data.ptr == &server->event_fd)
        (void)!read(server->event_fd, &count, sizeof count);
    else
        conn_event(event->data.ptr, event->events);
}

/* Connections first: a work that is still with a handler is then known to nobody here, and whoever
 * has it answers into nothing (work_answer). */
static void
loop_end(struct http_server *server)
{
    while (server->conns != NULL)
        conn_close(server->conns);
    pthread_mutex_lock(&server->lock);
    server->is_over = true;
    pthread_mutex_unlock(&server->lock);
    answers_take(server);
    dead_free(server);
    while (server->pool != NULL) {
        struct work *work = server->pool;

        server->pool = work->next;
        work_free(work);
    }
}

static void *
loop_run(void *argument)
{
    struct http_server *server = argument;
    struct epoll_event events[EVENTS_MAX];
    bool has_more = false;

    server->self = pthread_self();
    while (!is_over(server)) {
        int count = epoll_wait(server->epoll_fd, events, EVENTS_MAX, wait_ms(server, has_more));

        clock_read(server);
        for (int i = 0; i < count; i++)
            server_event(server, &events[i]);
        deadlines_look(server);
        stop_look(server);
        has_more = answers_take(server); /* last: handlers may have answered anywhere above */
        dead_free(server);
    }
    loop_end(server);
    return NULL;
}

/* ---- opening and closing --------------------------------------------------------------------- */

static bool
listen_watch(struct http_server *server)
{
    for (size_t i = 0; i < server->listen.count; i++) {
        int *fd = &server->listen.fds[i];
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = fd };

        if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, *fd, &event) != 0)
            return false;
    }
    return true;
}

static enum error
descriptors_open(struct http_server *server)
{
    struct epoll_event on_event = { .events = EPOLLIN, .data.ptr = &server->event_fd };

    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->event_fd, &on_event) != 0 ||
        !listen_watch(server)) {
        log_error("listen=%s because=\"%s\"", server->options.listen, strerror(errno));
        return ERR_UNREACHABLE;
    }
    return ERR_OK;
}

static void
descriptors_close(struct http_server *server)
{
    int fds[] = { server->epoll_fd, server->event_fd };

    listen_close(&server->listen);
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

static void
options_set(struct http_server *server, const struct http_server_options *options)
{
    struct http_server_options *own = &server->options;

    *own = *options;
    if (own->connections_max == 0)
        own->connections_max = CONNECTIONS_DEFAULT;
    if (own->head_timeout_ms == 0)
        own->head_timeout_ms = HEAD_MS;
    if (own->body_timeout_ms == 0)
        own->body_timeout_ms = BODY_MS;
    if (own->idle_timeout_ms == 0)
        own->idle_timeout_ms = IDLE_MS;
    if (own->bodies_bytes_max == 0)
        own->bodies_bytes_max = BODIES_BYTES;
}

/* A browser heeds it over TLS alone. */
static void
hsts_set(struct http_server *server)
{
    int64_t seconds = https_hsts_seconds(server->options.https);

    if (seconds > 0)
        snprintf(server->hsts, sizeof server->hsts, "Strict-Transport-Security: max-age=%lld\r\n",
                 (long long)seconds);
}

static enum error
routes_open(struct http_server *server)
{
    struct problem problem;
    enum error error = http_routes_join(server->options.tables, &problem, &server->routes);

    if (error != ERR_OK)
        log_error("listen=%s because=\"%s\"", server->options.listen, problem.text);
    return error;
}

static void
loop_start(struct http_server *server)
{
    thread_start(&server->loop, loop_run, server);
}

enum error
http_server_open(const struct http_server_options *options, struct http_server **ret_server)
{
    struct http_server *server = memory_take(sizeof *server);
    enum error error;

    server->epoll_fd = server->event_fd = server->listen.spare_fd = -1;
    server->answers_end = &server->answers;
    server->earliest_us = INT64_MAX;
    atomic_store(&server->references, 1);
    pthread_mutex_init(&server->lock, NULL);
    options_set(server, options);
    hsts_set(server);
    error = routes_open(server);
    if (error == ERR_OK)
        error = listen_open(options->listen, &server->listen);
    if (error == ERR_OK)
        error = descriptors_open(server);
    if (error != ERR_OK) {
        descriptors_close(server);
        server_unreference(server);
        return error;
    }
    server_metrics_open(server);
    clock_read(server);
    loop_start(server);
    *ret_server = server;
    return ERR_OK;
}

int
http_server_port(const struct http_server *server)
{
    return server->listen.port;
}

void
http_server_stop(struct http_server *server, int grace_ms)
{
    pthread_mutex_lock(&server->lock);
    if (!server->must_stop) {
        server->grace_us = clock_steady_us() + (int64_t)grace_ms * 1000;
        server->must_stop = true;
        server_wake(server);
    }
    pthread_mutex_unlock(&server->lock);
}

struct http_server *
http_server_close(struct http_server *server)
{
    if (server == NULL)
        return NULL;
    http_server_stop(server, 0);
    pthread_join(server->loop, NULL);
    server_metrics_close(server);
    descriptors_close(server);
    server_unreference(server);
    return NULL;
}
