/* fuzz_pbjson.c -- Bytes as a message, and JSON as a request: refused, or the same both ways.
 *
 * The first byte chooses the message. What decodes must encode again, and decode to the same JSON.
 */
#include "mesh/pb/pbjson.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern const uint8_t descriptor_set_start[], descriptor_set_end[];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {
    "sagamesh.storage.v1.ReserveRequest",
    "sagamesh.storage.v1.ReserveResponse",
    "sagamesh.order.v1.PlaceRequest",
    "sagamesh.batch.v1.CallRequest",
    "google.rpc.ErrorInfo",
};

static struct pbjson *
load(void)
{
    static struct pbjson *pbjson;
    struct problem problem;

    if (pbjson == NULL &&
        pbjson_load(descriptor_set_start, (size_t)(descriptor_set_end - descriptor_set_start),
                    &problem, &pbjson) != ERR_OK)
        abort();
    return pbjson;
}

static void
from_bytes(const struct pbjson_message *message, const uint8_t *bytes, size_t count,
           struct arena *arena)
{
    struct problem problem;
    json_t *json, *again;
    uint8_t *encoded;
    size_t encoded_count;

    if (pbjson_decode(message, bytes, count, &problem, &json) != ERR_OK)
        return;
    if (pbjson_encode(message, json, arena, &problem, &encoded, &encoded_count) == ERR_OK) {
        assert(pbjson_decode(message, encoded, encoded_count, &problem, &again) == ERR_OK);
        assert(json_equal(json, again));
        json_decref(again);
    }
    json_decref(json);
}

static void
from_json(const struct pbjson_message *message, const uint8_t *text, size_t count,
          struct arena *arena)
{
    json_t *json = json_loadb((const char *)text, count, JSON_REJECT_DUPLICATES, NULL);
    struct problem problem;
    uint8_t *encoded;
    size_t encoded_count;

    if (json != NULL &&
        pbjson_encode(message, json, arena, &problem, &encoded, &encoded_count) == ERR_OK)
        from_bytes(message, encoded, encoded_count, arena);
    json_decref(json);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct pbjson_message *message;
    struct arena *arena;

    if (size == 0)
        return 0;
    message = pbjson_message_find(load(), names[data[0] % (sizeof names / sizeof *names)]);
    if (message == NULL)
        return 0;
    arena = arena_new();
    from_bytes(message, data + 1, size - 1, arena);
    from_json(message, data + 1, size - 1, arena);
    arena_free(arena);
    return 0;
}
