/* alert_event.h -- What the events of alerts say: docs/events/alerts.*.schema.json.
 *
 * Thread    Plain data.
 * Memory    The payload is in the caller's writer, which is reset before.
 * Units     *_us microseconds since 1970 UTC; payloads have RFC 3339.
 */
#ifndef ALERT_EVENT_H
#define ALERT_EVENT_H

#include "alerts/watch.h"

#include "mesh/base/json.h"

/* Aggregate types and types of rows of event. */
#define ALERT_AGGREGATE "alert"
#define ALERT_RAISED "alert.raised"
#define ALERT_RESOLVED "alert.resolved"
#define SILENCE_AGGREGATE "relay_silent"
#define SILENCE_RAISED "relay_silent.raised"
#define SILENCE_RESOLVED "relay_silent.resolved"

/* partition: of its news. */
void alert_event_write(const struct watch_alert *alert, int32_t partition, int64_t detected_us,
                       struct json_writer *writer);

/* A source that is not heard, or is heard again. */
struct silence {
    struct uuid alert_id;
    const char *source; /* "order-svc" */
    bool is_resolved;
    int64_t heard_us; /* up to then all its news is known; 0: it was never heard */
    int64_t allowed_us;
    int64_t occurred_us, detected_us;
};
void silence_event_write(const struct silence *silence, struct json_writer *writer);

#endif
