/* The journal on a real PostgreSQL: who owns a shard, what becomes of a page whose COMMIT is in doubt,
 * and which pages and rows are there afterwards. */
#include "mesh/base/clock.h"
#include "mesh/store/event.h"
#include "mesh/store/journal.h"
#include "tests/support/check.h"
#include "tests/support/store/pg_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { SHARD = 0 };

static struct pg_fixture fixture;
static struct pg *first_pg, *second_pg;
static struct journal *first, *second; /* two owners */
static struct arena *arena;

static const struct partitions partitions[] = {
    { .table = "op", .fill = 100 },
    { .table = "journal_final", .fill = 100 },
    { .table = "event", .fill = 100 },
    { 0 },
};

/* What the pages of these tests bring along. */
static const struct pg_statement *const further[] = { &event_append, NULL };

static struct journal *
open_over(struct pg *pg, int shard, bool replaces_finals)
{
    return journal_new(&(struct journal_options){
        .pg = pg, .shard = shard, .partitions = partitions, .replaces_finals = replaces_finals });
}

static void
open_journals(void)
{
    pg_fixture_run(fixture.conninfo, "TRUNCATE journal_page, journal_parked, journal_final, op,"
                                     " event; DELETE FROM journal_shard WHERE shard > 0;"
                                     " UPDATE journal_shard SET epoch = 0, floor_page = 1,"
                                     " now_us = 0");
    first_pg = journal_pg_new(fixture.conninfo, "first", further);
    second_pg = journal_pg_new(fixture.conninfo, "second", further);
    first = open_over(first_pg, SHARD, false);
    second = open_over(second_pg, SHARD, false);
    arena = arena_new();
}

static void
close_journals(void)
{
    first = journal_free(first);
    second = journal_free(second);
    first_pg = pg_free(first_pg);
    second_pg = pg_free(second_pg);
    arena = arena_free(arena);
}

static void
own(struct journal *journal, int64_t floor, int64_t next)
{
    struct journal_owned owned = { 0 };

    ck_assert_int_eq(journal_own(journal, &owned), ERR_OK);
    ck_assert_int_eq(owned.floor_page, floor);
    ck_assert_int_eq(owned.next_page, next);
}

static enum error
write_text(struct journal *journal, int64_t page, const char *body)
{
    const struct journal_tick tick = { .body = body };

    return journal_write(journal, page, &tick);
}

/* "1:a 2:b": the pages that are there. */
static void
expect_pages(const char *expected)
{
    char text[PG_FIXTURE_TEXT_BYTES];

    pg_fixture_text(fixture.conninfo, text,
                    "SELECT coalesce(string_agg(page || ':' || body, ' ' ORDER BY page), '')"
                    " FROM journal_page WHERE shard = %d",
                    SHARD);
    ck_assert_str_eq(text, expected);
}

/* A backend of this test's database that waits for something; 0: none does. */
static int
find_backend(const char *condition)
{
    return (int)pg_fixture_int(fixture.admin,
                               "SELECT coalesce(max(pid), 0) FROM pg_stat_activity"
                               " WHERE datname = '%s' AND %s",
                               fixture.database, condition);
}

/* The same, waited for. */
static int
await_backend(const char *condition)
{
    int64_t until_us = clock_steady_us() + 10 * SECOND_US;
    int pid;

    while ((pid = find_backend(condition)) == 0 && clock_steady_us() < until_us)
        usleep(5000);
    ck_assert_msg(pid != 0, "no backend waits: %s", condition);
    return pid;
}

/* ---- ownership ---- */

START_TEST(pages_follow_each_other)
{
    own(first, 1, 1);
    ck_assert_int_eq(write_text(first, 1, "a"), ERR_OK);
    ck_assert_int_eq(write_text(first, 2, "b"), ERR_OK);
    expect_pages("1:a 2:b");
    own(second, 1, 3);
}
END_TEST

START_TEST(a_stale_owner_writes_nothing)
{
    own(first, 1, 1);
    ck_assert_int_eq(write_text(first, 1, "a"), ERR_OK);
    own(second, 1, 2);
    ck_assert_int_eq(write_text(first, 2, "stale"), ERR_CONFLICT);
    ck_assert_int_eq(write_text(second, 2, "b"), ERR_OK);
    ck_assert_int_eq(write_text(first, 3, "stale"), ERR_CONFLICT);
    expect_pages("1:a 2:b");
}
END_TEST

