/* fuzz_definition.c -- Anything at all as a saga definition: refused by name, or it runs.
 *
 * What loads is started with an empty input and answered OK and refused in turn, as far as a few steps:
 * no definition may crash the engine, whatever stands in it.
 */
#include "saga/engine/engine.h"

#include <stdint.h>
#include <string.h>

enum { STEPS_MAX_HERE = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
answer(struct instance *instance, struct records *records, int turn)
{
    struct engine_event event = { .kind = ENGINE_ANSWER };
    struct problem problem;
    struct due due;

    engine_due(instance, 1000000 * turn, &due);
    if (due.call_count > 0) {
        event.answer.activation = due.calls[0].activation;
        event.answer.outcome = turn % 3 == 2 ? OUTCOME_REFUSED : OUTCOME_OK;
        event.answer.reason = "FUZZ";
        event.answer.is_stored = true;
        records_reset(records);
        engine_decide(instance, &event, 1000000 * turn, records, &problem);
    }
    due_free(&due);
}

static void
run(const struct definition *definition)
{
    static const struct uuid id = { .bytes = { 1, 0x9a, [6] = 0x70, [8] = 0x80 } };
    json_t *input = json_object();
    struct engine_event event = { .kind = ENGINE_START, .definition = definition, .input = input };
    struct instance *instance = instance_new(id);
    struct records records = { 0 };
    struct problem problem;

    if (engine_decide(instance, &event, 1, &records, &problem) == ERR_OK) {
        for (int turn = 1; turn <= STEPS_MAX_HERE && !instance->is_ended; turn++)
            answer(instance, &records, turn);
    }
    records_free(&records);
    instance_free(instance);
    json_decref(input);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct definition_options options = { .must_be_grpc = size % 2 == 0 };
    struct definition *definition;
    struct problem problem;

    if (definition_read((const char *)data, size, &options, &problem, &definition) != ERR_OK)
        return 0;
    run(definition);
    definition_free(definition);
    return 0;
}
