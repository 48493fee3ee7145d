/* test_engine_operator.c -- What an order is told when a person decides to undo a shipped flow that is
 * stuck behind its point of no return. */
#include "mesh/base/clock.h"
#include "tests/support/check.h"
#include "tests/support/engine/driver.h"
#include "tests/support/engine/shipped.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
static const struct {
    const char *flow, *pivot; /* whose participant is away until the budget is spent */
    const char *comment;
    const char *reason, *detail; /* of MarkFailed */
} rows[] = {
    { "order_create_saga", "Confirm", "shelf is empty", "OPERATOR", "shelf is empty" },
    { "order_create_saga", "Confirm", "",               "OPERATOR", "an operator had it undone" },
    { "seat_sale",         "Confirm", "hall is closed", "OPERATOR", "hall is closed" },
    { "seat_sale",         "Confirm", "",               "OPERATOR", "an operator had it undone" },
};
/* clang-format on */

struct script {
    const char *pivot;
    char reason[64], detail[128];
};

static void
answer(struct driver *driver, const struct call_due *call, struct answer *ret_answer)
{
    struct script *script = driver->script;

    ret_answer->outcome = OUTCOME_OK;
    if (strcmp(call->method, script->pivot) == 0)
        ret_answer->outcome = OUTCOME_NOT_DONE;
    if (strcmp(call->method, "Reserve") == 0)
        ret_answer->result = json_pack("{s:i, s:s}", "totalMinor", 300, "currency", "JPY");
    if (strcmp(call->method, "MarkFailed") == 0) {
        snprintf(script->reason, sizeof script->reason, "%s",
                 json_string_value(json_object_get(call->request, "reason")));
        snprintf(script->detail, sizeof script->detail, "%s",
                 json_string_value(json_object_get(call->request, "detail")));
    }
}

START_TEST(an_order_is_told_that_a_person_decided)
{
    struct definition *definition = shipped_definition(rows[_i].flow);
    struct script script = { .pivot = rows[_i].pivot };
    struct driver driver = { .script = &script, .answer = answer };
    const struct engine_event compensate = { .kind = ENGINE_COMPENSATE,
                                             .comment = rows[_i].comment };
    json_t *input =
        json_pack("{s:s, s:s, s:s, s:[{s:s, s:i}], s:s}", "orderId",
                  "01920000-0000-7000-8000-000000000000", "customerId", "ada", "currency", "JPY",
                  "lines", "sku", "tea", "quantity", 1, "paymentMethod", "wallet");

    driver_open(&driver);
    driver_start(&driver, definition, input);
    while (!driver.instance->is_stuck && driver_step(&driver))
        ;
    ck_assert(driver.instance->is_stuck);
    driver_tell(&driver, &compensate, definition);
    ck_assert_int_eq(driver.error, ERR_OK);
    while (!driver.instance->is_ended && !driver.instance->is_stuck && driver_step(&driver))
        ;
    ck_assert_msg(driver.instance->is_ended, "%s: %s", driver.instance->error_code,
                  driver.instance->error_message);
    ck_assert_str_eq(script.reason, rows[_i].reason);
    ck_assert_str_eq(script.detail, rows[_i].detail);
    driver_close(&driver);
    json_decref(input);
    definition_free(definition);
}
END_TEST

int
main(void)
{
    TCase *tcase = check_case("operator");

    tcase_add_loop_test(tcase, an_order_is_told_that_a_person_decided, 0, ROWS(rows));
    return check_run("operator", tcase);
}
