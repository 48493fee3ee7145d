#include "sagactl/audit_rules.h"

#include <stdio.h>
#include <string.h>

#define STATUS(name) SAGAMESH__ORDER__V1__ORDER_STATUS__ORDER_STATUS_##name
#define PHASE(name) SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_##name
#define HOLD(name) SAGAMESH__STORAGE__V1__HOLD_STATE__HOLD_STATE_##name
#define CLAIM(name) SAGAMESH__PAYMENT__V1__CLAIM__CLAIM_##name
#define OBSERVED(name) SAGAMESH__PAYMENT__V1__OBSERVED__OBSERVED_##name

#define BY_HAND "no word repairs it: docs/OPERATING.md, \"What an audit finds\""

bool
audit_is_reserve(const Sagamesh__Saga__V1__Step *step)
{
    return strcmp(step->call, "sagamesh.storage.v1.StorageSagaService/Reserve") == 0 &&
           strcmp(step->status, "SU") == 0;
}

enum audit_end
audit_end_of(const Sagamesh__Saga__V1__Saga *saga)
{
    if (strcmp(saga->status, "SU") == 0)
        return AUDIT_END_PAID;
    if (strcmp(saga->status, "FA") == 0 || strcmp(saga->compensation_status, "SU") == 0)
        return AUDIT_END_FAILED;
    return AUDIT_END_UNSAID;
}

bool
audit_is_final(const Sagamesh__Order__V1__Order *order)
{
    return order->status == STATUS(PAID) || order->status == STATUS(FAILED);
}

static bool
is_paid(const Sagamesh__Order__V1__Order *order)
{
    return order != NULL && order->status == STATUS(PAID);
}

static bool
is_failed(const Sagamesh__Order__V1__Order *order)
{
    return order != NULL && order->status == STATUS(FAILED);
}

static bool
is_open(const Sagamesh__Order__V1__Order *order)
{
    return order != NULL && !audit_is_final(order);
}

/* ---- orders; sagas that are stuck are told of by themselves ---- */

/* It has had its time: since it was placed, or since its customer could last pay. */
static bool
is_late(const struct audit_order *facts)
{
    int64_t since_us = facts->order->placed_at_us;

    if (facts->order->payment_expires_at_us > since_us)
        since_us = facts->order->payment_expires_at_us;
    return is_open(facts->order) && facts->now_us - since_us > facts->patience_us;
}

static bool
is_in_phase(const struct audit_order *facts, Sagamesh__Saga__V1__SagaPhase phase)
{
    return facts->saga != NULL && facts->saga->phase == phase;
}

static bool
order_has_no_saga(const void *context)
{
    const struct audit_order *facts = context;

    return is_late(facts) && facts->saga == NULL;
}

static bool
order_is_left_open(const void *context)
{
    const struct audit_order *facts = context;

    return is_open(facts->order) && is_in_phase(facts, PHASE(ENDED));
}

static bool
order_is_late(const void *context)
{
    const struct audit_order *facts = context;

    return is_late(facts) && facts->saga != NULL && !is_in_phase(facts, PHASE(STUCK)) &&
           !is_in_phase(facts, PHASE(ENDED));
}

static bool
charge_pays(const Sagamesh__Ledger__V1__Transfer *charge, const Sagamesh__Order__V1__Order *order)
{
    static const char wallet[] = "wallet/";

    return charge != NULL && strcmp(charge->kind, "charge") == 0 &&
           charge->reversed_by_id[0] == '\0' && charge->amount_minor == order->total_minor &&
           strcmp(charge->currency, order->currency) == 0 &&
           strcmp(charge->reference, order->order_id) == 0 &&
           strncmp(charge->debit_account, wallet, sizeof wallet - 1) == 0 &&
           strcmp(charge->debit_account + sizeof wallet - 1, order->customer_id) == 0;
}

static bool
payment_pays(const Sagamesh__Payment__V1__Payment *payment, const Sagamesh__Order__V1__Order *order)
{
    return payment != NULL && payment->observed == OBSERVED(SUCCEEDED) &&
           payment->claim == CLAIM(TAKEN) && payment->n_refunds == 0 &&
           payment->amount_minor == order->total_minor &&
           strcmp(payment->currency, order->currency) == 0 &&
           strcmp(payment->order_id, order->order_id) == 0;
}

