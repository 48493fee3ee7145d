/* members.h -- The orchestrators that live, and which of them has which shard.
 *
 * Each has a row with its address and a number that it raises each second (beats), and looks at the rows of all four
 * times a second. A member whose number has stood still for four seconds by the looker's own steady time, while the
 * looker saw the database all along, is dead: no wall clock is compared with another, and an outage of the database kills
 * nobody. Nobody's shards, and those of the dead, are taken by division.h; a row of saga_lease says whose a shard is.
 * One that finds its own address in another's row has taken that one's place: two cannot listen there.
 *
 * Leases are for order alone. What keeps two from deciding for one saga is the epoch of the journal (mesh/store/journal.h),
 * which the shard's thread raises before it reads.
 *
 * Thread    members_open, members_begin, members_close: main. A thread of its own looks. All others: any.
 * Errors    While the database is away members_are_seen() is false, and nothing moves.
 */
#ifndef SAGA_MEMBERS_H
#define SAGA_MEMBERS_H

#include "mesh/observe/metrics.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MEMBERS_ADDRESS_BYTES_MAX = 262 };

struct members;

struct members_options {
    const char *conninfo;
    size_t shard_count;
    /* A shard's place has changed; the members' thread. Must not block. */
    void (*changed)(void *owner, size_t shard);
    void *owner;
    struct metrics *metrics; /* NULL: nothing is counted */
};

struct members *members_open(const struct members_options *options);

/* From now on others may call this one at the address, and it takes shards. Once. */
void members_begin(struct members *members, const char *address);

/* Gives up what it has, once no shard's thread decides any more. NULL is fine. Returns NULL. */
struct members *members_close(struct members *members);

enum members_place {
    MEMBERS_NOBODYS,
    MEMBERS_OTHERS, /* its address is known */
    MEMBERS_OURS,
    MEMBERS_GIVEN, /* ours, and to be given up: members_let_go() */
};
/* address: MEMBERS_ADDRESS_BYTES_MAX, of another; or NULL. */
enum members_place members_look(struct members *members, size_t shard, char *address);

/* Is it ours, and to stay so? */
bool members_have(struct members *members, size_t shard);

/* Whether the last look saw the database; before the first one, false. */
bool members_are_seen(struct members *members);

/* Its thread decides no more: others may take it. */
void members_let_go(struct members *members, size_t shard);

/* Another has raised its epoch: it is nobody's until the next look, which comes at once. */
void members_lost(struct members *members, size_t shard);

#endif
