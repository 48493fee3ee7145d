/* One request and its answer. It is made once: bff asks the services again by itself while it can, and the
 * demo's idempotency key is of no use to who has no second try. */
#include "sagactl/ctl_demo_http.h"

#include "mesh/ask/ask.h"
#include "mesh/base/clock.h"
#include "mesh/base/file.h"
#include "mesh/base/json.h"
#include "mesh/base/uuid.h"

#include <stdlib.h>

enum { TOKEN_BYTES_MAX = 16384, ANSWER_BYTES_MAX = 65536, CONNECT_MS = 5000 };

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

/* Taken (201, or 202 while it goes on): the order's id. */
static char *
answer_read(struct ctl *ctl, const struct ask *ask, int status)
{
    struct problem problem;
    json_t *answer = NULL;
    const char *order_id = NULL;
    char *copy = NULL;

    if (status / 100 == 2 && ask->body != NULL && !ask->is_too_long &&
        json_read(ask->body, ask->body_bytes, "the answer", &problem, &answer) == ERR_OK)
        order_id = json_string_value(json_object_get(answer, "orderNo"));
    if (order_id != NULL)
        copy = arena_print(ctl->arena, "%s", order_id);
    json_decref(answer);
    return copy;
}

static char *
post(struct ctl *ctl, const struct ask_request *request, enum ctl_exit *ret_status)
{
    struct ask ask = { 0 };
    char *order_id;
    int status;

    ask_begin(&ask, request, NULL);
    status = ask_status(&ask, curl_easy_perform(ask.easy));
    order_id = answer_read(ctl, &ask, status);
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
        .answer_ms = (long)ctl->timeout_seconds * 1000,
        .answer_bytes_max = ANSWER_BYTES_MAX,
    };
    order_id = post(ctl, &request, ret_status);
    free(body);
    return order_id;
}
