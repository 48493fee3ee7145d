#include "mesh/rpc/acceptor.h"
#include "mesh/base/die.h"

#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/descriptor.h"
#include "mesh/base/listen.h"
#include "mesh/base/log.h"
#include "mesh/rpc/probe.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    ACCEPTS_MAX = 64,   /* in a turn */
    SILENT_MS = 10000,  /* as long as the HTTP server waits for a head */
    GONE_MS = 20000,    /* data that a peer does not acknowledge for so long: it is gone */
    PREFACE_BYTES = 24, /* what every HTTP/2 client says first (RFC 9113, 3.4) */
    CLOSED_TRIES = 50,  /* looks whether the core has closed what was ended, a millisecond apart */
};

/* A connection that had not spoken when it was looked at last. The descriptor is the core's, which may
 * have closed it, and its number may be another socket's by now: the inode tells. */
struct silent {
    struct silent *next;
    int64_t since_us;
    ino_t inode;
    int fd;
};

struct rpc_acceptor {
    struct rpc_acceptor_options options;
    struct listen listen;
    int event_fd;
    pthread_t thread;
    bool is_started;
    atomic_bool must_stop;
    struct silent *oldest, **newest_end; /* in the order of arrival */
    atomic_uint_fast64_t accepted, refused, silent;
};

/* ---- connections that may be silent ---- */

static ino_t
inode_of(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

/* Ends the connection if it is still there and has said less than a preface. It is looked at through a
 * descriptor of our own, which the core cannot close meanwhile. */
static bool
silent_end(struct rpc_acceptor *acceptor, const struct silent *silent)
{
    int own = fcntl(silent->fd, F_DUPFD_CLOEXEC, 0);
    struct tcp_info info = { 0 };
    socklen_t bytes = sizeof info;
    bool is_silent = own >= 0 && inode_of(own) == silent->inode &&
                     getsockopt(own, IPPROTO_TCP, TCP_INFO, &info, &bytes) == 0 &&
                     info.tcpi_bytes_received < PREFACE_BYTES;

    if (is_silent) {
        atomic_fetch_add(&acceptor->silent, 1);
        shutdown(own, SHUT_RDWR);
    }
    if (own >= 0)
        close(own);
    return is_silent;
}

/* Looks at the oldest, and forgets it. True: it was ended. */
static bool
oldest_end(struct rpc_acceptor *acceptor, struct silent *ret_ended)
{
    struct silent *silent = acceptor->oldest;
    bool is_ended = silent_end(acceptor, silent);

    acceptor->oldest = silent->next;
    if (acceptor->oldest == NULL)
        acceptor->newest_end = &acceptor->oldest;
    *ret_ended = *silent;
    free(silent);
    return is_ended;
}

static void
silent_expire(struct rpc_acceptor *acceptor)
{
    int64_t until_us = clock_steady_us() - acceptor->options.silent_ms * INT64_C(1000);
    struct silent ended;

    while (acceptor->oldest != NULL && acceptor->oldest->since_us <= until_us)
        oldest_end(acceptor, &ended);
}

/* The core closes what was ended as soon as it has read that. False: it takes too long. */
static bool
wait_closed(const struct silent *ended)
{
    const struct timespec moment = { .tv_nsec = 1000 * 1000 };

    for (int i = 0; i < CLOSED_TRIES; i++) {
        if (inode_of(ended->fd) != ended->inode)
            return true;
        nanosleep(&moment, NULL);
    }
    return false;
}

/* ---- accepting ---- */

/* Ends the connection that has been silent for longest. False: none is. */
static bool
make_room(struct rpc_acceptor *acceptor)
{
    struct silent ended;

    while (acceptor->oldest != NULL) {
        if (oldest_end(acceptor, &ended))
            return wait_closed(&ended);
    }
    return false;
}

static void
hand_over(struct rpc_acceptor *acceptor, int fd)
{
    struct silent *silent = memory_take(sizeof *silent);
    unsigned gone_ms = GONE_MS;
    int yes = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &gone_ms, sizeof gone_ms);
    *silent = (struct silent){ .fd = fd, .inode = inode_of(fd), .since_us = clock_steady_us() };
    *acceptor->newest_end = silent;
    acceptor->newest_end = &silent->next;
    atomic_fetch_add(&acceptor->accepted, 1);
    acceptor->options.take(acceptor->options.owner, fd);
}

