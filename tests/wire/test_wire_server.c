/* The server over loopback, asked by a bare C core client.
 *
 * The service is a stub on storage's protos: its rows decode and encode for real, and what is
 * submitted is answered by another thread, at once or when the test lets it. */
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/wire/rpc_server.h"
#include "mesh/wire/rpc_status.h"

#include <check.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/health/v1/health.pb-c.h>
#include <grpc/reflection/v1/reflection.pb-c.h>
#include <grpc/support/alloc.h>
#include <pthread.h>
#include <sagamesh/batch/v1/batch_service.pb-c.h>
#include <sagamesh/storage/v1/storage_service.pb-c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORAGE "sagamesh.storage.v1.StorageService/"

/* ---- the stub ---- */

struct stub_op {
    struct op op;
    const char *sku;
    int64_t quantity;
};

static enum error
stub_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Storage__V1__RestockRequest *request =
        (const Sagamesh__Storage__V1__RestockRequest *)message;
    struct stub_op *stub = op;

    (void)arena;
    if (request->quantity == 0)
        return problem_set(&stub->op.problem, ERR_BAD_REQUEST, "quantity",
                           "quantity must not be 0");
    stub->sku = request->sku;
    stub->quantity = request->quantity;
    return ERR_OK;
}

/* Storage's other methods are not asked, but the table must have them. */
static enum error
other_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    (void)message;
    (void)arena;
    return problem_set(&((struct op *)op)->problem, ERR_NOT_FOUND, NULL, "not in this test");
}

/* free is the time that was left, on_hand the length of the traceparent: so that the test sees them. */
static ProtobufCMessage *
stub_encode(const void *op, struct arena *arena)
{
    const struct stub_op *stub = op;
    Sagamesh__Storage__V1__RestockResponse *response = arena_take(arena, sizeof *response);
    Sagamesh__Storage__V1__Product *product = arena_take(arena, sizeof *product);

    sagamesh__storage__v1__restock_response__init(response);
    sagamesh__storage__v1__product__init(product);
    product->sku = arena_copy(arena, stub->sku, strlen(stub->sku));
    product->sold = stub->quantity;
    product->on_hand = (int64_t)strlen(stub->op.traceparent);
    product->free = stub->op.now_us;
    response->product = product;
    if (strcmp(stub->sku, "huge") == 0) {
        product->currency = arena_take(arena, (1 << 20) + 1);
        memset(product->currency, 'x', 1 << 20);
    }
    return &response->base;
}

/* clang-format off */
static const struct method stub_methods[] = {
    { .name = "PutProduct",   .op_bytes = sizeof(struct stub_op), .decode = other_decode, .encode = stub_encode },
    { .name = "Restock",      .op_bytes = sizeof(struct stub_op), .decode = stub_decode,  .encode = stub_encode },
    { .name = "Reserve",      .op_bytes = sizeof(struct stub_op), .decode = other_decode, .encode = stub_encode },
    { .name = "Confirm",      .op_bytes = sizeof(struct stub_op), .decode = other_decode, .encode = stub_encode },
    { .name = "Release",      .op_bytes = sizeof(struct stub_op), .decode = other_decode, .encode = stub_encode },
    { .name = "GetProduct",   .op_bytes = sizeof(struct stub_op), .decode = other_decode, .encode = stub_encode },
    { .name = "ListProducts", .op_bytes = sizeof(struct stub_op), .decode = other_decode, .encode = stub_encode },
    { .name = "GetHold",      .op_bytes = sizeof(struct stub_op), .decode = other_decode, .encode = stub_encode },
    { 0 },
};
/* clang-format on */

enum { CALLS_MAX = 40 };

static struct queue *queue; /* between the rpc thread and the one that decides */
static pthread_t decider;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* held: nothing is decided */
static atomic_int submitted;

