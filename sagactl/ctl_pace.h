/* ctl_pace.h -- Not more than so many calls a second, and no burst after a pause. */
#ifndef CTL_PACE_H
#define CTL_PACE_H

#include <stdint.h>

/* Sleeps until the call at due_us may begin; when the next one may. By clock_steady_us(). */
int64_t ctl_pace(int64_t due_us, int64_t rate);

#endif
