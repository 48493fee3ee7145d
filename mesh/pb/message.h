/* message.h -- Protobuf messages from strangers, on an arena.
 *
 * protobuf-c takes any bytes for a string and as many empty submessages as fit; this takes what
 * proto3 allows, and not more memory than a limit.
 *
 * Thread    Plain data.
 * Memory    A message lives in the arena it was unpacked to.
 * Errors    ERR_BAD_REQUEST; the problem names the field ("lines[1].sku") where it is known.
 */
#ifndef MESH_PB_MESSAGE_H
#define MESH_PB_MESSAGE_H

#include "mesh/base/arena.h"
#include "mesh/base/error.h"

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RPC_UNPACKED_BYTES_MAX = 16 << 20
}; /* of a message in memory; its wire form has 1 MiB at most */

/* Every string in the message, at any depth, is valid UTF-8 without NUL. */
enum error pb_message_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
                             size_t count, struct arena *arena, struct problem *problem,
                             ProtobufCMessage **ret_message);

/* False when a message of this type can hold one of its own type: unpacking such a message recurses
 * as deep as a stranger likes. */
bool pb_message_is_flat(const ProtobufCMessageDescriptor *descriptor);

#endif
