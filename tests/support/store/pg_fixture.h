/* pg_fixture.h -- A database of a test's own, on the throw-away server named by MESH_TEST_PG.
 *
 *     static struct pg_fixture fixture;
 *     return pg_fixture_check(&fixture, "storage", "storage-svc/schema", cases);
 *
 * MESH_TEST_PG is a libpq conninfo of a superuser. `./dev test store` starts such a server.
 *
 * Thread    pg_fixture_open, _close: main. The others: any, each over a connection of its own.
 * Memory    fixture.conninfo lives as long as the fixture.
 * Errors    A test without its database is worth nothing: everything here ends the program with 1.
 */
#ifndef TESTS_SUPPORT_STORE_PG_FIXTURE_H
#define TESTS_SUPPORT_STORE_PG_FIXTURE_H

#include "tests/support/check.h"

#include <libpq-fe.h>

enum { PG_FIXTURE_TEXT_BYTES = 2048 };

struct pg_fixture {
    char admin[512];    /* conninfo of the server's own database */
    char conninfo[640]; /* of the test's database */
    char database[64];
};

void pg_fixture_fail(const char *what, const char *words);
PGconn *pg_fixture_connect(const char *conninfo);

/* Runs SQL over a connection; its first column of the first row as text, or "". */
void pg_fixture_ask(PGconn *connection, const char *sql, char text[PG_FIXTURE_TEXT_BYTES]);

void __attribute__((format(printf, 3, 4)))
pg_fixture_text(const char *conninfo, char text[PG_FIXTURE_TEXT_BYTES], const char *format, ...);
void __attribute__((format(printf, 2, 3)))
pg_fixture_run(const char *conninfo, const char *format, ...);
long long __attribute__((format(printf, 2, 3)))
pg_fixture_int(const char *conninfo, const char *format, ...);

/* While a standby is named that does not exist, every COMMIT of the server is done and then waits: a
 * backend that is ended there has committed, and its client does not know. "" ends that. It is the
 * whole server's, so tests that use it wait for each other; admin holds the lock until it is closed. */
void pg_fixture_standby(PGconn *admin, const char *name);

/* Makes a database named after the test and this process. schema is a path in the checkout: a file, or a
 * folder of steps such as "storage-svc/schema"; NULL leaves the database empty. */
void pg_fixture_open(struct pg_fixture *fixture, const char *name, const char *schema);

void pg_fixture_close(struct pg_fixture *fixture);

/* Opens the fixture, runs the cases, closes it; the exit status of main. */
#define pg_fixture_check(fixture, name, schema, ...)                                               \
    pg_fixture_check_all(fixture, name, schema, (TCase *const[]){ __VA_ARGS__, NULL })

int pg_fixture_check_all(struct pg_fixture *fixture, const char *name, const char *schema,
                         TCase *const *cases);

#endif
