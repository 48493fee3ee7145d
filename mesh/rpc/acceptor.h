/* acceptor.h -- Takes connections for gRPC's C core, so that no fault of accept() makes it deaf.
 *
 * The core of Debian 12 closes its ears for good when accept() says EMFILE once. Therefore it does not
 * listen: this thread does, and gives the core each connection at once. (Not only when it has spoken:
 * the core's own clients, where no thread polls for them, may see the server's first words and their own
 * connect in one look or not at all.)
 *
 * A connection that has not said HTTP/2's preface after silent_ms is ended. One whose number is in the
 * reserve (mesh/base/descriptor.h) takes the place of the one that has been silent for longest; where
 * none is silent it is closed at once. So strangers who connect and say nothing keep no client out,
 * and clients that are in are never touched. Silent ones are ended at the own port alone; so where a program has a second
 * one, which strangers do not reach, the first leaves it room.
 *
 * Thread    One of its own; options.take is called there. open, close: main.
 * Errors    Those of listen_open().
 */
#ifndef MESH_RPC_ACCEPTOR_H
#define MESH_RPC_ACCEPTOR_H

#include "mesh/base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct rpc_acceptor;

struct rpc_acceptor_options {
    const char *listen; /* "127.0.0.1:7401"; port 0 picks a free one */
    /* Takes over a connection; the descriptor is the owner's to close. */
    void (*take)(void *owner, int fd);
    void *owner;
    int silent_ms;    /* for the preface; 0: 10 s */
    bool leaves_room; /* as descriptor_is_in_reserve() has it */
};

/* Listens; what connects waits in the kernel until rpc_acceptor_start(). */
enum error rpc_acceptor_open(const struct rpc_acceptor_options *options,
                             struct rpc_acceptor **ret_acceptor);
void rpc_acceptor_start(struct rpc_acceptor *acceptor);
int rpc_acceptor_port(const struct rpc_acceptor *acceptor);

/* Closes the port and what was silent. NULL is fine. Returns NULL. */
struct rpc_acceptor *rpc_acceptor_close(struct rpc_acceptor *acceptor);

/* See probe.h. */
enum error rpc_acceptor_probe(const struct rpc_acceptor *acceptor, int wait_ms);

struct rpc_acceptor_counters {
    uint64_t accepted; /* given to the core */
    uint64_t refused;  /* closed at once: all descriptors but the reserve are in use */
    uint64_t silent;   /* ended because they said nothing, or less than a preface */
};
void rpc_acceptor_count(const struct rpc_acceptor *acceptor,
                        struct rpc_acceptor_counters *ret_counters);

#endif
