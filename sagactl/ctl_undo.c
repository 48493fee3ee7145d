/* What is left of an order that is dead is given back by hand: a hold (release), a charge (refund-charge).
 * What an order has, or a saga may still want, is not. */
#include "sagactl/audit_rules.h"
#include "sagactl/ctl_client.h"
#include "sagactl/ctl_order.h"

#include <stdio.h>
#include <string.h>

#define STORAGE (&sagamesh__storage__v1__storage_service__descriptor)
#define STORAGE_SAGA (&sagamesh__storage__v1__storage_saga_service__descriptor)
#define LEDGER (&sagamesh__ledger__v1__ledger_service__descriptor)
#define LEDGER_SAGA (&sagamesh__ledger__v1__ledger_saga_service__descriptor)

static enum ctl_exit
refuse(const struct ctl *ctl, const char *code, const char *order_id, const char *why)
{
    return ctl_fail(ctl, CTL_REFUSED, code,
                    arena_print(ctl->arena, "sagactl show %s says how it stands.", order_id),
                    "order %s %s", order_id, why);
}

/* CTL_DONE: its order is dead, or is not there, and nothing else has it. */
static enum ctl_exit
may_undo(struct ctl *ctl, const char *order_id, bool is_the_orders_own)
{
    const Sagamesh__Order__V1__Order *order;
    enum ctl_exit status = CTL_DONE;

    if (!ctl_order_find(ctl, order_id, &order, &status))
        return status;
    if (order != NULL && !audit_is_final(order))
        return refuse(ctl, "ORDER_OPEN", order_id, "has not ended: its saga has this");
    if (order != NULL && is_the_orders_own &&
        order->status == SAGAMESH__ORDER__V1__ORDER_STATUS__ORDER_STATUS_PAID)
        return refuse(ctl, "ORDER_PAID", order_id, "is PAID, and this is its own");
    return CTL_DONE;
}

static void
say(const struct ctl *ctl, const char *id, const char *key, const char *what)
{
    struct json_writer writer = { 0 };

    if (!ctl->is_json) {
        printf("%s: %s\n", id, what);
        return;
    }
    json_open_object(&writer, NULL);
    json_put_text(&writer, key, id);
    json_put_text(&writer, "what", what);
    json_close_object(&writer);
    ctl_print_json(&writer);
}

/* ---- release ---- */

static enum ctl_exit
release(struct ctl *ctl, struct ctl_client *client, const char *hold_id)
{
    Sagamesh__Storage__V1__GetHoldRequest get = SAGAMESH__STORAGE__V1__GET_HOLD_REQUEST__INIT;
    Sagamesh__Storage__V1__ReleaseRequest request = SAGAMESH__STORAGE__V1__RELEASE_REQUEST__INIT;
    const Sagamesh__Storage__V1__GetHoldResponse *hold;
    enum ctl_exit status;

    get.hold_id = (char *)(uintptr_t)hold_id;
    hold = (const Sagamesh__Storage__V1__GetHoldResponse *)ctl_client_ask(client, STORAGE,
                                                                          "GetHold", &get.base);
    if (hold == NULL)
        return ctl_client_exit(client);
    status = may_undo(ctl, hold->reference,
                      hold->state == SAGAMESH__STORAGE__V1__HOLD_STATE__HOLD_STATE_CONFIRMED);
    if (status != CTL_DONE)
        return status;
    request.request_id = (char *)(uintptr_t)ctl_request_id(ctl);
    request.hold_id = (char *)(uintptr_t)hold_id;
    if (ctl_client_ask(client, STORAGE_SAGA, "Release", &request.base) == NULL) {
        ctl_client_say_again(client, hold_id, request.request_id);
        return ctl_client_exit(client);
    }
    say(ctl, hold_id, "hold_id", "what it held or had sold is free again");
    return CTL_DONE;
}

enum ctl_exit
ctl_release(struct ctl *ctl)
{
    const char *hold_id = ctl_id_argument(ctl);
    struct ctl_client *client =
        hold_id == NULL ? NULL : ctl_client_open(ctl, "storage", ctl->storage);
    enum ctl_exit status = client == NULL ? CTL_USAGE : release(ctl, client, hold_id);

    ctl_client_close(client);
    return status;
}

/* ---- refund-charge ---- */

/* Of a PAID order its own is the one that it names. */
static enum ctl_exit
may_refund(struct ctl *ctl, const Sagamesh__Ledger__V1__Transfer *charge)
{
    const Sagamesh__Order__V1__Order *order;
    enum ctl_exit status = CTL_DONE;

    if (strcmp(charge->kind, "charge") != 0)
        return ctl_fail(ctl, CTL_REFUSED, "NOT_A_CHARGE", NULL, "%s is a %s, and no charge",
                        charge->transfer_id, charge->kind);
    if (!ctl_order_find(ctl, charge->reference, &order, &status))
        return status;
    return may_undo(ctl, charge->reference,
                    order != NULL && strcmp(order->payment_reference, charge->transfer_id) == 0);
}

static enum ctl_exit
refund_charge(struct ctl *ctl, struct ctl_client *client, const char *charge_id)
{
    Sagamesh__Ledger__V1__GetTransferRequest get = SAGAMESH__LEDGER__V1__GET_TRANSFER_REQUEST__INIT;
    Sagamesh__Ledger__V1__RefundRequest request = SAGAMESH__LEDGER__V1__REFUND_REQUEST__INIT;
    const Sagamesh__Ledger__V1__GetTransferResponse *got;
    enum ctl_exit status;

    get.transfer_id = (char *)(uintptr_t)charge_id;
    got = (const Sagamesh__Ledger__V1__GetTransferResponse *)ctl_client_ask(
        client, LEDGER, "GetTransfer", &get.base);
    if (got == NULL || got->transfer == NULL)
        return got == NULL ? ctl_client_exit(client) : CTL_REFUSED;
    status = may_refund(ctl, got->transfer);
    if (status != CTL_DONE)
        return status;
    request.request_id = (char *)(uintptr_t)ctl_request_id(ctl);
    request.charge_id = (char *)(uintptr_t)charge_id;
    if (ctl_client_ask(client, LEDGER_SAGA, "Refund", &request.base) == NULL) {
        ctl_client_say_again(client, charge_id, request.request_id);
        return ctl_client_exit(client);
    }
    say(ctl, charge_id, "charge_id", "it has gone back to the wallet, once");
    return CTL_DONE;
}

enum ctl_exit
ctl_refund_charge(struct ctl *ctl)
{
    const char *charge_id = ctl_id_argument(ctl);
    struct ctl_client *client =
        charge_id == NULL ? NULL : ctl_client_open(ctl, "account", ctl->account);
    enum ctl_exit status = client == NULL ? CTL_USAGE : refund_charge(ctl, client, charge_id);

    ctl_client_close(client);
    return status;
}
