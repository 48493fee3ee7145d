/* test_engine_again.c -- A participant that is asked again is asked the same: under one id there is one request,
 * however the context changed meanwhile, and also where a row or a record has lost something.
 *
 * A script is done word by word:
 *
 *   ok  ?  NO       how the call that is due is answered; "?*" until nothing is due any more
 *   retry  undo     an operator's; the machine is stuck
 *   weeks           44 days pass, after which participants know an id no more for sure
 *   crash           all memory is lost, and folded again from what was written
 *
 * Each activation's request is written once into what was asked; asked otherwise later, the test fails.
 */
#include "mesh/base/clock.h"
#include "tests/support/check.h"
#include "tests/support/engine/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REASON "'Input':[{'why':'$.[_error_]?.reason ?: \"none\"'}]"

/* clang-format off */
static const struct {
    const char *what, *machine, *script, *asked, *end;
} rows[] = {
    { "an Input that cannot be evaluated once there is an error",
      MACHINE("'A':{" TASK("A") ",'IsForUpdate':true,'BudgetSeconds':1,"
              "'Input':[{'why':'$.[_error_] == null ? \"first\" : [_error_].state.name'}]}"),
      "?* retry ? crash ok", "A:first", "ENDED SU" },
    { "an Input that would be another once there is an error",
      MACHINE("'A':{" TASK("A") ",'IsForUpdate':true,'BudgetSeconds':1," REASON "}"),
      "?* retry ? crash ok", "A:none", "ENDED SU" },
    { "stuck, asked again, stuck and asked again",
      MACHINE("'A':{" TASK("A") ",'IsForUpdate':true,'BudgetSeconds':1," REASON "}"),
      "crash ?* crash retry ?* retry ok", "A:none", "ENDED SU" },
    { "after a known answer it is another activation, which knows of it",
      MACHINE("'A':{" TASK("A") ",'CompensateState':'U','Next':'P'},'U':{" TASK("U") "},"
              "'P':{" TASK("P") ",'Pivot':true,'Next':'D'},'D':{" TASK("D") "," REASON "}"),
      "ok ok NO retry ok", "A: P: D:none D:NO", "ENDED SU" },
    { "an Input that cannot be evaluated any more is like a refusal of the new activation",
      MACHINE("'A':{" TASK("A") ",'Pivot':true,'Next':'D'},'D':{" TASK("D")
              ",'Input':[{'why':'$.[_error_] == null ? \"x\" : [_error_].state.name'}]}"),
      "ok NO retry", "A: D:x", "STUCK UN" },
    { "an undo that is asked again knows the error of its time",
      MACHINE("'A':{" TASK("A") ",'CompensateState':'U','Next':'B'},'U':{" TASK("U")
              ",'BudgetSeconds':1," REASON "},'B':{" TASK("B") ",'Catch':[{'Exceptions':"
              "['java.lang.Throwable'],'Next':'T'}]},'T':{'Type':'CompensationTrigger'}"),
      "ok NO ?* undo ? crash ok", "A: B: U:NO", "ENDED UN" },
    { "a day before its id is too old it is asked for under it", MACHINE("'A':{" TASK("A") ",'IsForUpdate':true,'BudgetSeconds':1," REASON "}"),
      "?* weeks- retry ok", "A:none", "ENDED SU" },
    { "what is too old to be asked again is asked as another", MACHINE("'A':{" TASK("A") ",'IsForUpdate':true,'BudgetSeconds':1," REASON "}"),
      "?* weeks retry ok", "A:none A:UNKNOWN", "ENDED SU" },
    { "what may have happened is undone first, however old",
      MACHINE("'A':{" TASK("A") ",'CompensateState':'U','BudgetSeconds':1," REASON "},'U':{" TASK("U") "}"),
      "?* weeks retry ok ok", "A:none U: A:UNKNOWN", "ENDED SU" },
    { "an undo that is too old to be asked again", MACHINE("'A':{" TASK("A") ",'CompensateState':'U','Next':'B'},'U':{" TASK("U")
              ",'BudgetSeconds':1," REASON "},'B':{" TASK("B") ",'Catch':[{'Exceptions':"
              "['java.lang.Throwable'],'Next':'T'}]},'T':{'Type':'CompensationTrigger'}"),
      "ok NO ?* weeks undo ok", "A: B: U:NO U:NO", "ENDED UN" },
    { "an undo that a retry begins, and that an operator's compensate goes on with",
      MACHINE("'A':{" TASK("A") ",'CompensateState':'U','BudgetSeconds':1},'U':{" TASK("U")
              ",'BudgetSeconds':1," REASON "}"),
      "?* retry ?* undo ok", "A: U:UNKNOWN", "ENDED UN" },
};
/* clang-format on */

