/* A database that answers every question and refuses every change: the keeper finds it, or the batches
 * tell. */
#include "mesh/store/write_health.h"
#include "tests/support/check.h"
#include "tests/support/store/batch_fixture.h"

#include <stdio.h>
#include <unistd.h>

enum { MANY = 8 };

static struct write_health *health;
static struct pg *keeper;

static void
open_health(void)
{
    open_pg();
    health = write_health_new(&counter_service, "counter-test");
}

static void
close_health(void)
{
    keeper = pg_free(keeper);
    health = write_health_free(health);
    service_end();
}

/* A keeper of that role, or with that setting of its session. */
static void
open_keeper(const char *options)
{
    static char conninfo[900];

    snprintf(conninfo, sizeof conninfo, "%s options='%s'", fixture.conninfo, options);
    keeper = pg_new(conninfo, "keeper-test", write_health_statements(health));
}

/* Looks again and again, as the keeper does, until the answer is as expected. */
static void
await_health(bool is_well)
{
    int64_t until_us = clock_steady_us() + patient_us(30 * SECOND_US);

    while (write_health_look(health, keeper) != is_well && clock_steady_us() < until_us)
        usleep(10000);
    ck_assert_int_eq(write_health_look(health, keeper), is_well);
}

/* clang-format off */
static const struct {
    const char *what, *breaks, *mends;
} rights[] = {
    { "no INSERT into a table of records", "REVOKE INSERT ON op FROM limited",      "GRANT INSERT ON op TO limited" },
    { "no UPDATE of a table",              "REVOKE UPDATE ON counter FROM limited", "GRANT UPDATE ON counter TO limited" },
    { "no INSERT of news",                 "REVOKE INSERT ON event FROM limited",   "GRANT INSERT ON event TO limited" },
    { "not even its own row",              "REVOKE INSERT, UPDATE ON write_try FROM limited", "GRANT INSERT, UPDATE ON write_try TO limited" },
};
/* clang-format on */

START_TEST(a_right_that_was_taken_away_is_found)
{
    pg_fixture_run(
        fixture.conninfo,
        "DO $$ BEGIN CREATE ROLE limited; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO limited;"
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO limited");
    open_keeper("-c role=limited");
    ck_assert_msg(write_health_look(health, keeper), "%s: before", rights[_i].what);
    pg_fixture_run(fixture.conninfo, "%s", rights[_i].breaks);
    write_health_tell(health, false); /* so that it does not wait for its next try */
    await_health(false);
    pg_fixture_run(fixture.conninfo, "%s", rights[_i].mends);
    await_health(true);
}
END_TEST

START_TEST(what_is_well_stays_well)
{
    open_keeper("-c jit=off");
    for (int i = 0; i < MANY; i++) {
        write_health_tell(health, true);
        ck_assert(write_health_look(health, keeper));
    }
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM write_try"), 1);
}
END_TEST

/* Another replica writes the same row just now. */
START_TEST(a_row_that_is_locked_is_no_trouble)
{
    PGconn *other = pg_fixture_connect(fixture.conninfo);
    char text[PG_FIXTURE_TEXT_BYTES];

    open_keeper("-c jit=off");
    pg_set_lock_timeout(keeper, 50);
    ck_assert(write_health_look(health, keeper));
    pg_fixture_ask(other, "BEGIN; SELECT * FROM write_try FOR UPDATE", text);
    write_health_tell(health, false); /* so that it tries again */
    ck_assert(write_health_look(health, keeper));
    PQfinish(other);
}
END_TEST

/* ---- what the batches tell ---- */

static void
tell(void *owner, bool is_written)
{
    write_health_tell(owner, is_written);
}

static void
submit_and_wait(struct batch *batch, const char *name, int64_t amount, enum error error)
{
    struct test_call *test = counter_call(new_id(), name, NULL, amount);

    batch_submit(batch, &test->call);
    ck_assert(call_fixture_wait(test, patient_us(20 * SECOND_US)));
    expect_answer(test, error);
    call_fixture_free(test);
}

/* Rights are there, and a row of its own can be written; and yet nothing of the business can. */
START_TEST(batches_that_are_all_refused_are_told_of)
{
    struct batch_options options = { .service = &counter_service,
                                     .conninfo = fixture.conninfo,
                                     .wrote = tell,
                                     .wrote_owner = health,
                                     .queue_max = 100,
                                     .batch_max = 16 };
    struct batch *batch = batch_open(&options);
    int64_t until_us = clock_steady_us() + patient_us(30 * SECOND_US);

    open_keeper("-c jit=off");
    submit_and_wait(batch, "a", 1, ERR_OK);
    pg_fixture_run(fixture.conninfo, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                                     " $$ BEGIN RAISE EXCEPTION 'no more of this'; END $$;"
                                     "CREATE TRIGGER refuse BEFORE INSERT ON op FOR EACH STATEMENT"
                                     " WHEN (current_setting('application_name') = 'counter-test')"
                                     " EXECUTE FUNCTION refuse()");
    do {
        submit_and_wait(batch, "a", 1, ERR_INTERNAL);
    } while (write_health_look(health, keeper) && clock_steady_us() < until_us);
    ck_assert(!write_health_look(health, keeper));
    pg_fixture_run(fixture.conninfo, "DROP TRIGGER refuse ON op; DROP FUNCTION refuse");
    submit_and_wait(batch, "a", 1, ERR_OK);
    ck_assert(write_health_look(health, keeper));
    batch_stop(batch);
    batch_close(batch);
}
END_TEST

/* A call that no database could write says nothing about the others. */
START_TEST(one_poisoned_call_among_others_is_no_trouble)
{
    struct batch_options options = { .service = &counter_service,
                                     .conninfo = fixture.conninfo,
                                     .wrote = tell,
                                     .wrote_owner = health,
                                     .queue_max = 100,
                                     .batch_max = 16 };
    struct batch *batch = batch_open(&options);
    int64_t until_us = clock_steady_us() + WRITE_REFUSED_US + SECOND_US;

    open_keeper("-c jit=off");
    while (clock_steady_us() < until_us) {
        submit_and_wait(batch, "a", 2 * COUNTER_VALUE_MAX, ERR_INTERNAL);
        submit_and_wait(batch, "b", 1, ERR_OK);
        ck_assert(write_health_look(health, keeper));
    }
    batch_stop(batch);
    batch_close(batch);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("health");
    int failed;

    service_fixture_open(&counter_parts, "store_write_health");
    tcase_add_checked_fixture(cases, open_health, close_health);
    tcase_add_loop_test(cases, a_right_that_was_taken_away_is_found, 0, ROWS(rights));
    tcase_add_test(cases, what_is_well_stays_well);
    tcase_add_test(cases, a_row_that_is_locked_is_no_trouble);
    tcase_add_test(cases, batches_that_are_all_refused_are_told_of);
    tcase_add_test(cases, one_poisoned_call_among_others_is_no_trouble);
    failed = check_run("store_write_health", cases);
    pg_fixture_run(fixture.conninfo, "DROP OWNED BY limited");
    pg_fixture_run(fixture.admin, "DROP ROLE limited");
    pg_fixture_close(&fixture);
    return failed;
}
