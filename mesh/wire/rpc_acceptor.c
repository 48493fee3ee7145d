#define _GNU_SOURCE /* EPOLLRDHUP */
#include "mesh/wire/rpc_acceptor.h"

#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/descriptor.h"
#include "mesh/base/listen.h"
#include "mesh/base/log.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 64,
    ACCEPTS_MAX = 64,  /* in a turn, so that who has spoken is handed over between them */
    SILENT_MS = 10000, /* as long as the HTTP server waits for a head */
    GONE_MS = 20000,   /* data that a peer does not acknowledge for so long: it is gone */
};

/* What every HTTP/2 client says first (RFC 9113, 3.4), and the shortest SETTINGS. */
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
static const char settings[] = { 0, 0, 0, 4, 0, 0, 0, 0, 0 };
enum { PREFACE_BYTES = sizeof preface - 1 };

/* A connection that has not spoken yet. */
struct silent {
    struct silent *next, *before; /* in the order of arrival */
    int64_t until_us;
    int fd;
};

struct rpc_acceptor {
    struct rpc_acceptor_options options;
    struct listen listen;
    int epoll_fd, event_fd;
    pthread_t thread;
    bool is_started;
    atomic_bool must_stop;
    struct silent *oldest, *newest;
    atomic_uint_fast64_t accepted, refused, silent;
};

/* ---- silent connections ---- */

static void
silent_remove(struct rpc_acceptor *acceptor, struct silent *silent)
{
    if (silent->before != NULL)
        silent->before->next = silent->next;
    else
        acceptor->oldest = silent->next;
    if (silent->next != NULL)
        silent->next->before = silent->before;
    else
        acceptor->newest = silent->before;
    free(silent);
}

static void
silent_close(struct rpc_acceptor *acceptor, struct silent *silent)
{
    close(silent->fd); /* takes it out of epoll too */
    silent_remove(acceptor, silent);
    atomic_fetch_add(&acceptor->silent, 1);
}

/* The socket counts as readable once a whole preface is there, or its end: without this a peer that
 * sends a byte and stops would wake the loop without end. */
static bool
socket_prepare(int fd)
{
    int yes = 1, least = PREFACE_BYTES;
    unsigned gone_ms = GONE_MS;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &gone_ms, sizeof gone_ms);
    return setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least) == 0;
}

static void
silent_add(struct rpc_acceptor *acceptor, int fd)
{
    struct silent *silent = memory_take(sizeof *silent);
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = silent };

    silent->fd = fd;
    silent->until_us = clock_steady_us() + acceptor->options.silent_ms * INT64_C(1000);
    silent->before = acceptor->newest;
    if (acceptor->newest != NULL)
        acceptor->newest->next = silent;
    else
        acceptor->oldest = silent;
    acceptor->newest = silent;
    atomic_fetch_add(&acceptor->accepted, 1);
    if (!socket_prepare(fd) || epoll_ctl(acceptor->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        silent_close(acceptor, silent);
}

/* It has something to say, or it is over. True: it was closed. */
static bool
silent_event(struct rpc_acceptor *acceptor, struct silent *silent)
{
    char bytes[PREFACE_BYTES];
    int fd = silent->fd, any = 1;
    ssize_t count = recv(fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);

    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (count < PREFACE_BYTES || memcmp(bytes, preface, PREFACE_BYTES) != 0) {
        silent_close(acceptor, silent);
        return true;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &any, sizeof any);
    epoll_ctl(acceptor->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    silent_remove(acceptor, silent);
    acceptor->options.take(acceptor->options.owner, fd);
    return false;
}

static void
silent_expire(struct rpc_acceptor *acceptor)
{
    int64_t now_us = clock_steady_us();

    while (acceptor->oldest != NULL && acceptor->oldest->until_us <= now_us)
        silent_close(acceptor, acceptor->oldest);
}

/* ---- accepting ---- */

/* Closes the connection that has been silent for longest; those that have spoken meanwhile are the
 * core's. False: none is silent. */
static bool
make_room(struct rpc_acceptor *acceptor)
{
    while (acceptor->oldest != NULL) {
        struct silent *silent = acceptor->oldest;

        if (silent_event(acceptor, silent))
            return true;
        if (acceptor->oldest == silent) {
            silent_close(acceptor, silent);
            return true;
        }
    }
    return false;
}

static void
take_in(struct rpc_acceptor *acceptor, int fd)
{
    if (descriptor_is_in_reserve(fd)) {
        if (!make_room(acceptor)) {
            close(fd);
            atomic_fetch_add(&acceptor->refused, 1);
            log_warn("port=%d event=CONNECTION_REFUSED because=\"all descriptors but the reserve "
                     "are in use (ulimit -n, --descriptors-max)\"",
                     acceptor->listen.port);
            return;
        }
        fd = descriptor_lower(fd);
    }
    silent_add(acceptor, fd);
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
    left_us = acceptor->oldest->until_us - clock_steady_us();
    return left_us <= 0 ? 0 : (int)(left_us / 1000) + 1;
}

static bool
is_listening(const struct rpc_acceptor *acceptor, const void *owner)
{
    const int *fd = owner;

    return fd >= acceptor->listen.fds && fd < acceptor->listen.fds + acceptor->listen.count;
}

/* Connections first: accepting may close a silent one whose event is in the same list. */
static void
events_take(struct rpc_acceptor *acceptor, const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        void *owner = events[i].data.ptr;

        if (owner != &acceptor->event_fd && !is_listening(acceptor, owner))
            silent_event(acceptor, owner);
    }
    for (int i = 0; i < count; i++) {
        if (is_listening(acceptor, events[i].data.ptr))
            accept_all(acceptor, *(int *)events[i].data.ptr);
    }
}

static void *
acceptor_main(void *context)
{
    struct rpc_acceptor *acceptor = context;
    struct epoll_event events[EVENTS_MAX];

    while (!atomic_load(&acceptor->must_stop)) {
        int count = epoll_wait(acceptor->epoll_fd, events, EVENTS_MAX, wait_ms(acceptor));

        events_take(acceptor, events, count);
        silent_expire(acceptor);
    }
    return NULL;
}

/* ---- opening and closing ---- */

static bool
watch(struct rpc_acceptor *acceptor, int *fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = fd };

    return epoll_ctl(acceptor->epoll_fd, EPOLL_CTL_ADD, *fd, &event) == 0;
}

