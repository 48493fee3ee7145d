/* What a benchmark says of its way, on standard error, and how it waits. */
#include "mesh/base/clock.h"
#include "tests/bench/bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void
bench_fail(const char *format, ...)
{
    va_list values;

    fputs("bench: ", stderr);
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
    exit(1);
}

void
bench_say(const char *format, ...)
{
    va_list values;

    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
}

void
bench_pause_until_us(int64_t until_us)
{
    struct timespec until = { .tv_sec = (time_t)(until_us / SECOND_US),
                              .tv_nsec = (long)(until_us % SECOND_US * 1000) };

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        continue;
}

void
bench_pause_us(int64_t span_us)
{
    bench_pause_until_us(clock_steady_us() + span_us);
}
