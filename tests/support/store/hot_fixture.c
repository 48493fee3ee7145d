#include "tests/support/store/hot_fixture.h"

#include <stdio.h>

static void
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

void
hot_begin(const struct pg_fixture *fixture, struct pg *pg, const char *table,
          struct hot_count *ret_count)
{
    pg_fixture_run(fixture->conninfo, "TRUNCATE %s", table);
    hot_read(fixture, pg, table, ret_count);
}

long long
hot_end(const struct pg_fixture *fixture, struct pg *pg, const struct hot_count *before,
        long long updates)
{
    struct hot_count after;

    hot_read(fixture, pg, before->table, &after);
    ck_assert_msg(after.all - before->all == updates, "%s: %lld updates were counted, not %lld",
                  before->table, after.all - before->all, updates);
    return updates - (after.hot - before->hot);
}
