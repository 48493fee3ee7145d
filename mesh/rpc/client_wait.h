/* client_wait.h -- Where requests wait: in lists to be sent, in a heap to be sent again.
 *
 * Thread    Plain data of its owner.
 * Memory    A heap owns its array, neither owns the requests. A list must not be moved once it is
 *           initialised; a zeroed heap is an empty one.
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

/* A binary heap by until_us. */
struct retries {
    struct rpc_request **requests;
    size_t count, size;
};

void retries_push(struct retries *retries, struct rpc_request *request);
struct rpc_request *
retries_pop(struct retries *retries); /* the first that is due; not of an empty one */
int64_t retries_first_us(const struct retries *retries);
void retries_free(struct retries *retries);

/* Before the attempt that follows attempt (from 1): 20 ms, then twice as long, 1 s at most, +-20 %. */
int64_t retry_wait_us(int attempt);

#endif
