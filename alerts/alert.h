/* alert.h -- What people do about alerts: they acknowledge one, and repair what it tells of. No I/O here.
 *
 * An alert is raised and resolved by news alone (alert_store.h, silence.h); people change nothing of that. What
 * they do is recorded, with who did it and why.
 *
 * Thread    touch, decide, answer: the store thread (mesh/store/batch.h).
 * Units     *_us microseconds since 1970 UTC.
 */
#ifndef ALERTS_ALERT_H
#define ALERTS_ALERT_H

#include "alerts/alert_store.h"
#include "mesh/store/op.h"
#include "mesh/store/reader.h"

enum {
    OPERATOR_BYTES_MAX = 64,
    OPERATOR_REASON_BYTES_MAX = 200,
    REPAIR_OUTCOME_BYTES_MAX = 4000,
    REPAIRS_SHOWN_MAX = 100,
    AGE_SECONDS_MAX = 10 * 366 * 24 * 3600,
};

/* Tables in the order of loading, locking and saving. */
enum alert_table {
    ALERT_OP,
    ALERT_REPAIR,
    ALERT_SILENCE,
    ALERT_ALERT,
    ALERT_NOTICE,
    ALERT_LETTER,
};

struct alert_row {
    struct alert_raise raise; /* first */
    const char *resolved_payload;
    int64_t resolved_us;
    int64_t acknowledged_us;
    const char *acknowledged_by, *acknowledged_reason;
};

struct repair_row {
    struct batch_record record; /* first */
    struct uuid alert_id;
    const char *by, *why;
    int64_t begun_us, ended_us;
    bool is_done;
    const char *outcome;
};

/* ---- ops ---- */

struct acknowledge_alert {
    struct op op;
    struct uuid alert_id;
    const char *by, *why;
    struct alert_row alert; /* result */
};

struct begin_repair {
    struct op op; /* op.id is the repair's */
    struct uuid alert_id;
    const char *by, *why;
    int64_t begun_us; /* result */
};

struct end_repair {
    struct op op;
    struct uuid repair_id;
    bool is_done;
    const char *outcome;
    int64_t ended_us; /* result */
};

void acknowledge_alert_touch(const void *op, struct batch_touch *touch);
void acknowledge_alert_decide(void *op, struct batch_rows *rows);
void acknowledge_alert_answer(void *op, struct batch_rows *rows);
void begin_repair_touch(const void *op, struct batch_touch *touch);
void begin_repair_decide(void *op, struct batch_rows *rows);
void begin_repair_answer(void *op, struct batch_rows *rows);
void end_repair_touch(const void *op, struct batch_touch *touch);
void end_repair_decide(void *op, struct batch_rows *rows);
void end_repair_answer(void *op, struct batch_rows *rows);

/* ---- reads ---- */

struct list_alerts {
    struct op op;
    bool is_open_only;
    const char *rule;      /* "" of all */
    int64_t until_us;      /* found then or before */
    struct uuid before_id; /* nil: from the newest */
    int32_t page_size;
    struct alert_row *alerts; /* result; without payloads */
    size_t count;
    bool has_more;
};

struct get_alert {
    struct op op; /* op.id is the alert's */
    struct alert_row alert;
    const struct repair_row *repairs; /* oldest first, REPAIRS_SHOWN_MAX at most */
    size_t repair_count;
};

extern const struct batch_service alert_service; /* alert_table.c */
extern const struct read alert_reads[];
extern const struct pg_statement *const desk_statements[]; /* of reads and tasks */
extern const struct method alert_methods[];                /* alert_rpc.c */

#endif
