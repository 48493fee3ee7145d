/* asked.c -- A statement, its rows, and the gauges that they become. What had a row before and has none now is not
 * shown any more, or 0 where its label is one of those that are always shown. */
#include "mesh/store/asked.h"
#include "mesh/base/clock.h"

#include <string.h>

const struct pg_column asked_columns[] = {
    PG_COLUMN(struct asked, label, PG_TEXT),
    PG_COLUMN(struct asked, numbers[0], PG_INT8),
    PG_COLUMN(struct asked, numbers[1], PG_INT8),
    { 0 },
};

/* ---- what all have ---- */

/* The week of a partition is in its name, as mesh.sql gives it. */
static const struct pg_statement partitions_ahead = ASKED_STATEMENT(
    "partitions_ahead",
    "SELECT p.relname::text, (extract(epoch FROM max(to_date(right(c.relname, 7), 'IYYY\"w\"IW'))"
    " + interval '7 days') * 1000000)::bigint - mesh_now_us($1), 0::bigint"
    " FROM pg_partitioned_table t JOIN pg_class p ON p.oid = t.partrelid"
    " JOIN pg_inherits i ON i.inhparent = t.partrelid JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE c.relname ~ '_[0-9]{4}w[0-9]{2}$' GROUP BY p.relname");

static const struct pg_statement outbox_unsent = ASKED_STATEMENT(
    "outbox_unsent",
    "SELECT '', count(*), coalesce(greatest(mesh_now_us($1) - min(time_us), 0), 0)::bigint FROM"
    " (SELECT time_us FROM event WHERE seq > (SELECT seq FROM event_cursor WHERE name = 'kafka')"
    " ORDER BY seq LIMIT " ASKED_LIMIT ") AS unsent");

/* clang-format off */
const struct asked_row asked_partitions[] = {
    { &partitions_ahead, { { "sagamesh_partition_ahead_seconds", METRIC_GAUGE, METRIC_SECONDS, "For how long from now there are partitions.", { "table" } } }, NULL },
    { 0 },
};
const struct asked_row asked_outbox[] = {
    { &outbox_unsent, { { "sagamesh_outbox_unsent",         METRIC_GAUGE, METRIC_NUMBER,  "Events that Kafka has not acknowledged, counted up to 10,000.", { NULL } },
                        { "sagamesh_outbox_oldest_seconds", METRIC_GAUGE, METRIC_SECONDS, "Age of the oldest of them; 0: there is none.",                  { NULL } } }, NULL },
    { 0 },
};
static const struct metric_row asked_at = { "sagamesh_asked_timestamp_seconds", METRIC_GAUGE, METRIC_SECONDS, "When the numbers that only the database knows were last heard.", { NULL } };
/* clang-format on */

/* ---- asking ---- */

bool
asked_is_row(const struct asked_row *row)
{
    return row != NULL && row->statement != NULL;
}

static bool
has_metric(const struct asked_row *row, size_t i)
{
    return i < ASKED_NUMBERS_MAX && row->metrics[i].name != NULL;
}

static void
set_all(const struct asked_row *row, struct metrics *metrics, const struct asked *asked)
{
    for (size_t i = 0; has_metric(row, i); i++)
        metric_set(metrics_series(metrics, &row->metrics[i], &asked->label), asked->numbers[i]);
}

static void
set_zeros(const struct asked_row *row, struct metrics *metrics)
{
    for (const char *const *label = row->labels; label != NULL && *label != NULL; label++)
        set_all(row, metrics, &(const struct asked){ .label = *label });
}

void
asked_show(const struct asked_row *rows, struct metrics *metrics)
{
    for (; asked_is_row(rows); rows++) {
        for (size_t i = 0; has_metric(rows, i); i++)
            metrics_declare(metrics, &rows->metrics[i]);
        set_zeros(rows, metrics);
    }
    metrics_declare(metrics, &asked_at);
}

/* What a label had before and has no more goes, and is 0 where it is known. */
static enum error
ask(const struct asked_row *row, struct metrics *metrics, struct pg *pg, struct arena *arena)
{
    int64_t program_us = clock_now_us();
    const struct asked *asked;
    struct pg_answer answer;
    enum error error = pg_ask(pg, row->statement, &program_us, arena, &answer);

    if (error != ERR_OK)
        return error;
    metrics_hold(metrics);
    for (size_t i = 0; has_metric(row, i); i++)
        metrics_forget(metrics, &row->metrics[i]);
    set_zeros(row, metrics);
    asked = answer.rows;
    for (size_t i = 0; i < answer.count; i++)
        set_all(row, metrics, &asked[i]);
    metrics_release(metrics);
    return ERR_OK;
}

enum error
asked_run(const struct asked_row *rows, struct metrics *metrics, struct pg *pg, struct arena *arena)
{
    enum error error = ERR_OK;

    for (; error == ERR_OK && asked_is_row(rows); rows++)
        error = ask(rows, metrics, pg, arena);
    if (error == ERR_OK)
        metric_set(metrics_series(metrics, &asked_at, NULL), clock_now_us());
    return error;
}
