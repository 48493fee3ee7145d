/* What sagactl alerts repair does, and what it calls open, from what is known. */
#include "sagactl/repair_plan.h"
#include "tests/support/check.h"

#include <string.h>

#define ASK REPAIR_ASK_PROVIDER
#define START REPAIR_ASK_SAGA
#define RETRY REPAIR_RETRY_SAGA
#define TELL REPAIR_TELL_SAGA
#define REFUND REPAIR_REFUND
#define CHARGE REPAIR_REFUND_CHARGE

/* payment: '-' none is known, 's' succeeded, 'f' did not, 'b' went back, 'p' needs a person, 'o' the order's own;
 * in capitals a wallet's charge */
/* clang-format off */
static const struct {
    const char *what;
    enum repair_rule rule;
    char payment;
    enum repair_order order;
    enum repair_saga saga;
    unsigned steps;
    const char *open; /* a word of it; "": nothing is open */
} plans[] = {
    { "paid, and its saga waits",         REPAIR_A, 's', ORDER_IS_OPEN,    SAGA_GOES_ON,    ASK | TELL,         "goes on" },
    { "paid, and its saga is stuck",      REPAIR_A, 's', ORDER_IS_OPEN,    SAGA_IS_STUCK,   ASK | RETRY | TELL, "stuck"   },
    { "paid, and its saga was lost",      REPAIR_A, 's', ORDER_IS_OPEN,    SAGA_IS_MISSING, ASK | START | TELL, "not there yet" },
    { "the order missed its saga's end",  REPAIR_A, 's', ORDER_IS_OPEN,    SAGA_HAS_ENDED,  ASK,                "sagactl end" },
    { "it came through meanwhile",        REPAIR_A, 'o', ORDER_IS_PAID,    SAGA_HAS_ENDED,  ASK,                ""        },
    { "it failed, and the money is here", REPAIR_A, 's', ORDER_IS_FAILED,  SAGA_HAS_ENDED,  ASK,                "refund"  },
    { "it failed, and the money is back", REPAIR_A, 'b', ORDER_IS_FAILED,  SAGA_HAS_ENDED,  ASK,                ""        },
    { "the order was lost",               REPAIR_A, 's', ORDER_IS_MISSING, SAGA_IS_MISSING, ASK,                "restore" },
    { "charged, and its saga is stuck",   REPAIR_A, 'S', ORDER_IS_OPEN,    SAGA_IS_STUCK,   RETRY,              "stuck"   },
    { "PAID without any payment",         REPAIR_B, '-', ORDER_IS_PAID,    SAGA_HAS_ENDED,  0,                  "delivery" },
    { "PAID, its payment failed",         REPAIR_B, 'f', ORDER_IS_PAID,    SAGA_HAS_ENDED,  ASK,                "delivery" },
    { "PAID, and its money went back",    REPAIR_B, 'b', ORDER_IS_PAID,    SAGA_HAS_ENDED,  ASK,                "delivery" },
    { "PAID, and it was paid after all",  REPAIR_B, 'o', ORDER_IS_PAID,    SAGA_HAS_ENDED,  ASK,                ""        },
    { "it is PAID no more",               REPAIR_B, 'f', ORDER_IS_FAILED,  SAGA_HAS_ENDED,  ASK,                ""        },
    { "late, and it went back",           REPAIR_C, 'b', ORDER_IS_FAILED,  SAGA_HAS_ENDED,  ASK,                ""        },
    { "late, for a dead order",           REPAIR_C, 's', ORDER_IS_FAILED,  SAGA_HAS_ENDED,  ASK | REFUND,       "not done yet" },
    { "late, and the order was lost",     REPAIR_C, 's', ORDER_IS_MISSING, SAGA_IS_MISSING, ASK | REFUND,       "not done yet" },
    { "PAID by another payment",          REPAIR_C, 's', ORDER_IS_PAID,    SAGA_HAS_ENDED,  ASK | REFUND,       "not done yet" },
    { "a person's to settle",             REPAIR_C, 'p', ORDER_IS_FAILED,  SAGA_HAS_ENDED,  ASK | REFUND,       "sagactl payments" },
    { "late, and the order is PAID by it", REPAIR_C, 'o', ORDER_IS_PAID,   SAGA_HAS_ENDED,  ASK,                "PAID by this" },
    { "late, and the saga undoes still",  REPAIR_C, 's', ORDER_IS_OPEN,    SAGA_GOES_ON,    ASK | TELL,         "goes on" },
    { "late, and the saga is stuck",      REPAIR_C, 's', ORDER_IS_OPEN,    SAGA_IS_STUCK,   ASK | RETRY | TELL, "stuck"   },
    { "late, and the saga was lost",      REPAIR_C, 's', ORDER_IS_OPEN,    SAGA_IS_MISSING, ASK | START | TELL, "not there yet" },
    { "charged for a dead order",         REPAIR_C, 'S', ORDER_IS_FAILED,  SAGA_HAS_ENDED,  CHARGE,             "not done yet" },
    { "its charge went back",             REPAIR_C, 'B', ORDER_IS_FAILED,  SAGA_HAS_ENDED,  0,                  ""        },
    { "the payment was lost",             REPAIR_C, '-', ORDER_IS_FAILED,  SAGA_HAS_ENDED,  0,                  "restore" },
    { "a source is silent",               REPAIR_SILENT, '-', ORDER_IS_MISSING, SAGA_IS_MISSING, 0,             "Kafka"   },
};
/* clang-format on */

START_TEST(what_helps_is_done)
{
    char payment = plans[_i].payment;
    const struct repair_facts facts = {
        .rule = plans[_i].rule,
        .has_payment = payment != '-',
        .is_charge = payment == 'S' || payment == 'B',
        .is_success = strchr("sSbBpo", payment) != NULL,
        .is_back = payment == 'b' || payment == 'B',
        .needs_person = payment == 'p',
        .is_orders_own = payment == 'o',
        .order = plans[_i].order,
        .saga = plans[_i].saga,
    };
    const char *open = repair_open(&facts);

    ck_assert_msg(repair_plan(&facts) == plans[_i].steps, "%s: %u", plans[_i].what,
                  repair_plan(&facts));
    ck_assert_msg((open == NULL) == (plans[_i].open[0] == '\0'), "%s: %s", plans[_i].what,
                  open == NULL ? "nothing is open" : open);
    ck_assert_msg(open == NULL || strstr(open, plans[_i].open) != NULL, "%s: %s", plans[_i].what,
                  open);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("repair");

    tcase_add_loop_test(cases, what_helps_is_done, 0, ROWS(plans));
    return check_run("repair", cases);
}
