/* provider_sandbox.c -- The adapter for providers that speak plain JSON and Standard Webhooks, as the
 * sandbox does.
 *
 *   POST BASE/v1/payments                {"id","amount","currency","description","returnUrl","expiresAt","webhookUrl"}
 *   GET  BASE/v1/payments/ID
 *   POST BASE/v1/payments/ID/cancel
 *   POST BASE/v1/payments/ID/refunds     {"id","amount"}
 *
 * The id is ours: the idempotency key of the payment, and of its one refund. Each answer, and the data
 * of a webhook, is {"id","status","amount","currency","checkoutUrl","expiresAt","occurredAt","refunds"};
 * the answer to a refund is {"id","status","amount"} of the refund itself, and so is each of its "refunds",
 * where no status means that it was made. A refusal, and a payment that is not found, say so in {"code","detail"}, or
 * "message" (RFC 9457 and its like).
 */
#include "account-svc/provider/provider_webhook.h"
#include "mesh/base/json.h"
#include "mesh/base/time.h"

#include <string.h>

static const char *
id_text(const struct payment *payment, struct arena *arena)
{
    return uuid_print(payment->record.id, arena_take(arena, UUID_TEXT_BYTES + 1));
}

static void
request_fill(struct provider_request *request, const struct provider *provider, const char *method,
             const char *url, struct arena *arena)
{
    request->method = method;
    request->url = url;
    request->headers[request->header_count++] =
        arena_print(arena, "Authorization: Bearer %s", provider->api_key);
    request->headers[request->header_count++] = "Content-Type: application/json";
}

/* The writer's text moves to the arena. */
static void
request_body(struct provider_request *request, struct json_writer *writer, struct arena *arena)
{
    request->body = arena_copy(arena, writer->text, writer->bytes);
    json_writer_free(writer);
}

static void
sandbox_create(const struct provider *provider, const struct payment *payment, int64_t now_us,
               struct arena *arena, struct provider_request *request)
{
    int64_t end_us = payment->ends_at_us > 0 ? payment->ends_at_us : payment->expires_at_us;
    struct json_writer json = { 0 };
    char end[TIME_TEXT_BYTES + 1];

    (void)now_us;
    request_fill(request, provider, "POST",
                 arena_print(arena, "%s/v1/payments", provider->base_url), arena);
    json_open_object(&json, NULL);
    json_put_text(&json, "id", id_text(payment, arena));
    json_put_int(&json, "amount", payment->amount_minor);
    json_put_text(&json, "currency", payment->currency);
    json_put_text(&json, "description", payment->description);
    if (payment->return_url[0] != '\0')
        json_put_text(&json, "returnUrl", payment->return_url);
    json_put_text(&json, "expiresAt", time_print_seconds(end_us, end));
    if (provider->webhook_url[0] != '\0')
        json_put_text(&json, "webhookUrl", provider->webhook_url);
    json_close_object(&json);
    request_body(request, &json, arena);
}

static void
sandbox_query(const struct provider *provider, const struct payment *payment, int64_t now_us,
              struct arena *arena, struct provider_request *request)
{
    (void)now_us;
    request_fill(
        request, provider, "GET",
        arena_print(arena, "%s/v1/payments/%s", provider->base_url, id_text(payment, arena)),
        arena);
}

static void
sandbox_cancel(const struct provider *provider, const struct payment *payment, int64_t now_us,
               struct arena *arena, struct provider_request *request)
{
    (void)now_us;
    request_fill(
        request, provider, "POST",
        arena_print(arena, "%s/v1/payments/%s/cancel", provider->base_url, id_text(payment, arena)),
        arena);
    request->body = "{}";
}

static void
sandbox_refund(const struct provider *provider, const struct payment *payment, int64_t now_us,
               struct arena *arena, struct provider_request *request)
{
    struct json_writer json = { 0 };

    (void)now_us;
    request_fill(request, provider, "POST",
                 arena_print(arena, "%s/v1/payments/%s/refunds", provider->base_url,
                             id_text(payment, arena)),
                 arena);
    json_open_object(&json, NULL);
    json_put_text(&json, "id", id_text(payment, arena));
    json_put_int(&json, "amount", payment_refund_left(payment, arena));
    json_close_object(&json);
    request_body(request, &json, arena);
}

/* ---- what it says ---- */

static const struct json_want refund_members[] = {
    { "id", NULL },
    { "status", NULL },
    { "amount", NULL },
    { 0 },
};

