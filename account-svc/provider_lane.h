/* provider_lane.h -- How much may be asked of a provider now: its rate, and its health.
 *
 * No more requests a second than its configuration says, with at most a second's worth saved up. One
 * failure is an accident; after several in a row the provider is asked by one request at a time, ever
 * more rarely, until it answers. Where a 429 or 503 says when to come back (Retry-After), nobody asks
 * before, up to a limit. All of it is this process's own: replicas each have the whole rate.
 *
 * Thread    Plain data.
 * Units     *_us microseconds of the steady clock.
 */
#ifndef PROVIDER_LANE_H
#define PROVIDER_LANE_H

#include "account-svc/provider.h"

enum {
    LANE_IN_FLIGHT_MAX = 32, /* requests to one provider at a time */
    LANE_FAILURES_MIN = 3,   /* in a row, before it is taken for away */
};

#define LANE_PAUSE_MIN_US (SECOND_US / 4)
#define LANE_PAUSE_MAX_US (30 * SECOND_US)
#define LANE_RETRY_AFTER_MAX_US (120 * SECOND_US) /* whatever it says, it is looked at again then */

struct lane {
    const struct provider *provider;
    size_t jobs;  /* under way */
    int failures; /* in a row */
    int64_t pause_until_us;
    int64_t
        come_back_us;  /* as the provider itself has asked; an answer to another does not end it */
    int64_t tokens_us; /* time saved up, up to a second's worth of requests */
    int64_t filled_us;
};

void lane_open(struct lane *lane, const struct provider *provider, int64_t now_us);

bool lane_is_slow(const struct lane *lane);

/* How many requests may be begun now. */
size_t lane_allowance(struct lane *lane, int64_t now_us);

/* One is begun, and its end. */
void lane_take(struct lane *lane);
void lane_leave(struct lane *lane);

/* What came of a request. status 0: no answer. retry_after_us: what it asked for; 0: nothing. */
void lane_answered(struct lane *lane, int status, int64_t retry_after_us, int64_t now_us);

#endif
