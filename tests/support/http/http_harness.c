#include "tests/support/http/http_harness.h"

#include "tests/support/certificates.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* Exchanges that a handler has left unanswered, for the test to answer. */
struct pending {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct http_exchange *exchanges[PENDING_MAX];
    size_t count;
};

static void
handle_hello(struct http_exchange *exchange)
{
    const char *text = arena_print(exchange->arena, "hello %s", exchange->parameters[0]);

    http_answer(exchange, 200, "text/plain", text, strlen(text), NULL);
}

static void
handle_two(struct http_exchange *exchange)
{
    static const char *const headers[] = { "X-One: 1\r\nX-Two: 2", NULL }; /* an attempt at two */
    const char *text = arena_print(exchange->arena, "%s+%s %s", exchange->parameters[0],
                                   exchange->parameters[1], exchange->remote_address);

    http_answer(exchange, 201, "text/plain", text, strlen(text), headers);
}

static void
handle_echo(struct http_exchange *exchange)
{
    http_answer(exchange, 200, "application/json", (const char *)exchange->request->body,
                exchange->request->body_bytes, NULL);
}

static void
handle_trace(struct http_exchange *exchange)
{
    http_answer(exchange, 200, "text/plain", exchange->traceparent, strlen(exchange->traceparent),
                NULL);
}

static void
handle_no_content(struct http_exchange *exchange)
{
    http_answer(exchange, 204, "text/plain", "dropped", 7, NULL);
}

static void
handle_problem(struct http_exchange *exchange)
{
    http_answer_problem(exchange, &(struct http_problem){ .status = 409,
                                                          .code = "NO_STOCK",
                                                          .detail = "nothing is \"left\"" });
}

static void
handle_big(struct http_exchange *exchange)
{
    char *text = arena_take(exchange->arena, BIG_BYTES);

    memset(text, 'b', BIG_BYTES);
    http_answer(exchange, 200, "text/plain", text, BIG_BYTES, NULL);
}

static void
handle_later(struct http_exchange *exchange)
{
    struct pending *pending = exchange->owner;

    pthread_mutex_lock(&pending->lock);
    ck_assert_uint_lt(pending->count, PENDING_MAX);
    pending->exchanges[pending->count++] = exchange;
    pthread_cond_signal(&pending->filled);
    pthread_mutex_unlock(&pending->lock);
}

/* Who shows a pass may come in. */
static bool
admit(void *owner, struct http_exchange *exchange, struct http_problem *ret_problem)
{
    static const char *const challenge[] = { "WWW-Authenticate: Pass", NULL };
    const char *pass = http_header_find(exchange->request, "pass");

    ck_assert_ptr_eq(owner, exchange->owner);
    exchange->admitted = arena_print(exchange->arena, "%s is in", pass);
    *ret_problem = (struct http_problem){
        .status = 401, .code = "NO_PASS", .detail = "a pass is needed", .headers = challenge
    };
    return pass[0] != '\0';
}

static void
handle_guarded(struct http_exchange *exchange)
{
    const char *text = exchange->admitted;

    http_answer(exchange, 200, "text/plain", text, strlen(text), NULL);
}

/* clang-format off */
const struct http_route routes[] = {
    { .method = "GET",    .path = "/hello/{name}",  .handler = handle_hello },
    { .method = "DELETE", .path = "/hello/{name}",  .handler = handle_no_content },
    { .method = "GET",    .path = "/two/{a}/x/{b}", .handler = handle_two },
    { .method = "POST",   .path = "/echo",          .handler = handle_echo,  .body_bytes_max = 65536, .content_type = "application/json" },
    { .method = "PUT",    .path = "/any",           .handler = handle_echo,  .body_bytes_max = 64 },
    { .method = "POST",   .path = "/bodyless",      .handler = handle_no_content },
    { .method = "POST",   .path = "/keep",          .handler = handle_later, .body_bytes_max = 65536 },
    { .method = "GET",    .path = "/trace",         .handler = handle_trace },
    { .method = "GET",    .path = "/problem",       .handler = handle_problem },
    { .method = "GET",    .path = "/big",           .handler = handle_big },
    { .method = "GET",    .path = "/later",         .handler = handle_later },
    { .method = "GET",    .path = "/soon",          .handler = handle_later, .deadline_ms = 100 },
    { 0 },
};
static const struct http_route guarded_routes[] = {
    { .method = "POST",   .path = "/guarded",       .handler = handle_guarded, .body_bytes_max = 65536, .content_type = "text/plain" },
    { 0 },
};
/* clang-format on */

