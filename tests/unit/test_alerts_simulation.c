/* test_alerts_simulation.c -- 200,000 orders whose news comes late, twice, in any order, or not at all, and 500 that are wrong.
 *
 * An order has one of the lives below, told by its news. Each piece of news is heard after a delay of its own, up to the
 * grace, some much later, a tenth of it twice; news that says nothing about money may be lost for good. order-svc's relay is
 * out of order for an hour. Heartbeats are honest: a source never says that it has told all news before a time which it
 * has not. The reader commits now and then, parks what it has, and crashes: it goes on from its last commit.
 *
 * What must be raised and resolved is part of a life, written there by hand: 500 orders are wrong and raised with the ids
 * that they should have, none else is, none twice.
 */
#include "mesh/base/clock.h"
#include "mesh/base/hash.h"
#include "tests/support/alerts/alerts_driver.h"
#include "tests/support/alerts/alerts_feed.h"
#include "tests/support/check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define START_US (INT64_C(1763718000) * SECOND_US)
#define PLACED_US (7200 * SECOND_US) /* all orders are placed within */
#define END_US (START_US + 12 * 3600 * SECOND_US)
#define OUT_BEGIN_US (START_US + 1800 * SECOND_US)
#define OUT_END_US (OUT_BEGIN_US + 3600 * SECOND_US)
#define GRACE_US (300 * SECOND_US)
#define CHECKOUT_US (900 * SECOND_US)
#define BEAT_US (2 * SECOND_US)

enum {
    PARTITIONS = 12, /* that cores share */
    ORDERS = 200000,
    WRONG_EVERY = 400, /* 500 of them */
    NEWS_MAX = 8,      /* of an order */
    ALERTS_MAX = 4,
    PAGE_MAX = 2000,   /* records between commits */
    PARK_PERCENT = 20, /* of commits */
    CRASH_PERCENT = 8, /* after a page */
};

/* A piece of news; whose it is: 'o' the order's, 'a' and 'b' payments' at a provider, 'w' a wallet's. */
struct piece {
    int32_t order, version;
    char who, by;
    bool is_free, is_needed; /* not needed: it may be lost */
    const char *status;
    int64_t time_us, heard_us, expires_us, occurred_us, back_minor;
};

struct wanted {
    struct uuid alert_id;
    bool is_resolved;
};

/* The orders of a partition, and what is made of them. */
struct world {
    uint64_t dice;
    struct piece *pieces;
    size_t piece_count, piece_room;
    struct wanted *wanted;
    size_t wanted_count, wanted_room, wrong_count;
    /* Of the order whose life is made. */
    int32_t order;
    int64_t at_us;
};

static uint64_t
roll(struct world *world)
{
    world->dice = hash_end(hash_int(world->dice, 1));
    return world->dice;
}

/* From least to most. */
static int64_t
between(struct world *world, int64_t least, int64_t most)
{
    return least + (int64_t)(roll(world) % (uint64_t)(most - least + 1));
}

static bool
chance(struct world *world, int percent)
{
    return roll(world) % 100 < (uint64_t)percent;
}

/* ---- ids: the same for the same ---- */

static int64_t
placed_us(int32_t order)
{
    return START_US + (int64_t)order * (PLACED_US / ORDERS);
}

static struct uuid
id_of(int32_t order, char who, int32_t version)
{
    const struct {
        int32_t order, who, version;
    } seed = { order, who, version };

    return uuid_v8(placed_us(order), &seed, sizeof seed);
}

static struct uuid
order_id(int32_t order)
{
    return id_of(order, 'o', 0);
}

/* ---- lives ---- */

/* The next piece of news of the order, so long after the last one. */
static struct piece *
say(struct world *world, int64_t after_us, char who, int32_t version, const char *status)
{
    if (world->piece_count == world->piece_room) {
        world->piece_room = world->piece_room * 2 + 1024;
        world->pieces = memory_grow(world->pieces, world->piece_room * sizeof *world->pieces);
    }
    world->at_us += after_us;
    world->pieces[world->piece_count] = (struct piece){ .order = world->order,
                                                        .who = who,
                                                        .version = version,
                                                        .status = status,
                                                        .time_us = world->at_us,
                                                        .is_needed = true };
    return &world->pieces[world->piece_count++];
}

static void
may_be_lost(struct piece *piece)
{
    piece->is_needed = false;
}

/* "+A" of the news that names it. */
static void
want(struct world *world, const char *alert, char who, int32_t version)
{
    enum rule_id rule = (enum rule_id)(alert[1] - 'A');

    if (world->wanted_count == world->wanted_room) {
        world->wanted_room = world->wanted_room * 2 + 64;
        world->wanted = memory_grow(world->wanted, world->wanted_room * sizeof *world->wanted);
    }
    world->wanted[world->wanted_count++] =
        (struct wanted){ .alert_id = rule_alert_id(rule, order_id(world->order),
                                                   id_of(world->order, who, version)),
                         .is_resolved = alert[0] == '-' };
}

