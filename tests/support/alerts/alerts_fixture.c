#include "tests/support/alerts/alerts_fixture.h"

#include <stdio.h>

const struct service_parts alerts_parts = {
    .schema = "alerts/schema",
    .service = &alert_service,
    .methods = alert_methods,
    .reads = alert_reads,
    .statements = desk_statements,
};

struct test_call *
alerts_acknowledge(struct uuid id, struct uuid alert_id, const char *person, const char *why)
{
    ALERTS(AcknowledgeAlertRequest) request = ALERTS_INIT(ACKNOWLEDGE_ALERT_REQUEST);
    char text[UUID_TEXT_BYTES + 1], alert[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(id, text);
    request.alert_id = uuid_print(alert_id, alert);
    request.operator_ = (char *)person;
    request.reason = (char *)why;
    return service_call("AcknowledgeAlert", &request.base);
}

struct test_call *
alerts_begin(struct uuid id, struct uuid alert_id, const char *person, const char *why)
{
    ALERTS(BeginRepairRequest) request = ALERTS_INIT(BEGIN_REPAIR_REQUEST);
    char text[UUID_TEXT_BYTES + 1], alert[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(id, text);
    request.alert_id = uuid_print(alert_id, alert);
    request.operator_ = (char *)person;
    request.reason = (char *)why;
    return service_call("BeginRepair", &request.base);
}

struct test_call *
alerts_end(struct uuid id, struct uuid repair_id, bool is_done, const char *outcome)
{
    ALERTS(EndRepairRequest) request = ALERTS_INIT(END_REPAIR_REQUEST);
    char text[UUID_TEXT_BYTES + 1], repair[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(id, text);
    request.repair_id = uuid_print(repair_id, repair);
    request.is_done = is_done;
    request.outcome = (char *)outcome;
    return service_call("EndRepair", &request.base);
}

struct test_call *
alerts_resend(struct uuid id, struct uuid letter_id, const char *person, const char *why)
{
    ALERTS(ResendDeadLetterRequest) request = ALERTS_INIT(RESEND_DEAD_LETTER_REQUEST);
    char text[UUID_TEXT_BYTES + 1], letter[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(id, text);
    request.dead_letter_id = uuid_print(letter_id, letter);
    request.operator_ = (char *)person;
    request.reason = (char *)why;
    return service_call("ResendDeadLetter", &request.base);
}

static void
write_row(const struct pg_statement *statement, const void *row)
{
    struct pg *over = pg_new(fixture.conninfo, "shard", alert_statements);
    struct arena *arena = arena_new();

    const void *rows[] = { row };
    struct pg_step step = { .statement = statement, .rows = rows, .count = 1 };

    ck_assert_int_eq(pg_connect(over), ERR_OK);
    ck_assert_int_eq(pg_round(over, true, &step, 1, arena), ERR_OK);
    ck_assert_int_eq(pg_commit(over), ERR_OK);
    ck_assert_uint_eq(step.ret_changed, 1);
    arena_free(arena);
    pg_free(over);
}

void
alerts_raise(struct uuid id, const char *rule, int64_t detected_us)
{
    const struct alert_raise raise = { .id = id,
                                       .rule = rule,
                                       .severity = "high",
                                       .subject = "0190a5f0-1c7b-7abc-8def-0123456789ab",
                                       .payload = "{\"status\":\"raised\"}",
                                       .occurred_us = detected_us,
                                       .detected_us = detected_us };

    write_row(&alert_raise_insert, &raise);
}

void
alerts_resolve(struct uuid id, int64_t resolved_us)
{
    const struct alert_resolve resolve = { id, "{\"status\":\"resolved\"}", resolved_us };

    write_row(&alert_resolve_update, &resolve);
}

void
alerts_dead_letter(struct uuid id, const char *topic, int64_t place)
{
    static const uint8_t value[] = { 0xff, 0, 'x' };
    static const struct dead_header headers[] = {
        { { (const uint8_t *)"ce_id", 5 }, { (const uint8_t *)"7", 1 } },
        { { (const uint8_t *)"none", 4 }, { NULL, 0 } },
    };
    struct arena *arena = arena_new();
    const struct dead_letter_row row = { .id = id,
                                         .topic = topic,
                                         .part = 3,
                                         .place = place,
                                         .timestamp_ms = 1700000000123,
                                         .key = { (const uint8_t *)"key", 3 },
                                         .value = { value, sizeof value },
                                         .headers = dead_headers_pack(headers, 2, arena),
                                         .reason = "it is no JSON",
                                         .found_us = clock_now_us() };

    write_row(&dead_letter_insert, &row);
    arena_free(arena);
}

void
alerts_notice(struct uuid alert_id, const char *state, const char *destination, int64_t made_us)
{
    char key[128], id[UUID_TEXT_BYTES + 1];
    const struct notice_row row = { .key = key,
                                    .alert_id = alert_id,
                                    .state = state,
                                    .destination = destination,
                                    .made_us = made_us };

    snprintf(key, sizeof key, "%s/%s/%s", uuid_print(alert_id, id), state, destination);
    write_row(&notice_insert, &row);
}
