/* division.h -- How the orchestrators that live divide the shards among them.
 *
 * Each has its even share: all numbers differ by one at most. A member that has more gives up the rest, one that has
 * less takes what nobody has; no other shard moves. Members may see different things for a moment: then two want one
 * shard, and the database says whose it is, or nobody wants one until the next look.
 *
 * Thread    Pure.
 */
#ifndef SAGA_DIVISION_H
#define SAGA_DIVISION_H

#include "mesh/base/uuid.h"

#include <stddef.h>

enum { DIVISION_NOBODY = -1 };

enum division_move { DIVISION_STAY, DIVISION_TAKE, DIVISION_GIVE };

/* members: those that live, in any order. owners: for each shard its member's index, or DIVISION_NOBODY. me: an index.
 * moves: what that member is to do with each shard. */
void division_decide(const struct uuid *members, size_t member_count, const int *owners,
                     size_t shard_count, size_t me, enum division_move *moves);

#endif