START_TEST(who_owns_it_can_be_asked)
{
    own(first, 1, 1);
    ck_assert_int_eq(journal_check(first), ERR_OK);
    own(second, 1, 1);
    ck_assert_int_eq(journal_check(first), ERR_CONFLICT);
    ck_assert_int_eq(journal_check(second), ERR_OK);
}
END_TEST

struct takeover {
    pthread_t thread;
    enum error error;
    struct journal_owned owned;
};

static void *
take_over(void *context)
{
    struct takeover *takeover = context;

    do { /* as the shard does: where a machine stands still, the wait for the lock is over first */
        takeover->error = journal_own(second, &takeover->owned);
    } while (takeover->error == ERR_CONFLICT);
    return NULL;
}

/* The page that the old owner is writing in this moment belongs to what the new one must read. */
START_TEST(a_takeover_sees_the_page_it_waited_for)
{
    PGconn *old = pg_fixture_connect(fixture.conninfo);
    char text[PG_FIXTURE_TEXT_BYTES];
    struct takeover takeover = { .error = ERR_INTERNAL };

    own(first, 1, 1);
    pg_fixture_ask(old,
                   "BEGIN; INSERT INTO journal_page (shard, page, epoch, body)"
                   " SELECT s.shard, 1, s.epoch, 'old' FROM (SELECT shard, epoch FROM journal_shard"
                   " WHERE shard = 0 FOR SHARE) AS s",
                   text);
    ck_assert_int_eq(pthread_create(&takeover.thread, NULL, take_over, &takeover), 0);
    await_backend("wait_event_type = 'Lock'");
    pg_fixture_ask(old, "COMMIT", text);
    pthread_join(takeover.thread, NULL);
    ck_assert_int_eq(takeover.error, ERR_OK);
    ck_assert_int_eq(takeover.owned.next_page, 2);
    ck_assert_int_eq(write_text(second, takeover.owned.next_page, "new"), ERR_OK);
    expect_pages("1:old 2:new");
    PQfinish(old);
}
END_TEST

/* A page that is there already, under our own epoch, was numbered wrongly: a defect, and trying again
 * for ever would hide it. */
START_TEST(a_page_is_never_written_twice)
{
    own(first, 1, 1);
    ck_assert_int_eq(write_text(first, 1, "a"), ERR_OK);
    ck_assert_int_eq(write_text(first, 1, "b"), ERR_INTERNAL);
    expect_pages("1:a");
}
END_TEST

/* ---- COMMIT in doubt ---- */

struct writer {
    pthread_t thread;
    int64_t page;
    enum error error;
    atomic_bool is_done;
};

static void *
write_first(void *context)
{
    struct writer *writer = context;

    writer->error = write_text(first, writer->page, "a");
    atomic_store(&writer->is_done, true);
    return NULL;
}

static void
writer_start(struct writer *writer, int64_t page)
{
    writer->page = page;
    atomic_store(&writer->is_done, false);
    ck_assert_int_eq(pthread_create(&writer->thread, NULL, write_first, writer), 0);
}

/* A deferred trigger holds COMMIT up until the backend is killed: not done, and not said. */
static void
lose_commit(void)
{
    PGconn *holder = pg_fixture_connect(fixture.conninfo);
    char text[PG_FIXTURE_TEXT_BYTES];
    struct writer writer;
    int pid;

    pg_fixture_ask(holder,
                   "CREATE OR REPLACE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS"
                   " $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$;"
                   "CREATE CONSTRAINT TRIGGER hold_up AFTER INSERT ON journal_page"
                   " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold_up();"
                   "SELECT pg_advisory_lock(42)",
                   text);
    writer_start(&writer, 1);
    pid = await_backend("wait_event = 'advisory'");
    pg_fixture_run(fixture.admin, "SELECT pg_terminate_backend(%d, 5000)", pid);
    pthread_join(writer.thread, NULL);
    ck_assert_int_eq(writer.error, ERR_STORE_DOWN);
    pg_fixture_ask(holder, "DROP TRIGGER hold_up ON journal_page", text);
    PQfinish(holder);
    expect_pages("");
}

