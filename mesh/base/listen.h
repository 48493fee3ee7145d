/* listen.h -- Sockets that listen at "HOST:PORT", and what they accept.
 *
 * A name may have several addresses ("localhost": ::1 and 127.0.0.1); each gets a socket, all with one
 * port. "[::]" takes IPv4 too.
 *
 * A socket with a connection in its backlog stays readable. So accept() must never fail without
 * taking that connection, or the loop that polls the socket spins: where no descriptor is left, a
 * spare one is given up to take the connection and close it.
 *
 * Thread    One at a time.
 * Errors    BAD_REQUEST: the text is no HOST:PORT. UNREACHABLE: it cannot be listened on. Logged.
 */
#ifndef MESH_BASE_LISTEN_H
#define MESH_BASE_LISTEN_H

#include "mesh/base/error.h"

#include <stddef.h>
#include <sys/socket.h>

enum { LISTEN_SOCKETS_MAX = 4 };

struct listen {
    int fds[LISTEN_SOCKETS_MAX]; /* not blocking */
    size_t count;
    int port;
    int spare_fd;
};

enum listen_outcome {
    LISTEN_TAKEN,   /* *ret_fd is the caller's; it does not block */
    LISTEN_NONE,    /* no connection waits */
    LISTEN_DROPPED, /* no descriptor was free: it was taken and closed, or could not even be that */
};

/* text: "127.0.0.1:8080", "[::1]:8080"; port 0 picks a free one. After an error *ret_listen has no
 * socket, and may be closed. */
enum error listen_open(const char *text, struct listen *ret_listen);
void listen_close(struct listen *listen);

/* The next connection of one of the sockets. address may be NULL. */
enum listen_outcome listen_accept(struct listen *listen, int listen_fd,
                                  struct sockaddr_storage *ret_address, int *ret_fd);

/* A new TCP connection to our own port, not waited for: poll for POLLOUT. -1: none, see errno. */
int listen_connect(const struct listen *listen);

#endif
