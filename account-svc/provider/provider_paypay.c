/* provider_paypay.c -- The adapter for PayPay's Open Payment API.
 *
 * A payment is a dynamic QR code whose merchantPaymentId is our id; the code is what is cancelled, and
 * once it is paid a refund names PayPay's own paymentId: `reference` is the one or the other. The
 * page of a code is told once, in the answer to its create: a create that is repeated is a DUPLICATE.
 * Webhooks are not signed: they are a reason to query and never more.
 */
#include "account-svc/provider/provider_paypay.h"
#include "mesh/base/random.h"
#include "mesh/base/text.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MD5_BYTES = 16, SHA256_BYTES = 32 };

#define CONTENT_TYPE "application/json"

static const char *
base64(const unsigned char *bytes, size_t count, struct arena *arena)
{
    return text_print_base64(bytes, count, arena_take(arena, TEXT_BASE64_BYTES(count) + 1));
}

static const char *
body_hash(const struct paypay_content *content, struct arena *arena)
{
    const char *hashed;
    unsigned char digest[MD5_BYTES];
    unsigned int bytes = 0;

    if (content->body == NULL)
        return "empty";
    hashed = arena_print(arena, "%s%s", content->content_type, content->body);
    if (EVP_Digest(hashed, strlen(hashed), digest, &bytes, EVP_md5(), NULL) != 1)
        abort(); /* an OpenSSL without MD5 cannot speak to PayPay at all */
    return base64(digest, bytes, arena);
}

const char *
paypay_sign(const char *api_key, const struct signature_key *secret,
            const struct paypay_content *content, struct arena *arena)
{
    const char *hash = body_hash(content, arena);
    const char *text = arena_print(arena, "%s\n%s\n%s\n%" PRId64 "\n%s\n%s", content->path,
                                   content->method, content->nonce, content->epoch_seconds,
                                   content->body == NULL ? "empty" : content->content_type, hash);
    unsigned char mac[SHA256_BYTES];
    unsigned int bytes = 0;

    if (HMAC(EVP_sha256(), secret->bytes, (int)secret->count, (const unsigned char *)text,
             strlen(text), mac, &bytes) == NULL)
        abort();
    return arena_print(arena, "hmac OPA-Auth:%s:%s:%s:%" PRId64 ":%s", api_key,
                       base64(mac, bytes, arena), content->nonce, content->epoch_seconds, hash);
}

static const char *
id_text(const struct payment *payment, struct arena *arena)
{
    return uuid_print(payment->record.id, arena_take(arena, UUID_TEXT_BYTES + 1));
}

/* 8 characters, as recommended. */
static const char *
nonce_new(struct arena *arena)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t random[8];
    char *nonce = arena_take(arena, sizeof random + 1);

    random_bytes(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        nonce[i] = letters[random[i] % 32];
    return nonce;
}

/* What follows the host in the base URL is part of what is signed. */
static const char *
path_of(const struct provider *provider, const char *path, struct arena *arena)
{
    const char *host = strstr(provider->base_url, "://");
    const char *prefix = host == NULL ? NULL : strchr(host + 3, '/');

    return arena_print(arena, "%s%s", prefix == NULL ? "" : prefix, path);
}

static void
request_fill(struct provider_request *request, const struct provider *provider, const char *method,
             const char *path, const char *body, int64_t now_us, struct arena *arena)
{
    static const struct signature_key no_secret;
    struct paypay_content content = { .method = method,
                                      .path = path_of(provider, path, arena),
                                      .content_type = body == NULL ? NULL : CONTENT_TYPE,
                                      .body = body,
                                      .nonce = nonce_new(arena),
                                      .epoch_seconds = now_us / SECOND_US };
    const struct signature_key *secret =
        provider->secret_count == 0 ? &no_secret : &provider->secrets[0];

    request->method = method;
    request->url = arena_print(arena, "%s%s", provider->base_url, path);
    request->body = body;
    request->headers[request->header_count++] = arena_print(
        arena, "Authorization: %s", paypay_sign(provider->api_key, secret, &content, arena));
    if (body != NULL)
        request->headers[request->header_count++] = "Content-Type: " CONTENT_TYPE;
    if (provider->merchant_id[0] != '\0')
        request->headers[request->header_count++] =
            arena_print(arena, "X-ASSUME-MERCHANT: %s", provider->merchant_id);
}

