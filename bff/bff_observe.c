/* bff_observe.c -- Metrics of clocks; readiness by the services behind and by the clock.
 *
 * Redis is not asked after: what it carries may be lost.
 */
#include "bff/bff_observe.h"
#include "mesh/rpc/clock_metrics.h"

static const char *const service_names[BFF_SERVICE_COUNT] = {
    [BFF_ORDER] = "order",
    [BFF_STORAGE] = "storage",
    [BFF_ACCOUNT] = "account",
    [BFF_SAGA] = "saga",
};

static bool
is_clock_fit(void *owner)
{
    return clock_watch_is_fit(owner);
}

void
observe_open(struct bff *bff)
{
    clock_metrics_open(bff->metrics, bff->clock);
    health_add(bff->health,
               &(struct health_condition){
                   .name = "clock", .bad = "wrong", .holds = is_clock_fit, .owner = bff->clock });
    for (int i = 0; i < BFF_SERVICE_COUNT; i++) {
        bff->peers[i].client = bff->clients[i];
        health_add(bff->health, &(struct health_condition){ .group = "services",
                                                            .name = service_names[i],
                                                            .good = "SERVING",
                                                            .bad = "NOT_SERVING",
                                                            .holds = peer_health_is_serving,
                                                            .owner = &bff->peers[i] });
    }
}

void
observe_ask(struct bff *bff)
{
    for (int i = 0; i < BFF_SERVICE_COUNT; i++)
        peer_health_ask(&bff->peers[i]);
}

void
observe_close(struct bff *bff)
{
    clock_metrics_close(bff->metrics, bff->clock);
}
