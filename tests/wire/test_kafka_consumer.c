/* The consumer against librdkafka's mock cluster, and, where MESH_TEST_KAFKA names one, a real Kafka: whose
 * partitions are whose, from where they are read, and what comes when Kafka is not as it was. */
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/random.h"
#include "tests/support/check.h"
#include "tests/support/kafka/kafka_fixture.h"

#include <stdlib.h>
#include <string.h>

/* The mock takes as long to find out that the members have changed; a server has its own least. */
enum { SESSION_MS = 6000 };

enum { PARTITIONS = 4, TOPICS = 2, POLL_MS = 20, SEEN_MAX = 20000 };

static struct kafka_fixture fixture;

/* A member of the group, which notes what it is told. */
struct member {
    struct kafka_consumer *consumer;
    bool is_ending;
    int64_t from;
    struct kafka_place places[64];
    size_t place_count;
    int assigned, revoked, resets;
    struct kafka_place reset; /* the last */
    char *values[SEEN_MAX];
    struct kafka_place seen[SEEN_MAX];
    size_t seen_count;
};

static bool
assigned(void *owner, struct kafka_place *places, size_t count)
{
    struct member *member = owner;

    member->assigned++;
    member->place_count = count;
    ck_assert_uint_le(count, 64);
    for (size_t i = 0; i < count; i++)
        places[i].offset = member->from;
    memcpy(member->places, places, count * sizeof *places);
    return !member->is_ending;
}

static void
revoked(void *owner, bool is_lost)
{
    struct member *member = owner;

    (void)is_lost;
    member->revoked++;
    member->place_count = 0;
}

static void
was_reset(void *owner, const struct kafka_place *place, int64_t offset)
{
    struct member *member = owner;

    ck_assert_int_ne(place->offset, offset);
    member->resets++;
    member->reset = *place;
}

static struct member *
member_new(const char *instance)
{
    struct member *member = memory_take(sizeof *member);

    member->from = KAFKA_EARLIEST;
    member->consumer =
        kafka_consumer_new(&(struct kafka_consumer_options){ .brokers = fixture.brokers,
                                                             .client = "test",
                                                             .group = fixture.group,
                                                             .instance = instance,
                                                             .topics = fixture.names,
                                                             .session_ms = SESSION_MS,
                                                             .owner = member,
                                                             .assigned = assigned,
                                                             .revoked = revoked,
                                                             .reset = was_reset });
    ck_assert_ptr_nonnull(member->consumer);
    return member;
}

static void
member_forget(struct member *member)
{
    for (size_t i = 0; i < member->seen_count; i++)
        free(member->values[i]);
    member->seen_count = 0;
}

static struct member *
member_free(struct member *member)
{
    kafka_consumer_free(member->consumer);
    member_forget(member);
    free(member);
    return NULL;
}

/* Polls once, and notes all that came. */
static bool
poll_once(struct member *member)
{
    const struct kafka_message *messages;
    size_t count;

    ck_assert_int_eq(kafka_consumer_poll(member->consumer, POLL_MS, 100, &messages, &count),
                     ERR_OK);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_lt(member->seen_count, SEEN_MAX);
        member->seen[member->seen_count] =
            (struct kafka_place){ messages[i].topic, messages[i].partition, messages[i].offset };
        member->values[member->seen_count++] =
            strndup(messages[i].value == NULL ? "" : messages[i].value, messages[i].value_bytes);
    }
    return true;
}

static bool
has_seen(const struct member *member, const char *value)
{
    for (size_t i = 0; i < member->seen_count; i++) {
        if (strcmp(member->values[i], value) == 0)
            return true;
    }
    return false;
}

#define AWAIT_POLL(member, condition) AWAIT(poll_once(member) && (condition), 60)

static void
open_kafka(void)
{
    kafka_fixture_open(&fixture, TOPICS);
    for (size_t i = 0; i < TOPICS; i++)
        kafka_fixture_make(&fixture, i, PARTITIONS);
}

