/* What follows the events, beside the relay: each follower reads every event once and in the order of seq,
 * while transactions end in another order than they drew their numbers, or in vain. */
#include "mesh/base/clock.h"
#include "mesh/store/horizon.h"
#include "tests/support/check.h"
#include "tests/support/store/pg_fixture.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FOLLOWERS = 2,
    SLOW_WRITERS = 2,
    WRITERS = 4,
    SLOW_ROUNDS = 40,     /* transactions of a slow writer */
    OTHERS_MEANWHILE = 8, /* commits of others while one of those is open */
    EVENTS_MAX = 1 << 16,
    LOOKS_FIRST = 100, /* at a transaction that stays open */
    LOOKS = 2000,
    LOOKS_BYTES_MAX = 64 << 10,
};

/* One of a thread of its own, and what it has read. */
struct reader {
    struct follower follower;
    struct arena *arena;
    int64_t *seqs;
    size_t count;
    int64_t told_us; /* the last round said: all events of a time before this have been read */
    int rounds;
};

static struct pg_fixture fixture;
static struct reader readers[FOLLOWERS];
static atomic_int slow_left, commits;
static atomic_bool is_written, is_stopping;

static bool
rest(void *owner, int64_t us)
{
    (void)owner;
    usleep((useconds_t)us);
    return !atomic_load(&is_stopping);
}

static void
reader_open(struct reader *reader, const char *name)
{
    static const struct pg_statement *const statements[] = { FOLLOWER_STATEMENTS, NULL };

    reader->arena = arena_new();
    reader->follower = (struct follower){ .pg = pg_new(fixture.conninfo, name, statements),
                                          .name = name,
                                          .who = "follower",
                                          .where = "test",
                                          .pause = rest };
    follower_init(&reader->follower);
}

static void
reader_close(struct reader *reader)
{
    pg_free(reader->follower.pg);
    follower_free(&reader->follower);
    arena_free(reader->arena);
}

static void
open_readers(void)
{
    pg_fixture_run(fixture.conninfo, "TRUNCATE event; ALTER SEQUENCE event_seq RESTART;"
                                     " INSERT INTO event_cursor VALUES ('views', 0)"
                                     " ON CONFLICT DO NOTHING; UPDATE event_cursor SET seq = 0");
    for (size_t i = 0; i < FOLLOWERS; i++) {
        readers[i] = (struct reader){ .seqs = memory_take(EVENTS_MAX * sizeof *readers[i].seqs) };
        reader_open(&readers[i], i == 0 ? "kafka" : "views");
    }
    atomic_store(&is_stopping, false);
    atomic_store(&is_written, false);
}

static void
close_readers(void)
{
    for (size_t i = 0; i < FOLLOWERS; i++) {
        reader_close(&readers[i]);
        free(readers[i].seqs);
    }
}

static void
take_page(struct reader *reader, const struct followed_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_lt(reader->count, EVENTS_MAX);
        ck_assert_int_ge(events[i].event.time_us, reader->told_us);
        reader->seqs[reader->count++] = events[i].seq;
    }
}

/* A round, to its end or of one page. */
static void
read_round(struct reader *reader, bool is_whole)
{
    struct follower *follower = &reader->follower;

    ck_assert_int_eq(follower_begin(follower, true), ERR_OK);
    while (follower_has_more(follower)) {
        const struct followed_event *events;
        size_t count;

        ck_assert_int_eq(follower_read(follower, reader->arena, &events, &count), ERR_OK);
        take_page(reader, events, count);
        ck_assert_int_eq(follower_move(follower, reader->arena), ERR_OK);
        if (!is_whole)
            break;
    }
    if (!follower_has_more(follower))
        reader->told_us = follower->horizon.time_us;
    reader->rounds++;
    arena_reset(reader->arena);
}

/* The second follower begins anew every few rounds: only its cursor remembers. */
static void *
follow(void *context)
{
    struct reader *reader = context;
    bool is_last;

    do {
        is_last = atomic_load(&is_written);
        read_round(reader, true);
        if (reader == &readers[1] && reader->rounds % 5 == 0) {
            reader_close(reader);
            reader_open(reader, "views");
        }
        rest(NULL, 500);
    } while (!is_last);
    return NULL;
}

static void
write_event(PGconn *connection)
{
    char sql[512], text[PG_FIXTURE_TEXT_BYTES], id[UUID_TEXT_BYTES + 1];

    uuid_print(uuid_v7(clock_now_us()), id);
    snprintf(sql, sizeof sql,
             "INSERT INTO event (id, aggregatetype, aggregateid, version, type, payload, time_us,"
             " traceparent) SELECT '%s', 'note', '%s', 1, 'note.written', '{}',"
             " (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, ''",
             id, id);
    pg_fixture_ask(connection, sql, text);
}

