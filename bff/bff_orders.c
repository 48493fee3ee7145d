/* bff_orders.c -- Orders that there are: one, many, the wish to cancel one, and its customer's return
 * from the checkout. */
#include "bff/bff_job.h"
#include "bff/bff_order.h"
#include "bff/bff_place.h"
#include "bff/bff_routes.h"
#include "bff/bff_watch.h"
#include "mesh/base/clock.h"

#include <inttypes.h>
#include <sagamesh/payment/v1/payment_service.pb-c.h>
#include <stdlib.h>
#include <string.h>

/* The orderNo of the path. False: 404 was answered; what is no id names no order. */
static bool
read_order_no(struct job *job)
{
    const char *order_no = job->exchange->parameters[0];
    struct uuid id;

    if (uuid_parse(order_no, strlen(order_no), &id))
        return true;
    http_answer_problem(
        job->exchange,
        &(struct http_problem){ .status = 404, .code = "NOT_FOUND", .detail = "no such order" });
    return false;
}

static void
ask_for_order(struct job *job, void (*answered)(struct job *job, const struct rpc_result *result))
{
    Sagamesh__Order__V1__GetRequest get = SAGAMESH__ORDER__V1__GET_REQUEST__INIT;

    get.order_id = (char *)job->exchange->parameters[0];
    job_about(job, get.order_id);
    job_send(job, BFF_ORDER, ORDER_SERVICE "Get", &get.base, answered);
}

/* NULL: answered. Somebody else's order is not there, so that nobody learns which numbers exist. */
static const Sagamesh__Order__V1__Order *
order_of(struct job *job, const struct rpc_result *result)
{
    const Sagamesh__Order__V1__GetResponse *response =
        job_reply(job, result, &sagamesh__order__v1__get_response__descriptor);

    if (response == NULL)
        return NULL;
    if (response->order != NULL &&
        (job->principal.is_operator ||
         strcmp(response->order->customer_id, job->principal.customer_id) == 0))
        return response->order;
    http_answer_problem(
        job->exchange,
        &(struct http_problem){ .status = 404, .code = "NOT_FOUND", .detail = "no such order" });
    return NULL;
}

/* ---- one ---- */

/* If-None-Match: a list of tags, weak ones too (RFC 9110, 13.1.2), or "*". The tag as it was named: who
 * had it weak had the answer coded, and 304 is about that one. NULL: it is not among them. */
static const char *
tag_find(const char *list, const char *tag, struct arena *arena)
{
    size_t bytes = strlen(tag);

    while (*list != '\0') {
        bool is_weak;

        list += strspn(list, " \t,");
        if (*list == '*')
            return tag;
        is_weak = strncmp(list, "W/", 2) == 0;
        if (is_weak)
            list += 2;
        if (strncmp(list, tag, bytes) == 0 && (list[bytes] == '\0' || strchr(" \t,", list[bytes])))
            return is_weak ? arena_print(arena, "W/%s", tag) : tag;
        list += strcspn(list, ",");
    }
    return NULL;
}

static void
order_shown(struct job *job, const struct rpc_result *result)
{
    const Sagamesh__Order__V1__Order *order = order_of(job, result);
    struct json_writer json = { 0 };
    const char *tag, *known, *headers[3] = { NULL, "Cache-Control: private, no-cache", NULL };

    if (order == NULL)
        return;
    if (order->status == ORDER_STATUS(WAITING_PAYMENT) && order->payment_id[0] != '\0')
        watchers_look(job->bff->watchers, job->bff->clients[BFF_ACCOUNT], order->payment_id,
                      job->exchange->traceparent);
    tag = arena_print(job->arena, "\"v%" PRId32 "\"", order->version);
    known = tag_find(http_header_find(job->exchange->request, "if-none-match"), tag, job->arena);
    headers[0] = arena_print(job->arena, "ETag: %s", known == NULL ? tag : known);
    if (known != NULL) {
        http_answer(job->exchange, 304, NULL, NULL, 0, headers);
        return;
    }
    order_write(&json, NULL, order);
    http_answer_json(job->exchange, 200, &json, headers);
}

static void
order_get(struct http_exchange *exchange)
{
    struct job *job = job_open_with_token(exchange);

    if (read_order_no(job))
        ask_for_order(job, order_shown);
}

/* ---- many ---- */

static void
orders_shown(struct job *job, const struct rpc_result *result)
{
    const Sagamesh__Order__V1__ListResponse *list =
        job_reply(job, result, &sagamesh__order__v1__list_response__descriptor);
    struct json_writer json = { 0 };

    if (list == NULL)
        return;
    json_open_object(&json, NULL);
    json_open_array(&json, "orders");
    for (size_t i = 0; i < list->n_orders; i++)
        order_write(&json, NULL, list->orders[i]);
    json_close_array(&json);
    if (list->next_page_token[0] != '\0')
        json_put_text(&json, "nextPageToken", list->next_page_token);
    json_close_object(&json);
    http_answer_json(job->exchange, 200, &json, NULL);
}

/* clang-format off */
static const struct field_name list_names[] = {
    { "customer_id", NULL, "customerId" },
    { "page_size",   NULL, "pageSize" },
    { "page_token",  NULL, "pageToken" },
    { 0 },
};
/* clang-format on */

