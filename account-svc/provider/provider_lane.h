/* provider_lane.h -- How much may be asked of a provider now, and what first: its rate, and its health.
 *
 * No more requests a second than its configuration says, with at most a second's worth saved up, and no
 * more than LANE_IN_FLIGHT_MAX at a time. What a customer waits for goes first (enum errand): the others
 * get what is left, but not nothing: one request in LANE_FRONT_IN_ROW + 1. Of those at a time some are
 * kept for customers, so that requests that hang, and no customer waits for, cannot take them all.
 *
 * Each errand has a breaker. One failure is an accident; after several in a row the errand is done by one
 * request at a time, ever more rarely, until it is answered. One breaker for all of a provider was the
 * first design: cancels that failed held up the payments of new customers.
 *
 * Where a 429 or 503 says when to come back (Retry-After), nothing is asked before, up to a limit; said to
 * what no customer waits for, it does not hold up what one does.
 *
 * All of it is this process's own: replicas each have the whole rate.
 *
 * Thread    Plain data.
 * Units     *_us microseconds of the steady clock.
 */
#ifndef PROVIDER_LANE_H
#define PROVIDER_LANE_H

#include "account-svc/provider/provider.h"

enum {
    LANE_IN_FLIGHT_MAX = 32, /* requests to one provider at a time, */
    LANE_BACK_MAX = 24,      /* and so many of those for which no customer waits */
    LANE_FRONT_IN_ROW = 7,   /* then one for which none does, if there is one */
    LANE_FAILURES_MIN = 3,   /* in a row, before an errand is taken for impossible now */
};

#define LANE_PAUSE_MIN_US (SECOND_US / 4)
#define LANE_PAUSE_MAX_US (30 * SECOND_US)
#define LANE_RETRY_AFTER_MAX_US (120 * SECOND_US) /* whatever it says, it is looked at again then */
#define LANE_AWAY_US (600 * SECOND_US)            /* without an answer: an operator should know */

struct breaker {
    size_t jobs;  /* under way */
    int failures; /* in a row */
    int64_t failing_since_us;
    bool is_told; /* that it is so for long */
    int64_t pause_until_us;
};

struct lane {
    const struct provider *provider;
    size_t jobs, back_jobs; /* under way; those for which no customer waits */
    struct breaker breakers[ERRAND_COUNT];
    /* As the provider itself has asked, to all and to the back; an answer to another does not end it. */
    int64_t come_back_us, back_come_back_us;
    int front_in_row;  /* since the last of the others */
    int next_of[2];    /* with which errand of the front, of the back, to begin */
    int64_t tokens_us; /* time saved up, up to a second's worth of requests */
    int64_t filled_us;
};

void lane_open(struct lane *lane, const struct provider *provider, int64_t now_us);

bool lane_is_slow(const struct lane *lane, enum errand errand);

/* No request of any errand may be begun now: the rate is used up, or too many are under way. */
bool lane_is_full(struct lane *lane, int64_t now_us);

/* May this errand be done at all, or does its breaker keep it? */
bool lane_may(const struct lane *lane, enum errand errand, int64_t now_us);

/* Which errand is done next, of those of which any wait; ERRAND_COUNT: none may be now. */
enum errand lane_next(struct lane *lane, const size_t waiting[ERRAND_COUNT], int64_t now_us);

/* One is begun, and its end. */
void lane_take(struct lane *lane, enum errand errand);
void lane_leave(struct lane *lane, enum errand errand);

/* What came of a request. status 0: no answer. retry_after_us: what it asked for; 0: nothing. */
void lane_answered(struct lane *lane, enum errand errand, int status, int64_t retry_after_us,
                   int64_t now_us);

#endif