/* Asks for the page again, as its owner does, until that is answered. */
static enum error
write_again(int64_t page)
{
    int64_t until_us = clock_steady_us() + 10 * SECOND_US;
    enum error error;

    while ((error = write_text(first, page, "a")) == ERR_STORE_DOWN && clock_steady_us() < until_us)
        usleep(20 * 1000);
    return error;
}

START_TEST(in_doubt_and_not_written)
{
    own(first, 1, 1);
    lose_commit();
    ck_assert_int_eq(write_again(1), ERR_OK);
    ck_assert_int_eq(write_text(first, 2, "b"), ERR_OK);
    expect_pages("1:a 2:b");
}
END_TEST

/* The server commits, waits for a standby that does not exist, and is killed: done, and not said. */
START_TEST(in_doubt_and_written)
{
    PGconn *admin = pg_fixture_connect(fixture.admin);
    int64_t until_us = clock_steady_us() + 10 * SECOND_US, page = 0;
    struct writer writer;
    int pid = 0;

    own(first, 1, 1);
    pg_fixture_standby(admin, "ghost");
    while (pid == 0 && clock_steady_us() < until_us) { /* the setting reaches a backend late */
        writer_start(&writer, ++page);
        while (pid == 0 && !atomic_load(&writer.is_done))
            pid = find_backend("wait_event = 'SyncRep'");
        if (pid == 0)
            pthread_join(writer.thread, NULL);
    }
    if (pid != 0)
        pg_fixture_run(fixture.admin, "SELECT pg_terminate_backend(%d, 5000)", pid);
    pg_fixture_standby(admin, ""); /* before anything can fail: it is the whole server's */
    PQfinish(admin);
    ck_assert_int_ne(pid, 0);
    pthread_join(writer.thread, NULL);
    ck_assert_int_eq(writer.error, ERR_STORE_DOWN);
    ck_assert_int_eq(write_again(page), ERR_OK);
    ck_assert_int_eq(write_text(first, page + 1, "b"), ERR_OK);
    own(second, 1, page + 2); /* no number twice, and none missing */
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM journal_page"),
                     page + 1);
}
END_TEST

/* Somebody else took the shard over while a COMMIT was in doubt: the old owner must end. */
START_TEST(in_doubt_and_taken_over)
{
    own(first, 1, 1);
    lose_commit();
    own(second, 1, 1);
    ck_assert_int_eq(write_again(1), ERR_CONFLICT);
    expect_pages("");
}
END_TEST

/* ---- rows and the floor ---- */

static struct journal_row
row_of(struct uuid id, const char *phase, const char *body)
{
    return (struct journal_row){
        .id = id, .shard = SHARD, .page = 1, .fingerprint = 7, .phase = phase, .body = body
    };
}

START_TEST(parked_then_final)
{
    struct uuid id = uuid_v7(clock_now_us()), other = uuid_v7(clock_now_us());
    const struct uuid *gone = &id, ids[] = { id, other };
    const struct journal_row waits = row_of(id, "WAITING", "{\"a\":1}");
    const struct journal_row ended = row_of(id, "ENDED", "{\"a\":2}");
    const struct journal_row *parked = &waits, *final = &ended;
    const struct journal_tick park = { .body = "", .parked = &parked, .parked_count = 1 };
    const struct journal_tick end = {
        .body = "e", .finals = &final, .final_count = 1, .unparked = &gone, .unparked_count = 1
    };
    struct journal_row *found, *finals;
    size_t found_count, final_count;

    own(first, 1, 1);
    ck_assert_int_eq(journal_write(first, 1, &park), ERR_OK);
    ck_assert_int_eq(
        journal_find(first, ids, 2, arena, &found, &found_count, &finals, &final_count), ERR_OK);
    ck_assert_uint_eq(found_count, 1);
    ck_assert_uint_eq(final_count, 0);
    ck_assert_str_eq(found[0].body, "{\"a\":1}");
    ck_assert_int_eq(journal_parked_index(first, arena, &found, &found_count), ERR_OK);
    ck_assert_uint_eq(found_count, 1);
    ck_assert_str_eq(found[0].phase, "WAITING");

    ck_assert_int_eq(journal_write(first, 2, &end), ERR_OK);
    ck_assert_int_eq(
        journal_find(first, ids, 2, arena, &found, &found_count, &finals, &final_count), ERR_OK);
    ck_assert_uint_eq(found_count, 0);
    ck_assert_uint_eq(final_count, 1);
    ck_assert_str_eq(finals[0].body, "{\"a\":2}");
    ck_assert(finals[0].fingerprint == 7);
}
END_TEST

