/* bff_observe.c -- Metrics of clocks; readiness by the services behind and by the clock.
 *
 * Redis is not asked after: what it carries may be lost.
 */
#include "bff/bff_observe.h"
#include "mesh/rpc/clock_metrics.h"

const char *const observe_names[BFF_SERVICE_COUNT] = {
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

/* ---- for the actuator ---- */

/* One that does not answer is DOWN. */
static enum actuator_status
service_status(void *owner)
{
    return peer_health_is_serving(owner) ? ACTUATOR_UP : ACTUATOR_DOWN;
}

/* Of what only the service can tell: it is not known while that is away. */
static enum actuator_status
part_status(void *owner)
{
    return peer_health_is_serving(owner)   ? ACTUATOR_UP
           : peer_health_is_refused(owner) ? ACTUATOR_DOWN
                                           : ACTUATOR_UNKNOWN;
}

/* Kafka is as well as the worst that is heard of it. */
static enum actuator_status
kafka_status(void *owner)
{
    struct bff *bff = owner;
    enum actuator_status worst = ACTUATOR_UNKNOWN;

    for (int i = 0; i < BFF_SERVICE_COUNT; i++) {
        enum actuator_status status = part_status(&bff->kafka[i]);

        worst = status > worst ? status : worst;
    }
    return worst;
}

static void
actuator_open(struct bff *bff)
{
    for (int i = 0; i < BFF_SERVICE_COUNT; i++) {
        const char *name = observe_names[i];

        bff->databases[i].client = bff->kafka[i].client = bff->clients[i];
        bff->databases[i].part = "database";
        bff->kafka[i].part = "kafka";
        actuator_add(bff->actuator, &(struct actuator_component){ "services", name, service_status,
                                                                  &bff->peers[i] });
        actuator_add(bff->actuator,
                     &(struct actuator_component){ "db", name, part_status, &bff->databases[i] });
    }
    actuator_add(bff->actuator, &(struct actuator_component){ NULL, "kafka", kafka_status, bff });
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
                                                            .name = observe_names[i],
                                                            .good = "SERVING",
                                                            .bad = "NOT_SERVING",
                                                            .holds = peer_health_is_serving,
                                                            .owner = &bff->peers[i] });
    }
    actuator_open(bff);
}

/* Kafka only at those that send news. */
static void
ask(struct bff *bff, int i)
{
    peer_health_ask(&bff->peers[i]);
    peer_health_ask(&bff->databases[i]);
    if (i == BFF_ORDER || i == BFF_ACCOUNT)
        peer_health_ask(&bff->kafka[i]);
}

void
observe_ask(struct bff *bff)
{
    for (int i = 0; i < BFF_SERVICE_COUNT; i++)
        ask(bff, i);
}

void
observe_close(struct bff *bff)
{
    clock_metrics_close(bff->metrics, bff->clock);
}
