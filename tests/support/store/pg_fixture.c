#include "tests/support/store/pg_fixture.h"

#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void
pg_fixture_fail(const char *what, const char *words)
{
    fprintf(stderr, "%s: %s\n", what, words);
    exit(1);
}

PGconn *
pg_fixture_connect(const char *conninfo)
{
    PGconn *connection = PQconnectdb(conninfo);

    if (PQstatus(connection) != CONNECTION_OK)
        pg_fixture_fail(conninfo, PQerrorMessage(connection));
    PQclear(
        PQexec(connection, "SET client_min_messages = warning; SET synchronous_commit = local"));
    return connection;
}

void
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

static void
ask_once(const char *conninfo, char text[PG_FIXTURE_TEXT_BYTES], const char *format,
         va_list arguments)
{
    PGconn *connection = pg_fixture_connect(conninfo);
    char sql[4096];

    vsnprintf(sql, sizeof sql, format, arguments);
    pg_fixture_ask(connection, sql, text);
    PQfinish(connection);
}

void
pg_fixture_text(const char *conninfo, char text[PG_FIXTURE_TEXT_BYTES], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    ask_once(conninfo, text, format, arguments);
    va_end(arguments);
}

void
pg_fixture_run(const char *conninfo, const char *format, ...)
{
    char text[PG_FIXTURE_TEXT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    ask_once(conninfo, text, format, arguments);
    va_end(arguments);
}

long long
pg_fixture_int(const char *conninfo, const char *format, ...)
{
    char text[PG_FIXTURE_TEXT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    ask_once(conninfo, text, format, arguments);
    va_end(arguments);
    return strtoll(text, NULL, 10);
}

void
pg_fixture_standby(PGconn *admin, const char *name)
{
    char sql[128], text[PG_FIXTURE_TEXT_BYTES];

    if (name[0] != '\0')
        pg_fixture_ask(admin, "SELECT pg_advisory_lock(7)", text);
    snprintf(sql, sizeof sql, "ALTER SYSTEM SET synchronous_standby_names = '%s'", name);
    pg_fixture_ask(admin, sql, text);
    pg_fixture_ask(admin, "SELECT pg_reload_conf()", text);
}

/* Applies a file with psql, which knows \ir. */
static void
pg_fixture_apply_file(const char *conninfo, const char *path)
{
    int status = 0;
    pid_t child = fork();

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

/* A file, or the steps of a folder in the order of their numbers. */
static void
pg_fixture_apply(const char *conninfo, const char *schema)
{
    char pattern[CHECK_PATH_BYTES];
    size_t length = strlen(schema);
    glob_t files;

    check_path(schema, pattern);
    if (length < 4 || strcmp(schema + length - 4, ".sql") != 0)
        strncat(pattern, "/*.sql", sizeof pattern - strlen(pattern) - 1);
    if (glob(pattern, 0, NULL, &files) != 0)
        pg_fixture_fail(pattern, "there is no such file");
    for (size_t i = 0; i < files.gl_pathc; i++)
        pg_fixture_apply_file(conninfo, files.gl_pathv[i]);
    globfree(&files);
}

void
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

void
pg_fixture_close(struct pg_fixture *fixture)
{
    pg_fixture_run(fixture->admin, "DROP DATABASE IF EXISTS %s WITH (FORCE)", fixture->database);
}

int
pg_fixture_check_all(struct pg_fixture *fixture, const char *name, const char *schema,
                     TCase *const *cases)
{
    int status;

    pg_fixture_open(fixture, name, schema);
    status = check_run_all(name, cases);
    pg_fixture_close(fixture);
    return status;
}
