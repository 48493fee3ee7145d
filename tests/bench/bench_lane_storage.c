#include "mesh/base/clock.h"
#include "storage-svc/storage.h"
#include "tests/bench/bench_lane.h"

#define PRODUCT_FORMAT "bench-product-%05d"

static struct product
product_of(const char *sku, int64_t sold)
{
    return (struct product){ .sku = sku,
                             .currency = BENCH_CURRENCY,
                             .unit_price_minor = BENCH_PRICE_MINOR,
                             .on_hand = 1000000000,
                             .free = 1000000000 - sold,
                             .sold = sold };
}

static void
stock(struct lane *lane)
{
    int64_t count = lane->bench->products;
    struct product *products = arena_take(lane->arena, (size_t)count * sizeof *products);

    for (int64_t i = 0; i < count; i++)
        products[i] = product_of(arena_print(lane->arena, PRODUCT_FORMAT, (int)i), 0);
    lane_step(lane, storage_service.tables[STORAGE_PRODUCT].insert, products, sizeof *products,
              count);
}

static void
add_products(struct lane *lane, int64_t count_max)
{
    struct product *products = arena_take(lane->arena, (size_t)count_max * sizeof *products);
    const char **names = arena_take(lane->arena, (size_t)count_max * sizeof *names);
    int64_t count = 0;

    for (int64_t i = 0; i < count_max; i++) {
        const char *name =
            lane_pick_name(lane, PRODUCT_FORMAT, lane->bench->products, names, count);

        if (name == NULL)
            continue;
        names[count] = name;
        products[count++] = product_of(name, lane->number);
    }
    lane_step(lane, storage_service.tables[STORAGE_PRODUCT].update, products, sizeof *products,
              count);
}

static void
fill(struct lane *lane, struct lane_range begun, struct lane_range gone_on)
{
    int64_t news = lane_range_count(begun), olds = lane_range_count(gone_on);
    int64_t now_us = clock_now_us();
    struct hold *holds = arena_take(lane->arena, (size_t)(news + olds) * sizeof *holds);
    struct op_row *ops = arena_take(lane->arena, (size_t)olds * sizeof *ops);
    const struct batch_table *table = &storage_service.tables[STORAGE_HOLD];

    for (int64_t i = 0; i < news + olds; i++) {
        bool is_new = i < news;
        struct uuid *id = &lane->ids[is_new ? begun.from + i : gone_on.from + i - news];

        if (is_new)
            *id = uuid_v7(now_us);
        holds[i] = (struct hold){ .record = lane_record(*id),
                                  .state = is_new ? HOLD_HELD : HOLD_CONFIRMED,
                                  .reference = "00000000-0000-7000-8000-000000000000",
                                  .lines = lane->texts->hold_lines,
                                  .currency = BENCH_CURRENCY,
                                  .total_minor = BENCH_PRICE_MINOR,
                                  .until_us = uuid_time_us(*id) + 900 * SECOND_US };
        if (!is_new)
            lane_op(&ops[i - news], "Confirm");
    }
    lane_step(lane, &op_insert, ops, sizeof *ops, olds);
    lane_step(lane, table->insert, holds, sizeof *holds, news);
    lane_step(lane, table->update, holds + news, sizeof *holds, olds);
    add_products(lane, news + olds);
}

const struct lane_plan lane_storage = { .service = &storage_service, .fill = fill, .stock = stock };
