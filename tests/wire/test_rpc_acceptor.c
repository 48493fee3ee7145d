/* A server whose descriptors run out: who is in is served, who is silent makes room, and once the crowd
 * has gone all clients are served again. */
#define _GNU_SOURCE /* dup3 */
#include "tests/support/rpc/server_harness.h"

#include "mesh/base/descriptor.h"
#include "mesh/base/listen.h"
#include "mesh/rpc/acceptor.h"
#include "mesh/rpc/server_inner.h"
#include "tests/support/check.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CROWD = 120, /* connections that come at once */
    ROOM = 24,   /* descriptors that the server has for them */
};

static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
enum { HELLO_BYTES = sizeof hello - 1, FRAME_TYPE_AT = 3, SETTINGS = 4 };

static int crowd[CROWD];
static struct rlimit limit_before;

/* ---- clients of plain sockets ---- */

/* Sockets first: client and server of a test share the limit. */
static void
crowd_make(void)
{
    for (int i = 0; i < CROWD; i++)
        crowd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void
socket_connect(int fd, int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
}

static void
crowd_connect_to(int port, const char *words, size_t count)
{
    for (int i = 0; i < CROWD; i++) {
        socket_connect(crowd[i], port);
        /* One that was refused already says so. */
        (void)!send(crowd[i], words, count, MSG_NOSIGNAL);
    }
}

static void
crowd_connect(const char *words, size_t count)
{
    crowd_connect_to(rpc_server_port(server), words, count);
}

static void
crowd_leave(void)
{
    for (int i = 0; i < CROWD; i++)
        close(crowd[i]);
}

/* The lowest limit that leaves this many numbers to connections above the crowd's own sockets. */
static void
limit_set(size_t room)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit_before);
    limit = limit_before;
    limit.rlim_cur = (rlim_t)crowd[CROWD - 1] + 1;
    while (room > 0 && limit.rlim_cur - descriptors_reserve((size_t)limit.rlim_cur) <
                           (rlim_t)crowd[CROWD - 1] + 1 + room)
        limit.rlim_cur++;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void
limit_restore(void)
{
    setrlimit(RLIMIT_NOFILE, &limit_before);
}

/* What the server said first: the type of a frame; -1: it closed the connection; -2: nothing. */
static int
hear(int fd)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    uint8_t frame[9];
    ssize_t count;

    if (poll(&poll_fd, 1, (int)(patient_us(10 * SECOND_US) / 1000)) != 1)
        return -2;
    count = recv(fd, frame, sizeof frame, MSG_WAITALL);
    return count == sizeof frame ? frame[FRAME_TYPE_AT] : -1;
}

/* ---- calls ---- */

static grpc_status_code
call_once(void)
{
    struct answer answer;

    unary_await(restock_start("apple", 7, 5000, NULL), &answer);
    return answer.code;
}

/* A call over a connection of its own, until it is answered. */
static void
wait_for_service(void)
{
    int64_t until_us = clock_steady_us() + patient_us(2 * SECOND_US);
    grpc_status_code code;

    do {
        client_close();
        client_open();
        code = call_once();
    } while (code != GRPC_STATUS_OK && clock_steady_us() < until_us);
    ck_assert_int_eq(code, GRPC_STATUS_OK);
}

static double
connections_counted(const char *outcome)
{
    char series[128];

    snprintf(series, sizeof series,
             "sagamesh_rpc_server_connections_total{listener=\"public\",outcome=\"%s\"}", outcome);
    return metric_shown(server_metrics, series);
}

static bool
crowd_was_refused(void)
{
    return connections_counted("refused") + connections_counted("silent") >= CROWD - 2 * ROOM;
}

static bool
crowd_made_room(void)
{
    return connections_counted("silent") >= CROWD - 2 * ROOM;
}

START_TEST(who_is_silent_makes_room)
{
    ck_assert_int_eq(call_once(), GRPC_STATUS_OK);
    crowd_make();
    limit_set(ROOM);
    crowd_connect("", 0);
    AWAIT(crowd_made_room(), 10);
    ck_assert_int_eq(call_once(), GRPC_STATUS_OK); /* who is in is served */
    wait_for_service();                            /* and who comes now, too */
    crowd_leave();
    limit_restore();
}
END_TEST

