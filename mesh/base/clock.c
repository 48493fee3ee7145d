#include "mesh/base/clock.h"

#include <time.h>

static int64_t test_now_us;

static int64_t
read_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * SECOND_US + now.tv_nsec / 1000;
}

int64_t
clock_now_us(void)
{
    return test_now_us != 0 ? test_now_us : read_us(CLOCK_REALTIME);
}

int64_t
clock_steady_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

void
clock_set_test_us(int64_t now_us)
{
    test_now_us = now_us;
}
