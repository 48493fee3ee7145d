#include "tests/support/store/batch_fixture.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const struct service_parts counter_parts = {
    .schema = "mesh/store/mesh.sql",
    .tables = counter_schema,
    .service = &counter_service,
};

void
open_pg(void)
{
    pg_fixture_run(fixture.conninfo, "TRUNCATE counter, note, op, event");
    service_begin();
}

void
expect_value(const char *name, long long value)
{
    long long is = pg_fixture_int(
        fixture.conninfo, "SELECT coalesce(sum(value), -1) FROM counter WHERE name = '%s'", name);

    ck_assert_msg(is == value, "'%s' is %lld and should be %lld", name, is, value);
}

void
expect_answer(const struct test_call *test, enum error error)
{
    ck_assert_int_eq(test->finished, 1);
    ck_assert_msg(test->call.op->problem.error == error, "got %s and not %s: %s",
                  error_name(test->call.op->problem.error), error_name(error),
                  test->call.op->problem.text);
}

void
run_one(struct test_call *test, enum error error)
{
    service_run(&counter_service, pg, &test, 1);
    expect_answer(test, error);
    call_fixture_free(test);
}

/* ---- other writers ---- */

static void *
rival_main(void *context)
{
    struct rival *rival = context;
    struct call *call = &rival->test->call;

    batch_run(&counter_service, rival->pg, &call, 1);
    return NULL;
}

void
rival_start(struct rival *rival, struct test_call *test)
{
    rival->test = test;
    ck_assert_int_eq(pthread_create(&rival->thread, NULL, rival_main, rival), 0);
}

int
find_backend(PGconn *admin, const char *condition)
{
    char sql[512], text[PG_FIXTURE_TEXT_BYTES];

    snprintf(sql, sizeof sql,
             "SELECT pid FROM pg_stat_activity WHERE datname = '%s' AND %s ORDER BY pid LIMIT 1",
             fixture.database, condition);
    pg_fixture_ask(admin, sql, text);
    return atoi(text);
}

int
await_backend(PGconn *admin, const char *condition)
{
    int64_t until_us = clock_steady_us() + patient_us(10 * SECOND_US);
    int pid;

    while ((pid = find_backend(admin, condition)) == 0 && clock_steady_us() < until_us)
        usleep(1000);
    ck_assert_msg(pid != 0, "no backend came to: %s", condition);
    return pid;
}
