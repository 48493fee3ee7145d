#include "saga/shard_clock.h"

enum { SLEW = 10, GRAIN_US = 1000 * 1000 };

int64_t
shard_clock_at(const struct shard_clock *clock, int64_t steady_us, int64_t program_us)
{
    int64_t elapsed_us = steady_us > clock->steady_us ? steady_us - clock->steady_us : 0;
    int64_t least_us = clock->now_us + elapsed_us - elapsed_us / SLEW;

    return program_us > least_us ? program_us : least_us;
}

int64_t
shard_clock_ahead_us(const struct shard_clock *clock, int64_t program_us)
{
    int64_t ahead_us = clock->now_us - program_us;

    return ahead_us > GRAIN_US ? ahead_us : 0;
}