static void
open_without_topics(void)
{
    kafka_fixture_open(&fixture, TOPICS);
}

static void
close_kafka(void)
{
    kafka_fixture_close(&fixture);
}

/* ---- records ---- */

START_TEST(a_record_has_all_its_parts)
{
    struct member *member = member_new(NULL);
    const struct kafka_message *messages;
    size_t count = 0;
    const struct kafka_record record = { .topic = fixture.topics[1],
                                         .partition = 2,
                                         .key = "k\xc3\xa9",
                                         .value = "{\"a\":1}",
                                         .timestamp_ms = 1700000000123,
                                         .headers = { { .name = "ce_id", .value = "x" },
                                                      { .name = "empty", .value = "" } },
                                         .header_count = 2 };

    AWAIT_POLL(member, member->place_count == PARTITIONS * TOPICS);
    ck_assert_int_eq(kafka_send(fixture.producer, &record, 1, 30000), ERR_OK);
    AWAIT(kafka_consumer_poll(member->consumer, POLL_MS, 10, &messages, &count) == ERR_OK &&
              count == 1,
          60);
    ck_assert_int_eq(messages[0].topic, 1);
    ck_assert_int_eq(messages[0].partition, 2);
    ck_assert_int_eq(messages[0].offset, 0);
    ck_assert_int_eq(messages[0].timestamp_ms, 1700000000123);
    ck_assert_uint_eq(messages[0].key_bytes, 3);
    ck_assert_mem_eq(messages[0].key, "k\xc3\xa9", 3);
    ck_assert_uint_eq(messages[0].value_bytes, 7);
    ck_assert_mem_eq(messages[0].value, "{\"a\":1}", 7);
    ck_assert_uint_eq(messages[0].header_count, 2);
    ck_assert_str_eq(messages[0].headers[0].name, "ce_id");
    ck_assert_uint_eq(messages[0].headers[0].bytes, 1);
    ck_assert_mem_eq(messages[0].headers[0].value, "x", 1);
    ck_assert_uint_eq(messages[0].headers[1].bytes, 0);
    ck_assert_int_eq(kafka_consumer_lag(member->consumer, &(struct kafka_place){ 1, 2, 0 }), 1);
    ck_assert_int_eq(kafka_consumer_lag(member->consumer, &(struct kafka_place){ 1, 2, 1 }), 0);
    ck_assert_ptr_nonnull(kafka_consumer_cluster(member->consumer, 5000));
    member = member_free(member);
}
END_TEST

START_TEST(a_tombstone_has_no_value)
{
    struct member *member = member_new(NULL);

    AWAIT_POLL(member, member->place_count == PARTITIONS * TOPICS);
    kafka_fixture_send(&fixture, 0, 1, "k", NULL);
    AWAIT_POLL(member, member->seen_count == 1);
    ck_assert_str_eq(member->values[0], "");
    member = member_free(member);
}
END_TEST

START_TEST(a_partition_is_read_in_order)
{
    struct member *member = member_new(NULL);
    char value[16];

    for (int i = 0; i < 300; i++) {
        snprintf(value, sizeof value, "%d", i);
        kafka_fixture_send(&fixture, 0, 3, "k", value);
    }
    AWAIT_POLL(member, member->seen_count == 300);
    for (int i = 0; i < 300; i++) {
        ck_assert_int_eq(member->seen[i].offset, i);
        ck_assert_int_eq(atoi(member->values[i]), i);
    }
    member = member_free(member);
}
END_TEST

/* ---- from where ---- */

START_TEST(the_owner_says_from_where)
{
    struct member *member = member_new(NULL);

    for (int i = 0; i < 5; i++)
        kafka_fixture_send(&fixture, 0, 0, "k", (const char *[]){ "a", "b", "c", "d", "e" }[i]);
    member->from = 3;
    AWAIT_POLL(member, has_seen(member, "e"));
    ck_assert_uint_eq(member->seen_count, 2);
    ck_assert_int_eq(member->seen[0].offset, 3);
    member = member_free(member);
}
END_TEST