/* A disk that has damaged a part of one row: PostgreSQL fails every statement that reads it. A part that is
 * deleted would not do: it can be read until it is pruned. */
START_TEST(a_row_that_cannot_be_read_hides_no_others)
{
    struct uuid ids[] = { uuid_v7(clock_now_us()), uuid_v7(clock_now_us()),
                          uuid_v7(clock_now_us()) };
    const struct journal_row rows[] = { row_of(ids[0], "STUCK", "{}"),
                                        row_of(ids[1], "STUCK", "{}") };
    const struct journal_row *parked[] = { &rows[0], &rows[1] };
    const struct journal_tick park = { .body = "", .parked = parked, .parked_count = 2 };
    char id[UUID_TEXT_BYTES + 1], sql[1024];
    struct journal_row *found, *finals;
    size_t found_count, final_count;

    own(first, 1, 1);
    ck_assert_int_eq(journal_write(first, 1, &park), ERR_OK);
    snprintf(sql, sizeof sql,
             "UPDATE journal_parked SET body = (SELECT string_agg(md5(i::text), '') FROM"
             " generate_series(1, 500) i) WHERE id = '%s'",
             uuid_print(ids[0], id));
    pg_fixture_run(fixture.conninfo, sql);
    pg_fixture_run(fixture.conninfo,
                   "DO $$ DECLARE toast oid := (SELECT reltoastrelid FROM pg_class"
                   " WHERE oid = 'journal_parked'::regclass); BEGIN"
                   " SET LOCAL allow_system_table_mods = on;"
                   " UPDATE pg_class SET relkind = 'r' WHERE oid = toast;"
                   " EXECUTE format('UPDATE %%s SET chunk_seq = chunk_seq + 1000',"
                   " toast::regclass);"
                   " UPDATE pg_class SET relkind = 't' WHERE oid = toast; END $$");
    ck_assert_int_eq(
        journal_find(first, ids, 3, arena, &found, &found_count, &finals, &final_count), ERR_OK);
    ck_assert_uint_eq(found_count, 2);
    ck_assert_uint_eq(final_count, 0);
    ck_assert(uuid_equal(found[0].id, ids[0]));
    ck_assert_ptr_null(found[0].body);
    ck_assert(uuid_equal(found[1].id, ids[1]));
    ck_assert_str_eq(found[1].body, "{}");
}
END_TEST

/* A machine that was suspended for weeks goes on before the keeper has made the partitions of today. */
START_TEST(a_week_without_a_partition_gets_one)
{
    struct uuid id = uuid_v7(clock_now_us());
    const struct journal_row ended = row_of(id, "ENDED", "{}");
    const struct journal_row *final = &ended;
    const struct journal_tick end = { .body = "e", .finals = &final, .final_count = 1 };
    struct journal_row *found, *finals;
    size_t found_count, final_count;

    own(first, 1, 1);
    pg_fixture_run(fixture.conninfo,
                   "DO $$ BEGIN EXECUTE format('DROP TABLE %%I', 'journal_final'"
                   " || to_char(now() AT TIME ZONE 'UTC', '\"_\"IYYY\"w\"IW')); END $$");
    ck_assert_int_eq(journal_write(first, 1, &end), ERR_OK);
    ck_assert_int_eq(
        journal_find(first, &id, 1, arena, &found, &found_count, &finals, &final_count), ERR_OK);
    ck_assert_uint_eq(final_count, 1);
}
END_TEST

