#include "order-svc/order_message.h"

#include <string.h>

static Sagamesh__Order__V1__OrderLine **
lines_message(const char *lines, struct arena *arena, size_t *ret_count)
{
    Sagamesh__Order__V1__OrderLine **list;
    struct line line;
    size_t count = 0;

    for (const char *at = lines; *at != '\0'; at++)
        count += *at == '\n';
    list = arena_take(arena, count * sizeof(Sagamesh__Order__V1__OrderLine *));
    *ret_count = count;
    for (size_t i = 0; line_next(&lines, &line); i++) {
        Sagamesh__Order__V1__OrderLine *message = arena_take(arena, sizeof *message);

        sagamesh__order__v1__order_line__init(message);
        message->sku = arena_copy(arena, line.sku, strlen(line.sku));
        message->quantity = line.quantity;
        list[i] = message;
    }
    return list;
}

Sagamesh__Order__V1__Order *
order_message(const struct order *order, struct arena *arena)
{
    Sagamesh__Order__V1__Order *message = arena_take(arena, sizeof *message);

    sagamesh__order__v1__order__init(message);
    message->order_id = uuid_print(order->record.id, arena_take(arena, UUID_TEXT_BYTES + 1));
    message->customer_id = (char *)order->customer_id;
    message->currency = (char *)order->currency;
    message->lines = lines_message(order->lines, arena, &message->n_lines);
    message->status = (Sagamesh__Order__V1__OrderStatus)order->status;
    message->version = order->version;
    message->total_minor = order->total_minor;
    message->reason = (char *)order->failure_reason;
    message->detail = (char *)order->failure_detail;
    message->cancel_requested = order->cancel_wanted;
    message->placed_at_us = order->placed_at_us;
    message->changed_at_us = order->changed_at_us;
    message->flow = (char *)order->flow;
    message->payment_method = (char *)order->payment_method;
    message->payment_reference = (char *)order->payment_reference;
    message->provider = (char *)order->provider;
    message->payment_id = (char *)order->payment_id;
    message->payment_url = (char *)order->payment_url;
    message->payment_expires_at_us = order->payment_expires_at_us;
    return message;
}

Sagamesh__Order__V1__Order **
order_messages(const struct order *orders, size_t count, struct arena *arena, size_t *ret_count)
{
    Sagamesh__Order__V1__Order **messages = arena_take(arena, count * sizeof *messages);
    size_t bytes = 0, n = 0;

    while (n < count) {
        Sagamesh__Order__V1__Order *message = order_message(&orders[n], arena);

        bytes += protobuf_c_message_get_packed_size(&message->base);
        if (n > 0 && bytes > PAGE_BYTES_MAX)
            break;
        messages[n++] = message;
    }
    *ret_count = n;
    return messages;
}
