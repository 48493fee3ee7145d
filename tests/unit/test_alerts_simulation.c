/* test_alerts_simulation.c -- 200,000 orders whose news comes late, twice, in any order, or not at all, and 500 that are wrong.
 *
 * The world is that of tests/support/alerts/alerts_world.h. The reader commits now and then, parks what it has, and crashes: it
 * goes on from its last commit. The 500 orders that are wrong are raised with the ids that they should have, none else is,
 * none twice.
 */
#include "mesh/base/clock.h"
#include "mesh/base/hash.h"
#include "tests/support/alerts/alerts_driver.h"
#include "tests/support/alerts/alerts_world.h"
#include "tests/support/check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define START_US (INT64_C(1763718000) * SECOND_US)
#define END_US (START_US + WORLD_US)

enum {
    PARTITIONS = 12, /* that cores share */
    ORDERS = 200000,
    WRONG_EVERY = 400, /* 500 of them */
    PAGE_MAX = 2000,   /* records between commits */
    PARK_PERCENT = 20, /* of commits */
    CRASH_PERCENT = 8, /* after a page */
};

/* ---- the reader ---- */

/* Reads all, in pages; after a crash again from the last commit on, by then later in the day. */
static void
read_all(struct world *world, const struct inputs *inputs, struct alerts_driver *driver)
{
    size_t page_end = 0, crashes = 0;
    struct feed_record record;

    while ((size_t)driver->place < inputs->count) {
        const struct input *input = &inputs->all[driver->place];

        if (input->at_us > driver->now_us)
            driver_clock(driver, input->at_us);
        input_build(world, input, &record);
        if (driver_feed(driver, &record.message) != NEWS_READ)
            ck_abort_msg("%s: %s", driver->problem.field, driver->problem.text);
        if ((size_t)driver->place < page_end)
            continue;
        if (world_chance(world, CRASH_PERCENT)) {
            driver_crash(driver);
            crashes++;
        } else {
            driver_commit(driver, world_chance(world, PARK_PERCENT));
        }
        page_end = (size_t)driver->place + (size_t)world_between(world, 1, PAGE_MAX);
    }
    driver_clock(driver, END_US + DAY_US);
    driver_beat(driver, END_US + DAY_US);
    driver_commit(driver, false);
    ck_assert_uint_gt(crashes, 0);
}

/* ---- what must hold ---- */

static int
by_id(const void *a, const void *b)
{
    const struct wanted *left = a, *right = b;
    int order = uuid_compare(&left->alert_id, &right->alert_id);

    return order != 0 ? order : left->is_resolved - right->is_resolved;
}

static void
check_told(struct world *world, const struct alerts_driver *driver)
{
    struct wanted *told = memory_take((driver->told_count + 1) * sizeof *told);
    char id[UUID_TEXT_BYTES + 1];

    for (size_t i = 0; i < driver->told_count; i++)
        told[i] = (struct wanted){ .alert_id = driver->told[i].alert.id,
                                   .is_resolved = driver->told[i].alert.is_resolved };
    qsort(told, driver->told_count, sizeof *told, by_id);
    qsort(world->wanted, world->wanted_count, sizeof *world->wanted, by_id);
    for (size_t i = 0; i < driver->told_count && i < world->wanted_count; i++)
        ck_assert_msg(by_id(&told[i], &world->wanted[i]) == 0, "told %zu of %zu: %s, %s", i,
                      driver->told_count, uuid_print(told[i].alert_id, id),
                      told[i].is_resolved ? "resolved" : "raised");
    ck_assert_uint_eq(driver->told_count, world->wanted_count);
    free(told);
}

/* 500 of all partitions. */
static bool
is_wrong(int32_t order)
{
    return order % WRONG_EVERY == 7;
}

static bool
is_in(int32_t order, int partition)
{
    return (int)(hash_end(hash_int(HASH_SEED, order)) % PARTITIONS) == partition;
}

START_TEST(what_is_wrong_is_raised_and_nothing_else)
{
    struct world world = { .dice = HASH_SEED + (uint64_t)_i,
                           .start_us = START_US,
                           .gap_us = 7200 * SECOND_US / ORDERS,
                           .beat_us = 2 * SECOND_US };
    struct alerts_driver *driver = driver_new(START_US);
    struct inputs inputs;

    for (int32_t order = 0; order < ORDERS; order++) {
        if (is_in(order, _i))
            world_add(&world, order, is_wrong(order));
    }
    ck_assert_uint_gt(world.wrong_count, WRONG_EVERY / 20);
    inputs = world_disorder(&world);
    read_all(&world, &inputs, driver);
    check_told(&world, driver);
    ck_assert_int_ge(driver->answers[NEWS_READ], (int64_t)inputs.count);
    ck_assert_int_eq(driver->full, 0);
    driver_free(driver);
    world_free(&world, &inputs);
}
END_TEST

int
main(void)
{
    TCase *test = check_case("simulation");

    tcase_add_loop_test(test, what_is_wrong_is_raised_and_nothing_else, 0, PARTITIONS);
    return check_run("alerts_simulation", test);
}
