/* Locks of the session (pg_try_advisory_lock) and polls for them: one who waited within a statement would hold a
 * snapshot, and CREATE INDEX CONCURRENTLY waits for those. */
#include "mesh/store/schema_apply.h"

#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/store/pg.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LOCK_WAIT_MS = 500, PAUSE_MS = 100 };
#define STEP_US (24 * 3600 * SECOND_US) /* an index of a large table takes its time */

/* Of a migration that is under way. */
struct migration {
    struct pg *pg;
    struct arena *arena;
    const struct schema_step *steps;
    int64_t wait_us;
    struct schema_rows applied;
};

/* Plans as the server likes them, and not as pg.c pins them. */
static const char session_sql[] = "SET plan_cache_mode = auto; SET enable_seqscan = on; SET "
                                  "enable_hashjoin = on; SET enable_mergejoin = on";

static const char table_sql[] =
    "CREATE TABLE schema_version ("
    " version    int         NOT NULL PRIMARY KEY,"
    " kind       text        NOT NULL CHECK (kind IN ('expand', 'contract')),"
    " name       text        NOT NULL,"
    " digest     text        NOT NULL," /* SHA-256 of the step's text */
    " applied_at timestamptz NOT NULL DEFAULT clock_timestamp())";

static const char empty_sql[] =
    "SELECT NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
    " AND relkind IN ('r', 'p'))";

static void
pause_a_moment(void)
{
    const struct timespec moment = { .tv_nsec = PAUSE_MS * 1000 * 1000 };

    nanosleep(&moment, NULL);
}

/* A question that is answered by true or false. */
static enum error
ask(struct migration *migration, bool *ret_is_so, const char *sql)
{
    const char *text = "";
    enum error error = pg_text(migration->pg, sql, migration->arena, &text);

    *ret_is_so = strcmp(text, "t") == 0;
    return error;
}

/* Until the answer is true. */
static enum error
ask_until(struct migration *migration, const char *sql, const char *because)
{
    int64_t until_us = clock_steady_us() + migration->wait_us;
    bool is_so = false, is_said = false;
    enum error error = ask(migration, &is_so, sql);

    while (error == ERR_OK && !is_so) {
        if (!is_said)
            log_info("migrate=waits because=\"%s\"", because);
        is_said = true;
        if (clock_steady_us() > until_us) {
            log_error("migrate=given-up because=\"%s\"", because);
            return ERR_CONFLICT;
        }
        pause_a_moment();
        error = ask(migration, &is_so, sql);
    }
    return error;
}

/* ---- one step ---- */

static const char *
kind_of(const struct schema_step *step)
{
    return step->is_contract ? "contract" : "expand";
}

/* Its row; all of it are words of the build. */
static const char *
row_sql(struct migration *migration, const struct schema_step *step)
{
    char digest[SCHEMA_DIGEST_BYTES + 1];

    schema_digest(step, digest);
    return arena_print(
        migration->arena,
        "INSERT INTO schema_version (version, kind, name, digest) VALUES (%d, '%s', '%s', '%s')",
        step->version, kind_of(step), step->name, digest);
}

static bool
is_concurrent(const struct schema_step *step)
{
    return strstr(step->text, " CONCURRENTLY ") != NULL;
}

/* Those of the step that one who was killed has left. */
static enum error
drop_broken_indexes(struct migration *migration, const struct schema_step *step)
{
    static const char broken_sql[] =
        "SELECT string_agg(c.relname, ' ') FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid WHERE NOT i.indisvalid"
        " AND c.relnamespace = current_schema()::regnamespace";
    const char *names = "";
    enum error error = pg_text(migration->pg, broken_sql, migration->arena, &names);

    for (; error == ERR_OK && *names != '\0';
         names += strcspn(names, " "), names += *names == ' ') {
        const char *name = arena_copy(migration->arena, names, strcspn(names, " "));

        if (strstr(step->text, name) == NULL)
            continue;
        log_info("migrate=index name=%s because=\"it was not built to its end, and is built anew\"",
                 name);
        error = pg_script(migration->pg, step->name,
                          arena_print(migration->arena, "DROP INDEX CONCURRENTLY \"%s\"", name));
    }
    return error;
}