static const char *
body_take(struct json_writer *writer, struct arena *arena)
{
    const char *body = arena_copy(arena, writer->text, writer->bytes);

    json_writer_free(writer);
    return body;
}

static void
put_amount(struct json_writer *writer, int64_t amount_minor, const char *currency)
{
    json_open_object(writer, "amount");
    json_put_int(writer, "amount", amount_minor); /* JPY has no minor units */
    json_put_text(writer, "currency", currency);
    json_close_object(writer);
}

static void
paypay_create(const struct provider *provider, const struct payment *payment, int64_t now_us,
              struct arena *arena, struct provider_request *request)
{
    struct json_writer json = { 0 };

    json_open_object(&json, NULL);
    json_put_text(&json, "merchantPaymentId", id_text(payment, arena));
    put_amount(&json, payment->amount_minor, payment->currency);
    json_put_text(&json, "codeType", "ORDER_QR");
    json_put_text(&json, "orderDescription", payment->description);
    json_put_bool(&json, "isAuthorization", false);
    if (payment->return_url[0] != '\0') {
        json_put_text(&json, "redirectUrl", payment->return_url);
        json_put_text(&json, "redirectType", "WEB_LINK");
    }
    json_put_int(&json, "requestedAt", now_us / SECOND_US);
    json_close_object(&json);
    request_fill(request, provider, "POST", "/v2/codes", body_take(&json, arena), now_us, arena);
}

static void
paypay_query(const struct provider *provider, const struct payment *payment, int64_t now_us,
             struct arena *arena, struct provider_request *request)
{
    request_fill(request, provider, "GET",
                 arena_print(arena, "/v2/codes/payments/%s", id_text(payment, arena)), NULL, now_us,
                 arena);
}

/* The code, if its name is known; else the payment itself, as after a create that timed out. */
static void
paypay_cancel(const struct provider *provider, const struct payment *payment, int64_t now_us,
              struct arena *arena, struct provider_request *request)
{
    const char *path = payment->reference[0] != '\0'
                           ? arena_print(arena, "/v2/codes/%s", payment->reference)
                           : arena_print(arena, "/v2/payments/%s", id_text(payment, arena));

    request_fill(request, provider, "DELETE", path, NULL, now_us, arena);
}

static void
paypay_refund(const struct provider *provider, const struct payment *payment, int64_t now_us,
              struct arena *arena, struct provider_request *request)
{
    struct json_writer json = { 0 };

    json_open_object(&json, NULL);
    json_put_text(&json, "merchantRefundId", id_text(payment, arena));
    json_put_text(&json, "paymentId", payment->reference);
    put_amount(&json, payment_refund_left(payment, arena), payment_refund_currency(payment));
    json_put_int(&json, "requestedAt", now_us / SECOND_US);
    json_put_text(&json, "reason", "the order does not take this payment");
    json_close_object(&json);
    request_fill(request, provider, "POST", "/v2/refunds", body_take(&json, arena), now_us, arena);
}

static void
paypay_query_refund(const struct provider *provider, const struct payment *payment, int64_t now_us,
                    struct arena *arena, struct provider_request *request)
{
    request_fill(request, provider, "GET",
                 arena_print(arena, "/v2/refunds/%s", id_text(payment, arena)), NULL, now_us,
                 arena);
}

/* ---- what it says ---- */