START_TEST(one_that_ends_reads_nothing)
{
    struct member *member = member_new(NULL);

    member->is_ending = true;
    kafka_fixture_send(&fixture, 0, 0, "k", "a");
    AWAIT_POLL(member, member->place_count == PARTITIONS * TOPICS);
    for (int i = 0; i < 20; i++)
        poll_once(member);
    ck_assert_uint_eq(member->seen_count, 0);
    member = member_free(member);
}
END_TEST

/* A partition that its owner cannot go on with rests, and the others go on. Nothing of it is lost, nothing comes
 * twice. */
START_TEST(one_rests_and_the_others_go_on)
{
    struct member *member = member_new(NULL);
    const struct kafka_place rests = { 0, 0, 0 };

    AWAIT_POLL(member, member->place_count == PARTITIONS * TOPICS);
    kafka_fixture_send(&fixture, 0, 0, "k", "a");
    kafka_fixture_send(&fixture, 0, 1, "k", "b");
    AWAIT_POLL(member, member->seen_count == 2);
    kafka_fixture_send(&fixture, 0, 0, "k", "c");
    kafka_consumer_rest(member->consumer, &rests, 1, true);
    kafka_fixture_send(&fixture, 0, 0, "k", "d");
    kafka_fixture_send(&fixture, 0, 1, "k", "e");
    AWAIT_POLL(member, has_seen(member, "e"));
    for (int i = 0; i < 20; i++)
        poll_once(member);
    ck_assert(!has_seen(member, "c") && !has_seen(member, "d"));
    kafka_consumer_rest(member->consumer, &rests, 1, false);
    AWAIT_POLL(member, has_seen(member, "d"));
    ck_assert_uint_eq(member->seen_count, 5);
    member = member_free(member);
}
END_TEST

/* The same before anything of it was read. */
START_TEST(one_rests_from_the_beginning)
{
    struct member *member = member_new(NULL);
    const struct kafka_place rests[] = { { 0, 0, 0 }, { 1, 3, 0 } };

    AWAIT_POLL(member, member->place_count == PARTITIONS * TOPICS);
    kafka_consumer_rest(member->consumer, rests, 2, true);
    kafka_fixture_send(&fixture, 0, 0, "k", "a");
    kafka_fixture_send(&fixture, 1, 3, "k", "b");
    kafka_fixture_send(&fixture, 0, 1, "k", "c");
    AWAIT_POLL(member, has_seen(member, "c"));
    kafka_consumer_rest(member->consumer, rests, 2, false);
    AWAIT_POLL(member, has_seen(member, "a") && has_seen(member, "b"));
    ck_assert_uint_eq(member->seen_count, 3);
    member = member_free(member);
}
END_TEST

/* Of a cluster that has forgotten everything, or a topic that was made anew. */
START_TEST(an_offset_beyond_the_end_begins_at_the_beginning)
{
    struct member *member = member_new(NULL);

    member->from = 1000;
    kafka_fixture_send(&fixture, 0, 2, "k", "a");
    AWAIT_POLL(member, has_seen(member, "a"));
    ck_assert_int_ge(member->resets, 1);
    ck_assert_int_eq(member->reset.offset, 1000);
    kafka_fixture_send(&fixture, 1, 2, "k", "b"); /* that one was empty */
    AWAIT_POLL(member, has_seen(member, "b"));
    member = member_free(member);
}
END_TEST

