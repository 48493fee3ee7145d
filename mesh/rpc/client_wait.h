/* client_wait.h -- Lists in which requests wait to be sent, and how long one waits to be sent again.
 *
 * Thread    Plain data of its owner.
 * Memory    A list does not own the requests, and must not be moved once it is initialised.
 * Units     *_us microseconds by clock_steady_us().
 */
#ifndef MESH_RPC_CLIENT_WAIT_H
#define MESH_RPC_CLIENT_WAIT_H

#include "mesh/rpc/client.h"

struct list {
    struct queue_item *first, **end;
    size_t count;
};

void list_init(struct list *list);
void list_push(struct list *list, struct rpc_request *request);
struct rpc_request *list_first(const struct list *list);
struct rpc_request *list_pop(struct list *list); /* not of an empty one */
void list_move(struct list *from, struct list *to);

/* Before the attempt that follows attempt (from 1): 20 ms, then twice as long, 1 s at most, +-20 %. */
int64_t retry_wait_us(int attempt);

#endif