/* It draws a number, and others commit later ones before it ends; now and then it ends in vain. */
static void *
write_slowly(void *context)
{
    PGconn *connection = pg_fixture_connect(fixture.conninfo);
    char text[PG_FIXTURE_TEXT_BYTES];

    (void)context;
    for (int i = 0; i < SLOW_ROUNDS; i++) {
        int until = atomic_load(&commits) + OTHERS_MEANWHILE;

        pg_fixture_ask(connection, "BEGIN", text);
        write_event(connection);
        while (atomic_load(&commits) < until)
            usleep(500);
        write_event(connection);
        pg_fixture_ask(connection, i % 7 == 3 ? "ROLLBACK" : "COMMIT", text);
    }
    atomic_fetch_sub(&slow_left, 1);
    PQfinish(connection);
    return NULL;
}

static void *
write_fast(void *context)
{
    PGconn *connection = pg_fixture_connect(fixture.conninfo);

    (void)context;
    while (atomic_load(&slow_left) > 0) {
        write_event(connection);
        atomic_fetch_add(&commits, 1);
    }
    PQfinish(connection);
    return NULL;
}

/* Exactly the rows that are there now, in their order. */
static void
expect_all(const struct reader *reader)
{
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM event"),
                     (long long)reader->count);
    for (size_t i = 1; i < reader->count; i++)
        ck_assert_int_lt(reader->seqs[i - 1], reader->seqs[i]);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo,
                                    "SELECT seq FROM event_cursor"
                                    " WHERE name = '%s'",
                                    reader->follower.name),
                     pg_fixture_int(fixture.conninfo, "SELECT last_value FROM event_seq"));
}

START_TEST(each_reads_every_event_once_and_in_order)
{
    pthread_t writers[WRITERS], threads[FOLLOWERS];

    atomic_store(&slow_left, SLOW_WRITERS);
    for (size_t i = 0; i < FOLLOWERS; i++)
        pthread_create(&threads[i], NULL, follow, &readers[i]);
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&writers[i], NULL, i < SLOW_WRITERS ? write_slowly : write_fast, NULL);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    atomic_store(&is_written, true);
    for (size_t i = 0; i < FOLLOWERS; i++) {
        pthread_join(threads[i], NULL);
        expect_all(&readers[i]);
        ck_assert_int_gt(readers[i].rounds, 2);
    }
    ck_assert_int_gt(pg_fixture_int(fixture.conninfo, /* some were drawn in vain */
                                    "SELECT last_value - (SELECT count(*) FROM event)"
                                    " FROM event_seq"),
                     0);
}
END_TEST

START_TEST(pages_are_read_one_after_the_other)
{
    pg_fixture_run(fixture.conninfo,
                   "INSERT INTO event (id, aggregatetype, aggregateid, version, type, payload,"
                   " time_us, traceparent) SELECT mesh_uuid_floor(now()), 'note',"
                   " mesh_uuid_floor(now()), n, 'note.written', '{}',"
                   " (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, ''"
                   " FROM generate_series(1, %d) n",
                   2 * FOLLOWER_PAGE + 1);
    read_round(&readers[0], false);
    ck_assert_uint_eq(readers[0].count, FOLLOWER_PAGE);
    ck_assert_int_eq(readers[0].told_us, 0);
    read_round(&readers[0], true);
    expect_all(&readers[0]);
    ck_assert_int_gt(readers[0].told_us, 0);
    read_round(&readers[1], true); /* the other one has a cursor of its own */
    expect_all(&readers[1]);
}
END_TEST

START_TEST(what_was_not_done_comes_again)
{
    PGconn *connection = pg_fixture_connect(fixture.conninfo);
    struct follower *follower = &readers[0].follower;
    const struct followed_event *events;
    size_t count;

    write_event(connection);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(follower_begin(follower, false), ERR_OK);
        ck_assert_int_eq(follower_read(follower, readers[0].arena, &events, &count), ERR_OK);
        ck_assert_uint_eq(count, 1);
        ck_assert_int_eq(events[0].seq, 1);
    }
    ck_assert_int_eq(follower_move(follower, readers[0].arena), ERR_OK);
    ck_assert_int_eq(follower_begin(follower, false), ERR_OK);
    ck_assert(!follower_has_more(follower));
    PQfinish(connection);
}
END_TEST

