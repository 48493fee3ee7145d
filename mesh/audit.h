/* audit.h -- AuditService of a program: recomputes what its database holds, when an operator asks.
 *
 * A check is one SELECT of the service's own over all of its rows. It runs on a thread and a connection
 * of their own, so that it holds up no other read, and for as long as it takes.
 *
 * Thread    audit_open/close: main. audit_submit: any; it answers at once.
 * Memory    What the last check found, AUDIT_ROWS_MAX rows at most.
 * Errors    A check that came to no end says why in its answer; the next one begins anew.
 */
#ifndef MESH_AUDIT_H
#define MESH_AUDIT_H

#include "mesh/base/call.h"
#include "mesh/store/pg.h"

enum { AUDIT_ROWS_MAX = 1000 };

/* A row of the check's statement: texts. */
struct audit_row {
    const char *what, *key;
    const char *stored, *computed; /* NULL: there is no row */
};
extern const struct pg_column audit_columns[];

/* clang-format off */
#define AUDIT_STATEMENT(name, function) { \
    name, "SELECT what, key, stored::text, computed::text FROM " function " LIMIT 1001", \
    NULL, true, audit_columns, sizeof(struct audit_row), \
}
/* clang-format on */

struct audit;
extern const struct method audit_methods[];

/* check selects audit_columns, one row more than AUDIT_ROWS_MAX at most. */
struct audit *audit_open(const char *conninfo, const char *application,
                         const struct pg_statement *check);
void audit_submit(void *audit, struct call *call); /* fits rpc_service.submit */

/* Breaks off a check that runs. NULL is fine. Returns NULL. */
struct audit *audit_close(struct audit *audit);

#endif
