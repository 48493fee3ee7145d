/* What people do about alerts on a real PostgreSQL: what rows are after each op and after its repeat, and what
 * is read of them. */
#include "tests/support/alerts/alerts_fixture.h"

#include <string.h>

static const struct uuid no_id;

static void
begin(void)
{
    service_begin();
    pg_fixture_run(fixture.conninfo, "TRUNCATE alert, repair, notice, dead_letter, op");
}

/* An id as alerts have them, which is no UUIDv7. */
static struct uuid
alert_id(uint8_t number)
{
    struct uuid id = { { 0x88, 0x63, 0x13, 0xe1, 0x3b, 0x8a, 0x53, 0x72, 0x9b } };

    id.bytes[15] = number;
    return id;
}

static void
expect(const char *sql, const char *text)
{
    char is[PG_FIXTURE_TEXT_BYTES];

    pg_fixture_text(fixture.conninfo, is, "%s", sql);
    ck_assert_str_eq(is, text);
}

START_TEST(an_alert_is_acknowledged)
{
    struct uuid first = new_id();
    struct problem problem;

    alerts_raise(alert_id(1), "RULE_A", 1000);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(service_do(pg, alerts_acknowledge(first, alert_id(1), "ai", "mine"), NULL),
                         ERR_OK);
    expect("SELECT acknowledged_by, acknowledged_reason FROM alert WHERE acknowledged_us > 0",
           "ai");
    /* The next one is who is shown; the first one's repeat changes nothing any more. */
    ck_assert_int_eq(service_do(pg, alerts_acknowledge(new_id(), alert_id(1), "bo", "x"), NULL),
                     ERR_OK);
    ck_assert_int_eq(service_do(pg, alerts_acknowledge(first, alert_id(1), "ai", "mine"), NULL),
                     ERR_OK);
    expect("SELECT acknowledged_by FROM alert", "bo");
    ck_assert_int_eq(service_do(pg, alerts_acknowledge(first, alert_id(1), "ai", "other"), NULL),
                     ERR_ID_REUSED);
    ck_assert_int_eq(
        service_do(pg, alerts_acknowledge(new_id(), alert_id(2), "ai", "mine"), &problem),
        ERR_NOT_FOUND);
    ck_assert_str_eq(problem.field, "alert_id");
}
END_TEST

/* Its end is the shard's to write, also between an op's load and its save. */
START_TEST(an_acknowledgement_leaves_the_end_alone)
{
    alerts_raise(alert_id(1), "RULE_A", 1000);
    alerts_resolve(alert_id(1), 2000);
    ck_assert_int_eq(service_do(pg, alerts_acknowledge(new_id(), alert_id(1), "ai", "x"), NULL),
                     ERR_OK);
    expect("SELECT resolved_us FROM alert WHERE acknowledged_by = 'ai'", "2000");
}
END_TEST

START_TEST(a_repair_begins_and_ends)
{
    struct uuid repair = new_id(), end = new_id();
    struct problem problem;

    alerts_raise(alert_id(1), "RULE_A", 1000);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(service_do(pg, alerts_begin(repair, alert_id(1), "ai", "x"), NULL),
                         ERR_OK);
    expect("SELECT count(*) FROM repair WHERE ended_us = 0", "1");
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(service_do(pg, alerts_end(end, repair, true, "told\nthe saga"), NULL),
                         ERR_OK);
    expect("SELECT outcome FROM repair WHERE is_done AND ended_us >= begun_us", "told\nthe saga");
    ck_assert_int_eq(service_do(pg, alerts_end(new_id(), repair, false, "again"), &problem),
                     ERR_REFUSED);
    ck_assert_str_eq(problem.reason, "REPAIR_ENDED");
    ck_assert_int_eq(service_do(pg, alerts_end(new_id(), new_id(), true, "x"), NULL),
                     ERR_NOT_FOUND);
}
END_TEST

