/* The keeper on a real PostgreSQL: a task that takes long delays neither health nor what has another thread,
 * and is broken off at the end. */
#include "mesh/base/clock.h"
#include "mesh/keeper.h"
#include "mesh/service_health.h"
#include "mesh/store/store_clock.h"
#include "tests/support/check.h"
#include "tests/support/store/pg_fixture.h"

#include <stdatomic.h>
#include <unistd.h>

enum { TIMEOUT_SECONDS = 30, QUICK_RUNS = 20 };

static struct pg_fixture fixture;
static struct keeper *keeper;
static struct service_health *health;
static struct clock_watch *watch;
static struct write_health *writes;

/* The owner of the tasks. */
struct counts {
    atomic_int slow, quick;
    atomic_bool may_run;
    atomic_bool is_over; /* the slow task may end */
};

static struct counts counts;

/* As long as the test wants. */
static const struct pg_statement sleeps = {
    .name = "sleeps",
    .sql = "SELECT pg_sleep((SELECT seconds FROM slow))",
    .is_single = true,
};
static const struct pg_statement *const statements[] = { &partitions_keep, &partitions_drop,
                                                         &sleeps, NULL };

static enum error
run_slow(void *owner, struct pg *pg, struct arena *arena)
{
    atomic_fetch_add(&((struct counts *)owner)->slow, 1);
    return pg_ask(pg, &sleeps, NULL, arena, NULL);
}

/* A round that takes ten minutes is no dead server to this one, so that it hangs for as long as the test. */
static enum error
run_endless(void *owner, struct pg *pg, struct arena *arena)
{
    pg_be_patient(pg, 600 * SECOND_US, &((struct counts *)owner)->is_over);
    return run_slow(owner, pg, arena);
}

static enum error
run_quick(void *owner, struct pg *pg, struct arena *arena)
{
    (void)pg;
    (void)arena;
    atomic_fetch_add(&((struct counts *)owner)->quick, 1);
    return ERR_OK;
}

static bool
may_run(void *owner)
{
    return atomic_load(&((struct counts *)owner)->may_run);
}

static void
open_keeper(const struct keeper_task *tasks, const struct partitions *partitions)
{
    const struct keeper_options options = { .conninfo = fixture.conninfo,
                                            .application = "keeper-test",
                                            .statements = statements,
                                            .partitions = partitions,
                                            .tasks = tasks,
                                            .owner = &counts,
                                            .may_run = may_run,
                                            .may_run_owner = &counts };

    keeper = keeper_open(&options);
}

static bool
sleeps_one_of(const char *application)
{
    return pg_fixture_int(fixture.admin,
                          "SELECT count(*) FROM pg_stat_activity WHERE datname = '%s'"
                          " AND wait_event = 'PgSleep' AND application_name = '%s'",
                          fixture.database, application) == 1;
}

static bool
is_asleep(void)
{
    return sleeps_one_of("keeper-test");
}

static bool
is_health_asleep(void)
{
    return sleeps_one_of("health-test");
}

static bool
is_up(void)
{
    return service_health_is_up(health);
}

static bool
is_down(void)
{
    return !is_up();
}

static bool
has_run_quick(void)
{
    return atomic_load(&counts.quick) >= QUICK_RUNS;
}

static bool
has_run_slow(void)
{
    return atomic_load(&counts.slow) > 0;
}

static void
begin(void)
{
    counts = (struct counts){ .may_run = true };
    /* A statement that was broken off goes on at the server. */
    pg_fixture_run(fixture.admin,
                   "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
                   " WHERE datname = '%s'",
                   fixture.database);
    pg_fixture_run(fixture.conninfo, "CREATE TABLE IF NOT EXISTS slow (seconds int); TRUNCATE slow;"
                                     "INSERT INTO slow VALUES (600)");
}

static void
end(void)
{
    atomic_store(&counts.is_over, true);
    keeper = keeper_close(keeper);
}

static void
open_health(const struct batch_service *service)
{
    static const struct pg_statement *list[4] = { &store_clock };
    static const char *const peers[] = { "" };
    struct service_health_options options = { .statements = list,
                                              .conninfo = fixture.conninfo,
                                              .application = "health-test" };

    ck_assert_int_eq(clock_watch_open(peers, 1, &watch), ERR_OK);
    writes = write_health_new(service, "health-test");
    for (size_t i = 0; i < 2; i++) /* without a service the second one is NULL */
        list[1 + i] = write_health_statements(writes)[i];
    options.clock = watch;
    options.writes = writes;
    health = service_health_open(&options);
}

static void
close_health(void)
{
    health = service_health_close(health);
    watch = clock_watch_close(watch);
    writes = write_health_free(writes);
}

/* The only connection that it loses is that of health. */
static void
database_admit(bool is_admitted)
{
    pg_fixture_run(fixture.admin, "ALTER DATABASE %s ALLOW_CONNECTIONS %s", fixture.database,
                   is_admitted ? "true" : "false");
    pg_fixture_run(fixture.admin,
                   "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                   " WHERE datname = '%s' AND application_name = 'health-test'",
                   fixture.database);
}

