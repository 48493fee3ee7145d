/* Payments that need a person: payments lists them, refund pays back what their providers took; also of one
 * that an order took and can no longer give back, since it is dead. */
#include "mesh/base/clock.h"
#include "sagactl/ctl_client.h"
#include "sagactl/ctl_order.h"
#include "sagactl/ctl_pages.h"
#include "sagactl/ctl_text.h"

#include <inttypes.h>
#include <sagamesh/payment/v1/payment_service.pb-c.h>
#include <stdio.h>
#include <string.h>

#define SERVICE (&sagamesh__payment__v1__payment_service__descriptor)
#define SAGA_SERVICE (&sagamesh__payment__v1__payment_saga_service__descriptor)

/* ---- payments ---- */

/* "TAKEN" of CLAIM_TAKEN; a number that this program does not know is "?". */
static const char *
enum_text(const ProtobufCEnumDescriptor *descriptor, int number, size_t prefix_bytes)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(descriptor, number);

    return value == NULL ? "?" : value->name + prefix_bytes;
}

static const char *
claim_text(Sagamesh__Payment__V1__Claim claim)
{
    return enum_text(&sagamesh__payment__v1__claim__descriptor, (int)claim, sizeof "CLAIM_" - 1);
}

static int64_t
refunded_minor(const Sagamesh__Payment__V1__Payment *payment)
{
    int64_t sum_minor = 0;

    for (size_t i = 0; i < payment->n_refunds; i++)
        sum_minor += payment->refunds[i]->amount_minor;
    return sum_minor;
}

static void
payment_print(const Sagamesh__Payment__V1__Payment *payment, int64_t now_us, struct arena *arena)
{
    const char *took = payment->booked_minor == 0
                           ? "-"
                           : arena_print(arena, "%" PRId64 " %s", payment->booked_minor,
                                         ctl_clean_text(payment->booked_currency, arena));

    printf("%-36s  %-17s %-9s %-12s %16s %16s %12" PRId64 " %8s  %s\n", payment->payment_id,
           ctl_clean_text(payment->trouble, arena), claim_text(payment->claim),
           ctl_clean_text(payment->provider, arena),
           arena_print(arena, "%" PRId64 " %s", payment->amount_minor,
                       ctl_clean_text(payment->currency, arena)),
           took, refunded_minor(payment), ctl_age_text(now_us - payment->changed_at_us, arena),
           payment->order_id);
}

static void
payment_json(struct json_writer *writer, const Sagamesh__Payment__V1__Payment *payment)
{
    json_open_object(writer, NULL);
    json_put_text(writer, "payment_id", payment->payment_id);
    json_put_text(writer, "order_id", payment->order_id);
    json_put_text(writer, "provider", payment->provider);
    json_put_text(writer, "why", payment->trouble);
    json_put_text(writer, "claim", claim_text(payment->claim));
    json_put_int(writer, "amount_minor", payment->amount_minor);
    json_put_text(writer, "currency", payment->currency);
    json_put_int(writer, "booked_minor", payment->booked_minor);
    json_put_text(writer, "booked_currency", payment->booked_currency);
    json_put_int(writer, "refunded_minor", refunded_minor(payment));
    json_put_int(writer, "refund_asked_at_us", payment->settle_asked_at_us);
    json_put_text(writer, "comment", payment->settle_comment);
    json_put_int(writer, "changed_at_us", payment->changed_at_us);
    json_close_object(writer);
}

static void
page_show(struct ctl_pages *pages, const Sagamesh__Payment__V1__ListTroubledResponse *page)
{
    const struct ctl *ctl = pages->ctl;
    int64_t now_us = clock_now_us();

    if (pages->shown == 0 && page->n_payments > 0 && !ctl->is_json)
        printf("%-36s  %-17s %-9s %-12s %16s %16s %12s %8s  %s\n", "payment", "why", "claim",
               "provider", "amount", "it took", "paid back", "age", "order");
    for (size_t i = 0; i < page->n_payments; i++) {
        if (ctl->is_json)
            payment_json(&pages->json, page->payments[i]);
        else
            payment_print(page->payments[i], now_us, ctl->arena);
    }
    pages->shown += (int64_t)page->n_payments;
}

static enum ctl_exit
list_from(struct ctl *ctl, struct ctl_client *client)
{
    struct ctl_pages pages;

    ctl_pages_open(&pages, ctl, "payments");
    while (ctl_pages_more(&pages)) {
        Sagamesh__Payment__V1__ListTroubledRequest request =
            SAGAMESH__PAYMENT__V1__LIST_TROUBLED_REQUEST__INIT;
        const Sagamesh__Payment__V1__ListTroubledResponse *page;

        request.page_size = ctl_pages_size(&pages);
        request.page_token = pages.token;
        page = (const Sagamesh__Payment__V1__ListTroubledResponse *)ctl_client_ask(
            client, SERVICE, "ListTroubled", &request.base);
        if (page == NULL)
            return ctl_pages_fail(&pages, ctl_client_exit(client));
        page_show(&pages, page);
        ctl_pages_next(&pages, page->next_page_token);
    }
    return ctl_pages_end(&pages, "no payment needs a person");
}

