#include "mesh/store/pg.h"
#include "mesh/base/clock.h"
#include "mesh/base/crash.h"
#include "mesh/base/die.h"
#include "mesh/base/log.h"
#include "mesh/observe/metrics.h"
#include "mesh/store/pg_hosts.h"
#include "mesh/store/pg_wait.h"
#include "mesh/store/pg_wire.h"

#include <assert.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECONNECT_US = 100 * 1000,
    LOCK_TIMEOUT_MS = 3000,
    SESSION_US = 5 * 1000 * 1000, /* a table that is locked takes LOCK_TIMEOUT_MS of it */
};

struct pg {
    const char *conninfo, *application;
    const struct pg_statement **statements; /* ends with NULL */
    PGconn *connection;                     /* NULL: not connected */
    int64_t failed_at_us, planned_at_us, round_us;
    const atomic_bool *is_over; /* NULL: rounds are not broken off */
    int lock_timeout_ms;
    struct pg_timeline timeline; /* of the server that is connected */
    bool was_connected, in_transaction;
    enum pg_why why; /* of the last error of a round, and its statement */
    const struct pg_statement *failed;
    struct pg_buffer buffer; /* parameters of the statement that is being sent */
    struct metric_series *connections, *connects, *losses,
        *round_trips; /* NULL: nothing is counted */
    bool is_counted;  /* in connections */
};

/* clang-format off */
static const struct metric_row connections_row = { "sagamesh_database_connections",       METRIC_GAUGE,   METRIC_NUMBER, "Connections that are open, by the part of the program that uses them.",            { "user" } };
static const struct metric_row connects_row    = { "sagamesh_database_connects_total",    METRIC_COUNTER, METRIC_NUMBER, "Connections made.",                                                                { "user" } };
static const struct metric_row losses_row      = { "sagamesh_database_lost_total",        METRIC_COUNTER, METRIC_NUMBER, "Connections that were lost, or could not be made.",                                { "user" } };
static const struct metric_row round_trips_row = { "sagamesh_database_round_trips_total", METRIC_COUNTER, METRIC_NUMBER, "Network round trips, each of any number of statements; COMMIT is one.",            { "user" } };
/* clang-format on */

/* Pinned plans: on growing tables the planner's own choices cost more than twice as much. The
 * time-outs end the locks of a replica that died, hangs, or whose host has gone without a word; keepalives
 * do so where nothing is under way. */
static const char session_sql[] =
    "SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off;"
    " SET enable_hashjoin = off; SET enable_mergejoin = off; SET lock_timeout = %d;"
    " SET idle_in_transaction_session_timeout = '10s'; SET synchronous_commit = on;"
    " SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;"
    " SET tcp_user_timeout = '10s';"
    " SET client_min_messages = warning; SET timezone = 'UTC'";

struct pg *
pg_new(const char *conninfo, const char *application, const struct pg_statement *const *statements)
{
    struct pg *pg = memory_take(sizeof *pg);
    size_t count = 0;

    while (statements != NULL && statements[count] != NULL)
        count++;
    pg->statements = memory_take((count + 1) * sizeof *pg->statements);
    for (size_t i = 0; i < count; i++)
        pg->statements[i] = statements[i];
    pg->conninfo = conninfo;
    pg->application = application;
    pg->failed_at_us = -RECONNECT_US;
    pg->lock_timeout_ms = LOCK_TIMEOUT_MS;
    pg->round_us = PG_ROUND_US_MAX;
    return pg;
}

void
pg_meter(struct pg *pg, struct metrics *metrics, const char *user)
{
    pg->connections = metrics_series(metrics, &connections_row, &user);
    pg->connects = metrics_series(metrics, &connects_row, &user);
    pg->losses = metrics_series(metrics, &losses_row, &user);
    pg->round_trips = metrics_series(metrics, &round_trips_row, &user);
    metric_add(pg->connections, 0); /* it is shown before there is one */
}

