#include "account-svc/provider/provider_lane.h"
#include "mesh/base/log.h"
#include "mesh/base/random.h"

#include <assert.h>

/* ERRAND_CREATE and ERRAND_LOOK. */
static bool
is_front(enum errand errand)
{
    return errand < ERRAND_REFUND;
}

void
lane_open(struct lane *lane, const struct provider *provider, int64_t now_us)
{
    *lane = (struct lane){ .provider = provider,
                           .tokens_us = SECOND_US,
                           .filled_us = now_us,
                           .next_of = { ERRAND_CREATE, ERRAND_REFUND } };
}

bool
lane_is_slow(const struct lane *lane, enum errand errand)
{
    return lane->breakers[errand].failures >= LANE_FAILURES_MIN;
}

/* ---- what may be begun ---- */

static void
lane_fill(struct lane *lane, int64_t now_us)
{
    lane->tokens_us += now_us - lane->filled_us;
    if (lane->tokens_us > SECOND_US)
        lane->tokens_us = SECOND_US;
    lane->filled_us = now_us;
}

bool
lane_is_full(struct lane *lane, int64_t now_us)
{
    lane_fill(lane, now_us);
    return lane->jobs >= LANE_IN_FLIGHT_MAX ||
           lane->tokens_us * lane->provider->requests_per_second < SECOND_US;
}

bool
lane_may(const struct lane *lane, enum errand errand, int64_t now_us)
{
    const struct breaker *breaker = &lane->breakers[errand];

    if (now_us < breaker->pause_until_us || now_us < lane->come_back_us)
        return false;
    if (!is_front(errand) && (lane->back_jobs >= LANE_BACK_MAX || now_us < lane->back_come_back_us))
        return false;
    return !lane_is_slow(lane, errand) || breaker->jobs == 0; /* one asks for all */
}

/* The errands of one side by turns, so that none of them starves another. */
static enum errand
side_next(struct lane *lane, bool is_of_front, const size_t waiting[ERRAND_COUNT], int64_t now_us)
{
    int first = is_of_front ? ERRAND_CREATE : ERRAND_REFUND;
    int count = is_of_front ? ERRAND_REFUND : ERRAND_COUNT - ERRAND_REFUND;
    int *next = &lane->next_of[is_of_front ? 0 : 1];

    for (int i = 0; i < count; i++) {
        int errand = first + (*next - first + i) % count;

        if (waiting[errand] > 0 && lane_may(lane, (enum errand)errand, now_us))
            return (enum errand)errand;
    }
    return ERRAND_COUNT;
}

enum errand
lane_next(struct lane *lane, const size_t waiting[ERRAND_COUNT], int64_t now_us)
{
    enum errand front, back;

    if (lane_is_full(lane, now_us))
        return ERRAND_COUNT;
    front = side_next(lane, true, waiting, now_us);
    back = side_next(lane, false, waiting, now_us);
    if (front == ERRAND_COUNT || (back != ERRAND_COUNT && lane->front_in_row >= LANE_FRONT_IN_ROW))
        return back;
    return front;
}

void
lane_take(struct lane *lane, enum errand errand)
{
    assert(lane->jobs < LANE_IN_FLIGHT_MAX);
    lane->jobs++;
    lane->breakers[errand].jobs++;
    lane->tokens_us -= SECOND_US / lane->provider->requests_per_second;
    lane->next_of[is_front(errand) ? 0 : 1] = (int)errand + 1;
    lane->front_in_row = is_front(errand) ? lane->front_in_row + 1 : 0;
    lane->back_jobs += is_front(errand) ? 0 : 1;
}

void
lane_leave(struct lane *lane, enum errand errand)
{
    assert(lane->jobs > 0 && lane->breakers[errand].jobs > 0);
    lane->jobs--;
    lane->breakers[errand].jobs--;
    lane->back_jobs -= is_front(errand) ? 0 : 1;
}

/* ---- what came of it ---- */

/* A tenth more or less, so that replicas do not ask together. */
static int64_t
jittered(int64_t pause_us)
{
    uint8_t random;

    random_bytes(&random, sizeof random);
    return pause_us - pause_us / 10 + pause_us / 5 * random / 256;
}

/* The first failures are for the program to bear with; when it lasts, the provider's operators must act, or
 * the key is not right. */
static void
breaker_tell(struct breaker *breaker, const struct lane *lane, enum errand errand, int status,
             int64_t now_us)
{
    if (breaker->failures == LANE_FAILURES_MIN)
        log_warn("provider=%s errand=%s status=%d"
                 " because=\"it does not answer: it is asked more rarely\"",
                 lane->provider->name, errand_word(errand), status);
    if (now_us - breaker->failing_since_us < LANE_AWAY_US || breaker->is_told)
        return;
    breaker->is_told = true;
    log_error("provider=%s errand=%s status=%d event=PROVIDER_AWAY seconds=%lld"
              " because=\"such requests are not answered any more\""
              " next=\"ask the provider; 401 and 403: is the key right? 3xx: is base_url?\"",
              lane->provider->name, errand_word(errand), status,
              (long long)((now_us - breaker->failing_since_us) / SECOND_US));
}

static void
breaker_fails(struct breaker *breaker, const struct lane *lane, enum errand errand, int status,
              int64_t now_us)
{
    int64_t pause_us = LANE_PAUSE_MIN_US;

    if (breaker->failures++ == 0)
        breaker->failing_since_us = now_us;
    if (breaker->failures < LANE_FAILURES_MIN)
        return;
    breaker_tell(breaker, lane, errand, status, now_us);
    for (int i = LANE_FAILURES_MIN; i < breaker->failures && pause_us < LANE_PAUSE_MAX_US; i++)
        pause_us *= 2;
    breaker->pause_until_us =
        now_us + jittered(pause_us < LANE_PAUSE_MAX_US ? pause_us : LANE_PAUSE_MAX_US);
}

/* 401 and 403 come of a key, a redirect of an address: asking faster does not mend them. */
static bool
is_failure(int status)
{
    return status == 0 || status >= 500 || status == 429 || status == 401 || status == 403 ||
           (status >= 300 && status < 400);
}

static void
lane_come_back(struct lane *lane, enum errand errand, int status, int64_t retry_after_us,
               int64_t now_us)
{
    int64_t *come_back_us = is_front(errand) ? &lane->come_back_us : &lane->back_come_back_us;

    if (retry_after_us > LANE_RETRY_AFTER_MAX_US)
        retry_after_us = LANE_RETRY_AFTER_MAX_US;
    if (now_us + retry_after_us <= *come_back_us)
        return;
    *come_back_us = now_us + retry_after_us;
    log_warn("provider=%s errand=%s status=%d event=PROVIDER_RETRY_AFTER ms=%lld",
             lane->provider->name, errand_word(errand), status, (long long)retry_after_us / 1000);
}

void
lane_answered(struct lane *lane, enum errand errand, int status, int64_t retry_after_us,
              int64_t now_us)
{
    struct breaker *breaker = &lane->breakers[errand];

    if ((status == 429 || status == 503) && retry_after_us > 0)
        lane_come_back(lane, errand, status, retry_after_us, now_us);
    if (is_failure(status)) {
        breaker_fails(breaker, lane, errand, status, now_us);
        return;
    }
    if (lane_is_slow(lane, errand))
        log_info("provider=%s errand=%s because=\"it answers again\"", lane->provider->name,
                 errand_word(errand));
    breaker->failures = 0;
    breaker->is_told = false;
    breaker->pause_until_us = 0;
}