START_TEST(a_repair_of_no_alert_is_none)
{
    struct uuid repair = new_id();

    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(service_do(pg, alerts_begin(repair, alert_id(9), "ai", "x"), NULL),
                         ERR_NOT_FOUND);
    ck_assert_int_eq(service_do(pg, alerts_end(new_id(), repair, true, "x"), NULL), ERR_NOT_FOUND);
}
END_TEST

/* Asked for twice before it is sent it is sent once; asked for again later, once more. */
START_TEST(a_dead_letter_is_asked_for_again)
{
    struct uuid letter = new_id();
    bool is_refused;
    struct try_letter sent = { .letter_id = letter,
                               .sent = LETTER_DUE_DLQ | LETTER_DUE_RESEND,
                               .refusal = "",
                               .ret_is_refused = &is_refused };
    struct test_call *call;

    alerts_dead_letter(letter, "order-status-changed", 42);
    ck_assert_int_eq(service_do(pg, alerts_resend(new_id(), letter, "ai", "mended"), NULL), ERR_OK);
    ck_assert_int_eq(service_do(pg, alerts_resend(new_id(), letter, "bo", "mended"), NULL), ERR_OK);
    expect("SELECT due || ' ' || resends_asked || ' ' || resend_by FROM dead_letter", "3 2 bo");
    sent.resends_asked = 1; /* read before the second one asked */
    for (; sent.resends_asked <= 2; sent.resends_asked++) {
        call = call_fixture_new(&try_letter_method);
        sent.op = *call->call.op;
        sent.op.id = new_id();
        memcpy(call->call.op, &sent, sizeof sent);
        ck_assert_int_eq(service_do(pg, call, NULL), ERR_OK);
    }
    expect("SELECT due || ' ' || resends FROM dead_letter WHERE sent_us > 0 AND resent_us > 0",
           "0 2");
    ck_assert_int_eq(service_do(pg, alerts_resend(new_id(), new_id(), "ai", "x"), NULL),
                     ERR_NOT_FOUND);
}
END_TEST

/* ---- reads ---- */

static struct list_alerts
list_of(bool is_open_only, const char *rule, int64_t until_us, struct uuid before_id, int32_t size)
{
    return (struct list_alerts){ .is_open_only = is_open_only,
                                 .rule = rule,
                                 .until_us = until_us,
                                 .before_id = before_id,
                                 .page_size = size };
}

/* The numbers of the alerts' ids, as they were listed. */
static void
expect_list(struct list_alerts list, const char *numbers)
{
    struct arena *arena = arena_new();
    struct op *ops[] = { &list.op };
    char text[64] = "";

    ck_assert_int_eq(service_read("ListAlerts", ops, 1, arena), ERR_OK);
    for (size_t i = 0; i < list.count; i++)
        sprintf(text + strlen(text), "%d", list.alerts[i].raise.id.bytes[15]);
    strcat(text, list.has_more ? "+" : "");
    ck_assert_str_eq(text, numbers);
    arena_free(arena);
}

START_TEST(alerts_are_listed)
{
    for (uint8_t i = 1; i <= 5; i++) /* A B A B A, and the second and third have ended */
        alerts_raise(alert_id(i), i % 2 == 1 ? "RULE_A" : "RULE_B", 1000 * i);
    alerts_resolve(alert_id(2), 9000);
    alerts_resolve(alert_id(3), 9000);
    expect_list(list_of(false, "", INT64_MAX, no_id, 100), "54321");
    expect_list(list_of(true, "", INT64_MAX, no_id, 100), "541");
    expect_list(list_of(false, "RULE_A", INT64_MAX, no_id, 100), "531");
    expect_list(list_of(true, "RULE_A", INT64_MAX, no_id, 100), "51");
    expect_list(list_of(true, "RULE_C", INT64_MAX, no_id, 100), "");
    expect_list(list_of(true, "", 4000, no_id, 100), "41"); /* old enough to the microsecond */
    expect_list(list_of(false, "", INT64_MAX, no_id, 2), "54+");
    expect_list(list_of(false, "", INT64_MAX, alert_id(4), 2), "32+");
    expect_list(list_of(false, "", INT64_MAX, alert_id(2), 2), "1");
    expect_list(list_of(true, "RULE_A", INT64_MAX, alert_id(5), 2), "1");
    expect_list(list_of(false, "", INT64_MAX, alert_id(77), 2), ""); /* no token of ours */
}
END_TEST

