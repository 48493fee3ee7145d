#include "account-svc/provider_lane.h"
#include "mesh/base/log.h"

#include <assert.h>

void
lane_open(struct lane *lane, const struct provider *provider, int64_t now_us)
{
    *lane = (struct lane){ .provider = provider, .tokens_us = SECOND_US, .filled_us = now_us };
}

bool
lane_is_slow(const struct lane *lane)
{
    return lane->failures >= LANE_FAILURES_MIN;
}

static void
lane_fill(struct lane *lane, int64_t now_us)
{
    lane->tokens_us += now_us - lane->filled_us;
    if (lane->tokens_us > SECOND_US)
        lane->tokens_us = SECOND_US;
    lane->filled_us = now_us;
}

size_t
lane_allowance(struct lane *lane, int64_t now_us)
{
    size_t by_rate, by_flight = LANE_IN_FLIGHT_MAX - lane->jobs;

    lane_fill(lane, now_us);
    by_rate = (size_t)(lane->tokens_us * lane->provider->requests_per_second / SECOND_US);
    if (now_us < lane->pause_until_us || now_us < lane->come_back_us || by_flight == 0)
        return 0;
    if (lane_is_slow(lane))
        return lane->jobs == 0 && by_rate > 0 ? 1 : 0; /* one asks for all */
    return by_rate < by_flight ? by_rate : by_flight;
}

void
lane_take(struct lane *lane)
{
    assert(lane->jobs < LANE_IN_FLIGHT_MAX);
    lane->jobs++;
    lane->tokens_us -= SECOND_US / lane->provider->requests_per_second;
}

void
lane_leave(struct lane *lane)
{
    assert(lane->jobs > 0);
    lane->jobs--;
}

/* A tenth more or less, so that replicas do not ask together. */
static int64_t
jittered(int64_t pause_us)
{
    uint8_t random;

    random_bytes(&random, sizeof random);
    return pause_us - pause_us / 10 + pause_us / 5 * random / 256;
}

static void
lane_fails(struct lane *lane, int64_t now_us)
{
    int64_t pause_us = LANE_PAUSE_MIN_US;

    if (++lane->failures < LANE_FAILURES_MIN)
        return;
    if (lane->failures == LANE_FAILURES_MIN)
        log_warn("provider=%s because=\"it does not answer: it is asked more rarely\"",
                 lane->provider->name);
    for (int i = LANE_FAILURES_MIN; i < lane->failures && pause_us < LANE_PAUSE_MAX_US; i++)
        pause_us *= 2;
    lane->pause_until_us =
        now_us + jittered(pause_us < LANE_PAUSE_MAX_US ? pause_us : LANE_PAUSE_MAX_US);
}

void
lane_answered(struct lane *lane, int status, int64_t retry_after_us, int64_t now_us)
{
    if (retry_after_us > LANE_RETRY_AFTER_MAX_US)
        retry_after_us = LANE_RETRY_AFTER_MAX_US;
    if ((status == 429 || status == 503) && retry_after_us > 0 &&
        now_us + retry_after_us > lane->come_back_us) {
        lane->come_back_us = now_us + retry_after_us;
        log_warn("provider=%s status=%d ms=%lld because=\"it asks to be left alone for so long\"",
                 lane->provider->name, status, (long long)retry_after_us / 1000);
    }
    if (status == 0 || status >= 500 || status == 429) {
        lane_fails(lane, now_us);
        return;
    }
    if (lane_is_slow(lane))
        log_info("provider=%s because=\"it answers again\"", lane->provider->name);
    lane->failures = 0;
    lane->pause_until_us = 0;
}