static struct pending pending;

struct http_server *server;

void
server_start(struct http_server_options options)
{
    memset(&pending, 0, sizeof pending);
    pthread_mutex_init(&pending.lock, NULL);
    pthread_cond_init(&pending.filled, NULL);
    options.listen = "127.0.0.1:0";
    options.https = https;
    options.tables = (const struct http_table[]){
        { .routes = routes, .owner = &pending },
        { .routes = guarded_routes, .owner = &pending, .gate = { admit, &pending } },
        { 0 }
    };
    ck_assert_int_eq(http_server_open(&options, &server), ERR_OK);
}

void
server_set_up(void)
{
    server_start((struct http_server_options){ 0 });
}

/* ---- TLS ---- */

enum { SESSIONS_MAX = 8192 };

struct https *https;
struct file_watch *https_files;
static SSL_CTX *client_context;
static SSL *sessions
    [SESSIONS_MAX]; /* by descriptor; one that was closed stays until its number comes again */

void
tls_set_up(void)
{
    static char cert[512], key[512];
    const struct https_settings settings = { .cert = cert, .key = key, .hsts_seconds = 60 };

    signal(SIGPIPE, SIG_IGN); /* as every program does */
    certificates_open();
    certificate_make("ca", NULL, NULL, 30, 1);
    certificate_make("server", "ca", "DNS:localhost", 30, 2);
    snprintf(cert, sizeof cert, "%s", certificate_path("server.crt"));
    snprintf(key, sizeof key, "%s", certificate_path("server.key"));
    https_files = file_watch_new(NULL);
    ck_assert_int_eq(https_open(&settings, NULL, https_files, &https), ERR_OK);
    client_context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(client_context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(client_context, SSL_VERIFY_PEER, NULL);
    ck_assert_int_eq(SSL_CTX_load_verify_file(client_context, certificate_path("ca.crt")), 1);
}

void
tls_tear_down(void)
{
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        SSL_free(sessions[i]);
        sessions[i] = NULL;
    }
    SSL_CTX_free(client_context);
    https = https_close(https);
    https_files = file_watch_free(https_files);
    certificates_close();
}

void
tls_server_set_up(void)
{
    tls_set_up();
    server_set_up();
}

void
tls_server_tear_down(void)
{
    server_tear_down();
    tls_tear_down();
}

SSL *
tls_client_new(int fd)
{
    SSL *ssl = SSL_new(client_context);

    fcntl(fd, F_SETFL, O_NONBLOCK);
    SSL_set_fd(ssl, fd);
    SSL_set1_host(ssl, "localhost");
    SSL_set_tlsext_host_name(ssl, "localhost");
    SSL_set_connect_state(ssl);
    return ssl;
}

void
client_begin(int fd)
{
    ck_assert_int_lt(fd, SESSIONS_MAX);
    SSL_free(sessions[fd]);
    sessions[fd] = https == NULL ? NULL : tls_client_new(fd);
}

/* False: the call will not succeed any more. */
static bool
tls_wait(SSL *ssl, int result, int wait_ms)
{
    int want = SSL_get_error(ssl, result);
    struct pollfd poll_fd = { .fd = SSL_get_fd(ssl),
                              .events = want == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT };

    if (want != SSL_ERROR_WANT_READ && want != SSL_ERROR_WANT_WRITE)
        return false;
    return wait_ms > 0 && poll(&poll_fd, 1, wait_ms) > 0;
}

