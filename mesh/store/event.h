/* event.h -- News: appended in the transaction that makes it true, relayed from there.
 *
 * The table is append-only and has Debezium's column names (id, aggregatetype, aggregateid, type,
 * payload), so that its event router can stand in for our relay. `seq` is drawn inside the
 * transaction, under the locks; `version` is the aggregate's own, by which consumers order.
 *
 * Memory    Texts are the caller's; batch_event() copies them.
 * Units     time_us: the transaction's now().
 */
#ifndef MESH_STORE_EVENT_H
#define MESH_STORE_EVENT_H

#include "mesh/base/uuid.h"
#include "mesh/store/pg.h"

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

#endif
