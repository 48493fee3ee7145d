#include "order-svc/order_event.h"

#include <inttypes.h>
#include <stdio.h>

void
order_lines_write(const char *lines, struct json_writer *writer)
{
    struct line line;

    json_open_array(writer, "lines");
    while (line_next(&lines, &line)) {
        json_open_object(writer, NULL);
        json_put_text(writer, "sku", line.sku);
        json_put_int(writer, "quantity", line.quantity);
        json_close_object(writer);
    }
    json_close_array(writer);
}

static void
put_text_if_any(struct json_writer *writer, const char *key, const char *text)
{
    if (text[0] != '\0')
        json_put_text(writer, key, text);
}

/* What never changes stands in order.placed only. */
static void
write_placed(const struct order *order, struct json_writer *writer)
{
    char fingerprint[17];

    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, order->record.fingerprint);
    json_put_text(writer, "fingerprint", fingerprint);
    json_put_text(writer, "flow", order->flow);
    json_put_text(writer, "paymentMethod", order->payment_method);
    put_text_if_any(writer, "provider", order->provider);
    put_text_if_any(writer, "returnUrl", order->return_url);
    order_lines_write(order->lines, writer);
}

void
order_event_write(const struct order *order, struct json_writer *writer)
{
    char id[UUID_TEXT_BYTES + 1];

    json_open_object(writer, NULL);
    json_put_text(writer, "orderId", uuid_print(order->record.id, id));
    json_put_text(writer, "customerId", order->customer_id);
    json_put_text(writer, "status", order_status_name(order->status));
    json_put_int(writer, "version", order->version);
    json_put_int(writer, "totalMinor", order->total_minor);
    json_put_text(writer, "currency", order->currency);
    json_put_text(writer, "reason", order->failure_reason);
    json_put_text(writer, "detail", order->failure_detail);
    json_put_text(writer, "paymentReference", order->payment_reference);
    put_text_if_any(writer, "paymentId", order->payment_id);
    put_text_if_any(writer, "paymentUrl", order->payment_url);
    if (order->payment_expires_at_us != 0)
        json_put_int(writer, "paymentExpiresAtUs", order->payment_expires_at_us);
    json_put_bool(writer, "cancelRequested", order->cancel_wanted);
    json_put_int(writer, "placedAtUs", order->placed_at_us);
    if (order->version == 1)
        write_placed(order, writer);
    json_close_object(writer);
}
