/* pg_fixture.h -- A database of a test's own, on the throw-away server named by MESH_TEST_PG.
 *
 *     static struct pg_fixture fixture;
 *     return pg_fixture_check(&fixture, "storage", "storage-svc/schema.sql", cases);
 *
 * MESH_TEST_PG is a libpq conninfo of a superuser. `./dev test store` starts such a server.
 *
 * Thread    pg_fixture_open, _close: main. The others: any, each over a connection of its own.
 * Memory    fixture.conninfo lives as long as the fixture.
 * Errors    A test without its database is worth nothing: everything here ends the program with 1.
 */
#ifndef TESTS_STORE_PG_FIXTURE_H
#define TESTS_STORE_PG_FIXTURE_H

#include "tests/support/check.h"

#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PG_FIXTURE_TEXT_BYTES = 2048 };

struct pg_fixture {
    char admin[512];    /* conninfo of the server's own database */
    char conninfo[640]; /* of the test's database */
    char database[64];
};

static inline void
pg_fixture_fail(const char *what, const char *words)
{
    fprintf(stderr, "%s: %s\n", what, words);
    exit(1);
}

static inline PGconn *
pg_fixture_connect(const char *conninfo)
{
    PGconn *connection = PQconnectdb(conninfo);

    if (PQstatus(connection) != CONNECTION_OK)
        pg_fixture_fail(conninfo, PQerrorMessage(connection));
    PQclear(
        PQexec(connection, "SET client_min_messages = warning; SET synchronous_commit = local"));
    return connection;
}

/* Runs SQL over a connection; its first column of the first row as text, or "". */
static inline void
pg_fixture_ask(PGconn *connection, const char *sql, char text[PG_FIXTURE_TEXT_BYTES])
{
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        pg_fixture_fail(sql, PQerrorMessage(connection));
    snprintf(text, PG_FIXTURE_TEXT_BYTES, "%s",
             PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
}

static inline void __attribute__((format(printf, 3, 4)))
pg_fixture_text(const char *conninfo, char text[PG_FIXTURE_TEXT_BYTES], const char *format, ...)
{
    PGconn *connection = pg_fixture_connect(conninfo);
    char sql[4096];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sql, sizeof sql, format, arguments);
    va_end(arguments);
    pg_fixture_ask(connection, sql, text);
    PQfinish(connection);
}

static inline void __attribute__((format(printf, 2, 3)))
pg_fixture_run(const char *conninfo, const char *format, ...)
{
    PGconn *connection = pg_fixture_connect(conninfo);
    char sql[4096], text[PG_FIXTURE_TEXT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sql, sizeof sql, format, arguments);
    va_end(arguments);
    pg_fixture_ask(connection, sql, text);
    PQfinish(connection);
}

static inline long long __attribute__((format(printf, 2, 3)))
pg_fixture_int(const char *conninfo, const char *format, ...)
{
    PGconn *connection = pg_fixture_connect(conninfo);
    char sql[4096], text[PG_FIXTURE_TEXT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sql, sizeof sql, format, arguments);
    va_end(arguments);
    pg_fixture_ask(connection, sql, text);
    PQfinish(connection);
    return strtoll(text, NULL, 10);
}

/* While a standby is named that does not exist, every COMMIT of the server is done and then waits: a
 * backend that is ended there has committed, and its client does not know. "" ends that. It is the
 * whole server's, so tests that use it wait for each other; admin holds the lock until it is closed. */
static inline void
pg_fixture_standby(PGconn *admin, const char *name)
{
    char sql[128], text[PG_FIXTURE_TEXT_BYTES];

    if (name[0] != '\0')
        pg_fixture_ask(admin, "SELECT pg_advisory_lock(7)", text);
    snprintf(sql, sizeof sql, "ALTER SYSTEM SET synchronous_standby_names = '%s'", name);
    pg_fixture_ask(admin, sql, text);
    pg_fixture_ask(admin, "SELECT pg_reload_conf()", text);
}

/* The path of a file of the checkout: this header knows where it lies itself. */
static inline void
pg_fixture_path(const char *file, char path[1024])
{
    static const char self[] = "tests/store/pg_fixture.h";
    static const char here[] = __FILE__;

    snprintf(path, 1024, "%.*s%s", (int)(sizeof here - sizeof self), here, file);
}

/* Applies a schema with psql, which knows \ir and \set. */
static inline void
pg_fixture_apply(const char *conninfo, const char *schema)
{
    char path[1024];
    int status = 0;
    pid_t child;

    pg_fixture_path(schema, path);
    child = fork();
    if (child == 0) {
        if (freopen("/dev/null", "w", stdout) == NULL)
            _exit(126);
        execlp("psql", "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", conninfo, "-f", path,
               (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        pg_fixture_fail(path, "psql could not apply it");
}

/* Makes a database named after the test and this process. schema is a path in the checkout, such as
 * "storage-svc/schema.sql"; NULL leaves the database empty. */
static inline void
pg_fixture_open(struct pg_fixture *fixture, const char *name, const char *schema)
{
    const char *server = getenv("MESH_TEST_PG");

    if (server == NULL || server[0] == '\0')
        pg_fixture_fail("MESH_TEST_PG", "is not set; `./dev test store` starts a server for it");
    snprintf(fixture->admin, sizeof fixture->admin, "%s", server);
    snprintf(fixture->database, sizeof fixture->database, "test_%s_%d", name, (int)getpid());
    /* Of a key that comes twice libpq takes the last. */
    snprintf(fixture->conninfo, sizeof fixture->conninfo, "%s dbname=%s", server,
             fixture->database);
    pg_fixture_run(fixture->admin, "DROP DATABASE IF EXISTS %s WITH (FORCE)", fixture->database);
    pg_fixture_run(fixture->admin, "CREATE DATABASE %s", fixture->database);
    if (schema != NULL)
        pg_fixture_apply(fixture->conninfo, schema);
}

static inline void
pg_fixture_close(struct pg_fixture *fixture)
{
    pg_fixture_run(fixture->admin, "DROP DATABASE IF EXISTS %s WITH (FORCE)", fixture->database);
}

/* Opens the fixture, runs the cases, closes it; the exit status of main. */
#define pg_fixture_check(fixture, name, schema, ...)                                               \
    pg_fixture_check_all(fixture, name, schema, (TCase *const[]){ __VA_ARGS__, NULL })
static inline int
pg_fixture_check_all(struct pg_fixture *fixture, const char *name, const char *schema,
                     TCase *const *cases)
{
    int status;

    pg_fixture_open(fixture, name, schema);
    status = check_run_all(name, cases);
    pg_fixture_close(fixture);
    return status;
}

#endif
