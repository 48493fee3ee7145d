/* order_sweep.h -- Never loses an order: finds those that are not final, and asks for their sagas
 * again.
 *
 * Walks orders as they were placed, from a stored floor at start and then from where it came to, two
 * seconds behind the present. What it finds open it keeps in memory and looks at again after 2, 4, 8,
 * ... 60 seconds, until it is final: a PENDING order, and one that shall be undone, is sent to the
 * orchestrator each time. So a Start that was lost in a crash, or that found the orchestrator away or
 * the queue full, is made up for. The floor follows behind the oldest open order.
 *
 * Thread    The keeper's.
 * Memory    OPEN_MAX orders at most, of 48 bytes each; with more open, the walk waits.
 */
#ifndef ORDER_SWEEP_H
#define ORDER_SWEEP_H

#include "order-svc/order.h"

enum {
    SWEEP_PERIOD_US = 1000 * 1000,
    SWEEP_OPEN_MAX = 200000,
    SWEEP_SENDS_MAX = 2000, /* of one run: after an outage the orchestrator gets them in portions */
    SWEEP_BACKOFF_MIN_US = 2 * 1000 * 1000,
    SWEEP_BACKOFF_MAX_US = 60 * 1000 * 1000,
    FORGET_PERIOD_US = 1000 * 1000,
    FORGET_ROUNDS_MAX = 20, /* of a run: more keys a second than orders come */
};

struct order_sweep;

struct order_sweep *order_sweep_new(void);
struct order_sweep *order_sweep_free(struct order_sweep *sweep);

/* One run over pg at a time of clock_steady_us(). Calls send for each order whose saga is to be asked
 * for; false from it ends the sending of this run, and they come again. */
enum error order_sweep_run(struct order_sweep *sweep, struct pg *pg, struct arena *arena,
                           int64_t steady_us, bool (*send)(void *owner, const struct order *order),
                           void *owner);

/* Sets *ret_floor_us when the floor should be stored anew (about twice a minute). */
bool order_sweep_floor(struct order_sweep *sweep, int64_t *ret_floor_us);

/* Deletes the idempotency keys of more than 24 hours ago, FORGET_ROUNDS_MAX portions at most. */
enum error order_forget_keys(struct pg *pg, struct arena *arena);

size_t order_sweep_open_count(const struct order_sweep *sweep);

#endif
