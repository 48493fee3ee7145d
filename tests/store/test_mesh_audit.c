/* The check that an operator begins: one at a time, told by its id, broken off when the program ends. */
#include "mesh/audit.h"
#include "tests/support/store/call_fixture.h"
#include "tests/support/store/pg_fixture.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sagamesh/audit/v1/audit_service.pb-c.h"
#include "tests/support/check.h"

/* What the test does to it: rows of this table, for as long as it says. */
#define CHECK_SQL                                                                                  \
    "SELECT what, key, stored::text, computed::text FROM disagreement"                             \
    " CROSS JOIN (SELECT pg_sleep((SELECT seconds FROM slow))) AS s LIMIT 1001"

static const struct pg_statement check = { "test_check", CHECK_SQL,     NULL,
                                           true,         audit_columns, sizeof(struct audit_row) };
static struct pg_fixture fixture;
static struct audit *audit;

static void
open_audit(void)
{
    pg_fixture_run(fixture.conninfo, "TRUNCATE disagreement; UPDATE slow SET seconds = 0;"
                                     " INSERT INTO disagreement VALUES ('held', 'tea', 5, NULL)");
    audit = audit_open(fixture.conninfo, "audit-test", &check);
}

static void
close_audit(void)
{
    audit = audit_close(audit);
}

/* The answer to one Check; "" begins one. It lives until *test is freed. */
static const Sagamesh__Audit__V1__CheckResponse *
ask(const char *run_id, struct test_call **ret_test)
{
    struct test_call *test = call_fixture_new(audit_methods);
    Sagamesh__Audit__V1__CheckRequest request = SAGAMESH__AUDIT__V1__CHECK_REQUEST__INIT;

    request.run_id = (char *)(uintptr_t)run_id;
    *ret_test = test;
    ck_assert_int_eq(audit_methods->decode(&request.base, test->call.arena, test->call.op), ERR_OK);
    audit_submit(audit, &test->call);
    ck_assert_int_eq(test->finished, 1);
    if (test->call.op->problem.error != ERR_OK)
        return NULL;
    return (const Sagamesh__Audit__V1__CheckResponse *)audit_methods->encode(test->call.op,
                                                                             test->call.arena);
}

/* A text that is its own, of the run that was begun, or is under way. */
static void
begin(char run_id[UUID_TEXT_BYTES + 1])
{
    struct test_call *test;

    snprintf(run_id, UUID_TEXT_BYTES + 1, "%s", ask("", &test)->run_id);
    call_fixture_free(test);
}

static const Sagamesh__Audit__V1__CheckResponse *
ask_until_end(const char *run_id, struct test_call **ret_test)
{
    int64_t until_us = clock_steady_us() + patient_us(20 * SECOND_US);
    const struct timespec moment = { .tv_nsec = 5 * 1000 * 1000 };

    for (;;) {
        const Sagamesh__Audit__V1__CheckResponse *answer = ask(run_id, ret_test);

        ck_assert_ptr_nonnull(answer);
        if (!answer->is_running)
            return answer;
        ck_assert_int_lt(clock_steady_us(), until_us);
        call_fixture_free(*ret_test);
        nanosleep(&moment, NULL);
    }
}

START_TEST(what_disagrees_is_told)
{
    char run_id[UUID_TEXT_BYTES + 1], other[UUID_TEXT_BYTES + 1];
    const Sagamesh__Audit__V1__CheckResponse *answer;
    struct test_call *test;

    begin(run_id);
    answer = ask_until_end(run_id, &test);
    ck_assert_str_eq(answer->problem, "");
    ck_assert_uint_eq(answer->n_disagreements, 1);
    ck_assert_str_eq(answer->disagreements[0]->what, "held");
    ck_assert_str_eq(answer->disagreements[0]->key, "tea");
    ck_assert_str_eq(answer->disagreements[0]->stored, "5");
    ck_assert_str_eq(answer->disagreements[0]->computed, "");
    ck_assert(!answer->has_more);
    ck_assert_int_ge(answer->ended_at_us, answer->began_at_us);
    call_fixture_free(test);

    pg_fixture_run(fixture.conninfo, "DELETE FROM disagreement");
    begin(other);
    ck_assert_str_ne(run_id, other);
    answer = ask_until_end(other, &test);
    ck_assert_uint_eq(answer->n_disagreements, 0);
    call_fixture_free(test);
    ck_assert_ptr_null(ask(run_id, &test)); /* it is not known any more */
    ck_assert_int_eq(test->call.op->problem.error, ERR_NOT_FOUND);
    call_fixture_free(test);
}
END_TEST

