/* What goes out and what comes back, byte by byte. Nothing here decides: whether an answer is retried
 * and who may send next is client.c's. */
#include "mesh/rpc/client_parcel.h"
#include "mesh/base/clock.h"
#include "mesh/pb/pbwire.h"
#include "mesh/rpc/status.h"

#include <google/rpc/status.pb-c.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    METHODS_MAX = 256, /* handles kept; names past it are sent without one, which costs a lookup */
    /* field numbers of sagamesh/batch/v1 */
    REQUEST_ITEMS = 1,
    ITEM_METHOD = 1,
    ITEM_REQUEST = 2,
    ITEM_TIMEOUT_MS = 3,
    ITEM_TRACEPARENT = 4,
    RESPONSE_RESULTS = 1,
    RESULT_STATUS = 1,
    RESULT_RESPONSE = 2,
};

struct parcel_method {
    char *path; /* "/sagamesh.storage.v1.StorageService/Reserve"; gRPC keeps a pointer to it */
    void *handle;
};

void
parcel_way_close(struct parcel_way *way)
{
    for (size_t i = 0; i < way->method_count; i++)
        free(way->methods[i].path);
    free(way->methods);
    way->methods = NULL;
    way->method_count = 0;
}

static char *
path_of(const char *method)
{
    size_t bytes = strlen(method);
    char *path = memory_take(bytes + 2);

    path[0] = '/';
    memcpy(path + 1, method, bytes);
    return path;
}

/* NULL when too many are known already. */
static void *
method_handle(struct parcel_way *way, const char *method)
{
    struct parcel_method *added;

    for (size_t i = 0; i < way->method_count; i++) {
        if (strcmp(way->methods[i].path + 1, method) == 0)
            return way->methods[i].handle;
    }
    if (way->method_count == METHODS_MAX)
        return NULL;
    if (way->methods == NULL)
        way->methods = memory_take(METHODS_MAX * sizeof *way->methods);
    added = &way->methods[way->method_count++];
    added->path = path_of(method);
    added->handle = grpc_channel_register_call(way->channel, added->path, NULL, NULL);
    return added->handle;
}

static grpc_call *
call_new(struct parcel_way *way, const char *method, int64_t timeout_us)
{
    gpr_timespec deadline =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_micros(timeout_us, GPR_TIMESPAN));
    void *handle = method_handle(way, method);
    char *path;
    grpc_slice slice;
    grpc_call *call;

    if (handle != NULL)
        return grpc_channel_create_registered_call(way->channel, NULL, GRPC_PROPAGATE_DEFAULTS,
                                                   way->queue, handle, deadline, NULL);
    path = path_of(method);
    slice = grpc_slice_from_copied_string(path);
    call = grpc_channel_create_call(way->channel, NULL, GRPC_PROPAGATE_DEFAULTS, way->queue, slice,
                                    NULL, deadline, NULL);
    grpc_slice_unref(slice);
    free(path);
    return call;
}

/* Rounded up: a request that is still in time never arrives with 0, which means "no limit". */
static uint64_t
timeout_ms_of(const struct rpc_request *request, int64_t now_us)
{
    int64_t left_ms = (request->until_us - now_us + 999) / 1000;

    return left_ms < 1 ? 1 : left_ms > INT32_MAX ? INT32_MAX : (uint64_t)left_ms;
}

static size_t
bytes_field_bytes(size_t bytes)
{
    return 1 + pbwire_varint_bytes(bytes) + bytes; /* field numbers below 16 */
}

static size_t
item_body_bytes(const struct rpc_request *request, int64_t now_us)
{
    size_t trace_bytes = strlen(request->traceparent);
    size_t bytes = bytes_field_bytes(strlen(request->method)) + 1 +
                   pbwire_varint_bytes(timeout_ms_of(request, now_us));

    if (request->message_bytes > 0)
        bytes += bytes_field_bytes(request->message_bytes);
    if (trace_bytes > 0)
        bytes += bytes_field_bytes(trace_bytes);
    return bytes;
}

size_t
parcel_item_bytes(const struct rpc_request *request, int64_t now_us)
{
    return bytes_field_bytes(item_body_bytes(request, now_us));
}

