/* Orchestrators on a real PostgreSQL: who has which shard, as they come, go, die and stand still. */
#include "mesh/base/clock.h"
#include "mesh/base/uuid.h"
#include "saga/members.h"
#include "tests/support/check.h"
#include "tests/support/store/pg_fixture.h"

#include <string.h>

enum { SHARDS = 4, WAIT_SECONDS = 20 };
#define AWAIT_LOOKS(condition) AWAIT(condition, WAIT_SECONDS)

static struct pg_fixture fixture;

static void
changed(void *owner, size_t shard)
{
    (void)owner, (void)shard;
}

static struct members *
open_member(const char *address)
{
    struct members *members = members_open(&(struct members_options){
        .conninfo = fixture.conninfo, .shard_count = SHARDS, .changed = changed });

    members_begin(members, address);
    return members;
}

static size_t
count(struct members *members, enum members_place place)
{
    size_t found = 0;

    for (size_t i = 0; i < SHARDS; i++)
        found += members_look(members, i, NULL) == place;
    return found;
}

/* What its shards' threads do. */
static bool
let_go(struct members *members)
{
    for (size_t i = 0; i < SHARDS; i++) {
        if (members_look(members, i, NULL) == MEMBERS_GIVEN)
            members_let_go(members, i);
    }
    return true;
}

static void
make_empty(void)
{
    pg_fixture_run(fixture.conninfo, "TRUNCATE saga_member; UPDATE saga_lease SET member = "
                                     "'00000000-0000-0000-0000-000000000000'");
}

START_TEST(one_alone_has_all)
{
    struct members *only = open_member("a:1");

    AWAIT_LOOKS(count(only, MEMBERS_OURS) == SHARDS);
    ck_assert(members_are_seen(only));
    only = members_close(only);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM saga_member"), 0);
}
END_TEST

/* A shard is nobody's between two owners, and never both's. */
START_TEST(another_comes_and_goes)
{
    struct members *first = open_member("a:1"), *second;
    char address[MEMBERS_ADDRESS_BYTES_MAX];

    AWAIT_LOOKS(count(first, MEMBERS_OURS) == SHARDS);
    second = open_member("b:1");
    AWAIT_LOOKS(count(first, MEMBERS_GIVEN) == SHARDS / 2);
    ck_assert_uint_eq(count(second, MEMBERS_OURS), 0);
    AWAIT_LOOKS(let_go(first) && count(second, MEMBERS_OURS) == SHARDS / 2);
    AWAIT_LOOKS(count(first, MEMBERS_OTHERS) == SHARDS / 2);
    ck_assert_int_eq(members_look(first, SHARDS - 1, address), MEMBERS_OTHERS);
    ck_assert_str_eq(address, "b:1");
    first = members_close(first);
    AWAIT_LOOKS(count(second, MEMBERS_OURS) == SHARDS);
    second = members_close(second);
}
END_TEST

/* Its number stands still. The clock of the database does not matter: nothing is compared with it. */
START_TEST(the_shards_of_a_dead_one_are_taken)
{
    int64_t began_us = clock_steady_us();
    struct members *first;

    pg_fixture_run(fixture.conninfo,
                   "INSERT INTO saga_member VALUES (gen_random_uuid(), 'c:1', 7);"
                   " UPDATE saga_lease SET member = (SELECT member FROM saga_member)");
    first = open_member("a:1");
    AWAIT_LOOKS(count(first, MEMBERS_OTHERS) == SHARDS);
    AWAIT_LOOKS(count(first, MEMBERS_OURS) == SHARDS);
    ck_assert_int_ge(clock_steady_us() - began_us, 4 * SECOND_US);
    first = members_close(first);
}
END_TEST

START_TEST(one_at_the_same_address_takes_its_place_at_once)
{
    struct members *first;

    pg_fixture_run(fixture.conninfo,
                   "INSERT INTO saga_member VALUES (gen_random_uuid(), 'a:1', 7);"
                   " UPDATE saga_lease SET member = (SELECT member FROM saga_member)");
    first = open_member("a:1");
    AWAIT_LOOKS(count(first, MEMBERS_OURS) == SHARDS);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM saga_member"), 1);
    first = members_close(first);
}
END_TEST

/* Another took a shard while this one stood still: it sees whose it is. */
START_TEST(a_lost_shard_is_seen)
{
    struct members *first = open_member("a:1");

    AWAIT_LOOKS(count(first, MEMBERS_OURS) == SHARDS);
    pg_fixture_run(
        fixture.conninfo,
        "INSERT INTO saga_member VALUES ('00000000-0000-0000-0000-000000000001', 'c:1', 7);"
        " UPDATE saga_lease SET member = '00000000-0000-0000-0000-000000000001'"
        " WHERE shard < 2");
    members_lost(first, 0);
    AWAIT_LOOKS(members_look(first, 0, NULL) == MEMBERS_OTHERS);
    ck_assert_uint_eq(count(first, MEMBERS_OURS), SHARDS / 2);
    first = members_close(first);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("members");

    tcase_add_checked_fixture(cases, make_empty, NULL);
    tcase_add_test(cases, one_alone_has_all);
    tcase_add_test(cases, another_comes_and_goes);
    tcase_add_test(cases, the_shards_of_a_dead_one_are_taken);
    tcase_add_test(cases, one_at_the_same_address_takes_its_place_at_once);
    tcase_add_test(cases, a_lost_shard_is_seen);
    return pg_fixture_check(&fixture, "saga_members", "saga/schema", cases);
}