/* clang-format off */
static const struct json_want result_members[] = { { "code", NULL }, { "message", NULL }, { 0 } };
static const struct json_want amount_members[] = { { "amount", NULL }, { "currency", NULL }, { 0 } };
static const struct json_want refund_members[] = {
    { "status", NULL }, { "merchantRefundId", NULL }, { "amount", amount_members }, { 0 },
};
static const struct json_want refunds_members[] = { { "data", refund_members }, { 0 } };
static const struct json_want data_members[] = {
    { "merchantPaymentId", NULL }, { "paymentId", NULL }, { "status", NULL }, { "acceptedAt", NULL },
    { "amount", amount_members }, { "refunds", refunds_members },
    { "codeId", NULL }, { "url", NULL }, { "expiryDate", NULL }, /* of a code */
    { "merchantRefundId", NULL },                                /* of a refund */
    { 0 },
};
static const struct json_want members[] = { { "resultInfo", result_members }, { "data", data_members }, { 0 } };
static const struct json_want webhook_members[] = { { "merchant_order_id", NULL }, { 0 } };
/* clang-format on */

/* A name that goes into a path or a line: letters, digits and "-_.". */
static const char *
name_text(const json_t *object, const char *key, struct arena *arena)
{
    const char *text = provider_text(object, key, arena);

    return text_is_of(text, TEXT_LETTERS_AND_DIGITS "-_.") &&
                   strlen(text) <= PAYMENT_REFERENCE_BYTES_MAX
               ? text
               : NULL;
}

static bool
amount_heard(const json_t *object, struct arena *arena, int64_t *ret_minor,
             const char **ret_currency)
{
    const json_t *amount = json_object_get(object, "amount");

    *ret_currency = provider_text(amount, "currency", arena);
    return *ret_currency != NULL &&
           provider_amount(json_object_get(amount, "amount"), *ret_currency, ret_minor);
}

static void
refund_heard(const json_t *refund, struct arena *arena, struct observation *observation)
{
    struct refunded *at = &observation->refunds[observation->refund_count];
    const char *status = provider_text(refund, "status", arena), *currency;

    if (observation->refund_count == PAYMENT_REFUNDS_MAX || status == NULL ||
        strcmp(status, "REFUNDED") != 0)
        return;
    at->id = name_text(refund, "merchantRefundId", arena);
    if (at->id != NULL && amount_heard(refund, arena, &at->amount_minor, &currency))
        observation->refund_count++;
}

/* Our own refund. Done is ours with its word; the answer to a refund must also name what was asked for.
 * One that PayPay has accepted is CREATED for a while: it is asked for again. */
static enum outcome
own_refund_heard(const struct payment *payment, const json_t *data, enum task_kind kind,
                 struct arena *arena, struct observation *observation)
{
    const char *id = name_text(data, "merchantRefundId", arena);
    const char *status = provider_text(data, "status", arena);
    const char *currency = provider_text(json_object_get(data, "amount"), "currency", arena);

    if (id == NULL || strcmp(id, id_text(payment, arena)) != 0)
        return OUTCOME_UNKNOWN;
    if (status != NULL && strcmp(status, "FAILED") == 0)
        return OUTCOME_REFUSED;
    refund_heard(data, arena, observation);
    if (observation->refund_count == 1 && strcmp(currency, payment_refund_currency(payment)) == 0 &&
        (kind == TASK_QUERY_REFUND ||
         observation->refunds[0].amount_minor == payment_refund_left(payment, arena)))
        return OUTCOME_KNOWN;
    observation->refund_count = 0;
    return OUTCOME_UNKNOWN;
}

/* Seconds since 1970; 0 when it is none. */
static int64_t
time_heard(const json_t *object, const char *key)
{
    json_int_t seconds = json_integer_value(json_object_get(object, key));

    return seconds > 0 && seconds < INT64_C(100000000000) ? seconds * SECOND_US : 0;
}

