/* alerts_world.c -- Lives: what is said of an order, one piece after the other, and what must be raised. */
#include "tests/support/alerts/alerts_world.h"
#include "mesh/base/hash.h"
#include "tests/support/alerts/alerts_driver.h"

#include <stdlib.h>
#include <string.h>

/* After the world's begin. */
#define OUT_BEGIN_US (1800 * SECOND_US)
#define OUT_END_US (OUT_BEGIN_US + 3600 * SECOND_US)

#define GRACE_US (300 * SECOND_US)
#define CHECKOUT_US (900 * SECOND_US)

static uint64_t
roll(struct world *world)
{
    world->dice = hash_end(hash_int(world->dice, 1));
    return world->dice;
}

/* From least to most. */
int64_t
world_between(struct world *world, int64_t least, int64_t most)
{
    return least + (int64_t)(roll(world) % (uint64_t)(most - least + 1));
}

bool
world_chance(struct world *world, int percent)
{
    return roll(world) % 100 < (uint64_t)percent;
}

/* ---- ids: the same for the same ---- */

static int64_t
placed_us(const struct world *world, int32_t order)
{
    return world->start_us + order * world->gap_us;
}

static struct uuid
id_of(const struct world *world, int32_t order, char who, int32_t version)
{
    const struct {
        int32_t order, who, version;
    } seed = { order, who, version };

    return uuid_v8(placed_us(world, order), &seed, sizeof seed);
}

struct uuid
world_order_id(const struct world *world, int32_t order)
{
    return id_of(world, order, 'o', 0);
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
        (struct wanted){ .alert_id = rule_alert_id(rule, world_order_id(world, world->order),
                                                   id_of(world, world->order, who, version)),
                         .rule = rule,
                         .order = world->order,
                         .is_resolved = alert[0] == '-' };
}

static int64_t
soon(struct world *world)
{
    return world_between(world, 1000, 2 * SECOND_US);
}

/* Longer than a rule's grace and what clocks may be apart. */
static int64_t
too_long(struct world *world)
{
    return GRACE_US + world_between(world, SECOND_US + 1, 2 * 3600 * SECOND_US);
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

    piece->occurred_us = who == 'w' ? 0 : world->at_us - world_between(world, 0, SECOND_US);
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
    pay(world, world_between(world, SECOND_US, 800 * SECOND_US), 'a', 2);
    paid_order(world, soon(world), 3, 'a');
}

/* PAID comes so late that it is just in time. */
static void
right_slow(struct world *world)
{
    wait_for_payment(world);
    pay(world, soon(world), 'a', 2);
    paid_order(world, world_between(world, GRACE_US - SECOND_US, GRACE_US), 3, 'a');
}

/* By another clock PAID was before the success, for as long as the grace allows. */
static void
right_before(struct world *world)
{
    say(world, 0, 'o', 1, "PENDING");
    paid_order(world, soon(world), 2, 'w');
    pay(world, world_between(world, 0, GRACE_US), 'w', 1);
}

static void
right_declined(struct world *world)
{
    static const char *const words[] = { "FAILED", "EXPIRED", "CANCELED", "CANCELLED" };

    wait_for_payment(world);
    say(world, world_between(world, SECOND_US, 900 * SECOND_US), 'a', 3, words[roll(world) % 4]);
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
    bool is_other = world_chance(world, 50);

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
    back(world, world_between(world, SECOND_US, 3600 * SECOND_US), 'a', 3);
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
    if (world_chance(world, 50))
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
    int64_t percent = world_between(world, 0, 999);

    if (percent < 800)
        return world_between(world, 0, SECOND_US);
    if (percent < 950)
        return world_between(world, 0, 20 * SECOND_US);
    if (percent < 999)
        return world_between(world, 0, GRACE_US);
    return world_between(world, 0, 4 * GRACE_US); /* lost, and found again */
}

/* The relay of order-svc is silent. */
static bool
is_out(const struct world *world, int64_t at_us)
{
    return at_us >= world->start_us + OUT_BEGIN_US && at_us < world->start_us + OUT_END_US;
}