/* The time of what was to be read next is over. The mock keeps 5 MiB of a partition. */
START_TEST(an_offset_before_the_beginning_begins_there)
{
    struct member *member;
    char *value = memory_take(100001);

    if (fixture.cluster == NULL) {
        free(value);
        puts("skipped: a server that is not the mock keeps what it has");
        return;
    }
    for (int i = 0; i < 100000; i += 200)
        random_bytes(value + i, 200);
    for (int i = 0; i < 100000; i++)
        value[i] = (char)('a' + (unsigned char)value[i] % 26); /* compressed it would all be kept */
    for (int i = 0; i < 120; i++)
        kafka_fixture_send(&fixture, 0, 0, "k", value);
    kafka_fixture_send(&fixture, 0, 0, "k", "last");
    free(value);
    member = member_new(NULL);
    member->from = 0;
    AWAIT_POLL(member, has_seen(member, "last"));
    ck_assert_int_eq(member->resets, 1);
    ck_assert_int_gt(member->seen[0].offset, 0);
    member = member_free(member);
}
END_TEST

/* ---- the group ---- */

static size_t
shared_places(const struct member *a, const struct member *b)
{
    size_t count = 0;

    for (size_t i = 0; i < a->place_count; i++) {
        for (size_t j = 0; j < b->place_count; j++)
            count += a->places[i].topic == b->places[j].topic &&
                     a->places[i].partition == b->places[j].partition;
    }
    return count;
}

static bool
poll_both(struct member *a, struct member *b)
{
    return poll_once(a) && poll_once(b);
}

/* Whoever has partition 3 of one topic has 3 of the other. */
static void
expect_together(const struct member *member)
{
    for (size_t i = 0; i < member->place_count; i++) {
        size_t others = 0;

        for (size_t j = 0; j < member->place_count; j++)
            others += member->places[i].partition == member->places[j].partition;
        ck_assert_uint_eq(others, TOPICS);
    }
}

START_TEST(two_members_share_and_one_takes_over)
{
    struct member *a = member_new(NULL), *b;

    AWAIT_POLL(a, a->place_count == PARTITIONS * TOPICS);
    b = member_new(NULL);
    AWAIT(poll_both(a, b) && a->place_count == PARTITIONS * TOPICS / 2 &&
              b->place_count == PARTITIONS * TOPICS / 2,
          60);
    ck_assert_uint_eq(shared_places(a, b), 0);
    ck_assert_int_ge(a->revoked, 1);
    expect_together(a);
    expect_together(b);
    for (int32_t i = 0; i < PARTITIONS; i++)
        kafka_fixture_send(&fixture, 0, i, "k", "x");
    AWAIT(poll_both(a, b) && a->seen_count + b->seen_count == PARTITIONS, 60);
    ck_assert_uint_eq(a->seen_count, PARTITIONS / 2);
    b = member_free(b);
    AWAIT_POLL(a, a->place_count == PARTITIONS * TOPICS);
    a = member_free(a);
}
END_TEST

START_TEST(a_member_that_is_named_comes_back)
{
    struct member *member;

    if (fixture.cluster != NULL) {
        puts("skipped: the mock knows no named members");
        return;
    }
    member = member_new("one");
    AWAIT_POLL(member, member->place_count == PARTITIONS * TOPICS);
    member = member_free(member);
    member = member_new("one");
    AWAIT_POLL(member, member->place_count == PARTITIONS * TOPICS);
    member = member_free(member);
}
END_TEST

/* ---- Kafka is not as it should be ---- */

START_TEST(topics_that_are_not_there_are_waited_for)
{
    struct member *member;

    if (fixture.cluster != NULL) {
        puts("skipped: the mock makes a topic as soon as it is asked for");
        return;
    }
    member = member_new(NULL);
    for (int i = 0; i < 20; i++)
        poll_once(member);
    ck_assert_uint_eq(member->place_count, 0);
    for (size_t i = 0; i < TOPICS; i++)
        kafka_fixture_make(&fixture, i, PARTITIONS);
    AWAIT_POLL(member, member->place_count == PARTITIONS * TOPICS);
    kafka_fixture_send(&fixture, 0, 0, "k", "a");
    AWAIT_POLL(member, has_seen(member, "a"));
    member = member_free(member);
}
END_TEST

