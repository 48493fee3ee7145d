/* All of it is a walk over a handful of replicas: no table to keep, nothing that a change of them must mend. */
#include "mesh/rpc/choice.h"

/* Keys are mostly ids of 16 bytes: a call into a shared library would take longer than their hash does. */
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t
rpc_key(const void *data, size_t bytes)
{
    uint64_t key = XXH3_64bits(data, bytes);

    return key == 0 ? 1 : key;
}

/* The one that has been unwell for longest and is not left out yet; NULL: there is none. */
static struct rpc_candidate *
longest_unwell(struct rpc_candidate *candidates, size_t count)
{
    struct rpc_candidate *longest = NULL;

    for (size_t i = 0; i < count; i++) {
        struct rpc_candidate *candidate = &candidates[i];

        if (candidate->unwell_us != 0 && !candidate->is_left_out &&
            (longest == NULL || candidate->unwell_us < longest->unwell_us))
            longest = candidate;
    }
    return longest;
}

size_t
rpc_leave_out(struct rpc_candidate *candidates, size_t count)
{
    size_t left_out = 0;
    struct rpc_candidate *longest;

    for (size_t i = 0; i < count; i++)
        candidates[i].is_left_out = false;
    while (left_out < count / 2 && (longest = longest_unwell(candidates, count)) != NULL) {
        longest->is_left_out = true;
        left_out++;
    }
    return left_out;
}

static bool
may_be_asked(const struct rpc_candidate *candidates, size_t index, uint64_t tried)
{
    return !candidates[index].is_left_out && (tried >> index & 1) == 0;
}

/* The steps of splitmix64, which make of two hashes a third. */
static uint64_t
weight(uint64_t key, uint64_t id)
{
    uint64_t mixed = key ^ id;

    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

static size_t
choose_by_key(const struct rpc_candidate *candidates, size_t count, uint64_t key, uint64_t tried)
{
    size_t best = RPC_NOWHERE;
    uint64_t highest = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t its = weight(key, candidates[i].id);

        if (may_be_asked(candidates, i, tried) && (best == RPC_NOWHERE || its > highest)) {
            best = i;
            highest = its;
        }
    }
    return best;
}

/* The nth of those that may be asked. */
static size_t
nth(const struct rpc_candidate *candidates, size_t n, uint64_t tried)
{
    size_t index = 0;

    for (;; index++) {
        if (may_be_asked(candidates, index, tried) && n-- == 0)
            return index;
    }
}

static size_t
choose_by_load(const struct rpc_candidate *candidates, size_t count, uint64_t tried,
               uint32_t random)
{
    size_t choices = 0, first, second;

    for (size_t i = 0; i < count; i++)
        choices += may_be_asked(candidates, i, tried);
    if (choices == 0)
        return RPC_NOWHERE;
    first = (random & 0xffff) % choices;
    if (choices == 1)
        return nth(candidates, first, tried);
    second = (first + 1 + (random >> 16) % (choices - 1)) % choices; /* another one */
    first = nth(candidates, first, tried);
    second = nth(candidates, second, tried);
    return candidates[second].under_way < candidates[first].under_way ? second : first;
}

size_t
rpc_choose(const struct rpc_candidate *candidates, size_t count, uint64_t key, uint64_t tried,
           uint32_t random)
{
    if (key != 0)
        return choose_by_key(candidates, count, key, tried);
    return choose_by_load(candidates, count, tried, random);
}