static void
stub_decide(struct call *call)
{
    struct stub_op *stub = (struct stub_op *)call->op;

    stub->op.now_us = call->deadline_us - clock_steady_us();
    if (stub->quantity < 0) {
        problem_refuse(&stub->op.problem, "NO_STOCK", "quantity", "only %d are free", 2);
        stub->op.problem.is_stored = true;
    }
    call->finish(call);
}

static void *
decide(void *data)
{
    size_t count;

    (void)data;
    for (;;) {
        struct queue_item *item = queue_take(queue, 16, -1, &count);

        if (item == NULL && queue_is_closed(queue))
            return NULL;
        pthread_mutex_lock(&gate);
        while (item != NULL) {
            struct queue_item *next = item->next;

            stub_decide((struct call *)item);
            item = next;
        }
        pthread_mutex_unlock(&gate);
    }
}

static void
stub_submit(void *owner, struct call *call)
{
    ck_assert_ptr_eq(owner, &queue);
    atomic_fetch_add(&submitted, 1);
    ck_assert(queue_push_always(queue, &call->item));
}

/* ---- the client ---- */

static struct rpc_server *server;
static grpc_channel *channel;
static grpc_completion_queue *events;
static struct arena *arena;

struct answer {
    grpc_status_code code;
    char message[256];
    struct rpc_error_info info;
    int32_t detail_code; /* of the google.rpc.Status */
    uint8_t *reply;      /* in the arena; NULL: none */
    size_t reply_bytes;
};

/* A call of the client; streams send and receive one message at a time. */
struct client_call {
    grpc_call *grpc;
    grpc_metadata_array initial, trailing;
    grpc_status_code code;
    grpc_slice message;
    const char *error_text;
    grpc_byte_buffer *received;
};

static gpr_timespec
in_ms(int64_t ms)
{
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN));
}

/* The next event must be this tag's. */
static bool
await(void *tag)
{
    grpc_event event = grpc_completion_queue_next(events, in_ms(10000), NULL);

    ck_assert_msg(event.type == GRPC_OP_COMPLETE, "no answer in 10 s");
    ck_assert_ptr_eq(event.tag, tag);
    return event.success != 0;
}

static grpc_byte_buffer *
buffer_of(const uint8_t *bytes, size_t count)
{
    grpc_slice slice = grpc_slice_from_copied_buffer((const char *)bytes, count);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);

    grpc_slice_unref(slice);
    return buffer;
}

/* Takes the buffer. */
static uint8_t *
bytes_of(grpc_byte_buffer *buffer, size_t *ret_count)
{
    grpc_byte_buffer_reader reader;
    grpc_slice slice;
    uint8_t *bytes;

    *ret_count = 0;
    if (buffer == NULL)
        return NULL;
    ck_assert(grpc_byte_buffer_reader_init(&reader, buffer));
    slice = grpc_byte_buffer_reader_readall(&reader);
    *ret_count = GRPC_SLICE_LENGTH(slice);
    bytes = arena_take(arena, *ret_count + 1);
    memcpy(bytes, GRPC_SLICE_START_PTR(slice), *ret_count);
    grpc_slice_unref(slice);
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(buffer);
    return bytes;
}

static struct client_call *
call_new(const char *method, int64_t timeout_ms)
{
    struct client_call *call = arena_take(arena, sizeof *call);
    grpc_slice path = grpc_slice_from_copied_string(arena_print(arena, "/%s", method));

    grpc_metadata_array_init(&call->initial);
    grpc_metadata_array_init(&call->trailing);
    call->grpc = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, events, path,
                                          NULL, in_ms(timeout_ms), NULL);
    grpc_slice_unref(path);
    return call;
}

