/* clock.h -- What time it is. Tests can move it.
 *
 * Units     *_us microseconds: since 1970 UTC (clock_now_us), or since boot (clock_steady_us).
 * Thread    Any. clock_set_test_us() before other threads start.
 */
#ifndef MESH_BASE_CLOCK_H
#define MESH_BASE_CLOCK_H

#include <stdint.h>

#define SECOND_US INT64_C(1000000)
#define DAY_US (INT64_C(86400) * SECOND_US)

int64_t clock_now_us(void);    /* the wall clock */
int64_t clock_steady_us(void); /* never runs backwards; for deadlines and durations */

/* From now on clock_now_us() answers this; 0 gives the real clock back. */
void clock_set_test_us(int64_t now_us);

#endif