static int64_t
soon(struct world *world)
{
    return between(world, 1000, 2 * SECOND_US);
}

/* Longer than a rule's grace and what clocks may be apart. */
static int64_t
too_long(struct world *world)
{
    return GRACE_US + between(world, SECOND_US + 1, 2 * 3600 * SECOND_US);
}

/* Placed, with a payment at a provider; the customer can pay. */
static void
wait_for_payment(struct world *world)
{
    say(world, 0, 'o', 1, "PENDING");
    may_be_lost(say(world, soon(world), 'a', 1, "CREATED"));
    say(world, soon(world), 'o', 2, "WAITING_PAYMENT")->expires_us = world->at_us + CHECKOUT_US;
}

static struct piece *
pay(struct world *world, int64_t after_us, char who, int32_t version)
{
    struct piece *piece = say(world, after_us, who, version, "SUCCEEDED");

    piece->occurred_us = who == 'w' ? 0 : world->at_us - between(world, 0, SECOND_US);
    return piece;
}

static void
paid_order(struct world *world, int64_t after_us, int32_t version, char by)
{
    say(world, after_us, 'o', version, "PAID")->by = by;
}

static void
back(struct world *world, int64_t after_us, char who, int32_t version)
{
    say(world, after_us, who, version, "REFUNDED")->back_minor = 100;
}

static void
right_wallet(struct world *world)
{
    may_be_lost(say(world, 0, 'o', 1, "PENDING"));
    pay(world, soon(world), 'w', 1);
    paid_order(world, soon(world), 2, 'w');
}

static void
right_no_funds(struct world *world)
{
    may_be_lost(say(world, 0, 'o', 1, "PENDING"));
    may_be_lost(say(world, soon(world), 'w', 1, "FAILED"));
    say(world, soon(world), 'o', 2, "FAILED");
}

static void
right_free(struct world *world)
{
    say(world, 0, 'o', 1, "PENDING");
    say(world, soon(world), 'o', 2, "PAID")->is_free = true;
}

static void
right_provider(struct world *world)
{
    wait_for_payment(world);
    pay(world, between(world, SECOND_US, 800 * SECOND_US), 'a', 2);
    paid_order(world, soon(world), 3, 'a');
}

/* PAID comes so late that it is just in time. */
static void
right_slow(struct world *world)
{
    wait_for_payment(world);
    pay(world, soon(world), 'a', 2);
    paid_order(world, between(world, GRACE_US - SECOND_US, GRACE_US), 3, 'a');
}

/* By another clock PAID was before the success, for as long as the grace allows. */
static void
right_before(struct world *world)
{
    say(world, 0, 'o', 1, "PENDING");
    paid_order(world, soon(world), 2, 'w');
    pay(world, between(world, 0, GRACE_US), 'w', 1);
}

static void
right_declined(struct world *world)
{
    static const char *const words[] = { "FAILED", "EXPIRED", "CANCELED", "CANCELLED" };

    wait_for_payment(world);
    say(world, between(world, SECOND_US, 900 * SECOND_US), 'a', 3, words[roll(world) % 4]);
    say(world, soon(world), 'o', 3, "FAILED");
}

/* What was taken back by the saga, and then the order FAILED. */
static void
right_undone(struct world *world)
{
    say(world, 0, 'o', 1, "PENDING");
    pay(world, soon(world), 'w', 1);
    back(world, soon(world), 'w', 2);
    say(world, soon(world), 'o', 2, "FAILED");
}

/* A failure, and then a success, of the same payment or of another. */
static void
right_second_try(struct world *world)
{
    bool is_other = chance(world, 50);

    wait_for_payment(world);
    say(world, soon(world), 'a', 2, "FAILED");
    pay(world, soon(world), is_other ? 'b' : 'a', 3);
    paid_order(world, soon(world), 3, is_other ? 'b' : 'a');
}

/* The shop paid back what the order has. */
static void
right_returned(struct world *world)
{
    right_provider(world);
    back(world, between(world, SECOND_US, 3600 * SECOND_US), 'a', 3);
}

static void
wrong_a_for_ever(struct world *world)
{
    wait_for_payment(world);
    pay(world, soon(world), 'a', 2);
    want(world, "+A", 'a', 2);
}

static void
wrong_a_for_a_while(struct world *world)
{
    wait_for_payment(world);
    pay(world, soon(world), 'a', 2);
    paid_order(world, too_long(world), 3, 'a');
    want(world, "+A", 'a', 2);
    want(world, "-A", 'a', 2);
}

