#include "tests/support/order/order_fold.h"
#include "mesh/base/json.h"
#include "mesh/store/event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A payload while it is read; what is missing is remembered, and leaves defaults. */
struct payload {
    const json_t *json;
    struct arena *arena;
    bool is_broken;
};

static const char *
get_text(struct payload *payload, const char *key)
{
    const json_t *value = json_object_get(payload->json, key);

    if (!json_is_string(value)) {
        payload->is_broken = true;
        return "";
    }
    return arena_copy(payload->arena, json_string_value(value), json_string_length(value));
}

/* What is left out when it is empty. */
static const char *
get_text_if_any(struct payload *payload, const char *key)
{
    return json_object_get(payload->json, key) == NULL ? "" : get_text(payload, key);
}

static int64_t
get_int(struct payload *payload, const char *key)
{
    const json_t *value = json_object_get(payload->json, key);

    payload->is_broken = payload->is_broken || !json_is_integer(value);
    return json_integer_value(value);
}

static int64_t
get_int_if_any(struct payload *payload, const char *key)
{
    return json_object_get(payload->json, key) == NULL ? 0 : get_int(payload, key);
}

static bool
get_bool(struct payload *payload, const char *key)
{
    const json_t *value = json_object_get(payload->json, key);

    payload->is_broken = payload->is_broken || !json_is_boolean(value);
    return json_is_true(value);
}

static int32_t
get_status(struct payload *payload)
{
    const char *name = get_text(payload, "status");

    for (int32_t status = ORDER_PENDING; status < ORDER_STATUS_END; status++) {
        if (strcmp(order_status_name(status), name) == 0)
            return status;
    }
    payload->is_broken = true;
    return ORDER_PENDING;
}

static const char *
get_lines(struct payload *payload)
{
    const json_t *array = json_object_get(payload->json, "lines");
    size_t count = json_array_size(array);
    struct line *lines = arena_take(payload->arena, count * sizeof *lines);

    for (size_t i = 0; i < count; i++) {
        struct payload item = { .json = json_array_get(array, i), .arena = payload->arena };

        snprintf(lines[i].sku, sizeof lines[i].sku, "%s", get_text(&item, "sku"));
        lines[i].quantity = get_int(&item, "quantity");
        payload->is_broken = payload->is_broken || item.is_broken;
    }
    payload->is_broken = payload->is_broken || count == 0;
    return lines_print(payload->arena, lines, count);
}

static void
fold_placed(struct payload *payload, struct order *order)
{
    order->record.fingerprint = strtoull(get_text(payload, "fingerprint"), NULL, 16);
    order->record.reason = order->record.detail = "";
    order->flow = get_text(payload, "flow");
    order->payment_method = get_text(payload, "paymentMethod");
    order->provider = get_text_if_any(payload, "provider");
    order->return_url = get_text_if_any(payload, "returnUrl");
    order->lines = get_lines(payload);
}

static void
fold_registers(struct payload *payload, struct order *order)
{
    order->customer_id = get_text(payload, "customerId");
    order->status = get_status(payload);
    order->total_minor = get_int(payload, "totalMinor");
    order->currency = get_text(payload, "currency");
    order->failure_reason = get_text(payload, "reason");
    order->failure_detail = get_text(payload, "detail");
    order->payment_reference = get_text(payload, "paymentReference");
    order->payment_id = get_text_if_any(payload, "paymentId");
    order->payment_url = get_text_if_any(payload, "paymentUrl");
    order->payment_expires_at_us = get_int_if_any(payload, "paymentExpiresAtUs");
    order->cancel_wanted = get_bool(payload, "cancelRequested");
    order->placed_at_us = get_int(payload, "placedAtUs");
}

enum error
order_event_fold(const struct event *event, struct arena *arena, struct order *order,
                 struct problem *problem)
{
    struct payload payload = { .arena = arena };
    json_t *json;

    if (event->version != order->version + 1)
        return problem_set(problem, ERR_BAD_REQUEST, "version", "must be %d, not %d",
                           order->version + 1, event->version);
    if (json_read(event->payload, strlen(event->payload), "payload", problem, &json) != ERR_OK)
        return problem->error;
    payload.json = json;
    order->record.id = event->aggregateid;
    order->version = event->version;
    order->changed_at_us = event->time_us;
    fold_registers(&payload, order);
    if (event->version == 1)
        fold_placed(&payload, order);
    json_decref(json);
    if (payload.is_broken)
        return problem_set(problem, ERR_BAD_REQUEST, "payload", "is not an order's");
    return ERR_OK;
}
