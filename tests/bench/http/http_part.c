/* The kinds of requests, and which answers are right. */
#include "mesh/base/clock.h"
#include "mesh/base/text.h"
#include "tests/bench/http/http_bench.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_BYTES_MAX = 1024, DIGEST_BYTES = 32, DIGEST_TEXT_BYTES = 44 };

static char *
new_id(char text[UUID_TEXT_BYTES + 1])
{
    return uuid_print(uuid_v7(clock_now_us()), text);
}

/* ---- POST /api/v1/orders ---- */

static size_t
order_write(struct http_maker *maker, const char *payment, char *bytes, uint64_t *ret_tag)
{
    uint64_t number = maker->written++;
    char sku[BENCH_NAME_BYTES], customer[BENCH_NAME_BYTES], key[UUID_TEXT_BYTES + 1];
    char body[BODY_BYTES_MAX];
    int body_bytes;

    bench_product_name((int64_t)(number % (uint64_t)maker->products), sku);
    bench_customer_name((int64_t)(number % (uint64_t)maker->wallets), customer);
    body_bytes = snprintf(body, sizeof body,
                          "{\"customerId\":\"%s\",\"currency\":\"%s\","
                          "\"items\":[{\"sku\":\"%s\",\"quantity\":1}],"
                          "\"payment\":{%s}}",
                          customer, BENCH_CURRENCY, sku, payment);
    *ret_tag = number;
    return (size_t)snprintf(bytes, HTTP_REQUEST_BYTES_MAX,
                            "POST /api/v1/orders HTTP/1.1\r\nHost: %s\r\n"
                            "Authorization: Bearer %s\r\nIdempotency-Key: %s\r\n"
                            "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                            maker->authority, maker->token, new_id(key), body_bytes, body);
}

static size_t
post_write(struct http_maker *maker, char *bytes, uint64_t *ret_tag)
{
    return order_write(maker, "\"method\":\"wallet\"", bytes, ret_tag);
}

static size_t
checkout_write(struct http_maker *maker, char *bytes, uint64_t *ret_tag)
{
    return order_write(maker, "\"method\":\"external\",\"provider\":\"sandbox\"", bytes, ret_tag);
}

static void
order_keep(struct http_maker *maker, const char *body)
{
    static const char name[] = "\"orderNo\":\"";
    const char *at = strstr(body, name);

    if (at == NULL || maker->order_count == HTTP_ORDERS_KEPT)
        return;
    snprintf(maker->orders[maker->order_count++], UUID_TEXT_BYTES + 1, "%.*s", UUID_TEXT_BYTES,
             at + strlen(name));
}

/* 201 is an order as it is to become; 202 one that takes longer than bff waits. */
static bool
order_is_right(struct http_maker *maker, const struct http_answer *answer, const char *status)
{
    if (answer->status == 202) {
        maker->placed++;
        maker->later++;
        return strstr(answer->body, "\"status\":\"PENDING\"") != NULL;
    }
    if (answer->status != 201)
        return false;
    maker->placed++;
    return strstr(answer->body, status) != NULL;
}

/* PAID, as the wallets have plenty. */
static bool
post_is_right(struct http_maker *maker, const struct http_answer *answer, uint64_t tag)
{
    int64_t placed = maker->placed;
    bool is_right = order_is_right(maker, answer, "\"status\":\"PAID\"");

    (void)tag;
    if (answer->status == 201)
        order_keep(maker, answer->body);
    maker->due += maker->placed - placed;
    return is_right;
}

static bool
checkout_is_right(struct http_maker *maker, const struct http_answer *answer, uint64_t tag)
{
    (void)tag;
    return order_is_right(maker, answer, "\"status\":\"WAITING_PAYMENT\"");
}

/* ---- GET /api/v1/orders/{orderNo} ---- */

static size_t
get_write(struct http_maker *maker, char *bytes, uint64_t *ret_tag)
{
    uint64_t index = maker->written++ % maker->order_count;

    *ret_tag = index;
    return (size_t)snprintf(bytes, HTTP_REQUEST_BYTES_MAX,
                            "GET /api/v1/orders/%s HTTP/1.1\r\nHost: %s\r\n"
                            "Authorization: Bearer %s\r\n\r\n",
                            maker->orders[index], maker->authority, maker->token);
}

static bool
get_is_right(struct http_maker *maker, const struct http_answer *answer, uint64_t tag)
{
    return answer->status == 200 && strstr(answer->body, maker->orders[tag]) != NULL &&
           strstr(answer->body, "\"status\":\"PAID\"") != NULL;
}

/* ---- POST /webhooks/sandbox ---- */

/* Standard Webhooks: an HMAC of id, time and body. */
static void
signature_make(const struct http_maker *maker, const char *id, long long seconds, const char *body,
               char text[DIGEST_TEXT_BYTES + 1])
{
    char content[BODY_BYTES_MAX + 128];
    int bytes = snprintf(content, sizeof content, "%s.%lld.%s", id, seconds, body);
    unsigned char digest[DIGEST_BYTES];
    unsigned int digest_bytes = 0;

    if (HMAC(EVP_sha256(), maker->secret, (int)maker->secret_bytes, (unsigned char *)content,
             (size_t)bytes, digest, &digest_bytes) == NULL)
        bench_fail("a webhook cannot be signed");
    text_print_base64(digest, sizeof digest, text);
}

static size_t
event_write(struct http_maker *maker, const char *payment, char *bytes)
{
    char event[UUID_TEXT_BYTES + 1];
    char body[BODY_BYTES_MAX], signature[DIGEST_TEXT_BYTES + 1];
    long long seconds = (long long)(clock_now_us() / SECOND_US);
    int body_bytes;

    body_bytes =
        snprintf(body, sizeof body,
                 "{\"type\":\"payment.updated\",\"timestamp\":\"2026-01-01T00:00:00Z\","
                 "\"data\":{\"id\":\"%s\",\"status\":\"SUCCEEDED\",\"amount\":%d,"
                 "\"currency\":\"%s\",\"occurredAt\":\"2026-01-01T00:00:00Z\",\"refunds\":[]}}",
                 payment, BENCH_PRICE_MINOR, BENCH_CURRENCY);
    new_id(event);
    signature_make(maker, event, seconds, body, signature);
    return (size_t)snprintf(bytes, HTTP_REQUEST_BYTES_MAX,
                            "POST /webhooks/sandbox HTTP/1.1\r\nHost: %s\r\n"
                            "webhook-id: %s\r\nwebhook-timestamp: %lld\r\n"
                            "webhook-signature: v1,%s\r\n"
                            "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                            maker->authority, event, seconds, signature, body_bytes, body);
}

/* Of a payment that account-svc has not made: verified, looked up and kept in the inbox, one row each,
 * and no payment changes. */
static size_t
webhook_write(struct http_maker *maker, char *bytes, uint64_t *ret_tag)
{
    char payment[UUID_TEXT_BYTES + 1];

    *ret_tag = maker->written++;
    return event_write(maker, new_id(payment), bytes);
}

/* Of a payment that an order waits for: it is taken in the same commit, the saga is told, and the order
 * becomes PAID. Each is said once; the floor may have them as often as it likes. */
static size_t
pay_write(struct http_maker *maker, char *bytes, uint64_t *ret_tag)
{
    *ret_tag = maker->payment_next++ % maker->payment_count;
    return event_write(maker, maker->payments[*ret_tag], bytes);
}

static bool
webhook_is(struct http_maker *maker, const struct http_answer *answer, const char *outcome)
{
    if (answer->status != 200 || strstr(answer->body, outcome) == NULL)
        return false;
    maker->stored++;
    return true;
}

/* A payment that is not there: its webhook is kept all the same. */
static bool
webhook_is_right(struct http_maker *maker, const struct http_answer *answer, uint64_t tag)
{
    (void)tag;
    return webhook_is(maker, answer, "\"UNKNOWN_PAYMENT\"");
}

static bool
pay_is_right(struct http_maker *maker, const struct http_answer *answer, uint64_t tag)
{
    (void)tag;
    if (!webhook_is(maker, answer, "\"STORED\""))
        return false;
    maker->paid++;
    maker->due++;
    return true;
}

void
http_secret_read(struct http_maker *maker, const char *path)
{
    char text[256] = "", *base64 = text;
    FILE *file = fopen(path, "r");
    size_t bytes;

    if (file == NULL || fgets(text, sizeof text, file) == NULL)
        bench_fail("%s cannot be read", path);
    fclose(file);
    text[strcspn(text, "\r\n")] = '\0';
    if (strncmp(base64, "whsec_", 6) == 0)
        base64 += 6;
    bytes = strlen(base64);
    if (bytes < 4 || bytes % 4 != 0 || bytes / 4 * 3 > sizeof maker->secret ||
        !text_read_base64(base64, bytes, maker->secret, &maker->secret_bytes))
        bench_fail("%s must hold whsec_ and base64", path);
}

/* ---- the floor ---- */

bool
http_floor_is_right(struct http_maker *maker, const struct http_answer *answer, uint64_t tag)
{
    (void)tag;
    return answer->status == maker->floor_status && answer->body_bytes == maker->floor_bytes;
}

/* clang-format off */
const struct http_kind http_kinds[HTTP_KINDS] = {
    /*                  name            title                           status webhook uses_up write           is_right */
    [HTTP_POST]     = { "post_orders",  "POST /api/v1/orders",          201,   false,  false,  post_write,     post_is_right     },
    [HTTP_GET]      = { "get_order",    "GET /api/v1/orders/{orderNo}", 200,   false,  false,  get_write,      get_is_right      },
    [HTTP_WEBHOOK]  = { "webhooks",     "POST /webhooks, unknown",      200,   true,   false,  webhook_write,  webhook_is_right  },
    [HTTP_CHECKOUT] = { "checkouts",    "POST /api/v1/orders, external",201,   false,  false,  checkout_write, checkout_is_right },
    [HTTP_PAY]      = { "paid",         "POST /webhooks, that pay",     200,   true,   true,   pay_write,      pay_is_right      },
};
/* clang-format on */
