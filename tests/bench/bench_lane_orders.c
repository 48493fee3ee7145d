#include "mesh/base/clock.h"
#include "order-svc/order.h"
#include "tests/bench/bench_lane.h"

/* An order of a wallet: placed, then paid. */
static struct order
order_of(struct lane *lane, struct uuid id, bool is_new, int64_t now_us)
{
    return (struct order){
        .record = lane_record(id),
        .customer_id = arena_print(lane->arena, "bench-%05d",
                                   (int)lane_random_below(lane, lane->bench->wallets)),
        .currency = BENCH_CURRENCY,
        .lines = lane->texts->lines,
        .status = is_new ? ORDER_PENDING : ORDER_PAID,
        .version = is_new ? 1 : 2,
        .total_minor = is_new ? 0 : BENCH_PRICE_MINOR,
        .failure_reason = "",
        .failure_detail = "",
        .placed_at_us = now_us,
        .changed_at_us = now_us,
        .flow = "order_create_saga",
        .payment_method = "wallet",
        .payment_reference = is_new ? "" : "00000000-0000-7000-8000-000000000000",
        .provider = "",
        .return_url = "",
        .payment_id = "",
        .payment_url = "",
        .traceparent = lane->texts->traceparent,
    };
}

static void
fill(struct lane *lane, struct lane_range begun, struct lane_range gone_on)
{
    int64_t news = lane_range_count(begun), olds = lane_range_count(gone_on);
    int64_t now_us = clock_now_us();
    struct order *orders = arena_take(lane->arena, (size_t)(news + olds) * sizeof *orders);
    struct event *events = arena_take(lane->arena, (size_t)(news + olds) * sizeof *events);
    struct op_row *ops = arena_take(lane->arena, (size_t)olds * sizeof *ops);
    const struct batch_table *table = &order_service.tables[ORDER_ORDER];

    for (int64_t i = 0; i < news + olds; i++) {
        bool is_new = i < news;
        struct uuid *id = &lane->ids[is_new ? begun.from + i : gone_on.from + i - news];

        if (is_new)
            *id = uuid_v7(now_us);
        orders[i] = order_of(lane, *id, is_new, now_us);
        lane_event(lane, &events[i], "order", *id, is_new ? 1 : 2,
                   is_new ? lane->texts->order_placed : lane->texts->order_paid);
        if (!is_new)
            lane_op(&ops[i - news], "MarkPaid");
    }
    lane_step(lane, &op_insert, ops, sizeof *ops, olds);
    lane_step(lane, table->insert, orders, sizeof *orders, news);
    lane_step(lane, table->update, orders + news, sizeof *orders, olds);
    lane_step(lane, &event_append, events, sizeof *events, news + olds);
}

const struct lane_plan lane_orders = { .service = &order_service, .fill = fill };