static void
order_list(struct http_exchange *exchange)
{
    static const char *const names[] = { "customerId", "pageSize", "pageToken", NULL };
    struct job *job = job_open_with_token(exchange);
    Sagamesh__Order__V1__ListRequest list = SAGAMESH__ORDER__V1__LIST_REQUEST__INIT;
    const char *customer_id;
    struct problem problem;

    if (!http_check_query(job->exchange, names) ||
        !http_read_page_size(job->exchange, &list.page_size))
        return;
    customer_id = http_read_query(job->exchange, "customerId");
    if (customer_id[0] == '\0' && !job->principal.is_operator)
        customer_id = job->principal.customer_id;
    if (customer_id[0] != '\0' && check_customer(&problem, "customerId", customer_id) != ERR_OK) {
        http_refuse(job->exchange, NULL,
                    arena_print(job->arena, "the parameter customerId %s", problem.text));
        return;
    }
    if (customer_id[0] != '\0' && !job_may_act_for(job, customer_id, NULL))
        return;
    job->fields = list_names;
    list.customer_id = (char *)customer_id;
    list.page_token = (char *)http_read_query(job->exchange, "pageToken");
    job_send_alone(job, BFF_ORDER, ORDER_SERVICE "List", &list.base, orders_shown);
}

/* ---- cancel ---- */

static void
canceled(struct job *job, const struct rpc_result *result)
{
    const Sagamesh__Order__V1__CancelResponse *response =
        job_reply(job, result, &sagamesh__order__v1__cancel_response__descriptor);
    struct json_writer json = { 0 };

    if (response == NULL)
        return;
    json_open_object(&json, NULL);
    json_put_text(&json, "orderNo", job->exchange->parameters[0]);
    json_put_text(&json, "status", order_status_word(response->status));
    json_put_bool(&json, "cancelRequested", response->cancel_requested);
    json_close_object(&json);
    http_answer_json(job->exchange, 202, &json, NULL);
}

/* A wish wished twice is one wish, so each request may have an id of its own. */
static void
cancel_known(struct job *job, const struct rpc_result *result)
{
    Sagamesh__Order__V1__CancelRequest cancel = SAGAMESH__ORDER__V1__CANCEL_REQUEST__INIT;
    char id[UUID_TEXT_BYTES + 1];

    if (order_of(job, result) == NULL)
        return;
    cancel.request_id = uuid_print(uuid_v7(clock_now_us()), id);
    cancel.order_id = (char *)job->exchange->parameters[0];
    job_send(job, BFF_ORDER, ORDER_SERVICE "Cancel", &cancel.base, canceled);
}

static void
order_cancel(struct http_exchange *exchange)
{
    struct job *job = job_open_with_token(exchange);

    if (read_order_no(job) && http_ignore_body(job->exchange))
        ask_for_order(job, cancel_known);
}

/* ---- the customer is back from the checkout ---- */

static void
returned_answer(struct job *job, const Sagamesh__Order__V1__Order *order)
{
    struct json_writer json = { 0 };

    json_open_object(&json, NULL);
    json_put_text(&json, "orderNo", order->order_id);
    json_put_text(&json, "status", order_status_word(order->status));
    json_close_object(&json);
    http_answer_json(job->exchange, 202, &json, NULL);
}

static void
returned_observed(struct job *job, const struct rpc_result *result)
{
    if (job_reply(job, result, &sagamesh__payment__v1__observe_response__descriptor) != NULL)
        returned_answer(job, job->state);
}

/* That somebody came back says nothing of the payment: it only makes the provider be asked now. Where
 * nothing is waited for there is nothing to ask. */
static void
returned_known(struct job *job, const struct rpc_result *result)
{
    Sagamesh__Payment__V1__ObserveRequest observe = SAGAMESH__PAYMENT__V1__OBSERVE_REQUEST__INIT;
    Sagamesh__Payment__V1__PaymentHint hint = SAGAMESH__PAYMENT__V1__PAYMENT_HINT__INIT;
    const Sagamesh__Order__V1__Order *order = order_of(job, result);
    char id[UUID_TEXT_BYTES + 1];

    if (order == NULL)
        return;
    if (order->status != ORDER_STATUS(WAITING_PAYMENT) || order->payment_id[0] == '\0') {
        returned_answer(job, order);
        return;
    }
    job->state = (void *)(uintptr_t)order;
    observe.request_id = uuid_print(uuid_v7(clock_now_us()), id);
    observe.what_case = SAGAMESH__PAYMENT__V1__OBSERVE_REQUEST__WHAT_HINT;
    observe.hint = &hint;
    hint.payment_id = order->payment_id;
    hint.hint = SAGAMESH__PAYMENT__V1__HINT__HINT_RETURNED;
    job_send(job, BFF_ACCOUNT, "sagamesh.payment.v1.PaymentService/Observe", &observe.base,
             returned_observed);
}

static void
order_returned(struct http_exchange *exchange)
{
    struct job *job = job_open_with_token(exchange);

    if (read_order_no(job) && http_ignore_body(job->exchange))
        ask_for_order(job, returned_known);
}

/* ---- routes ---- */

/* clang-format off */
const struct http_route order_routes[] = {
    { .method = "POST", .path = "/api/v1/orders",                    .handler = order_place,    .body_bytes_max = BODY_BYTES_MAX,    .content_type = JSON_TYPE, .deadline_ms = PLACE_MS, .without_redis = "works" },
    { .method = "GET",  .path = "/api/v1/orders",                    .handler = order_list,     .without_redis = "works" },
    { .method = "GET",  .path = "/api/v1/orders/{orderNo}",          .handler = order_get,      .without_redis = "works" },
    { .method = "POST", .path = "/api/v1/orders/{orderNo}/cancel",   .handler = order_cancel,   .body_bytes_max = IGNORED_BYTES_MAX, .content_type = JSON_TYPE, .without_redis = "works" },
    { .method = "POST", .path = "/api/v1/orders/{orderNo}/returned", .handler = order_returned, .body_bytes_max = IGNORED_BYTES_MAX, .content_type = JSON_TYPE, .without_redis = "works" },
    { 0 },
};
/* clang-format on */
