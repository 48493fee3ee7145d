#include "tests/support/rpc/server_harness.h"
#include "mesh/rpc/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the stub ---- */

struct stub_op {
    struct op op;
    const char *sku;
    int64_t quantity;
};

static char op_owner; /* an address, no more */

enum error
stub_decode(const ProtobufCMessage *message, struct arena *memory, void *op)
{
    const Sagamesh__Storage__V1__RestockRequest *request =
        (const Sagamesh__Storage__V1__RestockRequest *)message;
    struct stub_op *stub = op;

    (void)memory;
    assert(stub->op.owner == &op_owner); /* of a lone call as of one in an envelope */
    if (request->quantity == 0)
        return problem_set(&stub->op.problem, ERR_BAD_REQUEST, "quantity",
                           "quantity must not be 0");
    for (int64_t from_us = clock_steady_us(); strcmp(request->sku, "slow") == 0;) {
        if (clock_steady_us() > from_us + 5000) /* a decode that takes its time */
            break;
    }
    stub->sku = request->sku;
    stub->quantity = request->quantity;
    return ERR_OK;
}

/* Storage's other methods are not asked, but the table must have them. */
static enum error
other_decode(const ProtobufCMessage *message, struct arena *memory, void *op)
{
    (void)message;
    (void)memory;
    return problem_set(&((struct op *)op)->problem, ERR_NOT_FOUND, NULL, "not in this test");
}

ProtobufCMessage *
stub_encode(const void *op, struct arena *memory)
{
    const struct stub_op *stub = op;
    Sagamesh__Storage__V1__RestockResponse *response = arena_take(memory, sizeof *response);
    Sagamesh__Storage__V1__Product *product = arena_take(memory, sizeof *product);

    sagamesh__storage__v1__restock_response__init(response);
    sagamesh__storage__v1__product__init(product);
    product->sku = arena_copy(arena, stub->sku, strlen(stub->sku));
    product->sold = stub->quantity;
    product->on_hand = (int64_t)strlen(stub->op.traceparent);
    product->free = stub->op.now_us;
    response->product = product;
    if (strcmp(stub->sku, "huge") == 0) {
        product->currency = arena_take(memory, (1 << 20) + 1);
        memset(product->currency, 'x', 1 << 20);
    }
    return &response->base;
}

/* clang-format off */
#define STUB(method, decoder) \
    { .name = method, .op_bytes = sizeof(struct stub_op), .decode = decoder, .encode = stub_encode }

const struct method stub_methods[] = {
    STUB("PutProduct",    other_decode),
    STUB("Restock",       stub_decode),
    STUB("Reserve",       other_decode),
    STUB("Confirm",       other_decode),
    STUB("Release",       other_decode),
    STUB("Extend",        other_decode),
    STUB("GetProduct",    other_decode),
    STUB("ListProducts",  other_decode),
    STUB("GetHold",       other_decode),
    STUB("ListHolds",     other_decode),
    { 0 },
};
/* clang-format on */

struct queue *queue;

pthread_t decider;

pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* held: nothing is decided */

atomic_int submitted;

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

void
stub_submit(void *owner, struct call *call)
{
    ck_assert_ptr_eq(owner, &queue);
    atomic_fetch_add(&submitted, 1);
    ck_assert(queue_push_always(queue, &call->item));
}

/* ---- the client ---- */

struct rpc_server *server;
struct current *server_policies;
struct metrics *server_metrics;

static grpc_channel *channel;

static grpc_completion_queue *events;

struct arena *arena;

static gpr_timespec
in_ms(int64_t ms)
{
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN));
}

enum { EARLY_MAX = 128 };

static grpc_event early[EARLY_MAX]; /* events that came before they were waited for */

static size_t early_count;

