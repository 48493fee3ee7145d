/* library.h -- gRPC's core, switched on and off, speaking through our log.
 *
 * Thread    Any; calls are counted, and pairs may nest.
 */
#ifndef MESH_RPC_LIBRARY_H
#define MESH_RPC_LIBRARY_H

void rpc_library_open(void);
void rpc_library_close(void);

#endif