static void
call_read(struct client_call *call, struct answer *ret_answer)
{
    size_t bytes = GRPC_SLICE_LENGTH(call->message);

    memset(ret_answer, 0, sizeof *ret_answer);
    ret_answer->code = call->code;
    ck_assert_uint_lt(bytes, sizeof ret_answer->message);
    memcpy(ret_answer->message, GRPC_SLICE_START_PTR(call->message), bytes);
    for (size_t i = 0; i < call->trailing.count; i++) {
        grpc_metadata *entry = &call->trailing.metadata[i];
        Google__Rpc__Status *status;

        if (grpc_slice_str_cmp(entry->key, RPC_STATUS_KEY) != 0)
            continue;
        status = google__rpc__status__unpack(NULL, GRPC_SLICE_LENGTH(entry->value),
                                             GRPC_SLICE_START_PTR(entry->value));
        ck_assert_ptr_nonnull(status);
        ck_assert_str_eq(status->message, ret_answer->message);
        ck_assert_uint_eq(status->n_details, 1);
        ret_answer->detail_code = status->code;
        rpc_status_read(status, &ret_answer->info);
        google__rpc__status__free_unpacked(status, NULL);
    }
    ret_answer->reply = bytes_of(call->received, &ret_answer->reply_bytes);
    call->received = NULL;
}

static void
call_free(struct client_call *call)
{
    grpc_slice_unref(call->message);
    gpr_free((void *)(uintptr_t)call->error_text);
    grpc_metadata_array_destroy(&call->initial);
    grpc_metadata_array_destroy(&call->trailing);
    grpc_call_unref(call->grpc);
}

/* Starts a unary call; traceparent may be NULL. Its tag is the call. */
static struct client_call *
unary_start(const char *method, const uint8_t *bytes, size_t count, int64_t timeout_ms,
            const char *traceparent)
{
    struct client_call *call = call_new(method, timeout_ms);
    grpc_byte_buffer *message = buffer_of(bytes, count);
    grpc_metadata header = { .key = grpc_slice_from_static_string("traceparent"),
                             .value = grpc_slice_from_static_string(
                                 traceparent == NULL ? "" : traceparent) };
    grpc_op ops[] = {
        { .op = GRPC_OP_SEND_INITIAL_METADATA,
          .data.send_initial_metadata = { .count = traceparent == NULL ? 0 : 1,
                                          .metadata = &header } },
        { .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message },
        { .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT },
        { .op = GRPC_OP_RECV_INITIAL_METADATA,
          .data.recv_initial_metadata.recv_initial_metadata = &call->initial },
        { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->received },
        { .op = GRPC_OP_RECV_STATUS_ON_CLIENT,
          .data.recv_status_on_client = { .trailing_metadata = &call->trailing,
                                          .status = &call->code,
                                          .status_details = &call->message,
                                          .error_string = &call->error_text } },
    };

    ck_assert_int_eq(grpc_call_start_batch(call->grpc, ops, 6, call, NULL), GRPC_CALL_OK);
    grpc_byte_buffer_destroy(message);
    return call;
}

static void
unary_await(struct client_call *call, struct answer *ret_answer)
{
    await(call);
    call_read(call, ret_answer);
    call_free(call);
}

static void
unary(const char *method, const uint8_t *bytes, size_t count, struct answer *ret_answer)
{
    unary_await(unary_start(method, bytes, count, 10000, NULL), ret_answer);
}

static size_t
restock_pack(const char *sku, int64_t quantity, uint8_t **ret_bytes)
{
    Sagamesh__Storage__V1__RestockRequest request = SAGAMESH__STORAGE__V1__RESTOCK_REQUEST__INIT;

    request.sku = (char *)(uintptr_t)sku;
    request.quantity = quantity;
    *ret_bytes =
        arena_take(arena, sagamesh__storage__v1__restock_request__get_packed_size(&request));
    return sagamesh__storage__v1__restock_request__pack(&request, *ret_bytes);
}

static struct client_call *
restock_start(const char *sku, int64_t quantity, int64_t timeout_ms, const char *traceparent)
{
    uint8_t *bytes;
    size_t count = restock_pack(sku, quantity, &bytes);

    return unary_start(STORAGE "Restock", bytes, count, timeout_ms, traceparent);
}

