/* bff_place.c -- POST /api/v1/orders: one key, one order, one answer.
 *
 *     Place, which claims the key -> Get until it can be paid or is final, 2 s at most
 *     -> StoreAnswer -> 201, or 202 when it takes longer
 *
 * Nothing of this is remembered here. Whoever repeats the request with its key after a crash, of this
 * program or another, goes on with the same order once the lock of the first has run out. Who was told
 * to come again need not wait for that: with such an answer the key is given back (ReleaseKey), and
 * where that cannot be done Retry-After is as long as the lock.
 */
#include "bff/bff_place.h"
#include "bff/bff_job.h"
#include "bff/bff_order.h"
#include "mesh/base/clock.h"
#include "mesh/pb/message.h"

#include <openssl/sha.h>
#include <string.h>

enum {
    STORE_MS = 3000, /* to store the answer in */
    ITEMS_MAX = 100, /* as order.v1 has it */
    QUANTITY_MAX = 1000000,
    SKU_BYTES_MAX = 64,
    PROVIDER_BYTES_MAX = 32,
    RETURN_URL_BYTES_MAX = 500,
};

struct item {
    const char *sku;
    int64_t quantity;
};

struct payment {
    const char *method, *provider, *return_url;
};

struct wish {
    const char *customer_id, *currency;
    struct body_list items;
    struct payment *payment;
};

/* clang-format off */
static const struct body_field item_fields[] = {
    { "sku",        BODY_TEXT,   true,  offsetof(struct item, sku),           .fields = NULL },
    { "quantity",   BODY_INT,    true,  offsetof(struct item, quantity),      .fields = NULL },
    { 0 },
};
static const struct body_field payment_fields[] = {
    { "method",     BODY_TEXT,   true,  offsetof(struct payment, method),     .fields = NULL },
    { "provider",   BODY_TEXT,   false, offsetof(struct payment, provider),   .fields = NULL },
    { "returnUrl",  BODY_TEXT,   false, offsetof(struct payment, return_url), .fields = NULL },
    { 0 },
};
static const struct body_field wish_fields[] = {
    { "customerId", BODY_TEXT,   true,  offsetof(struct wish, customer_id),   .fields = NULL },
    { "currency",   BODY_TEXT,   true,  offsetof(struct wish, currency),      .fields = NULL },
    { "items",      BODY_LIST,   true,  offsetof(struct wish, items),         .fields = item_fields,    .struct_bytes = sizeof(struct item),    .rows_min = 1, .rows_max = ITEMS_MAX },
    { "payment",    BODY_OBJECT, true,  offsetof(struct wish, payment),       .fields = payment_fields, .struct_bytes = sizeof(struct payment) },
    { 0 },
};
/* clang-format on */

/* clang-format off */
static const struct field_name place_names[] = {
    { "customer_id",      "/customerId",          NULL },
    { "currency",         "/currency",            NULL },
    { "lines",            "/items",               NULL },
    { "lines[].sku",      "/items/[]/sku",        NULL },
    { "lines[].quantity", "/items/[]/quantity",   NULL },
    { "payment_method",   "/payment/method",      NULL },
    { "provider",         "/payment/provider",    NULL },
    { "return_url",       "/payment/returnUrl",   NULL },
    { 0 },
};
/* clang-format on */

struct placing {
    Sagamesh__Order__V1__PlaceRequest request;
    Sagamesh__Order__V1__Idempotency idempotency;
    uint8_t fingerprint[SHA256_DIGEST_LENGTH];
    const char *order_id; /* the earlier one's, when the key had one */
    int32_t version;
    int64_t until_us; /* by clock_steady_us() */
    int status;       /* of the answer that is being stored */
    struct json_writer answer;
    bool was_answered; /* another answer was stored first: asked for that one */
    bool is_claimed;
    struct rpc_result failure; /* what is answered once the key is given back */
    const char *failed_method;
};

static void place_send(struct job *job);
static void place_look(struct job *job);

/* ---- the rules of the body ---- */

static enum error
check_items(const struct wish *wish, struct problem *problem)
{
    const struct item *items = wish->items.rows;
    enum error error = ERR_OK;
    char field[64];

    for (size_t i = 0; error == ERR_OK && i < wish->items.count; i++) {
        snprintf(field, sizeof field, "/items/%zu/sku", i);
        error = check_word(problem, field, items[i].sku, SKU_BYTES_MAX);
        for (size_t j = 0; error == ERR_OK && j < i; j++) {
            if (strcmp(items[i].sku, items[j].sku) == 0)
                error = problem_set(problem, ERR_BAD_REQUEST, field, "is there twice");
        }
        snprintf(field, sizeof field, "/items/%zu/quantity", i);
        if (error == ERR_OK)
            error = check_range(problem, field, items[i].quantity, 1, QUANTITY_MAX);
    }
    return error;
}

