#include "sagactl/ctl_pace.h"
#include "mesh/base/clock.h"

#include <time.h>

int64_t
ctl_pace(int64_t due_us, int64_t rate)
{
    int64_t left_us = due_us - clock_steady_us();
    const struct timespec pause = { .tv_sec = left_us / SECOND_US,
                                    .tv_nsec = left_us % SECOND_US * 1000 };

    if (left_us > 0)
        nanosleep(&pause, NULL);
    return clock_steady_us() + SECOND_US / rate;
}