/* A free order needs no money. */
static bool
order_is_unpaid(const void *context)
{
    const struct audit_order *facts = context;
    const Sagamesh__Order__V1__Order *order = facts->order;

    if (!is_paid(order) || order->total_minor == 0)
        return false;
    return strcmp(order->payment_method, "external") == 0 ? !payment_pays(facts->payment, order)
                                                          : !charge_pays(facts->charge, order);
}

/* Of a flow that reserves nothing there is nothing to sell; until a saga has ended it may still sell. */
static bool
order_is_unsold(const void *context)
{
    const struct audit_order *facts = context;

    return is_paid(facts->order) && is_in_phase(facts, PHASE(ENDED)) && facts->reserve_count > 0 &&
           facts->sold_count == 0;
}

static bool
order_is_sold_otherwise(const void *context)
{
    const struct audit_order *facts = context;

    return is_paid(facts->order) && is_in_phase(facts, PHASE(ENDED)) && facts->sold_count > 0 &&
           facts->sold_minor != facts->order->total_minor;
}

static bool
order_saga_goes_on(const void *context)
{
    const struct audit_order *facts = context;

    return audit_is_final(facts->order) && facts->saga != NULL &&
           !is_in_phase(facts, PHASE(ENDED)) && !is_in_phase(facts, PHASE(STUCK)) &&
           facts->now_us - facts->order->changed_at_us > facts->patience_us;
}

static bool
order_saga_disagrees(const void *context)
{
    const struct audit_order *facts = context;

    if (!audit_is_final(facts->order) || !is_in_phase(facts, PHASE(ENDED)))
        return false;
    return audit_end_of(facts->saga) == (is_paid(facts->order) ? AUDIT_END_FAILED : AUDIT_END_PAID);
}

static bool
order_is_not_undone(const void *context)
{
    const struct audit_order *facts = context;

    return is_in_phase(facts, PHASE(ENDED)) && facts->saga->compensation_status[0] != '\0' &&
           strcmp(facts->saga->compensation_status, "SU") != 0;
}

/* clang-format off */
const struct audit_rule audit_order_rules[] = {
    { "ORDER_WITHOUT_SAGA",   "has not ended, and has no saga",                                "sagactl ask ID",   order_has_no_saga },
    { "ORDER_LEFT_OPEN",      "has not ended, and its saga has",                               "sagactl end ID",            order_is_left_open },
    { "ORDER_LATE",           "has not ended in its time, and its saga goes on",               "sagactl show ID",  order_is_late },
    { "ORDER_UNPAID",         "is PAID, and the payment it names is not there or another",     BY_HAND,            order_is_unpaid },
    { "ORDER_UNSOLD",         "is PAID, and what it reserved is not sold",                     "sagactl sell ID",            order_is_unsold },
    { "SOLD_AT_ANOTHER_TOTAL", "is PAID, and what it reserved is sold at another total",       BY_HAND,            order_is_sold_otherwise },
    { "SAGA_GOES_ON",         "has ended, and its saga has not",                               "sagactl show ID",  order_saga_goes_on },
    { "SAGA_DISAGREES",       "ended in another way than its saga",                            BY_HAND,            order_saga_disagrees },
    { "SAGA_NOT_UNDONE",      "has a saga that ended without undoing all that it did",         "sagactl show ID",  order_is_not_undone },
    { 0 },
};
/* clang-format on */

/* ---- holds ---- */

static bool
hold_is_overdue(const void *context)
{
    const struct audit_hold *facts = context;

    return facts->hold->state == HOLD(HELD) &&
           facts->now_us - facts->hold->until_us > facts->patience_us;
}

static bool
hold_has_no_order(const void *context)
{
    const struct audit_hold *facts = context;

    return facts->is_for_order && facts->order == NULL;
}

static bool
hold_is_of_failed(const void *context)
{
    return is_failed(((const struct audit_hold *)context)->order);
}

static bool
hold_is_left_over(const void *context)
{
    const struct audit_hold *facts = context;

    return facts->hold->state == HOLD(HELD) && is_paid(facts->order);
}

/* clang-format off */
const struct audit_rule audit_hold_rules[] = {
    { "HOLD_OVERDUE",         "is held for longer than it should be",                  "storage-svc ends it by itself: its log says why it does not", hold_is_overdue },
    { "HOLD_WITHOUT_ORDER",   "is for an order that is not there",                     "sagactl release ID", hold_has_no_order },
    { "HOLD_OF_FAILED_ORDER", "is for an order that has FAILED",                       "sagactl release ID", hold_is_of_failed },
    { "HOLD_LEFT_OVER",       "is still held, and its order is PAID",                  "sagactl sell ORDER", hold_is_left_over },
    { 0 },
};
/* clang-format on */

