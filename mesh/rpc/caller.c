#include "mesh/rpc/caller.h"
#include "mesh/base/hash.h"
#include "mesh/base/queue.h"
#include "mesh/base/text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* The address of the other end, without its port. 0: it is not known, or the loopback's. */
static size_t
host_of(int fd, unsigned char host[16])
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer;
    socklen_t bytes = sizeof peer;

    if (getpeername(fd, &peer.any, &bytes) != 0)
        return 0;
    if (peer.any.sa_family == AF_INET) {
        memcpy(host, &peer.v4.sin_addr, 4);
        return ntohl(peer.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET ? 0 : 4;
    }
    if (peer.any.sa_family != AF_INET6 || IN6_IS_ADDR_LOOPBACK(&peer.v6.sin6_addr))
        return 0;
    memcpy(host, &peer.v6.sin6_addr, 16);
    return IN6_IS_ADDR_V4MAPPED(&peer.v6.sin6_addr) && host[12] == IN_LOOPBACKNET ? 0 : 16;
}

/* A certificate has one such URI, else it is not let in (tls.c); the core ends its texts with a NUL. */
void
rpc_caller_open(grpc_call *call, struct rpc_caller *ret_caller)
{
    const grpc_auth_property *property = NULL;

    ret_caller->context = grpc_call_auth_context(call);
    if (ret_caller->context != NULL) {
        grpc_auth_property_iterator found = grpc_auth_context_find_properties_by_name(
            ret_caller->context, GRPC_PEER_SPIFFE_ID_PROPERTY_NAME);

        property = grpc_auth_property_iterator_next(&found);
    }
    ret_caller->identity = property == NULL ? "" : property->value;
}

void
rpc_caller_close(struct rpc_caller *caller)
{
    grpc_auth_context_release(caller->context);
}

static unsigned
lane_of(const void *bytes, size_t count)
{
    return 1 + (unsigned)(hash_in_memory(bytes, count) % (QUEUE_LANES - 1));
}

unsigned
rpc_caller_lane(const char *identity, const char *peer)
{
    unsigned char host[16];
    size_t bytes = 0;
    int64_t fd;

    if (identity[0] != '\0')
        return lane_of(identity, strlen(identity));
    if (strncmp(peer, "fd:", 3) == 0 && text_read_int(peer + 3, 0, INT32_MAX, &fd))
        bytes = host_of((int)fd, host);
    return bytes > 0 ? lane_of(host, bytes) : lane_of(peer, strlen(peer));
}
