#include "tests/support/rpc/fake_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_SERVICE "fake.Service"

/* An answer, of a call or of an item. */
struct fake_answer {
    bool is_held;
    enum wire_code code;
    uint8_t *bytes, *details;
    size_t byte_count, detail_count;
};

static struct fake_answer
fake_problem(enum error error, const char *reason, bool is_stored, struct arena *arena)
{
    struct fake_answer answer = { .code = error_wire_code(error) };
    struct problem problem;

    if (reason != NULL)
        problem_refuse(&problem, reason, NULL, "said the fake");
    else
        problem_set(&problem, error, NULL, "said the fake");
    problem.is_stored = is_stored;
    answer.detail_count = rpc_status_pack(&problem, FAKE_SERVICE, arena, &answer.details);
    return answer;
}

static struct fake_answer
fake_text(const char *text, struct arena *arena)
{
    struct fake_answer answer = { .byte_count = strlen(text) };

    answer.bytes = (uint8_t *)arena_copy(arena, text, answer.byte_count);
    return answer;
}

/* How often this method was asked, by the digit at its end. */
static int
fake_times(struct fake_server *fake, const char *method)
{
    int times;

    pthread_mutex_lock(&fake->lock);
    times = ++fake->asked[method[strlen(method) - 1] - '0'];
    pthread_mutex_unlock(&fake->lock);
    return times;
}

static struct fake_answer
fake_do(struct fake_server *fake, const char *method, const uint8_t *bytes, size_t count,
        const char *trace, struct arena *arena)
{
    struct fake_answer answer = { .code = WIRE_OK };

    if (strcmp(method, "fake.Service/Echo") == 0) {
        answer.bytes = (uint8_t *)arena_copy(arena, (const char *)bytes, count);
        answer.byte_count = count;
    } else if (strcmp(method, "fake.Service/Trace") == 0) {
        return fake_text(trace, arena);
    } else if (strcmp(method, "fake.Service/Hold") == 0) {
        answer.is_held = true;
    } else if (strcmp(method, "fake.Service/Refuse") == 0) {
        return fake_problem(ERR_REFUSED, "NO_STOCK", false, arena);
    } else if (strcmp(method, "fake.Service/RefuseStored") == 0) {
        return fake_problem(ERR_REFUSED, "NO_STOCK", true, arena);
    } else if (strcmp(method, "fake.Service/Busy") == 0) {
        return fake_problem(ERR_BUSY, NULL, false, arena);
    } else if (strcmp(method, "fake.Service/Uncertain") == 0) {
        return fake_problem(ERR_UNCERTAIN, NULL, false, arena);
    } else if (strcmp(method, "fake.Service/Bare") == 0) {
        answer.code = WIRE_ABORTED;
    } else if (strcmp(method, "fake.Service/Strange") == 0) {
        answer.code = (enum wire_code)2000000;
    } else if (strcmp(method, "fake.Service/BusyTwice1") == 0) {
        return fake_times(fake, method) <= 2 ? fake_problem(ERR_BUSY, NULL, false, arena)
                                             : fake_text("at last", arena);
    } else if (strcmp(method, "fake.Service/LostThenBusy2") == 0) {
        if (fake_times(fake, method) > 1)
            return fake_problem(ERR_BUSY, NULL, false, arena);
        answer.code = WIRE_UNAVAILABLE;
    } else {
        return fake_problem(ERR_UNIMPLEMENTED, NULL, false, arena);
    }
    return answer;
}

static void
fake_answer_call(struct fake_call *call, const struct fake_answer *answer)
{
    grpc_slice message =
        grpc_slice_from_static_string(answer->code == WIRE_OK ? "" : "said the fake");
    grpc_slice bytes =
        grpc_slice_from_copied_buffer((const char *)answer->bytes, answer->byte_count);
    grpc_byte_buffer *payload = grpc_raw_byte_buffer_create(&bytes, 1);
    grpc_metadata details = { .key = grpc_slice_from_static_string(RPC_STATUS_KEY) };
    grpc_op ops[4] = { { .op = GRPC_OP_SEND_INITIAL_METADATA },
                       { .op = GRPC_OP_RECV_CLOSE_ON_SERVER },
                       { .op = GRPC_OP_SEND_STATUS_FROM_SERVER },
                       { .op = GRPC_OP_SEND_MESSAGE } };

    details.value =
        grpc_slice_from_copied_buffer((const char *)answer->details, answer->detail_count);
    ops[1].data.recv_close_on_server.cancelled = &call->cancelled;
    ops[2].data.send_status_from_server.status = (grpc_status_code)answer->code;
    ops[2].data.send_status_from_server.status_details = &message;
    if (answer->detail_count > 0) {
        ops[2].data.send_status_from_server.trailing_metadata_count = 1;
        ops[2].data.send_status_from_server.trailing_metadata = &details;
    }
    ops[3].data.send_message.send_message = payload;
    call->step = FAKE_ANSWERED;
    ck_assert_int_eq(
        grpc_call_start_batch(call->call, ops, answer->code == WIRE_OK ? 4 : 3, call, NULL), 0);
    grpc_byte_buffer_destroy(payload);
    grpc_slice_unref(bytes);
    grpc_slice_unref(details.value);
}