/* A person looks at a saga's row in a transaction, and goes for lunch. */
START_TEST(a_row_that_is_locked_holds_up_no_others)
{
    struct uuid ids[] = { uuid_v7(clock_now_us()), uuid_v7(clock_now_us()) };
    const struct uuid *gone[] = { &ids[0], &ids[1] };
    const struct journal_row rows[] = { row_of(ids[0], "WAITING", "{}"),
                                        row_of(ids[1], "WAITING", "{}") };
    const struct journal_row *parked[] = { &rows[0], &rows[1] };
    const struct journal_tick park = { .body = "", .parked = parked, .parked_count = 2 };
    const struct journal_tick locked = { .body = "a", .unparked = gone, .unparked_count = 2 };
    const struct journal_tick again = { .body = "b", .parked = parked, .parked_count = 1 };
    const struct journal_tick other = { .body = "c", .unparked = &gone[1], .unparked_count = 1 };
    PGconn *person = PQconnectdb(fixture.conninfo);
    char id[UUID_TEXT_BYTES + 1], sql[256];

    own(first, 1, 1);
    ck_assert_int_eq(journal_write(first, 1, &park), ERR_OK);
    snprintf(sql, sizeof sql, "BEGIN; SELECT FROM journal_parked WHERE id = '%s' FOR UPDATE",
             uuid_print(ids[0], id));
    PQclear(PQexec(person, sql));
    ck_assert_int_eq(journal_write(first, 2, &locked), ERR_BUSY);
    ck_assert_int_eq(journal_write(first, 2, &again), ERR_BUSY);
    ck_assert_int_eq(journal_write(first, 2, &other), ERR_OK);
    PQclear(PQexec(person, "ROLLBACK; BEGIN; LOCK TABLE journal_parked"));
    ck_assert_int_eq(journal_write(first, 3, &locked), ERR_STORE_DOWN);
    PQclear(PQexec(person, "ROLLBACK; BEGIN; SELECT FROM journal_shard FOR UPDATE"));
    ck_assert_int_eq(write_text(first, 3, "d"), ERR_STORE_DOWN);
    PQfinish(person);
    ck_assert_int_eq(journal_write(first, 3, &locked), ERR_OK);
    expect_pages("1: 2:c 3:a");
}
END_TEST

