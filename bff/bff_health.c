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

struct probe {
    struct rpc_request request; /* first */
    atomic_int_fast64_t *served_us;
};

static void
probe_done(struct rpc_request *request, const struct rpc_result *result)
{
    struct probe *probe = (struct probe *)request;
    Grpc__Health__V1__HealthCheckResponse *response = NULL;
    bool is_serving = false;

    if (result->code == WIRE_OK)
        response = grpc__health__v1__health_check_response__unpack(NULL, result->reply_bytes,
                                                                   result->reply);
    if (response != NULL)
        is_serving =
            response->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    grpc__health__v1__health_check_response__free_unpacked(response, NULL);
    atomic_store(probe->served_us, is_serving ? clock_steady_us() : 0);
    free(probe);
}

/* The empty message: the whole server. */
void
health_probe(struct bff *bff)
{
    for (int i = 0; i < BFF_SERVICE_COUNT; i++) {
        struct probe *probe = memory_take(sizeof *probe);

        probe->request.method = "grpc.health.v1.Health/Check";
        probe->request.message = (const uint8_t *)"";
        probe->request.timeout_us = PROBE_TIMEOUT_US;
        probe->request.attempts_max = 1;
        probe->request.must_go_alone = true; /* no item of an envelope: not a method of the mesh */
        probe->request.done = probe_done;
        probe->served_us = &bff->served_us[i];
        rpc_client_send(bff->clients[i], &probe->request);
    }
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
