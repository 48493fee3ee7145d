/* The floor: four connections, each as fast as it can, until the rows of so many orders are written. */
#include "mesh/base/clock.h"
#include "tests/bench/bench_lane.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    TRIAL_ORDERS = 4000,
    ORDERS_MAX = 4 * 1000 * 1000,
    LAG = 4, /* transactions between an order's first rows and its last */
};

static struct lane_range
range_of(const struct lane *lane, int64_t index)
{
    struct lane_range range = { .from = (int64_t)((double)index * lane->orders_per_batch),
                                .to = (int64_t)((double)(index + 1) * lane->orders_per_batch) };

    if (index < 0)
        return (struct lane_range){ 0 };
    if (range.to > lane->count)
        range.to = lane->count;
    if (range.from > range.to)
        range.from = range.to;
    return range;
}

static void *
run_lane(void *argument)
{
    struct lane *lane = argument;

    for (int64_t i = 0; range_of(lane, i - LAG).from < lane->count; i++)
        lane_write(lane, range_of(lane, i), range_of(lane, i - LAG));
    return NULL;
}

/* How long `count` orders take. */
static int64_t
run_lanes(struct lane lanes[BENCH_DATABASES], int64_t count)
{
    pthread_t threads[BENCH_DATABASES];
    int64_t began_us = clock_steady_us();

    for (size_t i = 0; i < BENCH_DATABASES; i++) {
        lanes[i].count = count;
        lanes[i].ids = memory_take((size_t)count * sizeof *lanes[i].ids);
        if (pthread_create(&threads[i], NULL, run_lane, &lanes[i]) != 0)
            bench_fail("no thread");
    }
    for (size_t i = 0; i < BENCH_DATABASES; i++) {
        pthread_join(threads[i], NULL);
        free(lanes[i].ids);
    }
    return clock_steady_us() - began_us;
}

static double
cpu_per_order(const struct bench_programs *before, const struct bench_programs *after,
              const char *name, int64_t orders)
{
    for (size_t i = 0; i < after->count; i++) {
        if (strcmp(after->all[i].name, name) == 0)
            return (double)(after->all[i].cpu_us - before->all[i].cpu_us) / (double)orders;
    }
    return 0;
}

struct bench_floor
bench_floor_run(const struct bench *bench, const double orders_per_batch[BENCH_DATABASES],
                const struct bench_texts *texts)
{
    struct bench_programs before, after;
    struct lane lanes[BENCH_DATABASES];
    struct bench_floor floor = { 0 };
    int64_t took_us;

    for (size_t i = 0; i < BENCH_DATABASES; i++)
        lane_open(&lanes[i], bench, i, texts, orders_per_batch[i]);
    took_us = run_lanes(lanes, TRIAL_ORDERS); /* warms up, and says how many to take */
    floor.orders = TRIAL_ORDERS * bench->seconds * SECOND_US / took_us;
    if (floor.orders > ORDERS_MAX)
        floor.orders = ORDERS_MAX;
    for (size_t i = 0; i < BENCH_DATABASES; i++)
        lanes[i].row_writes = 0;
    bench_programs_find(bench, &before);
    took_us = run_lanes(lanes, floor.orders);
    bench_programs_find(bench, &after);
    floor.orders_per_s = (double)floor.orders * 1e6 / (double)took_us;
    floor.postgres_cpu_us = cpu_per_order(&before, &after, "postgres", floor.orders);
    floor.own_cpu_us = cpu_per_order(&before, &after, "bench", floor.orders);
    for (size_t i = 0; i < BENCH_DATABASES; i++) {
        floor.row_writes += lanes[i].row_writes;
        lane_close(&lanes[i]);
    }
    return floor;
}
