/* orders: those that have not ended, of all customers, newest first. */
#include "mesh/base/clock.h"
#include "sagactl/ctl_client.h"
#include "sagactl/ctl_pages.h"
#include "sagactl/ctl_text.h"

#include <inttypes.h>
#include <sagamesh/order/v1/order_service.pb-c.h>
#include <stdio.h>
#include <string.h>

#define SERVICE (&sagamesh__order__v1__order_service__descriptor)

static const char *
status_text(const Sagamesh__Order__V1__Order *order)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(
        &sagamesh__order__v1__order_status__descriptor, (int)order->status);

    return value == NULL ? "?" : value->name + strlen("ORDER_STATUS_");
}

static void
order_print(const Sagamesh__Order__V1__Order *order, int64_t now_us, struct arena *arena)
{
    printf("%-36s  %-15s %8s  %-10s %16s  %s%s\n", order->order_id, status_text(order),
           ctl_age_text(now_us - order->placed_at_us, arena),
           ctl_clean_text(order->payment_method, arena),
           arena_print(arena, "%" PRId64 " %s", order->total_minor,
                       ctl_clean_text(order->currency, arena)),
           ctl_clean_text(order->customer_id, arena),
           order->cancel_requested ? ", cancel requested" : "");
}

static void
order_json(struct json_writer *writer, const Sagamesh__Order__V1__Order *order)
{
    json_open_object(writer, NULL);
    json_put_text(writer, "order_id", order->order_id);
    json_put_text(writer, "customer_id", order->customer_id);
    json_put_text(writer, "status", status_text(order));
    json_put_text(writer, "payment_method", order->payment_method);
    json_put_text(writer, "payment_id", order->payment_id);
    json_put_int(writer, "total_minor", order->total_minor);
    json_put_text(writer, "currency", order->currency);
    json_put_bool(writer, "cancel_requested", order->cancel_requested);
    json_put_int(writer, "placed_at_us", order->placed_at_us);
    json_put_int(writer, "changed_at_us", order->changed_at_us);
    json_put_int(writer, "payment_expires_at_us", order->payment_expires_at_us);
    json_close_object(writer);
}

static void
page_show(struct ctl_pages *pages, const Sagamesh__Order__V1__ListOpenResponse *page)
{
    const struct ctl *ctl = pages->ctl;
    int64_t now_us = clock_now_us();

    for (size_t i = 0; i < page->n_orders; i++) {
        if (pages->shown++ == 0 && !ctl->is_json)
            printf("%-36s  %-15s %8s  %-10s %16s  %s\n", "order", "status", "age", "paid from",
                   "total", "customer");
        if (ctl->is_json)
            order_json(&pages->json, page->orders[i]);
        else
            order_print(page->orders[i], now_us, ctl->arena);
    }
}

static enum ctl_exit
list(struct ctl *ctl, struct ctl_client *client)
{
    struct ctl_pages pages;

    ctl_pages_open(&pages, ctl, "orders");
    while (ctl_pages_more(&pages)) {
        Sagamesh__Order__V1__ListOpenRequest request = SAGAMESH__ORDER__V1__LIST_OPEN_REQUEST__INIT;
        const Sagamesh__Order__V1__ListOpenResponse *page;

        request.page_size = ctl_pages_size(&pages);
        request.page_token = pages.token;
        page = (const Sagamesh__Order__V1__ListOpenResponse *)ctl_client_ask(
            client, SERVICE, "ListOpen", &request.base);
        if (page == NULL)
            return ctl_pages_fail(&pages, ctl_client_exit(client));
        page_show(&pages, page);
        ctl_pages_next(&pages, page->next_page_token);
    }
    return ctl_pages_end(&pages, "all orders have ended");
}

enum ctl_exit
ctl_orders(struct ctl *ctl)
{
    struct ctl_client *client = ctl_client_open(ctl, "order", ctl->order);
    enum ctl_exit status = client == NULL ? CTL_USAGE : list(ctl, client);

    ctl_client_close(client);
    return status;
}