static struct fake_answer
fake_pack(Sagamesh__Batch__V1__CallResponse *response, enum fake_batch batch, struct arena *arena)
{
    struct fake_answer answer = { .code = WIRE_OK };

    if (batch == BATCH_SHORT)
        response->n_results--;
    answer.byte_count = sagamesh__batch__v1__call_response__get_packed_size(response);
    answer.bytes = arena_take(arena, answer.byte_count + 1);
    sagamesh__batch__v1__call_response__pack(response, answer.bytes);
    if (batch == BATCH_GARBLED)
        memset(answer.bytes + 1, 0xff, answer.byte_count - 1);
    return answer;
}

static void
fake_item(struct fake_call *call, const Sagamesh__Batch__V1__CallItem *item,
          Sagamesh__Batch__V1__CallResult *result, bool *is_held)
{
    struct fake_answer answer = fake_do(call->fake, item->method, item->request.data,
                                        item->request.len, item->traceparent, call->arena);

    ck_assert_int_ge(item->timeout_ms, 1);
    sagamesh__batch__v1__call_result__init(result);
    *is_held = *is_held || answer.is_held;
    result->response.data = answer.bytes;
    result->response.len = answer.byte_count;
    if (answer.code == WIRE_OK)
        return;
    if (answer.detail_count > 0) {
        result->status = google__rpc__status__unpack(NULL, answer.detail_count, answer.details);
        return;
    }
    result->status = malloc(sizeof *result->status);
    google__rpc__status__init(result->status);
    result->status->code = (int32_t)answer.code;
}

static struct fake_answer
fake_envelope(struct fake_call *call, const uint8_t *bytes, size_t count)
{
    Sagamesh__Batch__V1__CallRequest *request =
        sagamesh__batch__v1__call_request__unpack(NULL, count, bytes);
    Sagamesh__Batch__V1__CallResponse response = SAGAMESH__BATCH__V1__CALL_RESPONSE__INIT;
    struct fake_answer answer;
    bool is_held = false;

    ck_assert_ptr_nonnull(request);
    response.n_results = request->n_items;
    response.results = arena_take(call->arena, request->n_items * sizeof *response.results);
    for (size_t i = 0; i < request->n_items; i++) {
        response.results[i] = arena_take(call->arena, sizeof *response.results[i]);
        fake_item(call, request->items[i], response.results[i], &is_held);
    }
    answer = fake_pack(&response, call->fake->batch, call->arena);
    answer.is_held = is_held;
    for (size_t i = 0; i < request->n_items; i++) {
        if (response.results[i]->status != NULL)
            google__rpc__status__free_unpacked(response.results[i]->status, NULL);
    }
    sagamesh__batch__v1__call_request__free_unpacked(request, NULL);
    if (call->fake->batch == BATCH_BUSY)
        return fake_problem(ERR_BUSY, NULL, false, call->arena);
    if (call->fake->batch == BATCH_LOST)
        answer.code = WIRE_UNAVAILABLE;
    return answer;
}

static void
fake_hold(struct fake_call *call)
{
    struct fake_server *fake = call->fake;

    pthread_mutex_lock(&fake->lock);
    call->next = fake->held;
    fake->held = call;
    fake->held_count++;
    fake->held_ever++;
    pthread_cond_broadcast(&fake->changed);
    pthread_mutex_unlock(&fake->lock);
}

/* A held envelope is answered with as many empty results as it had items. */
static void
fake_read(struct fake_call *call)
{
    char method[128], trace[64] = "";
    grpc_byte_buffer_reader reader;
    struct fake_answer answer;
    grpc_slice bytes;

    snprintf(method, sizeof method, "%.*s", (int)GRPC_SLICE_LENGTH(call->details.method),
             (const char *)GRPC_SLICE_START_PTR(call->details.method));
    for (size_t i = 0; i < call->metadata.count; i++) {
        const grpc_slice value = call->metadata.metadata[i].value;

        if (grpc_slice_str_cmp(call->metadata.metadata[i].key, "traceparent") == 0)
            snprintf(trace, sizeof trace, "%.*s", (int)GRPC_SLICE_LENGTH(value),
                     (const char *)GRPC_SLICE_START_PTR(value));
    }
    if (call->payload == NULL) { /* cancelled before it was read */
        answer = (struct fake_answer){ .code = WIRE_CANCELLED };
        fake_answer_call(call, &answer);
        return;
    }
    grpc_byte_buffer_reader_init(&reader, call->payload);
    bytes = grpc_byte_buffer_reader_readall(&reader);
    if (strcmp(method + 1, "sagamesh.batch.v1.BatchService/Call") == 0)
        answer = fake_envelope(call, GRPC_SLICE_START_PTR(bytes), GRPC_SLICE_LENGTH(bytes));
    else
        answer = fake_do(call->fake, method + 1, GRPC_SLICE_START_PTR(bytes),
                         GRPC_SLICE_LENGTH(bytes), trace, call->arena);
    grpc_slice_unref(bytes);
    grpc_byte_buffer_reader_destroy(&reader);
    if (answer.is_held)
        fake_hold(call);
    else
        fake_answer_call(call, &answer);
}

