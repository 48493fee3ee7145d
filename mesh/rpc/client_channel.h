/* client_channel.h -- The connection to one replica.
 *
 * Thread    Any.
 * Memory    The channel is the caller's, to be destroyed by grpc_channel_destroy().
 */
#ifndef MESH_RPC_CLIENT_CHANNEL_H
#define MESH_RPC_CLIENT_CHANNEL_H

#include <grpc/grpc.h>

/* Connected by its first call. authority: the name that the service is asked by; NULL: its address. */
grpc_channel *client_channel_open(const char *address, const char *authority);

#endif
