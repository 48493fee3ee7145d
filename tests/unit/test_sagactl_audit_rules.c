/* What an audit finds: each rule by facts that break it and nothing else, and facts that break none. */
#include "sagactl/audit_rules.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

#define MINUTE_US (INT64_C(60) * 1000 * 1000)
#define NOW_US (INT64_C(1790000000000000))

#define ORDER_ID "0190a5f0-1c7b-7abc-8def-000000000001"
#define PAID_BY "0190a5f0-1c7b-7abc-8def-000000000002"
#define OTHER "0190a5f0-1c7b-7abc-8def-000000000003"

#define STATUS(name) SAGAMESH__ORDER__V1__ORDER_STATUS__ORDER_STATUS_##name
#define PHASE(name) SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_##name
#define HOLD(name) SAGAMESH__STORAGE__V1__HOLD_STATE__HOLD_STATE_##name
#define CLAIM(name) SAGAMESH__PAYMENT__V1__CLAIM__CLAIM_##name

/* Texts of messages are not const, and are not written to. */
static char *
text(const char *literal)
{
    return (char *)(uintptr_t)literal;
}

/* The codes of the rules that are broken, one after the other. */
static const char *
broken(const struct audit_rule *rules, const void *facts, char codes[256])
{
    codes[0] = '\0';
    for (; rules->code != NULL; rules++) {
        if (rules->is_broken(facts)) {
            ck_assert_uint_lt(strlen(codes) + strlen(rules->code) + 2, 256);
            strcat(codes, codes[0] == '\0' ? "" : " ");
            strcat(codes, rules->code);
        }
    }
    return codes;
}

static void
order_fill(Sagamesh__Order__V1__Order *order, int status, const char *method)
{
    sagamesh__order__v1__order__init(order);
    order->order_id = text(ORDER_ID);
    order->customer_id = text("ada");
    order->currency = text("EUR");
    order->status = (Sagamesh__Order__V1__OrderStatus)status;
    order->total_minor = 1000;
    order->payment_method = text(method);
    order->payment_reference = text(status == STATUS(PAID) ? PAID_BY : "");
    order->placed_at_us = order->changed_at_us = NOW_US - 5 * MINUTE_US;
}

/* ---- orders ---- */

enum money {
    NO_MONEY,
    CHARGED,
    CHARGED_LESS,
    CHARGED_OTHER,
    REVERSED,
    TAKEN,
    TAKEN_LESS,
    RETURNED
};

