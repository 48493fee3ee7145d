/* A server that is frozen while a program connects to it, and a healthy one behind it in the list. */
#include "mesh/base/clock.h"
#include "mesh/store/pg.h"
#include "mesh/store/pg_timeline.h"
#include "tests/support/check.h"
#include "tests/support/store/pg_fixture.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { UNTIL_IT_IS_OVER_MS = 20, HELLO = -1 };

/* Answers as PostgreSQL does, and from one question of a connection on not at all, on no connection:
 * connections stay open, and new ones find the backlog of a process that does not run. */
struct frozen {
    int listener, port;
    int answers_left; /* HELLO: it does not even greet */
    atomic_bool is_over;
    pthread_t thread;
};

static struct pg_fixture fixture;
static struct frozen frozen;

static bool
read_whole(int fd, void *bytes, size_t count)
{
    return recv(fd, bytes, count, MSG_WAITALL) == (ssize_t)count;
}

/* Reads a message after its type; only its length is of interest. */
static bool
read_body(int fd, uint32_t *ret_first)
{
    char rest[8192];
    uint32_t bytes;

    if (!read_whole(fd, &bytes, 4) || (bytes = ntohl(bytes) - 4) > sizeof rest)
        return false;
    if (!read_whole(fd, rest, bytes))
        return false;
    if (bytes >= 4)
        memcpy(ret_first, rest, 4);
    return true;
}

static void
say(int fd, const char *bytes, size_t count)
{
    ck_assert_int_eq(send(fd, bytes, count, MSG_NOSIGNAL), (ssize_t)count);
}

#define SAY(fd, bytes) say(fd, bytes, sizeof(bytes) - 1)

static void
greet(int fd)
{
    uint32_t code = 0;

    while (read_body(fd, &code) && ntohl(code) != 196608) /* TLS, GSS: no */
        SAY(fd, "N");
    SAY(fd, "R\0\0\0\10\0\0\0\0"
            "S\0\0\0\30server_version\00015.0\0"
            "S\0\0\0\27in_hot_standby\0off\0"
            "S\0\0\0\46default_transaction_read_only\0off\0"
            "Z\0\0\0\5I");
}

/* Answers each question with no rows, as if the statement was done. */
static void
serve(int fd)
{
    uint32_t ignored;
    char type;

    if (frozen.answers_left == HELLO)
        return;
    greet(fd);
    while (read_whole(fd, &type, 1) && read_body(fd, &ignored)) {
        if (type == 'X')
            return;
        if (type != 'Q' && type != 'S') /* of Parse only its Sync is answered */
            continue;
        if (frozen.answers_left == 0) {
            frozen.answers_left = HELLO;
            return;
        }
        frozen.answers_left--;
        if (type == 'Q')
            SAY(fd, "C\0\0\0\10SET\0Z\0\0\0\5I");
        else
            SAY(fd, "1\0\0\0\4Z\0\0\0\5I");
    }
}

static void *
frozen_main(void *unused)
{
    int fds[64];
    size_t count = 0;

    (void)unused;
    while (!atomic_load(&frozen.is_over) && count < sizeof fds / sizeof *fds) {
        struct pollfd listener = { .fd = frozen.listener, .events = POLLIN };

        if (poll(&listener, 1, UNTIL_IT_IS_OVER_MS) <= 0)
            continue;
        fds[count] = accept(frozen.listener, NULL, NULL);
        serve(fds[count++]);
    }
    while (count > 0)
        close(fds[--count]);
    return NULL;
}

static void
frozen_open(int answers)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t bytes = sizeof address;

    frozen.listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(frozen.listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(frozen.listener, 64), 0);
    ck_assert_int_eq(getsockname(frozen.listener, (struct sockaddr *)&address, &bytes), 0);
    frozen.port = ntohs(address.sin_port);
    frozen.answers_left = answers;
    atomic_store(&frozen.is_over, false);
    ck_assert_int_eq(pthread_create(&frozen.thread, NULL, frozen_main, NULL), 0);
}

static void
frozen_close(void)
{
    atomic_store(&frozen.is_over, true);
    pthread_join(frozen.thread, NULL);
    close(frozen.listener);
}

/* The frozen server, and the test's one behind it. */
static const char *
conninfo_behind_it(void)
{
    static char conninfo[900];
    const char *host = strstr(fixture.conninfo, "host="), *port = strstr(fixture.conninfo, "port=");

    ck_assert_ptr_nonnull(host);
    ck_assert_ptr_nonnull(port);
    snprintf(conninfo, sizeof conninfo, "%s host=127.0.0.1,%.*s port=%d,%.*s", fixture.conninfo,
             (int)strcspn(host + 5, " "), host + 5, frozen.port, (int)strcspn(port + 5, " "),
             port + 5);
    return conninfo;
}

static const struct pg_statement one = { .name = "one", .sql = "SELECT 1" },
                                 two = { .name = "two", .sql = "SELECT 2" };

static const struct pg_statement *const statements[] = { &one, &two, NULL };

/* The first two connections ask for its timeline only: before hosts are chosen, and when it is taken. */
/* clang-format off */
static const struct { const char *what; int answers; } stages[] = {
    { "it does not greet",                                  HELLO },
    { "it is silent when asked for its timeline",           0 },
    { "it is silent when it is taken",                      1 },
    { "it is silent when the session is set up",            2 },
    { "it is silent when a second statement is prepared",   4 },
};
/* clang-format on */

START_TEST(a_frozen_host_is_left)
{
    struct pg *pg;
    int tries = 0;

    pg_timeline_open("");
    frozen_open(stages[_i].answers);
    pg = pg_new(conninfo_behind_it(), "test", statements);
    while (pg_connect(pg) != ERR_OK) {
        ck_assert_msg(++tries < 100, "%s", stages[_i].what);
        poll(NULL, 0, UNTIL_IT_IS_OVER_MS); /* right after a failure none is tried */
    }
    ck_assert_int_eq(pg_run(pg, "SELECT 1"), ERR_OK);
    ck_assert_int_eq(frozen.answers_left, HELLO); /* it was asked, so far as it was to answer */
    pg_free(pg);
    frozen_close();
}
END_TEST

/* A program that is to end does not wait for it. */
START_TEST(what_is_over_waits_for_none)
{
    atomic_bool is_over = true;
    int64_t began_us = clock_steady_us();
    struct pg *pg;

    pg_timeline_open("");
    frozen_open(2);
    pg = pg_new(conninfo_behind_it(), "test", statements);
    pg_be_patient(pg, INT64_C(3600) * 1000 * 1000, &is_over);
    ck_assert_int_eq(pg_connect(pg), ERR_STORE_DOWN);
    ck_assert_int_lt(clock_steady_us() - began_us, INT64_C(60) * 1000 * 1000);
    pg_free(pg);
    frozen_close();
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("frozen");
    int failed;

    pg_fixture_open(&fixture, "store_pg_frozen", NULL);
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, a_frozen_host_is_left, 0, ROWS(stages));
    tcase_add_test(cases, what_is_over_waits_for_none);
    failed = check_run("store_pg_frozen", cases);
    pg_fixture_close(&fixture);
    return failed;
}
