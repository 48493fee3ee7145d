/* payload.h -- The bytes of one message as the core received it.
 *
 * A client may compress its messages (gRPC's Grpc-Encoding: gzip or deflate). The core hands them over as they came: unpacked by
 * the core, a megabyte may become a gigabyte. Here a message is RPC_MESSAGE_BYTES_MAX long at most, once it is unpacked too.
 *
 * Thread    Plain data.
 * Errors    BAD_REQUEST: it is damaged, or too long.
 */
#ifndef MESH_RPC_PAYLOAD_H
#define MESH_RPC_PAYLOAD_H

#include "mesh/base/error.h"

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>

/* The whole message in one piece; *ret_slice is the caller's to unref when this returns ERR_OK. */
enum error rpc_payload_read(grpc_byte_buffer *buffer, struct problem *problem,
                            grpc_slice *ret_slice);

#endif