static void
payment_heard(const json_t *data, struct arena *arena, struct observation *observation)
{
    const json_t *refunds = json_object_get(json_object_get(data, "refunds"), "data");
    const char *status = provider_text(data, "status", arena), *currency;

    provider_status(&provider_paypay, status, observation);
    if (json_object_get(data, "amount") != NULL) {
        if (!amount_heard(data, arena, &observation->amount_minor, &currency))
            observation->amount_minor = -1;
        observation->currency = currency == NULL ? "" : currency;
    }
    if (observation->observed == OBSERVED_SUCCEEDED || observation->observed == OBSERVED_AUTHORIZED)
        observation->reference = name_text(data, "paymentId", arena);
    observation->occurred_at_us = time_heard(data, "acceptedAt");
    for (size_t i = 0; i < json_array_size(refunds); i++)
        refund_heard(json_array_get(refunds, i), arena, observation);
}

static void
code_heard(const json_t *data, struct arena *arena, struct observation *observation)
{
    const char *url = provider_text(data, "url", arena);

    observation->observed = OBSERVED_CREATED;
    observation->url = url != NULL && strlen(url) <= PAYMENT_URL_BYTES_MAX ? url : NULL;
    observation->reference = name_text(data, "codeId", arena);
    observation->expires_at_us = time_heard(data, "expiryDate");
}

/* PayPay's own word beside the HTTP status. 202 REQUEST_ACCEPTED is not SUCCESS: a query tells. */
static enum outcome
result_outcome(const json_t *json, int status, struct arena *arena, struct observation *observation)
{
    const json_t *result = json_object_get(json, "resultInfo");
    const char *code = provider_text(result, "code", arena);

    observation->code = provider_clean(code, arena);
    observation->words = provider_clean(provider_text(result, "message", arena), arena);
    if (code == NULL && status >= 200 && status < 300)
        return provider_unreadable(observation, "cannot be read: 'resultInfo.code' must be a text");
    if (code != NULL && strcmp(code, "OPA_CLIENT_NOT_FOUND") == 0)
        return provider_unreadable(observation, "the provider does not know of our key");
    if (code != NULL && strstr(code, "NOT_FOUND") != NULL)
        return OUTCOME_NOT_FOUND;
    observation->is_repeat = code != NULL && strstr(code, "DUPLICATE") != NULL;
    if (observation->is_repeat)
        return OUTCOME_UNKNOWN; /* it was done before: a query tells how it stands */
    if (status >= 200 && status < 300 && strcmp(code, "SUCCESS") != 0)
        return OUTCOME_UNKNOWN;
    return provider_status_outcome(status);
}

/* With a word that is not known here nothing was said. */
static enum outcome
query_heard(const json_t *data, struct arena *arena, struct observation *observation)
{
    const char *status = provider_text(data, "status", arena);

    payment_heard(data, arena, observation);
    if (status == NULL)
        return provider_unreadable(observation, "cannot be read: 'data.status' must be a text");
    if (observation->observed == OBSERVED_NONE)
        return provider_unreadable(
            observation,
            arena_print(arena, "its 'data.status' is '%s', a word that is not known here",
                        provider_clean(status, arena)));
    return OUTCOME_KNOWN;
}

static enum outcome
data_heard(const struct payment *payment, const json_t *data, enum task_kind kind,
           struct arena *arena, struct observation *observation)
{
    const char *id = provider_text(data, "merchantPaymentId", arena);

    if (id != NULL && strcmp(id, id_text(payment, arena)) != 0 &&
        (kind == TASK_CREATE || kind == TASK_QUERY))
        return provider_unreadable(observation,
                                   "its 'data.merchantPaymentId' is of something else");
    switch (kind) {
    case TASK_CREATE:
        code_heard(data, arena, observation);
        return observation->url == NULL
                   ? provider_unreadable(observation, "cannot be read: 'data.url' must be a text")
                   : OUTCOME_KNOWN;
    case TASK_QUERY:
        return query_heard(data, arena, observation);
    case TASK_REFUND:
    case TASK_QUERY_REFUND:
        return own_refund_heard(payment, data, kind, arena, observation);
    case TASK_CANCEL: /* a code that is deleted cannot be paid; what was paid before the books say */
        observation->observed = OBSERVED_CANCELED;
        return OUTCOME_KNOWN;
    case TASK_NONE:
    case TASK_KIND_COUNT:
        break;
    }
    return OUTCOME_KNOWN;
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
    case TASK_QUERY_REFUND:
        return SOURCE_REFUND;
    case TASK_QUERY:
    case TASK_NONE:
    case TASK_KIND_COUNT:
        break;
    }
    return SOURCE_QUERY;
}

