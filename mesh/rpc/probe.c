#include "mesh/rpc/probe.h"
#include "mesh/rpc/tls.h"

#include "mesh/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A whole client's side of the call, as RFC 9113 and RFC 7541 write it. The pieces of the header block
 * are literals without indexing, so that their lengths can be read off. */
/* clang-format off */
#define PREFACE  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define SETTINGS "\0\0\0\4\0\0\0\0\0"
#define HEADER_BLOCK                                                   \
    "\x83\x86"                             /* :method POST, :scheme http */ \
    "\x04\x1c/grpc.health.v1.Health/Check" /* :path */                     \
    "\x01\x05probe"                        /* :authority */                \
    "\x0f\x10\x10" "application/grpc"      /* content-type */              \
    "\x00\x02te\x08trailers"
#define HEADERS  "\0\0\x47\1\4\0\0\0\1"         /* its length, END_HEADERS, of stream 1 */
#define MESSAGE  "\0\0\5\0\1\0\0\0\1\0\0\0\0\0" /* an empty one, END_STREAM */
/* clang-format on */

static const char question[] = PREFACE SETTINGS HEADERS HEADER_BLOCK MESSAGE;
_Static_assert(sizeof HEADER_BLOCK - 1 == 0x47, "as its frame says");

enum { QUESTION_BYTES = sizeof question - 1, FRAME_HEAD_BYTES = 9, TYPE_AT = 3 };
enum { FRAME_HEADERS = 1, FRAME_RESET = 3, FRAME_GOAWAY = 7 };

/* Waits for what events ask for. False: the time is over. */
static bool
wait_for(int fd, short events, int64_t until_us)
{
    struct pollfd polled = { .fd = fd, .events = events };
    int64_t left_us;

    while ((left_us = until_us - clock_steady_us()) > 0) {
        if (poll(&polled, 1, (int)(left_us / 1000) + 1) > 0)
            return true;
    }
    return false;
}

/* True: all of it is here. False: the time is over, or *ret_is_over the connection is. */
static bool
receive(int fd, uint8_t *bytes, size_t count, int64_t until_us, bool *ret_is_over)
{
    *ret_is_over = false;
    while (count > 0) {
        ssize_t taken;

        if (!wait_for(fd, POLLIN, until_us))
            return false;
        taken = recv(fd, bytes, count, MSG_DONTWAIT);
        if (taken < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (taken <= 0) {
            *ret_is_over = true;
            return false;
        }
        bytes += taken;
        count -= (size_t)taken;
    }
    return true;
}

/* Reads frames until one is an answer. */
static bool
is_answered(int fd, int64_t until_us)
{
    uint8_t head[FRAME_HEAD_BYTES], body[256];
    bool is_over;

    for (;;) {
        size_t left;

        if (!receive(fd, head, sizeof head, until_us, &is_over))
            return is_over;
        if (head[TYPE_AT] == FRAME_HEADERS || head[TYPE_AT] == FRAME_RESET ||
            head[TYPE_AT] == FRAME_GOAWAY)
            return true;
        left = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        while (left > 0) {
            size_t part = left < sizeof body ? left : sizeof body;

            if (!receive(fd, body, part, until_us, &is_over))
                return is_over;
            left -= part;
        }
    }
}

enum error
rpc_probe(const struct listen *listen, int wait_ms)
{
    int64_t until_us = clock_steady_us() + wait_ms * INT64_C(1000);
    int fd = listen_connect(listen);
    bool is_heard = false;

    if (fd < 0)
        return ERR_BUSY;
    if (wait_for(fd, POLLOUT, until_us)) {
        if (rpc_tls_is_on()) {
            enum error error = rpc_tls_probe(fd, until_us);

            close(fd);
            return error;
        }
        /* The whole of it fits into the buffer of a socket that is new. */
        if (send(fd, question, QUESTION_BYTES, MSG_NOSIGNAL) == QUESTION_BYTES)
            is_heard = is_answered(fd, until_us);
        else
            is_heard = errno == EPIPE || errno == ECONNRESET; /* closed already, by who is full */
    }
    close(fd);
    return is_heard ? ERR_OK : ERR_UNREACHABLE;
}
