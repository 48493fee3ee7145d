/* storage_sweep.h -- The service's task that expires holds.
 *
 * Thread    The keeper's.
 */
#ifndef STORAGE_SWEEP_H
#define STORAGE_SWEEP_H

#include "mesh/store/batch_own.h"
#include "storage-svc/storage.h"

/* How far the walks have come. Zeros but for batch: nowhere. */
struct storage_sweep {
    struct batch *batch;    /* takes the ops */
    int64_t seen_us;        /* where the last walk by time came to */
    struct sweep_page page; /* of the walk over all holds */
    int runs;
};

/* A task of the keeper: its owner is a struct storage_sweep. */
enum error storage_sweep_run(void *owner, struct pg *pg, struct arena *arena);

#endif
