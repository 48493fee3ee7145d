#include "mesh/store/room.h"

enum { WEIGHT = 8 };

/* One transaction is under way when a call comes, and it is in the last of those that end in time. */
size_t
store_room(size_t batch_max, int64_t round_us, int64_t left_us)
{
    int64_t rounds;

    if (round_us <= 0)
        return SIZE_MAX;
    rounds = left_us / round_us - 1;
    return rounds < 1 ? batch_max : (size_t)rounds * batch_max;
}

int64_t
store_round_mean(int64_t mean_us, int64_t round_us)
{
    return mean_us == 0 ? round_us : mean_us + (round_us - mean_us) / WEIGHT;
}
