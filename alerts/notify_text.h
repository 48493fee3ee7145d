/* notify_text.h -- A notice as its destination takes it: an HTTP body and its headers. No I/O here.
 *
 *   standard-webhooks  {"type":"alert.raised","timestamp":"...","data":{...}} and a signature (Standard Webhooks
 *                      1.0.0); data is the alert's event, as on Kafka. webhook-id is the same in each attempt
 *   slack              {"text":"..."}: a line of what disagrees, and what to do
 *
 * Thread    Plain data.
 * Memory    In the arena given.
 */
#ifndef ALERTS_NOTIFY_TEXT_H
#define ALERTS_NOTIFY_TEXT_H

#include "alerts/notify.h"

enum { NOTIFY_HEADERS = 4 };

/* A notice that is due, with its alert. */
struct notice_due {
    const char *key;
    struct uuid alert_id;
    const char *state, *destination;
    int64_t made_us;
    const char *rule, *severity, *subject;
    const char *payload, *resolved_payload;
};

struct notify_message {
    const char *body;
    const char *headers[NOTIFY_HEADERS]; /* "Name: value" */
    size_t header_count;
};

/* now_us: of this attempt. False: libcrypto could not sign. */
bool notify_message_make(const struct notify_destination *destination, const struct notice_due *due,
                         int64_t now_us, struct arena *arena, struct notify_message *ret_message);

#endif