static enum error
check_payment(const struct payment *payment, struct problem *problem)
{
    bool is_external = strcmp(payment->method, "external") == 0;
    enum error error = ERR_OK;

    if (!is_external && strcmp(payment->method, "wallet") != 0)
        return problem_set(problem, ERR_BAD_REQUEST, "/payment/method",
                           "must be wallet or external");
    if (payment->provider != NULL && !is_external)
        return problem_set(problem, ERR_BAD_REQUEST, "/payment/provider",
                           "is for external payments only");
    if (payment->return_url != NULL && !is_external)
        return problem_set(problem, ERR_BAD_REQUEST, "/payment/returnUrl",
                           "is for external payments only");
    if (payment->provider != NULL)
        error = check_word(problem, "/payment/provider", payment->provider, PROVIDER_BYTES_MAX);
    if (error == ERR_OK && payment->return_url != NULL)
        error = check_url(problem, "/payment/returnUrl", payment->return_url, RETURN_URL_BYTES_MAX);
    return error;
}

static bool
check_wish(struct job *job, const struct wish *wish)
{
    struct problem problem;
    enum error error = check_customer(&problem, "/customerId", wish->customer_id);

    if (error == ERR_OK)
        error = check_currency(&problem, "/currency", wish->currency);
    if (error == ERR_OK)
        error = check_items(wish, &problem);
    if (error == ERR_OK)
        error = check_payment(wish->payment, &problem);
    if (error != ERR_OK)
        http_refuse(job->exchange, problem.field, problem.text);
    return error == ERR_OK;
}

/* ---- the request to place ---- */

static void
fill_order(struct job *job, const struct wish *wish, Sagamesh__Order__V1__PlaceRequest *request)
{
    const struct item *items = wish->items.rows;
    char *id = arena_take(job->arena, UUID_TEXT_BYTES + 1);

    sagamesh__order__v1__place_request__init(request);
    request->order_id = uuid_print(uuid_v7(clock_now_us()), id);
    request->customer_id = (char *)wish->customer_id;
    request->currency = (char *)wish->currency;
    request->n_lines = wish->items.count;
    request->lines = arena_take(job->arena, wish->items.count * sizeof *request->lines);
    for (size_t i = 0; i < wish->items.count; i++) {
        request->lines[i] = arena_take(job->arena, sizeof **request->lines);
        sagamesh__order__v1__order_line__init(request->lines[i]);
        request->lines[i]->sku = (char *)items[i].sku;
        request->lines[i]->quantity = items[i].quantity;
    }
    request->payment_method = (char *)wish->payment->method;
    if (wish->payment->provider != NULL)
        request->provider = (char *)wish->payment->provider;
    if (wish->payment->return_url != NULL)
        request->return_url = (char *)wish->payment->return_url;
}

/* Of what the body means, not of how it is written: the order as it would be placed, but for its id. */
static void
fingerprint_make(struct job *job, struct placing *placing)
{
    Sagamesh__Order__V1__PlaceRequest content = placing->request;
    size_t bytes;
    uint8_t *packed;

    content.order_id = (char *)"";
    content.idempotency = NULL;
    bytes = protobuf_c_message_get_packed_size(&content.base);
    packed = arena_take(job->arena, bytes);
    protobuf_c_message_pack(&content.base, packed);
    SHA256(packed, bytes, placing->fingerprint);
}

/* Others with the same key are told to wait until then. */
static int32_t
lock_ms(const struct job *job)
{
    return (int32_t)job->bff->place_wait_ms + STORE_MS;
}

static int
lock_seconds(const struct job *job)
{
    return (lock_ms(job) + 999) / 1000;
}

static void
fill_idempotency(struct job *job, struct placing *placing, const char *key)
{
    Sagamesh__Order__V1__Idempotency *idempotency = &placing->idempotency;

    fingerprint_make(job, placing);
    sagamesh__order__v1__idempotency__init(idempotency);
    idempotency->scope = arena_print(job->arena, "%s %s POST /api/v1/orders",
                                     job->principal.is_operator ? "operator" : "customer",
                                     job->principal.customer_id);
    idempotency->key = (char *)key;
    idempotency->fingerprint.data = placing->fingerprint;
    idempotency->fingerprint.len = sizeof placing->fingerprint;
    idempotency->lock_ms = lock_ms(job);
    placing->request.idempotency = idempotency;
}

