/* provider_meter.c -- Each request is counted with what came of it; how lanes stand is shown at each turn of the
 * provider thread, whose memory they are. */
#include "account-svc/provider/provider_meter.h"
#include "mesh/observe/metrics.h"

/* clang-format off */
static const struct metric_row requests_row    = { "sagamesh_provider_request_duration_seconds", METRIC_HISTOGRAM, METRIC_SECONDS, "Requests to a provider, by what was asked and what came of it.",                          { "provider", "task", "outcome" } };
static const struct metric_row in_flight_row   = { "sagamesh_provider_requests_in_flight",       METRIC_GAUGE,     METRIC_NUMBER,  "Requests under way, from their lease to what was learned.",                                { "provider" } };
static const struct metric_row breaker_row     = { "sagamesh_provider_breaker_open",             METRIC_GAUGE,     METRIC_NUMBER,  "1: this errand has failed several times in a row, and is done ever more rarely.",          { "provider", "errand" } };
static const struct metric_row retry_after_row = { "sagamesh_provider_retry_after_seconds",      METRIC_GAUGE,     METRIC_SECONDS, "For how long yet the provider asked to be left alone.",                                    { "provider" } };
static const struct metric_row kept_row        = { "sagamesh_provider_answers_kept",             METRIC_GAUGE,     METRIC_NUMBER,  "Answers that the database could not take yet.",                                            { NULL } };
/* clang-format on */

static void
lane_meter_open(struct lane_meter *lane, struct metrics *metrics, const char *provider)
{
    lane->in_flight = metrics_series(metrics, &in_flight_row, &provider);
    lane->retry_after = metrics_series(metrics, &retry_after_row, &provider);
    for (enum errand errand = 0; errand < ERRAND_COUNT; errand++) {
        const char *const values[] = { provider, errand_word(errand) };

        lane->breakers[errand] = metrics_series(metrics, &breaker_row, values);
    }
}

void
provider_meter_open(struct provider_meter *meter, struct metrics *metrics,
                    const struct provider_set *providers)
{
    meter->metrics = metrics;
    meter->answers_kept = metrics_series(metrics, &kept_row, NULL);
    metrics_declare(metrics, &requests_row);
    metrics_declare(metrics, &in_flight_row);
    metrics_declare(metrics, &breaker_row);
    metrics_declare(metrics, &retry_after_row);
    for (size_t i = 0; i < providers->count; i++)
        lane_meter_open(&meter->lanes[i], metrics, providers->providers[i].name);
}

/* Some tens a second at most, so the series is looked up. */
void
provider_meter_answered(const struct provider_meter *meter, const struct provider *provider,
                        enum task_kind kind, enum outcome outcome, int64_t us)
{
    const char *const values[] = { provider->name, task_word(kind), outcome_word(outcome) };

    metric_observe(metrics_series(meter->metrics, &requests_row, values), us);
}

void
provider_meter_lane(const struct provider_meter *meter, size_t number, const struct lane *lane,
                    int64_t now_us)
{
    const struct lane_meter *of = &meter->lanes[number];

    metric_set(of->in_flight, (int64_t)lane->jobs);
    metric_set(of->retry_after, lane->come_back_us > now_us ? lane->come_back_us - now_us : 0);
    for (enum errand errand = 0; errand < ERRAND_COUNT; errand++)
        metric_set(of->breakers[errand], lane_is_slow(lane, errand) ? 1 : 0);
}

void
provider_meter_kept(const struct provider_meter *meter, size_t answers)
{
    metric_set(meter->answers_kept, (int64_t)answers);
}