START_TEST(a_crowd_that_speaks_is_refused_and_forgotten)
{
    ck_assert_int_eq(call_once(), GRPC_STATUS_OK);
    crowd_make();
    limit_set(ROOM);
    crowd_connect(hello, HELLO_BYTES);
    AWAIT(crowd_was_refused(), 10);
    ck_assert_int_eq(call_once(), GRPC_STATUS_OK);
    ck_assert_int_ne(rpc_server_probe(server, 10000), ERR_UNREACHABLE); /* full is not deaf */
    crowd_leave();
    wait_for_service();
    limit_restore();
}
END_TEST

START_TEST(without_any_descriptor_the_server_goes_on)
{
    ck_assert_int_eq(call_once(), GRPC_STATUS_OK);
    crowd_make();
    limit_set(0);
    crowd_connect(hello, HELLO_BYTES);
    AWAIT(crowd_was_refused(), 10);
    ck_assert_int_eq(call_once(), GRPC_STATUS_OK);
    limit_restore();
    crowd_leave();
    wait_for_service();
}
END_TEST

/* A client of the core's own, where no thread polls for it, needs the server's first words together with
 * its connect: else it may never come in again after a restart of the server. */
START_TEST(the_server_speaks_first)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    socket_connect(fd, rpc_server_port(server));
    ck_assert_int_eq(hear(fd), SETTINGS);
    close(fd);
}
END_TEST

/* clang-format off */
#define WORDS(literal) literal, sizeof(literal) - 1
static const struct {
    const char *what, *words;
    size_t count;
} words[] = {
    { "HTTP/1.1",           WORDS("GET / HTTP/1.1\r\nHost: here\r\n\r\n") },
    { "TLS",                WORDS("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" "aaaaaaaaaaaaaaaaaaaa") },
    { "nearly the preface", WORDS("PRI * HTTP/2.0\r\n\r\nSM\r\n\r!\0\0\0\4\0\0\0\0\0") },
};
/* clang-format on */

/* Waits until the server has nothing more to say. */
static bool
hear_end(int fd)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    char bytes[256];

    while (poll(&poll_fd, 1, (int)(patient_us(10 * SECOND_US) / 1000)) == 1) {
        if (recv(fd, bytes, sizeof bytes, 0) <= 0)
            return true;
    }
    return false;
}

START_TEST(who_speaks_no_http2_is_sent_away)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    socket_connect(fd, rpc_server_port(server));
    ck_assert_int_eq(send(fd, words[_i].words, words[_i].count, MSG_NOSIGNAL),
                     (ssize_t)words[_i].count);
    ck_assert_msg(hear_end(fd), "%s", words[_i].what);
    close(fd);
}
END_TEST

START_TEST(a_port_that_listens_is_heard)
{
    ck_assert_int_eq(rpc_server_probe(server, 10000), ERR_OK);
    ck_assert_int_eq(rpc_server_probe(server, 10000), ERR_OK);
}
END_TEST

/* Connections are taken, and the thread that answers calls stands still: that is deaf, too. */
START_TEST(a_port_whose_thread_stands_still_is_deaf)
{
    pthread_mutex_lock(&server->lock); /* an answer about the health needs it */
    ck_assert_int_eq(rpc_server_probe(server, 200), ERR_UNREACHABLE);
    pthread_mutex_unlock(&server->lock);
    ck_assert_int_eq(rpc_server_probe(server, 10000), ERR_OK);
}
END_TEST

/* ---- the acceptor alone ---- */

static int taken[CROWD + 1];
static atomic_int taken_count;

/* As the core does: it is here until its end has been read. */
static void
keep_it(void *owner, int fd)
{
    int at = atomic_load(&taken_count); /* the acceptor's thread is the only one that adds */

    (void)owner;
    ck_assert_int_le(at, CROWD);
    taken[at] = fd;
    atomic_store(&taken_count, at + 1);
}

