/* clock_judge.h -- Whose clock is right? Pure.
 *
 * A program has its own wall clock, its database's, and those of its peers, each as an offset to the
 * program's steady time and how far that may be wrong. Those that agree within a second are a group; the
 * largest group is right. Without a larger one no clock is, and the program goes on as it went (when it
 * begins: by its database, else by a peer, so that those who begin together agree).
 *
 * Units     *_us microseconds. Thread: any.
 */
#ifndef MESH_BASE_CLOCK_JUDGE_H
#define MESH_BASE_CLOCK_JUDGE_H

#include "mesh/base/clock.h"

#include <stdbool.h>
#include <stddef.h>

enum { CLOCK_SOURCES_MAX = 32 };

#define CLOCK_APART_US SECOND_US      /* further apart is a warning */
#define CLOCK_OFF_US (60 * SECOND_US) /* and this an error */

enum clock_kind { CLOCK_OWN, CLOCK_DATABASE, CLOCK_PEER };

struct clock_source {
    enum clock_kind kind;
    int64_t offset_us, unsure_us; /* the offset is right within this */
    /* result: how far it is at least from what is right; 0: it may be right, or no clock is */
    int64_t off_us;
    int64_t ahead_us; /* result: how far it seems to be ahead of that */
};

struct clock_verdict {
    bool is_sure;      /* there is a largest group */
    int64_t offset_us; /* to go by */
    bool is_own_wrong; /* own clock is not in it ... */
    bool is_fit; /* ... but not CLOCK_OFF_US from the database, where there is one, and the peers */
    int64_t apart_us; /* when no clock is right: how far at least the two furthest are apart */
};

/* sources: one's own first. offset_us: what the program goes by; is_first: it has not judged yet, and goes
 * by its own clock. */
void clock_judge(struct clock_source *sources, size_t count, int64_t offset_us, bool is_first,
                 struct clock_verdict *ret_verdict);

#endif