/* ---- charges ---- */

static bool
charge_has_no_order(const void *context)
{
    const struct audit_charge *facts = context;

    return facts->is_for_order && facts->order == NULL;
}

static bool
charge_is_of_failed(const void *context)
{
    return is_failed(((const struct audit_charge *)context)->order);
}

static bool
charge_is_one_too_many(const void *context)
{
    const struct audit_charge *facts = context;

    return is_paid(facts->order) &&
           strcmp(facts->order->payment_reference, facts->charge->transfer_id) != 0;
}

/* clang-format off */
const struct audit_rule audit_charge_rules[] = {
    { "CHARGE_WITHOUT_ORDER",   "is for an order that is not there",                   "sagactl refund-charge ID", charge_has_no_order },
    { "CHARGE_OF_FAILED_ORDER", "is for an order that has FAILED",                     "sagactl refund-charge ID", charge_is_of_failed },
    { "CHARGED_TWICE",          "is for an order that was PAID by another payment",    "sagactl refund-charge ID", charge_is_one_too_many },
    { 0 },
};
/* clang-format on */

/* ---- payments ---- */

static bool
is_old(const struct audit_payment *facts)
{
    return facts->now_us - facts->payment->changed_at_us > facts->patience_us;
}

static bool
payment_needs_person(const void *context)
{
    return ((const struct audit_payment *)context)->payment->needs_person;
}

static bool
payment_has_no_order(const void *context)
{
    const struct audit_payment *facts = context;

    return facts->order == NULL &&
           (facts->payment->claim == CLAIM(OPEN) || facts->payment->claim == CLAIM(TAKEN));
}

static bool
payment_waits_for_order(const void *context)
{
    const struct audit_payment *facts = context;

    return facts->payment->claim == CLAIM(TAKEN) && is_open(facts->order) && is_old(facts);
}

static bool
payment_is_untold(const void *context)
{
    const struct audit_payment *facts = context;

    return facts->payment->signaled_version < facts->payment->version && is_old(facts) &&
           !payment_waits_for_order(facts);
}

/* One that is quarantined waits for a person, and is told of as that. */
static bool
payment_is_of_failed(const void *context)
{
    const struct audit_payment *facts = context;

    return is_failed(facts->order) &&
           (facts->payment->claim == CLAIM(TAKEN) ||
            (facts->payment->claim == CLAIM(OPEN) && !facts->payment->quarantined));
}

static bool
payment_is_one_too_many(const void *context)
{
    const struct audit_payment *facts = context;

    return is_paid(facts->order) && facts->payment->claim == CLAIM(TAKEN) &&
           strcmp(facts->order->payment_id, facts->payment->payment_id) != 0 &&
           strcmp(facts->order->payment_reference, facts->payment->payment_id) != 0;
}

static bool
payment_is_not_paid_back(const void *context)
{
    const struct audit_payment *facts = context;

    return facts->payment->refund_due && !facts->payment->needs_person && is_old(facts);
}

/* clang-format off */
const struct audit_rule audit_payment_rules[] = {
    { "PAYMENT_NEEDS_PERSON",    "has a trouble that only a person can end", "sagactl refund ID", payment_needs_person },
    { "PAYMENT_WITHOUT_ORDER",   "is for an order that is not there",                              "sagactl refund ID", payment_has_no_order },
    { "PAYMENT_TAKEN",           "is taken, and its order waits all the same",                     "sagactl tell ID",   payment_waits_for_order },
    { "PAYMENT_UNTOLD",          "has news that its order's saga has not acknowledged",            "sagactl tell ID",   payment_is_untold },
    { "PAYMENT_OF_FAILED_ORDER", "is open or taken, and its order has FAILED",                     "sagactl refund ID", payment_is_of_failed },
    { "PAID_TWICE",              "is taken, and its order was PAID by another payment",            "sagactl refund ID", payment_is_one_too_many },
    { "PAYMENT_NOT_PAID_BACK",   "must go back, and has not",                                      "account-svc asks again by itself: its log says why it fails", payment_is_not_paid_back },
    { 0 },
};
/* clang-format on */
