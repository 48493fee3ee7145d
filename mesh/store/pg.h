/* pg.h -- One PostgreSQL connection, and the statements that go over it in rounds.
 *
 * A round is one network round trip: any number of prepared statements, pipelined. A statement takes
 * many rows at once, as one array per column (unnest), or one row of scalars.
 *
 * Thread    A struct pg belongs to the thread that uses it. No other thread may touch it.
 * Memory    Statements and column tables are static. Result rows live in the caller's arena.
 * Errors    ERR_OK, or
 *             ERR_STORE_DOWN  no connection, or it died before COMMIT was sent: nothing happened. No server
 *                             of those in conninfo can be written, or is of the newest timeline
 *             ERR_CONFLICT    another writer was first (unique violation, deadlock, serialization
 *                             failure, lock timeout): roll back and run it again
 *             ERR_INTERNAL    any other SQL error: a defect in a statement or in its rows
 *             ERR_UNCERTAIN   the connection died in COMMIT: it may or may not have happened
 *           pg.c logs the server's own words once, with the statement's name; callers do not.
 *           SQL that the server cannot prepare is a defect, or a missing schema, and ends the program.
 * Units     *_us microseconds since 1970 UTC.
 */
#ifndef MESH_STORE_PG_H
#define MESH_STORE_PG_H

#include "mesh/base/arena.h"
#include "mesh/base/error.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PG_CONNECT_SECONDS_MAX = 2,
    PG_ROUND_US_MAX = 20 * 1000 * 1000, /* a round that takes longer is a dead server */
    PG_PLANS_US = 60 * 1000 * 1000,     /* plans are made anew this often: statistics move on */
    PG_COLUMNS_MAX = 40,
    PG_STEPS_MAX =
        32, /* of a round; the tables of a batch are the most (batch_rows_sql.c, write_health.c) */
};

struct pg;

/* How a field of a C struct travels. */
enum pg_type {
    PG_INT4 = 1, /* int32_t */
    PG_INT8,     /* int64_t or uint64_t */
    PG_BOOL,     /* bool */
    PG_UUID,     /* struct uuid */
    PG_TEXT,     /* const char *, NUL-terminated; NULL is SQL NULL */
    PG_BYTES,    /* struct pg_bytes */
};

struct pg_bytes {
    const uint8_t *data; /* NULL is SQL NULL */
    size_t count;
};

/* Ties a field to a parameter, or to the result column of the same position. */
struct pg_column {
    const char *name;
    enum pg_type type;
    size_t offset;
};
/* clang-format off */
#define PG_COLUMN(row, field, type) { #field, type, offsetof(row, field) }
/* clang-format on */

struct pg_statement {
    const char *name; /* prepared under this name, once per connection */
    const char *sql;
    const struct pg_column *in;  /* $1, $2, ...; NULL or ends with a row of zeros */
    bool is_single;              /* the parameters are scalars of one row, not arrays of many */
    const struct pg_column *out; /* NULL when nothing comes back */
    size_t out_bytes;            /* of a result row */
};

/* One statement of a round, and what came back. */
struct pg_step {
    const struct pg_statement *statement;
    const void *const *rows; /* pointers to the parameter rows; NULL where it has no parameters */
    size_t count;
    void *ret_rows;     /* array of statement->out_bytes each */
    size_t ret_count;   /* rows returned */
    size_t ret_changed; /* rows inserted, updated or deleted */
};

/* A copy of a row as the statement reads it, with its texts; fields that no column names are zero. */
void *pg_row_copy(const struct pg_statement *statement, const void *row, struct arena *arena);

/* Not connected yet. statements end with NULL; they and conninfo must outlive it, their list need not. */
struct pg *pg_new(const char *conninfo, const char *application,
                  const struct pg_statement *const *statements);

struct metrics;

/* The connection, and what goes over it, count as this user's, with all others of the same user; before the
 * first connect. metrics NULL is fine. */
void pg_meter(struct pg *pg, struct metrics *metrics, const char *user);

/* How long a statement waits for a lock; before the first connect. Without this: 3 s. */
void pg_set_lock_timeout(struct pg *pg, int ms);

/* A round may take this long, and not PG_ROUND_US_MAX; once *is_over it is a dead server at once. */
void pg_be_patient(struct pg *pg, int64_t round_us, const atomic_bool *is_over);

/* NULL is fine; an open transaction is rolled back by the server. Returns NULL. */
struct pg *pg_free(struct pg *pg);

/* Connects and prepares, unless connected. After a failure the next tries within 100 ms fail at once,
 * so that callers hear quickly that the database is away. */
enum error pg_connect(struct pg *pg);

/* What one statement gives back; all zeros after an error. */
struct pg_answer {
    void *rows; /* array of statement->out_bytes each, in the arena */
    size_t count;
    size_t changed; /* rows inserted, updated or deleted */
};

/* Connects, unless connected, and runs one statement by itself, outside a transaction (asserted). row: its
 * one row of parameters; NULL: it has none. ret_answer may be NULL. */
enum error pg_ask(struct pg *pg, const struct pg_statement *statement, const void *row,
                  struct arena *arena, struct pg_answer *ret_answer);

/* Runs the steps, PG_STEPS_MAX at most (asserted), in one round trip; with begin, in a new transaction. On
 * an error the transaction is gone or must be rolled back by pg_rollback(). */
enum error pg_round(struct pg *pg, bool begin, struct pg_step *steps, size_t step_count,
                    struct arena *arena);

enum error pg_commit(struct pg *pg);
void pg_rollback(struct pg *pg);

/* What more is known of the last error of a round or script. */
enum pg_why {
    PG_WHY_OTHER,
    PG_WHY_DUPLICATE,    /* CONFLICT: a unique violation */
    PG_WHY_LOCKED,       /* CONFLICT: lock_timeout has passed: another keeps the table locked */
    PG_WHY_ROW_LOCKED,   /* CONFLICT: the same, a row */
    PG_WHY_NO_PARTITION, /* INTERNAL: a row's partition is not there */
};
enum pg_why pg_why(const struct pg *pg);

/* The statement that it befell; NULL: none of ours (BEGIN, COMMIT). */
const struct pg_statement *pg_failed_statement(const struct pg *pg);

/* Closes a connection that is in doubt; the next pg_connect() opens another. */
void pg_disconnect(struct pg *pg);

/* The backend's process id, by which a caller knows whether the session is still the same. 0: not connected. */
int pg_backend_pid(const struct pg *pg);

/* Connects, unless connected, and runs statements one after the other, which are one transaction; their results are thrown
 * away. name: for the log. */
enum error pg_script(struct pg *pg, const char *name, const char *sql);

/* For tools and tests: plain SQL, results thrown away; or its first column as text in arena. */
enum error pg_run(struct pg *pg, const char *sql);
enum error pg_text(struct pg *pg, const char *sql, struct arena *arena, const char **ret_text);

#endif
