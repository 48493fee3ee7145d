#include "tests/support/engine/random.h"
#include "mesh/base/hash.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { RANDOM_STATES_MAX = 10 };

int
draw(struct dice *dice, int sides)
{
    if (dice->left > 0) {
        dice->left--;
        return *dice->bytes++ % sides;
    }
    dice->state += UINT64_C(0x9e3779b97f4a7c15);
    return (int)(hash_end(dice->state) % (uint64_t)sides);
}

/* clang-format off */
static const char *const random_values[] = {
    "$.[a]", "$.[b] + 1", "$.[_error_]?.reason ?: 'none'", "$.[_error_].state.name", "$.[e0]?.x",
    "$.[S0_business_key_]", "$.#root", "$.[a] ?: [b] ?: 'x'", "$.[missing].x", "$.'t' + [a] + [b]",
    "literal", "$.[e1]?.x > 1 ? [e1].x : null", "$.[c] * 9223372036854775807", "$.[c] / [a]",
};

static const char *const random_conditions[] = {
    "[a] == 1", "[b] > 2", "[e0] != null", "[e0]?.x == 1", "[e1]?.x >= 2 || [a] == 'x'", "[missing].x",
    "[_error_] == null", "[_error_]?.class == 'sagamesh.Unknown'", "true", "false", "[c] % 2 == 0",
};

static const char *const random_outputs[] = { "$.[v]", "$.[v] + 1", "$.#root", "$.[v].w", "$.[w]", "x" };

static const char *const random_classes[] = {
    "java.lang.Throwable", "sagamesh.Refused", "sagamesh.Refused.NO", "sagamesh.Unknown", "sagamesh.NotDone",
    "sagamesh.Canceled", "sagamesh.Timeout", "sagamesh.DefinitionError", "java.net.ConnectException",
};

static const char *const random_statuses[] = { "SU", "FA", "UN", "SK" };
/* clang-format on */

static json_t *
random_target(struct dice *dice, int states)
{
    return json_sprintf("S%d", draw(dice, states));
}

static void
random_next(struct dice *dice, json_t *state, const char *key, int states, int one_in)
{
    if (draw(dice, one_in) == 0)
        json_object_set_new(state, key, random_target(dice, states));
}

/* Often to the trigger T. */
static json_t *
random_catches(struct dice *dice, int states)
{
    json_t *catches = json_array();

    for (int i = draw(dice, 3); i > 0; i--)
        json_array_append_new(
            catches, json_pack("{s:[s], s:o}", "Exceptions", DRAW_OF(dice, random_classes), "Next",
                               draw(dice, 3) ? json_string("T") : random_target(dice, states)));
    return catches;
}

static json_t *
random_retries(struct dice *dice)
{
    json_t *retries = json_array();

    for (int i = draw(dice, 3); i > 0; i--)
        json_array_append_new(retries, json_pack("{s:[s], s:i, s:i}", "Exceptions",
                                                 DRAW_OF(dice, random_classes), "MaxAttempts",
                                                 draw(dice, 4), "IntervalSeconds", draw(dice, 3)));
    return retries;
}

static void
random_task(struct dice *dice, json_t *state, int states)
{
    json_object_set_new(state, "ServiceName", json_string("s"));
    json_object_set_new(state, "ServiceMethod", json_string("m"));
    if (draw(dice, 4) != 0)
        json_object_set_new(state, "Input",
                            json_pack("[{s:s, s:[s]}]", "x", DRAW_OF(dice, random_values), "y",
                                      DRAW_OF(dice, random_values)));
    if (draw(dice, 2) != 0)
        json_object_set_new(
            state, "Output",
            json_pack("{s:s}", draw(dice, 2) ? "a" : "c", DRAW_OF(dice, random_outputs)));
    if (draw(dice, 6) == 0)
        json_object_set_new(state, "Status",
                            json_pack("{s:s, s:s}", "$Exception{sagamesh.Refused}",
                                      DRAW_OF(dice, random_statuses), "#root != null",
                                      DRAW_OF(dice, random_statuses)));
    json_object_set_new(state, "Catch", random_catches(dice, states));
    if (draw(dice, 3) == 0)
        json_object_set_new(state, "Retry", random_retries(dice));
    if (draw(dice, 2) == 0)
        json_object_set_new(state, "BudgetSeconds", json_integer(1 + draw(dice, 5)));
    if (draw(dice, 3) == 0)
        json_object_set_new(state, "IsForUpdate", json_boolean(draw(dice, 2)));
    if (draw(dice, 8) == 0)
        json_object_set_new(state, "Pivot", json_true());
    if (draw(dice, 2) == 0)
        json_object_set_new(state, "CompensateState", json_string(draw(dice, 2) ? "U" : "V"));
    random_next(dice, state, "Next", states, 1);
}

/* What undoes: mostly by answers alone, and sometimes with all that a task may have. */
static json_t *
random_undo(struct dice *dice, int states)
{
    json_t *state = json_pack("{s:s, s:s, s:s}", "Type", "ServiceTask", "ServiceName", "s",
                              "ServiceMethod", "u");

    if (draw(dice, 2) == 0)
        json_object_set_new(state, "Input",
                            json_pack("[{s:s}]", "x", DRAW_OF(dice, random_values)));
    if (draw(dice, 3) == 0)
        json_object_set_new(state, "Catch", random_catches(dice, states));
    if (draw(dice, 3) == 0)
        json_object_set_new(state, "Retry", random_retries(dice));
    json_object_set_new(state, "BudgetSeconds", json_integer(1 + draw(dice, 5)));
    return state;
}