/* Of an answer, and of the data of a webhook. */
/* clang-format off */
static const struct json_want members[] = {
    { "id", NULL }, { "status", NULL }, { "amount", NULL }, { "currency", NULL },
    { "checkoutUrl", NULL }, { "reference", NULL }, { "expiresAt", NULL }, { "occurredAt", NULL },
    { "refunds", refund_members },
    { "code", NULL }, { "detail", NULL }, { "message", NULL },
    { 0 },
};
/* clang-format on */

static const struct json_want webhook_members[] = { { "type", NULL }, { "data", members }, { 0 } };

static void
refund_heard(struct observation *observation, const char *id, const json_t *amount,
             const char *currency)
{
    struct refunded *refund = &observation->refunds[observation->refund_count];

    if (id == NULL || id[0] == '\0' || strlen(id) > PAYMENT_REFERENCE_BYTES_MAX ||
        observation->refund_count == PAYMENT_REFUNDS_MAX ||
        !provider_amount(amount, currency, &refund->amount_minor))
        return;
    refund->id = id;
    observation->refund_count++;
}

/* One that waits, or failed, has brought nothing back. */
static bool
is_made(const json_t *refund, struct arena *arena)
{
    struct observation word = { 0 };

    provider_status(&provider_sandbox, provider_text(refund, "status", arena), &word);
    return json_object_get(refund, "status") == NULL || word.observed == OBSERVED_SUCCEEDED;
}

static const char *
short_text(const json_t *object, const char *key, size_t bytes_max, struct arena *arena)
{
    const char *text = provider_text(object, key, arena);

    return text != NULL && strlen(text) <= bytes_max ? text : NULL;
}

/* 0: it is not said. */
static int64_t
time_of(const json_t *object, const char *key, struct arena *arena)
{
    int64_t time_us = 0;

    time_read(provider_text(object, key, arena), &time_us);
    return time_us;
}

/* An amount that cannot be read is not ours. */
static void
payment_heard(const json_t *object, struct arena *arena, struct observation *observation)
{
    const json_t *amount = json_object_get(object, "amount");
    const json_t *refunds = json_object_get(object, "refunds");
    const char *status = provider_text(object, "status", arena);
    const char *currency = provider_text(object, "currency", arena);

    provider_status(&provider_sandbox, status, observation);
    if (amount != NULL || currency != NULL) {
        observation->currency = currency == NULL ? "" : currency;
        if (!provider_amount(amount, observation->currency, &observation->amount_minor))
            observation->amount_minor = -1;
    }
    observation->url = short_text(object, "checkoutUrl", PAYMENT_URL_BYTES_MAX, arena);
    observation->reference = short_text(object, "reference", PAYMENT_REFERENCE_BYTES_MAX, arena);
    observation->expires_at_us = time_of(object, "expiresAt", arena);
    observation->occurred_at_us = time_of(object, "occurredAt", arena);
    for (size_t i = 0; i < json_array_size(refunds); i++) {
        const json_t *refund = json_array_get(refunds, i);

        if (is_made(refund, arena))
            refund_heard(observation, provider_text(refund, "id", arena),
                         json_object_get(refund, "amount"), currency == NULL ? "" : currency);
    }
}

static enum source
source_of(enum task_kind kind)
{
    switch (kind) {
    case TASK_CREATE:
        return SOURCE_CREATE;
    case TASK_CANCEL:
        return SOURCE_CANCEL;
    case TASK_REFUND:
        return SOURCE_REFUND;
    case TASK_QUERY:
    case TASK_QUERY_REFUND:
    case TASK_NONE:
    case TASK_KIND_COUNT:
        break;
    }
    return SOURCE_QUERY;
}

/* Is what is said said of this payment, with a word that we know? Else it says nothing. */
static enum outcome
said_of(const struct payment *payment, const json_t *json, struct arena *arena,
        const struct observation *word, struct observation *observation)
{
    const char *id = provider_text(json, "id", arena);
    const char *status = provider_text(json, "status", arena);

    if (id == NULL)
        return provider_unreadable(observation, "cannot be read: 'id' must be a text");
    if (strcmp(id, id_text(payment, arena)) != 0)
        return provider_unreadable(observation, "its 'id' is of something else");
    if (status == NULL)
        return provider_unreadable(observation, "cannot be read: 'status' must be a text");
    if (word->observed == OBSERVED_NONE)
        return provider_unreadable(
            observation, arena_print(arena, "its 'status' is '%s', a word that is not known here",
                                     provider_clean(status, arena)));
    return OUTCOME_KNOWN;
}