/* clang-format off */
static const struct {
    const char *what, *codes;
    int status, phase;                   /* phase 0: there is no saga */
    const char *saga_status, *compensation;
    int age_minutes, expires_minutes;    /* from now on */
    const char *method;
    enum money money;
    size_t reserves, sold;
    int64_t sold_minor;
} orders[] = {
    { "just placed",              "",                      STATUS(PENDING), 0,                   "",   "",   5,  0,  "wallet",   NO_MONEY,      0, 0, 0 },
    { "no saga for long",         "ORDER_WITHOUT_SAGA",    STATUS(PENDING), 0,                   "",   "",   20, 0,  "wallet",   NO_MONEY,      0, 0, 0 },
    { "waits for its customer",   "",                      STATUS(WAITING_PAYMENT), PHASE(WAITING), "RU", "", 90, 10, "external", NO_MONEY,    1, 0, 0 },
    { "its time was over",        "ORDER_LATE",            STATUS(WAITING_PAYMENT), PHASE(WAITING), "RU", "", 90, -20, "external", NO_MONEY,   1, 0, 0 },
    { "its time is just over",    "",                      STATUS(WAITING_PAYMENT), PHASE(WAITING), "RU", "", 90, -5, "external", NO_MONEY,    1, 0, 0 },
    { "retried for long",         "ORDER_LATE",            STATUS(PENDING), PHASE(RETRYING),     "RU", "",   20, 0,  "wallet",   NO_MONEY,      1, 0, 0 },
    { "stuck",                    "",            STATUS(PENDING), PHASE(STUCK),        "UN", "",   1,  0,  "wallet",   NO_MONEY,      1, 0, 0 },
    { "stuck for long",           "",            STATUS(PENDING), PHASE(STUCK),        "UN", "",   90, 0,  "wallet",   NO_MONEY,      1, 0, 0 },
    { "stuck, and ended",         "",            STATUS(PAID),    PHASE(STUCK),        "UN", "",   90, 0,  "wallet",   CHARGED,       1, 1, 1000 },
    { "its saga ended before",    "ORDER_LEFT_OPEN",       STATUS(PENDING), PHASE(ENDED),        "SU", "",   1,  0,  "wallet",   NO_MONEY,      1, 1, 1000 },
    { "paid from a wallet",       "",                      STATUS(PAID),    PHASE(ENDED),        "SU", "",   5,  0,  "wallet",   CHARGED,       1, 1, 1000 },
    { "paid at a provider",       "",                      STATUS(PAID),    PHASE(ENDED),        "SU", "",   5,  0,  "external", TAKEN,         1, 1, 1000 },
    { "no charge",                "ORDER_UNPAID",          STATUS(PAID),    PHASE(ENDED),        "SU", "",   5,  0,  "wallet",   NO_MONEY,      1, 1, 1000 },
    { "a charge of less",         "ORDER_UNPAID",          STATUS(PAID),    PHASE(ENDED),        "SU", "",   5,  0,  "wallet",   CHARGED_LESS,  1, 1, 1000 },
    { "another's charge",         "ORDER_UNPAID",          STATUS(PAID),    PHASE(ENDED),        "SU", "",   5,  0,  "wallet",   CHARGED_OTHER, 1, 1, 1000 },
    { "its charge went back",     "ORDER_UNPAID",          STATUS(PAID),    PHASE(ENDED),        "SU", "",   5,  0,  "wallet",   REVERSED,      1, 1, 1000 },
    { "no payment",               "ORDER_UNPAID",          STATUS(PAID),    PHASE(ENDED),        "SU", "",   5,  0,  "external", NO_MONEY,      1, 1, 1000 },
    { "a payment of less",        "ORDER_UNPAID",          STATUS(PAID),    PHASE(ENDED),        "SU", "",   5,  0,  "external", TAKEN_LESS,    1, 1, 1000 },
    { "its payment went back",    "ORDER_UNPAID",          STATUS(PAID),    PHASE(ENDED),        "SU", "",   5,  0,  "external", RETURNED,      1, 1, 1000 },
    { "nothing sold",             "ORDER_UNSOLD",          STATUS(PAID),    PHASE(ENDED),        "SU", "",   5,  0,  "wallet",   CHARGED,       1, 0, 0 },
    { "not sold yet",             "",                      STATUS(PAID),    PHASE(RUNNING),      "RU", "",   5,  0,  "wallet",   CHARGED,       1, 0, 0 },
    { "sold for less",            "SOLD_AT_ANOTHER_TOTAL", STATUS(PAID),    PHASE(ENDED),        "SU", "",   5,  0,  "wallet",   CHARGED,       1, 1, 900 },
    { "sold in two parts",        "",                      STATUS(PAID),    PHASE(ENDED),        "SU", "",   5,  0,  "wallet",   CHARGED,       3, 2, 1000 },
    { "a flow without goods",     "",                      STATUS(PAID),    PHASE(ENDED),        "SU", "",   5,  0,  "wallet",   CHARGED,       0, 0, 0 },
    { "its saga goes on",         "SAGA_GOES_ON",          STATUS(PAID),    PHASE(RETRYING),     "RU", "",   20, 0,  "wallet",   CHARGED,       1, 1, 1000 },
    { "its saga is about to end", "",                      STATUS(PAID),    PHASE(RUNNING),      "RU", "",   5,  0,  "wallet",   CHARGED,       1, 1, 1000 },
    { "failed and undone",        "",                      STATUS(FAILED),  PHASE(ENDED),        "FA", "SU", 5,  0,  "wallet",   NO_MONEY,      1, 0, 0 },
    { "failed without a saga",    "",                      STATUS(FAILED),  0,                   "",   "",   90, 0,  "wallet",   NO_MONEY,      0, 0, 0 },
    { "failed, its saga did not", "SAGA_DISAGREES",        STATUS(FAILED),  PHASE(ENDED),        "SU", "",   5,  0,  "wallet",   NO_MONEY,      1, 0, 0 },
    { "paid, its saga failed",    "SAGA_DISAGREES",        STATUS(PAID),    PHASE(ENDED),        "FA", "",   5,  0,  "wallet",   CHARGED,       1, 1, 1000 },
    { "failed and undone, unknown", "",                    STATUS(FAILED),  PHASE(ENDED),        "UN", "SU", 5,  0,  "wallet",   NO_MONEY,      1, 0, 0 },
    { "paid, and undone",         "SAGA_DISAGREES",        STATUS(PAID),    PHASE(ENDED),        "UN", "SU", 5,  0,  "wallet",   CHARGED,       1, 1, 1000 },
    { "paid, as a person said",   "",                      STATUS(PAID),    PHASE(ENDED),        "UN", "",   5,  0,  "wallet",   CHARGED,       1, 1, 1000 },
    { "not undone",               "SAGA_NOT_UNDONE",       STATUS(FAILED),  PHASE(ENDED),        "FA", "UN", 5,  0,  "wallet",   NO_MONEY,      1, 0, 0 },
};
/* clang-format on */