static uint8_t *
put_item(uint8_t *at, const struct rpc_request *request, int64_t now_us)
{
    size_t trace_bytes = strlen(request->traceparent);

    at = pbwire_put_tag(at, REQUEST_ITEMS, PBWIRE_BYTES);
    at = pbwire_put_varint(at, item_body_bytes(request, now_us));
    at = pbwire_put_bytes(at, ITEM_METHOD, request->method, strlen(request->method));
    if (request->message_bytes > 0)
        at = pbwire_put_bytes(at, ITEM_REQUEST, request->message, request->message_bytes);
    at = pbwire_put_tag(at, ITEM_TIMEOUT_MS, PBWIRE_VARINT);
    at = pbwire_put_varint(at, timeout_ms_of(request, now_us));
    if (trace_bytes > 0)
        at = pbwire_put_bytes(at, ITEM_TRACEPARENT, request->traceparent, trace_bytes);
    return at;
}

static grpc_slice
envelope_pack(const struct parcel *parcel, int64_t now_us)
{
    size_t bytes = 0;
    grpc_slice slice;
    uint8_t *at;

    for (size_t i = 0; i < parcel->count; i++)
        bytes += parcel_item_bytes(parcel->requests[i], now_us);
    slice = grpc_slice_malloc(bytes);
    at = GRPC_SLICE_START_PTR(slice);
    for (size_t i = 0; i < parcel->count; i++)
        at = put_item(at, parcel->requests[i], now_us);
    assert(at == GRPC_SLICE_END_PTR(slice));
    return slice;
}

struct parcel *
parcel_new(size_t count)
{
    struct parcel *parcel = memory_take(sizeof *parcel + count * sizeof parcel->requests[0]);

    parcel->tag = (struct client_tag){ CLIENT_PARCEL, parcel };
    parcel->expires_us = INT64_MAX;
    parcel->message = grpc_empty_slice();
    grpc_metadata_array_init(&parcel->initial);
    grpc_metadata_array_init(&parcel->trailing);
    return parcel;
}

static void
ops_start(struct parcel *parcel, grpc_slice message, const char *traceparent)
{
    grpc_byte_buffer *payload = grpc_raw_byte_buffer_create(&message, 1);
    grpc_metadata metadata = { 0 };
    grpc_op ops[6] = {
        { .op = GRPC_OP_SEND_INITIAL_METADATA },  { .op = GRPC_OP_SEND_MESSAGE },
        { .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT }, { .op = GRPC_OP_RECV_INITIAL_METADATA },
        { .op = GRPC_OP_RECV_MESSAGE },           { .op = GRPC_OP_RECV_STATUS_ON_CLIENT }
    };
    grpc_call_error error;

    if (traceparent[0] != '\0') {
        metadata.key = grpc_slice_from_static_string("traceparent");
        metadata.value = grpc_slice_from_copied_string(traceparent);
        ops[0].data.send_initial_metadata.count = 1;
        ops[0].data.send_initial_metadata.metadata = &metadata;
    }
    ops[1].data.send_message.send_message = payload;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &parcel->initial;
    ops[4].data.recv_message.recv_message = &parcel->reply;
    ops[5].data.recv_status_on_client.trailing_metadata = &parcel->trailing;
    ops[5].data.recv_status_on_client.status = &parcel->code;
    ops[5].data.recv_status_on_client.status_details = &parcel->message;
    error = grpc_call_start_batch(parcel->call, ops, 6, &parcel->tag, NULL);
    assert(error == GRPC_CALL_OK);
    (void)error;
    grpc_byte_buffer_destroy(payload);
    grpc_slice_unref(message);
    if (traceparent[0] != '\0')
        grpc_slice_unref(metadata.value);
}

static void
expiry_set(struct parcel *parcel)
{
    parcel->expires_us = INT64_MAX;
    for (size_t i = 0; i < parcel->count; i++) {
        const struct rpc_request *request = parcel->requests[i];

        if (request != NULL && request->until_us + PARCEL_GRACE_US < parcel->expires_us)
            parcel->expires_us = request->until_us + PARCEL_GRACE_US;
    }
}

/* An envelope is shared by many traces, so it has one of its own, and its requests' spans have a link to it. */
static void
envelope_span_begin(struct parcel *parcel)
{
    for (size_t i = 0; i < parcel->count; i++) {
        struct rpc_request *request = parcel->requests[i];

        if (!span_is_on(&request->span))
            continue;
        if (!span_is_on(&parcel->span))
            span_begin_shared(&parcel->span, parcel->traceparent);
        memcpy(request->envelope, parcel->traceparent, sizeof request->envelope);
    }
}