static void
random_wait(struct dice *dice, json_t *state, int states)
{
    json_object_set_new(state, "Event", json_string(draw(dice, 2) ? "e0" : "e1"));
    json_object_set_new(state, "Until", json_string(DRAW_OF(dice, random_conditions)));
    json_object_set_new(state, "TimeoutSeconds", json_integer(1 + draw(dice, 9)));
    if (draw(dice, 4) == 0)
        json_object_set_new(state, "Deadline", json_string(DRAW_OF(dice, random_values)));
    json_object_set_new(state, "Catch", random_catches(dice, states));
    random_next(dice, state, "TimeoutNext", states, 2);
    random_next(dice, state, "Next", states, 1);
}

static void
random_choice(struct dice *dice, json_t *state, int states)
{
    json_t *choices = json_array();

    for (int i = 1 + draw(dice, 2); i > 0; i--)
        json_array_append_new(choices, json_pack("{s:s, s:o}", "Expression",
                                                 DRAW_OF(dice, random_conditions), "Next",
                                                 random_target(dice, states)));
    json_object_set_new(state, "Choices", choices);
    random_next(dice, state, "Default", states, 2);
}

char *
random_machine(struct dice *dice)
{
    static const char *const types[] = { "ServiceTask", "ServiceTask",  "ServiceTask",
                                         "ServiceTask", "ServiceTask",  "ServiceTask",
                                         "Choice",      "WaitForEvent", "WaitForEvent",
                                         "Fail",        "Succeed",      "CompensationTrigger" };
    int count = 3 + draw(dice, RANDOM_STATES_MAX - 2);
    json_t *states = json_object(), *machine;
    char *text;

    for (int i = 0; i < count; i++) {
        const char *type = i == 0           ? "ServiceTask"
                           : i == count - 1 ? "Succeed"
                                            : DRAW_OF(dice, types);
        json_t *state = json_pack("{s:s}", "Type", type);
        char name[16];

        if (strcmp(type, "ServiceTask") == 0)
            random_task(dice, state, count);
        else if (strcmp(type, "WaitForEvent") == 0)
            random_wait(dice, state, count);
        else if (strcmp(type, "Choice") == 0)
            random_choice(dice, state, count);
        else if (strcmp(type, "CompensationTrigger") == 0)
            random_next(dice, state, "Next", count, 1);
        snprintf(name, sizeof name, "S%d", i);
        json_object_set_new(states, name, state);
    }
    json_object_set_new(states, "U", random_undo(dice, count));
    json_object_set_new(states, "V", random_undo(dice, count));
    json_object_set_new(
        states, "T",
        json_pack("{s:s, s:o}", "Type", "CompensationTrigger", "Next", random_target(dice, count)));
    machine = json_pack("{s:s, s:s, s:o}", "Name", "m", "StartState", "S0", "States", states);
    text = json_dumps(machine, JSON_COMPACT);
    json_decref(machine);
    return text;
}

static void
random_answer(struct dice *dice, const struct instance *instance, struct random_event *event)
{
    static const char *const connect[] = { "java.net.ConnectException", NULL };
    static const char *const reasons[] = { "NO", "BUSY", "", "DENIED" };
    static const char *const results[] = {
        "{\"v\":1}", "{\"v\":{\"w\":2}}", "{}", "[1]", "{\"v\":\"text\",\"w\":null}", "{\"v\":1.5}"
    };
    struct answer *answer = &event->event.answer;

    event->event.kind = ENGINE_ANSWER;
    if (instance->current != STEP_NONE && draw(dice, 16) != 0)
        answer->activation = instance->steps[instance->current].activation;
    answer->outcome = draw(dice, 2) ? OUTCOME_OK : (enum outcome)draw(dice, OUTCOME_COUNT);
    answer->reason = draw(dice, 4) ? DRAW_OF(dice, reasons) : NULL;
    answer->message = draw(dice, 2) ? "a \"sentence\"\n" : NULL;
    answer->is_stored = draw(dice, 2);
    answer->class = "com.x.SomeException";
    answer->causes = draw(dice, 2) ? connect : NULL;
    if (answer->outcome == OUTCOME_OK && draw(dice, 8) != 0)
        answer->result = event->json = json_loads(DRAW_OF(dice, results), 0, NULL);
}

static void
random_signal(struct dice *dice, struct random_event *event)
{
    static const char *const names[] = { "e0", "e1", "e1", "e0", "alien" };
    int64_t version = 1 + draw(dice, 5);
    struct signal_news *news = &event->event.signal;

    event->event.kind = ENGINE_SIGNAL;
    event->json = json_pack("{s:i}", "x", draw(dice, 4));
    news->event = DRAW_OF(dice, names);
    news->version = version;
    news->id = uuid_v8(1000, &version, sizeof version);
    news->payload = event->json;
}

void
random_event(struct dice *dice, const struct instance *instance, struct random_event *ret_event)
{
    static const enum engine_event_kind others[] = { ENGINE_CANCEL, ENGINE_RETRY,
                                                     ENGINE_RETRY,  ENGINE_COMPENSATE,
                                                     ENGINE_SETTLE, ENGINE_RECOVERED };

    memset(ret_event, 0, sizeof *ret_event);
    switch (draw(dice, 8)) {
    case 0:
        random_signal(dice, ret_event);
        break;
    case 1:
    case 2:
        ret_event->event.kind = DRAW_OF(dice, others);
        ret_event->event.comment = draw(dice, 2) ? "why" : NULL;
        ret_event->event.settlement = (enum settlement)draw(dice, 4);
        if (draw(dice, 4) == 0)
            ret_event->event.output = ret_event->json =
                json_pack("{s:i}", draw(dice, 2) ? "a" : "z", 7);
        break;
    case 3:
        ret_event->event.kind = ENGINE_DUE;
        break;
    default:
        random_answer(dice, instance, ret_event);
    }
}