/* As client_hear(). A server that closes without close_notify is heard as a reset, but before the handshake is over. */
static ssize_t
tls_hear(SSL *ssl, char *bytes, size_t size, int wait_ms)
{
    int64_t until_us = clock_steady_us() + wait_ms * 1000LL;

    for (;;) {
        int64_t left_ms = (until_us - clock_steady_us()) / 1000;
        int result;

        ERR_clear_error();
        result = SSL_read(ssl, bytes, (int)size);
        if (result > 0)
            return result;
        if (SSL_get_error(ssl, result) == SSL_ERROR_ZERO_RETURN)
            return 0;
        if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
            return SSL_is_init_finished(ssl) ? -1 : 0;
        if (!tls_wait(ssl, result, left_ms > 0 ? (int)left_ms : 0))
            return -1;
    }
}

/* ---- the server and its clients ---- */

void
server_tear_down(void)
{
    server = http_server_close(server);
}

struct http_exchange *
pending_take(void)
{
    struct http_exchange *exchange;
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    pthread_mutex_lock(&pending.lock);
    while (pending.count == 0) {
        if (pthread_cond_timedwait(&pending.filled, &pending.lock, &until) != 0)
            ck_abort_msg("no request has come");
    }
    exchange = pending.exchanges[0];
    pending.count--;
    memmove(pending.exchanges, pending.exchanges + 1, pending.count * sizeof exchange);
    pthread_mutex_unlock(&pending.lock);
    return exchange;
}

void
pending_answer(void)
{
    http_answer(pending_take(), 200, "text/plain", "later", 5, NULL);
}

int
client_open(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)http_server_port(server)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    client_begin(fd);
    return fd;
}

ssize_t
client_send(int fd, const char *bytes, size_t count)
{
    if (sessions[fd] == NULL)
        return send(fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    ERR_clear_error();
    return SSL_write(sessions[fd], bytes, (int)count);
}

void
client_say(int fd, const char *text)
{
    size_t bytes = strlen(text), sent = 0;

    if (sessions[fd] == NULL) {
        ck_assert_int_eq(send(fd, text, bytes, MSG_NOSIGNAL), (ssize_t)bytes);
        return;
    }
    while (sent < bytes) {
        ssize_t count = client_send(fd, text + sent, bytes - sent);

        sent += count > 0 ? (size_t)count : 0;
        ck_assert(count > 0 || tls_wait(sessions[fd], (int)count, PATIENCE_MS));
    }
}

ssize_t
client_hear(int fd, char *bytes, size_t size, int wait_ms)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

    if (sessions[fd] != NULL)
        return tls_hear(sessions[fd], bytes, size, wait_ms);
    if (poll(&poll_fd, 1, wait_ms) <= 0)
        return -1;
    return recv(fd, bytes, size, 0);
}

bool
client_hear_end(int fd, char text[TEXT_BYTES])
{
    size_t used = 0;
    ssize_t count;

    while ((count = client_hear(fd, text + used, TEXT_BYTES - 1 - used, PATIENCE_MS)) > 0)
        used += (size_t)count;
    text[used] = '\0';
    return count == 0;
}

const char *
client_hear_one(int fd, char text[TEXT_BYTES])
{
    size_t used = 0;

    for (;;) {
        char *end, *length;
        ssize_t count = client_hear(fd, text + used, TEXT_BYTES - 1 - used, PATIENCE_MS);

        ck_assert_msg(count > 0, "the answer ends early: %.*s", (int)used, text);
        used += (size_t)count;
        text[used] = '\0';
        end = strstr(text, "\r\n\r\n");
        length = strstr(text, "Content-Length: ");
        if (end != NULL &&
            text + used >= end + 4 + (length == NULL ? 0 : strtoul(length + 16, NULL, 10)))
            return text;
    }
}

void
counters_wait(bool (*is_so)(const struct http_server_counters *))
{
    struct http_server_counters counters;
    int64_t until_us = clock_steady_us() + PATIENCE_MS * 1000;

    do {
        http_server_count(server, &counters);
        if (is_so(&counters))
            return;
        poll(NULL, 0, 2);
    } while (clock_steady_us() < until_us);
    ck_abort_msg("the counters do not get there");
}
