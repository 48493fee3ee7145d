#include "alerts/notify_text.h"
#include "alerts/rule.h"
#include "mesh/base/clock.h"
#include "mesh/base/json.h"
#include "mesh/base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool
is_raised(const struct notice_due *due)
{
    return strcmp(due->state, "raised") == 0;
}

/* ---- Standard Webhooks ---- */

static const char *
webhook_body(const struct notice_due *due, struct arena *arena)
{
    const char *data = is_raised(due) ? due->payload : due->resolved_payload;
    struct json_writer writer = { 0 };
    char time[TIME_TEXT_BYTES + 1];
    const char *body;

    json_open_object(&writer, NULL);
    json_put_text(&writer, "type", is_raised(due) ? "alert.raised" : "alert.resolved");
    json_put_text(&writer, "timestamp", time_print(due->made_us, time));
    json_put_raw(&writer, "data", data, strlen(data));
    json_close_object(&writer);
    body = arena_copy(arena, writer.text, writer.bytes);
    json_writer_free(&writer);
    return body;
}

/* The id is of the alert and its state, so that a receiver knows what it has seen before. The time is the attempt's: an
 * old one would be refused. */
static bool
webhook_sign(const struct notify_destination *destination, const struct notice_due *due,
             int64_t now_us, struct arena *arena, struct notify_message *message)
{
    char id[UUID_TEXT_BYTES + 16], alert[UUID_TEXT_BYTES + 1], timestamp[24];
    char signature[SIGNATURE_TEXT_BYTES + 1];

    snprintf(id, sizeof id, "%s-%s", uuid_print(due->alert_id, alert), due->state);
    snprintf(timestamp, sizeof timestamp, "%" PRId64, now_us / SECOND_US);
    if (!signature_print(&destination->key, id, timestamp, message->body, strlen(message->body),
                         signature))
        return false;
    message->headers[message->header_count++] = arena_print(arena, "webhook-id: %s", id);
    message->headers[message->header_count++] =
        arena_print(arena, "webhook-timestamp: %s", timestamp);
    message->headers[message->header_count++] =
        arena_print(arena, "webhook-signature: %s", signature);
    return true;
}

/* ---- Slack ---- */

/* Slack reads "<...>" as links and commands, and "&" as the beginning of an entity. */
static const char *
slack_escape(const char *text, struct arena *arena)
{
    char *escaped = arena_take(arena, 5 * strlen(text) + 1), *at = escaped;

    for (; *text != '\0'; text++) {
        const char *entity = *text == '&'   ? "&amp;"
                             : *text == '<' ? "&lt;"
                             : *text == '>' ? "&gt;"
                                            : NULL;

        if (entity == NULL)
            *at++ = *text;
        else
            at = stpcpy(at, entity);
    }
    *at = '\0';
    return escaped;
}

static const char *
slack_body(const struct notice_due *due, struct arena *arena)
{
    const struct rule *rule = rule_find(due->rule);
    struct json_writer writer = { 0 };
    char alert[UUID_TEXT_BYTES + 1];
    const char *text, *body;

    uuid_print(due->alert_id, alert);
    if (is_raised(due))
        text = arena_print(
            arena, "%s %s of %s: %s.\nWhat to do: %s.\nsagactl alerts show %s; runbook %s",
            due->rule, due->severity, due->subject, rule == NULL ? "see the alert" : rule->because,
            rule == NULL ? "see the alert" : rule->action, alert,
            rule == NULL ? "docs/OPERATING.md" : rule->runbook);
    else
        text = arena_print(arena, "%s of %s is resolved.\nsagactl alerts show %s", due->rule,
                           due->subject, alert);
    json_open_object(&writer, NULL);
    json_put_text(&writer, "text", slack_escape(text, arena));
    json_close_object(&writer);
    body = arena_copy(arena, writer.text, writer.bytes);
    json_writer_free(&writer);
    return body;
}

bool
notify_message_make(const struct notify_destination *destination, const struct notice_due *due,
                    int64_t now_us, struct arena *arena, struct notify_message *ret_message)
{
    *ret_message = (struct notify_message){ .headers = { "Content-Type: application/json" },
                                            .header_count = 1 };
    if (destination->form == NOTIFY_SLACK) {
        ret_message->body = slack_body(due, arena);
        return true;
    }
    ret_message->body = webhook_body(due, arena);
    return webhook_sign(destination, due, now_us, arena, ret_message);
}
