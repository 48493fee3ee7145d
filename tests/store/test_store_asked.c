/* Numbers that only the database knows, and what is counted of connections. */
#include "mesh/base/clock.h"
#include "mesh/base/uuid.h"
#include "mesh/store/asked.h"
#include "mesh/store/pg.h"
#include "tests/support/check.h"
#include "tests/support/metrics_text.h"
#include "tests/support/store/pg_fixture.h"

static struct pg_fixture fixture;
static struct metrics *metrics;
static struct arena *arena;
static struct pg *pg;

static const struct pg_statement things =
    ASKED_STATEMENT("things", "SELECT aggregatetype, count(*), 7::bigint FROM event"
                              " WHERE $1::bigint > 0 GROUP BY aggregatetype");

/* clang-format off */
static const struct asked_row rows[] = {
    { &things, { { "things", METRIC_GAUGE, METRIC_NUMBER, "Things.", { "type" } }, { "seven", METRIC_GAUGE, METRIC_NUMBER, "Seven.", { "type" } } }, (const char *const[]){ "order", "tree", NULL } },
    { 0 },
};
/* clang-format on */

static void
set_up(void)
{
    const struct pg_statement *statements[] = { &things, asked_outbox[0].statement,
                                                asked_partitions[0].statement, NULL };

    pg_fixture_run(fixture.conninfo, "TRUNCATE event; UPDATE event_cursor SET seq = 0");
    metrics = metrics_new();
    arena = arena_new();
    pg = pg_new(fixture.conninfo, "test", statements);
    pg_meter(pg, metrics, "keeper");
}

static void
tear_down(void)
{
    pg = pg_free(pg);
    arena = arena_free(arena);
    metrics = metrics_free(metrics);
}

static double
shown(const char *series)
{
    return metric_shown(metrics, series);
}

/* An event that is so old. */
static void
put_event(const char *type, int seconds_ago)
{
    char id[UUID_TEXT_BYTES + 1];

    uuid_print(uuid_v7(clock_now_us()), id);
    pg_fixture_run(fixture.conninfo,
                   "INSERT INTO event (id, aggregatetype, aggregateid, version, type, payload,"
                   " time_us, traceparent) VALUES ('%s', '%s', '%s', 1, 'made', '{}', %lld, '')",
                   id, type, id, (long long)(clock_now_us() - seconds_ago * SECOND_US));
}

START_TEST(labels_that_are_known_are_shown_with_zeros)
{
    ck_assert(shown("things{type=\"order\"}") == METRIC_NOT_SHOWN);
    asked_show(rows, metrics);
    ck_assert(shown("things{type=\"order\"}") == 0);
    put_event("order", 0);
    put_event("order", 0);
    put_event("stone", 0);
    ck_assert_int_eq(asked_run(rows, metrics, pg, arena), ERR_OK);
    ck_assert(shown("things{type=\"order\"}") == 2 && shown("seven{type=\"order\"}") == 7);
    ck_assert(shown("things{type=\"stone\"}") == 1);
    ck_assert(shown("things{type=\"tree\"}") == 0 && shown("seven{type=\"tree\"}") == 0);
    pg_fixture_run(fixture.conninfo, "TRUNCATE event");
    ck_assert_int_eq(asked_run(rows, metrics, pg, arena), ERR_OK);
    ck_assert(shown("things{type=\"order\"}") == 0);
    ck_assert(shown("things{type=\"stone\"}") == METRIC_NOT_SHOWN); /* it is gone */
}
END_TEST

