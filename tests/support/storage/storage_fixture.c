#include "tests/support/storage/storage_fixture.h"

const struct service_parts storage_parts = {
    .schema = "storage-svc/schema",
    .service = &storage_service,
    .methods = storage_methods,
    .reads = storage_reads,
    .statements = storage_statements,
    .tasks = storage_tasks,
};

struct test_call *
storage_put(struct uuid id, const char *sku, int64_t price_minor, const char *currency)
{
    STORAGE(PutProductRequest) request = STORAGE_INIT(PUT_PRODUCT_REQUEST);
    char text[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(id, text);
    request.sku = (char *)sku;
    request.unit_price_minor = price_minor;
    request.currency = (char *)currency;
    return service_call("PutProduct", &request.base);
}

struct test_call *
storage_restock(struct uuid id, const char *sku, int64_t quantity)
{
    STORAGE(RestockRequest) request = STORAGE_INIT(RESTOCK_REQUEST);
    char text[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(id, text);
    request.sku = (char *)sku;
    request.quantity = quantity;
    return service_call("Restock", &request.base);
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
    return service_call("Reserve", &request.base);
}

struct test_call *
storage_confirm(struct uuid id, struct uuid hold_id)
{
    STORAGE(ConfirmRequest) request = STORAGE_INIT(CONFIRM_REQUEST);
    char text[UUID_TEXT_BYTES + 1], hold_text[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(id, text);
    request.hold_id = uuid_print(hold_id, hold_text);
    return service_call("Confirm", &request.base);
}

struct test_call *
storage_release(struct uuid id, struct uuid hold_id)
{
    STORAGE(ReleaseRequest) request = STORAGE_INIT(RELEASE_REQUEST);
    char text[UUID_TEXT_BYTES + 1], hold_text[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(id, text);
    request.hold_id = uuid_print(hold_id, hold_text);
    return service_call("Release", &request.base);
}
