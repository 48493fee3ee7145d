#include "tests/support/engine/driver.h"
#include "tests/support/engine/equal.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DRIVER_CALLS_MAX = 20000 };

struct definition *
load(const char *quoted)
{
    static const struct definition_options options = { 0 };
    struct definition *definition;
    struct problem problem;
    char *text = strdup(quoted);
    bool is_inside = false;

    for (char *at = text; *at != '\0'; at++) {
        is_inside = *at == '\'' ? !is_inside : is_inside;
        *at = *at == '\'' ? '"' : *at == '"' && is_inside ? '\'' : *at;
    }
    if (definition_read(text, strlen(text), &options, &problem, &definition) != ERR_OK) {
        fprintf(stderr, "%s: %s %s\n", text, problem.field, problem.text);
        exit(2);
    }
    free(text);
    return definition;
}

const struct definition *
driver_find(void *context, const char *name, const char *hash)
{
    const struct definition *definition = context;

    return strcmp(definition->name, name) == 0 && strcmp(definition->hash, hash) == 0 ? definition
                                                                                      : NULL;
}

static void
driver_copy(struct driver *driver, const struct definition *definition)
{
    struct json_writer writer = { 0 };
    struct instance *whole = NULL;
    /* A day of attempts is compared now and then. */
    bool is_dull = driver->calls % 64 != 0 && driver->records.count == 1 &&
                   driver->records.items[0].kind == RECORD_ATTEMPT;

    for (size_t i = 0; i < driver->records.count; i++) {
        struct records read = { 0 };
        struct problem problem;

        json_writer_reset(&writer);
        record_write(&driver->records.items[i], &writer);
        ck_assert_int_eq(record_read(&read, writer.text, writer.bytes, driver_find,
                                     (void *)definition, &problem),
                         ERR_OK);
        instance_fold(driver->copy, &read.items[0]);
        records_free(&read);
    }
    if (driver->copy->definition == NULL || is_dull)
        goto out;
    ck_assert(instance_equal(driver->instance, driver->copy));
    json_writer_reset(&writer);
    instance_write(driver->instance, &writer);
    ck_assert_int_eq(instance_read(writer.text, writer.bytes, driver_find, (void *)definition,
                                   &driver->problem, &whole),
                     ERR_OK);
    ck_assert(instance_equal(driver->instance, whole));
    instance_free(whole);
out:
    json_writer_free(&writer);
}

void
driver_tell(struct driver *driver, const struct engine_event *event,
            const struct definition *definition)
{
    records_reset(&driver->records);
    driver->error =
        engine_decide(driver->instance, event, driver->now_us, &driver->records, &driver->problem);
    ck_assert(driver->error == ERR_OK || driver->records.count == 0);
    driver_copy(driver, definition);
}

bool
driver_step(struct driver *driver)
{
    struct engine_event event = { .kind = ENGINE_ANSWER };
    struct due due;

    engine_due(driver->instance, driver->now_us, &due);
    if (due.call_count == 0) {
        if (due.look_again_us == 0)
            return false;
        ck_assert_int_gt(due.look_again_us, driver->now_us);
        driver->now_us = due.look_again_us;
        if (instance_is_waiting(driver->instance))
            driver_tell(driver, &(struct engine_event){ .kind = ENGINE_DUE },
                        driver->instance->definition);
        return true;
    }
    ck_assert_int_lt(driver->calls++, DRIVER_CALLS_MAX);
    event.answer.activation = due.calls[0].activation;
    driver->answer(driver, &due.calls[0], &event.answer);
    due_free(&due);
    driver->now_us += 1000;
    driver_tell(driver, &event, driver->instance->definition);
    json_decref(event.answer.result);
    return true;
}

void
driver_open(struct driver *driver)
{
    driver->now_us = INT64_C(1790000000000000);
    driver->instance = instance_new(uuid_v8(driver->now_us, "driver", 6));
    driver->copy = instance_new(driver->instance->id);
}

void
driver_close(struct driver *driver)
{
    instance_free(driver->instance);
    instance_free(driver->copy);
    records_free(&driver->records);
}

void
driver_start(struct driver *driver, const struct definition *definition, json_t *input)
{
    struct engine_event start = { .kind = ENGINE_START, .definition = definition, .input = input };

    driver_tell(driver, &start, definition);
}

void
driver_trace(const struct instance *instance, char *text, size_t size)
{
    size_t bytes = 0;

    text[0] = '\0';
    for (size_t i = 0; i < instance->step_count && bytes < size; i++) {
        const struct step *step = &instance->steps[i];
        const struct state *state = &instance->definition->states[step->state];

        bytes += (size_t)snprintf(text + bytes, size - bytes, "%s%s:%s%s%s%s%s%s",
                                  i == 0 ? "" : " ", state->name, status_text(step->status),
                                  step->compensation == STATUS_NONE ? "" : "/",
                                  status_text(step->compensation), state->is_for_update ? "+u" : "",
                                  step->undoes >= 0 ? "+c" : "", step->is_retried ? "+ign" : "");
    }
}