static void
charge_fill(Sagamesh__Ledger__V1__Transfer *charge, enum money money)
{
    sagamesh__ledger__v1__transfer__init(charge);
    charge->transfer_id = text(PAID_BY);
    charge->kind = text("charge");
    charge->debit_account = text(money == CHARGED_OTHER ? "wallet/bob" : "wallet/ada");
    charge->amount_minor = money == CHARGED_LESS ? 999 : 1000;
    charge->currency = text("EUR");
    charge->reference = text(ORDER_ID);
    charge->reversed_by_id = text(money == REVERSED ? OTHER : "");
}

static void
payment_fill(Sagamesh__Payment__V1__Payment *payment, int claim)
{
    sagamesh__payment__v1__payment__init(payment);
    payment->payment_id = text(PAID_BY);
    payment->order_id = text(ORDER_ID);
    payment->observed = SAGAMESH__PAYMENT__V1__OBSERVED__OBSERVED_SUCCEEDED;
    payment->claim = (Sagamesh__Payment__V1__Claim)claim;
    payment->amount_minor = 1000;
    payment->currency = text("EUR");
    payment->version = payment->signaled_version = 3;
    payment->changed_at_us = NOW_US - 20 * MINUTE_US;
}

START_TEST(orders_break_their_rules)
{
    Sagamesh__Order__V1__Order order;
    Sagamesh__Saga__V1__Saga saga = SAGAMESH__SAGA__V1__SAGA__INIT;
    Sagamesh__Ledger__V1__Transfer charge;
    Sagamesh__Payment__V1__Payment payment;
    struct audit_order facts = { .order = &order, .now_us = NOW_US, .patience_us = 15 * MINUTE_US };
    char codes[256];

    order_fill(&order, orders[_i].status, orders[_i].method);
    order.placed_at_us = order.changed_at_us = NOW_US - orders[_i].age_minutes * MINUTE_US;
    if (orders[_i].expires_minutes != 0)
        order.payment_expires_at_us = NOW_US + orders[_i].expires_minutes * MINUTE_US;
    saga.phase = (Sagamesh__Saga__V1__SagaPhase)orders[_i].phase;
    saga.status = text(orders[_i].saga_status);
    saga.compensation_status = text(orders[_i].compensation);
    facts.saga = orders[_i].phase == 0 ? NULL : &saga;
    charge_fill(&charge, orders[_i].money);
    payment_fill(&payment, orders[_i].money == RETURNED ? CLAIM(RETURNED) : CLAIM(TAKEN));
    payment.amount_minor = orders[_i].money == TAKEN_LESS ? 999 : 1000;
    if (orders[_i].money >= CHARGED && orders[_i].money <= REVERSED)
        facts.charge = &charge;
    if (orders[_i].money >= TAKEN)
        facts.payment = &payment;
    facts.reserve_count = orders[_i].reserves;
    facts.sold_count = orders[_i].sold;
    facts.sold_minor = orders[_i].sold_minor;
    ck_assert_msg(strcmp(broken(audit_order_rules, &facts, codes), orders[_i].codes) == 0,
                  "%s: '%s', not '%s'", orders[_i].what, codes, orders[_i].codes);
}
END_TEST

START_TEST(a_free_order_needs_no_money)
{
    Sagamesh__Order__V1__Order order;
    struct audit_order facts = { .order = &order, .now_us = NOW_US };
    char codes[256];

    order_fill(&order, STATUS(PAID), "wallet");
    order.total_minor = 0;
    ck_assert_str_eq(broken(audit_order_rules, &facts, codes), "");
}
END_TEST