static void
envelope_send(struct parcel *parcel, struct parcel_way *way, int64_t now_us)
{
    int64_t last_us = 0;

    for (size_t i = 0; i < parcel->count; i++) {
        if (parcel->requests[i]->until_us > last_us)
            last_us = parcel->requests[i]->until_us;
    }
    expiry_set(parcel);
    envelope_span_begin(parcel);
    parcel->call = call_new(way, PARCEL_BATCH_METHOD, last_us - now_us + PARCEL_GRACE_US);
    ops_start(parcel, envelope_pack(parcel, now_us), parcel->traceparent);
}

void
parcel_send(struct parcel *parcel, struct parcel_way *way, int64_t now_us)
{
    struct rpc_request *request = parcel->requests[0];

    assert(parcel->count > 0);
    parcel->way = way;
    parcel->is_envelope = parcel->count > 1;
    if (parcel->is_envelope) {
        envelope_send(parcel, way, now_us);
        return;
    }
    request->envelope[0] = '\0'; /* an attempt before may have gone in one */
    parcel->call = call_new(way, request->method, request->until_us - now_us);
    ops_start(parcel,
              grpc_slice_from_copied_buffer((const char *)request->message, request->message_bytes),
              request->traceparent);
}

static void
answer_one(struct parcel *parcel, size_t index, struct rpc_result *result, parcel_answer answer,
           void *owner)
{
    struct rpc_request *request = parcel->requests[index];

    if (request == NULL)
        return;
    parcel->requests[index] = NULL;
    answer(owner, request, result);
}

static void
answer_rest(struct parcel *parcel, const struct rpc_result *result, parcel_answer answer,
            void *owner)
{
    for (size_t i = 0; i < parcel->count; i++) {
        struct rpc_result own = *result;

        answer_one(parcel, i, &own, answer, owner);
    }
}

/* A foreign service may send any number; what gRPC does not define says nothing. */
static void
result_set(struct rpc_result *result, int code, const char *message, size_t bytes)
{
    bool is_known = code >= WIRE_OK && code <= WIRE_UNAUTHENTICATED;

    memset(result, 0, sizeof *result);
    result->code = is_known ? (enum wire_code)code : WIRE_UNKNOWN;
    if (bytes >= sizeof result->message)
        bytes = sizeof result->message - 1;
    memcpy(result->message, message, bytes);
}

static void
result_inform(struct rpc_result *result, const struct rpc_error_info *info)
{
    _Static_assert(sizeof result->reason == sizeof info->reason, "copied whole");
    _Static_assert(sizeof result->domain == sizeof info->domain, "copied whole");
    _Static_assert(sizeof result->field == sizeof info->field, "copied whole");
    memcpy(result->reason, info->reason, sizeof result->reason);
    memcpy(result->domain, info->domain, sizeof result->domain);
    _Static_assert(sizeof result->service == sizeof info->service, "copied whole");
    memcpy(result->field, info->field, sizeof result->field);
    memcpy(result->service, info->service, sizeof result->service);
    result->nothing_done = info->nothing_done;
    result->is_stored = info->is_stored;
    result->retry_us = info->retry_us;
}

/* Of the whole parcel, from gRPC's status and trailing metadata. */
static void
result_of_failure(const struct parcel *parcel, struct rpc_result *result)
{
    struct rpc_error_info info;

    result_set(result, (int)parcel->code, (const char *)GRPC_SLICE_START_PTR(parcel->message),
               GRPC_SLICE_LENGTH(parcel->message));
    for (size_t i = 0; i < parcel->trailing.count; i++) {
        const grpc_metadata *metadata = &parcel->trailing.metadata[i];

        if (grpc_slice_str_cmp(metadata->key, RPC_STATUS_KEY) != 0)
            continue;
        rpc_status_unpack(GRPC_SLICE_START_PTR(metadata->value), GRPC_SLICE_LENGTH(metadata->value),
                          &info);
        result_inform(result, &info);
        return;
    }
}

/* An item's own status; false: no Status, or one that says OK and so says nothing. */
static bool
result_of_status(const uint8_t *bytes, size_t count, struct rpc_result *result)
{
    Google__Rpc__Status *status = google__rpc__status__unpack(NULL, count, bytes);
    struct rpc_error_info info;

    if (status == NULL)
        return false;
    result_set(result, status->code, status->message, strlen(status->message));
    rpc_status_read(status, &info);
    result_inform(result, &info);
    google__rpc__status__free_unpacked(status, NULL);
    return true;
}