static enum outcome
paypay_read(const struct payment *payment, enum task_kind kind,
            const struct provider_answer *answer, struct arena *arena,
            struct observation *observation)
{
    enum outcome outcome;
    json_t *json;

    *observation = (struct observation){ .source = source_of(kind) };
    json = provider_answer_pick(answer, members, arena, observation);
    if (json == NULL)
        return OUTCOME_UNKNOWN;
    outcome = result_outcome(json, answer->status, arena, observation);
    if (outcome == OUTCOME_KNOWN)
        outcome = data_heard(payment, json_object_get(json, "data"), kind, arena, observation);
    json_decref(json);
    if (outcome == OUTCOME_REFUSED && kind == TASK_CREATE)
        observation->observed = OBSERVED_FAILED;
    return outcome;
}

/* Payments are one of the things that PayPay notifies of, and ours are some of the merchant's: what has no
 * merchant_order_id, or one that is no id of ours, is not about us.
 *
 * Nothing in it is believed, so nothing is stored of it: a stranger who made up a notification could
 * else make the true one look like its repeat. */
static enum error
paypay_hear(const struct provider *provider, const struct provider_webhook *webhook, int64_t now_us,
            struct arena *arena, struct problem *problem, struct provider_heard *ret_heard)
{
    struct provider_heard heard = { .is_verified = false };
    const json_t *order;
    json_t *json = NULL;

    (void)provider, (void)now_us, (void)arena;
    if (json_pick((const char *)webhook->body, webhook->body_bytes, webhook_members, "webhook.body",
                  problem, &json) != ERR_OK)
        return problem->error;
    order = json_object_get(json, "merchant_order_id");
    heard.is_of_payment = order != NULL && !json_is_null(order);
    if (json_is_string(order))
        uuid_parse(json_string_value(order), json_string_length(order), &heard.payment_id);
    json_decref(json);
    *ret_heard = heard;
    return ERR_OK;
}

/* The words of its payments' states. */
static const struct status_word words[] = {
    /* clang-format off */
    { "CREATED",       OBSERVED_CREATED,    false },
    { "REAUTHORIZING", OBSERVED_PENDING,    false },
    { "AUTHORIZED",    OBSERVED_AUTHORIZED, false },
    { "FAILED",        OBSERVED_FAILED,     false },
    { "EXPIRED",       OBSERVED_EXPIRED,    false },
    { "CANCELED",      OBSERVED_CANCELED,   false },
    { "COMPLETED",     OBSERVED_SUCCEEDED,  false },
    { "REFUNDED",      OBSERVED_SUCCEEDED,  true  },
    { NULL,            OBSERVED_NONE,       false },
    /* clang-format on */
};

/* PayPay wants to be asked every 2 to 5 seconds while the customer is at it. A code lives five minutes,
 * and its webhooks are only hints: nobody may look paid late. */
static const struct poll_step overdue[] = {
    { .count = 10, .gap_us = 30 * SECOND_US },
    { .count = 24, .gap_us = 3600 * SECOND_US },
    { .count = 0, .gap_us = 86400 * SECOND_US },
};
static const struct pace pace = { .watched_gap_us = 4 * SECOND_US, .overdue = overdue };

const struct provider_adapter provider_paypay = {
    .name = "paypay",
    .words = words,
    .pace = &pace,
    .currencies = "JPY",
    .create = paypay_create,
    .query = paypay_query,
    .cancel = paypay_cancel,
    .refund = paypay_refund,
    .query_refund = paypay_query_refund,
    .read = paypay_read,
    .hear = paypay_hear,
};
