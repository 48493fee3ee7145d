#include "saga/division.h"

#include <string.h>

static size_t
count_owned(const int *owners, size_t shard_count, size_t member)
{
    size_t count = 0;

    for (size_t i = 0; i < shard_count; i++)
        count += owners[i] == (int)member;
    return count;
}

/* Where shards are left over one more goes to those that have most already, so that fewest move; among equals their
 * ids decide, which all members see alike. */
static size_t
share_of(const struct uuid *members, size_t member_count, const int *owners, size_t shard_count,
         size_t me)
{
    size_t mine = count_owned(owners, shard_count, me), before = 0;

    for (size_t i = 0; i < member_count; i++) {
        size_t its = count_owned(owners, shard_count, i);

        before +=
            its > mine || (its == mine && memcmp(&members[i], &members[me], sizeof members[i]) < 0);
    }
    return shard_count / member_count + (before < shard_count % member_count);
}

void
division_decide(const struct uuid *members, size_t member_count, const int *owners,
                size_t shard_count, size_t me, enum division_move *moves)
{
    size_t share = share_of(members, member_count, owners, shard_count, me);
    size_t mine = count_owned(owners, shard_count, me);

    for (size_t i = 0; i < shard_count; i++) {
        moves[i] = DIVISION_STAY;
        if (owners[i] == DIVISION_NOBODY && mine < share) {
            moves[i] = DIVISION_TAKE;
            mine++;
        }
    }
    for (size_t i = shard_count; i-- > 0;) {
        if (owners[i] == (int)me && mine > share) {
            moves[i] = DIVISION_GIVE;
            mine--;
        }
    }
}