static void
take_in_turn(void *owner, int fd)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&lock);
    keep_it(owner, fd);
    pthread_mutex_unlock(&lock);
}

static struct rpc_acceptor *
acceptor_open_with(struct rpc_acceptor_options options)
{
    struct rpc_acceptor *acceptor;

    options.listen = "127.0.0.1:0";
    log_open("test", LOG_ERROR);
    atomic_store(&taken_count, 0);
    ck_assert_int_eq(rpc_acceptor_open(&options, &acceptor), ERR_OK);
    return acceptor;
}

static struct rpc_acceptor *
acceptor_open(void)
{
    return acceptor_open_with((struct rpc_acceptor_options){ .take = keep_it, .silent_ms = 50 });
}

static struct rpc_acceptor_counters
counted(const struct rpc_acceptor *acceptor)
{
    struct rpc_acceptor_counters counters;

    rpc_acceptor_count(acceptor, &counters);
    return counters;
}

/* Two ports of one program: a crowd fills the one that all reach, and who comes to the other is taken. */
START_TEST(a_crowd_leaves_room_at_the_next_port)
{
    struct rpc_acceptor *open = acceptor_open_with(
        (struct rpc_acceptor_options){ .take = take_in_turn, .leaves_room = true });
    struct rpc_acceptor *inner =
        acceptor_open_with((struct rpc_acceptor_options){ .take = take_in_turn });
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    crowd_make();
    limit_set(2 * ROOM);
    rpc_acceptor_start(open);
    rpc_acceptor_start(inner);
    crowd_connect_to(rpc_acceptor_port(open), hello, HELLO_BYTES);
    AWAIT(counted(open).accepted + counted(open).refused == CROWD, 10);
    ck_assert_uint_gt(counted(open).accepted, 0);
    ck_assert_uint_gt(counted(open).refused, 0);
    socket_connect(late, rpc_acceptor_port(inner));
    AWAIT(counted(inner).accepted + counted(inner).refused == 1, 10);
    ck_assert_uint_eq(counted(inner).accepted, 1);
    crowd_leave();
    close(late);
    rpc_acceptor_close(open);
    rpc_acceptor_close(inner);
    for (int i = 0; i < atomic_load(&taken_count); i++)
        close(taken[i]);
    limit_restore();
}
END_TEST

START_TEST(who_says_less_than_a_preface_is_sent_away)
{
    struct rpc_acceptor *acceptor = acceptor_open();
    struct rpc_acceptor_counters counters;
    int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int slow = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    rpc_acceptor_start(acceptor);
    socket_connect(silent, rpc_acceptor_port(acceptor));
    socket_connect(slow, rpc_acceptor_port(acceptor));
    ck_assert_int_eq(send(slow, hello, 1, MSG_NOSIGNAL), 1);
    ck_assert_int_eq(hear(silent), -1);
    ck_assert_int_eq(hear(slow), -1);
    rpc_acceptor_count(acceptor, &counters);
    ck_assert_uint_eq(counters.accepted, 2);
    ck_assert_uint_eq(counters.silent, 2);
    close(silent);
    close(slow);
    rpc_acceptor_close(acceptor);
    close(taken[0]);
    close(taken[1]);
}
END_TEST

/* A number that was closed and is another socket's now is not mistaken for the one that was silent. */
START_TEST(another_socket_of_that_number_is_left_alone)
{
    struct rpc_acceptor *acceptor = acceptor_open();
    struct rpc_acceptor_counters counters;
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), pair[2];
    int later = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char byte;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    rpc_acceptor_start(acceptor);
    socket_connect(client, rpc_acceptor_port(acceptor));
    while (atomic_load(&taken_count) == 0)
        sched_yield();
    ck_assert_int_eq(dup3(pair[0], taken[0], O_CLOEXEC), taken[0]);
    socket_connect(later, rpc_acceptor_port(acceptor));
    ck_assert_int_eq(hear(later), -1); /* they are looked at in the order in which they came */
    rpc_acceptor_count(acceptor, &counters);
    ck_assert_uint_eq(counters.silent, 1);
    ck_assert_int_eq(send(taken[0], "x", 1, MSG_NOSIGNAL), 1);
    ck_assert_int_eq(recv(pair[1], &byte, 1, 0), 1);
    rpc_acceptor_close(acceptor);
    close(taken[0]);
    close(taken[1]);
    close(pair[0]);
    close(pair[1]);
    close(client);
    close(later);
}
END_TEST