/* ---- holds, charges and payments; status 0: there is no such order ---- */

/* clang-format off */
static const struct {
    const char *what, *codes;
    int state, status;
    bool is_for_order;
    int until_minutes; /* from now on */
} holds[] = {
    { "of an open order",       "",                     HOLD(HELD),      STATUS(PENDING), true,  10 },
    { "sold for an open order", "",                     HOLD(CONFIRMED), STATUS(PENDING), true,  10 },
    { "sold",                   "",                     HOLD(CONFIRMED), STATUS(PAID),    true,  -90 },
    { "held, and paid",         "HOLD_LEFT_OVER",       HOLD(HELD),      STATUS(PAID),    true,  10 },
    { "held, and failed",       "HOLD_OF_FAILED_ORDER", HOLD(HELD),      STATUS(FAILED),  true,  10 },
    { "sold, and failed",       "HOLD_OF_FAILED_ORDER", HOLD(CONFIRMED), STATUS(FAILED),  true,  10 },
    { "held for nobody",        "HOLD_WITHOUT_ORDER",   HOLD(HELD),      0,               true,  10 },
    { "sold to nobody",         "HOLD_WITHOUT_ORDER",   HOLD(CONFIRMED), 0,               true,  10 },
    { "of another shop",        "",                     HOLD(CONFIRMED), 0,               false, -90 },
    { "not ended by the sweep", "HOLD_OVERDUE",         HOLD(HELD),      0,               false, -20 },
    { "about to be ended",      "",                     HOLD(HELD),      STATUS(PENDING), true,  -1 },
};

static const struct {
    const char *what, *codes;
    int status;
    bool is_for_order;
    const char *paid_by;
} charges[] = {
    { "of an open order",   "",                       STATUS(PENDING), true,  "" },
    { "of a paid order",    "",                       STATUS(PAID),    true,  PAID_BY },
    { "one too many",       "CHARGED_TWICE",          STATUS(PAID),    true,  OTHER },
    { "of a failed order",  "CHARGE_OF_FAILED_ORDER", STATUS(FAILED),  true,  "" },
    { "of no order",        "CHARGE_WITHOUT_ORDER",   0,               true,  "" },
    { "of another shop",    "",                       0,               false, "" },
};

static const struct {
    const char *what, *codes;
    int claim, status, age_minutes, behind;
    const char *paid_by;
    bool needs_person, is_due, is_quarantined;
} payments[] = {
    { "open",                      "",                        CLAIM(OPEN),      STATUS(WAITING_PAYMENT), 90, 0, "",      false, false, false },
    { "taken by its order",        "",                        CLAIM(TAKEN),     STATUS(PAID),            90, 0, PAID_BY, false, false, false },
    { "taken a moment ago",        "",                        CLAIM(TAKEN),     STATUS(WAITING_PAYMENT), 5,  0, "",      false, false, false },
    { "taken, and the order waits", "PAYMENT_TAKEN",          CLAIM(TAKEN),     STATUS(WAITING_PAYMENT), 20, 0, "",      false, false, false },
    { "taken, and not told",       "PAYMENT_TAKEN",           CLAIM(TAKEN),     STATUS(WAITING_PAYMENT), 20, 1, "",      false, false, false },
    { "abandoned, and not told",   "PAYMENT_UNTOLD",          CLAIM(ABANDONED), STATUS(FAILED),          20, 1, "",      false, false, false },
    { "told a moment ago",         "",                        CLAIM(ABANDONED), STATUS(FAILED),          5,  1, "",      false, false, false },
    { "taken for a dead order",    "PAYMENT_OF_FAILED_ORDER", CLAIM(TAKEN),     STATUS(FAILED),          5,  0, "",      false, false, false },
    { "open for a dead order",     "PAYMENT_OF_FAILED_ORDER", CLAIM(OPEN),      STATUS(FAILED),          5,  0, "",      false, false, false },
    { "quarantined",               "PAYMENT_NEEDS_PERSON",    CLAIM(OPEN),      STATUS(FAILED),          5,  0, "",      true,  false, true },
    { "given back",                "",                        CLAIM(RETURNED),  STATUS(FAILED),          90, 0, "",      false, false, false },
    { "not given back",            "PAYMENT_NOT_PAID_BACK",   CLAIM(RETURNED),  STATUS(FAILED),          20, 0, "",      false, true,  false },
    { "is being given back",       "",                        CLAIM(ABANDONED), STATUS(FAILED),          5,  0, "",      false, true,  false },
    { "its refund is refused",     "PAYMENT_NEEDS_PERSON",    CLAIM(ABANDONED), STATUS(FAILED),          20, 0, "",      true,  true,  false },
    { "one too many",              "PAID_TWICE",              CLAIM(TAKEN),     STATUS(PAID),            5,  0, OTHER,   false, false, false },
    { "taken for nobody",          "PAYMENT_WITHOUT_ORDER",   CLAIM(TAKEN),     0,                       5,  0, "",      false, false, false },
    { "abandoned by nobody",       "",                        CLAIM(ABANDONED), 0,                       90, 0, "",      false, false, false },
};
/* clang-format on */

