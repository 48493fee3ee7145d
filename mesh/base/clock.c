#include "mesh/base/clock.h"

#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

enum { SLEW = 10, COURSES = 16 };

static int64_t test_now_us;

/* The course that is followed; NULL: the wall clock is. One thread writes, a few times a minute at most, so a
 * reader that still looks at an earlier one has long gone before its place is written again. */
static struct clock_course courses[COURSES];
static size_t course_count;
static _Atomic(const struct clock_course *) followed;
static _Atomic int64_t stepped_from_us; /* the latest time before a step back */

static int64_t
read_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * SECOND_US + now.tv_nsec / 1000;
}

int64_t
clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

int64_t
clock_steady_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

/* ---- courses ---- */

int64_t
clock_course_at(const struct clock_course *course, int64_t steady_us)
{
    int64_t elapsed_us = steady_us > course->since_us ? steady_us - course->since_us : 0;
    int64_t now_us = course->now_us + elapsed_us;
    int64_t behind_us = course->offset_us + course->since_us + elapsed_us - now_us;
    int64_t most_us = elapsed_us / SLEW;

    if (behind_us > most_us)
        return now_us + most_us;
    return now_us + (behind_us < -most_us ? -most_us : behind_us);
}

struct clock_course
clock_course_next(const struct clock_course *course, int64_t steady_us, int64_t offset_us,
                  int must_step)
{
    struct clock_course next = { .since_us = steady_us,
                                 .now_us = clock_course_at(course, steady_us),
                                 .offset_us = offset_us };
    int64_t behind_us = steady_us + offset_us - next.now_us;

    if (must_step || behind_us > CLOCK_STEP_FORWARD_US || behind_us < -CLOCK_STEP_BACK_US)
        next.now_us += behind_us;
    return next;
}

/* ---- the program's own ---- */

static void
follow(struct clock_course course)
{
    struct clock_course *place = &courses[course_count++ % COURSES];

    *place = course;
    atomic_store_explicit(&followed, place, memory_order_release);
}

static const struct clock_course *
course_followed(void)
{
    return atomic_load_explicit(&followed, memory_order_acquire);
}

void
clock_follow(void)
{
    int64_t steady_us = clock_steady_us(), wall_us = clock_wall_us();

    follow((struct clock_course){ steady_us, wall_us, wall_us - steady_us });
}

void
clock_correct(int64_t offset_us, int must_step)
{
    const struct clock_course *course = course_followed();
    int64_t steady_us = clock_steady_us(), before_us = clock_course_at(course, steady_us);
    struct clock_course next = clock_course_next(course, steady_us, offset_us, must_step);

    if (next.now_us < before_us && before_us > atomic_load(&stepped_from_us))
        atomic_store(&stepped_from_us, before_us);
    follow(next);
}

int64_t
clock_offset_us(void)
{
    const struct clock_course *course = course_followed();
    int64_t steady_us = clock_steady_us();

    return (course == NULL ? clock_wall_us() : clock_course_at(course, steady_us)) - steady_us;
}

int64_t
clock_now_us(void)
{
    const struct clock_course *course = course_followed();

    if (test_now_us != 0)
        return test_now_us;
    return course == NULL ? clock_wall_us() : clock_course_at(course, clock_steady_us());
}

int64_t
clock_latest_us(void)
{
    int64_t now_us = clock_now_us(), latest_us = atomic_load(&stepped_from_us);

    if (latest_us > now_us + DAY_US)
        latest_us = now_us + DAY_US;
    return latest_us > now_us ? latest_us : now_us;
}

int64_t
clock_earliest_us(void)
{
    int64_t now_us = clock_now_us(), wall_us = clock_wall_us();

    return test_now_us == 0 && wall_us < now_us ? wall_us : now_us;
}

void
clock_set_test_us(int64_t now_us)
{
    test_now_us = now_us;
}
