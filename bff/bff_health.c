/* bff_health.c -- Is this program alive, and are the services behind it?
 *
 * The services are asked once a second, whoever asks us: a probe costs them nothing more. Redis is not
 * asked after: what it carries may be lost.
 */
#include "bff/bff.h"
#include "mesh/base/clock.h"

#include <grpc/health/v1/health.pb-c.h>
#include <stdlib.h>

enum { PROBE_TIMEOUT_US = SECOND_US, FRESH_US = 5 * SECOND_US };

const char *const bff_service_names[BFF_SERVICE_COUNT] = {
    [BFF_ORDER] = "order",
    [BFF_STORAGE] = "storage",
    [BFF_ACCOUNT] = "account",
    [BFF_SAGA] = "saga",
};

static void
probe_done(void *owner, const void *context, const struct rpc_result *result,
           const ProtobufCMessage *reply)
{
    const Grpc__Health__V1__HealthCheckResponse *response =
        (const Grpc__Health__V1__HealthCheckResponse *)reply;
    atomic_int_fast64_t *served_us = owner;
    bool is_serving =
        response != NULL &&
        response->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;

    (void)context, (void)result;
    atomic_store(served_us, is_serving ? clock_steady_us() : 0);
}

/* The empty message: the whole server. No item of an envelope: it is not a method of the mesh. */
void
health_probe(struct bff *bff)
{
    for (int i = 0; i < BFF_SERVICE_COUNT; i++)
        rpc_post(
            bff->clients[i],
            &(struct rpc_post){ .method = "grpc.health.v1.Health/Check",
                                .timeout_us = PROBE_TIMEOUT_US,
                                .attempts_max = 1,
                                .must_go_alone = true,
                                .reply_type = &grpc__health__v1__health_check_response__descriptor,
                                .owner = &bff->served_us[i],
                                .done = probe_done });
}

static bool
is_up(const struct bff *bff, int service)
{
    int64_t served_us = atomic_load(&bff->served_us[service]);

    return served_us != 0 && clock_steady_us() - served_us < FRESH_US;
}

void
health_live(struct http_exchange *exchange)
{
    struct job *job = job_open(exchange);
    struct json_writer json = { 0 };

    json_open_object(&json, NULL);
    json_put_text(&json, "status", "alive");
    json_close_object(&json);
    job_answer(job, 200, &json, NULL);
}

void
health_ready(struct http_exchange *exchange)
{
    static const char *const again[] = { "Retry-After: 1", NULL };
    struct job *job = job_open(exchange);
    struct json_writer json = { 0 };
    bool is_stopping = atomic_load(&job->bff->is_stopping);
    bool is_fit = clock_watch_is_fit(job->bff->clock), is_ready = !is_stopping && is_fit;

    for (int i = 0; i < BFF_SERVICE_COUNT; i++)
        is_ready = is_ready && is_up(job->bff, i);
    json_open_object(&json, NULL);
    json_put_text(&json, "status", is_stopping ? "stopping" : is_ready ? "ready" : "not ready");
    if (!is_fit)
        json_put_text(&json, "clock", "wrong");
    json_open_object(&json, "services");
    for (int i = 0; i < BFF_SERVICE_COUNT; i++)
        json_put_text(&json, bff_service_names[i], is_up(job->bff, i) ? "SERVING" : "NOT_SERVING");
    json_close_object(&json);
    json_close_object(&json);
    job_answer(job, is_ready ? 200 : 503, &json, is_ready ? NULL : again);
}