START_TEST(pages_before_the_floor_go)
{
    const struct journal_tick tick = { .body = "d", .floor_page = 3 };
    struct journal_page *pages;
    size_t count;

    own(first, 1, 1);
    ck_assert_int_eq(write_text(first, 1, "a"), ERR_OK);
    ck_assert_int_eq(write_text(first, 2, "b"), ERR_OK);
    ck_assert_int_eq(write_text(first, 3, "c"), ERR_OK);
    ck_assert_int_eq(journal_write(first, 4, &tick), ERR_OK);
    expect_pages("3:c 4:d");
    own(second, 3, 5);
    ck_assert_int_eq(journal_pages(second, 3, 1, arena, &pages, &count), ERR_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(pages[0].page, 3);
    ck_assert_str_eq(pages[0].body, "c");
}
END_TEST

START_TEST(a_page_that_is_locked_goes_with_the_next_floor)
{
    const struct journal_tick ticks[] = { { .body = "c", .floor_page = 3 },
                                          { .body = "d", .floor_page = 4 } };
    PGconn *person = PQconnectdb(fixture.conninfo);

    own(first, 1, 1);
    ck_assert_int_eq(write_text(first, 1, "a"), ERR_OK);
    ck_assert_int_eq(write_text(first, 2, "b"), ERR_OK);
    PQclear(PQexec(person, "BEGIN; SELECT FROM journal_page WHERE page = 1 FOR UPDATE"));
    ck_assert_int_eq(journal_write(first, 3, &ticks[0]), ERR_OK);
    PQclear(PQexec(person, "ROLLBACK")); /* else the server may be late to see that he has gone */
    PQfinish(person);
    expect_pages("1:a 3:c");
    ck_assert_int_eq(journal_write(first, 4, &ticks[1]), ERR_OK);
    expect_pages("4:d");
}
END_TEST

/* The floor is kept when there is no page any more: numbers never come again. */
START_TEST(numbers_never_come_again)
{
    const struct journal_tick tick = { .body = "", .floor_page = 5 };

    own(first, 1, 1);
    ck_assert_int_eq(journal_write(first, 4, &tick), ERR_OK);
    pg_fixture_run(fixture.conninfo, "DELETE FROM journal_page");
    own(second, 5, 5);
}
END_TEST

/* Parked rows have times of their owner's clock, and the pages that told of that clock go. */
START_TEST(the_time_of_deleted_pages_is_kept)
{
    const struct journal_tick floor = { .body = "", .floor_page = 2, .now_us = 1000 };
    const struct journal_tick later = { .body = "c", .now_us = 2000 };
    struct journal_owned owned;

    ck_assert_int_eq(journal_own(first, &owned), ERR_OK);
    ck_assert_int_eq(owned.now_us, 0);
    ck_assert_int_eq(write_text(first, 1, "a"), ERR_OK);
    ck_assert_int_eq(journal_write(first, 2, &floor), ERR_OK);
    ck_assert_int_eq(journal_write(first, 3, &later), ERR_OK); /* its page is there to tell */
    ck_assert_int_eq(journal_own(second, &owned), ERR_OK);
    ck_assert_int_eq(owned.now_us, 1000);
}
END_TEST

/* ---- what a page brings along ---- */

static struct event
news_of(struct uuid id, int32_t version)
{
    return (struct event){ .id = uuid_v7(clock_now_us()),
                           .aggregatetype = "alert",
                           .aggregateid = id,
                           .version = version,
                           .type = "alert.raised",
                           .payload = "{}",
                           .time_us = clock_now_us(),
                           .traceparent = "" };
}

static enum error
write_with_news(struct journal *journal, int64_t page, const struct event *news, size_t count)
{
    const void *rows[8];
    const struct pg_step steps[] = {
        { .statement = &event_append, .rows = rows, .count = count },
        { .statement = &event_append, .rows = rows, .count = 0 }, /* none: it is not asked */
    };
    const struct journal_tick tick = { .body = "a", .further = steps, .further_count = 2 };

    for (size_t i = 0; i < count; i++)
        rows[i] = &news[i];
    return journal_write(journal, page, &tick);
}

static long long
count_of(const char *table)
{
    return pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM %s", table);
}

START_TEST(further_rows_come_with_the_page)
{
    struct uuid id = uuid_v7(clock_now_us());
    const struct event news[] = { news_of(id, 1), news_of(id, 2) };

    own(first, 1, 1);
    ck_assert_int_eq(write_with_news(first, 1, news, 2), ERR_OK);
    expect_pages("1:a");
    ck_assert_int_eq(count_of("event"), 2);
    own(second, 1, 2);
    ck_assert_int_eq(write_with_news(first, 2, &(struct event){ 0 }, 0), ERR_CONFLICT);
}
END_TEST

/* A stale owner's rows do not come without its page. */
START_TEST(further_rows_go_with_a_page_that_is_refused)
{
    const struct event news = news_of(uuid_v7(clock_now_us()), 1);

    own(first, 1, 1);
    own(second, 1, 1);
    ck_assert_int_eq(write_with_news(first, 1, &news, 1), ERR_CONFLICT);
    expect_pages("");
    ck_assert_int_eq(count_of("event"), 0);
}
END_TEST

START_TEST(further_rows_without_a_partition_get_one)
{
    const struct event news = news_of(uuid_v7(clock_now_us()), 1);

    own(first, 1, 1);
    pg_fixture_run(fixture.conninfo,
                   "DO $$ BEGIN EXECUTE format('DROP TABLE %%I', 'event'"
                   " || to_char(now() AT TIME ZONE 'UTC', '\"_\"IYYY\"w\"IW')); END $$");
    ck_assert_int_eq(write_with_news(first, 1, &news, 1), ERR_OK);
    expect_pages("1:a");
    ck_assert_int_eq(count_of("event"), 1);
}
END_TEST

/* In doubt, and not written: all of it comes with the second try, and once. */
START_TEST(further_rows_in_doubt_come_once)
{
    const struct event news = news_of(uuid_v7(clock_now_us()), 1);
    int64_t until_us = clock_steady_us() + 10 * SECOND_US;
    enum error error;

    own(first, 1, 1);
    lose_commit();
    while ((error = write_with_news(first, 1, &news, 1)) == ERR_STORE_DOWN &&
           clock_steady_us() < until_us)
        usleep(20 * 1000);
    ck_assert_int_eq(error, ERR_OK);
    expect_pages("1:a");
    ck_assert_int_eq(count_of("event"), 1);
}
END_TEST

/* ---- ends that are no ends, and shards that are made ---- */

static enum error
write_final(struct journal *journal, int64_t page, struct uuid id, const char *body)
{
    const struct journal_row ended = row_of(id, "OVER", body);
    const struct journal_row *final = &ended;
    const struct journal_tick tick = { .body = "e", .finals = &final, .final_count = 1 };

    return journal_write(journal, page, &tick);
}

START_TEST(an_end_may_be_replaced_where_that_is_said)
{
    struct journal *again = open_over(first_pg, SHARD, true);
    struct uuid id = uuid_v7(clock_now_us());
    struct journal_row *found, *finals;
    size_t found_count, final_count;

    own(again, 1, 1);
    ck_assert_int_eq(write_final(again, 1, id, "{\"a\":1}"), ERR_OK);
    ck_assert_int_eq(write_final(again, 2, id, "{\"a\":2}"), ERR_OK);
    ck_assert_int_eq(
        journal_find(again, &id, 1, arena, &found, &found_count, &finals, &final_count), ERR_OK);
    ck_assert_uint_eq(final_count, 1);
    ck_assert_str_eq(finals[0].body, "{\"a\":2}");
    again = journal_free(again);
    own(first, 1, 3);
    ck_assert_int_eq(write_final(first, 3, id, "{\"a\":3}"), ERR_INTERNAL); /* strict */
}
END_TEST

/* Two shards over one connection: what befalls the COMMIT of one is not the other's. */
START_TEST(shards_over_one_connection)
{
    struct journal *other = open_over(first_pg, 7, false);
    struct journal_owned owned;

    ck_assert_int_eq(journal_own(other, &owned), ERR_INTERNAL); /* there is no such shard */
    ck_assert_int_eq(journal_shard_make(other), ERR_OK);
    ck_assert_int_eq(journal_shard_make(other), ERR_OK);
    own(other, 1, 1);
    own(first, 1, 1);
    lose_commit(); /* the first one's */
    while (write_text(other, 1, "o") == ERR_STORE_DOWN)
        usleep(20 * 1000);
    ck_assert_int_eq(write_again(1), ERR_OK);
    ck_assert_int_eq(write_text(other, 2, "p"), ERR_OK);
    expect_pages("1:a");
    ck_assert_int_eq(
        pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM journal_page WHERE shard = 7"), 2);
    other = journal_free(other);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("journal");

    tcase_add_checked_fixture(cases, open_journals, close_journals);
    tcase_add_test(cases, pages_follow_each_other);
    tcase_add_test(cases, a_stale_owner_writes_nothing);
    tcase_add_test(cases, who_owns_it_can_be_asked);
    tcase_add_test(cases, a_takeover_sees_the_page_it_waited_for);
    tcase_add_test(cases, a_page_is_never_written_twice);
    tcase_add_test(cases, in_doubt_and_not_written);
    tcase_add_test(cases, in_doubt_and_written);
    tcase_add_test(cases, in_doubt_and_taken_over);
    tcase_add_test(cases, parked_then_final);
    tcase_add_test(cases, a_row_that_cannot_be_read_hides_no_others);
    tcase_add_test(cases, a_week_without_a_partition_gets_one);
    tcase_add_test(cases, a_row_that_is_locked_holds_up_no_others);
    tcase_add_test(cases, pages_before_the_floor_go);
    tcase_add_test(cases, a_page_that_is_locked_goes_with_the_next_floor);
    tcase_add_test(cases, numbers_never_come_again);
    tcase_add_test(cases, the_time_of_deleted_pages_is_kept);
    tcase_add_test(cases, further_rows_come_with_the_page);
    tcase_add_test(cases, further_rows_go_with_a_page_that_is_refused);
    tcase_add_test(cases, further_rows_without_a_partition_get_one);
    tcase_add_test(cases, further_rows_in_doubt_come_once);
    tcase_add_test(cases, an_end_may_be_replaced_where_that_is_said);
    tcase_add_test(cases, shards_over_one_connection);
    return pg_fixture_check(&fixture, "journal", "saga/schema", cases);
}
