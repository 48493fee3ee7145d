/* One request and its answer. While no answer comes, or one that says "later", the demo asks again under the same
 * idempotency key, until --timeout has passed: a bff that ends, or is killed, costs no order. */
#include "sagactl/ctl_demo_http.h"

#include "mesh/ask/ask.h"
#include "mesh/base/clock.h"
#include "mesh/base/file.h"
#include "mesh/base/json.h"
#include "mesh/base/uuid.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TOKEN_BYTES_MAX = 16384,
    ANSWER_BYTES_MAX = 65536,
    CONNECT_MS = 2000,
    ANSWER_SECONDS = 5,
    PAUSE_US = 200 * 1000,
};

static char *
wish_print(const char *customer_id, const char *sku, int64_t quantity, const char *currency)
{
    struct json_writer json = { 0 };

    json_open_object(&json, NULL);
    json_put_text(&json, "customerId", customer_id);
    json_put_text(&json, "currency", currency);
    json_open_array(&json, "items");
    json_open_object(&json, NULL);
    json_put_text(&json, "sku", sku);
    json_put_int(&json, "quantity", quantity);
    json_close_object(&json);
    json_close_array(&json);
    json_open_object(&json, "payment");
    json_put_text(&json, "method", "wallet");
    json_close_object(&json);
    json_close_object(&json);
    return json.text;
}

/* A text of the answer's object, or NULL. */
static char *
answer_text(struct ctl *ctl, const struct ask *ask, const char *name)
{
    struct problem problem;
    json_t *answer = NULL;
    const char *text = NULL;
    char *copy = NULL;

    if (ask->body != NULL && !ask->is_too_long &&
        json_read(ask->body, ask->body_bytes, "the answer", &problem, &answer) == ERR_OK)
        text = json_string_value(json_object_get(answer, name));
    if (text != NULL)
        copy = arena_print(ctl->arena, "%s", text);
    json_decref(answer);
    return copy;
}

/* The try before may still be under way at another bff, which then has the key. */
static bool
is_later(struct ctl *ctl, const struct ask *ask, int status)
{
    const char *code = status == 409 ? answer_text(ctl, ask, "code") : NULL;

    return status == 0 || status == 429 || (status >= 502 && status <= 504) ||
           (code != NULL && strcmp(code, "IDEMPOTENCY_KEY_IN_FLIGHT") == 0);
}

static int
ask_once(struct ask *ask, const struct ask_request *request)
{
    ask_begin(ask, request, NULL);
    return ask_status(ask, curl_easy_perform(ask->easy));
}

static char *
post(struct ctl *ctl, const struct ask_request *request, enum ctl_exit *ret_status)
{
    const struct timespec pause = { .tv_nsec = PAUSE_US * 1000 };
    int64_t until_us = clock_steady_us() + ctl->timeout_seconds * SECOND_US;
    struct ask ask = { 0 };
    int status = ask_once(&ask, request);
    char *order_id;

    while (is_later(ctl, &ask, status) && clock_steady_us() < until_us) {
        ask_end(&ask, NULL);
        nanosleep(&pause, NULL);
        ask = (struct ask){ 0 };
        status = ask_once(&ask, request);
    }
    /* Taken: 201, or 202 while it goes on. */
    order_id = status / 100 == 2 ? answer_text(ctl, &ask, "orderNo") : NULL;
    if (order_id == NULL)
        *ret_status = ctl_fail(ctl, status == 0 ? CTL_UNREACHABLE : CTL_REFUSED, "NOT_PLACED", NULL,
                               "%s: %s, status %d: %.*s", request->url,
                               status == 0 ? "no answer came" : "the order was not placed", status,
                               (int)(ask.body == NULL ? 0 : ask.body_bytes),
                               ask.body == NULL ? "" : ask.body);
    ask_end(&ask, NULL);
    return order_id;
}

char *
ctl_demo_place_http(struct ctl *ctl, const char *customer_id, const char *sku, int64_t quantity,
                    const char *currency, enum ctl_exit *ret_status)
{
    char *token = file_read(ctl->token_file, TOKEN_BYTES_MAX, ctl->arena), *order_id, *body;
    char key[UUID_TEXT_BYTES + 1];
    const char *why =
        token == NULL ? "it cannot be read" : file_why_no_secret(token, TOKEN_BYTES_MAX);

    if (why != NULL) {
        *ret_status = ctl_fail(ctl, CTL_USAGE, "NO_TOKEN", "bff-token makes one",
                               "--token-file=%s: %s", ctl->token_file, why);
        return NULL;
    }
    const char *headers[] = {
        "Content-Type: application/json",
        arena_print(ctl->arena, "Authorization: Bearer %s", token),
        arena_print(ctl->arena, "Idempotency-Key: %s", uuid_print(uuid_v7(clock_now_us()), key)),
    };
    body = wish_print(customer_id, sku, quantity, currency);
    const struct ask_request request = {
        .method = "POST",
        .url = arena_print(ctl->arena, "%s/api/v1/orders", ctl->bff),
        .headers = headers,
        .header_count = sizeof headers / sizeof *headers,
        .body = body,
        .connect_ms = CONNECT_MS,
        .answer_ms = 1000 * (long)(ctl->timeout_seconds < ANSWER_SECONDS ? ctl->timeout_seconds
                                                                         : ANSWER_SECONDS),
        .answer_bytes_max = ANSWER_BYTES_MAX,
    };
    order_id = post(ctl, &request, ret_status);
    free(body);
    return order_id;
}