START_TEST(unsent_news_is_counted_with_its_age)
{
    ck_assert_int_eq(asked_run(asked_outbox, metrics, pg, arena), ERR_OK);
    ck_assert(shown("sagamesh_outbox_unsent") == 0);
    ck_assert(shown("sagamesh_outbox_oldest_seconds") == 0);
    put_event("order", 100);
    put_event("order", 50);
    ck_assert_int_eq(asked_run(asked_outbox, metrics, pg, arena), ERR_OK);
    ck_assert(shown("sagamesh_outbox_unsent") == 2);
    ck_assert(shown("sagamesh_outbox_oldest_seconds") >= 100);
    pg_fixture_run(fixture.conninfo, "UPDATE event_cursor SET seq = (SELECT min(seq) FROM event)");
    ck_assert_int_eq(asked_run(asked_outbox, metrics, pg, arena), ERR_OK);
    ck_assert(shown("sagamesh_outbox_unsent") == 1);
    ck_assert(shown("sagamesh_outbox_oldest_seconds") >= 50);
    ck_assert(shown("sagamesh_outbox_oldest_seconds") < 100);
    pg_fixture_run(fixture.conninfo, "UPDATE event_cursor SET seq = (SELECT max(seq) FROM event)");
    ck_assert_int_eq(asked_run(asked_outbox, metrics, pg, arena), ERR_OK);
    ck_assert(shown("sagamesh_outbox_unsent") == 0);
    ck_assert(shown("sagamesh_outbox_oldest_seconds") == 0);
    ck_assert(shown("sagamesh_asked_timestamp_seconds") * SECOND_US <= (double)clock_now_us() + 1);
}
END_TEST

/* The keeper makes them for the next two weeks. */
START_TEST(partitions_reach_two_weeks_ahead)
{
    const double day = 24 * 3600;

    ck_assert_int_eq(asked_run(asked_partitions, metrics, pg, arena), ERR_OK);
    ck_assert(shown("sagamesh_partition_ahead_seconds{table=\"event\"}") > 14 * day);
    ck_assert(shown("sagamesh_partition_ahead_seconds{table=\"event\"}") < 23 * day);
    ck_assert(shown("sagamesh_partition_ahead_seconds{table=\"op\"}") > 14 * day);
}
END_TEST

START_TEST(connections_are_counted)
{
    struct pg *other = pg_new(fixture.conninfo, "test", NULL), *none;

    none = pg_new("host=/nowhere port=1 dbname=none", "test", NULL);
    pg_meter(other, metrics, "keeper");
    pg_meter(none, metrics, "relay");
    ck_assert(shown("sagamesh_database_connections{user=\"keeper\"}") == 0);
    ck_assert_int_eq(pg_run(pg, "SELECT 1"), ERR_OK);
    ck_assert_int_eq(pg_run(other, "SELECT 1"), ERR_OK);
    ck_assert(shown("sagamesh_database_connections{user=\"keeper\"}") == 2);
    ck_assert(shown("sagamesh_database_connects_total{user=\"keeper\"}") == 2);
    ck_assert(shown("sagamesh_database_round_trips_total{user=\"keeper\"}") == 2);
    pg_fixture_run(fixture.conninfo, "SELECT pg_terminate_backend(%d)", pg_backend_pid(other));
    ck_assert_int_ne(pg_run(other, "SELECT 1"), ERR_OK);
    ck_assert(shown("sagamesh_database_connections{user=\"keeper\"}") == 1);
    ck_assert(shown("sagamesh_database_lost_total{user=\"keeper\"}") == 1);
    other = pg_free(other);
    pg_disconnect(pg);
    ck_assert(shown("sagamesh_database_connections{user=\"keeper\"}") == 0);
    ck_assert_int_ne(pg_connect(none), ERR_OK);
    ck_assert(shown("sagamesh_database_lost_total{user=\"relay\"}") == 1);
    ck_assert(shown("sagamesh_database_connects_total{user=\"relay\"}") == 0);
    none = pg_free(none);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("asked");

    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, labels_that_are_known_are_shown_with_zeros);
    tcase_add_test(cases, unsent_news_is_counted_with_its_age);
    tcase_add_test(cases, partitions_reach_two_weeks_ahead);
    tcase_add_test(cases, connections_are_counted);
    return pg_fixture_check(&fixture, "store_asked", "order-svc/schema", cases);
}
