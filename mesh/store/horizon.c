/* The writers are asked for among the locks of the server, before and after the sequence is read; the
 * statements of a round are done one after the other, each with a snapshot of its own. */
#include "mesh/store/horizon.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/store/store_clock.h"

#include <inttypes.h>
#include <string.h>

enum {
    SETTLE_US = 2 * 1000, /* between looks whether writers have ended, at first */
    SETTLE_US_MAX = 50 * 1000,
    LATE_US = 5 * 1000 * 1000,
    LATE_AGAIN_US = 10 * 1000 * 1000, /* said again while it lasts */
};

struct range {
    int64_t after, until;
};

struct place {
    const char *name;
    int64_t seq;
};

/* clang-format off */
static const struct pg_column number_columns[] = { { "number", PG_INT8, 0 }, { 0 } };
static const struct pg_column sequence_columns[] = { { "sequence", PG_TEXT, 0 }, { 0 } };
static const struct pg_column writer_columns[] = {
    PG_COLUMN(struct horizon_writer, transaction, PG_TEXT),
    PG_COLUMN(struct horizon_writer, pid, PG_INT4),
    PG_COLUMN(struct horizon_writer, since_us, PG_INT8),
    PG_COLUMN(struct horizon_writer, application, PG_TEXT),
    PG_COLUMN(struct horizon_writer, state, PG_TEXT),
    PG_COLUMN(struct horizon_writer, prepared, PG_TEXT),
    { 0 },
};
static const struct pg_column name_columns[] = { PG_COLUMN(struct place, name, PG_TEXT), { 0 } };
static const struct pg_column place_columns[] = {
    PG_COLUMN(struct place, name, PG_TEXT),
    PG_COLUMN(struct place, seq, PG_INT8),
    { 0 },
};
static const struct pg_column range_columns[] = {
    PG_COLUMN(struct range, after, PG_INT8),
    PG_COLUMN(struct range, until, PG_INT8),
    { 0 },
};
static const struct pg_column event_columns[] = {
    PG_COLUMN(struct followed_event, seq, PG_INT8),
    PG_COLUMN(struct followed_event, event.id, PG_UUID),
    PG_COLUMN(struct followed_event, event.aggregatetype, PG_TEXT),
    PG_COLUMN(struct followed_event, event.aggregateid, PG_UUID),
    PG_COLUMN(struct followed_event, event.version, PG_INT4),
    PG_COLUMN(struct followed_event, event.type, PG_TEXT),
    PG_COLUMN(struct followed_event, event.payload, PG_TEXT),
    PG_COLUMN(struct followed_event, event.time_us, PG_INT8),
    PG_COLUMN(struct followed_event, event.traceparent, PG_TEXT),
    { 0 },
};
/* clang-format on */

const struct pg_statement horizon_clock = {
    .name = "horizon_clock",
    .sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    .is_single = true,
    .out = number_columns,
    .out_bytes = sizeof(int64_t),
};

/* A prepared transaction keeps its locks, and has no backend. */
const struct pg_statement horizon_writers = {
    .name = "horizon_writers",
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
    .out_bytes = sizeof(struct horizon_writer),
};

/* Of no snapshot: what was drawn is drawn. No row: there is no such sequence. */
const struct pg_statement horizon_last = {
    .name = "horizon_last",
    .sql =
        "SELECT coalesce(pg_sequence_last_value(s), 0) FROM to_regclass($1) s WHERE s IS NOT NULL",
    .in = sequence_columns,
    .is_single = true,
    .out = number_columns,
    .out_bytes = sizeof(int64_t),
};

const struct pg_statement follower_cursor = {
    .name = "follower_cursor",
    .sql = "SELECT seq FROM event_cursor WHERE name = $1",
    .in = name_columns,
    .is_single = true,
    .out = number_columns,
    .out_bytes = sizeof(int64_t),
};

const struct pg_statement follower_page = {
    .name = "follower_page",
    .sql = "SELECT seq, id, aggregatetype, aggregateid, version, type, payload, time_us,"
           " traceparent FROM event WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT 1000",
    .in = range_columns,
    .is_single = true,
    .out = event_columns,
    .out_bytes = sizeof(struct followed_event),
};
_Static_assert(FOLLOWER_PAGE == 1000, "as in follower_page");

