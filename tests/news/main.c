/* test-news -- Writes the news of simulated orders to Kafka, in disorder, and prints the alerts that must come of it.
 *
 *     test-news --kafka=127.0.0.1:9092 --orders=20000 --wrong-every=400 --seconds=60
 *
 * The orders are those of tests/support/alerts/alerts_world.h, in a world that ended just now; their records are as the
 * relays of order-svc and account-svc send them. They go out evenly, in so many seconds. A line for each
 * alert comes first: "ALERT RULE ORDER raised" or "resolved"; "sent RECORDS UNTIL_US" is the last, when all is
 * acknowledged: the last heartbeats are of then.
 */
#include "mesh/base/arena.h"
#include "mesh/base/config.h"
#include "mesh/kafka/producer.h"
#include "tests/support/alerts/alerts_driver.h"
#include "tests/support/alerts/alerts_world.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEND_MAX = 2000, SEND_MS = 60 * 1000, TRIES_MAX = 100 };

struct settings {
    const char *kafka;
    int64_t orders, wrong_every, seconds, partitions, dice;
};

/* clang-format off */
static const struct config_key keys[] = {
    { "kafka",       CONFIG_TEXT, NULL,  0, 0,       "brokers, host:port with commas", offsetof(struct settings, kafka) },
    { "orders",      CONFIG_INT,  NULL,  1, 1000000, "how many", offsetof(struct settings, orders) },
    { "wrong-every", CONFIG_INT,  "400", 1, 1000000, "one of so many is wrong", offsetof(struct settings, wrong_every) },
    { "seconds",     CONFIG_INT,  "0",   0, 3600,    "in which the records are sent; 0: as fast as can be", offsetof(struct settings, seconds) },
    { "partitions",  CONFIG_INT,  "12",  1, 128,     "of each topic, which are made where they are not there", offsetof(struct settings, partitions) },
    { "dice",        CONFIG_INT,  "1",   1, INT32_MAX, "other dice, another world", offsetof(struct settings, dice) },
    { 0 },
};
/* clang-format on */

static void
print_wanted(const struct world *world)
{
    char alert[UUID_TEXT_BYTES + 1], order[UUID_TEXT_BYTES + 1];

    for (size_t i = 0; i < world->wanted_count; i++) {
        const struct wanted *wanted = &world->wanted[i];

        printf("%s %s %s %s\n", uuid_print(wanted->alert_id, alert), rules[wanted->rule].name,
               uuid_print(world_order_id(world, wanted->order), order),
               wanted->is_resolved ? "resolved" : "raised");
    }
    fflush(stdout);
}

/* A record for Kafka, out of one that points into itself. */
static struct kafka_record
record_of(const struct feed_record *feed, int32_t partition, struct arena *arena)
{
    const struct news_message *message = &feed->message;
    struct kafka_record record = { .topic = news_topic(message->topic),
                                   .partition = partition,
                                   .key = message->key == NULL
                                              ? NULL
                                              : arena_copy(arena, message->key, message->key_bytes),
                                   .value = arena_copy(arena, message->value, message->value_bytes),
                                   .timestamp_ms = clock_now_us() / 1000 };

    for (size_t i = 0; i < message->header_count; i++) {
        const struct news_header *header = &message->headers[i];

        record.headers[record.header_count++] =
            (struct kafka_header){ .name = header->name,
                                   .value = arena_copy(arena, header->value, header->bytes) };
    }
    return record;
}

struct sender {
    struct settings settings;
    struct kafka_producer *producer;
    struct arena *arena;
    struct kafka_record *records;
    size_t count, sent;
};

/* What was not acknowledged goes out again, as a relay does it. */
static void
flush(struct sender *sender)
{
    int tries = 0;

    while (sender->count > 0 &&
           kafka_send(sender->producer, sender->records, sender->count, SEND_MS) != ERR_OK) {
        if (++tries == TRIES_MAX)
            abort();
    }
    sender->sent += sender->count;
    sender->count = 0;
    arena_reset(sender->arena);
}

static void
add(struct sender *sender, const struct feed_record *feed, int32_t partition)
{
    if (sender->count == SEND_MAX)
        flush(sender);
    sender->records[sender->count++] = record_of(feed, partition, sender->arena);
}

/* A heartbeat is of each partition of its source's topic. */
static void
add_input(struct sender *sender, const struct world *world, const struct input *input)
{
    struct feed_record feed;

    input_build(world, input, &feed);
    if (input->piece != NULL) {
        add(sender, &feed, KAFKA_PARTITION_BY_KEY);
        return;
    }
    feed.message.topic = input->source == 0 ? NEWS_ORDER : NEWS_PAYMENT;
    for (int32_t i = 0; i < sender->settings.partitions; i++)
        add(sender, &feed, i);
}

static void
make_topics(struct sender *sender)
{
    for (enum news_kind kind = NEWS_ORDER; kind <= NEWS_PAYMENT; kind++) {
        enum error error = kafka_topic_make(sender->producer, news_topic(kind),
                                            (int)sender->settings.partitions, SEND_MS);

        if (error != ERR_OK)
            exit(1);
    }
}

/* Records go out evenly; what is gathered goes out before a pause. */
static void
keep_pace(struct sender *sender, size_t number, size_t count, int64_t begun_us)
{
    int64_t after_us = sender->settings.seconds * SECOND_US * (int64_t)number / (int64_t)count;

    while (clock_steady_us() < begun_us + after_us) {
        flush(sender);
        poll(NULL, 0, 10);
    }
}

int
main(int argc, char **argv)
{
    struct sender sender = { .arena = arena_new() };
    const struct config_table table = { keys, &sender.settings };
    struct world world;
    struct inputs inputs;
    int64_t begun_us;

    config_read(argc, argv, "test-news: simulated news, and the alerts that must come of it",
                &table, 1);
    world = (struct world){ .dice = (uint64_t)sender.settings.dice,
                            .start_us = clock_now_us() - WORLD_US,
                            .gap_us = 7200 * SECOND_US / sender.settings.orders,
                            .beat_us = 60 * SECOND_US };
    for (int32_t order = 0; order < sender.settings.orders; order++)
        world_add(&world, order, order % sender.settings.wrong_every == 0);
    inputs = world_disorder(&world);
    print_wanted(&world);
    sender.producer = kafka_producer_new(sender.settings.kafka, "test-news");
    sender.records = memory_take(SEND_MAX * sizeof *sender.records);
    make_topics(&sender);
    begun_us = clock_steady_us();
    for (size_t i = 0; i < inputs.count; i++) {
        keep_pace(&sender, i, inputs.count, begun_us);
        add_input(&sender, &world, &inputs.all[i]);
    }
    flush(&sender);
    printf("sent %zu %" PRId64 "\n", sender.sent, world.start_us + WORLD_US);
    kafka_producer_free(sender.producer);
    world_free(&world, &inputs);
    free(sender.records);
    arena_free(sender.arena);
    return 0;
}
