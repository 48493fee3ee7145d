/* order_meter.c -- What is counted of orders as they are saved, and what their database is asked. */
#include "order-svc/order_meter.h"
#include "mesh/observe/metrics.h"

/* clang-format off */
static const struct metric_row placed_row  = { "sagamesh_orders_placed_total",    METRIC_COUNTER,   METRIC_NUMBER,       "Orders taken.",                                                                            { NULL } };
static const struct metric_row ended_row   = { "sagamesh_order_duration_seconds", METRIC_HISTOGRAM, METRIC_LONG_SECONDS, "From placing an order to its end, PAID or FAILED.",                                        { "status" } };
static const struct metric_row unheard_row = { "sagamesh_orders_unheard",         METRIC_GAUGE,     METRIC_NUMBER,       "Orders that are asked for at the orchestrator again, for it has not moved them.",         { NULL } };
static const struct metric_row overdue_row = { "sagamesh_orders_overdue",         METRIC_GAUGE,     METRIC_NUMBER,       "Those of them that a person should look at.",                                              { NULL } };
/* clang-format on */

/* All before the floor have an end. */
static const struct pg_statement orders_open = ASKED_STATEMENT(
    "orders_open",
    "SELECT '', count(*), coalesce(greatest(mesh_now_us($1) - min(placed_at_us), 0), 0)::bigint"
    " FROM (SELECT status, placed_at_us FROM orders"
    " WHERE seq > (SELECT floor_seq FROM sweep WHERE name = '" ORDER_SWEEP_NAME "')"
    " ORDER BY seq LIMIT " ASKED_LIMIT ") AS o WHERE status < 3");

/* clang-format off */
const struct asked_row order_asked[] = {
    { &orders_open, { { "sagamesh_orders_open",               METRIC_GAUGE, METRIC_NUMBER,  "Orders without an end, among the 10,000 behind the sweep's floor.", { NULL } },
                      { "sagamesh_order_oldest_open_seconds", METRIC_GAUGE, METRIC_SECONDS, "Age of the oldest order without an end; 0: all have one.",          { NULL } } }, NULL },
    { 0 },
};
/* clang-format on */
_Static_assert(ORDER_PAID == 3 && ORDER_FAILED == 4, "as in orders_open");

void
order_meter_open(struct order_meter *meter, struct metrics *metrics)
{
    const char *const paid = order_status_name(ORDER_PAID);
    const char *const failed = order_status_name(ORDER_FAILED);

    *meter = (struct order_meter){ .placed = metrics_series(metrics, &placed_row, NULL),
                                   .paid = metrics_series(metrics, &ended_row, &paid),
                                   .failed = metrics_series(metrics, &ended_row, &failed),
                                   .unheard = metrics_series(metrics, &unheard_row, NULL),
                                   .overdue = metrics_series(metrics, &overdue_row, NULL) };
    metric_set(meter->unheard, 0);
    metric_set(meter->overdue, 0);
}

/* One that has ended changes no more (order_move), so a change of it is its end. */
void
order_meter_saved(const struct order_meter *meter, const struct order *order, bool is_new)
{
    if (is_new)
        metric_add(meter->placed, 1);
    if (order_is_final(order->status))
        metric_observe(order->status == ORDER_PAID ? meter->paid : meter->failed,
                       order->changed_at_us - order->placed_at_us);
}
