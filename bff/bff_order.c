#include "bff/bff_order.h"
#include "mesh/base/time.h"

/* What an order's status says of it and of its payment. */
/* clang-format off */
static const struct {
    const char *order, *payment;
} names[] = {
    [ORDER_STATUS(UNSPECIFIED)]     = { "UNKNOWN",         "UNKNOWN" },
    [ORDER_STATUS(PENDING)]         = { "PENDING",         "PENDING" },
    [ORDER_STATUS(WAITING_PAYMENT)] = { "WAITING_PAYMENT", "WAITING" },
    [ORDER_STATUS(PAID)]            = { "PAID",            "PAID" },
    [ORDER_STATUS(FAILED)]          = { "FAILED",          "NOT_PAID" },
};
/* clang-format on */

/* A status that a newer service may have and we have not heard of is 0. */
static size_t
row_of(Sagamesh__Order__V1__OrderStatus status)
{
    return (size_t)status < sizeof names / sizeof *names ? (size_t)status : 0;
}

const char *
order_status_word(Sagamesh__Order__V1__OrderStatus status)
{
    return names[row_of(status)].order;
}

static bool
is_final(const Sagamesh__Order__V1__Order *order)
{
    return order->status == ORDER_STATUS(PAID) || order->status == ORDER_STATUS(FAILED);
}

static void
put_time(struct json_writer *json, const char *key, int64_t time_us)
{
    char text[TIME_TEXT_BYTES + 1];

    if (time_us != 0)
        json_put_text(json, key, time_print(time_us, text));
}

static void
put_text(struct json_writer *json, const char *key, const char *text)
{
    if (text[0] != '\0')
        json_put_text(json, key, text);
}

static void
payment_write(struct json_writer *json, const Sagamesh__Order__V1__Order *order)
{
    json_open_object(json, "payment");
    put_text(json, "method", order->payment_method);
    put_text(json, "provider", order->provider);
    put_text(json, "id", order->payment_id);
    json_put_text(json, "status", names[row_of(order->status)].payment);
    /* Once it is decided, nobody is to be sent to the checkout any more. */
    if (!is_final(order))
        put_text(json, "url", order->payment_url);
    put_time(json, "expiresAt", order->payment_expires_at_us);
    put_text(json, "reference", order->payment_reference);
    json_close_object(json);
}

void
order_write(struct json_writer *json, const char *key, const Sagamesh__Order__V1__Order *order)
{
    json_open_object(json, key);
    json_put_text(json, "orderNo", order->order_id);
    json_put_text(json, "customerId", order->customer_id);
    json_put_text(json, "status", order_status_word(order->status));
    json_put_int(json, "version", order->version);
    json_put_text(json, "currency", order->currency);
    if (order->total_minor != 0 || order->status == ORDER_STATUS(PAID) ||
        order->status == ORDER_STATUS(WAITING_PAYMENT))
        json_put_int(json, "total", order->total_minor);
    json_open_array(json, "items");
    for (size_t i = 0; i < order->n_lines; i++) {
        json_open_object(json, NULL);
        json_put_text(json, "sku", order->lines[i]->sku);
        json_put_int(json, "quantity", order->lines[i]->quantity);
        json_close_object(json);
    }
    json_close_array(json);
    payment_write(json, order);
    put_text(json, "reason", order->reason);
    put_text(json, "detail", order->detail);
    json_put_bool(json, "cancelRequested", order->cancel_requested);
    put_time(json, "placedAt", order->placed_at_us);
    put_time(json, "changedAt", order->changed_at_us);
    json_close_object(json);
}
