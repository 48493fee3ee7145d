/* batch.h -- Many ops, one transaction: load, decide, save, COMMIT, answer.
 *
 * The store thread takes what waits (up to a limit), never waiting for company, and
 *   BEGIN
 *     load    the rows that the ops' `touch` named, table by table in one fixed order, locked in key
 *             order; among them the records of these ids, if they were here before
 *     decide  each op in arrival order, plain C; a later one sees the earlier one's effect. An op with
 *             a record is not decided again: it gets the recorded answer, or ID_REUSED
 *     answer  what the op reports, from the rows: the same the first time and every other time
 *     save    new rows by INSERT ... ON CONFLICT DO NOTHING, changed rows by UPDATE, events appended,
 *             all set-based and in key order; must touch exactly the rows decided
 *   COMMIT
 *   then calls are finished.
 * A short row count, a unique violation, a deadlock: another writer was first; the batch runs again.
 * A row that another transaction keeps locked (mesh/store/batch_aside.h): its calls are set aside and asked
 * again, the others go on. A partition that is missing is made, and the batch runs again.
 * Another SQL error: op by op, and the guilty one gets INTERNAL. Connection lost in COMMIT: the same
 * batch again, which is safe because every op has its record; UNCERTAIN only once the deadline passes,
 * or BATCH_DOUBT_US_MAX. While such a batch finds no database, whoever waits behind it, or comes, is
 * answered STORE_DOWN at once.
 *
 * Thread    batch_open/stop/close: main. batch_submit: any. Table callbacks and methods' touch,
 *           decide, answer: the store thread. Locks are for truth: any number of processes may do this
 *           on one database.
 * Memory    Rows live in the batch's arena until the calls are finished.
 * Errors    Calls are answered BUSY (queue full, so many wait that the deadline would pass first, or a row is locked for too long), STORE_DOWN, STOPPING, EXPIRED (deadline passed
 *           before its transaction began), INTERNAL: nothing was done. Or UNCERTAIN.
 */
#ifndef MESH_STORE_BATCH_H
#define MESH_STORE_BATCH_H

#include "mesh/base/call.h"
#include "mesh/store/partition.h"
#include "mesh/store/pg.h"

struct event; /* mesh/store/event.h */

enum {
    BATCH_TABLES_MAX = 8,
    BATCH_ATTEMPTS_MAX = 20,               /* runs of one batch against other writers */
    BATCH_DOUBT_US_MAX = 10 * 1000 * 1000, /* a COMMIT in doubt is looked into, at most */
    BATCH_LOCK_MS = 250, /* for a lock; longer than another replica's batch takes */
};

/* What a row is found by. */
enum batch_key {
    BATCH_KEY_UUID, /* struct uuid */
    BATCH_KEY_TEXT, /* const char * */
};

/* A table of rows that ops touch. Tables are loaded, locked and saved in the order given; `follow`
 * may name rows of later tables only. */
struct batch_table {
    const char *name;
    size_t row_bytes;
    enum batch_key key;
    size_t key_offset;                 /* of the key in the row */
    const struct pg_statement *load;   /* one parameter, the key; locks in key order */
    const struct pg_statement *locked; /* BATCH_LOCKED; NULL: load locks nothing */
    const struct pg_statement *insert; /* NULL: rows are never made here */
    const struct pg_statement *update; /* NULL: rows never change */
    /* Rows begin with a struct batch_record and are found by the ops' ids. */
    bool is_record;
    /* Names more rows, once a row is loaded. NULL: none. */
    void (*follow)(const void *row, struct batch_touch *touch);
};

enum { BATCH_PLACES = 65536 }; /* by so many a sequence goes on that numbers records: see place */

/* A row that a BATCH_LOCKED statement found: it is there, and another transaction has it locked. */
struct batch_locked {
    struct uuid id;  /* of a table by uuid */
    const char *key; /* of a table by text */
    int32_t pid;     /* of the backend that has it; 0: unknown */
};

/* Defines such a statement, after `static` or not. It locks those of the keys that are free, waiting for nothing, and returns
 * the others, so that the load that follows does not wait either. */
/* clang-format off */
#define BATCH_LOCKED(variable, table, column, key_type)                                            \
    const struct pg_statement variable = {                                                         \
        .name = #variable,                                                                         \
        .sql = "WITH free AS MATERIALIZED ("                                                       \
               "SELECT t." column " FROM unnest($1::" BATCH_SQL_##key_type "[]) AS k(key)"         \
               " JOIN " table " t ON t." column " = k.key FOR UPDATE OF t SKIP LOCKED)"            \
               " SELECT t." column ", coalesce((SELECT l.pid FROM pg_locks l"                      \
               " WHERE l.locktype = 'transactionid' AND l.granted AND l.transactionid = t.xmax"    \
               " LIMIT 1), 0) FROM unnest($1::" BATCH_SQL_##key_type "[]) AS k(key)"               \
               " JOIN " table " t ON t." column " = k.key"                                         \
               " WHERE NOT EXISTS (SELECT FROM free WHERE free." column " = t." column ")",        \
        .in = batch_in_##key_type,                                                                 \
        .out = batch_out_##key_type,                                                               \
        .out_bytes = sizeof(struct batch_locked),                                                  \
    }
