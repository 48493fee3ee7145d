/* batch_meter.h -- What the store thread counts. Inside mesh/store/batch only.
 *
 * Thread    Counters: any. open, close: those of the batch's.
 * Memory    The meter stands in its batch, and ends before it.
 */
#ifndef MESH_STORE_BATCH_METER_H
#define MESH_STORE_BATCH_METER_H

#include "mesh/store/batch.h"

#include <stdatomic.h>

struct batch_meter {
    struct metrics *metrics; /* NULL: nothing is counted */
    struct queue *queue;     /* of the calls that wait */
    atomic_ullong commits, again, single, uncertain, aside, refused;
    atomic_size_t aside_now;
    struct metric_series *sizes, *durations;
};

void batch_meter_open(struct batch_meter *meter, struct metrics *metrics, struct queue *queue);
void batch_meter_close(struct batch_meter *meter);

/* A run of so many calls, which began then, has ended. */
void batch_meter_ran(struct batch_meter *meter, size_t calls, int64_t began_us);

#endif