const struct pg_statement follower_done = {
    .name = "follower_done",
    .sql = "UPDATE event_cursor SET seq = $2 WHERE name = $1 AND seq < $2",
    .in = place_columns,
    .is_single = true,
};

/* ---- the horizon ---- */

void
horizon_init(struct horizon *horizon, const char *sequence)
{
    *horizon = (struct horizon){ .sequence = sequence, .arena = arena_new() };
}

void
horizon_free(struct horizon *horizon)
{
    horizon->arena = arena_free(horizon->arena);
}

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
    const struct horizon_writer *writers = step->ret_rows;
    int64_t time_us = now_us;

    for (size_t i = 0; i < step->ret_count; i++) {
        if (writers[i].since_us != 0 && writers[i].since_us < time_us)
            time_us = writers[i].since_us;
    }
    return time_us;
}

/* No event is followed until a person does what the line says. */
static enum error
schema_is_old(const char *kind, const char *name, const char *rule)
{
    log_error("%s=%s because=\"%s\" next=\"apply the schema\"", kind, name, rule);
    return ERR_INTERNAL;
}

enum { CLOCK, WRITERS_BEFORE, LAST, WRITERS, CURSOR, STEPS };

/* name: of a cursor that is read along; NULL: none. */
static enum error
aim(struct horizon *horizon, struct pg *pg, bool with_time, const char *name, int64_t *ret_cursor)
{
    static const char nothing;
    const void *no_row = &nothing, *sequence = &horizon->sequence, *place = &name;
    struct pg_step steps[STEPS] = {
        [CLOCK] = { .statement = &horizon_clock, .rows = &no_row, .count = 1 },
        [WRITERS_BEFORE] = { .statement = &horizon_writers, .rows = &no_row, .count = 1 },
        [LAST] = { .statement = &horizon_last, .rows = &sequence, .count = 1 },
        [WRITERS] = { .statement = &horizon_writers, .rows = &no_row, .count = 1 },
        [CURSOR] = { .statement = &follower_cursor, .rows = &place, .count = 1 },
    };
    int first = with_time ? CLOCK : LAST, end = name == NULL ? CURSOR : STEPS;
    enum error error;

    horizon->last = horizon->settled; /* after an error there is nothing to wait for */
    horizon->time_us = horizon->now_us = 0;
    horizon->writer_count = 0;
    arena_reset(horizon->arena);
    error = pg_round(pg, false, steps + first, (size_t)(end - first), horizon->arena);
    if (error != ERR_OK)
        return error;
    if (steps[LAST].ret_count != 1)
        return schema_is_old("sequence", horizon->sequence, "there is no such sequence");
    if (name != NULL && steps[CURSOR].ret_count != 1)
        return schema_is_old("cursor", name, "table event_cursor has no such row");
    if (name != NULL)
        *ret_cursor = number_of(&steps[CURSOR]);
    horizon->last = number_of(&steps[LAST]);
    horizon->writers = steps[WRITERS].ret_rows;
    horizon->writer_count = steps[WRITERS].ret_count;
    if (with_time) {
        horizon->now_us = number_of(&steps[CLOCK]);
        horizon->time_us = time_of(horizon->now_us, &steps[WRITERS_BEFORE]) - horizon->now_us +
                           store_least_us(horizon->now_us, clock_now_us());
    }
    return ERR_OK;
}

enum error
horizon_aim(struct horizon *horizon, struct pg *pg, bool with_time)
{
    return aim(horizon, pg, with_time, NULL, NULL);
}

static bool
is_writer_of(const struct horizon *horizon, const char *transaction)
{
    for (size_t i = 0; i < horizon->writer_count; i++) {
        if (strcmp(horizon->writers[i].transaction, transaction) == 0)
            return true;
    }
    return false;
}

enum error
horizon_look(struct horizon *horizon, struct pg *pg, struct arena *arena, bool *ret_is_settled,
             struct horizon_writer *ret_oldest)
{
    struct pg_answer answer = { 0 };
    const struct horizon_writer *writers;
    enum error error = ERR_OK;

    if (horizon->writer_count > 0)
        error = pg_ask(pg, &horizon_writers, NULL, arena, &answer);
    if (error != ERR_OK)
        return error;
    writers = answer.rows;
    *ret_is_settled = true;
    for (size_t i = 0; *ret_is_settled && i < answer.count; i++) {
        /* One that is prepared has another name after a crash of the server. */
        if (writers[i].pid == 0 || is_writer_of(horizon, writers[i].transaction)) {
            *ret_is_settled = false;
            *ret_oldest = writers[i];
        }
    }
    if (*ret_is_settled)
        horizon->settled = horizon->last;
    return ERR_OK;
}