void
pg_set_lock_timeout(struct pg *pg, int ms)
{
    pg->lock_timeout_ms = ms;
}

void
pg_be_patient(struct pg *pg, int64_t round_us, const atomic_bool *is_over)
{
    pg->round_us = round_us;
    pg->is_over = is_over;
}

struct pg *
pg_free(struct pg *pg)
{
    if (pg == NULL)
        return NULL;
    pg_disconnect(pg);
    pg_buffer_free(&pg->buffer);
    free(pg->statements);
    free(pg);
    return NULL;
}

enum pg_why
pg_why(const struct pg *pg)
{
    return pg->why;
}

const struct pg_statement *
pg_failed_statement(const struct pg *pg)
{
    return pg->failed;
}

void
pg_disconnect(struct pg *pg)
{
    PQfinish(pg->connection);
    pg->connection = NULL;
    pg->in_transaction = false;
    metric_add(pg->connections, pg->is_counted ? -1 : 0);
    pg->is_counted = false;
}

int
pg_backend_pid(const struct pg *pg)
{
    return pg->connection == NULL ? 0 : PQbackendPID(pg->connection);
}

/* libpq's words end with a newline, and may have several lines; a log line has one. */
static const char *
one_line(const char *words, char line[256])
{
    snprintf(line, 256, "%s", words);
    line[strcspn(line, "\n")] = '\0';
    return line;
}

/* What the server says beside its answers; libpq would print it between our lines. */
static void
notice(void *context, const char *words)
{
    char line[256];

    (void)context;
    log_debug("database=says because=\"%s\"", one_line(words, line));
}

static struct pg_limit
limit_of(const struct pg *pg, int64_t round_us)
{
    return (struct pg_limit){ .until_us = clock_steady_us() + round_us, .is_over = pg->is_over };
}

static enum error
lost(struct pg *pg, enum error error, const char *what)
{
    char words[256];

    log_warn("database=away because=\"%s\" while=%s",
             one_line(pg_wait_words(pg->connection), words), what);
    metric_add(pg->losses, 1);
    pg_disconnect(pg);
    return error;
}

/* What an SQLSTATE means for the caller. */
static enum error
classify(const char *state)
{
    static const char *const again[] = { "40001", "40P01", "23505", "55P03" };

    if (state == NULL)
        return ERR_STORE_DOWN;
    for (size_t i = 0; i < sizeof again / sizeof *again; i++) {
        if (strcmp(state, again[i]) == 0)
            return ERR_CONFLICT;
    }
    if ((strncmp(state, "08", 2) == 0 && strcmp(state, "08P01") != 0) ||
        strncmp(state, "57", 2) == 0 || strncmp(state, "53", 2) == 0 ||
        strcmp(state, "25006") == 0 || strcmp(state, "25P03") == 0)
        return ERR_STORE_DOWN;
    return ERR_INTERNAL;
}

static bool
has_state(const PGresult *result, const char *wanted)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    return state != NULL && strcmp(state, wanted) == 0;
}

static enum pg_why
find_why(const PGresult *result)
{
    if (has_state(result, "23505"))
        return PG_WHY_DUPLICATE;
    if (has_state(result, "55P03")) /* only who waits for a row says which, as the context */
        return PQresultErrorField(result, PG_DIAG_CONTEXT) == NULL ? PG_WHY_LOCKED
                                                                   : PG_WHY_ROW_LOCKED;
    /* The same state as a CHECK that says no, which has a name. */
    if (has_state(result, "23514") && PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME) == NULL)
        return PG_WHY_NO_PARTITION;
    return PG_WHY_OTHER;
}

static enum error
judge(const PGresult *result, const char *name)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    enum error error = classify(state);
    enum pg_why why = find_why(result);
    char words[256];

    log_at(error != ERR_INTERNAL || why == PG_WHY_NO_PARTITION ? LOG_WARN : LOG_ERROR,
           "statement=%s sqlstate=%s answer=%s because=\"%s\"", name, state == NULL ? "-" : state,
           error_name(error), one_line(PQresultErrorMessage(result), words));
    return error;
}

