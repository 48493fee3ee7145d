/* silence.h -- A source that no shard hears is an alert: one, however many shards and replicas see it.
 *
 * Shards say of each source what they hear of it in their partition (alert_source). A task looks at all of them, and
 * makes an op where a source fell silent, or is heard again; the row of the source is locked by it, so that the alert is
 * raised once and resolved once, with its event and its notices.
 *
 * A partition of which no shard has said anything for silent_us and half a minute is silent too: no member reads it. After
 * an outage of this program's own database that looks so for a moment; what is to be believed must be seen for
 * SILENCE_SEEN_US.
 *
 * Thread    silence_look: the keeper's. touch, decide: the store thread. silence_step: any.
 * Units     *_us microseconds; times are of since 1970 UTC, but for silence_step's, which are steady.
 */
#ifndef ALERTS_SILENCE_H
#define ALERTS_SILENCE_H

#include "alerts/desk.h"
#include "mesh/store/op.h"

#define SILENCE_SEEN_US (3 * SECOND_US)
#define SILENCE_UNREAD_US (30 * SECOND_US)

struct silence_row {
    const char *source;   /* first */
    struct uuid alert_id; /* nil: it speaks */
};

/* The source fell silent, or speaks again. */
struct change_silence {
    struct op op; /* op.id is the new alert's */
    const char *source;
    struct uuid alert_id; /* that is open; nil: it is to be raised */
    int64_t heard_us, silent_us;
    const struct notice_row *notices; /* of the alert's new state */
    size_t notice_count;
    bool *ret_is_changed; /* once it is committed: its alert was raised, or resolved */
};

/* A run of the task; owner begins with a struct alert_desk. */
enum error silence_look(void *owner, struct pg *pg, struct arena *arena);

/* What a look has seen of a source, and whether it has been silent for long enough to be raised. */
bool silence_step(struct desk_source *source, bool is_silent, int64_t steady_us);

/* Its metrics are there, with 0, before anything is silent. */
void silence_meter(struct metrics *metrics);

/* "order-svc,account-svc" to names. BAD_REQUEST, which is logged. */
enum error silence_sources_read(const char *list, struct alert_desk *desk);

extern const struct pg_statement silences_find;

#endif
