/* choice.h -- Which replica of a service is asked, and which is left out.
 *
 * A call with a key goes where the key's hash with the replica's address is the highest (rendezvous hashing): one key, one
 * replica, by every client alike, also after a restart; when a replica goes only its own keys move, and they come back with it. A
 * call without a key goes to the one with less under way of two that are drawn.
 *
 * A replica that is not well is left out, but at most half of them are: when most of them look ill, the
 * eye that looks may be what is ill.
 *
 * Thread    Pure.
 */
#ifndef MESH_RPC_CHOICE_H
#define MESH_RPC_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rpc_candidate {
    uint64_t id;        /* rpc_key() of its address */
    uint32_t under_way; /* calls that wait for it or are with it */
    bool is_left_out;
    int64_t unwell_us; /* since when; 0: it is well */
};

/* Never 0, which means that there is none. */
uint64_t rpc_key(const void *data, size_t bytes);

/* Sets is_left_out: the longest unwell first, at most half of them. Returns how many. */
size_t rpc_leave_out(struct rpc_candidate *candidates, size_t count);

/* tried: a bit for each that must not be asked again; random: any number. RPC_NOWHERE: there is no other. */
#define RPC_NOWHERE SIZE_MAX
size_t rpc_choose(const struct rpc_candidate *candidates, size_t count, uint64_t key,
                  uint64_t tried, uint32_t random);

#endif
