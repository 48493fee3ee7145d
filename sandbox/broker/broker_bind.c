/* A file of its own: all of the program that listens calls it, the ops port too, and it calls none of them. */
#include "sandbox/broker/broker_bind.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static in_port_t wanted_port; /* network order; 0: given away, or none is wanted */

void
broker_bind_want(in_port_t port)
{
    wanted_port = port;
}

/* Stands before libc's, for all of the process: what asks for a port by number, or for any when none is wanted, gets
 * what it asks for. */
int
bind(int fd, const struct sockaddr *address, socklen_t bytes)
{
    struct sockaddr_in own;

    if (wanted_port != 0 && address->sa_family == AF_INET && bytes >= sizeof own) {
        memcpy(&own, address, sizeof own);
        if (own.sin_port == 0) {
            int on = 1;

            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* a restart finds its port */
            own.sin_port = wanted_port;
            wanted_port = 0;
            return (int)syscall(SYS_bind, fd, &own, sizeof own);
        }
    }
    return (int)syscall(SYS_bind, fd, address, bytes);
}