START_TEST(a_broker_that_is_away_is_waited_for)
{
    struct member *member;

    if (fixture.cluster == NULL) {
        puts("skipped: a server that is not the mock is not ours to end");
        return;
    }
    member = member_new(NULL);
    AWAIT_POLL(member, member->place_count == PARTITIONS * TOPICS);
    kafka_fixture_send(&fixture, 0, 0, "k", "a");
    AWAIT_POLL(member, has_seen(member, "a"));
    kafka_fixture_away(&fixture, true);
    for (int i = 0; i < 50; i++)
        poll_once(member);
    member->from = 1; /* should it be assigned anew */
    kafka_fixture_away(&fixture, false);
    kafka_fixture_send(&fixture, 0, 0, "k", "b");
    AWAIT_POLL(member, has_seen(member, "b"));
    ck_assert_uint_eq(member->seen_count, 2);
    ck_assert_int_eq(member->resets, 0);
    member = member_free(member);
}
END_TEST

/* The end of a program does not wait for a Kafka that is away. */
START_TEST(it_ends_while_the_broker_is_away)
{
    struct member *member;
    int64_t began_us;

    if (fixture.cluster == NULL) {
        puts("skipped: a server that is not the mock is not ours to end");
        return;
    }
    member = member_new(NULL);
    AWAIT_POLL(member, member->place_count == PARTITIONS * TOPICS);
    kafka_fixture_away(&fixture, true);
    for (int i = 0; i < 20; i++)
        poll_once(member);
    began_us = clock_steady_us();
    member = member_free(member);
    ck_assert_int_lt(clock_steady_us() - began_us, patient_us(10 * SECOND_US));
    kafka_fixture_away(&fixture, false);
}
END_TEST

/* What is told to the group is for tools: the next member goes by its own offsets. */
START_TEST(what_the_group_is_told_moves_nothing)
{
    struct member *member = member_new(NULL);

    AWAIT_POLL(member, member->place_count == PARTITIONS * TOPICS);
    kafka_fixture_send(&fixture, 0, 0, "k", "a");
    AWAIT_POLL(member, has_seen(member, "a"));
    kafka_consumer_tell(member->consumer, &(struct kafka_place){ 0, 0, 1 }, 1);
    poll_once(member);
    member = member_free(member);
    member = member_new(NULL);
    AWAIT_POLL(member, has_seen(member, "a"));
    member = member_free(member);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("consumer"), *empty = check_case("no topics yet");

    tcase_add_checked_fixture(cases, open_kafka, close_kafka);
    tcase_add_test(cases, a_record_has_all_its_parts);
    tcase_add_test(cases, a_tombstone_has_no_value);
    tcase_add_test(cases, a_partition_is_read_in_order);
    tcase_add_test(cases, the_owner_says_from_where);
    tcase_add_test(cases, one_that_ends_reads_nothing);
    tcase_add_test(cases, one_rests_and_the_others_go_on);
    tcase_add_test(cases, one_rests_from_the_beginning);
    tcase_add_test(cases, an_offset_beyond_the_end_begins_at_the_beginning);
    tcase_add_test(cases, an_offset_before_the_beginning_begins_there);
    tcase_add_test(cases, two_members_share_and_one_takes_over);
    tcase_add_test(cases, a_member_that_is_named_comes_back);
    tcase_add_test(cases, a_broker_that_is_away_is_waited_for);
    tcase_add_test(cases, it_ends_while_the_broker_is_away);
    tcase_add_test(cases, what_the_group_is_told_moves_nothing);
    tcase_add_checked_fixture(empty, open_without_topics, close_kafka);
    tcase_add_test(empty, topics_that_are_not_there_are_waited_for);
    return check_run("kafka_consumer", cases, empty);
}
