/* alerts_world.h -- Orders with lives written by hand, the news of them in disorder, and the alerts that must come of it.
 *
 * An order has one of the lives in alerts_world.c. Each piece of its news is heard after a delay of its own, up to the grace, some
 * much later, a tenth of it twice; news that says nothing about money may be lost for good. order-svc's relay is silent for an
 * hour. Heartbeats are honest: a source never says that it has told all news before a time which it has not.
 *
 * What must be raised and resolved is part of a life; the same dice give the same world.
 *
 *     world = (struct world){ .dice = 1, .start_us = ..., ... };
 *     world_add(&world, number, is_wrong);                   each order
 *     inputs = world_disorder(&world);                       what is heard, in its order
 *     input_build(&world, &inputs.all[i], &record);
 *     ... world.wanted[0 .. wanted_count - 1] ...
 *     world_free(&world, &inputs);
 *
 * Thread    Plain data.
 * Memory    Inputs point into the world.
 * Units     *_us microseconds since 1970 UTC.
 */
#ifndef TESTS_SUPPORT_ALERTS_ALERTS_WORLD_H
#define TESTS_SUPPORT_ALERTS_ALERTS_WORLD_H

#include "alerts/rule.h"
#include "mesh/base/clock.h"
#include "tests/support/alerts/alerts_feed.h"

#define WORLD_US (12 * 3600 * SECOND_US) /* after it nothing is heard, and no grace runs */

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
    enum rule_id rule;
    int32_t order;
    bool is_resolved;
};

struct world {
    uint64_t dice;
    int64_t start_us;
    int64_t gap_us;  /* between orders */
    int64_t beat_us; /* between heartbeats */
    struct piece *pieces;
    size_t piece_count, piece_room;
    struct wanted *wanted;
    size_t wanted_count, wanted_room, wrong_count;
    /* Of the order whose life is made. Within only. */
    int32_t order;
    int64_t at_us;
};

struct uuid world_order_id(const struct world *world, int32_t order);

/* Orders are placed one after the other by their number, from 0 on. */
void world_add(struct world *world, int32_t order, bool is_wrong);

/* What is heard: a piece of news, or the heartbeat of a source. */
struct input {
    int64_t at_us;
    const struct piece *piece; /* NULL: a heartbeat */
    size_t source;             /* of driver_sources */
    int64_t up_to_us;
};

struct inputs {
    struct input *all;
    size_t count, room;
};

struct inputs world_disorder(struct world *world);
void input_build(const struct world *world, const struct input *input, struct feed_record *record);

int64_t world_between(struct world *world, int64_t least, int64_t most);
bool world_chance(struct world *world, int percent);

void world_free(struct world *world, struct inputs *inputs);

#endif