START_TEST(an_alert_is_shown_with_its_repairs)
{
    struct get_alert get = { .op.id = alert_id(1) }, none = { .op.id = alert_id(2) };
    struct op *ops[] = { &get.op, &none.op };
    struct uuid first = new_id();
    struct arena *arena = arena_new();

    alerts_raise(alert_id(1), "RULE_C", 1000);
    ck_assert_int_eq(service_do(pg, alerts_begin(first, alert_id(1), "ai", "one"), NULL), ERR_OK);
    ck_assert_int_eq(service_do(pg, alerts_begin(new_id(), alert_id(1), "bo", "two"), NULL),
                     ERR_OK);
    ck_assert_int_eq(service_do(pg, alerts_end(new_id(), first, false, "open"), NULL), ERR_OK);
    ck_assert_int_eq(service_read("GetAlert", ops, 2, arena), ERR_OK);
    ck_assert_str_eq(get.alert.raise.payload, "{\"status\":\"raised\"}");
    ck_assert_str_eq(get.alert.resolved_payload, "");
    ck_assert_uint_eq(get.repair_count, 2);
    ck_assert_str_eq(get.repairs[0].outcome, "open");
    ck_assert_str_eq(get.repairs[1].by, "bo");
    ck_assert_int_eq(get.repairs[1].ended_us, 0);
    ck_assert_int_eq(none.op.problem.error, ERR_NOT_FOUND);
    ck_assert_uint_eq(none.repair_count, 0);
    arena_free(arena);
}
END_TEST

START_TEST(dead_letters_are_listed_and_shown)
{
    int64_t now_us = clock_now_us();
    struct uuid ids[3] = { uuid_v7(now_us - 2000), uuid_v7(now_us - 1000), uuid_v7(now_us) };
    struct list_letters list = { .page_size = 2 };
    struct get_letter get = { .op.id = ids[0] }, none = { .op.id = new_id() };
    struct op *lists[] = { &list.op }, *gets[] = { &get.op, &none.op };
    struct arena *arena = arena_new();
    struct dead_header header;
    size_t at = 0;

    for (int i = 0; i < 3; i++)
        alerts_dead_letter(ids[i], "order-status-changed", i);
    memset(&list.before_id, 0xff, sizeof list.before_id);
    ck_assert_int_eq(service_read("ListDeadLetters", lists, 1, arena), ERR_OK);
    ck_assert_uint_eq(list.count, 2);
    ck_assert(list.has_more && uuid_equal(list.letters[0].id, ids[2]));
    list.before_id = ids[1];
    ck_assert_int_eq(service_read("ListDeadLetters", lists, 1, arena), ERR_OK);
    ck_assert_uint_eq(list.count, 1);
    ck_assert(!list.has_more && uuid_equal(list.letters[0].id, ids[0]));
    ck_assert_int_eq(service_read("GetDeadLetter", gets, 2, arena), ERR_OK);
    ck_assert_mem_eq(get.whole.value.data, "\xff\0x", 3);
    ck_assert_mem_eq(get.whole.key.data, "key", 3);
    ck_assert_int_eq(get.whole.value_bytes, 3);
    ck_assert(dead_headers_next(get.whole.headers, &at, &header));
    ck_assert_mem_eq(header.name.data, "ce_id", 5);
    ck_assert_int_eq(none.op.problem.error, ERR_NOT_FOUND);
    arena_free(arena);
}
END_TEST