START_TEST(of_very_many_a_part_is_told)
{
    char run_id[UUID_TEXT_BYTES + 1];
    const Sagamesh__Audit__V1__CheckResponse *answer;
    struct test_call *test;

    pg_fixture_run(fixture.conninfo, "INSERT INTO disagreement SELECT 'x', i::text, i, -i"
                                     " FROM generate_series(1, 1500) AS i");
    begin(run_id);
    answer = ask_until_end(run_id, &test);
    ck_assert_uint_eq(answer->n_disagreements, AUDIT_ROWS_MAX);
    ck_assert(answer->has_more);
    call_fixture_free(test);
}
END_TEST

/* Who comes while one runs gets that one. When the program ends, so does the statement on the server. */
START_TEST(a_long_one_is_joined_and_broken_off)
{
    char run_id[UUID_TEXT_BYTES + 1], other[UUID_TEXT_BYTES + 1];
    int64_t until_us = clock_steady_us() + patient_us(20 * SECOND_US);
    const struct timespec moment = { .tv_nsec = 20 * 1000 * 1000 };
    const char *running = "SELECT count(*) FROM pg_stat_activity"
                          " WHERE application_name = 'audit-test' AND state = 'active'";

    pg_fixture_run(fixture.conninfo, "UPDATE slow SET seconds = 600");
    begin(run_id);
    while (pg_fixture_int(fixture.conninfo, "%s", running) == 0) {
        ck_assert_int_lt(clock_steady_us(), until_us);
        nanosleep(&moment, NULL);
    }
    begin(other);
    ck_assert_str_eq(run_id, other);
    close_audit();
    ck_assert_int_lt(clock_steady_us(), until_us);
    while (pg_fixture_int(fixture.conninfo, "%s", running) > 0) {
        ck_assert_int_lt(clock_steady_us(), until_us);
        nanosleep(&moment, NULL);
    }
}
END_TEST

START_TEST(a_database_that_is_away_is_said)
{
    char run_id[UUID_TEXT_BYTES + 1];
    const Sagamesh__Audit__V1__CheckResponse *answer;
    struct test_call *test;

    close_audit();
    audit = audit_open("host=/nowhere dbname=none", "audit-test", &check);
    begin(run_id);
    answer = ask_until_end(run_id, &test);
    ck_assert_str_ne(answer->problem, "");
    ck_assert_uint_eq(answer->n_disagreements, 0);
    call_fixture_free(test);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("audit");
    int failed;

    pg_fixture_open(&fixture, "mesh_audit", "storage-svc/schema");
    pg_fixture_run(fixture.conninfo,
                   "CREATE TABLE disagreement (what text, key text, stored numeric,"
                   " computed numeric); CREATE TABLE slow AS SELECT 0 AS seconds");
    tcase_add_checked_fixture(tests, open_audit, close_audit);
    tcase_add_test(tests, what_disagrees_is_told);
    tcase_add_test(tests, of_very_many_a_part_is_told);
    tcase_add_test(tests, a_long_one_is_joined_and_broken_off);
    tcase_add_test(tests, a_database_that_is_away_is_said);
    failed = check_run("mesh_audit", tests);
    pg_fixture_close(&fixture);
    return failed;
}
