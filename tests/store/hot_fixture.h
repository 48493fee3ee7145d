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
 * one page of 8 KB holds without pruning. Then every update must be HOT, whatever runs beside it.
 *
 * Thread    The test's. pg is the connection that makes the changes: it tells its own counts first.
 */
#ifndef TESTS_STORE_HOT_FIXTURE_H
#define TESTS_STORE_HOT_FIXTURE_H

#include "mesh/store/pg.h"
#include "tests/store/pg_fixture.h"

#include <check.h>

struct hot_count {
    const char *table; /* partitions of it count too */
    long long all, hot;
};

static inline void
hot_read(const struct pg_fixture *fixture, struct pg *pg, const char *table,
         struct hot_count *ret_count)
{
    const char *const count = "SELECT coalesce(sum(%s), 0) FROM pg_stat_user_tables WHERE relid IN"
                              " (SELECT relid FROM pg_partition_tree('%s')"
                              " UNION SELECT '%s'::regclass)";
    char sql[512];

    ck_assert_int_eq(pg_run(pg, "SELECT pg_stat_force_next_flush()"), ERR_OK);
    ret_count->table = table;
    snprintf(sql, sizeof sql, count, "n_tup_upd", table, table);
    ret_count->all = pg_fixture_int(fixture->conninfo, "%s", sql);
    snprintf(sql, sizeof sql, count, "n_tup_hot_upd", table, table);
    ret_count->hot = pg_fixture_int(fixture->conninfo, "%s", sql);
}

static inline void
hot_begin(const struct pg_fixture *fixture, struct pg *pg, const char *table,
          struct hot_count *ret_count)
{
    pg_fixture_run(fixture->conninfo, "TRUNCATE %s", table);
    hot_read(fixture, pg, table, ret_count);
}

/* The number of updates since hot_begin() that were not HOT; there were `updates`, also asserted. */
static inline long long
hot_end(const struct pg_fixture *fixture, struct pg *pg, const struct hot_count *before,
        long long updates)
{
    struct hot_count after;

    hot_read(fixture, pg, before->table, &after);
    ck_assert_msg(after.all - before->all == updates, "%s: %lld updates were counted, not %lld",
                  before->table, after.all - before->all, updates);
    return updates - (after.hot - before->hot);
}

#endif