void
order_place(struct http_exchange *exchange)
{
    struct job *job = job_open_with_token(exchange);
    struct wish wish = { 0 };
    struct placing *placing;
    const char *key;

    if ((key = http_read_key(job->exchange)) == NULL ||
        !http_read_body(job->exchange, wish_fields, &wish) || !check_wish(job, &wish) ||
        !job_may_act_for(job, wish.customer_id, "/customerId"))
        return;
    job->fields = place_names;
    placing = job->state = arena_take(job->arena, sizeof *placing);
    fill_order(job, &wish, &placing->request);
    fill_idempotency(job, placing, key);
    placing->until_us = job->exchange->began_us + job->bff->place_wait_ms * 1000;
    place_send(job);
}

/* ---- giving the key back ---- */

static void
released(struct job *job, const struct rpc_result *result)
{
    struct placing *placing = job->state;
    const Sagamesh__Order__V1__ReleaseKeyResponse *response = NULL;
    ProtobufCMessage *message;
    struct problem problem;

    if (result->code == WIRE_OK &&
        pb_message_unpack(&sagamesh__order__v1__release_key_response__descriptor, result->reply,
                          result->reply_bytes, job->arena, &problem, &message) == ERR_OK)
        response = (const Sagamesh__Order__V1__ReleaseKeyResponse *)message;
    job->method = placing->failed_method;
    job_fail_for(job, &placing->failure,
                 response != NULL && response->is_free ? RETRY_SECONDS : lock_seconds(job));
}

/* No answer was come to. Once only: while it is sent, the one who asked waits. */
static void
place_fail(struct job *job, const struct rpc_result *result)
{
    Sagamesh__Order__V1__ReleaseKeyRequest request = SAGAMESH__ORDER__V1__RELEASE_KEY_REQUEST__INIT;
    struct placing *placing = job->state;
    char id[UUID_TEXT_BYTES + 1];

    if (!placing->is_claimed && result->nothing_done) {
        job_fail(job, result);
        return;
    }
    if (result->code == WIRE_CANCELLED) { /* bff is stopping: nothing can be sent any more */
        job_fail_for(job, result, lock_seconds(job));
        return;
    }
    placing->failure = *result;
    placing->failed_method = job->method;
    request.request_id = uuid_print(uuid_v7(clock_now_us()), id);
    request.scope = placing->idempotency.scope;
    request.key = placing->idempotency.key;
    request.claimed_by = placing->request.order_id;
    job_send_waiting(job, BFF_ORDER, ORDER_SERVICE "ReleaseKey", &request.base, 0, released);
}

/* ---- what became of the key ---- */

static const char *const *
location_of(struct job *job, const char *order_id, bool is_replayed)
{
    const char **headers = arena_take(job->arena, 3 * sizeof *headers);

    headers[0] = arena_print(job->arena, "Location: /api/v1/orders/%s", order_id);
    headers[1] = is_replayed ? "Idempotent-Replayed: true" : NULL;
    return headers;
}

static void
claimed(struct job *job, const struct rpc_result *result)
{
    struct placing *placing = job->state;
    const Sagamesh__Order__V1__PlaceResponse *response;

    if (result->code != WIRE_OK) {
        place_fail(job, result);
        return;
    }
    response = job_reply(job, result, &sagamesh__order__v1__place_response__descriptor);
    if (response == NULL)
        return;
    switch (response->idempotency_state) {
    case SAGAMESH__ORDER__V1__IDEMPOTENCY_STATE__IDEMPOTENCY_STATE_MISMATCH:
        http_answer_problem(
            job->exchange, &(struct http_problem){
                               .status = 422,
                               .code = "IDEMPOTENCY_KEY_REUSED",
                               .detail = "this Idempotency-Key came with another request before" });
        return;
    case SAGAMESH__ORDER__V1__IDEMPOTENCY_STATE__IDEMPOTENCY_STATE_IN_FLIGHT:
        http_answer_problem(job->exchange,
                            &(struct http_problem){
                                .status = 409,
                                .code = "IDEMPOTENCY_KEY_IN_FLIGHT",
                                .detail = "a request with this Idempotency-Key is being answered",
                                .headers = http_retry_soon });
        return;
    case SAGAMESH__ORDER__V1__IDEMPOTENCY_STATE__IDEMPOTENCY_STATE_ANSWERED:
        http_answer(job->exchange, response->http_status, "application/json",
                    (const char *)response->body.data, response->body.len,
                    location_of(job, response->order_id, true));
        return;
    default:
        placing->is_claimed = true;
        placing->order_id = response->order_id;
        job_about(job, placing->order_id);
        /* Of an earlier claim's order that has moved on already, what there is will do. */
        placing->version = response->status == ORDER_STATUS(PENDING) ? response->version : 0;
        place_look(job);
    }
}