enum { ASKED_MAX = 16 };

struct asked {
    struct uuid activations[ASKED_MAX];
    char *requests[ASKED_MAX];
    char line[512];
    int count;
};

static void
note(struct asked *asked, const struct call_due *call)
{
    char *request = json_dumps(call->request, JSON_COMPACT);
    const char *why = json_string_value(json_object_get(call->request, "why"));
    size_t bytes = strlen(asked->line);
    int i = 0;

    while (i < asked->count && !uuid_equal(asked->activations[i], call->activation))
        i++;
    if (i < asked->count) {
        ck_assert_str_eq(request, asked->requests[i]);
        free(request);
        return;
    }
    ck_assert_int_lt(i, ASKED_MAX);
    asked->activations[i] = call->activation;
    asked->requests[i] = request;
    asked->count++;
    snprintf(asked->line + bytes, sizeof asked->line - bytes, "%s%s:%s", i == 0 ? "" : " ",
             call->method, why == NULL ? "" : why);
}

/* False: nothing is due, now or later. */
static bool
answer(struct driver *driver, const char *word)
{
    struct engine_event event = { .kind = ENGINE_ANSWER };
    struct due due;

    engine_due(driver->instance, driver->now_us, &due);
    if (due.call_count == 0 && due.look_again_us != 0) {
        driver->now_us = due.look_again_us;
        engine_due(driver->instance, driver->now_us, &due);
    }
    if (due.call_count == 0)
        return false;
    note(driver->script, &due.calls[0]);
    event.answer.activation = due.calls[0].activation;
    event.answer.outcome = word[0] == '?'            ? OUTCOME_UNKNOWN
                           : strcmp(word, "NO") == 0 ? OUTCOME_REFUSED
                                                     : OUTCOME_OK;
    event.answer.reason = word[0] == '?' ? NULL : word;
    event.answer.is_stored = true;
    due_free(&due);
    driver->now_us += 1000;
    driver_tell(driver, &event, driver->instance->definition);
    return true;
}

/* The copy has heard of nothing but the records' text. */
static void
crash(struct driver *driver)
{
    struct instance *lost = driver->instance;
    const struct definition *definition = lost->definition;
    struct json_writer writer = { 0 };

    driver->instance = driver->copy;
    instance_write(driver->instance, &writer);
    ck_assert_int_eq(instance_read(writer.text, writer.bytes, driver_find,
                                   (void *)(uintptr_t)definition, &driver->problem, &driver->copy),
                     ERR_OK);
    json_writer_free(&writer);
    instance_free(lost);
    driver_tell(driver, &(struct engine_event){ .kind = ENGINE_RECOVERED }, definition);
}

static void
play(struct driver *driver, const char *script)
{
    char copy[256], *rest = NULL;

    snprintf(copy, sizeof copy, "%s", script);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        struct engine_event event = { .kind = ENGINE_RETRY };

        if (strncmp(word, "weeks", 5) == 0) {
            driver->now_us = driver->instance->started_us + (word[5] == '-' ? 43 : 44) * DAY_US;
        } else if (strcmp(word, "crash") == 0) {
            crash(driver);
        } else if (strcmp(word, "retry") == 0 || strcmp(word, "undo") == 0) {
            event.kind = word[0] == 'r' ? ENGINE_RETRY : ENGINE_COMPENSATE;
            driver_tell(driver, &event, driver->instance->definition);
            ck_assert_msg(driver->error == ERR_OK, "%s: %s", word, driver->problem.text);
        } else if (strcmp(word, "?*") == 0) {
            while (answer(driver, word))
                ;
        } else {
            ck_assert_msg(answer(driver, word), "%s: nothing is due", word);
        }
    }
}

START_TEST(a_request_is_the_same)
{
    struct definition *definition = load(rows[_i].machine);
    struct asked asked = { 0 };
    struct driver driver = { .script = &asked };
    json_t *input = json_object();
    char end[64];

    driver_open(&driver);
    driver_start(&driver, definition, input);
    play(&driver, rows[_i].script);
    snprintf(end, sizeof end, "%s %s", phase_text(instance_phase(driver.instance)),
             status_text(driver.instance->status));
    ck_assert_msg(strcmp(asked.line, rows[_i].asked) == 0, "%s: asked %s", rows[_i].what,
                  asked.line);
    ck_assert_msg(strcmp(end, rows[_i].end) == 0, "%s: %s", rows[_i].what, end);
    for (int i = 0; i < asked.count; i++)
        free(asked.requests[i]);
    driver_close(&driver);
    json_decref(input);
    definition_free(definition);
}
END_TEST

