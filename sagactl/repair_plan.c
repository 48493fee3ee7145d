/* repair_plan.c -- The choices of sagactl alerts repair, as functions of what is known. */
#include "sagactl/repair_plan.h"

#include <stddef.h>

/* Both rules want order and payment to agree: the provider is asked what is true, and the saga brings the order there. */
static unsigned
plan_drive(const struct repair_facts *facts)
{
    unsigned steps = 0;
    bool is_over = facts->order == ORDER_IS_PAID || facts->order == ORDER_IS_FAILED;

    if (facts->has_payment && !facts->is_charge)
        steps |= REPAIR_ASK_PROVIDER;
    if (facts->order == ORDER_IS_MISSING || (is_over && facts->rule == REPAIR_A))
        return steps;
    if (facts->saga == SAGA_IS_MISSING && !is_over)
        steps |= REPAIR_ASK_SAGA;
    if (facts->saga == SAGA_IS_STUCK)
        steps |= REPAIR_RETRY_SAGA;
    if (facts->has_payment && !facts->is_charge && facts->saga != SAGA_HAS_ENDED)
        steps |= REPAIR_TELL_SAGA;
    return steps;
}

/* An order that is open or stuck gives back by its saga; what no order can give back any more is asked for here. */
static unsigned
plan_refund(const struct repair_facts *facts)
{
    unsigned steps = 0;

    if (!facts->has_payment)
        return 0;
    if (!facts->is_charge)
        steps |= REPAIR_ASK_PROVIDER;
    if (facts->is_back || facts->is_orders_own)
        return steps;
    if (facts->order == ORDER_IS_OPEN) {
        if (facts->saga == SAGA_IS_MISSING)
            steps |= REPAIR_ASK_SAGA;
        if (facts->saga == SAGA_IS_STUCK)
            steps |= REPAIR_RETRY_SAGA;
        return steps | (facts->is_charge ? 0 : REPAIR_TELL_SAGA);
    }
    if (facts->saga == SAGA_IS_STUCK)
        steps |= REPAIR_RETRY_SAGA;
    return steps | (facts->is_charge ? REPAIR_REFUND_CHARGE : REPAIR_REFUND);
}

unsigned
repair_plan(const struct repair_facts *facts)
{
    switch (facts->rule) {
    case REPAIR_A:
    case REPAIR_B:
        return plan_drive(facts);
    case REPAIR_C:
        return plan_refund(facts);
    case REPAIR_SILENT:
    case REPAIR_RULES:
        break;
    }
    return 0;
}

static const char *
open_of_saga(const struct repair_facts *facts)
{
    switch (facts->saga) {
    case SAGA_IS_MISSING:
        return "its saga is not there yet: order-svc goes on asking for it, and its log says why";
    case SAGA_IS_STUCK:
        return "its saga is stuck: sagactl show says where, sagactl settle ends it";
    case SAGA_HAS_ENDED:
        return "its saga has ended, and the order does not know: sagactl end lets it end as the "
               "saga did";
    case SAGA_GOES_ON:
        break;
    }
    return "its saga goes on: sagactl show says how far it is";
}

static const char *
open_of_refund(const struct repair_facts *facts)
{
    if (facts->is_back || !facts->is_success)
        return NULL;
    if (facts->is_orders_own)
        return "the order is PAID by this payment, which was late: nothing goes back by itself; "
               "sagactl"
               " refund gives it back";
    if (facts->needs_person)
        return "the payment is a person's to settle: sagactl payments says why, sagactl refund "
               "pays it back";
    if (facts->order == ORDER_IS_OPEN)
        return open_of_saga(facts);
    return "the refund was asked for, and is not done yet: account-svc goes on asking the provider";
}

/* Of an order that its money does not stand for. */
static const char *
open_of_paid(const struct repair_facts *facts)
{
    if (!facts->has_payment)
        return "the order is PAID, and no payment of it is known: stop the delivery, and look for "
               "how it became PAID";
    if (facts->is_success && !facts->is_back)
        return NULL;
    return "the order is PAID, and its provider says that nothing was taken: stop the delivery, "
           "and ask the"
           " customer to pay";
}

const char *
repair_open(const struct repair_facts *facts)
{
    switch (facts->rule) {
    case REPAIR_A:
        if (facts->order == ORDER_IS_MISSING)
            return "the order is not there: see that order-svc was not set back by a restore";
        if (facts->order == ORDER_IS_PAID)
            return NULL;
        return facts->order == ORDER_IS_FAILED ? open_of_refund(facts) : open_of_saga(facts);
    case REPAIR_B:
        return facts->order == ORDER_IS_PAID ? open_of_paid(facts) : NULL;
    case REPAIR_C:
        if (!facts->has_payment)
            return "the payment is not there: see that account-svc was not set back by a restore";
        return open_of_refund(facts);
    case REPAIR_SILENT:
    case REPAIR_RULES:
        break;
    }
    return "see that the source runs and reaches Kafka: its log, ./dev status, and "
           "docs/OPERATING.md#relay_silent";
}