/* Of one that is longer than a message may be a part is shown, and how long it is. */
START_TEST(a_long_dead_letter_is_shown_in_part)
{
    struct get_letter get = { .op.id = new_id() };
    struct op *gets[] = { &get.op };
    struct arena *arena = arena_new();

    alerts_dead_letter(get.op.id, "order-status-changed", 1);
    pg_fixture_run(fixture.conninfo,
                   "UPDATE dead_letter SET value = convert_to(repeat('x', 900000), 'UTF8')");
    ck_assert_int_eq(service_read("GetDeadLetter", gets, 1, arena), ERR_OK);
    ck_assert_uint_eq(get.whole.value.count, DEAD_LETTER_SHOWN_BYTES);
    ck_assert_int_eq(get.whole.value_bytes, 900000);
    arena_free(arena);
}
END_TEST

/* ---- notices ---- */

static int32_t
lease(const char *key)
{
    struct test_call *call = call_fixture_new(&lease_notice_method);
    struct lease_notice *op = (struct lease_notice *)call->call.op;
    struct test_call *calls[] = { call };
    int32_t number = -1;

    op->op.id = new_id();
    op->key = key;
    op->ret_lease = &number;
    service_run(&alert_service, pg, calls, 1);
    call_fixture_free(call);
    return number;
}

static enum notice_outcome
end_attempt(const char *key, int32_t number, bool is_sent)
{
    enum notice_outcome outcome = NOTICE_OUTCOMES;
    struct test_call *call = call_fixture_new(&end_notice_method);
    struct end_notice *op = (struct end_notice *)call->call.op;

    op->op.id = new_id();
    op->key = key;
    op->lease = number;
    op->is_sent = is_sent;
    op->trouble = is_sent ? "" : "status 500";
    op->ret_outcome = &outcome;
    ck_assert_int_eq(service_do(pg, call, NULL), ERR_OK);
    return outcome;
}

/* Of two replicas one gets it; it is sent once, and is over then. */
START_TEST(a_notice_is_leased_and_ends)
{
    char key[PG_FIXTURE_TEXT_BYTES];
    int32_t number;

    alerts_notice(alert_id(1), "raised", "pager", clock_now_us());
    pg_fixture_text(fixture.conninfo, key, "SELECT key FROM notice");
    number = lease(key);
    ck_assert_int_eq(number, 1);
    ck_assert_int_eq(lease(key), 0);
    ck_assert_int_eq(end_attempt(key, number, false), NOTICE_RETRIED);
    expect("SELECT trouble FROM notice WHERE next_us > made_us AND NOT is_sent", "status 500");
    ck_assert_int_eq(lease(key), 0); /* not due yet */
    pg_fixture_run(fixture.conninfo, "UPDATE notice SET next_us = 1");
    number = lease(key);
    ck_assert_int_eq(number, 2);
    ck_assert_int_eq(end_attempt(key, number, true), NOTICE_SENT);
    ck_assert_int_eq(end_attempt(key, number, true), NOTICE_NOTHING);
    expect("SELECT attempts FROM notice WHERE next_us = 0 AND is_sent AND ended_us > 0", "2");
    ck_assert_int_eq(lease(key), 0);
    ck_assert_int_eq(lease("there is none"), 0);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("desk");

    tcase_add_checked_fixture(cases, begin, service_end);
    tcase_add_test(cases, an_alert_is_acknowledged);
    tcase_add_test(cases, an_acknowledgement_leaves_the_end_alone);
    tcase_add_test(cases, a_repair_begins_and_ends);
    tcase_add_test(cases, a_repair_of_no_alert_is_none);
    tcase_add_test(cases, a_dead_letter_is_asked_for_again);
    tcase_add_test(cases, alerts_are_listed);
    tcase_add_test(cases, an_alert_is_shown_with_its_repairs);
    tcase_add_test(cases, dead_letters_are_listed_and_shown);
    tcase_add_test(cases, a_long_dead_letter_is_shown_in_part);
    tcase_add_test(cases, a_notice_is_leased_and_ends);
    return service_fixture_check(&alerts_parts, "alerts_desk", cases);
}