/* What an Input gives is bounded before it is written anywhere. */
/* clang-format off */
static const struct {
    const char *what, *input, *because;
} inputs[] = {
    { "many times the context", "'$.#root','$.#root','$.#root','$.#root','$.#root','$.#root','$.#root'", "bytes" },
    { "deep in itself", "[[[[[[[[[[[[[[[[[[[[[[['$.[deep]']]]]]]]]]]]]]]]]]]]]]]]", "levels" },
};
/* clang-format on */

START_TEST(an_input_has_limits)
{
    struct asked asked = { 0 };
    struct driver driver = { .script = &asked };
    struct definition *definition;
    char text[1024], *filler = calloc(1, 16 * 1024);
    json_t *deep = json_object(), *input;

    memset(filler, 'x', 16 * 1024 - 1);
    for (int i = 0; i < 8; i++)
        deep = json_pack("[o]", deep);
    input = json_pack("{s:s, s:o}", "filler", filler, "deep", deep);
    snprintf(
        text, sizeof text,
        MACHINE("'A':{" TASK("A") ",'Input':[{'all':[%s]}],'Next':'E'},'E':{'Type':'Succeed'}"),
        inputs[_i].input);
    definition = load(text);
    driver_open(&driver);
    driver_start(&driver, definition, input);
    ck_assert_str_eq(driver.instance->error_code, "sagamesh.DefinitionError");
    ck_assert_msg(strstr(driver.instance->error_message, inputs[_i].because) != NULL, "%s: %s",
                  inputs[_i].what, driver.instance->error_message);
    driver_close(&driver);
    definition_free(definition);
    json_decref(input);
    free(filler);
}
END_TEST

/* The row of a saga whose call is under way, without what it asks. */
static struct instance *
without_inputs(const struct instance *instance)
{
    struct json_writer writer = { 0 };
    struct instance *damaged = NULL;
    struct problem problem;
    json_t *json, *step;
    char *text;

    instance_write(instance, &writer);
    json = json_loads(writer.text, 0, NULL);
    step = json_array_get(json_object_get(json, "steps"), 0);
    json_object_del(step, "in");
    text = json_dumps(json, 0);
    ck_assert_int_eq(instance_read(text, strlen(text), driver_find,
                                   (void *)(uintptr_t)instance->definition, &problem, &damaged),
                     ERR_OK);
    free(text);
    json_decref(json);
    json_writer_free(&writer);
    return damaged;
}

START_TEST(what_was_not_recorded_is_not_made_up)
{
    struct definition *definition =
        load(MACHINE("'A':{" TASK("A") ",'IsForUpdate':true," REASON "}"));
    struct asked asked = { 0 };
    struct driver driver = { .script = &asked };
    json_t *input = json_object();
    struct due due;

    driver_open(&driver);
    driver_start(&driver, definition, input);
    ck_assert_ptr_nonnull(driver.instance->steps[0].inputs);
    instance_free(driver.instance);
    driver.instance = without_inputs(driver.copy);
    engine_due(driver.instance, driver.now_us, &due);
    ck_assert_uint_eq(due.call_count, 0);
    ck_assert_int_gt(due.look_again_us, driver.now_us); /* it wants to be looked at */
    instance_free(driver.copy);
    driver.copy = without_inputs(driver.instance);
    driver_tell(&driver, &(struct engine_event){ .kind = ENGINE_DUE }, definition);
    ck_assert(driver.instance->is_stuck);
    ck_assert_str_eq(driver.instance->error_message, "what it asks was not recorded");
    driver_tell(&driver, &(struct engine_event){ .kind = ENGINE_RETRY }, definition);
    driver_tell(&driver, &(struct engine_event){ .kind = ENGINE_RECOVERED }, definition);
    ck_assert(driver.instance->is_stuck); /* still */
    ck_assert_int_eq(asked.count, 0);
    driver_close(&driver);
    json_decref(input);
    definition_free(definition);
}
END_TEST

int
main(void)
{
    TCase *tcase = check_case("again");

    tcase_add_loop_test(tcase, a_request_is_the_same, 0, ROWS(rows));
    tcase_add_loop_test(tcase, an_input_has_limits, 0, ROWS(inputs));
    tcase_add_test(tcase, what_was_not_recorded_is_not_made_up);
    return check_run("engine_again", tcase);
}
