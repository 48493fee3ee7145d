/* order_meter.h -- What is counted of orders.
 *
 * Thread    order_meter_saved: the store thread. The series: any.
 * Memory    The meter is the caller's; series are their metrics'.
 */
#ifndef ORDER_METER_H
#define ORDER_METER_H

#include "mesh/store/asked.h"
#include "order-svc/order.h"

struct order_meter {
    struct metric_series *placed, *paid, *failed;
    struct metric_series *unheard, *overdue; /* of the sweep */
};

/* metrics NULL: nothing is counted. */
void order_meter_open(struct order_meter *meter, struct metrics *metrics);

/* An order was saved: it is new, or it was changed. */
void order_meter_saved(const struct order_meter *meter, const struct order *order, bool is_new);

/* What the database is asked now and then. */
extern const struct asked_row order_asked[];

#endif
