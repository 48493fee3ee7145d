/* Whatever is no registered method: health's Watch, reflection, and methods that nobody has.
 *
 * A stream alternates: receive a message, send what there is to say, receive the next. When it has
 * ended or the client is gone, the last of its batches to come back frees it. */
#include "mesh/base/clock.h"
#include "mesh/rpc/payload.h"
#include "mesh/rpc/server_inner.h"
#include "mesh/rpc/status.h"

#include <grpc/byte_buffer.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct {
    const char *path;
    const struct rpc_stream_kind *kind;
} streams[] = {
    { "/grpc.health.v1.Health/Watch",                                      &rpc_health_watch },
    { "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",         &rpc_reflection_info },
    { "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",    &rpc_reflection_info },
};
/* clang-format on */

static void generic_arrived(void *owner, bool is_ok);

void
rpc_ending_make(const struct problem *problem, const char *service, struct rpc_ending *ret_ending)
{
    struct arena *arena = arena_new();
    uint8_t *bytes;
    size_t count = rpc_status_pack(problem, service, arena, &bytes);

    memset(ret_ending, 0, sizeof *ret_ending);
    ret_ending->message = grpc_slice_from_copied_string(rpc_status_message(problem, arena));
    ret_ending->detail.key = grpc_slice_from_static_string(RPC_STATUS_KEY);
    ret_ending->detail.value = grpc_slice_from_copied_buffer((const char *)bytes, count);
    arena_free(arena);
}

void
rpc_ending_free(struct rpc_ending *ending)
{
    grpc_slice_unref(ending->message);
    grpc_slice_unref(ending->detail.value);
}

void
rpc_ending_set(const struct problem *problem, struct rpc_ending *ending, grpc_op *ret_op)
{
    ret_op->data.send_status_from_server.status = (grpc_status_code)error_wire_code(problem->error);
    ret_op->data.send_status_from_server.status_details = &ending->message;
    ret_op->data.send_status_from_server.trailing_metadata = &ending->detail;
    ret_op->data.send_status_from_server.trailing_metadata_count = 1;
}

void
rpc_stream_request(struct rpc_server *server)
{
    grpc_call_error error;

    server->generic_tag = (struct rpc_tag){ generic_arrived, server };
    grpc_call_details_init(&server->generic_details);
    grpc_metadata_array_init(&server->generic_metadata);
    error = grpc_server_request_call(server->grpc, &server->generic_call, &server->generic_details,
                                     &server->generic_metadata, server->queue, server->queue,
                                     &server->generic_tag);
    assert(error == GRPC_CALL_OK);
    (void)error;
    server->outstanding++;
}

static void
stream_free(struct rpc_stream *stream)
{
    struct rpc_server *server = stream->server;

    assert(stream->pending == 0);
    *stream->link = stream->next;
    if (stream->next != NULL)
        stream->next->link = stream->link;
    server->stream_count--;
    server->outstanding--;
    if (stream->has_reply)
        grpc_slice_unref(stream->reply);
    grpc_call_unref(stream->grpc);
    free(stream->service);
    free(stream);
}

static void
batch_start(struct rpc_stream *stream, const grpc_op *ops, size_t count, struct rpc_tag *tag)
{
    grpc_call_error error = grpc_call_start_batch(stream->grpc, ops, count, tag, NULL);

    assert(error == GRPC_CALL_OK);
    (void)error;
    stream->pending++;
}

static void
receive(struct rpc_stream *stream)
{
    grpc_op op = { .op = GRPC_OP_RECV_MESSAGE,
                   .data.recv_message.recv_message = &stream->received };

    batch_start(stream, &op, 1, &stream->receive_tag);
}

static void
stream_send(struct rpc_stream *stream, grpc_slice reply)
{
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&reply, 1);
    grpc_op op = { .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message };

    stream->is_sending = true;
    batch_start(stream, &op, 1, &stream->send_tag);
    grpc_byte_buffer_destroy(message);
    grpc_slice_unref(reply);
}

static void
status_send(struct rpc_stream *stream)
{
    struct problem *problem = &stream->ending;
    grpc_op op = { .op = GRPC_OP_SEND_STATUS_FROM_SERVER };
    struct rpc_ending ending;

    stream->is_ended = true;
    if (problem->error == ERR_OK) {
        batch_start(stream, &op, 1, &stream->end_tag);
        return;
    }
    rpc_ending_make(problem, NULL, &ending);
    rpc_ending_set(problem, &ending, &op);
    batch_start(stream, &op, 1, &stream->end_tag);
    rpc_ending_free(&ending);
}

/* Sends the next thing that there is to send, if nothing is under way. */
void
rpc_stream_pump(struct rpc_stream *stream)
{
    grpc_slice reply;

    if (stream->is_sending || stream->is_ended || stream->is_closed)
        return;
    if (stream->kind != NULL && stream->kind->next(stream, &reply))
        stream_send(stream, reply);
    else if (stream->must_end)
        status_send(stream);
}

void
rpc_stream_end(struct rpc_stream *stream, const struct problem *problem)
{
    if (stream->must_end)
        return;
    stream->must_end = true;
    stream->ending = *problem;
    rpc_stream_pump(stream);
}

/* A batch has come back: frees the stream with the last one. Unlocks. */
static void
batch_done(struct rpc_stream *stream)
{
    struct rpc_server *server = stream->server;

    if (--stream->pending == 0)
        stream_free(stream);
    pthread_mutex_unlock(&server->lock);
}

