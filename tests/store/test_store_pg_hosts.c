/* Connections to one host of several, and to none that is of an older timeline than is known. */
#include "mesh/base/arena.h"
#include "mesh/store/pg.h"
#include "mesh/store/pg_timeline.h"
#include "tests/support/check.h"
#include "tests/support/store/pg_fixture.h"

#include <stdio.h>
#include <string.h>

static struct pg_fixture fixture;

static void
forget(void)
{
    pg_timeline_open("");
}

static struct pg_timeline
own_timeline(void)
{
    return (struct pg_timeline){
        .cluster = (uint64_t)pg_fixture_int(fixture.conninfo,
                                            "SELECT system_identifier FROM pg_control_system()"),
        .number = (uint32_t)pg_fixture_int(
            fixture.conninfo,
            "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int"),
    };
}

/* The test's server behind others. */
static const char *
conninfo_behind(const char *others)
{
    static char conninfo[900];
    const char *host = strstr(fixture.conninfo, "host="), *port = strstr(fixture.conninfo, "port=");

    ck_assert_ptr_nonnull(host);
    ck_assert_ptr_nonnull(port);
    snprintf(conninfo, sizeof conninfo, "%s host=%s%.*s port=1%.*s%.*s", fixture.conninfo, others,
             (int)strcspn(host + 5, " "), host + 5,
             strchr(others, ',') == strrchr(others, ',') ? 1 : 3, ",1,",
             (int)strcspn(port + 5, " "), port + 5);
    return conninfo;
}

/* clang-format off */
static const struct { const char *what, *others; } lists[] = {
    { "one that is away comes first",   "/nonexistent," },
    { "two that are away come first",   "/nonexistent,/nowhere," },
};
/* clang-format on */

START_TEST(a_host_that_is_away_is_passed_by)
{
    struct pg *pg = pg_new(conninfo_behind(lists[_i].others), "test", NULL);

    ck_assert_msg(pg_connect(pg) == ERR_OK, "%s", lists[_i].what);
    ck_assert_int_eq(pg_run(pg, "SELECT 1"), ERR_OK);
    ck_assert(pg_timeline_is_known());
    ck_assert(pg_timeline_is_newest(own_timeline()));
    pg_free(pg);
}
END_TEST

START_TEST(an_old_primary_is_left_alone)
{
    struct pg_timeline timeline = own_timeline();
    struct pg *pg = pg_new(fixture.conninfo, "test", NULL);
    uint32_t known;

    timeline.number++; /* as if its standby had been promoted */
    ck_assert(pg_timeline_admit(timeline, &known));
    ck_assert_int_eq(pg_connect(pg), ERR_STORE_DOWN);
    pg_free(pg);
    pg_timeline_open("");
    pg = pg_new(fixture.conninfo, "test", NULL);
    ck_assert_int_eq(pg_connect(pg), ERR_OK);
    pg_free(pg);
}
END_TEST

START_TEST(a_connection_to_it_is_left_too)
{
    struct pg_timeline timeline = own_timeline();
    struct pg *pg = pg_new(fixture.conninfo, "test", NULL);
    uint32_t known;

    ck_assert_int_eq(pg_run(pg, "SELECT 1"), ERR_OK);
    timeline.number++;
    ck_assert(pg_timeline_admit(timeline, &known));
    ck_assert_int_eq(pg_run(pg, "SELECT 1"), ERR_STORE_DOWN);
    ck_assert_int_eq(pg_backend_pid(pg), 0);
    pg_free(pg);
}
END_TEST

/* It was made anew, or restored from a dump: its timelines begin at 1 again. */
START_TEST(another_cluster_is_not_compared)
{
    struct pg_timeline timeline = own_timeline();
    struct pg *pg = pg_new(fixture.conninfo, "test", NULL);
    uint32_t known;

    timeline.cluster++;
    timeline.number += 5;
    ck_assert(pg_timeline_admit(timeline, &known));
    ck_assert_int_eq(pg_connect(pg), ERR_OK);
    pg_free(pg);
}
END_TEST

START_TEST(what_is_no_conninfo_is_a_database_that_is_away)
{
    struct pg *pg = pg_new("host=here nonsense", "test", NULL);

    ck_assert_int_eq(pg_connect(pg), ERR_STORE_DOWN);
    pg_free(pg);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("hosts");
    int failed;

    pg_fixture_open(&fixture, "store_pg_hosts", NULL);
    tcase_add_checked_fixture(cases, forget, NULL);
    tcase_add_loop_test(cases, a_host_that_is_away_is_passed_by, 0, ROWS(lists));
    tcase_add_test(cases, an_old_primary_is_left_alone);
    tcase_add_test(cases, a_connection_to_it_is_left_too);
    tcase_add_test(cases, another_cluster_is_not_compared);
    tcase_add_test(cases, what_is_no_conninfo_is_a_database_that_is_away);
    failed = check_run("store_pg_hosts", cases);
    pg_fixture_close(&fixture);
    return failed;
}
