/* plan_fixture.h -- How PostgreSQL does a service's statements: by an index, and by a condition on it.
 *
 *     static const struct plan_spec spec = { .name = "order_plans", .schema = ..., .fill = fill,
 *                                            .empty = "TRUNCATE orders, ...", ... };
 *     int main(void) { return plan_fixture_main(&spec); }
 *
 * Walks what the service prepares, in a session with the settings of pg.c: each scan of each statement
 * must go by an index. Twice: on tables that were never analyzed, and on tables that were analyzed while
 * they were empty and then filled, where a pinned plan would like to scan a whole key.
 *
 * Thread    main.
 * Memory    plan_fixture_arena lives as long as a test.
 */
#ifndef TESTS_SUPPORT_STORE_PLAN_FIXTURE_H
#define TESTS_SUPPORT_STORE_PLAN_FIXTURE_H

#include "mesh/store/batch.h"
#include "mesh/store/event.h"
#include "tests/support/check.h"
#include "tests/support/store/pg_fixture.h"

#include <jansson.h>

struct plan_spec {
    const char *name, *schema;
    const struct batch_service *service; /* NULL: none */
    const struct pg_statement *const *const
        *lists;               /* statements that are prepared beside it; ends with NULL */
    const char *const *whole; /* names of statements that read a whole index on purpose; or NULL */
    const char *const
        *small;         /* names of tables of a row or a few: their whole index is fine; or NULL */
    const char *empty;  /* empties the tables */
    void (*fill)(void); /* puts thousands of rows into them */
    void (*add_tests)(TCase *cases); /* of the service's own; NULL: none */
};

extern struct pg_fixture plan_fixture;

/* The plan's root. The caller frees *ret_all. */
const json_t *plan_explain(const char *how, const char *name, const char *arguments,
                           json_t **ret_all);

const char *plan_text(const json_t *node, const char *key);

/* That a page is read in the order of one index, and nothing is sorted. */
bool plan_has_sort(const json_t *node);

bool plan_has_index(const json_t *node, const char *index);
void plan_expect_pages_by(const char *statement, const char *index);
int plan_fixture_main(const struct plan_spec *spec);

/* SQL: an id of its week and number, for the INSERT of a fill. */
#define PLAN_ID(week, number)                                                                      \
    "(left(mesh_uuid_floor(now() - " week " * interval '7 days' + " number                         \
    " * interval '1 ms')::text, 14) || '7' || substr(md5(" number "::text), 1, 3) || '-8'"         \
    " || substr(md5(" number "::text), 4, 3) || '-' || substr(md5(" number                         \
    "::text), 7, 12))::uuid"

#endif