static bool
descriptors_open(struct rpc_acceptor *acceptor)
{
    bool is_open;

    acceptor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    acceptor->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    is_open = watch(acceptor, &acceptor->event_fd);
    for (size_t i = 0; is_open && i < acceptor->listen.count; i++)
        is_open = watch(acceptor, &acceptor->listen.fds[i]);
    return is_open;
}

enum error
rpc_acceptor_open(const struct rpc_acceptor_options *options, struct rpc_acceptor **ret_acceptor)
{
    struct rpc_acceptor *acceptor = memory_take(sizeof *acceptor);
    enum error error = listen_open(options->listen, &acceptor->listen);

    acceptor->options = *options;
    if (acceptor->options.silent_ms == 0)
        acceptor->options.silent_ms = SILENT_MS;
    acceptor->epoll_fd = acceptor->event_fd = -1;
    if (error != ERR_OK) {
        free(acceptor);
        return error;
    }
    if (!descriptors_open(acceptor)) {
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
    sigset_t all, before;

    sigfillset(&all); /* signals are main's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&acceptor->thread, NULL, acceptor_main, acceptor) != 0)
        abort();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
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
    while (acceptor->oldest != NULL)
        silent_close(acceptor, acceptor->oldest);
    listen_close(&acceptor->listen);
    if (acceptor->epoll_fd >= 0)
        close(acceptor->epoll_fd);
    if (acceptor->event_fd >= 0)
        close(acceptor->event_fd);
    free(acceptor);
    return NULL;
}

/* ---- the probe ---- */

/* Waits for what events ask for. False: the time is over. */
static bool
wait_for(int fd, short events, int64_t until_us)
{
    struct pollfd poll_fd = { .fd = fd, .events = events };
    int64_t left_us;

    while ((left_us = until_us - clock_steady_us()) > 0) {
        if (poll(&poll_fd, 1, (int)(left_us / 1000) + 1) > 0)
            return true;
    }
    return false;
}

enum error
rpc_acceptor_probe(const struct rpc_acceptor *acceptor, int wait_ms)
{
    int64_t until_us = clock_steady_us() + wait_ms * INT64_C(1000);
    char hello[PREFACE_BYTES + sizeof settings], byte;
    int fd = listen_connect(&acceptor->listen);
    bool is_answered;

    if (fd < 0)
        return ERR_BUSY;
    memcpy(hello, preface, PREFACE_BYTES);
    memcpy(hello + PREFACE_BYTES, settings, sizeof settings);
    is_answered = wait_for(fd, POLLOUT, until_us) &&
                  /* A program that is full may have closed it already: that is an answer too. */
                  (send(fd, hello, sizeof hello, MSG_NOSIGNAL) < 0
                       ? errno == EPIPE || errno == ECONNRESET
                       : wait_for(fd, POLLIN, until_us) &&
                             (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0 || errno == ECONNRESET));
    close(fd);
    return is_answered ? ERR_OK : ERR_UNREACHABLE;
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
