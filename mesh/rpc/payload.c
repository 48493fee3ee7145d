/* payload.c -- One message: the pieces that the core has of it are joined, and unpacked if its client had compressed it. */
#include "mesh/rpc/payload.h"
#include "mesh/base/gzip.h"
#include "mesh/rpc/server.h"

#include <grpc/byte_buffer_reader.h>

#include <assert.h>
#include <stdlib.h>

/* The core has a message in the pieces that came from the socket. */
static grpc_slice
joined(grpc_byte_buffer *buffer)
{
    grpc_byte_buffer_reader reader;
    int is_ready = grpc_byte_buffer_reader_init(&reader, buffer);
    grpc_slice slice;

    assert(is_ready);
    (void)is_ready;
    slice = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    return slice;
}

/* The limit of a plain message holds for what comes out. */
static enum error
unpacked(grpc_slice packed, struct problem *problem, grpc_slice *ret_slice)
{
    char *bytes;
    size_t count;

    switch (gzip_unpack(GRPC_SLICE_START_PTR(packed), GRPC_SLICE_LENGTH(packed),
                        RPC_MESSAGE_BYTES_MAX, &bytes, &count)) {
    case GZIP_OK:
        *ret_slice = grpc_slice_new(bytes, count, free);
        return ERR_OK;
    case GZIP_IS_LONG:
        return problem_set(problem, ERR_BAD_REQUEST, NULL,
                           "a message must be %d bytes at most when it is unpacked",
                           RPC_MESSAGE_BYTES_MAX);
    default:
        return problem_set(problem, ERR_BAD_REQUEST, NULL,
                           "the compressed message must be whole: it cannot be unpacked");
    }
}

enum error
rpc_payload_read(grpc_byte_buffer *buffer, struct problem *problem, grpc_slice *ret_slice)
{
    grpc_slice whole = joined(buffer);
    enum error error;

    if (buffer->data.raw.compression == GRPC_COMPRESS_NONE) {
        *ret_slice = whole;
        return ERR_OK;
    }
    error = unpacked(whole, problem, ret_slice);
    grpc_slice_unref(whole);
    return error;
}
