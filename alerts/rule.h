/* rule.h -- The one table of rules: which payments and orders disagree, for how long, and what to do.
 *
 * A payment and an order each are in one of a few states, as their news tells it at a time. A rule says of each state of
 * an order which states of a payment disagree with it: raises, what begins a contradiction; keeps, what goes on
 * with one. Who lasts longer than the grace is raised; at the end of the grace is still in time.
 *
 * Rules A and C look at each payment of an order by itself. Rule B looks at all of them: it is of an order
 * that no payment stands for.
 *
 * Thread    Plain data.
 * Units     *_us microseconds.
 */
#ifndef RULE_H
#define RULE_H

#include "mesh/base/uuid.h"

/* What is known of a payment. */
enum money {
    MONEY_UNSEEN, /* nothing was heard of it */
    MONEY_OPEN,   /* it may still be paid */
    MONEY_FAILED, /* it will not be paid; or it was, and its success was taken back */
    MONEY_TAKEN,  /* it succeeded */
    MONEY_LATE,   /* it succeeded at its provider when the order's time to pay was over */
    MONEY_BACK,   /* it succeeded, and all of it went back */
    MONEY_COUNT
};

/* What is known of an order, for one payment. */
enum standing {
    STANDING_UNSEEN, /* payments name it, and nothing was heard of it */
    STANDING_OPEN,   /* PENDING, WAITING_PAYMENT */
    STANDING_PAID,   /* by this payment, or it is not said by which */
    STANDING_OTHER,  /* PAID by another payment */
    STANDING_FREE,   /* PAID, and it costs nothing */
    STANDING_FAILED,
    STANDING_COUNT
};

enum rule_id { RULE_A, RULE_B, RULE_C, RULE_RELAY_SILENT, RULE_COUNT };

struct rule {
    const char *name, *severity;
    unsigned raises[STANDING_COUNT], keeps[STANDING_COUNT]; /* sets of 1 << enum money */
    bool is_of_payment;                                     /* it looks at each payment by itself */
    int64_t grace_us;                                       /* unless flags say otherwise */
    int64_t apart_us; /* on top, where the order's news began it: so far apart clocks may be */
    const char *expected_payment,
        *expected_order; /* the words that would agree; NULL: see the payload */
    const char *because; /* a sentence: how it disagrees */
    const char *action;  /* a sentence: what the operator does */
    const char *runbook; /* the heading of docs/OPERATING.md, which is the rule's name */
};

/* In the order of enum rule_id. */
extern const struct rule rules[RULE_COUNT];

/* NULL: there is none of this name. */
const struct rule *rule_find(const char *name);

/* The graces that count here. */
struct rule_graces {
    int64_t us[RULE_COUNT];
};
struct rule_graces rule_graces_default(void);

/* The UUIDv5 of rule, order and event: the same contradiction, however often it is found, is the same alert. */
struct uuid rule_alert_id(enum rule_id rule, struct uuid order_id, struct uuid event_id);

#endif
