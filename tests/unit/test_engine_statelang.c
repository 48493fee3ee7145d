/* test_engine_statelang.c -- Apache Seata's own definitions, and the outcomes its engine recorded.
 *
 * With MESH_CONFORMANCE naming the folder of the outside suite (read from there, never copied), each
 * run whose states are supported is played: status, compensation status, and where four runs of
 * Seata's agreed the trace. A run that differs on purpose stands in a table with its reason.
 */
#include "mesh/base/clock.h"
#include "tests/support/check.h"
#include "tests/support/engine/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 32, RUNS_MAX = 256, LINE_BYTES = 64 * 1024 };

/* clang-format off */
static const char *const files[] = {
    "simple_statelang.json",
    "simple_statelang_with_catches.json",
    "simple_statelang_with_choice.json",
    "simple_statelang_with_choice_and_end.json",
    "simple_statelang_with_choice_no_default.json",
    "simple_statelang_with_compensation.json",
    "simple_statelang_with_compensation_for_recovery.json",
    "simple_statelang_with_persist_update_mode.json",
    "simple_statelang_with_recover_strategy.json",
    "simple_statelang_with_retry.json",
    "simple_statelang_with_status_matches.json",
};

static const struct {
    const char *id, *why;
} differences[] = {
    { "rec-ftbf>forward", "rule 3: an activation of unknown outcome is undone before the next" },
    { "rec-fft>comp",     "rule 3: an undo of unknown outcome is asked again under the same id" },
};
/* clang-format on */

struct run {
    char id[64];
    struct driver driver;
    bool is_open;
};

static struct definition *definitions[FILES_MAX];
static struct run runs[RUNS_MAX];
static int run_count;

/* The mock participants: they return the map they are given, or throw what it asks for. */
static void
mock_answer(struct driver *driver, const struct call_due *call, struct answer *ret_answer)
{
    static const char *const connect[] = { "java.net.ConnectException", NULL };
    json_t *map = json_array_get(call->inputs, 0);
    const char *throws = json_string_value(json_object_get(map, "throwException"));

    (void)driver;
    if (strcmp(call->method, "randomExceptionMethod") == 0) {
        ret_answer->outcome = OUTCOME_THROWN;
        ret_answer->class = "java.lang.RuntimeException";
        ret_answer->causes = connect;
    } else if (throws != NULL && strcmp(throws, "true") == 0) {
        ret_answer->outcome = OUTCOME_THROWN;
        ret_answer->class = "org.apache.seata.saga.engine.mock.DemoException";
    } else {
        ret_answer->outcome = OUTCOME_OK;
        ret_answer->result = map == NULL || json_is_null(map) ? NULL : json_incref(map);
    }
}

static void
definitions_load(const char *folder)
{
    static const struct definition_options options = { 0 };

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[4096];
        char *text = calloc(1, DEFINITION_BYTES_MAX);
        struct problem problem;
        FILE *file;

        snprintf(path, sizeof path, "%s/statelang/engine/%s", folder, files[i]);
        file = fopen(path, "r");
        ck_assert_msg(file != NULL, "%s cannot be read", path);
        ck_assert_msg(definition_read(text, fread(text, 1, DEFINITION_BYTES_MAX, file), &options,
                                      &problem, &definitions[i]) == ERR_OK,
                      "%s: %s %s", files[i], problem.field, problem.text);
        fclose(file);
        free(text);
    }
}

static const struct definition *
definition_named(const char *name)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (strcmp(definitions[i]->name, name) == 0)
            return definitions[i];
    }
    return NULL;
}

static struct run *
run_find(const char *id)
{
    for (int i = 0; i < run_count; i++) {
        if (strcmp(runs[i].id, id) == 0)
            return &runs[i];
    }
    return NULL;
}

static void
rest(struct driver *driver)
{
    while (driver_step(driver))
        ;
}

/* A task is asked again with its first Input, however the context changes; Seata asks anew. */
static void
inputs_renew(struct instance *instance)
{
    struct expression_scope scope = { .root = instance->context };

    for (size_t i = 0; i < instance->step_count; i++) {
        struct step *step = &instance->steps[i];
        const struct state *state = &instance->definition->states[step->state];
        struct problem problem;

        for (size_t n = 0; step->inputs != NULL && n < state->input_count; n++) {
            json_t *value;

            ck_assert_int_eq(template_evaluate(&state->inputs[n], &scope, &problem, &value),
                             ERR_OK);
            json_array_set_new(step->inputs, n, value == NULL ? json_null() : value);
        }
    }
}

/* forward and compensate bring parameters, which the engine takes by no event: they are a test's. */
static void
params_merge(struct driver *driver, json_t *params)
{
    json_object_update(driver->instance->context, params);
    json_object_update(driver->copy->context, params);
    inputs_renew(driver->instance);
    inputs_renew(driver->copy);
}