enum ctl_exit
ctl_payments(struct ctl *ctl)
{
    struct ctl_client *client = ctl_client_open(ctl, "account", ctl->account);
    enum ctl_exit status;

    if (client == NULL)
        return CTL_USAGE;
    status = list_from(ctl, client);
    ctl_client_close(client);
    return status;
}

/* ---- refund ---- */

static void
refund_say(const struct ctl *ctl, const char *payment_id, Sagamesh__Payment__V1__Claim claim)
{
    struct json_writer writer = { 0 };

    if (!ctl->is_json) {
        printf(
            "%s: what its provider took goes back, once; sagactl payments lists it until that is "
            "done\n",
            payment_id);
        return;
    }
    json_open_object(&writer, NULL);
    json_put_text(&writer, "payment_id", payment_id);
    json_put_text(&writer, "claim", claim_text(claim));
    json_close_object(&writer);
    ctl_print_json(&writer);
}

/* Is it for an order that is dead, or was paid by another payment? Then the order will not give it back. */
static bool
find_dead(struct ctl *ctl, struct ctl_client *client, const char *payment_id, bool *ret_is_dead,
          enum ctl_exit *ret_status)
{
    Sagamesh__Payment__V1__GetRequest request = SAGAMESH__PAYMENT__V1__GET_REQUEST__INIT;
    const Sagamesh__Payment__V1__GetResponse *got;
    const Sagamesh__Payment__V1__Payment *payment;
    const Sagamesh__Order__V1__Order *order;

    request.payment_id = (char *)(uintptr_t)payment_id;
    got = (const Sagamesh__Payment__V1__GetResponse *)ctl_client_ask(client, SERVICE, "Get",
                                                                     &request.base);
    *ret_status = ctl_client_exit(client);
    *ret_is_dead = false;
    if (got == NULL || got->payment == NULL)
        return false;
    payment = got->payment;
    if (payment->claim == SAGAMESH__PAYMENT__V1__CLAIM__CLAIM_ABANDONED ||
        (payment->claim != SAGAMESH__PAYMENT__V1__CLAIM__CLAIM_TAKEN && payment->needs_person))
        return true;
    if (!ctl_order_find(ctl, payment->order_id, &order, ret_status))
        return false;
    *ret_is_dead = order == NULL ||
                   order->status == SAGAMESH__ORDER__V1__ORDER_STATUS__ORDER_STATUS_FAILED ||
                   (order->status == SAGAMESH__ORDER__V1__ORDER_STATUS__ORDER_STATUS_PAID &&
                    strcmp(order->payment_reference, payment_id) != 0);
    return true;
}

/* Settle is for what the program cannot see to by itself; Refund is what the order would have asked for. */
static bool
give_back(struct ctl *ctl, struct ctl_client *client, const char *payment_id, const char *id,
          bool is_dead, Sagamesh__Payment__V1__Claim *ret_claim)
{
    Sagamesh__Payment__V1__SettleRequest settle = SAGAMESH__PAYMENT__V1__SETTLE_REQUEST__INIT;
    Sagamesh__Payment__V1__RefundRequest refund = SAGAMESH__PAYMENT__V1__REFUND_REQUEST__INIT;
    const ProtobufCMessage *answer;

    if (is_dead) {
        refund.request_id = (char *)(uintptr_t)id;
        refund.payment_id = (char *)(uintptr_t)payment_id;
        answer = ctl_client_ask(client, SAGA_SERVICE, "Refund", &refund.base);
        if (answer != NULL)
            *ret_claim = ((const Sagamesh__Payment__V1__RefundResponse *)answer)->claim;
        return answer != NULL;
    }
    settle.request_id = (char *)(uintptr_t)id;
    settle.payment_id = (char *)(uintptr_t)payment_id;
    settle.comment = (char *)(uintptr_t)ctl->comment;
    answer = ctl_client_ask(client, SAGA_SERVICE, "Settle", &settle.base);
    if (answer != NULL)
        *ret_claim = ((const Sagamesh__Payment__V1__SettleResponse *)answer)->claim;
    return answer != NULL;
}

enum ctl_exit
ctl_refund(struct ctl *ctl)
{
    const char *payment_id = ctl_id_argument(ctl), *id = ctl_request_id(ctl);
    struct ctl_client *client =
        payment_id == NULL ? NULL : ctl_client_open(ctl, "account", ctl->account);
    Sagamesh__Payment__V1__Claim claim = 0;
    enum ctl_exit status = CTL_USAGE;
    bool is_dead;

    if (client == NULL)
        return CTL_USAGE;
    if (find_dead(ctl, client, payment_id, &is_dead, &status)) {
        status = CTL_DONE;
        if (give_back(ctl, client, payment_id, id, is_dead, &claim)) {
            refund_say(ctl, payment_id, claim);
        } else {
            status = ctl_client_exit(client);
            ctl_client_say_again(client, payment_id, id);
        }
    }
    ctl_client_close(client);
    return status;
}