START_TEST(holds_break_their_rules)
{
    Sagamesh__Order__V1__Order order;
    Sagamesh__Storage__V1__Hold hold = SAGAMESH__STORAGE__V1__HOLD__INIT;
    struct audit_hold facts = { .hold = &hold, .now_us = NOW_US, .patience_us = 15 * MINUTE_US };
    char codes[256];

    order_fill(&order, holds[_i].status, "wallet");
    hold.state = (Sagamesh__Storage__V1__HoldState)holds[_i].state;
    hold.until_us = NOW_US + holds[_i].until_minutes * MINUTE_US;
    facts.is_for_order = holds[_i].is_for_order;
    facts.order = holds[_i].status == 0 ? NULL : &order;
    ck_assert_msg(strcmp(broken(audit_hold_rules, &facts, codes), holds[_i].codes) == 0,
                  "%s: '%s', not '%s'", holds[_i].what, codes, holds[_i].codes);
}
END_TEST

START_TEST(charges_break_their_rules)
{
    Sagamesh__Order__V1__Order order;
    Sagamesh__Ledger__V1__Transfer charge;
    struct audit_charge facts = { .charge = &charge };
    char codes[256];

    order_fill(&order, charges[_i].status, "wallet");
    order.payment_reference = text(charges[_i].paid_by);
    charge_fill(&charge, CHARGED);
    facts.is_for_order = charges[_i].is_for_order;
    facts.order = charges[_i].status == 0 ? NULL : &order;
    ck_assert_msg(strcmp(broken(audit_charge_rules, &facts, codes), charges[_i].codes) == 0,
                  "%s: '%s', not '%s'", charges[_i].what, codes, charges[_i].codes);
}
END_TEST

START_TEST(payments_break_their_rules)
{
    Sagamesh__Order__V1__Order order;
    Sagamesh__Payment__V1__Payment payment;
    struct audit_payment facts = { .payment = &payment,
                                   .now_us = NOW_US,
                                   .patience_us = 15 * MINUTE_US };
    char codes[256];

    order_fill(&order, payments[_i].status, "external");
    order.payment_reference = text(payments[_i].paid_by);
    payment_fill(&payment, payments[_i].claim);
    payment.changed_at_us = NOW_US - payments[_i].age_minutes * MINUTE_US;
    payment.signaled_version = payment.version - payments[_i].behind;
    payment.needs_person = payments[_i].needs_person;
    payment.refund_due = payments[_i].is_due;
    payment.quarantined = payments[_i].is_quarantined;
    facts.order = payments[_i].status == 0 ? NULL : &order;
    ck_assert_msg(strcmp(broken(audit_payment_rules, &facts, codes), payments[_i].codes) == 0,
                  "%s: '%s', not '%s'", payments[_i].what, codes, payments[_i].codes);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("rules");

    tcase_add_loop_test(tests, orders_break_their_rules, 0, ROWS(orders));
    tcase_add_test(tests, a_free_order_needs_no_money);
    tcase_add_loop_test(tests, holds_break_their_rules, 0, ROWS(holds));
    tcase_add_loop_test(tests, charges_break_their_rules, 0, ROWS(charges));
    tcase_add_loop_test(tests, payments_break_their_rules, 0, ROWS(payments));
    return check_run("ctl_audit_rules", tests);
}