static void
take_in(struct rpc_acceptor *acceptor, int fd)
{
    if (descriptor_is_in_reserve(fd, acceptor->options.leaves_room)) {
        if (!make_room(acceptor)) {
            close(fd);
            atomic_fetch_add(&acceptor->refused, 1);
            log_warn("port=%d event=CONNECTION_REFUSED because=\"all descriptors but the reserve%s "
                     "are in use (ulimit -n, --descriptors-max)\"",
                     acceptor->listen.port,
                     acceptor->options.leaves_room ? " and the inner port's share" : "");
            return;
        }
        fd = descriptor_lower(fd);
    }
    hand_over(acceptor, fd);
}

static void
accept_all(struct rpc_acceptor *acceptor, int listen_fd)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd;

        switch (listen_accept(&acceptor->listen, listen_fd, NULL, &fd)) {
        case LISTEN_TAKEN:
            take_in(acceptor, fd);
            break;
        case LISTEN_DROPPED:
            atomic_fetch_add(&acceptor->refused, 1);
            return;
        case LISTEN_NONE:
            return;
        }
    }
}

/* ---- the loop ---- */

static int
wait_ms(const struct rpc_acceptor *acceptor)
{
    int64_t left_us;

    if (acceptor->oldest == NULL)
        return -1;
    left_us = acceptor->oldest->since_us + acceptor->options.silent_ms * INT64_C(1000) -
              clock_steady_us();
    return left_us <= 0 ? 0 : (int)(left_us / 1000) + 1;
}

static void *
acceptor_main(void *context)
{
    struct rpc_acceptor *acceptor = context;
    struct pollfd polled[LISTEN_SOCKETS_MAX + 1];
    size_t count = acceptor->listen.count;

    for (size_t i = 0; i < count; i++)
        polled[i] = (struct pollfd){ .fd = acceptor->listen.fds[i], .events = POLLIN };
    polled[count] = (struct pollfd){ .fd = acceptor->event_fd, .events = POLLIN };
    while (!atomic_load(&acceptor->must_stop)) {
        int ready = poll(polled, count + 1, wait_ms(acceptor));

        for (size_t i = 0; ready > 0 && i < count; i++) {
            if (polled[i].revents != 0)
                accept_all(acceptor, polled[i].fd);
        }
        silent_expire(acceptor);
    }
    return NULL;
}

/* ---- opening and closing ---- */

enum error
rpc_acceptor_open(const struct rpc_acceptor_options *options, struct rpc_acceptor **ret_acceptor)
{
    struct rpc_acceptor *acceptor = memory_take(sizeof *acceptor);
    enum error error = listen_open(options->listen, &acceptor->listen);

    acceptor->options = *options;
    if (acceptor->options.silent_ms == 0)
        acceptor->options.silent_ms = SILENT_MS;
    acceptor->newest_end = &acceptor->oldest;
    if (error != ERR_OK) {
        free(acceptor);
        return error;
    }
    acceptor->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (acceptor->event_fd < 0) {
        log_error("listen=%s because=\"%s\"", options->listen, strerror(errno));
        rpc_acceptor_close(acceptor);
        return ERR_UNREACHABLE;
    }
    *ret_acceptor = acceptor;
    return ERR_OK;
}

void
rpc_acceptor_start(struct rpc_acceptor *acceptor)
{
    thread_start(&acceptor->thread, acceptor_main, acceptor);
    acceptor->is_started = true;
}

int
rpc_acceptor_port(const struct rpc_acceptor *acceptor)
{
    return acceptor->listen.port;
}

struct rpc_acceptor *
rpc_acceptor_close(struct rpc_acceptor *acceptor)
{
    const uint64_t one = 1;

    if (acceptor == NULL)
        return NULL;
    if (acceptor->is_started) {
        atomic_store(&acceptor->must_stop, true);
        while (write(acceptor->event_fd, &one, sizeof one) < 0 && errno == EINTR)
            continue;
        pthread_join(acceptor->thread, NULL);
    }
    while (acceptor->oldest != NULL) {
        struct silent *silent = acceptor->oldest;

        acceptor->oldest = silent->next; /* the core ends it with all others */
        free(silent);
    }
    listen_close(&acceptor->listen);
    if (acceptor->event_fd >= 0)
        close(acceptor->event_fd);
    free(acceptor);
    return NULL;
}

enum error
rpc_acceptor_probe(const struct rpc_acceptor *acceptor, int wait_ms)
{
    return rpc_probe(&acceptor->listen, wait_ms);
}

void
rpc_acceptor_count(const struct rpc_acceptor *acceptor, struct rpc_acceptor_counters *ret_counters)
{
    *ret_counters = (struct rpc_acceptor_counters){
        .accepted = atomic_load(&acceptor->accepted),
        .refused = atomic_load(&acceptor->refused),
        .silent = atomic_load(&acceptor->silent),
    };
}
