/* Steps on a database: new, made before, half done, locked, ahead; and who may take something away. */
#include "mesh/store/pg.h"
#include "mesh/store/schema_apply.h"
#include "tests/support/check.h"
#include "tests/support/store/pg_fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_US (60 * INT64_C(1000000))

static struct pg_fixture fixture;

/* Step 3 takes away; step 5 is outside of a transaction; step 4 waits while the test has lock 77. */
#define BASE                                                                                       \
    {                                                                                              \
        1, false, "base", "CREATE TABLE IF NOT EXISTS one (n int); INSERT INTO one VALUES (1)"     \
    }
#define NOTE                                                                                       \
    {                                                                                              \
        2, false, "note", "ALTER TABLE one ADD COLUMN note text; UPDATE one SET note = 'new'"      \
    }
#define LESS                                                                                       \
    {                                                                                              \
        3, true, "less", "ALTER TABLE one ALTER COLUMN note SET NOT NULL"                          \
    }
#define SLOW                                                                                       \
    {                                                                                              \
        4, false, "slow",                                                                          \
            "CREATE TABLE two (); SELECT pg_advisory_xact_lock(77); CREATE TABLE three ()"         \
    }
#define INDEX                                                                                      \
    {                                                                                              \
        5, false, "index",                                                                         \
            "-- Built while others write.\nCREATE UNIQUE INDEX CONCURRENTLY one_by_n ON one (n);"  \
    }
static const struct schema_step base[] = { BASE, { 0 } };
static const struct schema_step with_note[] = { BASE, NOTE, { 0 } };
static const struct schema_step with_less[] = { BASE, NOTE, LESS, { 0 } };
static const struct schema_step with_slow[] = { BASE, NOTE, LESS, SLOW, { 0 } };
static const struct schema_step with_index[] = { BASE, NOTE, LESS, SLOW, INDEX, { 0 } };

