#define _GNU_SOURCE /* accept4 */
#include "mesh/base/listen.h"

#include "mesh/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 4096, PAUSE_MS = 50 };

static enum error
addresses_find(const char *text, struct addrinfo **ret_addresses)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
    char host[256];
    const char *colon = strrchr(text, ':'), *start = text;
    size_t bytes = colon == NULL ? 0 : (size_t)(colon - start);

    if (bytes > 1 && start[0] == '[' && start[bytes - 1] == ']') {
        start++;
        bytes -= 2;
    }
    if (bytes == 0 || bytes >= sizeof host)
        return ERR_BAD_REQUEST;
    memcpy(host, start, bytes);
    host[bytes] = '\0';
    return getaddrinfo(host, colon + 1, &hints, ret_addresses) == 0 ? ERR_OK : ERR_BAD_REQUEST;
}

static int
port_get(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                                                : ((const struct sockaddr_in *)address)->sin_port);
}

static void
port_set(struct sockaddr_storage *address, int port)
{
    if (address->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)address)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)address)->sin_port = htons((uint16_t)port);
}

/* Where the socket is. */
static socklen_t
own_address(int fd, struct sockaddr_storage *ret_address)
{
    socklen_t bytes = sizeof *ret_address;

    memset(ret_address, 0, sizeof *ret_address);
    return getsockname(fd, (struct sockaddr *)ret_address, &bytes) == 0 ? bytes : 0;
}

/* Files of hosts may name one address twice. */
static bool
is_repeated(const struct addrinfo *all, const struct addrinfo *info)
{
    for (; all != info; all = all->ai_next) {
        if (all->ai_addrlen == info->ai_addrlen &&
            memcmp(all->ai_addr, info->ai_addr, info->ai_addrlen) == 0)
            return true;
    }
    return false;
}

/* -1: errno says why. */
static int
socket_open(const struct addrinfo *info, int port)
{
    struct sockaddr_storage address = { 0 };
    int yes = 1, no = 0, because;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    memcpy(&address, info->ai_addr, info->ai_addrlen);
    if (port != 0)
        port_set(&address, port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (bind(fd, (struct sockaddr *)&address, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    because = errno;
    close(fd);
    errno = because;
    return -1;
}

enum error
listen_open(const char *text, struct listen *ret_listen)
{
    struct listen made = { .spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC) };
    struct addrinfo *addresses;
    int because = 0;

    *ret_listen = (struct listen){ .spare_fd = -1 };
    if (addresses_find(text, &addresses) != ERR_OK) {
        listen_close(&made);
        log_error("listen=%s because=\"it is no HOST:PORT\"", text);
        return ERR_BAD_REQUEST;
    }
    for (struct addrinfo *info = addresses; info != NULL && made.count < LISTEN_SOCKETS_MAX;
         info = info->ai_next) {
        struct sockaddr_storage address;
        int fd;

        if (is_repeated(addresses, info))
            continue;
        fd = socket_open(info, made.port);
        if (fd < 0) {
            /* A machine without IPv6 has localhost in its files with ::1 all the same. */
            if (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)
                continue;
            because = errno;
            break;
        }
        made.fds[made.count++] = fd;
        if (own_address(fd, &address) != 0)
            made.port = port_get(&address);
    }
    freeaddrinfo(addresses);
    if (because != 0 || made.count == 0) {
        listen_close(&made);
        log_error("event=LISTEN_FAILED listen=%s because=\"%s\"", text,
                  because == 0 ? "no address of that name is ours" : strerror(because));
        return ERR_UNREACHABLE;
    }
    *ret_listen = made;
    return ERR_OK;
}

void
listen_close(struct listen *listen)
{
    for (size_t i = 0; i < listen->count; i++)
        close(listen->fds[i]);
    listen->count = 0;
    if (listen->spare_fd >= 0)
        close(listen->spare_fd);
    listen->spare_fd = -1;
}

static void
accept_by_spare(struct listen *listen, int listen_fd)
{
    int fd;

    if (listen->spare_fd >= 0)
        close(listen->spare_fd);
    fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    listen->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    log_warn("port=%d event=CONNECTION_DROPPED because=\"no file descriptor is free\"",
             listen->port);
    if (fd < 0) { /* the machine has none at all, or another thread was faster: do not spin */
        const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000L * 1000 };

        nanosleep(&pause, NULL);
    }
}

enum listen_outcome
listen_accept(struct listen *listen, int listen_fd, struct sockaddr_storage *ret_address,
              int *ret_fd)
{
    struct sockaddr_storage ignored;
    struct sockaddr *address = (struct sockaddr *)(ret_address == NULL ? &ignored : ret_address);

    for (;;) {
        socklen_t bytes = sizeof ignored;

        *ret_fd = accept4(listen_fd, address, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (*ret_fd >= 0)
            return LISTEN_TAKEN;
        if (errno == EAGAIN)
            return LISTEN_NONE;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            accept_by_spare(listen, listen_fd);
            return LISTEN_DROPPED;
        }
        if (errno == EBADF || errno == EINVAL || errno == ENOTSOCK || errno == EOPNOTSUPP ||
            errno == EFAULT)
            return LISTEN_NONE; /* a defect; the probe of the port will tell */
        /* Else this connection failed before it was taken: the next one. */
    }
}

int
listen_connect(const struct listen *listen)
{
    struct sockaddr_storage address;
    socklen_t bytes = own_address(listen->fds[0], &address); /* of a wildcard: loopback, by Linux */
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int because;

    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&address, bytes) == 0 || errno == EINPROGRESS)
        return fd;
    because = errno;
    close(fd);
    errno = because;
    return -1;
}