static void
prepare_or_die(struct pg *pg, const struct pg_statement *statement, struct pg_limit limit,
               enum error *ret_error)
{
    bool was_sent = PQsendPrepare(pg->connection, statement->name, statement->sql, 0, NULL) == 1;
    PGresult *result = pg_wait_answer(pg->connection, was_sent, limit);

    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        *ret_error = judge(result, statement->name);
        if (*ret_error == ERR_INTERNAL)
            die("statement=%s because=\"it cannot be prepared: was %s --migrate=expand run?\"",
                statement->name, pg->application);
    }
    PQclear(result);
}

/* All of it within SESSION_US: a server may be frozen since it was connected. */
static enum error
set_up_session(struct pg *pg)
{
    struct pg_limit limit = limit_of(pg, SESSION_US);
    char sql[sizeof session_sql + 16];
    PGresult *result;
    enum error error = ERR_OK;

    snprintf(sql, sizeof sql, session_sql, pg->lock_timeout_ms);
    result = pg_wait_answer(pg->connection, PQsendQuery(pg->connection, sql) == 1, limit);

    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        error = judge(result, "session") == ERR_OK ? ERR_INTERNAL : ERR_STORE_DOWN;
    PQclear(result);
    for (size_t i = 0; error == ERR_OK && pg->statements[i] != NULL; i++)
        prepare_or_die(pg, pg->statements[i], limit, &error);
    if (error == ERR_OK && PQenterPipelineMode(pg->connection) != 1)
        error = ERR_STORE_DOWN;
    return error;
}

enum error
pg_connect(struct pg *pg)
{
    char words[PG_WORDS_BYTES], line[256];

    if (pg->connection != NULL)
        return ERR_OK;
    if (clock_steady_us() - pg->failed_at_us < RECONNECT_US)
        return ERR_STORE_DOWN;
    pg->connection = pg_hosts_connect(pg->conninfo, pg->application, &pg->timeline, words);
    if (pg->connection != NULL) {
        PQsetNoticeProcessor(pg->connection, notice, NULL);
        if (set_up_session(pg) != ERR_OK) {
            snprintf(words, sizeof words, "%s", pg_wait_words(pg->connection));
            pg_disconnect(pg);
        }
    }
    if (pg->connection == NULL) {
        if (pg->was_connected || pg->failed_at_us < 0)
            log_warn("database=away because=\"%s\"", one_line(words, line));
        pg->was_connected = false;
        pg->failed_at_us = clock_steady_us();
        metric_add(pg->losses, 1);
        return ERR_STORE_DOWN;
    }
    if (!pg->was_connected)
        log_info("database=connected backend=%d", PQbackendPID(pg->connection));
    pg->was_connected = true;
    pg->is_counted = true;
    metric_add(pg->connections, 1);
    metric_add(pg->connects, 1);
    pg->planned_at_us = clock_steady_us();
    return ERR_OK;
}

static bool
send_step(struct pg *pg, const struct pg_step *step)
{
    const struct pg_statement *statement = step->statement;
    const char *values[PG_COLUMNS_MAX];
    int lengths[PG_COLUMNS_MAX], formats[PG_COLUMNS_MAX], count;

    assert(!statement->is_single || statement->in == NULL || step->count == 1);
    count = pg_wire_write(&pg->buffer, statement->in, statement->is_single, step->rows, step->count,
                          values, lengths, formats);
    return PQsendQueryPrepared(pg->connection, statement->name, count, values, lengths, formats,
                               1) == 1;
}

/* Reads the answer of one statement: its result, then the NULL that ends it. */
static enum error
read_step(struct pg *pg, const char *name, struct pg_step *step, struct arena *arena,
          struct pg_limit limit)
{
    PGresult *result = NULL, *end = NULL;
    enum error error = ERR_OK;

