/* What PostgreSQL has counted, and samples of what it holds. */
#include "mesh/store/pg.h"
#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const bench_databases[BENCH_DATABASES] = {
    [BENCH_ORDERS] = "orders",
    [BENCH_STORAGE] = "storage",
    [BENCH_ACCOUNT] = "account",
    [BENCH_SAGA] = "saga",
};

const char *
bench_conninfo(const struct bench *bench, const char *prefix, size_t index)
{
    return arena_print(bench->arena, "%s dbname=%s%s", bench->postgres, prefix,
                       bench_databases[index]);
}

const char *
bench_ask(const struct bench *bench, const char *conninfo, const char *sql)
{
    struct pg *pg = pg_new(conninfo, "bench", NULL);
    const char *text = "";

    if (pg_text(pg, sql, bench->arena, &text) != ERR_OK)
        bench_fail("the database (%s) does not answer: %s", conninfo, sql);
    pg_free(pg);
    return text;
}

/* ---- counts ---- */

static const char writes_sql[] =
    "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables";
static const char toast_sql[] =
    "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_all_tables"
    " WHERE schemaname = 'pg_toast' AND relid >= 16384";
static const char commits_sql[] =
    "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";

/* Transactions that wrote. Where each one appends an event, their number is exact; storage hardly
 * reads, so there it is all commits; each tick of a saga is a page. */
static const char *const batches_sql[BENCH_DATABASES] = {
    [BENCH_ORDERS] = "SELECT count(DISTINCT xmin::text) FROM event",
    [BENCH_STORAGE] = commits_sql,
    [BENCH_ACCOUNT] = "SELECT count(DISTINCT xmin::text) FROM event",
    [BENCH_SAGA] = "SELECT coalesce(max(page), 0) FROM journal_page",
};

void
bench_counts_read(const struct bench *bench, const char *prefix, struct bench_counts *ret_counts)
{
    for (size_t i = 0; i < BENCH_DATABASES; i++) {
        const char *conninfo = bench_conninfo(bench, prefix, i);

        ret_counts->database[i].row_writes = atoll(bench_ask(bench, conninfo, writes_sql));
        ret_counts->database[i].toast_writes = atoll(bench_ask(bench, conninfo, toast_sql));
        ret_counts->database[i].commits = atoll(bench_ask(bench, conninfo, commits_sql));
        ret_counts->database[i].batches = atoll(bench_ask(bench, conninfo, batches_sql[i]));
    }
}

/* ---- texts ---- */

void
bench_texts_read(const struct bench *bench, struct bench_texts *ret_texts)
{
    /* clang-format off */
    const struct { size_t database; const char **ret_text; const char *sql; } samples[] = {
        { BENCH_ORDERS, &ret_texts->order_placed,
          "SELECT payload FROM event WHERE type = 'order.placed' LIMIT 1" },
        { BENCH_ORDERS, &ret_texts->order_paid,
          "SELECT payload FROM event WHERE type = 'order.paid' LIMIT 1" },
        { BENCH_ORDERS, &ret_texts->traceparent, "SELECT traceparent FROM event LIMIT 1" },
        { BENCH_ORDERS, &ret_texts->lines, "SELECT lines FROM orders LIMIT 1" },
        { BENCH_STORAGE, &ret_texts->hold_lines, "SELECT lines FROM hold LIMIT 1" },
        { BENCH_ACCOUNT, &ret_texts->payment, "SELECT payload FROM event LIMIT 1" },
        { BENCH_SAGA, &ret_texts->page,
          "SELECT body FROM journal_page ORDER BY abs(octet_length(body)"
          " - (SELECT avg(octet_length(body)) FROM journal_page)) LIMIT 1" },
        { BENCH_SAGA, &ret_texts->final, "SELECT body FROM journal_final LIMIT 1" },
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        *samples[i].ret_text =
            bench_ask(bench, bench_conninfo(bench, "", samples[i].database), samples[i].sql);
    if (ret_texts->page[0] == '\0' || ret_texts->order_placed[0] == '\0')
        bench_fail("the services' databases hold nothing to take as a sample");
}

/* ---- sums ---- */

static bool
is_equal(const struct bench *bench, size_t database, const char *what, const char *sql,
         int64_t expected)
{
    int64_t found = atoll(bench_ask(bench, bench_conninfo(bench, "", database), sql));

    if (found == expected)
        return true;
    bench_say("WRONG: %s is %lld, not %lld", what, (long long)found, (long long)expected);
    return false;
}

bool
bench_store_is_sound(const struct bench *bench, int64_t paid)
{
    /* clang-format off */
    const struct { size_t database; const char *what, *sql; int64_t expected; } sums[] = {
        { BENCH_ORDERS, "orders that are PAID", "SELECT count(*) FROM orders WHERE status = 3", paid },
        { BENCH_ORDERS, "events of orders", "SELECT count(*) FROM event", 2 * paid },
        { BENCH_STORAGE, "pieces sold", "SELECT sum(sold) FROM product", paid },
        { BENCH_STORAGE, "pieces held", "SELECT sum(held) FROM product", 0 },
        { BENCH_ACCOUNT, "charges", "SELECT count(*) FROM transfer WHERE state = 1 AND kind = 'charge'", paid },
        { BENCH_ACCOUNT, "disagreements in the ledger", "SELECT count(*) FROM ledger_check()", 0 },
    };
    /* clang-format on */
    bool is_sound = true;

    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        if (!is_equal(bench, sums[i].database, sums[i].what, sums[i].sql, sums[i].expected))
            is_sound = false;
    }
    return is_sound;
}
