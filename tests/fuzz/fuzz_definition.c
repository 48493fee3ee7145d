/* fuzz_definition.c -- Anything at all as a saga definition: refused by name, or it runs.
 *
 * What loads, as new or as a version that was stored, lives through events: what stands behind the
 * definition's first NUL says which, and a seed goes on from there. It is answered anything, told of news,
 * cancelled, retried, undone and recovered; each of its records is read back and folded, and so is its
 * row. No definition may crash the engine.
 */
#include "mesh/base/hash.h"
#include "tests/support/engine/equal.h"
#include "tests/support/engine/random.h"

#include <assert.h>
#include <string.h>

enum { EVENTS_HERE = 40 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct definition *
find(void *context, const char *name, const char *hash)
{
    (void)name;
    (void)hash;
    return context;
}

/* The records as they were read back make the same instance. */
static void
fold(const struct records *records, struct instance *copy, const struct definition *definition)
{
    struct json_writer writer = { 0 };

    for (size_t i = 0; i < records->count; i++) {
        struct records read = { 0 };
        struct problem problem;

        json_writer_reset(&writer);
        record_write(&records->items[i], &writer);
        assert(record_read(&read, writer.text, writer.bytes, find, (void *)(uintptr_t)definition,
                           &problem) == ERR_OK);
        assert(instance_refuses(copy, &read.items[0]) == NULL);
        instance_fold(copy, &read.items[0]);
        records_free(&read);
    }
    json_writer_free(&writer);
}

/* Another, as it is read from the row of this one. */
static struct instance *
from_row(const struct instance *instance)
{
    struct json_writer writer = { 0 };
    struct instance *row = NULL;
    struct problem problem;

    instance_write(instance, &writer);
    assert(instance_read(writer.text, writer.bytes, find, (void *)(uintptr_t)instance->definition,
                         &problem, &row) == ERR_OK);
    json_writer_reset(&writer);
    instance_history(instance, &writer);
    json_writer_free(&writer);
    return row;
}

static void
run(struct definition *definition, struct dice *dice)
{
    static const struct uuid id = { .bytes = { 1, 0x9a, [6] = 0x70, [8] = 0x80 } };
    json_t *input = json_pack("{s:i, s:s}", "a", 1, "b", "text");
    struct engine_event event = { .kind = ENGINE_START, .definition = definition, .input = input };
    struct instance *instance = instance_new(id), *copy = instance_new(id);
    struct records records = { 0 };
    struct problem problem;
    int64_t now_us = 1000000;
    bool has_started;

    has_started = engine_decide(instance, &event, now_us, &records, &problem) == ERR_OK;
    fold(&records, copy, definition);
    for (int i = 0; has_started && i < EVENTS_HERE && !instance->is_ended; i++) {
        struct random_event random;
        struct due due;

        engine_due(instance, now_us, &due);
        now_us = due.look_again_us > now_us ? due.look_again_us : now_us + 1000;
        due_free(&due);
        random_event(dice, instance, &random);
        records_reset(&records);
        engine_decide(instance, &random.event, now_us, &records, &problem);
        fold(&records, copy, definition);
        json_decref(random.json);
        assert(instance_limbo(instance) == NULL);
    }
    if (has_started) {
        struct instance *row = from_row(copy);

        assert(instance_equal(instance, copy) && instance_equal(row, copy));
        instance_free(row);
    }
    records_free(&records);
    instance_free(instance);
    instance_free(copy);
    json_decref(input);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size == 0 ? NULL : memchr(data, 0, size);
    size_t bytes = end == NULL ? size : (size_t)(end - data);
    struct definition *definition;
    struct problem problem;

    for (int kind = 0; kind < 3; kind++) {
        const struct definition_options options = { .must_be_grpc = kind == 1,
                                                    .is_stored = kind == 2 };
        struct dice dice = { .bytes = end == NULL ? data : end + 1,
                             .left = end == NULL ? 0 : size - bytes - 1,
                             .state = hash_bytes(HASH_SEED, data, size) };

        if (definition_read((const char *)data, bytes, &options, &problem, &definition) != ERR_OK)
            continue;
        run(definition, &dice);
        definition_free(definition);
    }
    return 0;
}
