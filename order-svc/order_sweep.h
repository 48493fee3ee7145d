/* order_sweep.h -- Never loses an order: finds those that are not final, and asks for their sagas
 * again.
 *
 * Three walks over orders as they were inserted, by the number that each drew then (`seq`). No time has a
 * part in it, so it does not matter what clocks said.
 *   front  from a stored floor at start, and then from where it came to, two seconds behind the newest
 *   round  from the floor to the newest, again and again, a little in each run: it finds wishes to cancel
 *          of orders that the front saw waiting for their payment, and orders whose transactions came to
 *          their end late; behind it the floor rises, up to the oldest order that is not final and to
 *          the horizon (mesh/store/horizon.h)
 *   whole  from the very first order to the floor, slowly, again and again: also when the floor is wrong
 *          (a database restored, a person's hand), no order is lost. What it finds lowers the floor
 * Orders that are final, or wait with a saga, cost no memory.
 *
 * What has something to be said for it, a PENDING order, one that shall be undone, and one that waits
 * though its payment's time was over ten minutes ago, is kept in memory
 * and sent to the orchestrator after 2, 4, 8, ... 60 seconds, those first that are due first, until it
 * has moved. So a Start that was lost in a crash, or that found the orchestrator away or the queue
 * full, is made up for.
 *
 * Thread    The keeper's.
 * Memory    open_max orders and a page, of 80 bytes each. With more the walks wait; then orders that
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
};

struct order_sweep;

struct order_sweep *order_sweep_new(size_t open_max);
struct order_sweep *order_sweep_free(struct order_sweep *sweep);

/* One run over pg at a time of clock_steady_us(). Calls send for each order whose saga is to be asked
 * for; false from it ends the sending of this run, and they come again. */
enum error order_sweep_run(struct order_sweep *sweep, struct pg *pg, struct arena *arena,
                           int64_t steady_us, bool (*send)(void *owner, const struct order *order),
                           void *owner);

/* Sets *ret_floor when the floor should be stored anew (twice a minute at most), *ret_is_lower when it
 * is below the stored one. */
bool order_sweep_floor(struct order_sweep *sweep, int64_t *ret_floor, bool *ret_is_lower);

/* Orders that had something to be said for them for longer than long_us. */
struct order_overdue {
    size_t count;
    struct uuid oldest; /* of them, when count > 0, as its age_us */
    int64_t age_us;
};

/* An order's age is since it was placed, or since this program met it: the longer of both, since a clock
 * may have been wrong. Only those that it met a minute ago count: what was placed during an outage moves
 * first. Looks at all of them. */
void order_sweep_overdue(const struct order_sweep *sweep, int64_t steady_us, int64_t now_us,
                         int64_t long_us, struct order_overdue *ret_overdue);

size_t order_sweep_open_count(const struct order_sweep *sweep);

#endif
