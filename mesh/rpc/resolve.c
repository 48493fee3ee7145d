/* The thread sleeps in poll() over c-ares' sockets and an eventfd, by which others hurry it or end it. Each look-up has a channel of
 * its own: so a changed /etc/resolv.conf is read, and nothing of one that failed is left for the next. */
#include "mesh/rpc/resolve.h"
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/die.h"
#include "mesh/base/log.h"

#include <ares.h>
#include <arpa/inet.h>
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EACH_US (5 * SECOND_US)
#define AFTER_FAILURE_US SECOND_US
#define LEAST_US (SECOND_US / 4) /* from one look-up to the next */

enum { TRY_MS = 500, TRIES = 2 };

struct rpc_resolver {
    struct rpc_resolver_options options;
    char *name, *servers;
    pthread_t thread;
    int wake_fd;
    atomic_bool is_ending, must_hurry;
    /* the thread's */
    ares_channel channel; /* of the look-up under way */
    bool is_looking, is_lost, has_told;
    int64_t began_us; /* the last look-up */
    int status;
    struct rpc_target found, told;
};

/* ---- a look-up's answer ---- */

static void
address_add(struct rpc_resolver *resolver, const struct sockaddr *address)
{
    struct rpc_target *found = &resolver->found;
    char host[INET6_ADDRSTRLEN], *text = found->addresses[found->count];
    const void *bytes =
        address->sa_family == AF_INET6
            ? (const void *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr
            : (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;

    if (found->count == RPC_ENDPOINTS_MAX)
        return;
    if (inet_ntop(address->sa_family, bytes, host, sizeof host) == NULL)
        return;
    snprintf(text, sizeof found->addresses[0], address->sa_family == AF_INET6 ? "[%s]:%d" : "%s:%d",
             host, resolver->options.port);
    for (size_t i = 0; i < found->count; i++) {
        if (strcmp(found->addresses[i], text) == 0)
            return;
    }
    found->count++;
}

static void
looked_up(void *owner, int status, int timeouts, struct ares_addrinfo *result)
{
    struct rpc_resolver *resolver = owner;

    (void)timeouts;
    resolver->is_looking = false;
    resolver->status = status;
    resolver->found.count = 0;
    if (result == NULL)
        return;
    for (const struct ares_addrinfo_node *node = result->nodes; node != NULL;
         node = node->ai_next) {
        if (node->ai_family == AF_INET || node->ai_family == AF_INET6)
            address_add(resolver, node->ai_addr);
    }
    ares_freeaddrinfo(result);
}

static int
compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool
is_told(const struct rpc_resolver *resolver)
{
    const struct rpc_target *found = &resolver->found, *told = &resolver->told;

    if (!resolver->has_told || found->count != told->count)
        return false;
    for (size_t i = 0; i < found->count; i++) {
        if (strcmp(found->addresses[i], told->addresses[i]) != 0)
            return false;
    }
    return true;
}

static void
log_lost(struct rpc_resolver *resolver, bool is_lost)
{
    if (is_lost == resolver->is_lost)
        return;
    resolver->is_lost = is_lost;
    if (is_lost)
        log_warn("name=%s event=NAME_LOST addresses=%zu because=\"%s\" next=\"keep those; look it "
                 "up again\"",
                 resolver->name, resolver->told.count,
                 resolver->status == ARES_SUCCESS ? "it has no address"
                                                  : ares_strerror(resolver->status));
    else
        log_info("name=%s event=NAME_FOUND addresses=%zu", resolver->name, resolver->found.count);
}

/* Order does not matter to those who are told, so it must not look like a change. */
static void
tell(struct rpc_resolver *resolver)
{
    bool is_lost = resolver->found.count == 0;

    log_lost(resolver, is_lost);
    qsort(resolver->found.addresses, resolver->found.count, sizeof resolver->found.addresses[0],
          compare);
    if (is_told(resolver) || (is_lost && resolver->has_told))
        return;
    resolver->told = resolver->found;
    resolver->has_told = true;
    resolver->options.found(resolver->options.owner, &resolver->told);
}

/* ---- a look-up ---- */

/* False: c-ares cannot even begin, and status says why. */
static bool
channel_open(struct rpc_resolver *resolver)
{
    struct ares_options options = { .timeout = TRY_MS, .tries = TRIES };

    resolver->status =
        ares_init_options(&resolver->channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
    if (resolver->status != ARES_SUCCESS)
        return false;
    if (resolver->servers != NULL)
        resolver->status = ares_set_servers_ports_csv(resolver->channel, resolver->servers);
    if (resolver->status == ARES_SUCCESS)
        return true;
    ares_destroy(resolver->channel);
    return false;
}

/* A bit for each that can be read, above them one for each that can be written; c-ares' own macros shift a signed 1 by 31. */
static size_t
sockets_of(struct rpc_resolver *resolver, struct pollfd *polled)
{
    ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
    unsigned bits = (unsigned)ares_getsock(resolver->channel, sockets, ARES_GETSOCK_MAXNUM);
    size_t count = 0;

    for (unsigned i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
        short events = (short)((bits >> i & 1 ? POLLIN : 0) |
                               (bits >> (i + ARES_GETSOCK_MAXNUM) & 1 ? POLLOUT : 0));

        if (events != 0)
            polled[count++] = (struct pollfd){ .fd = sockets[i], .events = events };
    }
    return count;
}

static void
wake_read(struct rpc_resolver *resolver)
{
    eventfd_t value;

    (void)eventfd_read(resolver->wake_fd, &value); /* it does not block */
}

/* Waits for the answer in steps; a hurry that comes meanwhile is kept for afterwards. */
static void
look_up_step(struct rpc_resolver *resolver)
{
    struct pollfd polled[ARES_GETSOCK_MAXNUM + 1];
    size_t count = sockets_of(resolver, polled);
    struct timeval most = { .tv_usec = 100 * 1000 },
                   *left = ares_timeout(resolver->channel, &most, &most);
    int wait_ms = (int)(left->tv_sec * 1000 + left->tv_usec / 1000) + 1;

    polled[count] = (struct pollfd){ .fd = resolver->wake_fd, .events = POLLIN };
    if (poll(polled, (nfds_t)(count + 1), wait_ms) <= 0) {
        ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        return;
    }
    if (polled[count].revents != 0)
        wake_read(resolver);
    for (size_t i = 0; i < count; i++) {
        short revents = polled[i].revents;

        ares_process_fd(resolver->channel,
                        revents & (POLLIN | POLLERR | POLLHUP) ? polled[i].fd : ARES_SOCKET_BAD,
                        revents & POLLOUT ? polled[i].fd : ARES_SOCKET_BAD);
    }
}

static void
look_up(struct rpc_resolver *resolver)
{
    const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_flags = ARES_AI_NOSORT };

    resolver->began_us = clock_steady_us();
    resolver->found.count = 0;
    if (channel_open(resolver)) {
        resolver->is_looking = true;
        ares_getaddrinfo(resolver->channel, resolver->name, NULL, &hints, looked_up, resolver);
        while (resolver->is_looking && !atomic_load(&resolver->is_ending))
            look_up_step(resolver);
        ares_destroy(resolver->channel); /* what is not answered is, as destroyed */
    }
    if (!atomic_load(&resolver->is_ending))
        tell(resolver);
}

/* ---- the thread ---- */

static int64_t
due_us(const struct rpc_resolver *resolver)
{
    if (atomic_load(&resolver->must_hurry))
        return resolver->began_us + LEAST_US;
    return resolver->began_us + (resolver->is_lost ? AFTER_FAILURE_US : EACH_US);
}

static void *
run(void *argument)
{
    struct rpc_resolver *resolver = argument;

    while (!atomic_load(&resolver->is_ending)) {
        struct pollfd polled = { .fd = resolver->wake_fd, .events = POLLIN };

        atomic_store(&resolver->must_hurry,
                     false); /* before the question: what fails later needs another */
        look_up(resolver);
        while (!atomic_load(&resolver->is_ending)) {
            int64_t left_us = due_us(resolver) - clock_steady_us();

            if (left_us <= 0)
                break;
            if (poll(&polled, 1, (int)(left_us / 1000) + 1) > 0)
                wake_read(resolver);
        }
    }
    return NULL;
}

static void
wake(struct rpc_resolver *resolver)
{
    (void)eventfd_write(resolver->wake_fd, 1); /* it is full: then it is awake */
}

struct rpc_resolver *
rpc_resolver_open(const struct rpc_resolver_options *options)
{
    struct rpc_resolver *resolver = memory_take(sizeof *resolver);

    ares_library_init(ARES_LIB_INIT_ALL);
    resolver->options = *options;
    resolver->name = strdup(options->name);
    resolver->servers = options->servers == NULL ? NULL : strdup(options->servers);
    resolver->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert(resolver->wake_fd >= 0);
    thread_start(&resolver->thread, run, resolver);
    return resolver;
}

void
rpc_resolver_hurry(struct rpc_resolver *resolver)
{
    if (!atomic_exchange(&resolver->must_hurry, true))
        wake(resolver);
}

struct rpc_resolver *
rpc_resolver_close(struct rpc_resolver *resolver)
{
    if (resolver == NULL)
        return NULL;
    atomic_store(&resolver->is_ending, true);
    wake(resolver);
    pthread_join(resolver->thread, NULL);
    close(resolver->wake_fd);
    free(resolver->name);
    free(resolver->servers);
    free(resolver);
    ares_library_cleanup();
    return NULL;
}
