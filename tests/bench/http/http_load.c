/* http_load.c -- A client on epoll: connections that live for a part, one request under way on each.
 *
 *     warm -> span, measured at both ends -> drain: what was sent is still answered, and still checked
 */
#define _GNU_SOURCE /* strcasestr */
#include "mesh/base/clock.h"
#include "tests/bench/http/http_bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, TURN_MS = 50, DRAIN_US = 15 * 1000 * 1000 };

struct connection {
    int socket;
    bool is_waiting; /* for an answer */
    int64_t sent_us;
    uint64_t tag;
    size_t out_bytes, out_at, in_bytes;
    char out[HTTP_REQUEST_BYTES_MAX], in[HTTP_ANSWER_BYTES_MAX + 1];
};

enum phase { PHASE_WARM, PHASE_SPAN, PHASE_DRAIN };

struct client {
    const struct http_load *load;
    struct connection **connections;
    size_t open;    /* connections that are not broken */
    size_t waiting; /* for an answer */
    int epoll;
    enum phase phase;
    int64_t began_us, ended_us; /* the span */
    int64_t sent;
    uint32_t *took_us; /* of requests sent and answered in the span */
    size_t took_count, took_max;
    double body_bytes;
    struct http_span span;
};

bool
http_address_read(const char *text, struct sockaddr_in *ret_address)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    char host[64];
    int port;

    if (sscanf(text, "%63[^:]:%d", host, &port) != 2 || port < 1 || port > 65535 ||
        inet_pton(AF_INET, host, &address.sin_addr) != 1)
        return false;
    address.sin_port = htons((uint16_t)port);
    *ret_address = address;
    return true;
}

/* ---- what is counted ---- */

static void
wrong(struct client *client, const char *what, const char *text, size_t bytes)
{
    if (client->span.errors++ == 0)
        bench_say("WRONG: %s: %.*s", what, (int)(bytes < 400 ? bytes : 400), text);
}

static void
took(struct client *client, int64_t sent_us, int64_t now_us)
{
    if (client->phase != PHASE_SPAN)
        return;
    client->span.requests++;
    if (sent_us < client->began_us)
        return;
    if (client->took_count == client->took_max) {
        client->took_max = client->took_max * 2 + 4096;
        client->took_us = memory_grow(client->took_us, client->took_max * sizeof *client->took_us);
    }
    client->took_us[client->took_count++] = (uint32_t)(now_us - sent_us);
}

