/* event.h -- News: appended in the transaction that makes it true, relayed from there.
 *
 * The table is append-only and has Debezium's column names (id, aggregatetype, aggregateid, type,
 * payload), so that its event router can stand in for our relay. `seq` is drawn inside the
 * transaction, under the locks; `version` is the aggregate's own, by which consumers order.
 *
 * Who writes events is a writer from before it takes its time until its transaction has ended: it holds
 * the shared advisory lock EVENT_LOCK_CLASS, EVENT_LOCK_WRITER (mesh/store/horizon.h says what for).
 *
 * Memory    Texts are the caller's; batch_event() copies them.
 * Units     time_us: the batch's time (store_now_us), taken with the lock.
 */
#ifndef MESH_STORE_EVENT_H
#define MESH_STORE_EVENT_H

#include "mesh/base/uuid.h"
#include "mesh/store/pg.h"

/* Numbers of advisory locks of a service's database, as mesh.sql has them. */
#define EVENT_LOCK_CLASS "1296388936" /* "MESH" */
#define EVENT_LOCK_WRITER "1"
#define EVENT_LOCK_RELAY "2" /* who has it sends the news */

struct event {
    struct uuid id;            /* filled by batch_event() */
    const char *aggregatetype; /* routes: "order" */
    struct uuid aggregateid;   /* names the partition by its time */
    int32_t version;           /* 1, 2, 3, ... of this aggregate */
    const char *type;          /* "order.paid" */
    const char *payload;       /* JSON */
    int64_t time_us;
    const char *traceparent;
};

extern const struct pg_statement event_append;

/* For a writer that takes no lock before: the time of a row is when it is inserted, if that is later. So it is behind
 * no heartbeat, also when what was decided long ago is written. */
extern const struct pg_statement event_append_late;

#endif
