/* sell: what a PAID order reserved, and storage-svc has not sold, is sold: the Confirm of its saga was lost
 * by a restore of storage-svc's database to an earlier moment. */
#include "mesh/base/uuid.h"
#include "sagactl/audit_rules.h"
#include "sagactl/ctl_client.h"
#include "sagactl/ctl_order.h"

#include <stdio.h>
#include <string.h>

#define STORAGE (&sagamesh__storage__v1__storage_service__descriptor)
#define STORAGE_SAGA (&sagamesh__storage__v1__storage_saga_service__descriptor)

#define HOLD(name) SAGAMESH__STORAGE__V1__HOLD_STATE__HOLD_STATE_##name

/* What was sold of an order, and what can be sold. */
struct part {
    size_t count; /* of holds */
    int64_t total_minor, pieces;
};

/* The holds of an order, as its saga reserved them. */
struct goods {
    const char **hold_ids; /* those that can be sold */
    struct part sold, left;
    bool has_other_currency;
};

static void
part_add(struct part *part, const Sagamesh__Storage__V1__GetHoldResponse *hold)
{
    part->count++;
    part->total_minor += hold->total_minor;
    for (size_t i = 0; i < hold->n_lines; i++)
        part->pieces += hold->lines[i]->quantity;
}

/* False: storage-svc does not answer, which was said. */
static bool
goods_add(struct ctl_client *client, const Sagamesh__Order__V1__Order *order, const char *hold_id,
          struct goods *goods)
{
    Sagamesh__Storage__V1__GetHoldRequest request = SAGAMESH__STORAGE__V1__GET_HOLD_REQUEST__INIT;
    const Sagamesh__Storage__V1__GetHoldResponse *hold;
    struct rpc_result result;
    struct part *part = NULL;

    request.hold_id = (char *)(uintptr_t)hold_id;
    hold = (const Sagamesh__Storage__V1__GetHoldResponse *)ctl_client_try(
        client, STORAGE, "GetHold", &request.base, &result);
    if (hold == NULL && result.code != WIRE_NOT_FOUND) {
        ctl_client_say(client, "GetHold", &result);
        return false;
    }
    if (hold != NULL && hold->state == HOLD(CONFIRMED)) {
        part = &goods->sold;
    } else if (hold != NULL && (hold->state == HOLD(HELD) || hold->state == HOLD(EXPIRED))) {
        part = &goods->left;
        goods->hold_ids[part->count] = hold_id;
    }
    if (part != NULL) {
        part_add(part, hold);
        goods->has_other_currency |= strcmp(hold->currency, order->currency) != 0;
    }
    return true;
}

static bool
goods_find(struct ctl *ctl, struct ctl_client *client, const Sagamesh__Order__V1__Order *order,
           struct goods *goods, enum ctl_exit *ret_status)
{
    const Sagamesh__Saga__V1__GetResponse *got = ctl_order_saga(ctl, order->order_id, ret_status);

    if (got == NULL)
        return false;
    goods->hold_ids = arena_take(ctl->arena, got->n_steps * sizeof *goods->hold_ids);
    for (size_t i = 0; i < got->n_steps; i++) {
        if (audit_is_reserve(got->steps[i]) &&
            !goods_add(client, order, got->steps[i]->activation_id, goods)) {
            *ret_status = ctl_client_exit(client);
            return false;
        }
    }
    return true;
}

/* What is left is the rest of the order. A hold that cost nothing adds nothing to the total, so there the
 * pieces must fit too: it may be one that the saga reserved again. */
static bool
is_rest(const Sagamesh__Order__V1__Order *order, const struct goods *goods)
{
    int64_t pieces = 0;

    for (size_t i = 0; i < order->n_lines; i++)
        pieces += order->lines[i]->quantity;
    if (goods->left.count == 0 || goods->has_other_currency ||
        goods->sold.total_minor + goods->left.total_minor != order->total_minor)
        return false;
    return goods->left.total_minor > 0 || goods->sold.pieces + goods->left.pieces <= pieces;
}

/* A person decides where it is not plain which holds are the order's. */
static enum ctl_exit
may_sell(const struct ctl *ctl, const Sagamesh__Order__V1__Order *order, const struct goods *goods)
{
    if (is_rest(order, goods))
        return CTL_DONE;
    if (goods->sold.count > 0 && goods->sold.total_minor == order->total_minor &&
        !goods->has_other_currency)
        return ctl_fail(ctl, CTL_REFUSED, "ALREADY_SOLD",
                        "sagactl release frees what is left over.",
                        "what order %s reserved is sold", order->order_id);
    if (goods->sold.count + goods->left.count == 0)
        return ctl_fail(ctl, CTL_REFUSED, "NOT_FOUND",
                        "Take its lines out of the stock: Restock with a negative quantity.",
                        "storage-svc has no hold of order %s", order->order_id);
    return ctl_fail(ctl, CTL_REFUSED, "OTHER_TOTAL", NULL,
                    "of order %s %lld is sold and %lld can be sold%s, and its total is %lld %s",
                    order->order_id, (long long)goods->sold.total_minor,
                    (long long)goods->left.total_minor,
                    goods->has_other_currency ? ", in another currency" : "",
                    (long long)order->total_minor, order->currency);
}

/* Each hold is sold under an id of its own, which a repetition with the same --request-id has again.
 * What is no id stays as it is: storage-svc refuses it. */
static const char *
confirm_id(struct ctl *ctl, const char *request_id, const char *hold_id)
{
    const char *seed = arena_print(ctl->arena, "sell %s %s", request_id, hold_id);
    char text[UUID_TEXT_BYTES + 1];
    struct uuid id;

    if (!uuid_parse(request_id, strlen(request_id), &id))
        return request_id;
    id = uuid_v8(uuid_time_us(id), seed, strlen(seed));
    return arena_print(ctl->arena, "%s", uuid_print(id, text));
}

static enum ctl_exit
confirm(struct ctl *ctl, struct ctl_client *client, const char *order_id, const struct goods *goods)
{
    const char *request_id = ctl_request_id(ctl);
    struct json_writer writer = { 0 };

    for (size_t i = 0; i < goods->left.count; i++) {
        Sagamesh__Storage__V1__ConfirmRequest request =
            SAGAMESH__STORAGE__V1__CONFIRM_REQUEST__INIT;

        request.hold_id = (char *)(uintptr_t)goods->hold_ids[i];
        request.request_id = (char *)(uintptr_t)confirm_id(ctl, request_id, request.hold_id);
        if (ctl_client_ask(client, STORAGE_SAGA, "Confirm", &request.base) == NULL)
            return ctl_client_exit(client);
    }
    if (!ctl->is_json) {
        printf("what order %s reserved is sold: %zu holds\n", order_id, goods->left.count);
        return CTL_DONE;
    }
    json_open_object(&writer, NULL);
    json_put_text(&writer, "order_id", order_id);
    json_put_int(&writer, "holds", (int64_t)goods->left.count);
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
    if (goods_find(ctl, client, order, &goods, &status))
        status = may_sell(ctl, order, &goods);
    if (status == CTL_DONE)
        status = confirm(ctl, client, order_id, &goods);
    ctl_client_close(client);
    return status;
}
