/* The envelope: many calls in one message, each with its own answer. */
#include "tests/support/check.h"
#include "tests/support/rpc/server_harness.h"

#include <stdlib.h>
#include <string.h>

#define ENVELOPE "sagamesh.batch.v1.BatchService/Call"

enum { ITEMS_MAX = RPC_ITEMS_MAX + 1 };

struct item {
    const char *what, *method, *sku;
    int64_t quantity;
    int32_t timeout_ms;
    const char *traceparent;
    int32_t code;
    const char *reason, *field;
};

/* Packs the items into an envelope, in the arena. */
static size_t
envelope_pack(const struct item *items, size_t count, uint8_t **ret_bytes)
{
    static Sagamesh__Batch__V1__CallItem packed[ITEMS_MAX], *pointers[ITEMS_MAX];
    Sagamesh__Batch__V1__CallRequest request = SAGAMESH__BATCH__V1__CALL_REQUEST__INIT;

    for (size_t i = 0; i < count; i++) {
        sagamesh__batch__v1__call_item__init(&packed[i]);
        packed[i].method = (char *)(uintptr_t)items[i].method;
        packed[i].timeout_ms = items[i].timeout_ms;
        packed[i].traceparent =
            (char *)(uintptr_t)(items[i].traceparent == NULL ? "" : items[i].traceparent);
        packed[i].request.len =
            restock_pack(items[i].sku, items[i].quantity, &packed[i].request.data);
        pointers[i] = &packed[i];
    }
    request.n_items = count;
    request.items = pointers;
    *ret_bytes = arena_take(arena, sagamesh__batch__v1__call_request__get_packed_size(&request));
    return sagamesh__batch__v1__call_request__pack(&request, *ret_bytes);
}

static Sagamesh__Batch__V1__CallResponse *
envelope_call(const struct item *items, size_t count, int64_t timeout_ms)
{
    uint8_t *bytes;
    size_t packed = envelope_pack(items, count, &bytes);
    Sagamesh__Batch__V1__CallResponse *response;
    struct answer answer;

    unary_await(unary_start(ENVELOPE, bytes, packed, timeout_ms, NULL), &answer);
    ck_assert_msg(answer.code == GRPC_STATUS_OK, "%d %s", answer.code, answer.message);
    response = sagamesh__batch__v1__call_response__unpack(NULL, answer.reply_bytes, answer.reply);
    ck_assert_ptr_nonnull(response);
    ck_assert_uint_eq(response->n_results, count);
    return response;
}

/* clang-format off */
#define TRACE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define HEALTH "grpc.health.v1.Health/"
#define RESTOCK STORAGE "Restock"
static const struct item mixed[] = {
    { "good",                  RESTOCK, "a", 1, 0, NULL, 0, "", "" },
    { "no such method",        STORAGE "Steal", "b", 1, 0, NULL, 12, "UNIMPLEMENTED", "method" },
    { "good, with a trace",    RESTOCK, "c", 3, 0, TRACE, 0, "", "" },
    { "refused by a rule",     RESTOCK, "d", -4, 0, NULL, 9, "NO_STOCK", "quantity" },
    { "refused by decode",     RESTOCK, "e", 0, 0, NULL, 3, "BAD_REQUEST", "quantity" },
    { "of the mesh alone",     STORAGE_SAGA "Release", "b", 1, 0, NULL, 12, "UNIMPLEMENTED", "method" },
    { "a batch in a batch",    ENVELOPE, "f", 1, 0, NULL, 12, "UNIMPLEMENTED", "method" },
    { "a stream",              HEALTH "Watch", "f", 1, 0, NULL, 12, "UNIMPLEMENTED", "method" },
    { "bad text inside",       RESTOCK, "\xff", 1, 0, NULL, 3, "BAD_REQUEST", "sku" },
    { "negative time",         RESTOCK, "h", 1, -1, NULL, 3, "BAD_REQUEST", "timeout_ms" },
    { "a slow decode",         RESTOCK, "slow", 1, 5000, NULL, 0, "", "" },
    { "too late for 1 ms",     RESTOCK, "i", 1, 1, NULL, 4, "EXPIRED", "" },
    { "good, with its own time", RESTOCK, "j", 8, 2000, NULL, 0, "", "" },
};
/* clang-format on */

START_TEST(each_item_has_its_own_answer_in_order)
{
    enum { COUNT = sizeof mixed / sizeof mixed[0] };
    Sagamesh__Batch__V1__CallResponse *response = envelope_call(mixed, COUNT, 10000);

    for (size_t i = 0; i < COUNT; i++) {
        const Sagamesh__Batch__V1__CallResult *result = response->results[i];
        Sagamesh__Storage__V1__RestockResponse *restocked;
        struct rpc_error_info info;

        rpc_status_read(result->status, &info);
        ck_assert_msg((result->status == NULL ? 0 : result->status->code) == mixed[i].code,
                      "%s: %s", mixed[i].what, info.rule);
        ck_assert_str_eq(info.reason, mixed[i].reason);
        ck_assert_str_eq(info.field, mixed[i].field);
        if (mixed[i].code != 0) {
            ck_assert_uint_eq(result->response.len, 0);
            continue;
        }
        restocked = response_of(result->response.data, result->response.len);
        ck_assert_str_eq(restocked->product->sku, mixed[i].sku);
        ck_assert_int_eq(restocked->product->on_hand,
                         mixed[i].traceparent == NULL ? 0 : TRACEPARENT_BYTES);
        /* gRPC rounds what is left of a deadline up. */
        ck_assert_int_le(restocked->product->free,
                         (mixed[i].timeout_ms == 0 ? 10000 : mixed[i].timeout_ms) * INT64_C(1000) +
                             SECOND_US);
        sagamesh__storage__v1__restock_response__free_unpacked(restocked, NULL);
    }
    sagamesh__batch__v1__call_response__free_unpacked(response, NULL);
    ck_assert(calls_counted(RESTOCK, "OK") == 4);
    ck_assert(calls_counted(RESTOCK, "FAILED_PRECONDITION") == 1);
    ck_assert(calls_counted(RESTOCK, "INVALID_ARGUMENT") == 3);
    ck_assert(calls_counted(RESTOCK, "DEADLINE_EXCEEDED") == 1);
    ck_assert(calls_counted("_OTHER", "UNIMPLEMENTED") == 3);
    ck_assert(calls_counted(ENVELOPE, "UNIMPLEMENTED") == 1);
    ck_assert(calls_counted(ENVELOPE, "OK") == 1);
    ck_assert(metric_shown(server_metrics,
                           "sagamesh_rpc_server_items_total{listener=\"public\"}") == COUNT);
}
END_TEST

