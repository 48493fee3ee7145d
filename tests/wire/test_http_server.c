/* The HTTP server over loopback sockets: answers, refusals, order, deadlines, limits, and its end. */
#include "tests/support/http/http_harness.h"

#include "mesh/base/descriptor.h"
#include "tests/support/check.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define H "Host: h\r\n"
#define CLOSE H "Connection: close\r\n"

/* clang-format off */
static const struct {
    const char *what, *request, *starts, *has, *has_not;
} rows[] = {
    { "a GET",               "GET /hello/you HTTP/1.1\r\n" CLOSE "\r\n",        "HTTP/1.1 200 OK\r\n", "Content-Length: 9\r\n", NULL },
    { "its body",            "GET /hello/you HTTP/1.1\r\n" CLOSE "\r\n",        "HTTP/1.1 200 ", "\r\n\r\nhello you", NULL },
    { "a date",              "GET /hello/you HTTP/1.1\r\n" CLOSE "\r\n",        "HTTP/1.1 200 ", " GMT\r\n", NULL },
    { "close is echoed",     "GET /hello/you HTTP/1.1\r\n" CLOSE "\r\n",        "HTTP/1.1 200 ", "\r\nConnection: close\r\n", NULL },
    { "1.0 ends",            "GET /hello/you HTTP/1.0\r\n\r\n",                 "HTTP/1.1 200 ", "Connection: close\r\n", NULL },
    { "a HEAD",              "HEAD /hello/you HTTP/1.1\r\n" CLOSE "\r\n",       "HTTP/1.1 200 ", "Content-Length: 9\r\n", "hello" },
    { "a HEAD of nothing",   "HEAD /none HTTP/1.1\r\n" CLOSE "\r\n",            "HTTP/1.1 404 ", "Content-Length: ", "{" },
    { "an escaped name",     "GET /hello/a%20b HTTP/1.1\r\n" CLOSE "\r\n",      "HTTP/1.1 200 ", "\r\n\r\nhello a b", NULL },
    { "two parameters",      "GET /two/1/x/2 HTTP/1.1\r\n" CLOSE "\r\n",        "HTTP/1.1 201 Created", "\r\n\r\n1+2 127.0.0.1", NULL },
    { "a header is one",     "GET /two/1/x/2 HTTP/1.1\r\n" CLOSE "\r\n",        "HTTP/1.1 201 ", "X-One: 1", "\r\nX-Two" },
    { "204 has no body",     "DELETE /hello/a HTTP/1.1\r\n" CLOSE "\r\n",       "HTTP/1.1 204 No Content", "\r\n\r\n", "dropped" },
    { "204 has no length",   "DELETE /hello/a HTTP/1.1\r\n" CLOSE "\r\n",       "HTTP/1.1 204 ", "\r\n", "Content-" },
    { "a POST",              "POST /echo HTTP/1.1\r\n" CLOSE "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 ", "\r\n\r\n{}", NULL },
    { "a POST in chunks",    "POST /echo HTTP/1.1\r\n" CLOSE "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", "HTTP/1.1 200 ", "\r\n\r\n{}", NULL },
    { "a charset",           "POST /echo HTTP/1.1\r\n" CLOSE "Content-Type: Application/JSON; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 ", "{}", NULL },
    { "an empty POST",       "POST /echo HTTP/1.1\r\n" CLOSE "Content-Length: 0\r\n\r\n", "HTTP/1.1 200 ", "Content-Length: 0\r\n", NULL },
    { "any type",            "PUT /any HTTP/1.1\r\n" CLOSE "Content-Type: x/y\r\nContent-Length: 1\r\n\r\na", "HTTP/1.1 200 ", "\r\n\r\na", NULL },
    { "a handler's problem", "GET /problem HTTP/1.1\r\n" CLOSE "\r\n",          "HTTP/1.1 409 Conflict", "\"detail\":\"nothing is \\\"left\\\"\",\"code\":\"NO_STOCK\",\"trace_id\":\"", NULL },
    { "OPTIONS",             "OPTIONS /hello/a HTTP/1.1\r\n" CLOSE "\r\n",      "HTTP/1.1 204 ", "Allow: GET, HEAD, DELETE, OPTIONS\r\n", NULL },
    { "OPTIONS of all",      "OPTIONS * HTTP/1.1\r\n" CLOSE "\r\n",             "HTTP/1.1 204 ", "Allow: GET, HEAD, POST", NULL },

    { "no such path",        "GET /none HTTP/1.1\r\n" CLOSE "\r\n",             "HTTP/1.1 404 Not Found", "\"status\":404,", NULL },
    { "problems have a type", "GET /none HTTP/1.1\r\n" CLOSE "\r\n",            "HTTP/1.1 404 ", "Content-Type: application/problem+json\r\n", NULL },
    { "an empty parameter",  "GET /hello/ HTTP/1.1\r\n" CLOSE "\r\n",           "HTTP/1.1 404 ", "NOT_FOUND", NULL },
    { "more path",           "GET /hello/a/b HTTP/1.1\r\n" CLOSE "\r\n",        "HTTP/1.1 404 ", "", NULL },
    { "less path",           "GET /two/1/x HTTP/1.1\r\n" CLOSE "\r\n",          "HTTP/1.1 404 ", "", NULL },
    { "another method",      "POST /hello/a HTTP/1.1\r\n" CLOSE "\r\n",         "HTTP/1.1 405 Method Not Allowed", "Allow: GET, HEAD, DELETE, OPTIONS\r\n", NULL },
    { "a bad request",       "GET /hello/a HTTP/1.1\r\n\r\n",                   "HTTP/1.1 400 Bad Request", "a Host field is needed", NULL },
    { "refusals close",      "GET /hello/a HTTP/1.1\r\n\r\n",                   "HTTP/1.1 400 ", "Connection: close\r\n", NULL },
    { "no type",             "POST /echo HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\n{}", "HTTP/1.1 415 ", "must be application/json", NULL },
    { "chunks of nothing have no type", "POST /echo HTTP/1.1\r\n" CLOSE "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 200 ", "", NULL },
    { "chunks of no type",   "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "HTTP/1.1 415 ", "must be application/json", NULL },
    { "its first byte",      "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n2\r\n{", "HTTP/1.1 415 ", "", NULL },
    { "no 100 for chunks of no type", "POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 415 ", "", NULL },
    { "nearly the type",     "POST /echo HTTP/1.1\r\n" H "Content-Type: application/jsonx\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 415 ", "", NULL },
    { "a coded body",        "POST /echo HTTP/1.1\r\n" H "Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 415 ", "", NULL },
    { "a long body",         "PUT /any HTTP/1.1\r\n" H "Content-Length: 65\r\n\r\n", "HTTP/1.1 413 Content Too Large", "", NULL },
    { "long chunks",         "PUT /any HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n41\r\n", "HTTP/1.1 413 ", "", NULL },
    { "an unwanted body",    "POST /bodyless HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\na", "HTTP/1.1 413 ", "", NULL },
    { "a GET with a body",   "GET /hello/a HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\na", "HTTP/1.1 413 ", "", NULL },
    { "another expectation", "PUT /any HTTP/1.1\r\n" H "Expect: x\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1 417 ", "", NULL },
    { "no 100 for a 413",    "PUT /any HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 65\r\n\r\n", "HTTP/1.1 413 ", "", NULL },
    { "a pass",              "POST /guarded HTTP/1.1\r\n" CLOSE "Pass: ada\r\n\r\n", "HTTP/1.1 200 ", "\r\n\r\nada is in", NULL },
    { "no pass",             "POST /guarded HTTP/1.1\r\n" CLOSE "\r\n",         "HTTP/1.1 401 Unauthorized", "\"code\":\"NO_PASS\",\"trace_id\":", NULL },
    { "a challenge",         "POST /guarded HTTP/1.1\r\n" CLOSE "\r\n",         "HTTP/1.1 401 ", "WWW-Authenticate: Pass\r\n", NULL },
    { "no pass, not its type", "POST /guarded HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n", "HTTP/1.1 401 ", "Connection: close\r\n", NULL },
    { "no pass, a long body", "POST /guarded HTTP/1.1\r\n" H "Content-Length: 99999999\r\n\r\n", "HTTP/1.1 401 ", "Connection: close\r\n", NULL },
    { "no 100 without a pass", "POST /guarded HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1 401 ", "", NULL },
    { "an unknown method",   "BREW / HTTP/1.1\r\n" H "\r\n",                    "HTTP/1.1 405 ", "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n", NULL },
    { "another version",     "GET / HTTP/2.0\r\n" H "\r\n",                     "HTTP/1.1 505 ", "", NULL },
};
/* clang-format on */

START_TEST(a_request_has_its_answer)
{
    char text[TEXT_BYTES];
    int fd = client_open();

    client_say(fd, rows[_i].request);
    ck_assert_msg(client_hear_end(fd, text), "%s: no end", rows[_i].what);
    ck_assert_msg(strncmp(text, rows[_i].starts, strlen(rows[_i].starts)) == 0, "%s: %s",
                  rows[_i].what, text);
    ck_assert_msg(strstr(text, rows[_i].has) != NULL, "%s: %s", rows[_i].what, text);
    ck_assert_msg(rows[_i].has_not == NULL || strstr(text, rows[_i].has_not) == NULL, "%s: %s",
                  rows[_i].what, text);
    close(fd);
}
END_TEST

START_TEST(a_connection_serves_one_request_after_another)
{
    char text[TEXT_BYTES];
    int fd = client_open();

    for (int i = 0; i < 20; i++) {
        client_say(fd, i % 2 == 0 ? "GET /hello/a HTTP/1.1\r\n" H "\r\n"
                                  : "GET /none HTTP/1.1\r\n" H "\r\n");
        ck_assert_ptr_nonnull(strstr(client_hear_one(fd, text), i % 2 == 0 ? " 200 " : " 404 "));
        ck_assert_ptr_null(strstr(text, "Connection: "));
    }
    client_say(fd, "GET /hello/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(client_hear_one(fd, text), "Connection: keep-alive\r\n"));
    close(fd);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
    char text[TEXT_BYTES];
    int fd = client_open();
    char *at;

    client_say(fd, "GET /later HTTP/1.1\r\n" H "\r\nGET /hello/b HTTP/1.1\r\n" H "\r\n"
                   "GET /none HTTP/1.1\r\n" H "\r\nGET /hello/c HTTP/1.1\r\n" CLOSE "\r\n");
    ck_assert_int_eq(client_hear(fd, text, 1, 50), -1); /* nothing overtakes the first */
    pending_answer();
    ck_assert(client_hear_end(fd, text));
    at = strstr(text, "\r\n\r\nlater");
    ck_assert_ptr_nonnull(at);
    at = strstr(at, "\r\n\r\nhello b");
    ck_assert_ptr_nonnull(at);
    at = strstr(at, "404 Not Found");
    ck_assert_ptr_nonnull(at);
    ck_assert_ptr_nonnull(strstr(at, "\r\n\r\nhello c"));
    close(fd);
}
END_TEST

START_TEST(a_thousand_pipelined_requests_are_answered)
{
    static const char request[] = "GET /none HTTP/1.1\r\n" H "\r\n";
    char text[TEXT_BYTES];
    size_t bytes = 0;
    ssize_t count;
    char *all = calloc(1, sizeof request * 1000 + 100);
    char *at = all;
    int fd = client_open();

    for (int i = 0; i < 1000; i++)
        at = stpcpy(at, request);
    stpcpy(at, "GET /hello/last HTTP/1.1\r\n" CLOSE "\r\n");
    client_say(fd, all);
    while ((count = client_hear(fd, text, sizeof text, PATIENCE_MS)) > 0)
        bytes += (size_t)count;
    ck_assert_int_eq(count, 0);
    ck_assert_uint_gt(bytes, 1000 * 150); /* a 404 and its problem are longer */
    free(all);
    close(fd);
}
END_TEST

START_TEST(a_half_closed_client_gets_its_answer)
{
    char text[TEXT_BYTES];
    int fd = client_open();

    client_say(fd, "GET /later HTTP/1.1\r\n" H "\r\nGET /hello/b HTTP/1.1\r\n" H "\r\n");
    shutdown(fd, SHUT_WR);
    pending_answer();
    ck_assert(client_hear_end(fd, text));
    ck_assert_ptr_nonnull(strstr(text, "\r\n\r\nlater"));
    ck_assert_ptr_nonnull(strstr(text, "\r\n\r\nhello b"));
    close(fd);
}
END_TEST

START_TEST(a_body_is_waited_for_when_100_was_asked)
{
    char text[TEXT_BYTES];
    int fd = client_open();

    client_say(fd, "PUT /any HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    ck_assert_str_eq(client_hear_one(fd, text), "HTTP/1.1 100 Continue\r\n\r\n");
    client_say(fd, "abc");
    ck_assert_ptr_nonnull(strstr(client_hear_one(fd, text), "\r\n\r\nabc"));
    close(fd);
}
END_TEST

START_TEST(a_refusal_survives_the_body_that_still_comes)
{
    static char body[100 * 1000];
    char text[TEXT_BYTES];
    int fd = client_open();

    client_say(fd, "POST /echo HTTP/1.1\r\n" H "Content-Type: application/json\r\n"
                   "Content-Length: 10000000\r\n\r\n");
    memset(body, ' ', sizeof body);
    body[sizeof body - 1] = '\0';
    client_say(fd, body);
    ck_assert_msg(client_hear_end(fd, text), "reset");
    ck_assert_int_eq(strncmp(text, "HTTP/1.1 413 ", 13), 0);
    close(fd);
}
END_TEST

START_TEST(a_traceparent_is_kept_or_made)
{
    static const char valid[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    char text[TEXT_BYTES];
    int fd = client_open();

    client_say(fd, "GET /trace HTTP/1.1\r\n" H
                   "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(client_hear_one(fd, text), valid));
    client_say(fd, "GET /trace HTTP/1.1\r\n" H "Traceparent: nonsense\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(client_hear_one(fd, text), "\r\n\r\n00-"));
    ck_assert_ptr_null(strstr(text, "nonsense"));
    close(fd);
}
END_TEST

START_TEST(a_big_answer_reaches_a_slow_reader)
{
    static char piece[1 << 16];
    size_t bytes = 0;
    ssize_t count;
    int fd = client_open();

    client_say(fd, "GET /big HTTP/1.1\r\n" CLOSE "\r\n");
    poll(NULL, 0, 50); /* both buffers are full by now */
    while ((count = client_hear(fd, piece, sizeof piece, PATIENCE_MS)) > 0)
        bytes += (size_t)count;
    ck_assert_int_eq(count, 0);
    ck_assert_uint_gt(bytes, BIG_BYTES);
    ck_assert_uint_lt(bytes, BIG_BYTES + 300);
    close(fd);
}
END_TEST

/* ---- deadlines ------------------------------------------------------------------------------- */

static void
short_set_up(void)
{
    server_start((struct http_server_options){
        .head_timeout_ms = 200, .body_timeout_ms = 200, .idle_timeout_ms = 300 });
}

static void
short_tls_set_up(void)
{
    tls_set_up();
    short_set_up();
}

/* Says text, then a byte every 20 ms, until the server answers. */
static void
drip(int fd, const char *text, char answer[TEXT_BYTES])
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

    client_say(fd, text);
    for (int i = 0; i < 100 && poll(&poll_fd, 1, 20) == 0; i++)
        client_send(fd, "a", 1);
    client_hear_end(fd, answer); /* a reset may follow the answer: bytes were on their way */
}

START_TEST(a_slow_head_is_timed_out_from_its_first_byte)
{
    int64_t start_us = clock_steady_us();
    char text[TEXT_BYTES];
    int fd = client_open();

    drip(fd, "GET /hello/", text);
    ck_assert_int_eq(strncmp(text, "HTTP/1.1 408 ", 13), 0);
    ck_assert_int_ge(clock_steady_us() - start_us, 190 * 1000);
    ck_assert_int_lt(clock_steady_us() - start_us, patient_us(1800 * 1000));
    close(fd);
}
END_TEST

START_TEST(a_slow_body_is_timed_out)
{
    char text[TEXT_BYTES];
    int fd = client_open();

    drip(fd,
         "POST /echo HTTP/1.1\r\n" H "Content-Type: application/json\r\n"
         "Content-Length: 10000\r\n\r\n",
         text);
    ck_assert_int_eq(strncmp(text, "HTTP/1.1 408 ", 13), 0);
    close(fd);
}
END_TEST

START_TEST(an_idle_connection_is_closed_without_a_word)
{
    char text[TEXT_BYTES];
    int fd = client_open();

    client_say(fd, "GET /hello/a HTTP/1.1\r\n" H "\r\n");
    client_hear_one(fd, text);
    ck_assert_int_eq(client_hear(fd, text, 1, PATIENCE_MS), 0);
    close(fd);
}
END_TEST

static bool
has_timeout(const struct http_server_counters *counters)
{
    return counters->timeouts > 0 && counters->open == 0;
}

START_TEST(who_does_not_take_the_answer_is_closed)
{
    int fd = client_open();

    client_say(fd, "GET /big HTTP/1.1\r\n" H "\r\n");
    counters_wait(has_timeout);
    close(fd);
}
END_TEST

static bool
has_dropped(const struct http_server_counters *counters)
{
    return counters->dropped == 1;
}

START_TEST(a_late_handler_is_answered_for)
{
    struct http_exchange *exchange;
    char text[TEXT_BYTES];
    int fd = client_open();

    client_say(fd, "GET /soon HTTP/1.1\r\n" H "\r\n");
    exchange = pending_take();
    ck_assert_int_eq(strncmp(client_hear_one(fd, text), "HTTP/1.1 504 ", 13), 0);
    client_say(fd, "GET /hello/a HTTP/1.1\r\n" H "\r\n"); /* the connection goes on */
    ck_assert_ptr_nonnull(strstr(client_hear_one(fd, text), "hello a"));
    ck_assert_str_eq(exchange->request->path, "/soon"); /* still the handler's */
    http_answer(exchange, 200, "text/plain", "stale", 5, NULL);
    counters_wait(has_dropped);
    client_say(fd, "GET /hello/b HTTP/1.1\r\n" H "\r\n");
    ck_assert_ptr_nonnull(strstr(client_hear_one(fd, text), "hello b"));
    close(fd);
}
END_TEST

/* ---- clients that go, and limits ------------------------------------------------------------- */

static bool
has_none_open(const struct http_server_counters *counters)
{
    return counters->open == 0;
}

START_TEST(an_answer_for_who_has_gone_is_dropped)
{
    struct linger now = { .l_onoff = 1 };
    struct http_exchange *exchange;
    int fd = client_open();

    client_say(fd, "GET /later HTTP/1.1\r\n" H "\r\n");
    exchange = pending_take();
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now); /* a reset */
    close(fd);
    counters_wait(has_none_open);
    http_answer(exchange, 200, "text/plain", "stale", 5, NULL);
    counters_wait(has_dropped);
}
END_TEST

/* While an answer is pending only so much is read ahead; afterwards everything is answered. */
START_TEST(reading_stops_when_enough_waits)
{
    static const char request[] = "DELETE /hello/a HTTP/1.1\r\n" H "\r\n";
    size_t bytes = sizeof request - 1, sent = 0, requests, answers = 0;
    int small = 4096, fd = client_open();
    struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
    char text[TEXT_BYTES];

    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    client_say(fd, "GET /later HTTP/1.1\r\n" H "\r\n");
    while (poll(&poll_fd, 1, 100) > 0) {
        ssize_t count = client_send(fd, request + sent % bytes, bytes - sent % bytes);

        sent += count > 0 ? (size_t)count : 0;
        ck_assert_uint_lt(sent, 32 << 20);
    }
    requests = sent / bytes;
    ck_assert_uint_gt(sent, 64 * 1024);
    pending_answer();
    for (int i = 0; answers < requests + 1;) { /* each answer has one "HTTP/1.1 2": count the 2s */
        static const char mark[] = "HTTP/1.1 2";
        ssize_t count = client_hear(fd, text, sizeof text, PATIENCE_MS);

        ck_assert_msg(count > 0, "%zu of %zu answers", answers, requests + 1);
        for (ssize_t k = 0; k < count; k++) {
            i = text[k] == mark[i] ? i + 1 : text[k] == 'H';
            if (mark[i] == '\0') {
                answers++;
                i = 0;
            }
        }
    }
    close(fd);
}
END_TEST

START_TEST(one_connection_too_many_is_told_to_come_back)
{
    char text[TEXT_BYTES];
    int first, second, third;

    server_tear_down();
    server_start((struct http_server_options){ .connections_max = 2 });
    first = client_open();
    second = client_open();
    client_say(first, "GET /hello/a HTTP/1.1\r\n" H "\r\n");
    client_hear_one(first, text);
    third = client_open();
    client_say(third, "GET /hello/a HTTP/1.1\r\n" H "\r\n");
    ck_assert(client_hear_end(third, text));
    ck_assert_int_eq(strncmp(text, "HTTP/1.1 503 ", 13), 0);
    ck_assert_ptr_nonnull(strstr(text, "Retry-After: 1\r\n"));
    close(first);
    close(second);
    close(third);
    counters_wait(has_none_open);
    first = client_open();
    client_say(first, "GET /hello/a HTTP/1.1\r\n" H "\r\n");
    ck_assert_ptr_nonnull(strstr(client_hear_one(first, text), "hello a"));
    close(first);
}
END_TEST

/* A crowd at this port takes nothing of what other ports need: a silent connection makes room for a new one,
 * and where none is silent, the new one is closed. */
START_TEST(beyond_its_share_one_takes_anothers_place)
{
    char text[TEXT_BYTES];
    struct http_exchange *asked[2];
    int silent, busy, next, last;

    server_tear_down();
    server_start((struct http_server_options){ .share_max = 2 });
    silent = client_open();
    busy = client_open();
    client_say(busy, "GET /later HTTP/1.1\r\n" H "\r\n");
    asked[0] = pending_take();
    next = client_open();
    client_say(next, "GET /later HTTP/1.1\r\n" H "\r\n");
    ck_assert(client_hear_end(silent, text));
    ck_assert_str_eq(text, "");
    asked[1] = pending_take();
    last = client_open();
    ck_assert(client_hear_end(last, text));
    ck_assert_str_eq(text, "");
    for (int i = 0; i < 2; i++)
        http_answer(asked[i], 200, "text/plain", "later", 5, NULL);
    ck_assert_ptr_nonnull(strstr(client_hear_one(busy, text), "later"));
    ck_assert_ptr_nonnull(strstr(client_hear_one(next, text), "later"));
    close(silent);
    close(last);
    close(busy);
    close(next);
}
END_TEST

START_TEST(a_thousand_connections_are_served)
{
    enum { COUNT = 1000 };
    static int fds[COUNT];
    int count = https == NULL ? COUNT : COUNT / 5; /* a handshake costs a millisecond */
    struct rlimit limit;
    char text[TEXT_BYTES];

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    ck_assert_uint_gt(limit.rlim_cur, 2 * COUNT + 100);
    for (int i = 0; i < count; i++) {
        fds[i] = client_open();
        client_say(fds[i], "GET /later HTTP/1.1\r\n" H "\r\n");
    }
    for (int i = 0; i < count; i++)
        pending_answer();
    for (int i = 0; i < count; i++) {
        ck_assert_ptr_nonnull(strstr(client_hear_one(fds[i], text), "later"));
        close(fds[i]);
    }
    counters_wait(has_none_open);
}
END_TEST

static bool
has_refused(const struct http_server_counters *counters)
{
    return counters->refused > 0;
}

START_TEST(without_descriptors_the_server_goes_on)
{
    enum { COUNT = 40 };
    int fds[COUNT], count = 0, fd = client_open();
    struct rlimit limit, before;
    char text[TEXT_BYTES];

    client_say(fd, "GET /hello/a HTTP/1.1\r\n" H "\r\n");
    client_hear_one(fd, text);
    for (; count < COUNT; count++) /* sockets first: client and server share the limit */
        fds[count] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    getrlimit(RLIMIT_NOFILE, &before);
    limit = before;
    limit.rlim_cur = (rlim_t)fds[COUNT - 1] + 1;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 0; i < COUNT; i++) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_port = htons((uint16_t)http_server_port(server)),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

        ck_assert_int_eq(connect(fds[i], (struct sockaddr *)&address, sizeof address), 0);
    }
    counters_wait(has_refused);
    client_say(fd, "GET /hello/b HTTP/1.1\r\n" H "\r\n"); /* who is in is served */
    ck_assert_ptr_nonnull(strstr(client_hear_one(fd, text), "hello b"));
    setrlimit(RLIMIT_NOFILE, &before);
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
    close(fd);
    fd = client_open();
    client_say(fd, "GET /hello/c HTTP/1.1\r\n" H "\r\n");
    ck_assert_ptr_nonnull(strstr(client_hear_one(fd, text), "hello c"));
    close(fd);
}
END_TEST

/* ---- its end --------------------------------------------------------------------------------- */

/* The descriptors of silent strangers are given to those who come after them; a client that was here
 * before is not touched. */
START_TEST(who_never_asked_makes_room)
{
    enum { COUNT = 120, ROOM = 24 };
    int fds[COUNT], fd = client_open(), late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)http_server_port(server)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct rlimit limit, before;
    char text[TEXT_BYTES];

    client_say(fd, "GET /hello/a HTTP/1.1\r\n" H "\r\n");
    client_hear_one(fd, text);
    for (int i = 0; i < COUNT; i++)
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    getrlimit(RLIMIT_NOFILE, &before);
    limit = before;
    limit.rlim_cur = (rlim_t)fds[COUNT - 1] + 1 + ROOM;
    while (limit.rlim_cur - descriptors_reserve((size_t)limit.rlim_cur) <
           (rlim_t)fds[COUNT - 1] + 1 + ROOM)
        limit.rlim_cur++;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(connect(fds[i], (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(connect(late, (struct sockaddr *)&address, sizeof address), 0);
    client_begin(late);
    client_say(late, "GET /hello/late HTTP/1.1\r\n" H "\r\n");
    ck_assert_ptr_nonnull(strstr(client_hear_one(late, text), "hello late"));
    ck_assert(client_hear_end(fds[0], text)); /* the first to come is the first to go */
    client_say(fd, "GET /hello/b HTTP/1.1\r\n" H "\r\n");
    ck_assert_ptr_nonnull(strstr(client_hear_one(fd, text), "hello b"));
    setrlimit(RLIMIT_NOFILE, &before);
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
    close(late);
    close(fd);
}
END_TEST

START_TEST(stopping_answers_what_is_in_flight)
{
    struct http_exchange *exchange;
    char text[TEXT_BYTES];
    int busy = client_open(), idle = client_open(), late;
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)http_server_port(server)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    client_say(idle, "GET /hello/a HTTP/1.1\r\n" H "\r\n");
    client_hear_one(idle, text);
    client_say(busy, "GET /later HTTP/1.1\r\n" H "\r\n");
    exchange = pending_take(); /* in flight: the server has read it */
    http_server_stop((struct http_server *)server, PATIENCE_MS);
    ck_assert_int_eq(client_hear(idle, text, 1, PATIENCE_MS), 0); /* idle: closed at once */
    late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ne(connect(late, (struct sockaddr *)&address, sizeof address), 0);
    http_answer(exchange, 200, "text/plain", "later", 5, NULL);
    ck_assert(client_hear_end(busy, text));
    ck_assert_ptr_nonnull(strstr(text, "Connection: close\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "\r\n\r\nlater"));
    close(busy);
    close(idle);
    close(late);
}
END_TEST

START_TEST(the_grace_has_an_end_and_answers_after_it_are_dropped)
{
    struct http_exchange *exchange;
    int64_t start_us;
    char text[TEXT_BYTES];
    int fd = client_open();

    client_say(fd, "GET /later HTTP/1.1\r\n" H "\r\n");
    exchange = pending_take();
    start_us = clock_steady_us();
    http_server_stop(server, 100);
    server = http_server_close(server);
    ck_assert_int_ge(clock_steady_us() - start_us, 100 * 1000);
    ck_assert_int_lt(clock_steady_us() - start_us, patient_us(3 * SECOND_US));
    ck_assert_int_le(client_hear(fd, text, sizeof text, PATIENCE_MS), 0);
    ck_assert_str_eq(exchange->request->path, "/later"); /* outlives the server */
    http_answer(exchange, 200, "text/plain", "stale", 5, NULL);
    close(fd);
}
END_TEST

START_TEST(a_bad_address_is_an_error)
{
    const struct http_table tables[] = { { .routes = routes }, { 0 } };
    struct http_server_options options = { .tables = tables };
    struct http_server *other = NULL;
    char taken[64];

    snprintf(taken, sizeof taken, "127.0.0.1:%d", http_server_port(server));
    options.listen = taken;
    ck_assert_int_eq(http_server_open(&options, &other), ERR_UNREACHABLE);
    options.listen = "8080";
    ck_assert_int_eq(http_server_open(&options, &other), ERR_BAD_REQUEST);
    options.listen = "127.0.0.1:http-of-mars";
    ck_assert_int_eq(http_server_open(&options, &other), ERR_BAD_REQUEST);
    ck_assert_ptr_null(other);
    ck_assert_ptr_null(http_server_close(NULL));
}
END_TEST

/* Once over plain connections, and once over TLS. */
static void
add_answers(TCase *cases)
{
    tcase_add_loop_test(cases, a_request_has_its_answer, 0, ROWS(rows));
    tcase_add_test(cases, a_connection_serves_one_request_after_another);
    tcase_add_test(cases, pipelined_requests_are_answered_in_order);
    tcase_add_test(cases, a_thousand_pipelined_requests_are_answered);
    tcase_add_test(cases, a_half_closed_client_gets_its_answer);
    tcase_add_test(cases, a_body_is_waited_for_when_100_was_asked);
    tcase_add_test(cases, a_refusal_survives_the_body_that_still_comes);
    tcase_add_test(cases, a_traceparent_is_kept_or_made);
    tcase_add_test(cases, a_big_answer_reaches_a_slow_reader);
    tcase_add_test(cases, a_late_handler_is_answered_for);
    tcase_add_test(cases, an_answer_for_who_has_gone_is_dropped);
    tcase_add_test(cases, reading_stops_when_enough_waits);
    tcase_add_test(cases, one_connection_too_many_is_told_to_come_back);
    tcase_add_test(cases, beyond_its_share_one_takes_anothers_place);
    tcase_add_test(cases, a_thousand_connections_are_served);
    tcase_add_test(cases, without_descriptors_the_server_goes_on);
    tcase_add_test(cases, who_never_asked_makes_room);
    tcase_add_test(cases, stopping_answers_what_is_in_flight);
    tcase_add_test(cases, the_grace_has_an_end_and_answers_after_it_are_dropped);
    tcase_add_test(cases, a_bad_address_is_an_error);
}

static void
add_deadlines(TCase *cases)
{
    tcase_add_test(cases, a_slow_head_is_timed_out_from_its_first_byte);
    tcase_add_test(cases, a_slow_body_is_timed_out);
    tcase_add_test(cases, an_idle_connection_is_closed_without_a_word);
    tcase_add_test(cases, who_does_not_take_the_answer_is_closed);
}

int
main(void)
{
    TCase *cases = check_case("answers"), *deadlines = check_case("deadlines"),
          *tls = check_case("answers over TLS"), *tls_deadlines = check_case("deadlines over TLS");

    tcase_add_checked_fixture(cases, server_set_up, server_tear_down);
    add_answers(cases);
    tcase_add_checked_fixture(tls, tls_server_set_up, tls_server_tear_down);
    add_answers(tls);
    tcase_add_checked_fixture(deadlines, short_set_up, server_tear_down);
    add_deadlines(deadlines);
    tcase_add_checked_fixture(tls_deadlines, short_tls_set_up, tls_server_tear_down);
    add_deadlines(tls_deadlines);
    return check_run("wire_http_server", cases, tls, deadlines, tls_deadlines);
}
