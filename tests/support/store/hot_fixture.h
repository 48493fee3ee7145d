/* hot_fixture.h -- How many updates were HOT, so that a test can ask for all of them.
 *
 *     struct hot_count before;
 *     hot_begin(&fixture, pg, "orders", &before);
 *     ... a few rows are made and changed ...
 *     ck_assert_int_eq(hot_end(&fixture, pg, &before, 8), 0);
 *
 * An update is HOT when no index mentions a column that it changes, and when there is room on its
 * row's page. The room depends on pruning, which any open transaction of the server puts off: those
 * of other tests, too. So the table begins empty here, and a test makes no more versions of rows than
 * one page of 8 KB holds without pruning. Then every update must be HOT, with any transaction beside it.
 *
 * Thread    The test's. pg is the connection that makes the changes: it tells its own counts first.
 */
#ifndef TESTS_SUPPORT_STORE_HOT_FIXTURE_H
#define TESTS_SUPPORT_STORE_HOT_FIXTURE_H

#include "mesh/store/pg.h"
#include "tests/support/check.h"
#include "tests/support/store/pg_fixture.h"

struct hot_count {
    const char *table; /* partitions of it count too */
    long long all, hot;
};

void hot_begin(const struct pg_fixture *fixture, struct pg *pg, const char *table,
               struct hot_count *ret_count);

/* The number of updates since hot_begin() that were not HOT; there were `updates`, also asserted. */
long long hot_end(const struct pg_fixture *fixture, struct pg *pg, const struct hot_count *before,
                  long long updates);

#endif