START_TEST(an_empty_envelope_has_an_empty_answer)
{
    sagamesh__batch__v1__call_response__free_unpacked(envelope_call(NULL, 0, 10000), NULL);
}
END_TEST

START_TEST(items_beyond_the_limit_are_busy_one_by_one)
{
    enum { COUNT = CALLS_MAX + 5 };
    struct item items[COUNT];
    struct client_call *call;
    struct answer answer;
    Sagamesh__Batch__V1__CallResponse *response;
    uint8_t *bytes;
    size_t count;

    for (size_t i = 0; i < COUNT; i++)
        items[i] = mixed[0];
    count = envelope_pack(items, COUNT, &bytes);
    pthread_mutex_lock(&gate);
    call = unary_start(ENVELOPE, bytes, count, 10000, NULL);
    wait_submitted(CALLS_MAX);
    pthread_mutex_unlock(&gate);
    unary_await(call, &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_OK);
    response = sagamesh__batch__v1__call_response__unpack(NULL, answer.reply_bytes, answer.reply);
    ck_assert_uint_eq(response->n_results, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        struct rpc_error_info info;

        rpc_status_read(response->results[i]->status, &info);
        /* the first ones may be decided before the last ones come */
        if (i < CALLS_MAX)
            ck_assert_ptr_null(response->results[i]->status);
        else if (info.reason[0] != '\0')
            ck_assert(strcmp(info.reason, "BUSY") == 0 && info.nothing_done);
    }
    sagamesh__batch__v1__call_response__free_unpacked(response, NULL);
}
END_TEST

START_TEST(too_many_items_are_refused_whole)
{
    static struct item items[ITEMS_MAX];
    struct answer answer;
    uint8_t *bytes;
    size_t count;

    for (size_t i = 0; i < ITEMS_MAX; i++)
        items[i] = mixed[0];
    count = envelope_pack(items, ITEMS_MAX, &bytes);
    unary(ENVELOPE, bytes, count, &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_INVALID_ARGUMENT);
    ck_assert_str_eq(answer.info.field, "items");
    ck_assert_int_eq(atomic_load(&submitted), 0);
}
END_TEST

/* Six answers of a megabyte do not fit in four. */
START_TEST(an_answer_that_does_not_fit_is_withheld)
{
    enum { COUNT = 6 };
    struct item items[COUNT];
    Sagamesh__Batch__V1__CallResponse *response;
    size_t withheld = 0;

    for (size_t i = 0; i < COUNT; i++)
        items[i] = (struct item){ .method = RESTOCK, .sku = "huge", .quantity = 1 };
    response = envelope_call(items, COUNT, 10000);
    for (size_t i = 0; i < COUNT; i++) {
        struct rpc_error_info info;

        if (response->results[i]->status == NULL)
            continue;
        rpc_status_read(response->results[i]->status, &info);
        ck_assert_str_eq(info.reason, "UNCERTAIN");
        ck_assert(!info.nothing_done);
        withheld++;
    }
    ck_assert_uint_eq(withheld, 3);
    sagamesh__batch__v1__call_response__free_unpacked(response, NULL);
}
END_TEST

START_TEST(a_client_that_gives_up_ends_its_envelope)
{
    struct client_call *call;
    struct answer answer;
    uint8_t *bytes;
    size_t count = envelope_pack(mixed, 4, &bytes);

    pthread_mutex_lock(&gate);
    call = unary_start(ENVELOPE, bytes, count, 10000, NULL);
    wait_submitted(3);
    grpc_call_cancel(call->grpc, NULL);
    unary_await(call, &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_CANCELLED);
    pthread_mutex_unlock(&gate);
    sagamesh__batch__v1__call_response__free_unpacked(envelope_call(mixed, 1, 10000), NULL);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("envelope");

    tcase_add_checked_fixture(cases, set_up, take_down);
    tcase_add_test(cases, each_item_has_its_own_answer_in_order);
    tcase_add_test(cases, an_empty_envelope_has_an_empty_answer);
    tcase_add_test(cases, items_beyond_the_limit_are_busy_one_by_one);
    tcase_add_test(cases, too_many_items_are_refused_whole);
    tcase_add_test(cases, an_answer_that_does_not_fit_is_withheld);
    tcase_add_test(cases, a_client_that_gives_up_ends_its_envelope);
    return check_run("wire_server_batch", cases);
}