/* The stub's product; freed with product_free. */
static Sagamesh__Storage__V1__RestockResponse *
response_of(const uint8_t *bytes, size_t count)
{
    Sagamesh__Storage__V1__RestockResponse *response =
        sagamesh__storage__v1__restock_response__unpack(NULL, count, bytes);

    ck_assert_ptr_nonnull(response);
    ck_assert_ptr_nonnull(response->product);
    return response;
}

static void
wait_submitted(int count)
{
    int64_t until_us = clock_steady_us() + 10 * SECOND_US;

    while (atomic_load(&submitted) < count && clock_steady_us() < until_us)
        sched_yield();
    ck_assert_int_ge(atomic_load(&submitted), count);
}

/* ---- set up, take down ---- */

static void
client_open(void)
{
    char address[32];
    grpc_channel_credentials *plain = grpc_insecure_credentials_create();
    grpc_arg list[] = {
        { GRPC_ARG_INTEGER, (char *)(uintptr_t)GRPC_ARG_ENABLE_RETRIES, { .integer = 0 } },
        { GRPC_ARG_INTEGER,
          (char *)(uintptr_t)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL,
          { .integer = 1 } },
    };
    grpc_channel_args args = { 2, list };

    snprintf(address, sizeof address, "127.0.0.1:%d", rpc_server_port(server));
    events = grpc_completion_queue_create_for_next(NULL);
    channel = grpc_channel_create(address, plain, &args);
    grpc_channel_credentials_release(plain);
}

static void
set_up(void)
{
    static const struct rpc_service services[] = {
        { &sagamesh__storage__v1__storage_service__descriptor, stub_methods, stub_submit, &queue },
    };
    struct rpc_server_options options = {
        .listen = "127.0.0.1:0", .calls_max = CALLS_MAX, .services = services, .service_count = 1
    };

    log_open("test", LOG_ERROR);
    grpc_init();
    arena = arena_new();
    queue = queue_new(1);
    atomic_store(&submitted, 0);
    pthread_create(&decider, NULL, decide, NULL);
    ck_assert_int_eq(rpc_server_open(&options, &server), ERR_OK);
    client_open();
}

static void
client_close(void)
{
    grpc_channel_destroy(channel);
    grpc_completion_queue_shutdown(events);
    while (grpc_completion_queue_next(events, in_ms(10000), NULL).type != GRPC_QUEUE_SHUTDOWN)
        continue;
    grpc_completion_queue_destroy(events);
}

static void
server_end(void)
{
    rpc_server_stop(server, 10000);
    queue_close(queue);
    pthread_join(decider, NULL);
    server = rpc_server_close(server);
}

static void
take_down(void)
{
    client_close();
    if (server != NULL)
        server_end();
    queue_free(queue);
    arena_free(arena);
    grpc_shutdown();
}

/* ---- unary calls ---- */