static bool
result_of_item(const struct pbwire_field *item, struct rpc_result *result)
{
    struct pbwire wire = pbwire_of(item->data, item->bytes);
    const uint8_t *reply = (const uint8_t *)"";
    size_t reply_bytes = 0;
    struct pbwire_field field;

    result_set(result, WIRE_OK, "", 0);
    while (pbwire_next(&wire, &field)) {
        if (field.type != PBWIRE_BYTES)
            continue;
        if (field.number == RESULT_STATUS && !result_of_status(field.data, field.bytes, result))
            return false;
        if (field.number == RESULT_RESPONSE) {
            reply = field.data;
            reply_bytes = field.bytes;
        }
    }
    if (result->code == WIRE_OK) {
        result->reply = reply;
        result->reply_bytes = reply_bytes;
    }
    return pbwire_is_done(&wire);
}

/* Results come in the order of the items. What has none, or one that cannot be read, may have
 * happened: INTERNAL without "nothing done" says so. */
static void
envelope_read(struct parcel *parcel, grpc_slice reply, parcel_answer answer, void *owner)
{
    struct pbwire wire = pbwire_of(GRPC_SLICE_START_PTR(reply), GRPC_SLICE_LENGTH(reply));
    struct pbwire_field field;
    struct rpc_result result;
    size_t index = 0;

    while (index < parcel->count && pbwire_next(&wire, &field)) {
        if (field.number != RESPONSE_RESULTS || field.type != PBWIRE_BYTES)
            continue;
        if (!result_of_item(&field, &result))
            break;
        answer_one(parcel, index++, &result, answer, owner);
    }
    result_set(&result, WIRE_INTERNAL, "the envelope's answer is short or garbled", 41);
    answer_rest(parcel, &result, answer, owner);
}

static void
reply_read(struct parcel *parcel, grpc_slice reply, parcel_answer answer, void *owner)
{
    struct rpc_result result;

    if (parcel->is_envelope) {
        envelope_read(parcel, reply, answer, owner);
        return;
    }
    result_set(&result, WIRE_OK, "", 0);
    result.reply = GRPC_SLICE_START_PTR(reply);
    result.reply_bytes = GRPC_SLICE_LENGTH(reply);
    answer_one(parcel, 0, &result, answer, owner);
}

void
parcel_answer_all(struct parcel *parcel, parcel_answer answer, void *owner)
{
    grpc_byte_buffer_reader reader;
    struct rpc_result result;
    grpc_slice reply;

    if (parcel->code != GRPC_STATUS_OK) {
        result_of_failure(parcel, &result);
        answer_rest(parcel, &result, answer, owner);
    } else if (parcel->reply == NULL || !grpc_byte_buffer_reader_init(&reader, parcel->reply)) {
        result_set(&result, WIRE_INTERNAL, "OK without a message", 20);
        answer_rest(parcel, &result, answer, owner);
    } else {
        reply = grpc_byte_buffer_reader_readall(&reader);
        reply_read(parcel, reply, answer, owner);
        grpc_slice_unref(reply);
        grpc_byte_buffer_reader_destroy(&reader);
    }
}

enum wire_code
parcel_code(const struct parcel *parcel)
{
    bool is_known = parcel->code <= (grpc_status_code)WIRE_UNAUTHENTICATED;

    return is_known ? (enum wire_code)parcel->code : WIRE_UNKNOWN;
}

void
parcel_expire(struct parcel *parcel, int64_t now_us, parcel_answer answer, void *owner)
{
    for (size_t i = 0; i < parcel->count; i++) {
        struct rpc_result result;

        if (parcel->requests[i] == NULL || parcel->requests[i]->until_us + PARCEL_GRACE_US > now_us)
            continue;
        result_set(&result, WIRE_DEADLINE_EXCEEDED, "no answer in time", 17);
        answer_one(parcel, i, &result, answer, owner);
    }
    expiry_set(parcel);
}

struct parcel *
parcel_free(struct parcel *parcel)
{
    grpc_metadata_array_destroy(&parcel->initial);
    grpc_metadata_array_destroy(&parcel->trailing);
    if (parcel->reply != NULL)
        grpc_byte_buffer_destroy(parcel->reply);
    grpc_slice_unref(parcel->message);
    if (parcel->call != NULL) /* never sent */
        grpc_call_unref(parcel->call);
    free(parcel);
    return NULL;
}
