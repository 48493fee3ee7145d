/* batch_own.h -- Ops of the program itself: decided and written as a caller's are, with no wire around them.
 *
 * Thread    Any but the store thread.
 * Memory    Ops are copied, and answered from the copies; texts that they point to live until then.
 * Errors    Each op has its own (op.problem). One that is not decided within half a minute is EXPIRED, or
 *           what the store says of a database that is away.
 */
#ifndef MESH_STORE_BATCH_OWN_H
#define MESH_STORE_BATCH_OWN_H

#include "mesh/store/batch.h"

/* Submits count ops, of method->op_bytes each, and waits until all are answered. Returns how many of them
 * have failed. */
size_t batch_own_run(struct batch *batch, const struct method *method, const void *ops,
                     size_t count);

/* Submits one and returns. answered() is called on the store thread; NULL: it is not told. */
void batch_own_submit(struct batch *batch, const struct method *method, const void *op,
                      void (*answered)(const void *op));

#endif