START_TEST(a_port_that_nobody_serves_is_deaf)
{
    struct rpc_acceptor *acceptor =
        acceptor_open(); /* the kernel connects, and no thread answers */

    ck_assert_int_eq(rpc_acceptor_probe(acceptor, 50), ERR_UNREACHABLE);
    rpc_acceptor_close(acceptor);
}
END_TEST

/* ---- addresses ---- */

START_TEST(a_name_is_listened_on_at_all_its_addresses)
{
    struct listen listen;

    log_open("test", LOG_ERROR);
    ck_assert_int_eq(listen_open("localhost:0", &listen), ERR_OK);
    ck_assert_uint_ge(listen.count, 1);
    for (size_t i = 0; i < listen.count; i++) {
        struct sockaddr_storage address;
        socklen_t bytes = sizeof address;
        int fd;

        ck_assert_int_eq(getsockname(listen.fds[i], (struct sockaddr *)&address, &bytes), 0);
        fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, bytes), 0);
        close(fd);
    }
    listen_close(&listen);
}
END_TEST

/* clang-format off */
static const struct { const char *text; enum error error; } addresses[] = {
    { "127.0.0.1:0",     ERR_OK },
    { "[::]:0",          ERR_OK },
    { "127.0.0.1",       ERR_BAD_REQUEST },
    { ":7001",           ERR_BAD_REQUEST },
    { "",                ERR_BAD_REQUEST },
    { "127.0.0.1:port",  ERR_BAD_REQUEST },
    { "no.such.host.invalid:0", ERR_BAD_REQUEST },
    { "192.0.2.1:0",     ERR_UNREACHABLE }, /* not ours (RFC 5737) */
};
/* clang-format on */

START_TEST(an_address_is_understood_or_refused)
{
    int lowest = dup(STDIN_FILENO), lowest_after;
    struct listen listen;
    enum error error;

    close(lowest);
    log_open("test", LOG_ERROR + 1);
    error = listen_open(addresses[_i].text, &listen);
    ck_assert_msg(error == addresses[_i].error, "%s: %s", addresses[_i].text, error_name(error));
    listen_close(&listen);
    lowest_after = dup(STDIN_FILENO);
    close(lowest_after);
    ck_assert_int_eq(lowest_after, lowest); /* nothing is left open */
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("server"), *alone = check_case("alone");

    tcase_add_checked_fixture(cases, set_up, take_down);
    tcase_add_test(cases, who_is_silent_makes_room);
    tcase_add_test(cases, a_crowd_that_speaks_is_refused_and_forgotten);
    tcase_add_test(cases, without_any_descriptor_the_server_goes_on);
    tcase_add_test(cases, the_server_speaks_first);
    tcase_add_loop_test(cases, who_speaks_no_http2_is_sent_away, 0, ROWS(words));
    tcase_add_test(cases, a_port_that_listens_is_heard);
    tcase_add_test(cases, a_port_whose_thread_stands_still_is_deaf);
    tcase_add_test(alone, a_crowd_leaves_room_at_the_next_port);
    tcase_add_test(alone, who_says_less_than_a_preface_is_sent_away);
    tcase_add_test(alone, another_socket_of_that_number_is_left_alone);
    tcase_add_test(alone, a_port_that_nobody_serves_is_deaf);
    tcase_add_test(alone, a_name_is_listened_on_at_all_its_addresses);
    tcase_add_loop_test(alone, an_address_is_understood_or_refused, 0, ROWS(addresses));
    return check_run("wire_acceptor", cases, alone);
}