static int64_t
heard_us(struct world *world, const struct piece *piece)
{
    int64_t at_us = piece->time_us + delay_us(world);

    if (is_of_order(piece) && is_out(world, at_us))
        at_us = world->start_us + OUT_END_US + delay_us(world);
    return at_us;
}

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

/* A heartbeat of a source, now and then: it has told everything that is older than what it has not. Pieces are in the order
 * of their times; of one that is lost for good nothing is to come. */
static void
add_beats(struct inputs *inputs, const struct world *world, size_t source)
{
    size_t oldest = 0; /* the first piece that is not out */

    for (int64_t at_us = world->start_us; at_us <= world->start_us + WORLD_US;
         at_us += world->beat_us) {
        int64_t up_to_us = at_us;

        while (oldest < world->piece_count &&
               (is_of_order(&world->pieces[oldest]) != (source == 0) ||
                world->pieces[oldest].heard_us < at_us))
            oldest++;
        if (oldest < world->piece_count && world->pieces[oldest].time_us < up_to_us)
            up_to_us = world->pieces[oldest].time_us;
        if (source == 0 && is_out(world, at_us))
            continue;
        input_add(inputs, (struct input){ .at_us = at_us, .source = source, .up_to_us = up_to_us });
    }
}

struct inputs
world_disorder(struct world *world)
{
    struct inputs inputs = { 0 };

    qsort(world->pieces, world->piece_count, sizeof *world->pieces, by_time);
    for (size_t i = 0; i < world->piece_count; i++) {
        struct piece *piece = &world->pieces[i];

        if (!piece->is_needed && world_chance(world, 10)) /* lost, which nobody waits for */
            continue;
        piece->heard_us = heard_us(world, piece);
        input_add(&inputs, (struct input){ .at_us = piece->heard_us, .piece = piece });
        if (world_chance(world, 10))
            input_add(&inputs,
                      (struct input){ .at_us = piece->heard_us + delay_us(world), .piece = piece });
    }
    for (size_t source = 0; source < DRIVER_SOURCE_COUNT; source++)
        add_beats(&inputs, world, source);
    qsort(inputs.all, inputs.count, sizeof *inputs.all, by_hearing);
    return inputs;
}

void
input_build(const struct world *world, const struct input *input, struct feed_record *record)
{
    const struct piece *piece = input->piece;

    if (piece == NULL)
        feed_heartbeat(record, driver_sources[input->source], input->up_to_us);
    else if (is_of_order(piece))
        feed_order(record,
                   &(struct feed_order){
                       .order_id = world_order_id(world, piece->order),
                       .event_id = id_of(world, piece->order, 'o', piece->version),
                       .version = piece->version,
                       .status = piece->status,
                       .total_minor = piece->is_free ? 0 : 100,
                       .expires_at_us = piece->expires_us,
                       .paid_by = piece->by == '\0' ? (struct uuid){ { 0 } }
                                                    : id_of(world, piece->order, piece->by, 0),
                       .time_us = piece->time_us });
    else
        feed_payment(record, &(struct feed_payment){
                                 .order_id = world_order_id(world, piece->order),
                                 .payment_id = id_of(world, piece->order, piece->who, 0),
                                 .event_id = id_of(world, piece->order, piece->who, piece->version),
                                 .version = piece->version,
                                 .status = piece->status,
                                 .is_wallet = piece->who == 'w',
                                 .occurred_at_us = piece->occurred_us,
                                 .refunded_minor = piece->back_minor,
                                 .amount_minor = 100,
                                 .time_us = piece->time_us });
}

void
world_add(struct world *world, int32_t order, bool is_wrong)
{
    world->order = order;
    world->at_us = placed_us(world, order);
    if (is_wrong)
        wrong_lives[world->wrong_count++ % (sizeof wrong_lives / sizeof *wrong_lives)](world);
    else
        right_lives[roll(world) % (sizeof right_lives / sizeof *right_lives)](world);
}

void
world_free(struct world *world, struct inputs *inputs)
{
    free(world->pieces);
    free(world->wanted);
    free(inputs->all);
}