START_TEST(a_call_is_answered)
{
    struct answer answer;
    Sagamesh__Storage__V1__RestockResponse *response;

    unary_await(
        restock_start("apple", 7, 5000, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        &answer);
    ck_assert_msg(answer.code == GRPC_STATUS_OK, "%s", answer.message);
    response = response_of(answer.reply, answer.reply_bytes);
    ck_assert_str_eq(response->product->sku, "apple");
    ck_assert_int_eq(response->product->sold, 7);
    ck_assert_int_eq(response->product->on_hand, TRACEPARENT_BYTES);
    ck_assert_int_gt(response->product->free, 2 * SECOND_US); /* the deadline travelled */
    ck_assert_int_le(response->product->free, 5 * SECOND_US);
    sagamesh__storage__v1__restock_response__free_unpacked(response, NULL);
}
END_TEST

START_TEST(a_bad_traceparent_is_as_good_as_none)
{
    struct answer answer;
    Sagamesh__Storage__V1__RestockResponse *response;

    unary_await(restock_start("apple", 7, 5000, "00-nonsense"), &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_OK);
    response = response_of(answer.reply, answer.reply_bytes);
    ck_assert_int_eq(response->product->on_hand, 0);
    sagamesh__storage__v1__restock_response__free_unpacked(response, NULL);
}
END_TEST

/* clang-format off */
#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1
static const struct {
    const char *what, *method;
    const uint8_t *bytes;
    size_t count;
    grpc_status_code code;
    struct rpc_error_info info;
} refusals[] = {
    { "decode refuses", STORAGE "Restock", BYTES("\x12\x01" "a"), GRPC_STATUS_INVALID_ARGUMENT,
      { .reason = "BAD_REQUEST", .field = "quantity", .rule = "quantity must not be 0" } },
    { "a rule refuses, recorded", STORAGE "Restock",
      BYTES("\x12\x01" "a" "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), GRPC_STATUS_FAILED_PRECONDITION,
      { .reason = "NO_STOCK", .field = "quantity", .rule = "only 2 are free", .is_stored = true } },
    { "text that is not UTF-8", STORAGE "Restock", BYTES("\x12\x02\xc3\x28\x18\x01"), GRPC_STATUS_INVALID_ARGUMENT,
      { .reason = "BAD_REQUEST", .field = "sku", .rule = "text must be valid UTF-8" } },
    { "the same, in a line", STORAGE "Reserve", BYTES("\x1a\x03\x0a\x01" "a" "\x1a\x03\x0a\x01\xff"),
      GRPC_STATUS_INVALID_ARGUMENT,
      { .reason = "BAD_REQUEST", .field = "lines[1].sku", .rule = "text must be valid UTF-8" } },
    { "a NUL", STORAGE "Restock", BYTES("\x12\x03" "a\0b\x18\x01"), GRPC_STATUS_INVALID_ARGUMENT,
      { .reason = "BAD_REQUEST", .field = "sku", .rule = "text must not contain a NUL" } },
    { "cut short", STORAGE "Restock", BYTES("\x12\x09" "abc"), GRPC_STATUS_INVALID_ARGUMENT,
      { .reason = "BAD_REQUEST", .rule = "the request is cut short or is no sagamesh.storage.v1.RestockRequest" } },
    { "no such method", STORAGE "Steal", BYTES(""), GRPC_STATUS_UNIMPLEMENTED,
      { .reason = "UNIMPLEMENTED", .rule = "no method /" STORAGE "Steal here" } },
    { "no such service", "a.B/C", BYTES("x"), GRPC_STATUS_UNIMPLEMENTED,
      { .reason = "UNIMPLEMENTED", .rule = "no method /a.B/C here" } },
    { "health of an unknown service", "grpc.health.v1.Health/Check", BYTES("\x0a\x01" "x"), GRPC_STATUS_NOT_FOUND,
      { .reason = "NOT_FOUND", .field = "service", .rule = "no such service here" } },
    { "a garbled envelope", "sagamesh.batch.v1.BatchService/Call", BYTES("\x0a\x05\x0a"), GRPC_STATUS_INVALID_ARGUMENT,
      { .reason = "BAD_REQUEST", .rule = "the request is cut short or is no sagamesh.batch.v1.CallRequest" } },
};
/* clang-format on */

START_TEST(a_refusal_says_why)
{
    struct answer answer;

    unary(refusals[_i].method, refusals[_i].bytes, refusals[_i].count, &answer);
    ck_assert_msg(answer.code == refusals[_i].code, "%s: %d %s", refusals[_i].what, answer.code,
                  answer.message);
    ck_assert_int_eq(answer.detail_code, (int)answer.code);
    ck_assert_str_eq(answer.info.domain, "sagamesh");
    ck_assert_str_eq(answer.info.reason, refusals[_i].info.reason);
    ck_assert_str_eq(answer.info.field, refusals[_i].info.field);
    ck_assert_str_eq(answer.info.rule, refusals[_i].info.rule);
    ck_assert_int_eq(answer.info.is_stored, refusals[_i].info.is_stored);
    ck_assert(!answer.info.nothing_done);
}
END_TEST

START_TEST(a_message_over_the_limit_is_refused_and_the_next_is_served)
{
    struct answer answer;
    char *sku = arena_take(arena, RPC_MESSAGE_BYTES_MAX + 1);

    memset(sku, 'a', RPC_MESSAGE_BYTES_MAX);
    unary_await(restock_start(sku, 1, 10000, NULL), &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_RESOURCE_EXHAUSTED);
    sku[RPC_MESSAGE_BYTES_MAX - 16] = '\0';
    unary_await(restock_start(sku, 1, 10000, NULL), &answer);
    ck_assert_msg(answer.code == GRPC_STATUS_OK, "%d %s", answer.code, answer.message);
}
END_TEST

START_TEST(a_call_beyond_the_limit_is_told_busy)
{
    struct client_call *calls[CALLS_MAX];
    struct answer answer;

    pthread_mutex_lock(&gate);
    for (int i = 0; i < CALLS_MAX; i++)
        calls[i] = restock_start("apple", 1, 10000, NULL);
    wait_submitted(CALLS_MAX);
    unary_await(restock_start("apple", 1, 10000, NULL), &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_RESOURCE_EXHAUSTED);
    ck_assert_str_eq(answer.info.reason, "BUSY");
    ck_assert(answer.info.nothing_done);
    unary("grpc.health.v1.Health/Check", NULL, 0, &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_OK); /* busy is not ill */
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < CALLS_MAX; i++) {
        grpc_event event = grpc_completion_queue_next(events, in_ms(10000), NULL);

        ck_assert_int_eq(event.type, GRPC_OP_COMPLETE);
        call_read(event.tag, &answer);
        ck_assert_int_eq(answer.code, GRPC_STATUS_OK);
    }
    for (int i = 0; i < CALLS_MAX; i++)
        call_free(calls[i]);
    unary_await(restock_start("apple", 1, 10000, NULL), &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_OK);
}
END_TEST

START_TEST(a_client_that_gives_up_leaves_nothing_behind)
{
    struct client_call *call;
    struct answer answer;
    struct rpc_server_counters counters;

    pthread_mutex_lock(&gate);
    call = restock_start("apple", 1, 50, NULL);
    wait_submitted(1);
    unary_await(call, &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_DEADLINE_EXCEEDED);
    call = restock_start("apple", 1, 10000, NULL);
    wait_submitted(2);
    grpc_call_cancel(call->grpc, NULL);
    unary_await(call, &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_CANCELLED);
    pthread_mutex_unlock(&gate);
    unary_await(restock_start("apple", 1, 10000, NULL), &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_OK);
    rpc_server_count(server, &counters);
    ck_assert_uint_eq(counters.calls, 3);
    ck_assert_uint_eq(counters.busy, 0);
}
END_TEST

START_TEST(a_taken_port_is_an_error)
{
    struct rpc_server_options options = { .calls_max = 1 };
    struct rpc_server *second = NULL;
    char listen[32];

    snprintf(listen, sizeof listen, "127.0.0.1:%d", rpc_server_port(server));
    options.listen = listen;
    log_open("test", LOG_ERROR + 1);
    ck_assert_int_eq(rpc_server_open(&options, &second), ERR_UNREACHABLE);
    ck_assert_ptr_null(second);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("wire_server");
    TCase *cases = tcase_create("unary");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, set_up, take_down);
    tcase_add_test(cases, a_call_is_answered);
    tcase_add_test(cases, a_bad_traceparent_is_as_good_as_none);
    tcase_add_loop_test(cases, a_refusal_says_why, 0, (int)(sizeof refusals / sizeof refusals[0]));
    tcase_add_test(cases, a_message_over_the_limit_is_refused_and_the_next_is_served);
    tcase_add_test(cases, a_call_beyond_the_limit_is_told_busy);
    tcase_add_test(cases, a_client_that_gives_up_leaves_nothing_behind);
    tcase_add_test(cases, a_taken_port_is_an_error);
    suite_add_tcase(suite, cases);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
