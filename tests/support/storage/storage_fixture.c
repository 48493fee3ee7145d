#include "tests/support/storage/storage_fixture.h"

#include <string.h>

static const struct method *
storage_method(const char *name)
{
    const struct method *method = storage_methods;

    while (method->name != NULL && strcmp(method->name, name) != 0)
        method++;
    ck_assert_msg(method->name != NULL, "%s is no method", name);
    return method;
}

struct uuid
storage_id(void)
{
    return uuid_v7(clock_now_us());
}

/* Called inside finish(), while the batch's rows are there. */
static void
storage_look(struct test_call *test)
{
    const struct method *method = test->call.method;
    ProtobufCMessage *message;
    uint8_t *bytes;

    if (test->call.op->problem.error != ERR_OK || method->encode == NULL)
        return;
    message = method->encode(test->call.op, test->call.arena);
    bytes = arena_take(test->call.arena, protobuf_c_message_get_packed_size(message) + 1);
    test->answer_bytes = protobuf_c_message_pack(message, bytes);
    test->answer = bytes;
}

static void *
storage_alloc(void *arena, size_t bytes)
{
    return arena_take(arena, bytes);
}

static void
storage_no_free(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
}

struct test_call *
storage_call(const char *name, const ProtobufCMessage *message)
{
    struct test_call *test = call_fixture_new(storage_method(name));
    uint8_t *bytes = arena_take(test->call.arena, protobuf_c_message_get_packed_size(message) + 1);
    size_t count = protobuf_c_message_pack(message, bytes);
    ProtobufCAllocator allocator = { storage_alloc, storage_no_free, test->call.arena };
    ProtobufCMessage *copy =
        protobuf_c_message_unpack(message->descriptor, &allocator, count, bytes);
    enum error error;

    ck_assert_ptr_nonnull(copy);
    error = test->call.method->decode(copy, test->call.arena, test->call.op);
    ck_assert_msg(error == ERR_OK, "%s: %s %s", name, test->call.op->problem.field,
                  test->call.op->problem.text);
    test->look = storage_look;
    return test;
}

struct test_call *
storage_put(struct uuid id, const char *sku, int64_t price_minor, const char *currency)
{
    STORAGE(PutProductRequest) request = STORAGE_INIT(PUT_PRODUCT_REQUEST);
    char text[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(id, text);
    request.sku = (char *)sku;
    request.unit_price_minor = price_minor;
    request.currency = (char *)currency;
    return storage_call("PutProduct", &request.base);
}

struct test_call *
storage_restock(struct uuid id, const char *sku, int64_t quantity)
{
    STORAGE(RestockRequest) request = STORAGE_INIT(RESTOCK_REQUEST);
    char text[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(id, text);
    request.sku = (char *)sku;
    request.quantity = quantity;
    return storage_call("Restock", &request.base);
}

struct test_call *
storage_reserve(struct uuid id, const char *sku, int64_t quantity, const char *sku_too,
                int64_t quantity_too, int64_t hold_seconds)
{
    STORAGE(ReserveRequest) request = STORAGE_INIT(RESERVE_REQUEST);
    STORAGE(ReserveLine) lines[2] = { STORAGE_INIT(RESERVE_LINE), STORAGE_INIT(RESERVE_LINE) };
    STORAGE(ReserveLine) * list[2] = { &lines[0], &lines[1] };
    char text[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(id, text);
    request.reference = (char *)"a test";
    request.hold_seconds = hold_seconds;
    lines[0].sku = (char *)sku;
    lines[0].quantity = quantity;
    lines[1].sku = (char *)sku_too;
    lines[1].quantity = quantity_too;
    request.lines = list;
    request.n_lines = sku_too == NULL ? 1 : 2;
    if (sku_too == NULL)
        lines[1].sku = (char *)"";
    return storage_call("Reserve", &request.base);
}

struct test_call *
storage_confirm(struct uuid id, struct uuid hold_id)
{
    STORAGE(ConfirmRequest) request = STORAGE_INIT(CONFIRM_REQUEST);
    char text[UUID_TEXT_BYTES + 1], hold_text[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(id, text);
    request.hold_id = uuid_print(hold_id, hold_text);
    return storage_call("Confirm", &request.base);
}

struct test_call *
storage_release(struct uuid id, struct uuid hold_id)
{
    STORAGE(ReleaseRequest) request = STORAGE_INIT(RELEASE_REQUEST);
    char text[UUID_TEXT_BYTES + 1], hold_text[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(id, text);
    request.hold_id = uuid_print(hold_id, hold_text);
    return storage_call("Release", &request.base);
}

enum error
storage_do(struct pg *pg, struct test_call *test, struct problem *ret_problem)
{
    struct call *call = &test->call;
    enum error error;

    batch_run(&storage_service, pg, &call, 1);
    ck_assert_int_eq(test->finished, 1);
    error = test->call.op->problem.error;
    if (ret_problem != NULL)
        *ret_problem = test->call.op->problem;
    call_fixture_free(test);
    return error;
}
