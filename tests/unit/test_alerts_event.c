/* test_alerts_event.c -- The payloads of alerts' events are, byte by byte, the examples in docs/events/examples/.
 *
 * tests/e2e/test_alerts_schema.py holds the examples against the schemas.
 */
#include "alerts/alert_event.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

#define AT_US INT64_C(1763718000123456)

static struct uuid
id_of(const char *text)
{
    struct uuid id;

    ck_assert(uuid_parse(text, UUID_TEXT_BYTES, &id));
    return id;
}

static struct watch_alert
alert_of(enum rule_id rule)
{
    return (struct watch_alert){ .rule = rule,
                                 .order_id = id_of("019aa5f0-1c7b-7abc-8def-0123456789ab"),
                                 .occurred_us = AT_US,
                                 .order_event_id = id_of("019aa5f0-2c7b-7abc-8def-0123456789ab"),
                                 .payment_id = id_of("019aa5f0-3c7b-8abc-8def-0123456789ab"),
                                 .payment_event_id = id_of("019aa5f0-4c7b-7abc-8def-0123456789ab"),
                                 .topic = NEWS_PAYMENT,
                                 .place = 4711 };
}

static void
write_raised_a(struct json_writer *writer)
{
    struct watch_alert alert = alert_of(RULE_A);

    alert.id = rule_alert_id(RULE_A, alert.order_id, alert.payment_event_id);
    alert.order_word = WORD_WAITING_PAYMENT;
    alert.payment_word = WORD_PAYMENT_SUCCEEDED;
    alert_event_write(&alert, 3, AT_US + 301 * SECOND_US, writer);
}

/* No payment was heard of. */
static void
write_raised_b(struct json_writer *writer)
{
    struct watch_alert alert = alert_of(RULE_B);

    alert.id = rule_alert_id(RULE_B, alert.order_id, alert.order_event_id);
    alert.payment_id = alert.payment_event_id = (struct uuid){ { 0 } };
    alert.order_word = WORD_PAID;
    alert.topic = NEWS_ORDER;
    alert_event_write(&alert, 0, AT_US + 301 * SECOND_US, writer);
}

static void
write_resolved_c(struct json_writer *writer)
{
    struct watch_alert alert = alert_of(RULE_C);

    alert.id = rule_alert_id(RULE_C, alert.order_id, alert.payment_event_id);
    alert.is_resolved = true;
    alert.order_word = WORD_FAILED;
    alert.payment_word = WORD_PAYMENT_REFUNDED;
    alert_event_write(&alert, 11, AT_US + SECOND_US, writer);
}

static void
write_silence(struct json_writer *writer, bool is_resolved, int64_t heard_us)
{
    const struct silence silence = { .alert_id = id_of("019aa5f0-5c7b-7abc-8def-0123456789ab"),
                                     .source = "order-svc",
                                     .is_resolved = is_resolved,
                                     .heard_us = heard_us,
                                     .allowed_us = 60 * SECOND_US,
                                     .occurred_us = AT_US,
                                     .detected_us = AT_US + 60 * SECOND_US };

    silence_event_write(&silence, writer);
}

static void
write_silent(struct json_writer *writer)
{
    write_silence(writer, false, AT_US);
}

static void
write_never_heard(struct json_writer *writer)
{
    write_silence(writer, false, 0);
}

static void
write_heard_again(struct json_writer *writer)
{
    write_silence(writer, true, AT_US + 60 * SECOND_US);
}

static const struct {
    const char *example;
    void (*write)(struct json_writer *writer);
} payloads[] = {
    { "alerts.order_payment_inconsistency.raised_a", write_raised_a },
    { "alerts.order_payment_inconsistency.raised_b", write_raised_b },
    { "alerts.order_payment_inconsistency.resolved_c", write_resolved_c },
    { "alerts.relay_silent.raised", write_silent },
    { "alerts.relay_silent.never_heard", write_never_heard },
    { "alerts.relay_silent.resolved", write_heard_again },
};

START_TEST(a_payload_is_its_example)
{
    char name[CHECK_PATH_BYTES], path[CHECK_PATH_BYTES], example[4096];
    struct json_writer writer = { 0 };
    FILE *file;
    size_t bytes;

    snprintf(name, sizeof name, "docs/events/examples/%s.json", payloads[_i].example);
    check_path(name, path);
    file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    bytes = fread(example, 1, sizeof example - 1, file);
    fclose(file);
    example[bytes] = '\0';
    example[strcspn(example, "\n")] = '\0';
    payloads[_i].write(&writer);
    ck_assert_str_eq(writer.text, example);
    payloads[_i].write(&writer); /* from its begin */
    ck_assert_str_eq(writer.text, example);
    json_writer_free(&writer);
}
END_TEST

int
main(void)
{
    TCase *test = check_case("event");

    tcase_add_loop_test(test, a_payload_is_its_example, 0, ROWS(payloads));
    return check_run("alerts_event", test);
}
