/* sell: what a PAID order reserved, and storage-svc has not sold, is sold: the Confirm of its saga was lost
 * by a restore of storage-svc's database to an earlier moment. */
#include "saga/ctl/audit_rules.h"
#include "saga/ctl/ctl_client.h"
#include "saga/ctl/ctl_order.h"

#include <stdio.h>
#include <string.h>

#define STORAGE (&sagamesh__storage__v1__storage_service__descriptor)

#define HOLD(name) SAGAMESH__STORAGE__V1__HOLD_STATE__HOLD_STATE_##name

/* The holds of an order, as its saga reserved them. */
struct goods {
    const char **hold_ids; /* those that can be sold */
    size_t count, sold_count;
    int64_t total_minor; /* of those that can be sold */
};

/* False: storage-svc does not answer, which was said. */
static bool
goods_add(struct ctl_client *client, const char *hold_id, struct goods *goods)
{
    Sagamesh__Storage__V1__GetHoldRequest request = SAGAMESH__STORAGE__V1__GET_HOLD_REQUEST__INIT;
    const Sagamesh__Storage__V1__GetHoldResponse *hold;
    struct rpc_result result;

    request.hold_id = (char *)(uintptr_t)hold_id;
    hold = (const Sagamesh__Storage__V1__GetHoldResponse *)ctl_client_try(
        client, STORAGE, "GetHold", &request.base, &result);
    if (hold == NULL && result.code != WIRE_NOT_FOUND) {
        ctl_client_say(client, "GetHold", &result);
        return false;
    }
    if (hold != NULL && hold->state == HOLD(CONFIRMED))
        goods->sold_count++;
    if (hold != NULL && (hold->state == HOLD(HELD) || hold->state == HOLD(EXPIRED))) {
        goods->hold_ids[goods->count++] = hold_id;
        goods->total_minor += hold->total_minor;
    }
    return true;
}

static bool
goods_find(struct ctl *ctl, struct ctl_client *client, const char *order_id, struct goods *goods,
           enum ctl_exit *ret_status)
{
    const Sagamesh__Saga__V1__GetResponse *got = ctl_order_saga(ctl, order_id, ret_status);

    if (got == NULL)
        return false;
    goods->hold_ids = arena_take(ctl->arena, got->n_steps * sizeof *goods->hold_ids);
    for (size_t i = 0; i < got->n_steps; i++) {
        if (audit_is_reserve(got->steps[i]) &&
            !goods_add(client, got->steps[i]->activation_id, goods)) {
            *ret_status = ctl_client_exit(client);
            return false;
        }
    }
    return true;
}

/* A person decides where it is not plain which holds are the order's. */
static enum ctl_exit
may_sell(const struct ctl *ctl, const Sagamesh__Order__V1__Order *order, const struct goods *goods)
{
    if (goods->sold_count > 0)
        return ctl_fail(ctl, CTL_REFUSED, "ALREADY_SOLD",
                        "sagactl release frees what is left over.",
                        "what order %s reserved is sold", order->order_id);
    if (goods->count == 0)
        return ctl_fail(ctl, CTL_REFUSED, "NOT_FOUND",
                        "Take its lines out of the stock: Restock with a negative quantity.",
                        "storage-svc has no hold of order %s", order->order_id);
    if (goods->total_minor != order->total_minor)
        return ctl_fail(ctl, CTL_REFUSED, "OTHER_TOTAL", NULL,
                        "the holds of order %s come to %lld, and its total is %lld",
                        order->order_id, (long long)goods->total_minor,
                        (long long)order->total_minor);
    return CTL_DONE;
}

static enum ctl_exit
confirm(struct ctl *ctl, struct ctl_client *client, const char *order_id, const struct goods *goods)
{
    struct json_writer writer = { 0 };

    for (size_t i = 0; i < goods->count; i++) {
        Sagamesh__Storage__V1__ConfirmRequest request =
            SAGAMESH__STORAGE__V1__CONFIRM_REQUEST__INIT;

        request.request_id = (char *)(uintptr_t)ctl_request_id(ctl);
        request.hold_id = (char *)(uintptr_t)goods->hold_ids[i];
        if (ctl_client_ask(client, STORAGE, "Confirm", &request.base) == NULL)
            return ctl_client_exit(client);
    }
    if (!ctl->is_json) {
        printf("what order %s reserved is sold: %zu holds\n", order_id, goods->count);
        return CTL_DONE;
    }
    json_open_object(&writer, NULL);
    json_put_text(&writer, "order_id", order_id);
    json_put_int(&writer, "holds", (int64_t)goods->count);
    json_close_object(&writer);
    ctl_print_json(&writer);
    return CTL_DONE;
}

enum ctl_exit
ctl_sell(struct ctl *ctl)
{
    const char *order_id = ctl_id_argument(ctl);
    const Sagamesh__Order__V1__Order *order;
    struct goods goods = { 0 };
    struct ctl_client *client;
    enum ctl_exit status = CTL_USAGE;

    if (order_id == NULL)
        return CTL_USAGE;
    if (!ctl_order_find(ctl, order_id, &order, &status))
        return status;
    if (order == NULL || order->status != SAGAMESH__ORDER__V1__ORDER_STATUS__ORDER_STATUS_PAID)
        return ctl_fail(ctl, CTL_REFUSED, "NOT_PAID", NULL, "order %s is not PAID", order_id);
    client = ctl_client_open(ctl, "storage", ctl->storage);
    if (client == NULL)
        return CTL_USAGE;
    if (goods_find(ctl, client, order_id, &goods, &status))
        status = may_sell(ctl, order, &goods);
    if (status == CTL_DONE)
        status = confirm(ctl, client, order_id, &goods);
    ctl_client_close(client);
    return status;
}
