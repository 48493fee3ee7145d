/* clock.h -- What time it is. Tests can move it.
 *
 * A machine's wall clock may be wrong, and may step. A program that says so (clock_follow) goes by steady
 * time from then on, from where its wall clock stood, and corrects itself only to what was judged to be
 * right (clock_judge.h): slowly where the difference is small, so that its time never runs backwards and
 * no timer stands still; at once where it is far off. All others (tools, sandboxes, tests) go by the wall
 * clock.
 *
 * Units     *_us microseconds: since 1970 UTC, or since boot (clock_steady_us). An offset is what is to be
 *           added to steady time.
 * Thread    Any. clock_follow() and clock_correct(): one thread. clock_set_test_us() before other threads
 *           start.
 */
#ifndef MESH_BASE_CLOCK_H
#define MESH_BASE_CLOCK_H

#include <stdint.h>

#define MILLISECOND_US INT64_C(1000)
#define SECOND_US INT64_C(1000000)
#define DAY_US (INT64_C(86400) * SECOND_US)

/* Further ahead it steps; further behind, too. In between it goes a tenth faster, or slower. Ids may be five
 * minutes ahead of the service that takes them, so a program that goes slower for a while is refused nothing. */
#define CLOCK_STEP_FORWARD_US SECOND_US
#define CLOCK_STEP_BACK_US (240 * SECOND_US)

int64_t clock_now_us(void);    /* the program's time */
int64_t clock_wall_us(void);   /* the machine's wall clock, for comparing it */
int64_t clock_steady_us(void); /* never runs backwards; for deadlines and durations */

/* The latest time that an id may have been made at by this program's time: now, or what it was when it
 * stepped back, for ids that were made before; but not more than a day ahead. */
int64_t clock_latest_us(void);

/* The earliest that it may be: the program's time, or the machine's wall clock where that is behind it. */
int64_t clock_earliest_us(void);

/* From now on the program's time is its own. */
void clock_follow(void);

/* It is to go by this offset: at once if it is far off, or must_step. */
void clock_correct(int64_t offset_us, int must_step);

/* Where it stands: its time and the steady time of one moment are so far apart. */
int64_t clock_offset_us(void);

/* A course of the clock from a moment on, and the time on it at a later one: pure, for tables. */
struct clock_course {
    int64_t since_us;  /* steady */
    int64_t now_us;    /* then */
    int64_t offset_us; /* to go by, sooner or later */
};
int64_t clock_course_at(const struct clock_course *course, int64_t steady_us);
struct clock_course clock_course_next(const struct clock_course *course, int64_t steady_us,
                                      int64_t offset_us, int must_step);

/* From now on clock_now_us() answers this; 0 gives the real clock back. */
void clock_set_test_us(int64_t now_us);

#endif
