/* bff_webhook.c -- What a provider says, passed on as it came.
 *
 * Nothing is read here: the signature is over the raw bytes, and only account-svc knows the secrets.
 * A provider that gets a 2xx forgets, so it gets one only when account-svc has stored it.
 */
#include "bff/bff_job.h"
#include "bff/bff_routes.h"
#include "mesh/base/clock.h"
#include "mesh/base/utf8.h"
#include "mesh/observe/metrics.h"

#include <sagamesh/payment/v1/payment_service.pb-c.h>
#include <string.h>

enum { WEBHOOK_BYTES_MAX = 256 * 1024, WEBHOOK_MS = 10000 };

/* clang-format off */
static const struct metric_row webhooks = { "sagamesh_webhooks_total", METRIC_COUNTER, METRIC_NUMBER, "Webhooks of known providers by what they came to; IGNORED: of a type that says nothing about a payment.", { "provider", "outcome" } };
/* clang-format on */

static const char *
outcome_name(Sagamesh__Payment__V1__ObserveOutcome outcome)
{
    switch (outcome) {
    case SAGAMESH__PAYMENT__V1__OBSERVE_OUTCOME__OBSERVE_OUTCOME_STORED:
        return "STORED";
    case SAGAMESH__PAYMENT__V1__OBSERVE_OUTCOME__OBSERVE_OUTCOME_DUPLICATE:
        return "DUPLICATE";
    case SAGAMESH__PAYMENT__V1__OBSERVE_OUTCOME__OBSERVE_OUTCOME_UNKNOWN_PAYMENT:
        return "UNKNOWN_PAYMENT";
    case SAGAMESH__PAYMENT__V1__OBSERVE_OUTCOME__OBSERVE_OUTCOME_QUERY:
        return "QUERY";
    default:
        return "IGNORED";
    }
}

/* A provider that is heard of for the first time shows all outcomes, so that the first of a kind is seen as
 * one more; from then on each webhook is one series to find. */
static void
webhook_count(struct metrics *metrics, const char *provider, const char *outcome)
{
    static const char *const outcomes[] = { "STORED", "DUPLICATE",       "IGNORED",
                                            "QUERY",  "UNKNOWN_PAYMENT", "BAD_SIGNATURE" };
    bool is_first = false;

    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
        if (strcmp(outcomes[i], outcome) == 0)
            is_first = metric_add(
                metrics_series(metrics, &webhooks, (const char *const[]){ provider, outcome }), 1);
    }
    for (size_t i = 0; is_first && i < sizeof outcomes / sizeof *outcomes; i++)
        metrics_series(metrics, &webhooks, (const char *const[]){ provider, outcomes[i] });
}

static void
observed(struct job *job, const struct rpc_result *result)
{
    const char *provider = job->exchange->parameters[0];
    const Sagamesh__Payment__V1__ObserveResponse *response;
    struct json_writer json = { 0 };

    if (result->meaning == RPC_REFUSED && strcmp(result->reason, "BAD_SIGNATURE") == 0)
        webhook_count(job->bff->metrics, provider, result->reason);
    response = job_reply(job, result, &sagamesh__payment__v1__observe_response__descriptor);
    if (response == NULL)
        return;
    webhook_count(job->bff->metrics, provider, outcome_name(response->outcome));
    json_open_object(&json, NULL);
    json_put_text(&json, "outcome", outcome_name(response->outcome));
    json_close_object(&json);
    http_answer_json(job->exchange, 200, &json, NULL);
}

/* HTTP lets a value be Latin-1 or anything else; a message's text must be UTF-8. What is not is left
 * out: no signature is, and the webhook must not be lost for a proxy's odd header. */
static void
headers_copy(struct job *job, Sagamesh__Payment__V1__Webhook *webhook)
{
    const struct http_request *request = job->exchange->request;

    webhook->headers = arena_take(job->arena, request->header_count * sizeof *webhook->headers);
    for (size_t i = 0; i < request->header_count; i++) {
        const char *value = request->headers[i].value;
        Sagamesh__Payment__V1__Header *header;

        if (!utf8_is_valid(value, strlen(value)))
            continue;
        header = arena_take(job->arena, sizeof *header);
        sagamesh__payment__v1__header__init(header);
        header->name = (char *)request->headers[i].name; /* a token, so ASCII */
        header->value = (char *)value;
        webhook->headers[webhook->n_headers++] = header;
    }
}

static void
webhook_take(struct http_exchange *exchange)
{
    struct job *job = job_open(exchange);
    Sagamesh__Payment__V1__ObserveRequest observe = SAGAMESH__PAYMENT__V1__OBSERVE_REQUEST__INIT;
    Sagamesh__Payment__V1__Webhook webhook = SAGAMESH__PAYMENT__V1__WEBHOOK__INIT;
    char id[UUID_TEXT_BYTES + 1];

    observe.request_id = uuid_print(uuid_v7(clock_now_us()), id);
    observe.what_case = SAGAMESH__PAYMENT__V1__OBSERVE_REQUEST__WHAT_WEBHOOK;
    observe.webhook = &webhook;
    webhook.provider = (char *)exchange->parameters[0];
    webhook.remote_address = (char *)exchange->remote_address;
    webhook.body.data = (uint8_t *)exchange->request->body;
    webhook.body.len = exchange->request->body_bytes;
    headers_copy(job, &webhook);
    job_send(job, BFF_ACCOUNT, "sagamesh.payment.v1.PaymentService/Observe", &observe.base,
             observed);
}

/* clang-format off */
const struct http_route webhook_routes[] = {
    { .method = "POST", .path = "/webhooks/{provider}", .handler = webhook_take, .body_bytes_max = WEBHOOK_BYTES_MAX, .deadline_ms = WEBHOOK_MS, .without_redis = "works" },
    { 0 },
};
/* clang-format on */