static void
begin(void)
{
    pg_fixture_run(fixture.conninfo, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
}

static enum error
apply(const struct schema_step *steps, bool with_contract)
{
    return schema_apply(fixture.conninfo, "schema-test", steps, with_contract, WAIT_US);
}

static void
check_applied(const char *versions)
{
    char text[PG_FIXTURE_TEXT_BYTES];

    pg_fixture_text(fixture.conninfo, text,
                    "SELECT string_agg(version::text, ' ' ORDER BY version) FROM schema_version");
    ck_assert_str_eq(text, versions);
}

static bool
has_table(const char *name)
{
    return pg_fixture_int(fixture.conninfo, "SELECT (to_regclass('%s') IS NOT NULL)::int", name) ==
           1;
}

START_TEST(a_new_database_gets_all_of_it)
{
    ck_assert_int_eq(apply(with_index, false), ERR_OK);
    check_applied("1 2 3 4 5");
    ck_assert_int_eq(apply(with_index, false), ERR_OK);
    ck_assert_int_eq(apply(with_index, true), ERR_OK);
    check_applied("1 2 3 4 5");
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM one"), 1);
}
END_TEST

START_TEST(one_that_was_made_before_is_taken_as_it_is)
{
    pg_fixture_run(fixture.conninfo, "CREATE TABLE one (n int); INSERT INTO one VALUES (7)");
    ck_assert_int_eq(apply(with_less, false), ERR_OK);
    check_applied("1 2");
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT max(n) FROM one"), 7);
    ck_assert_int_eq(apply(with_less, true), ERR_OK);
    check_applied("1 2 3");
}
END_TEST

START_TEST(what_adds_does_not_wait_for_what_takes_away)
{
    ck_assert_int_eq(apply(base, false), ERR_OK);
    ck_assert_int_eq(apply(with_index, false), ERR_OK);
    check_applied("1 2 4 5");
    ck_assert_int_eq(apply(with_index, true), ERR_OK);
    check_applied("1 2 3 4 5");
}
END_TEST

START_TEST(an_edited_step_stops_all)
{
    ck_assert_int_eq(apply(base, false), ERR_OK);
    pg_fixture_run(fixture.conninfo, "UPDATE schema_version SET digest = md5(digest)");
    ck_assert_int_eq(apply(with_note, false), ERR_INTERNAL);
    check_applied("1");
}
END_TEST

START_TEST(an_older_program_leaves_a_newer_database_alone)
{
    ck_assert_int_eq(apply(base, false), ERR_OK);
    ck_assert_int_eq(apply(with_less, false), ERR_OK);
    ck_assert_int_eq(apply(base, false), ERR_OK); /* step 2 only added */
    ck_assert_int_eq(apply(with_less, true), ERR_OK);
    ck_assert_int_eq(apply(base, false), ERR_INTERNAL);
    check_applied("1 2 3");
}
END_TEST

/* ---- programs that run ---- */

START_TEST(a_program_that_runs_keeps_what_it_knows)
{
    struct pg *old = pg_new(fixture.conninfo, "old-program", NULL);
    struct pg *new = pg_new(fixture.conninfo, "new-program", NULL);

    ck_assert_int_eq(schema_look(old, base), ERR_REFUSED); /* there is nothing */
    ck_assert_int_eq(apply(base, false), ERR_OK);
    ck_assert_int_eq(schema_hold(old, base), ERR_OK);
    ck_assert_int_eq(schema_look(old, base), ERR_OK);
    ck_assert_int_eq(schema_look(new, with_less), ERR_REFUSED);

    ck_assert_int_eq(apply(with_less, false), ERR_OK);
    ck_assert_int_eq(schema_look(old, base), ERR_OK); /* side by side */
    ck_assert_int_eq(schema_hold(new, with_less), ERR_OK);
    ck_assert_int_eq(schema_look(new, with_less), ERR_OK);
    ck_assert_int_eq(apply(with_less, true), ERR_CONFLICT);
    check_applied("1 2");

    pg_disconnect(old);
    AWAIT(apply(with_less, true) == ERR_OK, 20); /* once the server knows that it has gone */
    ck_assert_int_eq(schema_look(new, with_less), ERR_OK);
    ck_assert_int_eq(pg_connect(old), ERR_OK);
    ck_assert_int_eq(schema_look(old, base), ERR_REFUSED);
    pg_free(old);
    pg_free(new);
}
END_TEST

START_TEST(none_comes_in_while_something_is_taken_away)
{
    PGconn *other = pg_fixture_connect(fixture.conninfo);
    struct pg *pg = pg_new(fixture.conninfo, "old-program", NULL);
    char text[PG_FIXTURE_TEXT_BYTES], sql[64];

    ck_assert_int_eq(apply(base, false), ERR_OK);
    snprintf(sql, sizeof sql, "SELECT pg_advisory_lock(%d, 1)", SCHEMA_LOCK);
    pg_fixture_ask(other, sql, text);
    ck_assert_int_eq(schema_hold(pg, base), ERR_BUSY);
    ck_assert_int_eq(schema_hold(pg, with_note), ERR_OK);
    PQfinish(other);
    pg_free(pg);
}
END_TEST

/* ---- others, and the end of a process ---- */

static pid_t
apply_in_a_child(const struct schema_step *steps)
{
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(apply(steps, false) == ERR_OK ? 0 : 1);
    return child;
}

static int
status_of(pid_t child)
{
    int status = -1;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

START_TEST(a_killed_one_leaves_a_step_or_nothing)
{
    PGconn *other = pg_fixture_connect(fixture.conninfo);
    char text[PG_FIXTURE_TEXT_BYTES];
    pid_t child;

    pg_fixture_ask(other, "SELECT pg_advisory_lock(77)", text);
    child = apply_in_a_child(with_slow);
    AWAIT(pg_fixture_int(fixture.conninfo,
                         "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77"
                         " AND NOT granted AND database = (SELECT oid FROM pg_database"
                         " WHERE datname = current_database())") == 1,
          60);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(WTERMSIG(status_of(child)), SIGKILL);
    check_applied("1 2 3");
    ck_assert(!has_table("two"));

    PQfinish(other);
    /* The server may be at work for the dead one yet: either has done it, once. */
    ck_assert_int_eq(apply(with_slow, false), ERR_OK);
    check_applied("1 2 3 4");
    ck_assert(has_table("two") && has_table("three"));
}
END_TEST

START_TEST(of_two_at_once_one_waits)
{
    pid_t children[4];

    for (int i = 0; i < 4; i++)
        children[i] = apply_in_a_child(with_index);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(status_of(children[i]), 0);
    check_applied("1 2 3 4 5");
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM one"), 1);
}
END_TEST

START_TEST(a_locked_table_is_not_waited_for_without_end)
{
    PGconn *other = pg_fixture_connect(fixture.conninfo);
    char text[PG_FIXTURE_TEXT_BYTES];

    ck_assert_int_eq(apply(base, false), ERR_OK);
    pg_fixture_ask(other, "BEGIN", text);
    pg_fixture_ask(other, "LOCK TABLE one IN ROW SHARE MODE", text);
    ck_assert_int_eq(schema_apply(fixture.conninfo, "schema-test", with_note, false, 0),
                     ERR_CONFLICT);
    check_applied("1");
    pg_fixture_ask(other, "COMMIT", text);
    ck_assert_int_eq(apply(with_note, false), ERR_OK);
    check_applied("1 2");
    PQfinish(other);
}
END_TEST

START_TEST(an_index_that_was_not_built_to_its_end_is_built_anew)
{
    ck_assert_int_eq(apply(with_slow, false), ERR_OK);
    pg_fixture_run(fixture.conninfo, "INSERT INTO one (n, note) VALUES (1, '')");
    ck_assert_int_eq(apply(with_index, false), ERR_CONFLICT);
    check_applied("1 2 3 4");
    ck_assert_int_eq(
        pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM pg_index WHERE NOT indisvalid"), 1);

    pg_fixture_run(fixture.conninfo, "DELETE FROM one WHERE note = ''");
    ck_assert_int_eq(apply(with_index, false), ERR_OK);
    check_applied("1 2 3 4 5");
    ck_assert_int_eq(
        pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM pg_index WHERE NOT indisvalid"), 0);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo,
                                    "SELECT count(*) FROM pg_indexes WHERE indexname = 'one_by_n'"),
                     1);
}
END_TEST

START_TEST(a_step_that_is_wrong_leaves_nothing)
{
    static const struct schema_step wrong[] = {
        BASE, { 2, false, "wrong", "CREATE TABLE four (); SELECT 1 / 0" }, { 0 }
    };
    static const struct schema_step twice[] = {
        BASE,
        { 2, false, "twice",
          "CREATE TABLE four (n int PRIMARY KEY); INSERT INTO four VALUES (1), (1)" },
        { 0 }
    };

    ck_assert_int_eq(apply(wrong, false), ERR_INTERNAL);
    ck_assert_int_eq(apply(twice, false), ERR_CONFLICT); /* at once: no wait makes it right */
    check_applied("1");
    ck_assert(!has_table("four"));
    ck_assert_int_eq(apply(with_note, false), ERR_OK);
}
END_TEST

START_TEST(people_see_the_steps)
{
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    ck_assert_int_eq(apply(base, false), ERR_OK);
    ck_assert_int_eq(apply(with_slow, false), ERR_OK);
    ck_assert_int_eq(schema_print(fixture.conninfo, "schema-test", with_less, out), ERR_OK);
    ck_assert_int_eq(fclose(out), 0);
    ck_assert_ptr_nonnull(strstr(text, "   2 expand   note applied 20"));
    ck_assert_ptr_nonnull(strstr(text, "   3 contract less waits\n"));
    ck_assert_ptr_nonnull(strstr(text, "   4 expand   slow applied 20"));
    ck_assert_ptr_nonnull(strstr(text, ", of a newer program\n"));
    free(text);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("schema");

    tcase_add_checked_fixture(cases, begin, NULL);
    tcase_add_test(cases, a_new_database_gets_all_of_it);
    tcase_add_test(cases, one_that_was_made_before_is_taken_as_it_is);
    tcase_add_test(cases, what_adds_does_not_wait_for_what_takes_away);
    tcase_add_test(cases, an_edited_step_stops_all);
    tcase_add_test(cases, an_older_program_leaves_a_newer_database_alone);
    tcase_add_test(cases, a_program_that_runs_keeps_what_it_knows);
    tcase_add_test(cases, none_comes_in_while_something_is_taken_away);
    tcase_add_test(cases, a_killed_one_leaves_a_step_or_nothing);
    tcase_add_test(cases, of_two_at_once_one_waits);
    tcase_add_test(cases, a_locked_table_is_not_waited_for_without_end);
    tcase_add_test(cases, an_index_that_was_not_built_to_its_end_is_built_anew);
    tcase_add_test(cases, a_step_that_is_wrong_leaves_nothing);
    tcase_add_test(cases, people_see_the_steps);
    return pg_fixture_check(&fixture, "store_schema_apply", NULL, cases);
}