static int
compare_us(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

static double
percentile_ms(const struct client *client, size_t percent)
{
    if (client->took_count == 0)
        return 0;
    return client->took_us[(client->took_count - 1) * percent / 100] / 1000.0;
}

static void
span_finish(struct client *client)
{
    struct http_span *span = &client->span;

    if (client->took_count > 0)
        qsort(client->took_us, client->took_count, sizeof *client->took_us, compare_us);
    span->requests_per_s =
        (double)span->requests * (double)SECOND_US / (double)(client->ended_us - client->began_us);
    span->p50_ms = percentile_ms(client, 50);
    span->p99_ms = percentile_ms(client, 99);
    span->max_ms = percentile_ms(client, 100);
    span->body_bytes = span->all == 0 ? 0 : client->body_bytes / (double)span->all;
}

/* ---- one connection ---- */

static void
connection_break(struct client *client, struct connection *connection, const char *why)
{
    wrong(client, why, connection->in, connection->in_bytes);
    client->waiting -= connection->is_waiting;
    client->open--;
    close(connection->socket);
    connection->socket = -1;
}

static bool
connection_flush(struct client *client, struct connection *connection)
{
    while (connection->out_at < connection->out_bytes) {
        ssize_t count = send(connection->socket, connection->out + connection->out_at,
                             connection->out_bytes - connection->out_at, MSG_NOSIGNAL);

        if (count < 0 && errno == EAGAIN)
            return true;
        if (count < 0) {
            connection_break(client, connection, strerror(errno));
            return false;
        }
        connection->out_at += (size_t)count;
    }
    return true;
}

static bool
connection_ask(struct client *client, struct connection *connection)
{
    const struct http_load *load = client->load;

    if (client->phase == PHASE_DRAIN || client->sent == load->requests_max)
        return true;
    connection->out_bytes = load->write(load->maker, connection->out, &connection->tag);
    if (connection->out_bytes >= sizeof connection->out)
        bench_fail("a request is longer than %d bytes", HTTP_REQUEST_BYTES_MAX);
    connection->out_at = 0;
    connection->in_bytes = 0;
    connection->is_waiting = true;
    connection->sent_us = clock_steady_us();
    client->waiting++;
    client->sent++;
    return connection_flush(client, connection);
}

/* The length of the body, from the header every answer to these requests must have; -1: none. */
static long
content_length(const char *head)
{
    static const char name[] = "\r\ncontent-length:";
    const char *at = strcasestr(head, name);

    return at == NULL ? -1 : strtol(at + strlen(name), NULL, 10);
}

/* 1: a whole answer; 0: more is to come; -1: no such thing will come of it. */
static int
answer_read(struct connection *connection, struct http_answer *ret_answer)
{
    char *end;
    size_t head_bytes;
    long body_bytes;

    connection->in[connection->in_bytes] = '\0';
    end = strstr(connection->in, "\r\n\r\n");
    if (end == NULL)
        return connection->in_bytes == HTTP_ANSWER_BYTES_MAX ? -1 : 0;
    head_bytes = (size_t)(end - connection->in) + 4;
    *end = '\0';
    body_bytes = content_length(connection->in);
    *end = '\r';
    if (strncmp(connection->in, "HTTP/1.1 ", 9) != 0 || body_bytes < 0 ||
        head_bytes + (size_t)body_bytes > HTTP_ANSWER_BYTES_MAX ||
        connection->in_bytes > head_bytes + (size_t)body_bytes)
        return -1;
    if (connection->in_bytes < head_bytes + (size_t)body_bytes)
        return 0;
    *ret_answer = (struct http_answer){ .status = atoi(connection->in + 9),
                                        .body = connection->in + head_bytes,
                                        .body_bytes = (size_t)body_bytes };
    return 1;
}

/* False: the connection is broken. */
static bool
connection_answered(struct client *client, struct connection *connection)
{
    const struct http_load *load = client->load;
    struct http_answer answer;
    int whole = answer_read(connection, &answer);

    if (whole == 0)
        return true;
    if (whole < 0) {
        connection_break(client, connection, "no answer to one request");
        return false;
    }
    connection->is_waiting = false;
    client->waiting--;
    client->span.all++;
    client->body_bytes += (double)answer.body_bytes;
    if (!load->is_right(load->maker, &answer, connection->tag))
        wrong(client, "the answer", connection->in, connection->in_bytes);
    took(client, connection->sent_us, clock_steady_us());
    return connection_ask(client, connection);
}

/* Edge-triggered: reads until there is less than there was room for. */
static void
connection_turn(struct client *client, struct connection *connection)
{
    if (connection->socket < 0 || !connection_flush(client, connection))
        return;
    for (;;) {
        size_t room = HTTP_ANSWER_BYTES_MAX - connection->in_bytes;
        ssize_t count = recv(connection->socket, connection->in + connection->in_bytes, room, 0);

        if (count < 0 && errno == EAGAIN)
            return;
        if (count <= 0) {
            connection_break(client, connection,
                             count == 0 ? "the server closed" : strerror(errno));
            return;
        }
        connection->in_bytes += (size_t)count;
        if (!connection->is_waiting) {
            connection_break(client, connection, "an answer nobody asked for");
            return;
        }
        if (!connection_answered(client, connection) || (size_t)count < room)
            return;
    }
}

static struct connection *
connection_open(struct client *client)
{
    struct connection *connection = memory_take(sizeof *connection);
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET,
                                 .data = { .ptr = connection } };
    const struct sockaddr_in *address = &client->load->address;
    int on = 1;

    connection->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->socket < 0)
        bench_fail("no more connections: %s", strerror(errno));
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if ((connect(connection->socket, (const struct sockaddr *)address, sizeof *address) != 0 &&
         errno != EINPROGRESS) ||
        epoll_ctl(client->epoll, EPOLL_CTL_ADD, connection->socket, &event) != 0)
        bench_fail("no connection to port %d: %s", ntohs(address->sin_port), strerror(errno));
    client->open++;
    return connection;
}

/* ---- all of them ---- */

/* A new connection becomes writable once, and begins. */
static void
client_turn(struct client *client)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(client->epoll, events, EVENTS_MAX, TURN_MS);

    for (int i = 0; i < count; i++) {
        struct connection *connection = events[i].data.ptr;

        if (connection->socket >= 0 && connection->sent_us == 0 &&
            (events[i].events & (EPOLLERR | EPOLLHUP)) == 0)
            connection_ask(client, connection);
        else
            connection_turn(client, connection);
    }
}

static void
client_until(struct client *client, int64_t until_us)
{
    while (clock_steady_us() < until_us && client->open > 0 &&
           client->sent < client->load->requests_max &&
           (client->phase != PHASE_DRAIN || client->waiting > 0))
        client_turn(client);
}

static void
client_drain(struct client *client)
{
    int64_t until_us = client->ended_us + DRAIN_US;

    client->phase = PHASE_DRAIN;
    while (client->waiting > 0 && clock_steady_us() < until_us)
        client_turn(client);
    if (client->waiting > 0)
        bench_say("WRONG: %zu requests had no answer in %d s", client->waiting,
                  DRAIN_US / (int)SECOND_US);
    client->span.errors += (int64_t)client->waiting;
}

static void
client_close(struct client *client)
{
    for (size_t i = 0; i < client->load->connections; i++) {
        if (client->connections[i]->socket >= 0)
            close(client->connections[i]->socket);
        free(client->connections[i]);
    }
    free(client->connections);
    free(client->took_us);
    close(client->epoll);
}

struct http_span
http_load_run(const struct http_load *load)
{
    struct client client = { .load = load, .epoll = epoll_create1(EPOLL_CLOEXEC) };

    client.connections = memory_take(load->connections * sizeof *client.connections);
    for (size_t i = 0; i < load->connections; i++)
        client.connections[i] = connection_open(&client);
    client_until(&client, clock_steady_us() + load->warm_us);
    load->measured(load->owner);
    client.phase = PHASE_SPAN;
    client.began_us = clock_steady_us();
    client_until(&client, client.began_us + load->span_us);
    client.ended_us = clock_steady_us();
    load->measured(load->owner);
    client_drain(&client);
    span_finish(&client);
    client_close(&client);
    return client.span;
}