static void
wrong_a_then_c(struct world *world)
{
    say(world, 0, 'o', 1, "PENDING");
    pay(world, soon(world), 'w', 1);
    say(world, too_long(world), 'o', 2, "FAILED");
    back(world, too_long(world), 'w', 2);
    want(world, "+A", 'w', 1);
    want(world, "-A", 'w', 1);
    want(world, "+C", 'w', 1);
    want(world, "-C", 'w', 1);
}

static void
wrong_b_for_ever(struct world *world)
{
    wait_for_payment(world);
    if (chance(world, 50))
        say(world, soon(world), 'a', 2, "EXPIRED");
    paid_order(world, soon(world), 3, 'a');
    want(world, "+B", 'o', 3);
}

static void
wrong_b_for_a_while(struct world *world)
{
    say(world, 0, 'o', 1, "PENDING");
    paid_order(world, soon(world), 2, 'w');
    pay(world, too_long(world), 'w', 1);
    want(world, "+B", 'o', 2);
    want(world, "-B", 'o', 2);
}

static void
wrong_b_taken_back(struct world *world)
{
    right_provider(world);
    say(world, too_long(world), 'a', 5, "FAILED");
    want(world, "+B", 'a', 5);
}

static void
wrong_c_for_ever(struct world *world)
{
    right_declined(world);
    pay(world, too_long(world), 'a', 4);
    want(world, "+C", 'a', 4);
}

static void
wrong_c_paid_back(struct world *world)
{
    right_declined(world);
    pay(world, too_long(world), 'a', 4);
    back(world, soon(world), 'a', 5);
    want(world, "+C", 'a', 4);
    want(world, "-C", 'a', 4);
}

/* It succeeded when its time was over, while the order waited. */
static void
wrong_c_too_late(struct world *world)
{
    struct piece *piece;

    wait_for_payment(world);
    piece = pay(world, CHECKOUT_US + 2 * SECOND_US, 'a', 2);
    piece->occurred_us = piece->time_us - SECOND_US;
    back(world, soon(world), 'a', 3);
    say(world, soon(world), 'o', 3, "FAILED");
    want(world, "+C", 'a', 2);
    want(world, "-C", 'a', 2);
}

static void (*const right_lives[])(struct world *) = {
    right_wallet, right_wallet,   right_provider, right_provider,   right_no_funds, right_free,
    right_slow,   right_declined, right_undone,   right_second_try, right_returned, right_before,
};

static void (*const wrong_lives[])(struct world *) = {
    wrong_a_for_ever, wrong_a_for_a_while, wrong_a_then_c,
    wrong_b_for_ever, wrong_b_for_a_while, wrong_b_taken_back,
    wrong_c_for_ever, wrong_c_paid_back,   wrong_c_too_late,
};

/* ---- disorder ---- */

static bool
is_of_order(const struct piece *piece)
{
    return piece->who == 'o';
}

static int64_t
delay_us(struct world *world)
{
    int64_t percent = between(world, 0, 999);

    if (percent < 800)
        return between(world, 0, SECOND_US);
    if (percent < 950)
        return between(world, 0, 20 * SECOND_US);
    if (percent < 999)
        return between(world, 0, GRACE_US);
    return between(world, 0, 4 * GRACE_US); /* lost, and found again */
}

static int64_t
heard_us(struct world *world, const struct piece *piece)
{
    int64_t at_us = piece->time_us + delay_us(world);

    if (is_of_order(piece) && at_us >= OUT_BEGIN_US && at_us < OUT_END_US)
        at_us = OUT_END_US + delay_us(world);
    return at_us;
}

/* What the reader hears: a piece of news, or heartbeats of a source. */
struct input {
    int64_t at_us;
    const struct piece *piece; /* NULL: a heartbeat */
    size_t source;
    int64_t up_to_us;
};

struct inputs {
    struct input *all;
    size_t count, room;
};

static void
input_add(struct inputs *inputs, struct input input)
{
    if (inputs->count == inputs->room) {
        inputs->room = inputs->room * 2 + 1024;
        inputs->all = memory_grow(inputs->all, inputs->room * sizeof *inputs->all);
    }
    inputs->all[inputs->count++] = input;
}

static int
by_time(const void *a, const void *b)
{
    const struct piece *left = a, *right = b;

    return (left->time_us > right->time_us) - (left->time_us < right->time_us);
}

static int
by_hearing(const void *a, const void *b)
{
    const struct input *left = a, *right = b;

    return (left->at_us > right->at_us) - (left->at_us < right->at_us);
}

/* A heartbeat of a source each 2 s: it has told everything that is older than what it has not. Pieces are in the order
 * of their times; of one that is lost for good nothing is to come. */
