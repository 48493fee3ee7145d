/* repair_plan.h -- What is to be done about an alert, from what is known of its order, payment and saga. Pure.
 *
 * Each step may be done again, and changes nothing where it was done before: the provider is asked, the saga is asked
 * for, told and tried again, a refund is asked for under its payment's id.
 *
 * Thread    Plain data.
 */
#ifndef REPAIR_PLAN_H
#define REPAIR_PLAN_H

#include <stdbool.h>

enum repair_rule { REPAIR_A, REPAIR_B, REPAIR_C, REPAIR_SILENT, REPAIR_RULES };

enum repair_order { ORDER_IS_MISSING, ORDER_IS_OPEN, ORDER_IS_PAID, ORDER_IS_FAILED };
enum repair_saga { SAGA_IS_MISSING, SAGA_GOES_ON, SAGA_IS_STUCK, SAGA_HAS_ENDED };

struct repair_facts {
    enum repair_rule rule;
    bool has_payment;
    bool is_charge;     /* a wallet's, which has no provider */
    bool is_success;    /* the money was taken */
    bool is_back;       /* all of it has gone back */
    bool needs_person;  /* its trouble is a person's to settle */
    bool is_orders_own; /* the order is PAID, and names this payment */
    enum repair_order order;
    enum repair_saga saga;
};

/* Steps, in the order in which they are done; a plan is their sum. */
enum repair_step {
    REPAIR_ASK_PROVIDER = 1,
    REPAIR_ASK_SAGA = 2,   /* it is started again, under the same ids */
    REPAIR_RETRY_SAGA = 4, /* it is stuck */
    REPAIR_TELL_SAGA = 8,  /* how the payment stands */
    REPAIR_REFUND = 16,
    REPAIR_REFUND_CHARGE = 32,
};

unsigned repair_plan(const struct repair_facts *facts);

/* NULL: order, payment and money agree, and news will end the alert. Else a sentence: what is still open, and
 * the word that helps. */
const char *repair_open(const struct repair_facts *facts);

#endif
