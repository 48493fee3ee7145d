/* audit_rules.h -- What must hold between services, and the word that repairs it where it does not. No I/O.
 *
 * A rule is a row: one row is one kind of finding. The facts of an order, a hold, a charge or a payment
 * are what its own service says of it, and what the others say of the order it is for. A system that works
 * moves while it is read, so a finding counts only when a second look has it too.
 *
 * Thread    Plain data.
 * Units     *_us microseconds since 1970 UTC.
 */
#ifndef AUDIT_RULES_H
#define AUDIT_RULES_H

#include <sagamesh/ledger/v1/ledger_service.pb-c.h>
#include <sagamesh/order/v1/order_service.pb-c.h>
#include <sagamesh/payment/v1/payment_service.pb-c.h>
#include <sagamesh/saga/v1/saga_service.pb-c.h>
#include <sagamesh/storage/v1/storage_service.pb-c.h>
#include <stdbool.h>
#include <stdint.h>

/* NULL: there is none, in all of them. */
struct audit_order {
    const Sagamesh__Order__V1__Order *order;
    const Sagamesh__Saga__V1__Saga *saga;
    const Sagamesh__Ledger__V1__Transfer *charge;  /* that the order names as what paid it */
    const Sagamesh__Payment__V1__Payment *payment; /* likewise */
    size_t reserve_count, sold_count; /* Reserves of its saga, and those that were sold */
    int64_t sold_minor;               /* their totals */
    int64_t now_us, patience_us;
};

/* What others reserve and charge, under a reference that is no id, is not for an order. */
struct audit_hold {
    const Sagamesh__Storage__V1__Hold *hold;
    bool is_for_order;
    const Sagamesh__Order__V1__Order *order;
    int64_t now_us, patience_us;
};

struct audit_charge {
    const Sagamesh__Ledger__V1__Transfer *charge;
    bool is_for_order;
    const Sagamesh__Order__V1__Order *order;
};

struct audit_payment {
    const Sagamesh__Payment__V1__Payment *payment;
    const Sagamesh__Order__V1__Order *order;
    int64_t now_us, patience_us;
};

struct audit_rule {
    const char *code;   /* "CHARGE_OF_FAILED_ORDER" */
    const char *what;   /* a sentence that goes on from the kind and the id */
    const char *repair; /* "sagactl WORD ID", or ORDER for the order's; else what to do instead */
    bool (*is_broken)(const void *facts);
};

/* Each ends with a row of zeros. */
extern const struct audit_rule audit_order_rules[], audit_hold_rules[], audit_charge_rules[],
    audit_payment_rules[];

/* A step that reserved goods; its activation is the hold. */
bool audit_is_reserve(const Sagamesh__Saga__V1__Step *step);

/* How a saga that has ended says its order must be: it was done (SU), or it failed or was undone. UNSAID: a
 * person settled it so. */
enum audit_end { AUDIT_END_UNSAID, AUDIT_END_PAID, AUDIT_END_FAILED };
enum audit_end audit_end_of(const Sagamesh__Saga__V1__Saga *saga);

bool audit_is_final(const Sagamesh__Order__V1__Order *order);

#endif
