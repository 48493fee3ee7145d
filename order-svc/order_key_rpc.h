/* order_key_rpc.h -- Rows of order_rpc.c's table of methods, for calls that are about a key alone.
 *
 * Thread    As in order_rpc.c.
 */
#ifndef ORDER_KEY_RPC_H
#define ORDER_KEY_RPC_H

#include "mesh/base/arena.h"
#include "mesh/base/error.h"

#include <protobuf-c/protobuf-c.h>

enum error store_answer_decode(const ProtobufCMessage *message, struct arena *arena, void *op);
ProtobufCMessage *store_answer_encode(const void *op, struct arena *arena);
enum error release_key_decode(const ProtobufCMessage *message, struct arena *arena, void *op);
ProtobufCMessage *release_key_encode(const void *op, struct arena *arena);

#endif