START_TEST(it_stops_while_it_waits_for_a_writer)
{
    PGconn *connection = pg_fixture_connect(fixture.conninfo);
    char text[PG_FIXTURE_TEXT_BYTES];

    pg_fixture_ask(connection, "BEGIN", text);
    write_event(connection);
    atomic_store(&is_stopping, true);
    ck_assert_int_eq(follower_begin(&readers[0].follower, false), ERR_STOPPING);
    ck_assert(!follower_has_more(&readers[0].follower));
    PQfinish(connection);
}
END_TEST

struct looks {
    int count;
    size_t bytes; /* in use after the first ones */
};

static bool
look_again(void *owner, int64_t us)
{
    struct looks *looks = owner;

    (void)us;
    if (++looks->count == LOOKS_FIRST)
        looks->bytes = mallinfo2().uordblks;
    return looks->count < LOOKS;
}

/* A person may need days to end it. */
START_TEST(a_writer_that_stays_costs_no_memory)
{
    PGconn *connection = pg_fixture_connect(fixture.conninfo);
    struct follower *follower = &readers[0].follower;
    struct looks looks = { 0 };
    char text[PG_FIXTURE_TEXT_BYTES];

    follower->pause = look_again;
    follower->owner = &looks;
    pg_fixture_ask(connection, "BEGIN", text);
    write_event(connection);
    ck_assert_int_eq(follower_begin(follower, false), ERR_STOPPING);
    ck_assert_int_eq(looks.count, LOOKS);
    ck_assert_uint_lt(mallinfo2().uordblks, looks.bytes + LOOKS_BYTES_MAX);
    PQfinish(connection);
}
END_TEST

/* The server that is there now may be another one, whose numbers are not those that were read. */
START_TEST(a_round_is_of_one_session)
{
    PGconn *connection = pg_fixture_connect(fixture.conninfo);
    struct follower *follower = &readers[0].follower;
    const struct followed_event *events;
    size_t count;

    write_event(connection);
    ck_assert_int_eq(follower_begin(follower, false), ERR_OK);
    ck_assert_int_eq(follower_read(follower, readers[0].arena, &events, &count), ERR_OK);
    pg_disconnect(follower->pg);
    ck_assert_int_eq(follower_move(follower, readers[0].arena), ERR_STORE_DOWN);
    ck_assert_int_eq(pg_connect(follower->pg), ERR_OK);
    ck_assert_int_eq(follower_move(follower, readers[0].arena), ERR_STORE_DOWN);
    ck_assert_int_eq(follower_read(follower, readers[0].arena, &events, &count), ERR_STORE_DOWN);
    ck_assert_int_eq(
        pg_fixture_int(fixture.conninfo, "SELECT seq FROM event_cursor WHERE name = 'kafka'"), 0);
    read_round(&readers[0], true);
    expect_all(&readers[0]);
    PQfinish(connection);
}
END_TEST

/* Nothing else says why no event comes. */
START_TEST(a_follower_has_a_cursor)
{
    FILE *written = tmpfile();
    int standard_error = dup(STDERR_FILENO);
    char text[1024];

    reader_close(&readers[0]);
    reader_open(&readers[0], "nobody");
    ck_assert_ptr_nonnull(written);
    dup2(fileno(written), STDERR_FILENO);
    ck_assert_int_eq(follower_begin(&readers[0].follower, false), ERR_INTERNAL);
    dup2(standard_error, STDERR_FILENO);
    close(standard_error);
    rewind(written);
    text[fread(text, 1, sizeof text - 1, written)] = '\0';
    fclose(written);
    ck_assert_msg(strstr(text, " cursor=nobody because=") != NULL, "%s", text);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("follower");
    int failed;

    pg_fixture_open(&fixture, "store_follower", "mesh/store/mesh.sql");
    tcase_add_checked_fixture(cases, open_readers, close_readers);
    tcase_add_test(cases, each_reads_every_event_once_and_in_order);
    tcase_add_test(cases, pages_are_read_one_after_the_other);
    tcase_add_test(cases, what_was_not_done_comes_again);
    tcase_add_test(cases, it_stops_while_it_waits_for_a_writer);
    tcase_add_test(cases, a_writer_that_stays_costs_no_memory);
    tcase_add_test(cases, a_round_is_of_one_session);
    tcase_add_test(cases, a_follower_has_a_cursor);
    failed = check_run("store_follower", cases);
    pg_fixture_close(&fixture);
    return failed;
}
