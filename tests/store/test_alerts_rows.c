/* What a shard's page writes beside the journal: all of it may be written again, as after a COMMIT in
 * doubt, and changes nothing then. */
#include "alerts/alert_store.h"
#include "mesh/base/clock.h"
#include "mesh/store/event.h"
#include "tests/support/check.h"
#include "tests/support/store/pg_fixture.h"

static struct pg_fixture fixture;
static struct pg *pg;
static struct arena *arena;

static void
open_pg(void)
{
    pg_fixture_run(fixture.conninfo, "TRUNCATE alert, notice, dead_letter, alert_source, event");
    pg = pg_new(fixture.conninfo, "test", alert_statements);
    arena = arena_new();
    ck_assert_int_eq(pg_connect(pg), ERR_OK);
}

static void
close_pg(void)
{
    pg = pg_free(pg);
    arena = arena_free(arena);
}

/* Writes one row by a statement, as a transaction; how many rows it changed. */
static size_t
write_row(const struct pg_statement *statement, const void *row)
{
    const void *rows[] = { row };
    struct pg_step step = { .statement = statement, .rows = rows, .count = 1 };

    ck_assert_int_eq(pg_round(pg, true, &step, 1, arena), ERR_OK);
    ck_assert_int_eq(pg_commit(pg), ERR_OK);
    return step.ret_changed;
}

static struct alert_raise
raise_of(struct uuid id)
{
    return (struct alert_raise){ .id = id,
                                 .rule = "RULE_A",
                                 .severity = "high",
                                 .subject = "0190aaaa-0000-7000-8000-000000000001",
                                 .payload = "{\"status\":\"raised\"}",
                                 .occurred_us = 1000,
                                 .detected_us = 2000 };
}

START_TEST(an_alert_is_raised_once_and_resolved_once)
{
    const struct alert_raise raise = raise_of(uuid_v7(clock_now_us()));
    const struct alert_resolve resolve = { raise.id, "{\"status\":\"resolved\"}", 3000 };
    const struct alert_resolve later = { raise.id, "{\"status\":\"again\"}", 4000 };

    ck_assert_uint_eq(write_row(&alert_resolve_update, &resolve), 0); /* there is none yet */
    ck_assert_uint_eq(write_row(&alert_raise_insert, &raise), 1);
    ck_assert_uint_eq(write_row(&alert_raise_insert, &raise), 0);
    ck_assert_uint_eq(write_row(&alert_resolve_update, &resolve), 1);
    ck_assert_uint_eq(write_row(&alert_resolve_update, &later), 0);
    ck_assert_uint_eq(write_row(&alert_raise_insert, &raise), 0); /* and is not opened again */
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT resolved_us FROM alert"), 3000);
}
END_TEST

START_TEST(a_notice_is_made_once_for_each_state_and_destination)
{
    const struct uuid id = uuid_v7(clock_now_us());
    const struct notice_row rows[] = {
        { "a/raised/pager", id, "raised", "pager", 1000 },
        { "a/raised/pager", id, "raised", "pager", 5000 },
        { "a/resolved/pager", id, "resolved", "pager", 5000 },
    };

    ck_assert_uint_eq(write_row(&notice_insert, &rows[0]), 1);
    ck_assert_uint_eq(write_row(&notice_insert, &rows[1]), 0);
    ck_assert_uint_eq(write_row(&notice_insert, &rows[2]), 1);
    ck_assert_int_eq(
        pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM notice WHERE next_us = made_us"), 2);
}
END_TEST

/* Its bytes are a stranger's: NUL, and what is no UTF-8, are kept as they are; no key is not an empty one. */
START_TEST(a_dead_letter_is_kept_once_byte_for_byte)
{
    static const uint8_t value[] = { 0, 0xff, '{', 0 };
    struct dead_letter_row row = { .id = uuid_v7(clock_now_us()),
                                   .topic = "order-status-changed",
                                   .part = 3,
                                   .place = 42,
                                   .timestamp_ms = 7,
                                   .value = { value, sizeof value },
                                   .headers = { (const uint8_t *)"", 0 },
                                   .reason = "it is no JSON",
                                   .found_us = 1000 };

    ck_assert_uint_eq(write_row(&dead_letter_insert, &row), 1);
    row.id = uuid_v7(clock_now_us()); /* found again, by the shard's next owner */
    ck_assert_uint_eq(write_row(&dead_letter_insert, &row), 0);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo,
                                    "SELECT count(*) FROM dead_letter WHERE key IS NULL AND value ="
                                    " '\\x00ff7b00' AND headers = '' AND due = 1"),
                     1);
}
END_TEST