/* Waits for the event of this tag; others are kept. */
static bool
await(void *tag)
{
    for (size_t i = 0; i < early_count; i++) {
        bool is_ok = early[i].success != 0;

        if (early[i].tag != tag)
            continue;
        early[i] = early[--early_count];
        return is_ok;
    }
    for (;;) {
        grpc_event event = grpc_completion_queue_next(events, in_ms(10000), NULL);

        ck_assert_msg(event.type == GRPC_OP_COMPLETE, "no answer in 10 s");
        if (event.tag == tag)
            return event.success != 0;
        ck_assert_uint_lt(early_count, EARLY_MAX);
        early[early_count++] = event;
    }
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
        ret_answer->detail_code = status->code;
        rpc_status_read(status, &ret_answer->info);
        ck_assert_uint_eq(status->n_details, status->code == WIRE_RESOURCE_EXHAUSTED ||
                                                     (status->code == WIRE_INVALID_ARGUMENT &&
                                                      ret_answer->info.field[0] != '\0')
                                                 ? 2
                                                 : 1);
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

struct client_call *
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

void
unary_await(struct client_call *call, struct answer *ret_answer)
{
    await(call);
    call_read(call, ret_answer);
    call_free(call);
}

void
unary(const char *method, const uint8_t *bytes, size_t count, struct answer *ret_answer)
{
    unary_await(unary_start(method, bytes, count, 10000, NULL), ret_answer);
}

size_t
restock_pack(const char *sku, int64_t quantity, uint8_t **ret_bytes)
{
    Sagamesh__Storage__V1__RestockRequest request = SAGAMESH__STORAGE__V1__RESTOCK_REQUEST__INIT;

    request.sku = (char *)(uintptr_t)sku;
    request.quantity = quantity;
    *ret_bytes =
        arena_take(arena, sagamesh__storage__v1__restock_request__get_packed_size(&request));
    return sagamesh__storage__v1__restock_request__pack(&request, *ret_bytes);
}

struct client_call *
restock_start(const char *sku, int64_t quantity, int64_t timeout_ms, const char *traceparent)
{
    uint8_t *bytes;
    size_t count = restock_pack(sku, quantity, &bytes);

    return unary_start(STORAGE "Restock", bytes, count, timeout_ms, traceparent);
}

Sagamesh__Storage__V1__RestockResponse *
response_of(const uint8_t *bytes, size_t count)
{
    Sagamesh__Storage__V1__RestockResponse *response =
        sagamesh__storage__v1__restock_response__unpack(NULL, count, bytes);

    ck_assert_ptr_nonnull(response);
    ck_assert_ptr_nonnull(response->product);
    return response;
}

/* ---- streams of the client ---- */

struct client_call *
stream_open(const char *method, const uint8_t *bytes, size_t count)
{
    struct client_call *call = call_new(method, 30000);
    grpc_byte_buffer *message = buffer_of(bytes, count);
    grpc_op open[] = {
        { .op = GRPC_OP_SEND_INITIAL_METADATA },
        { .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message },
        { .op = GRPC_OP_RECV_INITIAL_METADATA,
          .data.recv_initial_metadata.recv_initial_metadata = &call->initial },
    };
    grpc_op status = { .op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                       .data.recv_status_on_client = { .trailing_metadata = &call->trailing,
                                                       .status = &call->code,
                                                       .status_details = &call->message,
                                                       .error_string = &call->error_text } };

    ck_assert_int_eq(grpc_call_start_batch(call->grpc, open, 3, call, NULL), GRPC_CALL_OK);
    ck_assert_int_eq(grpc_call_start_batch(call->grpc, &status, 1, &call->code, NULL),
                     GRPC_CALL_OK);
    grpc_byte_buffer_destroy(message);
    await(call);
    return call;
}

void
stream_send(struct client_call *call, const uint8_t *bytes, size_t count)
{
    grpc_byte_buffer *message = buffer_of(bytes, count);
    grpc_op op = { .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message };

    ck_assert_int_eq(grpc_call_start_batch(call->grpc, &op, 1, call, NULL), GRPC_CALL_OK);
    grpc_byte_buffer_destroy(message);
    await(call);
}

void
stream_half_close(struct client_call *call)
{
    grpc_op op = { .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT };

    ck_assert_int_eq(grpc_call_start_batch(call->grpc, &op, 1, call, NULL), GRPC_CALL_OK);
    await(call);
}

uint8_t *
stream_receive(struct client_call *call, size_t *ret_count)
{
    grpc_op op = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->received };
    grpc_byte_buffer *received;

    ck_assert_int_eq(grpc_call_start_batch(call->grpc, &op, 1, call, NULL), GRPC_CALL_OK);
    await(call);
    received = call->received;
    call->received = NULL;
    return bytes_of(received, ret_count);
}

void
stream_await(struct client_call *call, struct answer *ret_answer)
{
    await(&call->code);
    call_read(call, ret_answer);
    call_free(call);
}

void
stream_cancel(struct client_call *call)
{
    struct answer answer;

    grpc_call_cancel(call->grpc, NULL);
    stream_await(call, &answer);
}

void
wait_submitted(int count)
{
    int64_t until_us = clock_steady_us() + 10 * SECOND_US;

    while (atomic_load(&submitted) < count && clock_steady_us() < until_us)
        sched_yield();
    ck_assert_int_ge(atomic_load(&submitted), count);
}

/* ---- set up, take down ---- */

void
client_open(void)
{
    char address[32];
    grpc_channel_credentials *credentials = rpc_tls_channel_credentials();
    grpc_arg list[] = {
        { GRPC_ARG_INTEGER, (char *)(uintptr_t)GRPC_ARG_ENABLE_RETRIES, { .integer = 0 } },
        { GRPC_ARG_INTEGER,
          (char *)(uintptr_t)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL,
          { .integer = 1 } },
    };
    grpc_channel_args args = { 2, list };

    snprintf(address, sizeof address, "127.0.0.1:%d", rpc_server_port(server));
    events = grpc_completion_queue_create_for_next(NULL);
    channel = grpc_channel_create(address, credentials, &args);
    grpc_channel_credentials_release(credentials);
}

static void
open_all(bool serves_inner)
{
    static const struct rpc_service services[] = {
        { &sagamesh__storage__v1__storage_service__descriptor,
          &sagamesh__storage__v1__storage_saga_service__descriptor, stub_methods, stub_submit,
          &queue, &op_owner },
    };
    struct rpc_server_options options = { .listen = "127.0.0.1:0",
                                          .calls_max = CALLS_MAX,
                                          .services = services,
                                          .service_count = 1,
                                          .serves_inner = serves_inner,
                                          .listener = "public",
                                          .policies = server_policies };

    server_metrics = options.metrics = metrics_new();

    log_open("test", LOG_ERROR);
    grpc_init();
    arena = arena_new();
    queue = queue_new(1);
    atomic_store(&submitted, 0);
    pthread_create(&decider, NULL, decide, NULL);
    ck_assert_int_eq(rpc_server_open(&options, &server), ERR_OK);
    client_open();
}

void
set_up(void)
{
    open_all(false);
}

void
set_up_inner(void)
{
    open_all(true);
}

double
calls_counted(const char *method, const char *code)
{
    char series[256];
    double count;

    snprintf(series, sizeof series,
             "rpc_server_call_duration_seconds_count{method=\"%s\",code=\"%s\"}", method, code);
    count = metric_shown(server_metrics, series);
    return count == METRIC_NOT_SHOWN ? 0 : count;
}

void
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

void
take_down(void)
{
    client_close();
    if (server != NULL)
        server_end();
    server_metrics = metrics_free(server_metrics);
    queue_free(queue);
    arena_free(arena);
    grpc_shutdown();
}