static void
fake_ask(struct fake_server *fake)
{
    struct fake_call *call = memory_take(sizeof *call);

    call->fake = fake;
    call->arena = arena_new();
    grpc_call_details_init(&call->details);
    grpc_metadata_array_init(&call->metadata);
    if (grpc_server_request_call(fake->server, &call->call, &call->details, &call->metadata,
                                 fake->queue, fake->queue, call) != GRPC_CALL_OK)
        abort();
}

static void
fake_call_free(struct fake_call *call)
{
    if (call->call != NULL)
        grpc_call_unref(call->call);
    if (call->payload != NULL)
        grpc_byte_buffer_destroy(call->payload);
    grpc_call_details_destroy(&call->details);
    grpc_metadata_array_destroy(&call->metadata);
    arena_free(call->arena);
    free(call);
}

static void
fake_step(struct fake_call *call, bool is_well)
{
    grpc_op op = { .op = GRPC_OP_RECV_MESSAGE };

    if (call->step == FAKE_ASKED && is_well) {
        fake_ask(call->fake);
        call->step = FAKE_READING;
        op.data.recv_message.recv_message = &call->payload;
        ck_assert_int_eq(grpc_call_start_batch(call->call, &op, 1, call, NULL), 0);
    } else if (call->step == FAKE_READING) {
        fake_read(call);
    } else {
        fake_call_free(call);
    }
}

static void *
fake_run(void *argument)
{
    struct fake_server *fake = argument;

    for (;;) {
        grpc_event event =
            grpc_completion_queue_next(fake->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);

        if (event.type == GRPC_QUEUE_SHUTDOWN)
            return NULL;
        if (event.tag == fake) /* the server has shut down */
            grpc_completion_queue_shutdown(fake->queue);
        else
            fake_step(event.tag, event.success);
    }
}

struct fake_server *
fake_open(int port)
{
    struct fake_server *fake = memory_take(sizeof *fake);
    grpc_server_credentials *credentials;
    char address[32];

    grpc_init();
    pthread_mutex_init(&fake->lock, NULL);
    pthread_cond_init(&fake->changed, NULL);
    credentials = grpc_insecure_server_credentials_create();
    fake->server = grpc_server_create(NULL, NULL);
    fake->queue = grpc_completion_queue_create_for_next(NULL);
    grpc_server_register_completion_queue(fake->server, fake->queue, NULL);
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    fake->port = grpc_server_add_http2_port(fake->server, address, credentials);
    ck_assert_int_gt(fake->port, 0);
    grpc_server_credentials_release(credentials);
    grpc_server_start(fake->server);
    fake_ask(fake);
    ck_assert_int_eq(pthread_create(&fake->thread, NULL, fake_run, fake), 0);
    return fake;
}

void
fake_await_held(struct fake_server *fake, int count)
{
    pthread_mutex_lock(&fake->lock);
    while (fake->held_ever < count)
        pthread_cond_wait(&fake->changed, &fake->lock);
    pthread_mutex_unlock(&fake->lock);
}

void
fake_set_batch(struct fake_server *fake, enum fake_batch batch)
{
    pthread_mutex_lock(&fake->lock);
    fake->batch = batch;
    pthread_mutex_unlock(&fake->lock);
}

void
fake_release(struct fake_server *fake)
{
    static uint8_t results[2 * 64]; /* empty results: tag and length 0 */
    struct fake_call *call;

    for (size_t i = 0; i < sizeof results; i += 2)
        results[i] = 1 << 3 | 2;
    pthread_mutex_lock(&fake->lock);
    call = fake->held;
    fake->held = NULL;
    fake->held_count = 0;
    pthread_mutex_unlock(&fake->lock);
    while (call != NULL) {
        struct fake_call *next = call->next;
        struct fake_answer answer = { .code = WIRE_OK };

        if (grpc_slice_str_cmp(call->details.method, "/sagamesh.batch.v1.BatchService/Call") == 0) {
            answer.bytes = results;
            answer.byte_count = sizeof results;
        }
        fake_answer_call(call, &answer);
        call = next;
    }
}

void
fake_close(struct fake_server *fake)
{
    fake_release(fake);
    grpc_server_shutdown_and_notify(fake->server, fake->queue, fake);
    grpc_server_cancel_all_calls(fake->server);
    pthread_join(fake->thread, NULL);
    grpc_server_destroy(fake->server);
    grpc_completion_queue_destroy(fake->queue);
    pthread_cond_destroy(&fake->changed);
    pthread_mutex_destroy(&fake->lock);
    free(fake);
    grpc_shutdown();
}