    if (!pg_wait_result(pg->connection, limit, &result) || result == NULL) {
        PQclear(result);
        return lost(pg, ERR_STORE_DOWN, name);
    }
    switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
        if (step != NULL)
            pg_wire_read(result, step, arena);
        break;
    case PGRES_PIPELINE_ABORTED:
        error = ERR_CONFLICT; /* a statement before it failed; that one's error is the answer */
        break;
    default:
        error = judge(result, name);
        pg->why = find_why(result);
        pg->failed = step == NULL ? NULL : step->statement;
        if (has_state(result, "25006")) { /* read-only: it is the primary no more */
            PQclear(result);
            return lost(pg, ERR_STORE_DOWN, name);
        }
    }
    PQclear(result);
    if (!pg_wait_result(pg->connection, limit, &end)) {
        PQclear(end);
        return lost(pg, ERR_STORE_DOWN, name);
    }
    assert(end == NULL);
    return error;
}

static enum error
read_sync(struct pg *pg, struct pg_limit limit)
{
    PGresult *result = NULL;

    if (!pg_wait_result(pg->connection, limit, &result) ||
        PQresultStatus(result) != PGRES_PIPELINE_SYNC) {
        PQclear(result);
        return lost(pg, ERR_STORE_DOWN, "sync");
    }
    PQclear(result);
    return ERR_OK;
}

/* One plain command in a round of its own. */
static enum error
command(struct pg *pg, const char *sql)
{
    struct pg_limit limit = limit_of(pg, pg->round_us);
    enum error error, sync;

    metric_add(pg->round_trips, 1);
    if (PQsendQueryParams(pg->connection, sql, 0, NULL, NULL, NULL, NULL, 1) != 1 ||
        PQpipelineSync(pg->connection) != 1 || !pg_wait_flush(pg->connection, limit))
        return lost(pg, ERR_STORE_DOWN, sql);
    crash_point("pg.command-sent"); /* nearly all of them COMMITs */
    error = read_step(pg, sql, NULL, NULL, limit);
    if (pg->connection == NULL)
        return error;
    sync = read_sync(pg, limit);
    return error != ERR_OK ? error : sync;
}

static enum error
refresh_plans(struct pg *pg)
{
    if (clock_steady_us() - pg->planned_at_us < PG_PLANS_US)
        return ERR_OK;
    pg->planned_at_us = clock_steady_us();
    return command(pg, "DISCARD PLANS");
}

/* Another connection has met a newer primary: this server is none any more. */
static bool
leave_old(struct pg *pg)
{
    if (pg->timeline.number == 0 || pg_timeline_is_newest(pg->timeline))
        return false;
    log_warn("database=away because=\"a newer primary is known\"");
    pg_disconnect(pg);
    return true;
}

enum error
pg_round(struct pg *pg, bool begin, struct pg_step *steps, size_t step_count, struct arena *arena)
{
    struct pg_limit limit = limit_of(pg, pg->round_us);
    enum error first = ERR_OK, error;
    bool is_sent = true;

    assert(step_count <= PG_STEPS_MAX);
    pg->why = PG_WHY_OTHER;
    pg->failed = NULL;
    if (pg->connection == NULL)
        return ERR_STORE_DOWN;
    if (!pg->in_transaction && leave_old(pg))
        return ERR_STORE_DOWN;
    if (!pg->in_transaction && refresh_plans(pg) != ERR_OK)
        return ERR_STORE_DOWN;
    metric_add(pg->round_trips, 1);
    if (begin)
        is_sent = PQsendQueryParams(pg->connection, "BEGIN", 0, NULL, NULL, NULL, NULL, 1) == 1;
    for (size_t i = 0; is_sent && i < step_count; i++)
        is_sent = send_step(pg, &steps[i]);
    if (!is_sent || PQpipelineSync(pg->connection) != 1 || !pg_wait_flush(pg->connection, limit))
        return lost(pg, ERR_STORE_DOWN, "send");
    if (begin) {
        pg->in_transaction = true;
        first = read_step(pg, "begin", NULL, NULL, limit);
    }
    for (size_t i = 0; pg->connection != NULL && i < step_count; i++) {
        error = read_step(pg, steps[i].statement->name, &steps[i], arena, limit);
        if (first == ERR_OK)
            first = error;
    }
    if (pg->connection == NULL)
        return ERR_STORE_DOWN;
    error = read_sync(pg, limit);
    return first != ERR_OK ? first : error;
}