static void
add_beats(struct inputs *inputs, const struct world *world, size_t source)
{
    size_t oldest = 0; /* the first piece that is not out */

    for (int64_t at_us = START_US; at_us <= END_US; at_us += BEAT_US) {
        int64_t up_to_us = at_us;

        while (oldest < world->piece_count &&
               (is_of_order(&world->pieces[oldest]) != (source == 0) ||
                world->pieces[oldest].heard_us < at_us))
            oldest++;
        if (oldest < world->piece_count && world->pieces[oldest].time_us < up_to_us)
            up_to_us = world->pieces[oldest].time_us;
        if (source == 0 && at_us >= OUT_BEGIN_US && at_us < OUT_END_US)
            continue;
        input_add(inputs, (struct input){ .at_us = at_us, .source = source, .up_to_us = up_to_us });
    }
}

static struct inputs
disorder(struct world *world)
{
    struct inputs inputs = { 0 };

    qsort(world->pieces, world->piece_count, sizeof *world->pieces, by_time);
    for (size_t i = 0; i < world->piece_count; i++) {
        struct piece *piece = &world->pieces[i];

        if (!piece->is_needed && chance(world, 10)) /* lost, which nobody waits for */
            continue;
        piece->heard_us = heard_us(world, piece);
        input_add(&inputs, (struct input){ .at_us = piece->heard_us, .piece = piece });
        if (chance(world, 10))
            input_add(&inputs,
                      (struct input){ .at_us = piece->heard_us + delay_us(world), .piece = piece });
    }
    for (size_t source = 0; source < DRIVER_SOURCE_COUNT; source++)
        add_beats(&inputs, world, source);
    qsort(inputs.all, inputs.count, sizeof *inputs.all, by_hearing);
    return inputs;
}

/* ---- the reader ---- */

static void
build(const struct input *input, struct feed_record *record)
{
    const struct piece *piece = input->piece;

    if (piece == NULL)
        feed_heartbeat(record, driver_sources[input->source], input->up_to_us);
    else if (is_of_order(piece))
        feed_order(record, &(struct feed_order){
                               .order_id = order_id(piece->order),
                               .event_id = id_of(piece->order, 'o', piece->version),
                               .version = piece->version,
                               .status = piece->status,
                               .total_minor = piece->is_free ? 0 : 100,
                               .expires_at_us = piece->expires_us,
                               .paid_by = piece->by == '\0' ? (struct uuid){ { 0 } }
                                                            : id_of(piece->order, piece->by, 0),
                               .time_us = piece->time_us });
    else
        feed_payment(record, &(struct feed_payment){
                                 .order_id = order_id(piece->order),
                                 .payment_id = id_of(piece->order, piece->who, 0),
                                 .event_id = id_of(piece->order, piece->who, piece->version),
                                 .version = piece->version,
                                 .status = piece->status,
                                 .is_wallet = piece->who == 'w',
                                 .occurred_at_us = piece->occurred_us,
                                 .refunded_minor = piece->back_minor,
                                 .amount_minor = 100,
                                 .time_us = piece->time_us });
}

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
        build(input, &record);
        if (driver_feed(driver, &record.message) != NEWS_READ)
            ck_abort_msg("%s: %s", driver->problem.field, driver->problem.text);
        if ((size_t)driver->place < page_end)
            continue;
        if (chance(world, CRASH_PERCENT)) {
            driver_crash(driver);
            crashes++;
        } else {
            driver_commit(driver, chance(world, PARK_PERCENT));
        }
        page_end = (size_t)driver->place + (size_t)between(world, 1, PAGE_MAX);
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
    struct world world = { .dice = HASH_SEED + (uint64_t)_i };
    struct alerts_driver *driver = driver_new(START_US);
    struct inputs inputs;
    int64_t read;

    for (int32_t order = 0; order < ORDERS; order++) {
        if (!is_in(order, _i))
            continue;
        world.order = order;
        world.at_us = placed_us(order);
        if (is_wrong(order))
            wrong_lives[world.wrong_count++ % (size_t)ROWS(wrong_lives)](&world);
        else
            right_lives[roll(&world) % (size_t)ROWS(right_lives)](&world);
    }
    ck_assert_uint_gt(world.wrong_count, (size_t)ROWS(wrong_lives));
    inputs = disorder(&world);
    read_all(&world, &inputs, driver);
    check_told(&world, driver);
    read = driver->answers[NEWS_READ];
    ck_assert_int_ge(read, (int64_t)inputs.count);
    ck_assert_int_eq(driver->full, 0);
    driver_free(driver);
    free(inputs.all);
    free(world.pieces);
    free(world.wanted);
}
END_TEST

int
main(void)
{
    TCase *test = check_case("simulation");

    tcase_add_loop_test(test, what_is_wrong_is_raised_and_nothing_else, 0, PARTITIONS);
    return check_run("alerts_simulation", test);
}
