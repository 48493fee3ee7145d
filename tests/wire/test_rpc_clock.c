/* Clocks that are compared over the wire: a peer is asked, and a database that is wrong is found out. */
#include "mesh/rpc/clock_watch.h"
#include "tests/support/check.h"
#include "tests/support/rpc/server_harness.h"

#include <stdlib.h>

#include <stdio.h>
#include <string.h>

static struct clock_watch *watch;
static char address[64];

static void
open_watch(void)
{
    const char *const peers[] = { address, "127.0.0.1:1, 127.0.0.1:1",
                                  "stranger.Service=127.0.0.1:2" };

    set_up();
    snprintf(address, sizeof address,
             "sagamesh.storage.v1.StorageService=127.0.0.1:%d,127.0.0.1:%d",
             rpc_server_port(server), rpc_server_port(server));
    ck_assert_int_eq(clock_watch_open(peers, 3, &watch), ERR_OK);
}

static void
close_watch(void)
{
    watch = clock_watch_close(watch);
    take_down();
}

/* What the watch knows of its clocks. */
struct seen {
    int count;
    bool own_known, peer_known, database_known;
    int64_t own_us, peer_us, database_us;
};

static void
see(void *owner, const char *name, int64_t off_us, bool is_known)
{
    struct seen *seen = owner;

    seen->count++;
    if (strcmp(name, "own") == 0) {
        seen->own_known = is_known;
        seen->own_us = off_us;
    } else if (strcmp(name, "database") == 0) {
        seen->database_known = is_known;
        seen->database_us = off_us;
    } else {
        seen->peer_known = is_known;
        seen->peer_us = off_us;
    }
}

static struct seen
look(void)
{
    struct seen seen = { 0 };

    clock_watch_report(watch, see, &seen);
    return seen;
}

/* An address once, a list or a name before it or not; a stranger is not asked, and who is away has no voice. */
START_TEST(a_peer_is_asked)
{
    struct seen seen;

    ck_assert(!clock_watch_is_compared(watch));
    clock_watch_begin(watch, 30 * SECOND_US);
    ck_assert(clock_watch_is_compared(watch));
    seen = look();
    ck_assert_int_eq(seen.count, 2);
    ck_assert(seen.own_known && seen.peer_known);
    ck_assert_int_eq(seen.own_us, 0);
    ck_assert_int_eq(seen.peer_us, 0);
    ck_assert(clock_watch_is_fit(watch));
    ck_assert_int_le(llabs(clock_now_us() - clock_wall_us()), SECOND_US);
}
END_TEST

/* It is asked again and again, as a keeper does: what it said is forgotten after CLOCK_FRESH_US, which a machine
 * may stand still for. */
START_TEST(a_database_that_is_wrong_is_found_out)
{
    const struct timespec moment = { .tv_nsec = 50 * 1000 * 1000 };
    int64_t until_us = clock_steady_us() + patient_us(30 * SECOND_US);
    struct seen seen;

    clock_watch_database(watch, clock_steady_us(), clock_wall_us() + 400 * SECOND_US);
    clock_watch_begin(watch, 30 * SECOND_US);
    while (seen = look(), !seen.database_known) {
        ck_assert_int_lt(clock_steady_us(), until_us);
        clock_watch_database(watch, clock_steady_us(), clock_wall_us() + 400 * SECOND_US);
        nanosleep(&moment, NULL);
    }
    ck_assert_int_eq(seen.count, 3);
    ck_assert_int_ge(seen.database_us, 390 * SECOND_US);
    ck_assert_int_eq(seen.own_us, 0);
    ck_assert(clock_watch_is_fit(watch));
    ck_assert_int_le(llabs(clock_now_us() - clock_wall_us()), SECOND_US);
}
END_TEST

/* Its own clock had not been compared with any: it is no reason to stay where it is. */
START_TEST(who_began_alone_goes_by_the_first_that_answers)
{
    const struct timespec moment = { .tv_nsec = 50 * 1000 * 1000 };
    const char *const nobody[] = { "127.0.0.1:1" };
    int64_t until_us = clock_steady_us() + patient_us(30 * SECOND_US), off_us;

    watch = clock_watch_close(watch);
    ck_assert_int_eq(clock_watch_open(nobody, 1, &watch), ERR_OK);
    clock_watch_begin(watch, SECOND_US / 100);
    ck_assert(!clock_watch_is_compared(watch));
    ck_assert_int_le(llabs(clock_now_us() - clock_wall_us()), SECOND_US);
    do {
        ck_assert_int_lt(clock_steady_us(), until_us);
        clock_watch_database(watch, clock_steady_us(), clock_wall_us() - 100 * SECOND_US);
        nanosleep(&moment, NULL);
    } while (!clock_watch_is_compared(watch));
    off_us = clock_now_us() - clock_wall_us();
    ck_assert_int_le(llabs(off_us + 100 * SECOND_US), SECOND_US);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("clock");

    tcase_add_checked_fixture(cases, open_watch, close_watch);
    tcase_add_test(cases, a_peer_is_asked);
    tcase_add_test(cases, a_database_that_is_wrong_is_found_out);
    tcase_add_test(cases, who_began_alone_goes_by_the_first_that_answers);
    return check_run("wire_clock", cases);
}
