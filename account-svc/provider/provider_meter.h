/* provider_meter.h -- Metrics of requests to providers.
 *
 * Thread    The provider thread's.
 * Memory    Series are their metrics'.
 */
#ifndef PROVIDER_METER_H
#define PROVIDER_METER_H

#include "account-svc/provider/provider_lane.h"

struct metrics;
struct metric_series;

struct provider_meter {
    struct metrics *metrics; /* NULL: nothing is counted */
    struct metric_series *answers_kept;
    struct lane_meter {
        struct metric_series *in_flight, *retry_after, *breakers[ERRAND_COUNT];
    } lanes[PROVIDERS_MAX];
};

void provider_meter_open(struct provider_meter *meter, struct metrics *metrics,
                         const struct provider_set *providers);

/* A request was answered, or was not. */
void provider_meter_answered(const struct provider_meter *meter, const struct provider *provider,
                             enum task_kind kind, enum outcome outcome, int64_t us);

/* How a lane stands now, and how many answers the store has not taken yet. */
void provider_meter_lane(const struct provider_meter *meter, size_t number, const struct lane *lane,
                         int64_t now_us);
void provider_meter_kept(const struct provider_meter *meter, size_t answers);

#endif
