/* Every wait is a poll() of the connection's socket, up to the caller's limit. */
#include "mesh/store/pg_wait.h"
#include "mesh/base/clock.h"

#include <errno.h>
#include <poll.h>

#define LOOK_US (100 * 1000)

/* Waits until the socket can be read (or, with want_write, written). False: dead or too slow. */
static bool
wait_socket(PGconn *connection, bool want_write, struct pg_limit limit)
{
    struct pollfd socket = { .fd = PQsocket(connection),
                             .events = (short)(want_write ? POLLIN | POLLOUT : POLLIN) };
    int64_t left_us = limit.until_us - clock_steady_us();

    if (left_us <= 0 || (limit.is_over != NULL && atomic_load(limit.is_over)))
        return false;
    if (limit.is_over != NULL && left_us > LOOK_US)
        left_us = LOOK_US;
    if (poll(&socket, 1, (int)(left_us / 1000) + 1) < 0)
        return errno == EINTR; /* a debugger or a profiler passed by */
    if ((socket.revents & (POLLIN | POLLHUP | POLLERR)) != 0)
        return PQconsumeInput(connection) == 1;
    return true;
}

bool
pg_wait_flush(PGconn *connection, struct pg_limit limit)
{
    int left;

    while ((left = PQflush(connection)) == 1) {
        if (!wait_socket(connection, true, limit))
            return false;
    }
    return left == 0;
}

bool
pg_wait_result(PGconn *connection, struct pg_limit limit, PGresult **ret_result)
{
    while (PQisBusy(connection)) {
        if (!wait_socket(connection, false, limit))
            return false;
    }
    *ret_result = PQgetResult(connection);
    return PQstatus(connection) == CONNECTION_OK;
}

PGresult *
pg_wait_answer(PGconn *connection, bool was_sent, struct pg_limit limit)
{
    PGresult *last = NULL, *next = NULL;

    if (!was_sent || !pg_wait_flush(connection, limit))
        return NULL;
    while (pg_wait_result(connection, limit, &next)) {
        if (next == NULL)
            return last;
        PQclear(last);
        last = next;
        next = NULL;
    }
    PQclear(next);
    PQclear(last);
    return NULL;
}

const char *
pg_wait_words(const PGconn *connection)
{
    const char *words = PQerrorMessage(connection);

    return words[0] == '\0' ? "it does not answer" : words;
}
