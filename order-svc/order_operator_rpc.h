/* order_operator_rpc.h -- Rows of order_rpc.c's table of methods, for calls that operators make.
 *
 * Thread    As in order_rpc.c.
 */
#ifndef ORDER_OPERATOR_RPC_H
#define ORDER_OPERATOR_RPC_H

#include "mesh/base/arena.h"
#include "mesh/base/error.h"

#include <protobuf-c/protobuf-c.h>

enum error ask_saga_decode(const ProtobufCMessage *message, struct arena *arena, void *op);
ProtobufCMessage *ask_saga_encode(const void *op, struct arena *arena);
enum error list_open_decode(const ProtobufCMessage *message, struct arena *arena, void *op);
ProtobufCMessage *list_open_encode(const void *op, struct arena *arena);

#endif
