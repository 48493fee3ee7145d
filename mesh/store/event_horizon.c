#include "mesh/store/event_horizon.h"

#include "mesh/base/clock.h"
#include "mesh/store/event.h"
#include "mesh/store/store_clock.h"

#include <string.h>

struct position {
    int64_t cursor, last;
};

/* clang-format off */
static const struct pg_column number_columns[] = { { "number", PG_INT8, 0 }, { 0 } };
static const struct pg_column position_columns[] = {
    PG_COLUMN(struct position, cursor, PG_INT8),
    PG_COLUMN(struct position, last, PG_INT8),
    { 0 },
};
static const struct pg_column writer_columns[] = {
    PG_COLUMN(struct event_writer, transaction, PG_TEXT),
    PG_COLUMN(struct event_writer, pid, PG_INT4),
    PG_COLUMN(struct event_writer, since_us, PG_INT8),
    PG_COLUMN(struct event_writer, application, PG_TEXT),
    PG_COLUMN(struct event_writer, state, PG_TEXT),
    PG_COLUMN(struct event_writer, prepared, PG_TEXT),
    { 0 },
};
/* clang-format on */

const struct pg_statement event_clock = {
    .name = "event_clock",
    .sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    .is_single = true,
    .out = number_columns,
    .out_bytes = sizeof(int64_t),
};

/* A prepared transaction keeps its locks, and has no backend. */
const struct pg_statement event_writers = {
    .name = "event_writers",
    .sql =
        "SELECT l.virtualtransaction, coalesce(l.pid, 0),"
        " coalesce((extract(epoch FROM coalesce(a.xact_start, p.prepared)) * 1000000)::bigint, 0),"
        " coalesce(a.application_name, ''), coalesce(a.state, ''), coalesce(p.gid, '')"
        " FROM pg_locks l LEFT JOIN LATERAL pg_stat_get_activity(coalesce(l.pid, 0)) a ON true"
        " LEFT JOIN LATERAL (SELECT x.gid, x.prepared"
        "   FROM pg_locks own JOIN pg_prepared_xact() x ON x.transaction = own.transactionid"
        "   WHERE l.pid IS NULL AND own.locktype = 'transactionid'"
        "   AND own.virtualtransaction = l.virtualtransaction) p ON true"
        " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2"
        " AND l.classid = " EVENT_LOCK_CLASS " AND l.objid = " EVENT_LOCK_WRITER
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " ORDER BY 3",
    .is_single = true,
    .out = writer_columns,
    .out_bytes = sizeof(struct event_writer),
};

const struct pg_statement event_position = {
    .name = "event_position",
    .sql = "SELECT c.seq, CASE WHEN s.is_called THEN s.last_value ELSE 0 END"
           " FROM event_seq s, event_cursor c WHERE c.name = 'kafka'",
    .is_single = true,
    .out = position_columns,
    .out_bytes = sizeof(struct position),
};

static int64_t
number_of(const struct pg_step *step)
{
    int64_t number;

    memcpy(&number, step->ret_rows, sizeof number);
    return number;
}

/* The start of the oldest writer, when it is before now_us. */
static int64_t
time_of(int64_t now_us, const struct pg_step *step)
{
    const struct event_writer *writers = step->ret_rows;
    int64_t time_us = now_us;

    for (size_t i = 0; i < step->ret_count; i++) {
        if (writers[i].since_us != 0 && writers[i].since_us < time_us)
            time_us = writers[i].since_us;
    }
    return time_us;
}

/* The statements of a round are done one after the other, each with a snapshot of its own. */
enum error
event_horizon_find(struct pg *pg, bool with_time, struct arena *arena,
                   struct event_horizon *ret_horizon)
{
    const struct pg_statement *const asked[] = { &event_clock, &event_writers, &event_position,
                                                 &event_writers };
    size_t first = with_time ? 0 : 2, count = 4 - first;
    struct pg_step steps[4];
    const struct position *position;
    enum error error;

    for (size_t i = 0; i < count; i++)
        steps[i] = (struct pg_step){ .statement = asked[first + i] };
    error = pg_round(pg, false, steps, count, arena);
    if (error != ERR_OK)
        return error;
    if (steps[2 - first].ret_count != 1)
        return ERR_INTERNAL;
    position = steps[2 - first].ret_rows;
    *ret_horizon = (struct event_horizon){ .cursor = position->cursor,
                                           .last = position->last,
                                           .writers = steps[3 - first].ret_rows,
                                           .writer_count = steps[3 - first].ret_count };
    if (with_time) {
        ret_horizon->now_us = number_of(&steps[0]);
        ret_horizon->time_us = time_of(ret_horizon->now_us, &steps[1]) - ret_horizon->now_us +
                               store_least_us(ret_horizon->now_us, clock_now_us());
    }
    return ERR_OK;
}

static bool
is_writer_of(const struct event_horizon *horizon, const char *transaction)
{
    for (size_t i = 0; i < horizon->writer_count; i++) {
        if (strcmp(horizon->writers[i].transaction, transaction) == 0)
            return true;
    }
    return false;
}

enum error
event_horizon_look(struct pg *pg, const struct event_horizon *horizon, struct arena *arena,
                   bool *ret_is_settled, struct event_writer *ret_oldest)
{
    struct pg_answer answer = { 0 };
    enum error error =
        horizon->writer_count == 0 ? ERR_OK : pg_ask(pg, &event_writers, NULL, arena, &answer);
    const struct event_writer *writers = answer.rows;

    if (error != ERR_OK)
        return error;
    *ret_is_settled = true;
    for (size_t i = 0; *ret_is_settled && i < answer.count; i++) {
        /* One that is prepared has another name after a crash of the server. */
        if (writers[i].pid == 0 || is_writer_of(horizon, writers[i].transaction)) {
            *ret_is_settled = false;
            *ret_oldest = writers[i];
        }
    }
    return ERR_OK;
}