/* It waits for all transactions that have begun, as long as they take: nobody waits for it. */
static enum error
apply_concurrent(struct migration *migration, const struct schema_step *step)
{
    enum error error = pg_script(migration->pg, step->name, "SET lock_timeout = 0");

    if (error == ERR_OK)
        error = drop_broken_indexes(migration, step);
    if (error == ERR_OK)
        error = pg_script(migration->pg, step->name, step->text);
    if (error == ERR_OK)
        error = pg_script(migration->pg, step->name, row_sql(migration, step));
    if (error == ERR_OK)
        error = pg_script(migration->pg, step->name,
                          arena_print(migration->arena, "SET lock_timeout = %d", LOCK_WAIT_MS));
    return error;
}

/* Statements that go together are one transaction. What a lock or a deadlock forbids now may do later; rows that a unique
 * index refuses are no such thing. */
static enum error
apply_whole(struct migration *migration, const struct schema_step *step)
{
    const char *sql =
        arena_print(migration->arena, "%s\n;%s", step->text, row_sql(migration, step));
    int64_t until_us = clock_steady_us() + migration->wait_us;
    enum error error = pg_script(migration->pg, step->name, sql);

    while (error == ERR_CONFLICT && pg_why(migration->pg) != PG_WHY_DUPLICATE &&
           clock_steady_us() < until_us) {
        pause_a_moment();
        error = pg_script(migration->pg, step->name, sql);
    }
    return error;
}

static enum error
apply_step(struct migration *migration, const struct schema_step *step)
{
    int64_t began_us = clock_steady_us();
    enum error error =
        is_concurrent(step) ? apply_concurrent(migration, step) : apply_whole(migration, step);

    if (error == ERR_OK)
        log_info("migrate=applied step=%d kind=%s name=%s ms=%lld", step->version, kind_of(step),
                 step->name, (long long)(clock_steady_us() - began_us) / 1000);
    else
        log_error("migrate=failed step=%d kind=%s name=%s error=%s because=\"the line above says "
                  "it; the steps before"
                  " it stay\"",
                  step->version, kind_of(step), step->name, error_name(error));
    return error;
}

/* ---- contract steps ---- */

/* Who holds a smaller number, for people. */
static void
log_older(struct migration *migration, const struct schema_step *step)
{
    const char *sql = arena_print(
        migration->arena,
        "SELECT string_agg(format('%%s at %%s knows steps up to %%s', a.application_name,"
        " coalesce(host(a.client_addr), 'this host'), l.objid), ', ')"
        " FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND l.classid = %d AND l.objid BETWEEN 1 AND %d AND l.mode "
        "= 'ShareLock'"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        SCHEMA_LOCK, step->version - 1);
    const char *text = "";

    if (pg_text(migration->pg, sql, migration->arena, &text) == ERR_OK)
        log_error("migrate=refused step=%d kind=contract name=%s because=\"programs run that do "
                  "not know it: %s\"",
                  step->version, step->name, text);
}

/* Takes the numbers of all programs that do not know the step; they are given back with the session. */
static enum error
fence_older(struct migration *migration, const struct schema_step *step)
{
    const char *sql = arena_print(migration->arena,
                                  "SELECT coalesce(bool_and(pg_try_advisory_lock(%d, n)), true)"
                                  " FROM generate_series(1, %d) AS n",
                                  SCHEMA_LOCK, step->version - 1);
    bool is_ours = false;
    enum error error = ask(migration, &is_ours, sql);

    if (error != ERR_OK || is_ours)
        return error;
    log_older(migration, step);
    return ERR_CONFLICT;
}

/* ---- all of them ---- */

/* ret_is_new: there was nothing in the database, so no program can be older than a contract step. */
static enum error
make_table(struct migration *migration, bool *ret_is_new)
{
    enum error error;

    *ret_is_new = false;
    if (migration->applied.is_there)
        return ERR_OK;
    error = ask(migration, ret_is_new, empty_sql);
    if (error == ERR_OK && !*ret_is_new)
        log_info("migrate=baseline because=\"the database was made before it had schema_version: "
                 "step 1 leaves what is"
                 " there\"");
    return error == ERR_OK ? pg_script(migration->pg, "schema_version", table_sql) : error;
}

