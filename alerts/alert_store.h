/* alert_store.h -- Rows that a shard's page writes beside the journal, and their statements.
 *
 * All of them may be written again: what is there already stays as it is.
 *
 * Thread    Statements are constant; rows belong to the thread that writes them.
 * Memory    Texts and bytes are the caller's.
 * Units     *_us microseconds since 1970 UTC.
 */
#ifndef ALERT_STORE_H
#define ALERT_STORE_H

#include "mesh/base/uuid.h"
#include "mesh/store/pg.h"

/* An alert that is raised; its event is another row, of mesh/store/event.h. */
struct alert_raise {
    struct uuid id;
    const char *rule, *severity;
    const char *subject; /* the order's number, or the source's name */
    const char *payload; /* of its event */
    int64_t occurred_us, detected_us;
};
extern const struct pg_statement alert_raise_insert;

/* What ends an alert that is open. */
struct alert_resolve {
    struct uuid id;
    const char *payload; /* of its event */
    int64_t resolved_us;
};
extern const struct pg_statement alert_resolve_update;

/* What people are to be told at one destination (notify_rows() makes them). */
struct notice_row {
    const char *key; /* "ALERT/STATE/DESTINATION" */
    struct uuid alert_id;
    const char *state; /* "raised", "resolved" */
    const char *destination;
    int64_t made_us; /* from then on it is due */
};
extern const struct pg_statement notice_insert;

/* A record that could not be read. */
struct dead_letter_row {
    struct uuid id; /* v7 */
    const char *topic;
    int32_t part;
    int64_t place;
    int64_t timestamp_ms;
    struct pg_bytes key, value; /* data NULL: none */
    struct pg_bytes headers;    /* dead_letter.h */
    const char *reason;
    int64_t found_us;
};
extern const struct pg_statement dead_letter_insert;

/* What a shard hears of a source. It is written when is_silent changes, and every few seconds. */
struct alert_source_row {
    const char *source; /* "order-svc" */
    int32_t shard;
    int64_t heard_us, checked_us;
    bool is_silent;
};
extern const struct pg_statement alert_source_save;

/* What was heard in partitions that are no more. */
struct alert_source_forget {
    int32_t partitions; /* the topics have so many */
};
extern const struct pg_statement alert_source_delete;

/* All of these, and that of events: what a page brings along. Ends with NULL. */
extern const struct pg_statement *const alert_statements[];

#endif