/* What a page decided before it could be written is told when it is: heartbeats have passed the old time. */
START_TEST(an_event_has_the_time_of_its_insert)
{
    static const int64_t ago_us[] = { 0, 5 * SECOND_US, -5 * SECOND_US, 7200 * SECOND_US };
    static const bool is_now[] = { true, true, false, false };

    for (size_t i = 0; i < 4; i++) {
        const int64_t before_us = clock_now_us();
        const struct event event = { .id = uuid_v7(before_us),
                                     .aggregatetype = "alert",
                                     .aggregateid = uuid_v7(before_us),
                                     .version = 1,
                                     .type = "alert.raised",
                                     .payload = "{}",
                                     .time_us = before_us - ago_us[i],
                                     .traceparent = "" };
        int64_t time_us;

        ck_assert_uint_eq(write_row(&event_append_late, &event), 1);
        time_us =
            pg_fixture_int(fixture.conninfo, "SELECT time_us FROM event ORDER BY seq DESC LIMIT 1");
        ck_assert_msg((time_us != event.time_us) == is_now[i], "row %zu", i);
        ck_assert(!is_now[i] || time_us >= before_us);
    }
}
END_TEST

START_TEST(a_source_has_one_row_in_each_shard)
{
    const struct alert_source_row rows[] = {
        { "order-svc", 0, 1000, 1000, false },
        { "order-svc", 1, 1000, 1000, false },
        { "order-svc", 1, 1000, 9000, true },
    };

    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq(write_row(&alert_source_save, &rows[i]), 1);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM alert_source"), 2);
    ck_assert_int_eq(
        pg_fixture_int(fixture.conninfo, "SELECT checked_us FROM alert_source WHERE is_silent"),
        9000);
}
END_TEST

/* One without news that it was raised, or that says it ended and told nobody, is what the audit finds. */
START_TEST(the_audit_finds_an_alert_without_news)
{
    const struct alert_raise raise = raise_of(uuid_v7(clock_now_us()));
    const struct alert_resolve resolve = { raise.id, "{}", 3000 };
    char id[UUID_TEXT_BYTES + 1];

    uuid_print(raise.id, id);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM alert_check()"), 0);
    write_row(&alert_raise_insert, &raise);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM alert_check()"), 1);
    pg_fixture_run(fixture.conninfo,
                   "INSERT INTO event (id, aggregatetype, aggregateid, version, type, payload,"
                   " time_us, traceparent) VALUES ('%s', 'alert', '%s', 1, 'alert.raised',"
                   " '{\"alertId\":\"%s\"}', 1, '')",
                   id, id, id);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM alert_check()"), 0);
    write_row(&alert_resolve_update, &resolve);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM alert_check()"), 1);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("alert rows");

    tcase_add_checked_fixture(cases, open_pg, close_pg);
    tcase_add_test(cases, an_alert_is_raised_once_and_resolved_once);
    tcase_add_test(cases, a_notice_is_made_once_for_each_state_and_destination);
    tcase_add_test(cases, a_dead_letter_is_kept_once_byte_for_byte);
    tcase_add_test(cases, an_event_has_the_time_of_its_insert);
    tcase_add_test(cases, a_source_has_one_row_in_each_shard);
    tcase_add_test(cases, the_audit_finds_an_alert_without_news);
    return pg_fixture_check(&fixture, "alert_rows", "alerts/schema", cases);
}