static enum error
apply_all(struct migration *migration, bool with_contract)
{
    const struct schema_step *step;
    bool is_new;
    enum error error = make_table(migration, &is_new);

    while (error == ERR_OK && (step = schema_next(migration->steps, &migration->applied,
                                                  with_contract || is_new)) != NULL) {
        if (step->is_contract && !is_new)
            error = fence_older(migration, step);
        if (error == ERR_OK)
            error = apply_step(migration, step);
        if (error == ERR_OK)
            error = schema_read(migration->pg, migration->arena, &migration->applied);
    }
    return error;
}

/* One at a time; and nothing is applied to a database that is another program's, or a newer one's. */
static enum error
apply_locked(struct migration *migration, bool with_contract)
{
    const char *sql =
        arena_print(migration->arena, "SELECT pg_try_advisory_lock(%d, 0)", SCHEMA_LOCK);
    char words[SCHEMA_WORDS_BYTES];
    enum error error = ask_until(migration, sql, "another process applies steps");

    if (error == ERR_OK)
        error = schema_read(migration->pg, migration->arena, &migration->applied);
    if (error == ERR_OK && !schema_agrees(migration->steps, &migration->applied, words)) {
        log_error("migrate=refused because=\"%s\"", words);
        error = ERR_INTERNAL;
    }
    if (error == ERR_OK)
        error = apply_all(migration, with_contract);
    return error;
}

static void
log_end(const struct migration *migration)
{
    const struct schema_step *waits = schema_next(migration->steps, &migration->applied, true);

    if (waits == NULL)
        log_info("migrate=done steps=%zu", migration->applied.count);
    else
        log_info("migrate=done steps=%zu waits=%d because=\"it is a contract step: "
                 "--migrate=contract applies it once no"
                 " older program runs\"",
                 migration->applied.count, waits->version);
}

enum error
schema_apply(const char *conninfo, const char *application, const struct schema_step *steps,
             bool with_contract, int64_t wait_us)
{
    struct migration migration = { .pg = pg_new(conninfo, application, NULL),
                                   .arena = arena_new(),
                                   .steps = steps,
                                   .wait_us = wait_us };
    enum error error;

    pg_set_lock_timeout(migration.pg, LOCK_WAIT_MS);
    pg_be_patient(migration.pg, STEP_US, NULL);
    error = pg_script(migration.pg, "session", session_sql);
    if (error == ERR_OK)
        error = apply_locked(&migration, with_contract);
    if (error == ERR_OK)
        log_end(&migration);
    pg_free(migration.pg);
    arena_free(migration.arena);
    return error;
}

/* ---- for people ---- */

static void
print_rows(const struct schema_step *steps, const struct schema_rows *applied, FILE *out)
{
    int last = schema_last(steps);

    for (; steps->version != 0; steps++) {
        const struct schema_row *row = schema_find(applied, steps->version);

        fprintf(out, "%4d %-8s %s %s%s\n", steps->version, kind_of(steps), steps->name,
                row == NULL ? "waits" : "applied ", row == NULL ? "" : row->at);
    }
    for (size_t i = 0; i < applied->count; i++) {
        const struct schema_row *row = &applied->rows[i];

        if (row->version > last)
            fprintf(out, "%4d %-8s %s applied %s, of a newer program\n", row->version,
                    row->is_contract ? "contract" : "expand", row->name, row->at);
    }
}

enum error
schema_print(const char *conninfo, const char *application, const struct schema_step *steps,
             FILE *out)
{
    struct pg *pg = pg_new(conninfo, application, NULL);
    struct arena *arena = arena_new();
    struct schema_rows applied;
    char words[SCHEMA_WORDS_BYTES];
    enum error error = schema_read(pg, arena, &applied);

    if (error == ERR_OK) {
        print_rows(steps, &applied, out);
        if (!schema_agrees(steps, &applied, words))
            fprintf(out, "%s\n", words);
    }
    pg_free(pg);
    arena_free(arena);
    return error;
}