/* clang-format on */
#define BATCH_SQL_UUID "uuid"
#define BATCH_SQL_TEXT "text"
extern const struct pg_column batch_in_UUID[], batch_in_TEXT[], batch_out_UUID[], batch_out_TEXT[];

/* An op's record: its decision, written once with its effect. */
struct batch_record {
    struct uuid id;
    uint64_t fingerprint; /* 0: a tombstone, left by the undo of what never arrived */
    const char *reason;   /* "" accepted; else problem_recall() */
    const char *detail;   /* of problem_detail() */
    /* of one that the batch adds, among those, as they were decided; not stored by itself */
    int64_t place;
};

struct batch_service {
    const char *name;
    const struct batch_table *tables;
    size_t table_count;
    bool has_events;
    /* After COMMIT, before the calls are answered: the service's own follow-up, from memory (no I/O).
     * NULL: none. */
    void (*committed)(void *owner, const struct batch_rows *rows);
    void *owner; /* and op->owner of what it decides */
};

struct batch_options {
    const struct batch_service *service;
    const char *conninfo;
    void (*news)(void *owner); /* after a commit with events; store thread; NULL: not told */
    void *news_owner;
    const struct partitions *partitions; /* made when one is missing; NULL: none */
    /* Whether a transaction was written; store thread; NULL: not told */
    void (*wrote)(void *owner, bool is_written);
    void *wrote_owner;
    struct metrics *metrics; /* NULL: nothing is counted */
    size_t queue_max;        /* calls that wait */
    size_t batch_max;        /* calls of one transaction */
};

struct batch;

/* Starts the store thread. It connects when the first call comes. */
struct batch *batch_open(const struct batch_options *options);

/* Takes the call; answers BUSY or STOPPING at once when it cannot. Fits rpc_service.submit. */
void batch_submit(void *batch, struct call *call);

/* The same without the limit: background work of the program itself. */
void batch_submit_always(struct batch *batch, struct call *call);

/* No more calls; what waits is done; the thread ends. */
void batch_stop(struct batch *batch);
struct batch *batch_close(struct batch *batch);

/* The store thread's work without the thread: for tests, and for tools with an op or two. Decides
 * and answers count calls over pg, in batches of one transaction. */
struct pg *batch_pg_new(const struct batch_service *service, const char *conninfo);
void batch_run(const struct batch_service *service, struct pg *pg, struct call **calls,
               size_t count);

/* ---- for touch and follow ---- */

void batch_touch_uuid(struct batch_touch *touch, size_t table, struct uuid id);
void batch_touch_text(struct batch_touch *touch, size_t table, const char *key);

/* ---- for decide and answer ---- */

/* The row, or NULL when there is none. It must have been touched (asserted). */
void *batch_find_uuid(struct batch_rows *rows, size_t table, struct uuid id);
void *batch_find_text(struct batch_rows *rows, size_t table, const char *key);

/* A new row, zeroed but for its key; saved with the batch. There must be none (asserted). Text
 * fields that are left NULL are saved as NULL. */
void *batch_add_uuid(struct batch_rows *rows, size_t table, struct uuid id);
void *batch_add_text(struct batch_rows *rows, size_t table, const char *key);

/* The row was changed in place; saved with the batch. */
void batch_changed(struct batch_rows *rows, void *row);

/* Fills a new row's record from a decided op: id, fingerprint, reason, detail. */
void batch_record_fill(struct batch_rows *rows, struct batch_record *record, const struct op *op);

/* News: appended to the event table in this transaction. The event and its texts are copied. */
void batch_event(struct batch_rows *rows, const struct event *event);

/* Memory that lives as long as the rows; and a text copied there. What a row points to must be there,
 * never in the op: another call of the batch may report the row after this one's call is gone. */
struct arena *batch_arena(struct batch_rows *rows);
const char *batch_keep(struct batch_rows *rows, const char *text);

/* ---- for committed ---- */

enum batch_row_state { BATCH_ROW_LOADED, BATCH_ROW_NEW, BATCH_ROW_CHANGED };

/* Walks the saved rows of a table; *cursor starts at 0. NULL at the end. */
const void *batch_saved_next(const struct batch_rows *rows, size_t table, size_t *cursor,
                             enum batch_row_state *ret_state);

#endif