/* NULL when it cannot be played here. */
static struct run *
run_play(const json_t *row)
{
    const char *op = json_string_value(json_object_get(row, "op"));
    const char *name = json_string_value(json_object_get(row, "machine"));
    json_t *params = json_object_get(row, "params");
    struct engine_event event = { .kind = ENGINE_RETRY };
    struct run *run;

    if (strcmp(op, "start") == 0) {
        const struct definition *definition = name == NULL ? NULL : definition_named(name);

        if (definition == NULL || params == NULL || run_count == RUNS_MAX)
            return NULL;
        run = &runs[run_count++];
        snprintf(run->id, sizeof run->id, "%s", json_string_value(json_object_get(row, "id")));
        run->driver.answer = mock_answer;
        run->is_open = true;
        driver_open(&run->driver);
        driver_start(&run->driver, definition, params);
        rest(&run->driver);
        return run;
    }
    run = run_find(json_string_value(json_object_get(row, "ref")));
    if (run == NULL || strcmp(op, "skip") == 0)
        return NULL;
    if (strcmp(op, "compensate") == 0)
        event.kind = ENGINE_COMPENSATE;
    params_merge(&run->driver, params);
    driver_tell(&run->driver, &event, run->driver.instance->definition);
    rest(&run->driver);
    return run;
}

static void
trace_wanted(const json_t *expect, char *text, size_t size)
{
    json_t *value;
    size_t index, bytes = 0;

    text[0] = '\0';
    json_array_foreach(json_object_get(expect, "trace"), index, value)
    {
        bytes += (size_t)snprintf(text + bytes, size - bytes, "%s%s", index == 0 ? "" : " ",
                                  json_string_value(value));
    }
}

static bool
is_as_recorded(const struct driver *driver, const json_t *row)
{
    const struct instance *instance = driver->instance;
    const json_t *expect = json_object_get(row, "expect");
    const char *comp = json_string_value(json_object_get(expect, "comp"));
    char trace[4096], wanted[4096];

    if (comp == NULL) /* it was denied */
        return driver->error != ERR_OK;
    if (strcmp(comp, "null") == 0)
        comp = "";
    driver_trace(instance, trace, sizeof trace);
    trace_wanted(expect, wanted, sizeof wanted);
    if (strcmp(status_text(instance->status),
               json_string_value(json_object_get(expect, "status"))) != 0 ||
        strcmp(status_text(instance->compensation), comp) != 0)
        return false;
    return !json_is_true(json_object_get(row, "stable_trace")) || strcmp(trace, wanted) == 0;
}

static const char *
difference_of(const char *id)
{
    for (size_t i = 0; i < sizeof differences / sizeof *differences; i++) {
        if (strcmp(differences[i].id, id) == 0)
            return differences[i].why;
    }
    return NULL;
}

static void
row_check(const json_t *row, int *ret_same, int *ret_differs, int *ret_skipped)
{
    const char *id = json_string_value(json_object_get(row, "id"));
    struct run *run = run_play(row);
    char trace[4096];

    if (run == NULL) {
        ++*ret_skipped;
    } else if (is_as_recorded(&run->driver, row)) {
        ++*ret_same;
    } else {
        driver_trace(run->driver.instance, trace, sizeof trace);
        ck_assert_msg(difference_of(id) != NULL, "%s: %s/%s %s", id,
                      status_text(run->driver.instance->status),
                      status_text(run->driver.instance->compensation), trace);
        printf("%s differs: %s\n", id, difference_of(id));
        ++*ret_differs;
    }
}

START_TEST(seata_came_to_the_same_ends)
{
    const char *folder = getenv("MESH_CONFORMANCE");
    static char line[LINE_BYTES];
    int same = 0, differs = 0, skipped = 0;
    char path[4096];
    FILE *file;

    if (folder == NULL || folder[0] == '\0') {
        printf("skipped: MESH_CONFORMANCE names no folder with the recordings of Seata's engine\n");
        return;
    }
    snprintf(path, sizeof path, "%s/statelang/expected.jsonl", folder);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    definitions_load(folder);
    while (fgets(line, sizeof line, file) != NULL) {
        json_t *row = json_loads(line, 0, NULL);

        row_check(row, &same, &differs, &skipped);
        json_decref(row);
    }
    fclose(file);
    printf("Seata's runs: %d the same, %d differ with a reason, %d of states not supported yet\n",
           same, differs, skipped);
    ck_assert_int_eq(same, 60);
    ck_assert_int_eq(differs, sizeof differences / sizeof *differences);
    for (int i = 0; i < run_count; i++)
        driver_close(&runs[i].driver);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        definition_free(definitions[i]);
}
END_TEST

int
main(void)
{
    TCase *tcase = check_case("statelang");

    tcase_add_test(tcase, seata_came_to_the_same_ends);
    return check_run("engine_statelang", tcase);
}
