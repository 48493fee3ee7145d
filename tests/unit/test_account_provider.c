/* test_account_provider.c -- What providers say: signatures, amounts, statuses, answers. */
#include "account-svc/provider/provider_paypay.h"
#include "account-svc/provider/provider_webhook.h"
#include "mesh/base/log.h"
#include "mesh/observe/file_watch.h"
#include "tests/support/account/payment_fixture.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct arena *arena;

static void
set_up(void)
{
    arena = arena_new();
}

static void
tear_down(void)
{
    arena = arena_free(arena);
}

/* ---- Standard Webhooks: the reference libraries' own cases ---- */

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define OTHER_SECRET "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
#define MSG "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define TS "1614265330"
#define BODY "{\"test\": 2432232314}"
#define GOOD "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
#define WRONG "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="

/* clang-format off */
static const struct {
    const char *what, *id, *timestamp, *signatures, *body;
    int64_t now; /* seconds from TS */
    bool is_good;
} webhooks[] = {
    { "the published vector",            MSG,  TS,    GOOD,                          BODY,      0, true  },
    { "299 seconds later",               MSG,  TS,    GOOD,                          BODY,    299, true  },
    { "300 seconds later",               MSG,  TS,    GOOD,                          BODY,    300, true  },
    { "301 seconds later",               MSG,  TS,    GOOD,                          BODY,    301, false },
    { "301 seconds too early",           MSG,  TS,    GOOD,                          BODY,   -301, false },
    { "300 seconds too early",           MSG,  TS,    GOOD,                          BODY,   -300, true  },
    { "no id",                           NULL, TS,    GOOD,                          BODY,      0, false },
    { "no timestamp",                    MSG,  NULL,  GOOD,                          BODY,      0, false },
    { "no signature",                    MSG,  TS,    NULL,                          BODY,      0, false },
    { "a timestamp that is no number",   MSG,  "hi",  GOOD,                          BODY,      0, false },
    { "a timestamp with a sign",         MSG,  "+1614265330", GOOD,                  BODY,      0, false },
    { "an empty signature",              MSG,  TS,    "v1,",                         BODY,      0, false },
    { "a signature that is none",        MSG,  TS,    "v1,dawfeoifkpqwoekfpqoekf",   BODY,      0, false },
    { "no version",                      MSG,  TS,    "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", BODY, 0, false },
    { "two wrong, a v2, and the right",  MSG,  TS,    WRONG " v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= " WRONG " " GOOD, BODY, 0, true },
    { "the right one as a v2",           MSG,  TS,    "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", BODY, 0, false },
    { "another id",                      "msg_x", TS, GOOD,                          BODY,      0, false },
    { "an id with a point",              MSG ".1", TS, GOOD,                         BODY,      0, false },
    { "a body that was changed",         MSG,  TS,    GOOD,         "{\"test\": 2432232315}",   0, false },
    { "one byte less of the signature",  MSG,  TS,    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE", BODY, 0, false },
};
/* clang-format on */

static struct provider_webhook
webhook_of(size_t row)
{
    struct provider_header *headers = arena_take(arena, 3 * sizeof *headers);
    struct provider_webhook webhook = { .headers = headers,
                                        .body = (const uint8_t *)webhooks[row].body,
                                        .body_bytes = strlen(webhooks[row].body) };

    if (webhooks[row].id != NULL)
        headers[webhook.header_count++] =
            (struct provider_header){ "Webhook-Id", webhooks[row].id };
    if (webhooks[row].timestamp != NULL)
        headers[webhook.header_count++] =
            (struct provider_header){ "webhook-timestamp", webhooks[row].timestamp };
    if (webhooks[row].signatures != NULL)
        headers[webhook.header_count++] =
            (struct provider_header){ "webhook-signature", webhooks[row].signatures };
    return webhook;
}

static enum error
verify(const struct signature_key *secrets, size_t count, size_t row)
{
    struct provider_webhook webhook = webhook_of(row);
    struct problem problem = { 0 };
    const char *id = NULL;
    enum error error =
        webhook_verify(secrets, count, &webhook,
                       (INT64_C(1614265330) + webhooks[row].now) * SECOND_US, &problem, &id);

    ck_assert_int_eq(problem.error, error);
    if (error == ERR_OK)
        ck_assert_str_eq(id, MSG);
    return error;
}

START_TEST(webhook_verifies)
{
    struct signature_key secrets[2];

    ck_assert(signature_key_read(SECRET, &secrets[1]));
    ck_assert(signature_key_read(OTHER_SECRET, &secrets[0]));
    ck_assert_msg((verify(secrets + 1, 1, (size_t)_i) == ERR_OK) == webhooks[_i].is_good, "%s",
                  webhooks[_i].what);
    /* While a secret is being replaced either will do. */
    ck_assert_msg((verify(secrets, 2, (size_t)_i) == ERR_OK) == webhooks[_i].is_good, "%s, two",
                  webhooks[_i].what);
    /* A revoked one fails closed, and no secret is no way in. */
    ck_assert_int_eq(verify(secrets, 1, (size_t)_i), ERR_BAD_SIGNATURE);
    ck_assert_int_eq(verify(secrets, 0, (size_t)_i), ERR_BAD_SIGNATURE);
}
END_TEST

START_TEST(header_that_comes_twice)
{
    struct provider_webhook webhook = webhook_of(0);
    struct provider_header headers[4];
    struct signature_key secret;
    struct problem problem = { 0 };
    const char *id;

    memcpy(headers, webhook.headers, 3 * sizeof *headers);
    headers[3] = headers[2];
    webhook.headers = headers;
    webhook.header_count = 4;
    ck_assert(signature_key_read(SECRET, &secret));
    ck_assert_int_eq(
        webhook_verify(&secret, 1, &webhook, INT64_C(1614265330) * SECOND_US, &problem, &id),
        ERR_BAD_SIGNATURE);
}
END_TEST

/* ---- PayPay's request signature ---- */

#define PAYPAY_BODY                                                                                \
    "{\"sampleRequestBodyKey1\":\"sampleRequestBodyValue1\","                                      \
    "\"sampleRequestBodyKey2\":\"sampleRequestBodyValue2\"}"

/* clang-format off */
static const struct {
    const char *content_type, *header;
} paypay[] = {
    { "application/json;charset=UTF-8;", "hmac OPA-Auth:APIKeyGenerated:NW1jKIMnzR7tEhMWtcJcaef+nFVBt7jjAGcVuxHhchc=:acd028:1579843452:1j0FnY4flNp5CtIKa7x9MQ==" },
    { "application/json;charset=UTF-8",  "hmac OPA-Auth:APIKeyGenerated:g/DAZIqKP2xU/LZSXwnEijd7hVr/qAmPNLWwzA6qPrM=:acd028:1579843452:RqWweDuO1iMlji2w1tz2Iw==" },
    { "application/json",                "hmac OPA-Auth:APIKeyGenerated:MN7EXTtA7UbHXClLXGPMbhFLEDADuNESkGI0K+OtgRk=:acd028:1579843452:i3GU5qrLqFGYbYymM6gKHQ==" },
};
/* clang-format on */

START_TEST(paypay_signs)
{
    static const char key[] = "APIKeySecretGenerated";
    struct signature_key secret = { .count = sizeof key - 1 };
    struct paypay_content content = { .method = "POST",
                                      .path = "/v2/codes",
                                      .content_type = paypay[_i].content_type,
                                      .body = PAYPAY_BODY,
                                      .nonce = "acd028",
                                      .epoch_seconds = 1579843452 };

    memcpy(secret.bytes, key, secret.count);
    ck_assert_str_eq(paypay_sign("APIKeyGenerated", &secret, &content, arena), paypay[_i].header);
}
END_TEST

START_TEST(paypay_signs_no_body)
{
    struct signature_key secret = { .bytes = "s", .count = 1 };
    struct paypay_content content = {
        .method = "GET", .path = "/v2/codes/payments/1", .nonce = "n", .epoch_seconds = 1
    };
    const char *header = paypay_sign("k", &secret, &content, arena);

    ck_assert_str_eq(header + strlen(header) - strlen(":n:1:empty"), ":n:1:empty");
}
END_TEST

/* ---- amounts ---- */

/* clang-format off */
static const struct {
    const char *json, *currency;
    int64_t minor; /* -1: no amount */
} amounts[] = {
    { "500",                "JPY", 500 },  { "500",         "EUR", 500 },
    { "\"925\"",            "JPY", 925 },  { "\"9.25\"",    "EUR", 925 },
    { "\"9\"",              "EUR", 900 },  { "\"9.2\"",     "EUR", 920 },
    { "\"1.234\"",          "KWD", 1234 }, { "\"9.25\"",    "JPY", -1 },
    { "\"9.255\"",          "EUR", -1 },   { "9.25",        "EUR", -1 },
    { "500.0",              "JPY", -1 },   { "-1",          "JPY", -1 },
    { "\"-1\"",             "JPY", -1 },   { "\"\"",        "JPY", -1 },
    { "\"9.\"",             "EUR", -1 },   { "\".5\"",      "EUR", -1 },
    { "\"1e3\"",            "JPY", -1 },   { "\" 1\"",      "JPY", -1 },
    { "1000000000000000",   "JPY", INT64_C(1000000000000000) },
    { "1000000000000001",   "JPY", -1 },   { "\"99999999999999999999999\"", "JPY", -1 },
    { "\"10000000000000.00\"", "EUR", INT64_C(1000000000000000) },
    { "\"10000000000000.01\"", "EUR", -1 }, { "true",       "JPY", -1 },
    { "null",               "JPY", -1 },   { "0",           "JPY", 0 },
};
/* clang-format on */

START_TEST(amount_is_read)
{
    struct problem problem;
    int64_t minor = -1;
    json_t *json;

    ck_assert_int_eq(json_read(amounts[_i].json, strlen(amounts[_i].json), "", &problem, &json),
                     ERR_OK);
    ck_assert_msg(provider_amount(json, amounts[_i].currency, &minor) == (amounts[_i].minor >= 0),
                  "%s %s", amounts[_i].json, amounts[_i].currency);
    ck_assert_int_eq(minor, amounts[_i].minor);
    json_decref(json);
}
END_TEST

/* ---- the sandbox's answers ---- */

#define ID "018bcfe5-6800-7000-8000-000000000001"

static struct payment
payment_new(void)
{
    struct payment payment;
    struct uuid id;

    ck_assert(uuid_parse(ID, strlen(ID), &id));
    payment = payment_created(id, INT64_C(1795262400) * SECOND_US);
    payment.description = "two \"tickets\"";
    payment.return_url = "https://shop.example/back";
    return payment;
}

#define REFUND(id, amount, status)                                                                 \
    "{\"id\":\"" id "\",\"amount\":" amount ",\"status\":\"" status "\"}"
#define PAYPAY_REFUND(id, amount, status)                                                          \
    "{\"resultInfo\":{\"code\":\"SUCCESS\"},\"data\":{\"status\":\"" status                        \
    "\",\"merchantRefundId\":\"" id "\",\"amount\":{\"amount\":" amount ",\"currency\":\"JPY\"}}}"
#define BOOKS(status, amount)                                                                      \
    "{\"id\":\"" ID "\",\"status\":\"" status "\",\"amount\":" amount ",\"currency\":\"JPY\"}"

/* clang-format off */
static const struct {
    const char *what;
    const struct provider_adapter *adapter;
    enum task_kind kind;
    int status;
    const char *body;
    enum outcome outcome;
    enum observed observed;
    int64_t amount;
    size_t refunds;
    bool is_paid_back;
} answers[] = {
    { "created",              &provider_sandbox, TASK_CREATE, 201, BOOKS("CREATED", "500"),    OUTCOME_KNOWN,     OBSERVED_CREATED,   500, 0, false },
    { "paid",                 &provider_sandbox, TASK_QUERY,  200, BOOKS("SUCCEEDED", "500"),  OUTCOME_KNOWN,     OBSERVED_SUCCEEDED, 500, 0, false },
    { "paid less",            &provider_sandbox, TASK_QUERY,  200, BOOKS("SUCCEEDED", "499"),  OUTCOME_KNOWN,     OBSERVED_SUCCEEDED, 499, 0, false },
    { "paid a fraction",      &provider_sandbox, TASK_QUERY,  200, BOOKS("SUCCEEDED", "5.5"),  OUTCOME_KNOWN,     OBSERVED_SUCCEEDED, -1, 0, false },
    { "a word unheard of",    &provider_sandbox, TASK_QUERY,  200, BOOKS("WHATEVER", "500"),   OUTCOME_UNKNOWN,   OBSERVED_NONE,      500, 0, false },
    { "somebody else's",      &provider_sandbox, TASK_QUERY,  200, "{\"id\":\"x\",\"status\":\"SUCCEEDED\"}", OUTCOME_UNKNOWN, OBSERVED_SUCCEEDED, 0, 0, false },
    { "no JSON",              &provider_sandbox, TASK_QUERY,  200, "<html>",                   OUTCOME_UNKNOWN,   OBSERVED_NONE,      0, 0, false },
    { "not found",            &provider_sandbox, TASK_QUERY,  404, "{}",                       OUTCOME_NOT_FOUND, OBSERVED_NONE,      0, 0, false },
    { "trouble",              &provider_sandbox, TASK_QUERY,  500, "",                         OUTCOME_UNKNOWN,   OBSERVED_NONE,      0, 0, false },
    { "too many",             &provider_sandbox, TASK_QUERY,  429, "",                         OUTCOME_UNKNOWN,   OBSERVED_NONE,      0, 0, false },
    { "a wrong key",          &provider_sandbox, TASK_CREATE, 401, "",                         OUTCOME_UNKNOWN,   OBSERVED_NONE,      0, 0, false },
    { "will not have it",     &provider_sandbox, TASK_CREATE, 400, "",                         OUTCOME_REFUSED,   OBSERVED_FAILED,    0, 0, false },
    { "too late to cancel",   &provider_sandbox, TASK_CANCEL, 409, "",                         OUTCOME_REFUSED,   OBSERVED_NONE,      0, 0, false },
    { "refunded",             &provider_sandbox, TASK_REFUND, 201, REFUND(ID, "500", "SUCCEEDED"), OUTCOME_KNOWN, OBSERVED_NONE,      0, 1, false },
    { "OK to a refund",       &provider_sandbox, TASK_REFUND, 201, "{}",                       OUTCOME_UNKNOWN,   OBSERVED_NONE,      0, 0, false },
    { "OK, not in JSON",      &provider_sandbox, TASK_REFUND, 200, "<html>",                   OUTCOME_UNKNOWN,   OBSERVED_NONE,      0, 0, false },
    { "a refund accepted",    &provider_sandbox, TASK_REFUND, 202, REFUND(ID, "500", "PENDING"),   OUTCOME_UNKNOWN, OBSERVED_NONE,    0, 0, false },
    { "a refund that failed", &provider_sandbox, TASK_REFUND, 200, REFUND(ID, "500", "FAILED"),    OUTCOME_UNKNOWN, OBSERVED_NONE,    0, 0, false },
    { "somebody's refund",    &provider_sandbox, TASK_REFUND, 200, REFUND("r", "500", "SUCCEEDED"), OUTCOME_UNKNOWN, OBSERVED_NONE,   0, 0, false },
    { "a refund of less",     &provider_sandbox, TASK_REFUND, 200, REFUND(ID, "499", "SUCCEEDED"), OUTCOME_UNKNOWN, OBSERVED_NONE,    0, 0, false },
    { "a refund of nothing",  &provider_sandbox, TASK_REFUND, 200, "{\"id\":\"" ID "\",\"status\":\"SUCCEEDED\"}", OUTCOME_UNKNOWN, OBSERVED_NONE, 0, 0, false },
    { "not to be refunded",   &provider_sandbox, TASK_REFUND, 409, "",                         OUTCOME_REFUSED,   OBSERVED_NONE,      0, 0, false },
    { "nothing to refund",    &provider_sandbox, TASK_REFUND, 404, "{\"code\":\"NO\"}",          OUTCOME_NOT_FOUND, OBSERVED_NONE,      0, 0, false },
    { "how the refund stands", &provider_sandbox, TASK_QUERY_REFUND, 200, BOOKS("SUCCEEDED", "500"), OUTCOME_KNOWN, OBSERVED_SUCCEEDED, 500, 0, false },
    { "refund in doubt",      &provider_sandbox, TASK_REFUND, 503, "",                         OUTCOME_UNKNOWN,   OBSERVED_NONE,      0, 0, false },
    { "books with a refund",  &provider_sandbox, TASK_QUERY,  200, "{\"id\":\"" ID "\",\"status\":\"SUCCEEDED\",\"amount\":500,\"currency\":\"JPY\",\"refunds\":[{\"id\":\"r\",\"amount\":500}]}", OUTCOME_KNOWN, OBSERVED_SUCCEEDED, 500, 1, false },
    { "refunds not made",     &provider_sandbox, TASK_QUERY,  200, "{\"id\":\"" ID "\",\"status\":\"SUCCEEDED\",\"amount\":500,\"currency\":\"JPY\",\"refunds\":[{\"id\":\"a\",\"amount\":1,\"status\":\"PENDING\"},{\"id\":\"b\",\"amount\":1,\"status\":\"FAILED\"},{\"id\":\"c\",\"amount\":1,\"status\":null},{\"id\":\"d\",\"amount\":1,\"status\":\"SUCCEEDED\"}]}", OUTCOME_KNOWN, OBSERVED_SUCCEEDED, 500, 1, false },
    { "another's code",       &provider_paypay,  TASK_CREATE, 201, "{\"resultInfo\":{\"code\":\"SUCCESS\"},\"data\":{\"merchantPaymentId\":\"x\",\"codeId\":\"c1\",\"url\":\"https://qr.example/1\"}}", OUTCOME_UNKNOWN, OBSERVED_NONE, 0, 0, false },
    { "a code",               &provider_paypay,  TASK_CREATE, 201, "{\"resultInfo\":{\"code\":\"SUCCESS\"},\"data\":{\"codeId\":\"c1\",\"url\":\"https://qr.example/1\",\"expiryDate\":1795262400}}", OUTCOME_KNOWN, OBSERVED_CREATED, 0, 0, false },
    { "a code made before",   &provider_paypay,  TASK_CREATE, 400, "{\"resultInfo\":{\"code\":\"DUPLICATE_DYNAMIC_QR_REQUEST\"}}", OUTCOME_UNKNOWN, OBSERVED_NONE, 0, 0, false },
    { "a code refused",       &provider_paypay,  TASK_CREATE, 400, "{\"resultInfo\":{\"code\":\"INVALID_PARAMS\"}}", OUTCOME_REFUSED, OBSERVED_FAILED, 0, 0, false },
    { "completed",            &provider_paypay,  TASK_QUERY,  200, "{\"resultInfo\":{\"code\":\"SUCCESS\"},\"data\":{\"paymentId\":\"123\",\"status\":\"COMPLETED\",\"acceptedAt\":1795262400,\"amount\":{\"amount\":500,\"currency\":\"JPY\"}}}", OUTCOME_KNOWN, OBSERVED_SUCCEEDED, 500, 0, false },
    { "refunded before",      &provider_paypay,  TASK_QUERY,  200, "{\"resultInfo\":{\"code\":\"SUCCESS\"},\"data\":{\"paymentId\":\"123\",\"status\":\"REFUNDED\",\"amount\":{\"amount\":500,\"currency\":\"JPY\"},\"refunds\":{\"data\":[{\"status\":\"REFUNDED\",\"merchantRefundId\":\"m\",\"amount\":{\"amount\":500,\"currency\":\"JPY\"}}]}}}", OUTCOME_KNOWN, OBSERVED_SUCCEEDED, 500, 1, true },
    { "no such code",         &provider_paypay,  TASK_QUERY,  400, "{\"resultInfo\":{\"code\":\"DYNAMIC_QR_PAYMENT_NOT_FOUND\"}}", OUTCOME_NOT_FOUND, OBSERVED_NONE, 0, 0, false },
    { "OK without a word",    &provider_paypay,  TASK_QUERY,  200, "{}",                       OUTCOME_UNKNOWN,   OBSERVED_NONE,      0, 0, false },
    { "cancelled",            &provider_paypay,  TASK_CANCEL, 200, "{\"resultInfo\":{\"code\":\"SUCCESS\"},\"data\":null}", OUTCOME_KNOWN, OBSERVED_CANCELED, 0, 0, false },
    { "cancel: accepted",     &provider_paypay,  TASK_CANCEL, 202, "{\"resultInfo\":{\"code\":\"REQUEST_ACCEPTED\"},\"data\":null}", OUTCOME_UNKNOWN, OBSERVED_NONE, 0, 0, false },
    { "made before",          &provider_paypay,  TASK_CREATE, 400, "{\"resultInfo\":{\"code\":\"DUPLICATE_DYNAMIC_QR_REQUEST\"}}", OUTCOME_UNKNOWN, OBSERVED_NONE, 0, 0, false },
    { "made, without a page", &provider_paypay,  TASK_CREATE, 201, "{\"resultInfo\":{\"code\":\"SUCCESS\"},\"data\":{\"codeId\":\"c\"}}", OUTCOME_UNKNOWN, OBSERVED_CREATED, 0, 0, false },
    { "a card was declined",  &provider_sandbox, TASK_QUERY,  200, BOOKS("ATTEMPT_DECLINED", "500"), OUTCOME_KNOWN, OBSERVED_PENDING, 500, 0, false },
    { "paid back",            &provider_paypay,  TASK_REFUND, 201, PAYPAY_REFUND(ID, "500", "REFUNDED"), OUTCOME_KNOWN, OBSERVED_NONE, 0, 1, false },
    { "another's paid back",  &provider_paypay,  TASK_REFUND, 201, PAYPAY_REFUND("m", "500", "REFUNDED"), OUTCOME_UNKNOWN, OBSERVED_NONE, 0, 0, false },
    { "less paid back",       &provider_paypay,  TASK_REFUND, 201, PAYPAY_REFUND(ID, "499", "REFUNDED"), OUTCOME_UNKNOWN, OBSERVED_NONE, 0, 0, false },
    { "refund: asked, done",  &provider_paypay,  TASK_QUERY_REFUND, 200, PAYPAY_REFUND(ID, "500", "REFUNDED"), OUTCOME_KNOWN, OBSERVED_NONE, 0, 1, false },
    { "refund: still to do",  &provider_paypay,  TASK_QUERY_REFUND, 200, PAYPAY_REFUND(ID, "500", "CREATED"), OUTCOME_UNKNOWN, OBSERVED_NONE, 0, 0, false },
    { "refund: it failed",    &provider_paypay,  TASK_QUERY_REFUND, 200, PAYPAY_REFUND(ID, "500", "FAILED"), OUTCOME_REFUSED, OBSERVED_NONE, 0, 0, false },
    { "refund: never heard",  &provider_paypay,  TASK_QUERY_REFUND, 404, "{\"resultInfo\":{\"code\":\"NO_SUCH_REFUND_ORDER_NOT_FOUND\"}}", OUTCOME_NOT_FOUND, OBSERVED_NONE, 0, 0, false },
    { "not yet paid back",    &provider_paypay,  TASK_REFUND, 202, "{\"resultInfo\":{\"code\":\"SUCCESS\"},\"data\":{\"status\":\"CREATED\"}}", OUTCOME_UNKNOWN, OBSERVED_NONE, 0, 0, false },
    { "it was refunded",      &provider_sandbox, TASK_QUERY,  200, BOOKS("REFUNDED", "500"),   OUTCOME_KNOWN,     OBSERVED_SUCCEEDED, 500, 0, true },
};
/* clang-format on */

START_TEST(answer_is_read)
{
    struct provider_answer answer = { .status = answers[_i].status,
                                      .body = answers[_i].body,
                                      .body_bytes = strlen(answers[_i].body) };
    struct payment payment = payment_new();
    struct observation observation = { 0 };
    enum outcome outcome =
        answers[_i].adapter->read(&payment, answers[_i].kind, &answer, arena, &observation);

    ck_assert_msg(outcome == answers[_i].outcome, "%s: %s", answers[_i].what,
                  outcome_word(outcome));
    ck_assert_msg(observation.observed == answers[_i].observed, "%s: observed", answers[_i].what);
    ck_assert_msg(observation.amount_minor == answers[_i].amount, "%s: amount", answers[_i].what);
    ck_assert_msg(observation.is_paid_back == answers[_i].is_paid_back, "%s: paid back",
                  answers[_i].what);
    ck_assert_msg(observation.refund_count == answers[_i].refunds, "%s: refunds", answers[_i].what);
}
END_TEST

/* ---- members that are not read, and answers that cannot be ---- */

#define JUNK_MEMBERS                                                                               \
    "\"traceNo\":18446744073709551615,\"memo\":\"\\ud83d\",\"a\":1,\"a\":2,\"nul\":\"\\u0000\","   \
    "\"rate\":1e999,\"deep\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]" \
    "]]]]"                                                                                         \
    "]]]]]]]]"
#define PAYPAY_BOOKS                                                                               \
    "\"resultInfo\":{" JUNK_MEMBERS ",\"code\":\"SUCCESS\"},\"data\":{" JUNK_MEMBERS               \
    ",\"status\":\"COMPLETED\",\"paymentId\":\"1\",\"amount\":{" JUNK_MEMBERS                      \
    ",\"amount\":500,\"currency\":\"JPY\"}}"

/* clang-format off */
static const struct {
    const char *what;
    const struct provider_adapter *adapter;
    int status;
    const char *body;
    enum outcome outcome;
    const char *unreadable; /* NULL: it is read, or says nothing by right */
} readings[] = {
    { "all kinds of junk beside",      &provider_sandbox, 200, "{" JUNK_MEMBERS ",\"id\":\"" ID "\",\"status\":\"SUCCEEDED\",\"amount\":500,\"currency\":\"JPY\"}", OUTCOME_KNOWN, NULL },
    { "the same of PayPay",            &provider_paypay,  200, "{" JUNK_MEMBERS "," PAYPAY_BOOKS "}", OUTCOME_KNOWN, NULL },
    { "a page",                        &provider_sandbox, 200, "<html>", OUTCOME_UNKNOWN, "must be an object" },
    { "a page of PayPay",              &provider_paypay,  200, "<html>", OUTCOME_UNKNOWN, "must be an object" },
    { "nothing",                       &provider_sandbox, 200, "", OUTCOME_UNKNOWN, "it is empty" },
    { "half an answer",                &provider_sandbox, 200, "{\"id\":\"" ID "\",\"status\":\"SUCC", OUTCOME_UNKNOWN, "ends too early" },
    { "two ids",                       &provider_sandbox, 200, "{\"id\":\"" ID "\",\"id\":\"" ID "\"}", OUTCOME_UNKNOWN, "'id' comes twice" },
    { "two statuses",                  &provider_sandbox, 200, "{\"id\":\"" ID "\",\"status\":\"CREATED\",\"status\":\"SUCCEEDED\"}", OUTCOME_UNKNOWN, "'status' comes twice" },
    { "two amounts",                   &provider_sandbox, 200, "{\"id\":\"" ID "\",\"status\":\"SUCCEEDED\",\"amount\":500,\"amount\":5}", OUTCOME_UNKNOWN, "'amount' comes twice" },
    { "two statuses of PayPay",        &provider_paypay,  200, "{\"resultInfo\":{\"code\":\"SUCCESS\"},\"data\":{\"status\":\"CREATED\",\"status\":\"COMPLETED\"}}", OUTCOME_UNKNOWN, "'status' comes twice" },
    { "no id",                         &provider_sandbox, 200, "{\"status\":\"SUCCEEDED\"}", OUTCOME_UNKNOWN, "'id' must be a text" },
    { "an id that nobody can hold",    &provider_sandbox, 200, "{\"id\":18446744073709551616,\"status\":\"SUCCEEDED\"}", OUTCOME_UNKNOWN, "'id' must be a text" },
    { "another's id",                  &provider_sandbox, 200, "{\"id\":\"x\",\"status\":\"SUCCEEDED\"}", OUTCOME_UNKNOWN, "of something else" },
    { "another's id of PayPay",        &provider_paypay,  200, "{\"resultInfo\":{\"code\":\"SUCCESS\"},\"data\":{\"merchantPaymentId\":\"x\",\"status\":\"COMPLETED\"}}", OUTCOME_UNKNOWN, "of something else" },
    { "no status",                     &provider_sandbox, 200, "{\"id\":\"" ID "\"}", OUTCOME_UNKNOWN, "'status' must be a text" },
    { "no status of PayPay",           &provider_paypay,  200, "{\"resultInfo\":{\"code\":\"SUCCESS\"},\"data\":null}", OUTCOME_UNKNOWN, "'data.status' must be a text" },
    { "a word that nobody knows",      &provider_sandbox, 200, BOOKS("WHAT\\n\\\"EVER", "500"), OUTCOME_UNKNOWN, "is 'WHAT 'EVER'" },
    { "no word of PayPay's own",       &provider_paypay,  200, "{\"data\":{\"status\":\"COMPLETED\"}}", OUTCOME_UNKNOWN, "'resultInfo.code' must be a text" },
    { "accepted, and nothing more",    &provider_sandbox, 202, "", OUTCOME_UNKNOWN, NULL },
    { "accepted by PayPay",            &provider_paypay,  202, "{\"resultInfo\":{\"code\":\"REQUEST_ACCEPTED\"},\"data\":null}", OUTCOME_UNKNOWN, NULL },
    { "the trouble of a server",       &provider_sandbox, 502, "<html>", OUTCOME_UNKNOWN, NULL },
    { "not found, on a page",          &provider_sandbox, 404, "<html>", OUTCOME_UNKNOWN, "must be an object" },
    { "not found, and not by it",      &provider_sandbox, 404, "", OUTCOME_UNKNOWN, "it is empty" },
    { "not found, PayPay's page",      &provider_paypay,  404, "<html>", OUTCOME_UNKNOWN, "must be an object" },
    { "our key is not found",          &provider_paypay,  404, "{\"resultInfo\":{\"code\":\"OPA_CLIENT_NOT_FOUND\"}}", OUTCOME_UNKNOWN, "our key" },
    { "somewhere else",                &provider_sandbox, 302, "", OUTCOME_UNKNOWN, "redirect" },
    { "somewhere else, of PayPay",     &provider_paypay,  301, "<html>", OUTCOME_UNKNOWN, "redirect" },
};
/* clang-format on */

START_TEST(only_what_is_read_matters)
{
    struct provider_answer answer = { .status = readings[_i].status,
                                      .body = readings[_i].body,
                                      .body_bytes = strlen(readings[_i].body) };
    struct payment payment = payment_new();
    struct observation observation = { 0 };
    enum outcome outcome =
        readings[_i].adapter->read(&payment, TASK_QUERY, &answer, arena, &observation);

    ck_assert_msg(outcome == readings[_i].outcome, "%s: %s, %s", readings[_i].what,
                  outcome_word(outcome), observation.unreadable);
    if (readings[_i].unreadable == NULL)
        ck_assert_msg(observation.unreadable == NULL, "%s: %s", readings[_i].what,
                      observation.unreadable);
    else
        ck_assert_msg(observation.unreadable != NULL &&
                          strstr(observation.unreadable, readings[_i].unreadable) != NULL,
                      "%s: %s", readings[_i].what, observation.unreadable);
    if (outcome == OUTCOME_KNOWN)
        ck_assert_int_eq(observation.amount_minor, 500);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    const struct provider_adapter *adapter;
    int status;
    const char *body, *code, *words;
} refusals[] = {
    { "as RFC 9457 has it",    &provider_sandbox, 400, "{\"status\":400,\"code\":\"BAD_URL\",\"detail\":\"no such URL\"}", "BAD_URL", "no such URL" },
    { "a message",             &provider_sandbox, 422, "{\"message\":\"no\"}", NULL, "no" },
    { "trouble has words too", &provider_sandbox, 500, "{\"code\":\"INTERNAL\"}", "INTERNAL", NULL },
    { "a page has none",       &provider_sandbox, 400, "<html>", NULL, NULL },
    { "of PayPay",             &provider_paypay,  400, "{\"resultInfo\":{\"code\":\"INVALID_PARAMS\",\"message\":\"Invalid parameters\",\"codeId\":\"08100006\"}}", "INVALID_PARAMS", "Invalid parameters" },
    { "what moves a cursor",   &provider_sandbox, 400, "{\"code\":\"a\\u001b[31m\",\"detail\":\"b\\u009bc\\n\\u2028d\\u202ee\\\"f\\\\\"}", "a [31m", "b c  d e'f/" },
    { "in Japanese",           &provider_paypay,  400, "{\"resultInfo\":{\"code\":\"X\",\"message\":\"\\u53d6\\u5f15\"}}", "X", "\xe5\x8f\x96\xe5\xbc\x95" },
};
/* clang-format on */

START_TEST(provider_says_why)
{
    struct provider_answer answer = { .status = refusals[_i].status,
                                      .body = refusals[_i].body,
                                      .body_bytes = strlen(refusals[_i].body) };
    struct payment payment = payment_new();
    struct observation observation = { 0 };

    refusals[_i].adapter->read(&payment, TASK_CREATE, &answer, arena, &observation);
    ck_assert_pstr_eq(observation.code, refusals[_i].code);
    ck_assert_pstr_eq(observation.words, refusals[_i].words);
}
END_TEST

/* No more than fits, and no half of a character. */
START_TEST(words_are_short)
{
    for (size_t begin = 0; begin < 3; begin++) {
        const char *text = arena_print(arena, "%.*s", (int)begin, "xx");
        const char *clean;

        for (int i = 0; i < 100; i++)
            text = arena_print(arena, "%s\xe5\x8f\x96", text);
        clean = provider_clean(text, arena);
        ck_assert_uint_le(strlen(clean), PROVIDER_WORDS_BYTES_MAX);
        ck_assert_uint_gt(strlen(clean), PROVIDER_WORDS_BYTES_MAX - 3);
        ck_assert_uint_eq((strlen(clean) - begin) % 3, 0);
    }
}
END_TEST

/* ---- requests ---- */

/* clang-format off */
static const struct {
    const struct provider_adapter *adapter;
    enum task_kind kind;
    const char *reference, *method, *url, *body; /* the beginning of the body */
    const char *refunds; /* made by others */
} requests[] = {
    { &provider_sandbox, TASK_CREATE, "", "POST",   "http://p.example/v1/payments", "{\"id\":\"" ID "\",\"amount\":500,\"currency\":\"JPY\",\"description\":\"two \\\"tickets\\\"\",\"returnUrl\":\"https://shop.example/back\",\"expiresAt\":\"2026-11-21T12:00:00Z\",\"webhookUrl\":\"http://us.example/w\"}", "" },
    { &provider_sandbox, TASK_QUERY,  "", "GET",    "http://p.example/v1/payments/" ID, NULL, "" },
    { &provider_sandbox, TASK_CANCEL, "", "POST",   "http://p.example/v1/payments/" ID "/cancel", "{}", "" },
    { &provider_sandbox, TASK_REFUND, "", "POST",   "http://p.example/v1/payments/" ID "/refunds", "{\"id\":\"" ID "\",\"amount\":500}", "" },
    { &provider_sandbox, TASK_REFUND, "", "POST",   "http://p.example/v1/payments/" ID "/refunds", "{\"id\":\"" ID "\",\"amount\":300}", "200 office" },
    { &provider_sandbox, TASK_QUERY_REFUND, "", "GET", "http://p.example/v1/payments/" ID, NULL, "" },
    { &provider_paypay,  TASK_CREATE, "", "POST",   "http://p.example/v2/codes", "{\"merchantPaymentId\":\"" ID "\",\"amount\":{\"amount\":500,\"currency\":\"JPY\"},", "" },
    { &provider_paypay,  TASK_QUERY,  "", "GET",    "http://p.example/v2/codes/payments/" ID, NULL, "" },
    { &provider_paypay,  TASK_CANCEL, "c1", "DELETE", "http://p.example/v2/codes/c1", NULL, "" },
    { &provider_paypay,  TASK_CANCEL, "", "DELETE", "http://p.example/v2/payments/" ID, NULL, "" },
    { &provider_paypay,  TASK_REFUND, "123", "POST", "http://p.example/v2/refunds", "{\"merchantRefundId\":\"" ID "\",\"paymentId\":\"123\",\"amount\":{\"amount\":500,", "" },
    { &provider_paypay,  TASK_REFUND, "123", "POST", "http://p.example/v2/refunds", "{\"merchantRefundId\":\"" ID "\",\"paymentId\":\"123\",\"amount\":{\"amount\":300,", "200 office" },
    { &provider_paypay,  TASK_QUERY_REFUND, "123", "GET", "http://p.example/v2/refunds/" ID, NULL, "" },
};
/* clang-format on */

START_TEST(request_is_made)
{
    struct provider provider = { .adapter = requests[_i].adapter,
                                 .base_url = "http://p.example",
                                 .webhook_url = "http://us.example/w",
                                 .api_key = "key" };
    struct payment payment = payment_new();
    struct provider_request request;

    payment.reference = requests[_i].reference;
    payment.refunds = requests[_i].refunds;
    provider_ask(&provider, requests[_i].kind, &payment, INT64_C(1795262000) * SECOND_US, arena,
                 &request);
    ck_assert_str_eq(request.method, requests[_i].method);
    ck_assert_str_eq(request.url, requests[_i].url);
    if (requests[_i].body == NULL)
        ck_assert_ptr_null(request.body);
    else
        ck_assert_msg(strncmp(request.body, requests[_i].body, strlen(requests[_i].body)) == 0,
                      "got %s", request.body);
    ck_assert_uint_ge(request.header_count, 1);
    ck_assert_int_eq(strncmp(request.headers[0], "Authorization: ", 15), 0);
}
END_TEST

/* ---- columns that are data ---- */

/* When an adapter's payment that was asked polls times is asked next, from the last time. */
static int64_t
next_gap_us(const struct provider_adapter *adapter, int32_t polls, bool is_watched)
{
    struct payment payment = payment_new();
    int64_t now_us = INT64_C(1795262400) * SECOND_US;
    struct task task = { .payment_id = payment.record.id,
                         .create_state = CREATE_THERE,
                         .queried_at_us = now_us,
                         .polls = polls,
                         .watched_until_us = is_watched ? now_us + WATCHED_US : 0,
                         .pace = adapter->pace };

    payment.record.fingerprint = 1;
    payment.claim = CLAIM_OPEN;
    payment.observed = OBSERVED_PENDING;
    payment.expires_at_us = now_us + 30 * DAY_US;
    payment_plan(&payment, &task, arena, now_us);
    ck_assert_int_eq(task.kind, TASK_QUERY);
    return task.due_us - now_us;
}

/* clang-format off */
static const struct {
    const struct provider_adapter *adapter;
    int32_t polls;
    bool is_watched;
    int64_t gap_s; /* a tenth more or less */
} paces[] = {
    { &provider_sandbox, 0,  true,  3    }, { &provider_paypay, 0,  true,  4     },
    { &provider_sandbox, 0,  false, 60   }, { &provider_paypay, 0,  false, 30    },
    { &provider_sandbox, 1,  false, 300  }, { &provider_paypay, 9,  false, 30    },
    { &provider_sandbox, 6,  false, 3600 }, { &provider_paypay, 10, false, 3600  },
    { &provider_sandbox, 30, false, 86400 }, { &provider_paypay, 34, false, 86400 },
};
/* clang-format on */

START_TEST(each_has_its_pace)
{
    int64_t gap_us = next_gap_us(paces[_i].adapter, paces[_i].polls, paces[_i].is_watched);

    ck_assert_int_ge(gap_us, paces[_i].gap_s * SECOND_US * 9 / 10);
    ck_assert_int_le(gap_us, paces[_i].gap_s * SECOND_US * 11 / 10);
}
END_TEST

START_TEST(each_has_its_words)
{
    ck_assert_ptr_nonnull(status_find(provider_sandbox.words, "CAPTURED"));
    ck_assert_ptr_null(status_find(provider_paypay.words, "CAPTURED"));
    ck_assert(status_find(provider_paypay.words, "REFUNDED")->is_paid_back);
}
END_TEST

/* ---- webhooks that are only hints ---- */

START_TEST(paypay_only_hints)
{
    static const char body[] = "{\"notification_type\":\"Transaction\",\"notification_id\":\"n1\","
                               "\"merchant_order_id\":\"" ID "\",\"state\":\"COMPLETED\","
                               "\"order_amount\":\"500\"}";
    struct provider provider = { .adapter = &provider_paypay };
    struct provider_webhook webhook = { .body = (const uint8_t *)body,
                                        .body_bytes = sizeof body - 1 };
    struct provider_heard heard;
    struct problem problem = { 0 };

    ck_assert_int_eq(provider_paypay.hear(&provider, &webhook, 0, arena, &problem, &heard), ERR_OK);
    ck_assert(!heard.is_verified);
    ck_assert(!uuid_is_nil(heard.payment_id));
    ck_assert_int_eq(heard.observation.observed, OBSERVED_NONE);
    webhook.body_bytes = 5;
    ck_assert_int_eq(provider_paypay.hear(&provider, &webhook, 0, arena, &problem, &heard),
                     ERR_BAD_REQUEST);
}
END_TEST

/* PayPay notifies of more than payments, and of more payments than ours. */
/* clang-format off */
static const struct {
    const char *what, *body;
    bool is_of_payment, is_ours;
} notifications[] = {
    { "a payment of ours",      "{\"notification_type\":\"Transaction\",\"merchant_order_id\":\"" ID "\",\"state\":\"COMPLETED\"}", true, true },
    { "with junk beside",       "{" JUNK_MEMBERS ",\"merchant_order_id\":\"" ID "\"}", true, true },
    { "a file of settlements",  "{\"notification_type\":\"file.created\",\"fileType\":\"transaction_recon\",\"path\":\"/x.csv\",\"requestedAt\":1796000000}", false, false },
    { "of nothing at all",      "{}", false, false },
    { "an order that is null",  "{\"merchant_order_id\":null}", false, false },
    { "another shop's order",   "{\"notification_type\":\"Transaction\",\"merchant_order_id\":\"shop2/000123\",\"state\":\"COMPLETED\"}", true, false },
    { "an order by a number",   "{\"merchant_order_id\":123}", true, false },
    { "an order by half an id", "{\"merchant_order_id\":\"018bcfe5-6800\"}", true, false },
};
/* clang-format on */

START_TEST(what_is_not_about_us)
{
    struct provider provider = { .adapter = &provider_paypay };
    struct provider_webhook webhook = { .body = (const uint8_t *)notifications[_i].body,
                                        .body_bytes = strlen(notifications[_i].body) };
    struct provider_heard heard;
    struct problem problem = { 0 };

    ck_assert_int_eq(provider_paypay.hear(&provider, &webhook, 0, arena, &problem, &heard), ERR_OK);
    ck_assert_msg(heard.is_of_payment == notifications[_i].is_of_payment, "%s",
                  notifications[_i].what);
    ck_assert_msg(!uuid_is_nil(heard.payment_id) == notifications[_i].is_ours, "%s",
                  notifications[_i].what);
}
END_TEST

/* ---- the configuration ---- */

static const char *
file_make(const char *folder, const char *name, const char *text)
{
    const char *path = arena_print(arena, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    fclose(file);
    return path;
}

/* clang-format off */
static const struct {
    const char *json;
    bool is_good;
} configs[] = {
    { "{\"providers\":{\"shop\":{\"adapter\":\"sandbox\",\"base_url\":\"http://127.0.0.1:1\",\"api_key_file\":\"key\",\"secret_files\":[\"new\",\"old\"]}}}", true },
    { "{\"providers\":{}}", true },
    { "{\"providers\":{\"a\":{\"adapter\":\"sandbox\",\"base_url\":\"https://pay.example\"}}}", true },
    { "{\"providers\":{\"a\":{\"adapter\":\"sandbox\",\"base_url\":\"http://localhost:1/x\"}}}", true },
    { "{\"providers\":{\"a\":{\"adapter\":\"sandbox\",\"base_url\":\"http://pay.example\"}}}", false },
    { "{\"providers\":{\"a\":{\"adapter\":\"sandbox\",\"base_url\":\"http://10.0.0.1\"}}}", false },
    { "{\"providers\":[]}", false },
    { "{", false },
    { "{\"providers\":{\"a\":{\"adapter\":\"none\",\"base_url\":\"https://x\"}}}", false },
    { "{\"providers\":{\"a\":{\"adapter\":\"sandbox\",\"base_url\":\"ftp://x\"}}}", false },
    { "{\"providers\":{\"a\":{\"adapter\":\"paypay\",\"base_url\":\"https://x\",\"webhook_addresses\":[\"13.112.237.64\"],\"trusted_proxies\":[\"10.0.0.0/8\"]}}}", true },
    { "{\"providers\":{\"a\":{\"adapter\":\"paypay\",\"base_url\":\"https://x\",\"webhook_addresses\":[\"pay.example\"]}}}", false },
    { "{\"providers\":{\"a\":{\"adapter\":\"paypay\",\"base_url\":\"https://x\",\"webhook_addresses\":\"13.112.237.64\"}}}", false },
    { "{\"providers\":{\"a\":{\"adapter\":\"paypay\",\"base_url\":\"https://x\",\"trusted_proxies\":[1]}}}", false },
    { "{\"providers\":{\"a b\":{\"adapter\":\"sandbox\",\"base_url\":\"https://x\"}}}", false },
    { "{\"providers\":{\"a\":{\"adapter\":\"sandbox\",\"base_url\":\"https://x\",\"secret_files\":[\"none\"]}}}", false },
    { "{\"providers\":{\"a\":{\"adapter\":\"sandbox\",\"base_url\":\"https://x\",\"secret_files\":[\"key\"]}}}", false },
    { "{\"providers\":{\"a\":{\"adapter\":\"sandbox\",\"base_url\":\"https://x\",\"requests_per_second\":0}}}", false },
    { "{\"providers\":{\"a\":{\"adapter\":\"sandbox\",\"base_url\":\"https://x\",\"api_key_file\":\"empty\"}}}", false },
    { "{\"providers\":{\"a\":{\"adapter\":\"sandbox\",\"base_url\":\"https://x\",\"api_key_file\":\"blank\"}}}", false },
    { "{\"providers\":{\"a\":{\"adapter\":\"sandbox\",\"base_url\":\"https://x\",\"api_key_file\":\"lines\"}}}", false },
    { "{\"providers\":{\"a\":{\"adapter\":\"sandbox\",\"base_url\":\"https://x\",\"api_key_file\":\"none\"}}}", false },
    { "{\"providers\":{\"a\":{\"adapter\":\"sandbox\",\"base_url\":\"https://x\",\"api_key_file\":5}}}", false },
    { "{\"providers\":{\"a\":{\"adapter\":\"paypay\",\"base_url\":\"https://x\",\"api_key_file\":\"key\",\"secret_files\":[\"key\"]}}}", true },
    { "{\"providers\":{\"a\":{\"adapter\":\"paypay\",\"base_url\":\"https://x\",\"api_key_file\":\"key\",\"secret_files\":[\"empty\"]}}}", false },
    { "{\"providers\":{\"a\":{\"adapter\":\"sandbox\",\"base_url\":\"https://x\",\"secret_files\":[\"empty\"]}}}", false },
    { "{\"providers\":{\"a\":{\"adapter\":\"sandbox\",\"base_url\":\"https://x\",\"secret_files\":\"new\"}}}", false },
};
/* clang-format on */

START_TEST(configuration_is_read)
{
    char folder[] = "/tmp/test-provider-XXXXXX";
    struct provider_set *set = NULL;
    const char *path;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    file_make(folder, "key", "k1\n");
    file_make(folder, "new", SECRET "\n");
    file_make(folder, "old", OTHER_SECRET);
    file_make(folder, "empty", "");
    file_make(folder, "blank", " \n");
    file_make(folder, "lines", "k1\nk2\n");
    path = file_make(folder, "providers.json", configs[_i].json);
    ck_assert_int_eq(provider_set_open(path, NULL, NULL, &set) == ERR_OK, configs[_i].is_good);
    if (_i == 0) {
        const struct provider *provider = provider_find(set, "shop");

        ck_assert_ptr_nonnull(provider);
        ck_assert_str_eq(provider->api_key, "k1");
        ck_assert_uint_eq(provider->secret_count, 2);
        ck_assert_ptr_null(provider_find(set, "sandbox"));
    }
    provider_set_free(set);
    for (size_t i = 0; i < 7; i++) {
        static const char *const names[] = { "key",   "new",   "old",           "empty",
                                             "blank", "lines", "providers.json" };

        unlink(arena_print(arena, "%s/%s", folder, names[i]));
    }
    rmdir(folder);
}
END_TEST

/* ---- and read again ---- */

#define SHOP(members)                                                                              \
    "{\"providers\":{\"shop\":{\"adapter\":\"sandbox\",\"base_url\":\"https://x\"," members "}}}"
#define BOTH "\"api_key_file\":\"key\",\"secret_files\":[\"new\",\"old\"]"

/* clang-format off */
static const struct {
    const char *what, *config, *key; /* NULL: it stays */
    const char *api_key;             /* that is in use then */
    size_t secrets;
} changes[] = {
    { "another API key",              NULL, "k2\n",  "k2", 1 },
    { "an empty API key",             NULL, "",      "k1", 1 },
    { "a second webhook secret",      SHOP(BOTH), NULL, "k1", 2 },
    { "a secret that is away",        SHOP("\"secret_files\":[\"none\"]"), NULL, "k1", 1 },
    { "half a file",                  "{\"providers\":{\"shop\"", NULL, "k1", 1 },
    { "another provider",             "{\"providers\":{\"mall\":{\"adapter\":\"sandbox\",\"base_url\":\"https://x\"}}}", NULL, "k1", 1 },
    { "another adapter",              "{\"providers\":{\"shop\":{\"adapter\":\"paypay\",\"base_url\":\"https://x\"}}}", NULL, "k1", 1 },
    { "no provider",                  "{\"providers\":{}}", NULL, "k1", 1 },
};
/* clang-format on */

START_TEST(configuration_is_read_again)
{
    char folder[] = "/tmp/test-provider-XXXXXX";
    struct file_watch *files = file_watch_new(NULL);
    struct provider_set *set = NULL;
    struct provider now;
    const char *path;

    log_open("test", LOG_ERROR + 1);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    file_make(folder, "key", "k1\n");
    file_make(folder, "new", SECRET "\n");
    file_make(folder, "old", OTHER_SECRET);
    path = file_make(folder, "providers.json",
                     SHOP("\"api_key_file\":\"key\",\"secret_files\":[\"old\"]"));
    ck_assert_int_eq(provider_set_open(path, NULL, files, &set), ERR_OK);
    if (changes[_i].key != NULL)
        file_make(folder, "key", changes[_i].key);
    if (changes[_i].config != NULL)
        file_make(folder, "providers.json", changes[_i].config);
    file_watch_look(files, false);
    file_watch_look(files, false);
    provider_copy(provider_find(set, "shop"), &now);
    ck_assert_str_eq(now.name, "shop");
    ck_assert_str_eq(now.api_key, changes[_i].api_key);
    ck_assert_msg(now.secret_count == changes[_i].secrets, "%s", changes[_i].what);
    ck_assert_ptr_null(provider_find(set, "mall"));
    provider_set_free(set);
    file_watch_free(files);
    for (size_t i = 0; i < 4; i++) {
        static const char *const names[] = { "key", "new", "old", "providers.json" };

        unlink(arena_print(arena, "%s/%s", folder, names[i]));
    }
    rmdir(folder);
}
END_TEST

/* ---- signals ---- */

START_TEST(signal_comes_ever_more_rarely)
{
    static const int64_t wanted[] = { 2, 4, 8, 16, 32, 64, 124, 184, 244 };
    static const struct {
        int64_t gap_us, wait_us;
    } later[] = {
        { 1800 * SECOND_US, 60 * SECOND_US },
        { 7200 * SECOND_US, 120 * SECOND_US },
        { 50 * 3600 * SECOND_US, 3000 * SECOND_US },
        { 100 * DAY_US, 3600 * SECOND_US }, /* for ever */
        { -DAY_US, 2 * SECOND_US },         /* a clock went back */
    };
    struct payment payment = { .changed_at_us = 1000 * SECOND_US };
    int64_t due_us = payment_signal_due_us(&payment, payment.changed_at_us);

    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        ck_assert_int_eq(due_us, (1000 + wanted[i]) * SECOND_US);
        due_us = payment_signal_due_us(&payment, due_us);
    }
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        int64_t now_us = payment.changed_at_us + later[i].gap_us;

        ck_assert_int_eq(payment_signal_due_us(&payment, now_us) - now_us, later[i].wait_us);
    }
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("provider");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, webhook_verifies, 0, ROWS(webhooks));
    tcase_add_test(tests, header_that_comes_twice);
    tcase_add_loop_test(tests, paypay_signs, 0, ROWS(paypay));
    tcase_add_test(tests, paypay_signs_no_body);
    tcase_add_loop_test(tests, amount_is_read, 0, ROWS(amounts));
    tcase_add_loop_test(tests, answer_is_read, 0, ROWS(answers));
    tcase_add_loop_test(tests, only_what_is_read_matters, 0, ROWS(readings));
    tcase_add_loop_test(tests, provider_says_why, 0, ROWS(refusals));
    tcase_add_test(tests, words_are_short);
    tcase_add_loop_test(tests, request_is_made, 0, ROWS(requests));
    tcase_add_loop_test(tests, each_has_its_pace, 0, ROWS(paces));
    tcase_add_test(tests, each_has_its_words);
    tcase_add_test(tests, paypay_only_hints);
    tcase_add_loop_test(tests, what_is_not_about_us, 0, ROWS(notifications));
    tcase_add_loop_test(tests, configuration_is_read, 0, ROWS(configs));
    tcase_add_loop_test(tests, configuration_is_read_again, 0, ROWS(changes));
    tcase_add_test(tests, signal_comes_ever_more_rarely);
    return check_run("provider", tests);
}