static void
received(void *owner, bool is_ok)
{
    struct rpc_stream *stream = owner;
    grpc_slice request;
    struct problem problem;

    pthread_mutex_lock(&stream->server->lock);
    if (!is_ok || stream->received == NULL) {
        stream->kind->message(stream, NULL, 0);
    } else if (rpc_payload_read(stream->received, &problem, &request) != ERR_OK) {
        rpc_stream_end(stream, &problem);
    } else {
        stream->kind->message(stream, GRPC_SLICE_START_PTR(request), GRPC_SLICE_LENGTH(request));
        grpc_slice_unref(request);
    }
    if (stream->received != NULL)
        grpc_byte_buffer_destroy(stream->received);
    stream->received = NULL;
    rpc_stream_pump(stream);
    batch_done(stream);
}

static void
sent(void *owner, bool is_ok)
{
    struct rpc_stream *stream = owner;

    pthread_mutex_lock(&stream->server->lock);
    stream->is_sending = false;
    if (is_ok && !stream->is_closed && !stream->is_ended) {
        if (stream->kind == &rpc_reflection_info && !stream->must_end)
            receive(stream);
        rpc_stream_pump(stream);
    }
    batch_done(stream);
}

static void
ended(void *owner, bool is_ok)
{
    struct rpc_stream *stream = owner;

    (void)is_ok;
    pthread_mutex_lock(&stream->server->lock);
    batch_done(stream);
}

static void
closed(void *owner, bool is_ok)
{
    struct rpc_stream *stream = owner;

    (void)is_ok;
    pthread_mutex_lock(&stream->server->lock);
    stream->is_closed = true;
    batch_done(stream);
}

static const struct rpc_stream_kind *
kind_find(grpc_slice path)
{
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        if (GRPC_SLICE_LENGTH(path) == strlen(streams[i].path) &&
            memcmp(GRPC_SLICE_START_PTR(path), streams[i].path, strlen(streams[i].path)) == 0)
            return streams[i].kind;
    }
    return NULL;
}

/* Health may be watched by all; what methods there are is told to who may ask. */
static enum error
kind_check(struct rpc_server *server, grpc_call *call, const struct rpc_stream_kind *kind,
           grpc_slice path, struct problem *problem)
{
    char name[128];

    if (server->gate == NULL || kind == &rpc_health_watch)
        return ERR_OK;
    snprintf(name, sizeof name, "%.*s", (int)GRPC_SLICE_LENGTH(path) - 1,
             (const char *)GRPC_SLICE_START_PTR(path) + 1);
    return rpc_gate_check_name(server->gate, call, name, problem);
}

/* What keeps the call from being served at all, if anything. */
static enum error
stream_check(struct rpc_server *server, grpc_call *call, const struct rpc_stream_kind *kind,
             grpc_slice path, struct problem *problem)
{
    if (kind == NULL)
        return problem_set(problem, ERR_UNIMPLEMENTED, NULL, "no method %.*s here",
                           (int)GRPC_SLICE_LENGTH(path), (const char *)GRPC_SLICE_START_PTR(path));
    if (server->is_stopping)
        return problem_set(problem, ERR_STOPPING, NULL, "%s", error_text(ERR_STOPPING));
    if (server->stream_count >= RPC_STREAMS_MAX)
        return problem_set(problem, ERR_BUSY, NULL, "%d streams are open, no more are taken",
                           RPC_STREAMS_MAX);
    return kind_check(server, call, kind, path, problem);
}

static void
stream_start(struct rpc_server *server, grpc_call *call, grpc_slice path)
{
    struct rpc_stream *stream = memory_take(sizeof *stream);
    struct problem problem = { 0 };
    grpc_op open = { .op = GRPC_OP_SEND_INITIAL_METADATA };
    grpc_op close = { .op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                      .data.recv_close_on_server.cancelled = &stream->is_cancelled };

    stream->server = server;
    stream->kind = kind_find(path);
    stream->grpc = call;
    stream->receive_tag = (struct rpc_tag){ received, stream };
    stream->send_tag = (struct rpc_tag){ sent, stream };
    stream->end_tag = (struct rpc_tag){ ended, stream };
    stream->close_tag = (struct rpc_tag){ closed, stream };
    stream->told = -1;

    pthread_mutex_lock(&server->lock);
    server->outstanding++;
    if (stream_check(server, call, stream->kind, path, &problem) == ERR_UNIMPLEMENTED)
        rpc_server_count_answer(server, NULL, ERR_UNIMPLEMENTED, clock_steady_us(), "");
    server->stream_count++;
    stream->next = server->streams;
    stream->link = &server->streams;
    if (stream->next != NULL)
        stream->next->link = &stream->next;
    server->streams = stream;

    batch_start(stream, &close, 1, &stream->close_tag);
    batch_start(stream, &open, 1, &stream->end_tag);
    if (problem.error == ERR_OK) {
        receive(stream);
    } else {
        stream->kind = NULL;
        rpc_stream_end(stream, &problem);
    }
    pthread_mutex_unlock(&server->lock);
}

static void
generic_arrived(void *owner, bool is_ok)
{
    struct rpc_server *server = owner;
    grpc_call_details details = server->generic_details;
    grpc_metadata_array metadata = server->generic_metadata;
    grpc_call *call = server->generic_call;

    server->outstanding--;
    if (is_ok) {
        rpc_stream_request(server);
        stream_start(server, call, details.method);
    }
    grpc_call_details_destroy(&details);
    grpc_metadata_array_destroy(&metadata);
}

void
rpc_streams_stop(struct rpc_server *server)
{
    struct problem problem;

    problem_set(&problem, ERR_STOPPING, NULL, "%s", error_text(ERR_STOPPING));
    pthread_mutex_lock(&server->lock);
    for (struct rpc_stream *stream = server->streams; stream != NULL; stream = stream->next)
        rpc_stream_end(stream, &problem);
    pthread_mutex_unlock(&server->lock);
}