enum error
pg_ask(struct pg *pg, const struct pg_statement *statement, const void *row, struct arena *arena,
       struct pg_answer *ret_answer)
{
    struct pg_step step = { .statement = statement, .rows = &row, .count = row != NULL };
    enum error error = pg_connect(pg);

    assert(!pg->in_transaction);
    if (error == ERR_OK)
        error = pg_round(pg, false, &step, 1, arena);
    if (error != ERR_OK)
        step = (struct pg_step){ 0 };
    if (ret_answer != NULL)
        *ret_answer = (struct pg_answer){ step.ret_rows, step.ret_count, step.ret_changed };
    return error;
}

enum error
pg_commit(struct pg *pg)
{
    enum error error;

    if (pg->connection == NULL)
        return ERR_STORE_DOWN;
    error = command(pg, "COMMIT");
    pg->in_transaction = false;
    if (error == ERR_STORE_DOWN) {
        /* The server may have done it before it went away; only looking again tells. */
        pg_disconnect(pg);
        return ERR_UNCERTAIN;
    }
    return error;
}

void
pg_rollback(struct pg *pg)
{
    if (pg->connection != NULL && pg->in_transaction && command(pg, "ROLLBACK") != ERR_OK)
        pg_disconnect(pg);
    pg->in_transaction = false;
}

enum error
pg_run(struct pg *pg, const char *sql)
{
    enum error error = pg->connection != NULL && leave_old(pg) ? ERR_STORE_DOWN : pg_connect(pg);

    return error == ERR_OK ? command(pg, sql) : error;
}

/* Outside of the pipeline, which takes a statement at a time. The caller clears the result; NULL is an error. */
static enum error
ask_plainly(struct pg *pg, const char *name, const char *sql, PGresult **ret_result)
{
    PGresult *result;
    enum error error = pg_connect(pg);

    *ret_result = NULL;
    if (error != ERR_OK)
        return error;
    if (PQexitPipelineMode(pg->connection) != 1)
        return lost(pg, ERR_STORE_DOWN, name);
    result = pg_wait_answer(pg->connection, PQsendQuery(pg->connection, sql) == 1,
                            limit_of(pg, pg->round_us));
    if (result == NULL)
        return lost(pg, ERR_STORE_DOWN, name);
    if (PQresultStatus(result) == PGRES_TUPLES_OK || PQresultStatus(result) == PGRES_COMMAND_OK)
        *ret_result = result;
    else {
        error = judge(result, name);
        pg->why = find_why(result);
        PQclear(result);
    }
    PQenterPipelineMode(pg->connection);
    return error;
}

enum error
pg_script(struct pg *pg, const char *name, const char *sql)
{
    PGresult *result;
    enum error error = ask_plainly(pg, name, sql, &result);

    PQclear(result);
    return error;
}

enum error
pg_text(struct pg *pg, const char *sql, struct arena *arena, const char **ret_text)
{
    PGresult *result;
    enum error error = ask_plainly(pg, "text", sql, &result);

    if (result != NULL) {
        bool is_empty = PQntuples(result) == 0 || PQgetisnull(result, 0, 0);
        const char *text = is_empty ? "" : PQgetvalue(result, 0, 0);

        *ret_text = arena_copy(arena, text, strlen(text));
    }
    PQclear(result);
    return error;
}