/* One statement of a task hangs, from before health first looks until after it has seen the database go and
 * come back. */
START_TEST(a_slow_task_does_not_delay_health)
{
    static const struct keeper_task tasks[] = {
        { .name = "slow", .period_us = SECOND_US, .run = run_endless }, { 0 }
    };

    open_keeper(tasks, NULL);
    AWAIT(is_asleep(), TIMEOUT_SECONDS);
    open_health(NULL);
    AWAIT(is_up(), TIMEOUT_SECONDS);
    database_admit(false);
    AWAIT(is_down(), TIMEOUT_SECONDS);
    database_admit(true);
    AWAIT(is_up(), TIMEOUT_SECONDS);
    ck_assert(is_asleep());
    ck_assert_int_eq(counts.slow, 1);
    close_health();
}
END_TEST

START_TEST(a_task_with_its_own_thread_delays_no_other)
{
    static const struct keeper_task tasks[] = {
        { .name = "slow", .period_us = SECOND_US, .run = run_endless, .has_own_thread = true },
        { .name = "quick", .period_us = 1000, .run = run_quick },
        { 0 },
    };

    open_keeper(tasks, NULL);
    AWAIT(is_asleep(), TIMEOUT_SECONDS);
    atomic_store(&counts.quick, 0);
    AWAIT(has_run_quick(), TIMEOUT_SECONDS);
    ck_assert(is_asleep());
    ck_assert_int_eq(counts.slow, 1);
}
END_TEST

/* A round that hangs is given up after PG_ROUND_US_MAX; the end comes before. */
START_TEST(the_end_breaks_off_a_statement)
{
    static const struct keeper_task tasks[] = {
        { .name = "slow", .period_us = SECOND_US, .run = run_slow }, { 0 }
    };
    int64_t began_us;

    open_keeper(tasks, NULL);
    AWAIT(is_asleep(), TIMEOUT_SECONDS);
    began_us = clock_steady_us();
    keeper = keeper_close(keeper);
    ck_assert_int_lt(clock_steady_us() - began_us, PG_ROUND_US_MAX / 2);
}
END_TEST

/* The same of health, which tries all that a batch would write. */
START_TEST(the_end_breaks_off_a_look)
{
    static const struct batch_table table = { .name = "slow", .insert = &sleeps };
    static const struct batch_service service = { .tables = &table, .table_count = 1 };
    int64_t began_us;

    open_health(&service);
    AWAIT(is_health_asleep(), TIMEOUT_SECONDS);
    began_us = clock_steady_us();
    close_health();
    ck_assert_int_lt(clock_steady_us() - began_us, PG_ROUND_US_MAX / 2);
}
END_TEST

static bool
has_partitions(void)
{
    return pg_fixture_int(fixture.conninfo,
                          "SELECT count(*) FROM pg_inherits WHERE inhparent = 'op'::regclass") > 1;
}

START_TEST(nothing_runs_before_it_may)
{
    static const struct keeper_task tasks[] = {
        { .name = "quick", .period_us = 1000, .run = run_quick },
        { .name = "slow", .period_us = 1000, .run = run_slow, .has_own_thread = true },
        { 0 },
    };
    static const struct partitions partitions[] = { { .table = "op", .fill = 100, .open = "false" },
                                                    { 0 } };

    pg_fixture_run(fixture.conninfo,
                   "UPDATE slow SET seconds = 0;"
                   "DO $$ DECLARE part regclass; BEGIN FOR part IN SELECT inhrelid FROM pg_inherits"
                   " WHERE inhparent = 'op'::regclass LOOP EXECUTE 'DROP TABLE ' || part;"
                   " END LOOP; END $$");
    atomic_store(&counts.may_run, false);
    open_keeper(tasks, partitions);
    keeper = keeper_close(keeper); /* each thread has looked once, or never will */
    ck_assert_int_eq(counts.quick + counts.slow, 0);
    ck_assert(!has_partitions());

    atomic_store(&counts.may_run, true);
    open_keeper(tasks, partitions);
    AWAIT(has_run_quick(), TIMEOUT_SECONDS);
    AWAIT(has_run_slow(), TIMEOUT_SECONDS);
    AWAIT(has_partitions(), TIMEOUT_SECONDS);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("keeper");

    tcase_add_checked_fixture(cases, begin, end);
    tcase_add_test(cases, a_slow_task_does_not_delay_health);
    tcase_add_test(cases, a_task_with_its_own_thread_delays_no_other);
    tcase_add_test(cases, the_end_breaks_off_a_statement);
    tcase_add_test(cases, the_end_breaks_off_a_look);
    tcase_add_test(cases, nothing_runs_before_it_may);
    return pg_fixture_check(&fixture, "mesh_keeper", "storage-svc/schema", cases);
}