static void
place_send(struct job *job)
{
    struct placing *placing = job->state;

    job_about(job, placing->request.order_id);
    job_send(job, BFF_ORDER, ORDER_SERVICE "Place", &placing->request.base, claimed);
}

/* ---- the answer, stored before it leaves ---- */

static void
stored(struct job *job, const struct rpc_result *result)
{
    struct placing *placing = job->state;
    const Sagamesh__Order__V1__StoreAnswerResponse *response;
    struct json_writer answer = placing->answer;

    memset(&placing->answer, 0, sizeof placing->answer);
    if (result->code != WIRE_OK) {
        json_writer_free(&answer);
        place_fail(job, result);
        return;
    }
    response = job_reply(job, result, &sagamesh__order__v1__store_answer_response__descriptor);
    if (response != NULL && (response->is_stored || placing->was_answered)) {
        http_answer_json(job->exchange, placing->status, &answer,
                         location_of(job, placing->order_id, false));
        return;
    }
    json_writer_free(&answer);
    if (response == NULL)
        return;
    /* Our lock had run out and somebody else answered: everybody gets the same. */
    placing->was_answered = true;
    place_send(job);
}

/* Takes what was written. */
static void
answer_store(struct job *job, int status, const struct json_writer *answer)
{
    Sagamesh__Order__V1__StoreAnswerRequest request =
        SAGAMESH__ORDER__V1__STORE_ANSWER_REQUEST__INIT;
    struct placing *placing = job->state;
    char id[UUID_TEXT_BYTES + 1];

    placing->status = status;
    placing->answer = *answer;
    request.request_id = uuid_print(uuid_v7(clock_now_us()), id);
    request.scope = placing->idempotency.scope;
    request.key = placing->idempotency.key;
    request.order_id = (char *)placing->order_id;
    request.http_status = status;
    request.body.data = (uint8_t *)answer->text;
    request.body.len = answer->bytes;
    job_send(job, BFF_ORDER, ORDER_SERVICE "StoreAnswer", &request.base, stored);
}

/* ---- waiting for something to say ---- */

static void
answer_later(struct job *job)
{
    struct placing *placing = job->state;
    struct json_writer json = { 0 };

    json_open_object(&json, NULL);
    json_put_text(&json, "orderNo", placing->order_id);
    json_put_text(&json, "status", order_status_word(ORDER_STATUS(PENDING)));
    json_close_object(&json);
    answer_store(job, 202, &json);
}

static void
looked(struct job *job, const struct rpc_result *result)
{
    struct placing *placing = job->state;
    const Sagamesh__Order__V1__GetResponse *response;
    struct json_writer json = { 0 };

    /* Too many wait already, or the service is away: the order is placed all the same. */
    if (result->code == WIRE_CANCELLED) {
        place_fail(job, result);
        return;
    }
    if (result->code != WIRE_OK) {
        answer_later(job);
        return;
    }
    response = job_reply(job, result, &sagamesh__order__v1__get_response__descriptor);
    if (response == NULL)
        return;
    if (response->order == NULL || (response->order->status == ORDER_STATUS(PENDING) &&
                                    response->order->version <= placing->version)) {
        answer_later(job); /* it waited as long as it was asked to */
    } else if (response->order->status == ORDER_STATUS(PENDING)) {
        placing->version = response->order->version;
        place_look(job);
    } else {
        order_write(&json, NULL, response->order);
        answer_store(job, 201, &json);
    }
}

static void
place_look(struct job *job)
{
    Sagamesh__Order__V1__GetRequest get = SAGAMESH__ORDER__V1__GET_REQUEST__INIT;
    struct placing *placing = job->state;
    int64_t left_us = placing->until_us - clock_steady_us();

    if (left_us < 1000) {
        answer_later(job);
        return;
    }
    get.order_id = (char *)placing->order_id;
    get.wait_ms = (int32_t)(left_us / 1000);
    get.known_version = placing->version;
    job_send_waiting(job, BFF_ORDER, ORDER_SERVICE "Get", &get.base, get.wait_ms, looked);
}