/* Done is our refund, of the amount that was asked for, with a word that says so. Accepted is not done:
 * a query tells. */
static enum outcome
refund_read(const struct payment *payment, const json_t *json, struct arena *arena,
            struct observation *observation)
{
    struct observation word = { 0 };

    provider_status(&provider_sandbox, provider_text(json, "status", arena), &word);
    if (said_of(payment, json, arena, &word, observation) != OUTCOME_KNOWN)
        return OUTCOME_UNKNOWN;
    refund_heard(observation, provider_text(json, "id", arena), json_object_get(json, "amount"),
                 payment_refund_currency(payment));
    if (observation->refund_count == 1 && word.observed == OBSERVED_SUCCEEDED &&
        observation->refunds[0].amount_minor == payment_refund_left(payment, arena))
        return OUTCOME_KNOWN;
    observation->refund_count = 0;
    return OUTCOME_UNKNOWN;
}

/* Of another payment, or without a status: nothing was said. */
static enum outcome
payment_read(const struct payment *payment, const json_t *json, struct arena *arena,
             struct observation *observation)
{
    payment_heard(json, arena, observation);
    return said_of(payment, json, arena, observation, observation);
}

static void
words_heard(const json_t *json, struct arena *arena, struct observation *observation)
{
    const char *words = provider_text(json, "detail", arena);

    if (words == NULL)
        words = provider_text(json, "message", arena);
    observation->code = provider_clean(provider_text(json, "code", arena), arena);
    observation->words = provider_clean(words, arena);
}

static enum outcome
outcome_of(enum task_kind kind, int status)
{
    if ((kind == TASK_CANCEL || kind == TASK_REFUND) && status == 409)
        return OUTCOME_REFUSED; /* it is over, or not to be refunded so; the query says how it is */
    return provider_status_outcome(status);
}

static enum outcome
sandbox_read(const struct payment *payment, enum task_kind kind,
             const struct provider_answer *answer, struct arena *arena,
             struct observation *observation)
{
    enum outcome outcome = outcome_of(kind, answer->status);
    json_t *json;

    *observation = (struct observation){ .source = source_of(kind) };
    json = provider_answer_pick(answer, members, arena, observation);
    if (outcome == OUTCOME_REFUSED && kind == TASK_CREATE)
        observation->observed = OBSERVED_FAILED;
    if (json == NULL)
        return outcome == OUTCOME_REFUSED ? outcome : OUTCOME_UNKNOWN;
    if (outcome != OUTCOME_KNOWN)
        words_heard(json, arena, observation);
    else if (kind == TASK_REFUND)
        outcome = refund_read(payment, json, arena, observation);
    else
        outcome = payment_read(payment, json, arena, observation);
    json_decref(json);
    return outcome;
}

static enum error
sandbox_hear(const struct provider *provider, const struct provider_webhook *webhook,
             int64_t now_us, struct arena *arena, struct problem *problem,
             struct provider_heard *ret_heard)
{
    struct provider_heard heard = { .is_verified = true };
    const char *type, *id;
    json_t *json = NULL;

    if (webhook_verify(provider->secrets, provider->secret_count, webhook, now_us, problem,
                       &heard.event_id) != ERR_OK ||
        json_pick((const char *)webhook->body, webhook->body_bytes, webhook_members, "webhook.body",
                  problem, &json) != ERR_OK)
        return problem->error;
    type = provider_text(json, "type", arena);
    heard.observation.source = SOURCE_WEBHOOK;
    if (type != NULL && strncmp(type, "payment.", 8) == 0) {
        const json_t *data = json_object_get(json, "data");

        heard.is_of_payment = true;
        id = provider_text(data, "id", arena);
        if (id != NULL)
            uuid_parse(id, strlen(id), &heard.payment_id);
        payment_heard(data, arena, &heard.observation);
    }
    json_decref(json);
    *ret_heard = heard;
    return ERR_OK;
}

const struct provider_adapter provider_sandbox = {
    .name = "sandbox",
    .words = status_words,
    .pace = &payment_pace,
    .create = sandbox_create,
    .query = sandbox_query,
    .cancel = sandbox_cancel,
    .refund = sandbox_refund,
    .query_refund = sandbox_query, /* its books list every refund */
    .read = sandbox_read,
    .hear = sandbox_hear,
};
