/* alert_event.c -- JSON in the order of the schema's members. */
#include "alerts/alert_event.h"
#include "mesh/base/time.h"

static void
put_time(struct json_writer *writer, const char *key, int64_t time_us)
{
    char text[TIME_TEXT_BYTES + 1];

    json_put_text(writer, key, time_print(time_us, text));
}

static void
put_id(struct json_writer *writer, const char *key, struct uuid id)
{
    char text[UUID_TEXT_BYTES + 1];

    if (!uuid_is_nil(id))
        json_put_text(writer, key, uuid_print(id, text));
}

/* With what every alert's event begins. */
static void
begin(struct json_writer *writer, struct uuid id, const struct rule *rule, bool is_resolved)
{
    json_writer_reset(writer);
    json_open_object(writer, NULL);
    put_id(writer, "alertId", id);
    json_put_text(writer, "ruleId", rule->name);
    json_put_text(writer, "severity", rule->severity);
    json_put_text(writer, "status", is_resolved ? "resolved" : "raised");
}

static void
put_statuses(struct json_writer *writer, const char *key, const char *payment, const char *order)
{
    json_open_object(writer, key);
    json_put_text(writer, "paymentStatus", payment);
    json_put_text(writer, "orderStatus", order);
    json_close_object(writer);
}

static void
put_evidence(struct json_writer *writer, const struct watch_alert *alert, int32_t partition)
{
    json_open_object(writer, "evidence");
    put_id(writer, "orderEventId", alert->order_event_id);
    put_id(writer, "paymentId", alert->payment_id);
    put_id(writer, "paymentEventId", alert->payment_event_id);
    json_put_text(writer, "topic", news_topic(alert->topic));
    json_put_int(writer, "partition", partition);
    json_put_int(writer, "offset", alert->place);
    json_close_object(writer);
}

void
alert_event_write(const struct watch_alert *alert, int32_t partition, int64_t detected_us,
                  struct json_writer *writer)
{
    const struct rule *rule = &rules[alert->rule];

    begin(writer, alert->id, rule, alert->is_resolved);
    put_id(writer, "orderNo", alert->order_id);
    put_statuses(writer, "observed", news_word_text(alert->payment_word),
                 news_word_text(alert->order_word));
    put_statuses(writer, "expected", rule->expected_payment, rule->expected_order);
    put_evidence(writer, alert, partition);
    put_time(writer, "occurredAt", alert->occurred_us);
    put_time(writer, "detectedAt", detected_us);
    json_put_text(writer, "source", "kafka-alert");
    json_put_text(writer, "runbook", rule->runbook);
    json_close_object(writer);
}

void
silence_event_write(const struct silence *silence, struct json_writer *writer)
{
    const struct rule *rule = &rules[RULE_RELAY_SILENT];

    begin(writer, silence->alert_id, rule, silence->is_resolved);
    json_put_text(writer, "source", silence->source);
    json_open_object(writer, "observed");
    if (silence->heard_us != 0)
        put_time(writer, "heardUpTo", silence->heard_us);
    json_close_object(writer);
    json_open_object(writer, "expected");
    json_put_int(writer, "silentSecondsMax", silence->allowed_us / SECOND_US);
    json_close_object(writer);
    put_time(writer, "occurredAt", silence->occurred_us);
    put_time(writer, "detectedAt", silence->detected_us);
    json_put_text(writer, "runbook", rule->runbook);
    json_close_object(writer);
}
