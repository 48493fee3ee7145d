/* rule.c -- The rows of the table, in the words that people are told. */
#include "alerts/rule.h"
#include "mesh/base/clock.h"

#include <stdio.h>
#include <string.h>

#define IS(state) (1u << MONEY_##state)
#define ANY_SUCCESS (IS(TAKEN) | IS(LATE))

#define RUNBOOK "docs/OPERATING.md#"
#define GRACE_US (300 * SECOND_US)
/* Who says FAILED and who says that the money went back are two services, whose clocks may be a second apart. */
#define APART_US SECOND_US

/* clang-format off */
const struct rule rules[RULE_COUNT] = {
    [RULE_A] = {
        .name = "RULE_A", .severity = "critical", .is_of_payment = true, .grace_us = GRACE_US,
        .raises[STANDING_OPEN]   = ANY_SUCCESS,
        .keeps[STANDING_OPEN]    = ANY_SUCCESS,
        .keeps[STANDING_FAILED]  = ANY_SUCCESS, /* the money is still here; rule C says so too */
        .expected_payment = "SUCCEEDED", .expected_order = "PAID",
        .because = "the payment succeeded, and the order still waits for it",
        .action = "ask the payment's provider, and drive the order on through its saga (sagactl alerts repair)",
        .runbook = RUNBOOK "rule_a",
    },
    [RULE_B] = {
        .name = "RULE_B", .severity = "critical", .grace_us = GRACE_US,
        .raises[STANDING_PAID]   = IS(UNSEEN) | IS(OPEN) | IS(FAILED),
        .keeps[STANDING_PAID]    = IS(UNSEEN) | IS(OPEN) | IS(FAILED),
        .expected_payment = "SUCCEEDED", .expected_order = "PAID",
        .because = "the order is PAID, and none of its payments succeeded",
        .action = "ask the payment's provider whether it was paid (sagactl alerts repair); if it was not, stop the delivery",
        .runbook = RUNBOOK "rule_b",
    },
    [RULE_C] = {
        .name = "RULE_C", .severity = "high", .is_of_payment = true, .grace_us = 0, .apart_us = APART_US,
        .raises[STANDING_OPEN]   = IS(LATE),
        .raises[STANDING_OTHER]  = IS(LATE),
        .raises[STANDING_FAILED] = ANY_SUCCESS,
        .keeps[STANDING_OPEN]    = IS(LATE),
        .keeps[STANDING_OTHER]   = IS(LATE),
        .keeps[STANDING_FAILED]  = ANY_SUCCESS,
        .expected_payment = "REFUNDED", .expected_order = "FAILED",
        .because = "the payment succeeded after its time was over, or its order has failed, and the money did not go back",
        .action = "see that it is refunded: sagactl alerts repair shows the refund that ran, or asks for it",
        .runbook = RUNBOOK "rule_c",
    },
    [RULE_RELAY_SILENT] = {
        .name = "RELAY_SILENT", .severity = "critical",
        .because = "a program's news does not come, so no alert that waits for it can be raised",
        .action = "see that the program's relay runs and reaches Kafka, and that alerts-svc reaches Kafka",
        .runbook = RUNBOOK "relay_silent",
    },
};
/* clang-format on */

const struct rule *
rule_find(const char *name)
{
    for (size_t i = 0; i < RULE_COUNT; i++) {
        if (strcmp(rules[i].name, name) == 0)
            return &rules[i];
    }
    return NULL;
}

struct rule_graces
rule_graces_default(void)
{
    struct rule_graces graces;

    for (size_t i = 0; i < RULE_COUNT; i++)
        graces.us[i] = rules[i].grace_us;
    return graces;
}

/* The name space is this project's own, drawn once. */
struct uuid
rule_alert_id(enum rule_id rule, struct uuid order_id, struct uuid event_id)
{
    static const struct uuid space = { { 0x8e, 0x1b, 0x5c, 0x2f, 0x6d, 0x0a, 0x4e, 0x93, 0xb7, 0x41,
                                         0x3c, 0xd8, 0x52, 0xaf, 0x90, 0x76 } };
    char order[UUID_TEXT_BYTES + 1], event[UUID_TEXT_BYTES + 1], name[128];
    int bytes = snprintf(name, sizeof name, "%s %s %s", rules[rule].name,
                         uuid_print(order_id, order), uuid_print(event_id, event));

    return uuid_v5(space, name, (size_t)bytes);
}
