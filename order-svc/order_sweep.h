/* order_sweep.h -- Never loses an order: finds those that are not final, and asks for their sagas
 * again.
 *
 * Two walks over orders as they were placed. The front goes from a stored floor at start, and then from
 * where it came to, two seconds behind the present. The round goes from the floor to the present, again
 * and again, a little in each run: it finds wishes to cancel of orders that the front saw waiting for
 * their payment, and orders whose transactions came to their end late, and it raises the floor behind
 * the oldest order that is not final. Orders that are final, or wait with a saga, cost no memory.
 *
 * What has something to be said for it, a PENDING order and one that shall be undone, is kept in memory
 * and sent to the orchestrator after 2, 4, 8, ... 60 seconds, those first that are due first, until it
 * has moved. So a Start that was lost in a crash, or that found the orchestrator away or the queue
 * full, is made up for.
 *
 * Thread    The keeper's.
 * Memory    open_max orders and a page, of 64 bytes each. With more the walks wait; then orders that
 *           were asked for six times go, for a round to find them again: each has its turn.
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

struct order_sweep *order_sweep_new(size_t open_max);
struct order_sweep *order_sweep_free(struct order_sweep *sweep);

/* One run over pg at a time of clock_steady_us(). Calls send for each order whose saga is to be asked
 * for; false from it ends the sending of this run, and they come again. */
enum error order_sweep_run(struct order_sweep *sweep, struct pg *pg, struct arena *arena,
                           int64_t steady_us, bool (*send)(void *owner, const struct order *order),
                           void *owner);

/* Sets *ret_floor_us when the floor should be stored anew (twice a minute at most). */
bool order_sweep_floor(struct order_sweep *sweep, int64_t *ret_floor_us);

/* Deletes the idempotency keys of more than 24 hours ago, FORGET_ROUNDS_MAX portions at most. */
enum error order_forget_keys(struct pg *pg, struct arena *arena);

size_t order_sweep_open_count(const struct order_sweep *sweep);

#endif