/* ---- followers ---- */

void
follower_init(struct follower *follower)
{
    horizon_init(&follower->horizon, "event_seq");
    follower->looks = arena_new();
}

void
follower_free(struct follower *follower)
{
    horizon_free(&follower->horizon);
    follower->looks = arena_free(follower->looks);
}

/* What keeps the events, at a bounded rate: a person must be able to end it. */
static void
say_late(struct follower *follower, int64_t late_us, const struct horizon_writer *writer)
{
    if (clock_steady_us() < follower->late_due_us)
        return;
    follower->late_due_us = clock_steady_us() + LATE_AGAIN_US;
    follower->is_late = true;
    log_warn(
        "%s=late source=%s seconds=%" PRId64 " backend=%d application=%s state=\"%s\""
        " prepared=\"%s\" because=\"this transaction writes events and is open for that long\"",
        follower->who, follower->where, late_us / SECOND_US, (int)writer->pid, writer->application,
        writer->state, writer->prepared);
}

/* A transaction may stay open for days, and is looked at twenty times a second. */
static enum error
wait_for_writers(struct follower *follower)
{
    int64_t began_us = clock_steady_us(), settle_us = SETTLE_US;
    struct horizon_writer oldest;
    bool is_settled = false;
    enum error error;

    for (;;) {
        arena_reset(follower->looks);
        error =
            horizon_look(&follower->horizon, follower->pg, follower->looks, &is_settled, &oldest);
        if (error != ERR_OK || is_settled)
            break;
        if (clock_steady_us() - began_us > LATE_US)
            say_late(follower, clock_steady_us() - began_us, &oldest);
        if (!follower->pause(follower->owner, settle_us))
            return ERR_STOPPING;
        settle_us = settle_us < SETTLE_US_MAX ? 2 * settle_us : SETTLE_US_MAX;
    }
    if (error == ERR_OK && follower->is_late)
        log_info("%s=on_time source=%s", follower->who, follower->where);
    follower->is_late = follower->is_late && error != ERR_OK;
    return error;
}

enum error
follower_begin(struct follower *follower, bool with_time)
{
    struct horizon *horizon = &follower->horizon;
    enum error error = pg_connect(follower->pg);

    follower->until = 0;
    follower->backend = pg_backend_pid(follower->pg);
    if (error == ERR_OK)
        error = aim(horizon, follower->pg, with_time, follower->name, &follower->cursor);
    if (error == ERR_OK && follower->cursor < horizon->last)
        error = wait_for_writers(follower);
    if (error == ERR_OK)
        follower->until = horizon->last;
    return error;
}

/* A statement of a round that goes on. */
static enum error
ask_further(struct follower *follower, const struct pg_statement *statement, const void *row,
            struct arena *arena, struct pg_answer *ret_answer)
{
    if (pg_backend_pid(follower->pg) != follower->backend)
        return ERR_STORE_DOWN;
    return pg_ask(follower->pg, statement, row, arena, ret_answer);
}

bool
follower_has_more(const struct follower *follower)
{
    return follower->cursor < follower->until;
}

enum error
follower_read(struct follower *follower, struct arena *arena,
              const struct followed_event **ret_events, size_t *ret_count)
{
    struct range range = { follower->cursor, follower->until };
    const struct followed_event *events;
    struct pg_answer answer;
    enum error error = ask_further(follower, &follower_page, &range, arena, &answer);

    if (error != ERR_OK)
        return error;
    events = answer.rows;
    /* Behind the last page there may be numbers that were drawn in vain. */
    follower->page_end =
        answer.count == FOLLOWER_PAGE ? events[answer.count - 1].seq : follower->until;
    *ret_events = events;
    *ret_count = answer.count;
    return ERR_OK;
}

enum error
follower_move(struct follower *follower, struct arena *arena)
{
    struct place place = { follower->name, follower->page_end };
    enum error error = ask_further(follower, &follower_done, &place, arena, NULL);

    if (error == ERR_OK)
        follower->cursor = follower->page_end;
    return error;
}
