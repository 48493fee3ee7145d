#include "mesh/store/journal.h"
#include "mesh/base/clock.h"
#include "mesh/base/crash.h"
#include "mesh/base/log.h"
#include "mesh/store/partition.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { STATEMENTS_MAX = 64 };

struct journal {
    struct journal_options options;
    struct pg *pg; /* the options' */
    int32_t shard;
    struct uuid owner; /* this process, this time: tells our own epoch from another's */
    int64_t epoch;     /* 0: not owned yet */
    bool is_in_doubt;  /* the last COMMIT may have happened */
    struct arena *arena;
};

/* ---- statements ---- */

struct own_row {
    int32_t shard;
    struct uuid owner;
    int64_t epoch, floor_page, next_page, now_us;
};

/* clang-format off */
static const struct pg_column own_in[] = {
    PG_COLUMN(struct own_row, shard, PG_INT4),
    PG_COLUMN(struct own_row, owner, PG_UUID),
    { 0 },
};
static const struct pg_column own_out[] = {
    PG_COLUMN(struct own_row, epoch, PG_INT8),
    PG_COLUMN(struct own_row, floor_page, PG_INT8),
    PG_COLUMN(struct own_row, now_us, PG_INT8),
    { 0 },
};
static const struct pg_column next_out[] = { PG_COLUMN(struct own_row, next_page, PG_INT8), { 0 } };
static const struct pg_column epoch_out[] = { PG_COLUMN(struct own_row, epoch, PG_INT8), { 0 } };
static const struct pg_column page_in[] = {
    PG_COLUMN(struct journal_page_row, shard, PG_INT4),
    PG_COLUMN(struct journal_page_row, page, PG_INT8),
    PG_COLUMN(struct journal_page_row, epoch, PG_INT8),
    PG_COLUMN(struct journal_page_row, body, PG_TEXT),
    { 0 },
};
static const struct pg_column scan_in[] = {
    PG_COLUMN(struct journal_page_row, shard, PG_INT4),
    PG_COLUMN(struct journal_page_row, page, PG_INT8),
    PG_COLUMN(struct journal_page_row, max, PG_INT4),
    { 0 },
};
static const struct pg_column scan_out[] = {
    PG_COLUMN(struct journal_page, page, PG_INT8),
    PG_COLUMN(struct journal_page, body, PG_TEXT),
    { 0 },
};
static const struct pg_column floor_in[] = {
    PG_COLUMN(struct journal_page_row, shard, PG_INT4),
    PG_COLUMN(struct journal_page_row, floor_page, PG_INT8),
    { 0 },
};
static const struct pg_column floor_set_in[] = {
    PG_COLUMN(struct journal_page_row, shard, PG_INT4),
    PG_COLUMN(struct journal_page_row, floor_page, PG_INT8),
    PG_COLUMN(struct journal_page_row, now_us, PG_INT8),
    { 0 },
};
static const struct pg_column shard_in[] = { PG_COLUMN(struct journal_page_row, shard, PG_INT4), { 0 } };
static const struct pg_column id_in[] = { { "id", PG_UUID, 0 }, { 0 } };
static const struct pg_column row_columns[] = {
    PG_COLUMN(struct journal_row, id, PG_UUID),
    PG_COLUMN(struct journal_row, shard, PG_INT4),
    PG_COLUMN(struct journal_row, page, PG_INT8),
    PG_COLUMN(struct journal_row, fingerprint, PG_INT8),
    PG_COLUMN(struct journal_row, next_us, PG_INT8),
    PG_COLUMN(struct journal_row, phase, PG_TEXT),
    PG_COLUMN(struct journal_row, place, PG_INT8),
    PG_COLUMN(struct journal_row, kind, PG_TEXT),
    PG_COLUMN(struct journal_row, body, PG_TEXT),
    { 0 },
};
static const struct pg_column final_columns[] = {
    PG_COLUMN(struct journal_row, id, PG_UUID),
    PG_COLUMN(struct journal_row, shard, PG_INT4),
    PG_COLUMN(struct journal_row, fingerprint, PG_INT8),
    PG_COLUMN(struct journal_row, phase, PG_TEXT),
    PG_COLUMN(struct journal_row, place, PG_INT8),
    PG_COLUMN(struct journal_row, body, PG_TEXT),
    { 0 },
};
struct final_range {
    int32_t shard;
    int64_t before;
    int32_t max;
};
static const struct pg_column final_page_in[] = {
    PG_COLUMN(struct final_range, shard, PG_INT4),
    PG_COLUMN(struct final_range, before, PG_INT8),
    PG_COLUMN(struct final_range, max, PG_INT4),
    { 0 },
};
/* clang-format on */

/* Waits for the old owner's open transaction, which holds the row FOR SHARE: so it also settles
 * whether that one's COMMIT happened. */
static const struct pg_statement journal_take = {
    .name = "journal_own",
    .sql = "UPDATE journal_shard SET epoch = epoch + 1, owner = $2 WHERE shard = $1"
           " RETURNING epoch, floor_page, now_us",
    .in = own_in,
    .is_single = true,
    .out = own_out,
    .out_bytes = sizeof(struct own_row),
};

/* A statement of its own, after that one: the page that it waited for is in no snapshot taken before
 * the wait. */
static const struct pg_statement next_find = {
    .name = "journal_next",
    .sql = "SELECT coalesce((SELECT max(page) + 1 FROM journal_page p WHERE p.shard = s.shard),"
           " floor_page) FROM journal_shard s WHERE s.shard = $1",
    .in = shard_in,
    .is_single = true,
    .out = next_out,
    .out_bytes = sizeof(struct own_row),
};

static const struct pg_statement shard_make = {
    .name = "journal_shard_make",
    .sql = "INSERT INTO journal_shard (shard) VALUES ($1) ON CONFLICT DO NOTHING",
    .in = shard_in,
    .is_single = true,
};

static const struct pg_statement owner_find = {
    .name = "journal_owner",
    .sql = "SELECT epoch FROM journal_shard WHERE shard = $1 AND owner = $2",
    .in = own_in,
    .is_single = true,
    .out = epoch_out,
    .out_bytes = sizeof(struct own_row),
};

static const struct pg_statement raise_epoch = {
    .name = "journal_raise",
    .sql = "UPDATE journal_shard SET epoch = epoch + 1 WHERE shard = $1 AND owner = $2"
           " RETURNING epoch",
    .in = own_in,
    .is_single = true,
    .out = epoch_out,
    .out_bytes = sizeof(struct own_row),
};

const struct pg_statement journal_page_insert = {
    .name = "journal_page_insert",
    .sql = "INSERT INTO journal_page (shard, page, epoch, body)"
           " SELECT s.shard, $2, $3, $4 FROM (SELECT shard FROM journal_shard"
           " WHERE shard = $1 AND epoch = $3 FOR SHARE) AS s",
    .in = page_in,
    .is_single = true,
};

static const struct pg_statement page_scan = {
    .name = "journal_page_scan",
    .sql = "SELECT page, body FROM journal_page WHERE shard = $1 AND page >= $2"
           " ORDER BY page LIMIT $3::int",
    .in = scan_in,
    .is_single = true,
    .out = scan_out,
    .out_bytes = sizeof(struct journal_page),
};

const struct pg_statement journal_floor_set = {
    .name = "journal_floor_set",
    .sql = "UPDATE journal_shard SET floor_page = $2, now_us = $3 WHERE shard = $1",
    .in = floor_set_in,
    .is_single = true,
};

/* A page that another transaction keeps locked is deleted with the next floor. */
const struct pg_statement journal_page_delete = {
    .name = "journal_page_delete",
    .sql = "DELETE FROM journal_page p USING (SELECT page FROM journal_page WHERE shard = $1"
           " AND page < $2 FOR UPDATE SKIP LOCKED) AS k WHERE p.shard = $1 AND p.page = k.page",
    .in = floor_in,
    .is_single = true,
};

static const struct pg_statement parked_index = {
    .name = "journal_parked_index",
    .sql = "SELECT id, shard, page, fingerprint, next_us, phase, place, kind FROM journal_parked"
           " WHERE shard = $1 ORDER BY id",
    .in = shard_in,
    .is_single = true,
    .out = row_columns,
    .out_bytes = sizeof(struct journal_row),
};

static const struct pg_statement parked_find = {
    .name = "journal_parked_find",
    .sql =
        "SELECT p.id, p.shard, p.page, p.fingerprint, p.next_us, p.phase, p.place, p.kind, p.body"
        " FROM unnest($1::uuid[]) AS k(id) JOIN journal_parked p ON p.id = k.id",
    .in = id_in,
    .out = row_columns,
    .out_bytes = sizeof(struct journal_row),
};

static const struct pg_statement final_find = {
    .name = "journal_final_find",
    .sql = "SELECT f.id, f.shard, f.fingerprint, f.phase, f.place, f.body"
           " FROM unnest($1::uuid[]) AS k(id) JOIN journal_final f ON f.id = k.id",
    .in = id_in,
    .out = final_columns,
    .out_bytes = sizeof(struct journal_row),
};

static const struct pg_statement final_page = {
    .name = "journal_final_page",
    .sql = "SELECT id, shard, fingerprint, phase, place, body FROM journal_final"
           " WHERE place < $2 AND shard = $1 ORDER BY place DESC LIMIT $3::int",
    .in = final_page_in,
    .is_single = true,
    .out = final_columns,
    .out_bytes = sizeof(struct journal_row),
};

static const struct pg_statement parked_save = {
    .name = "journal_parked_save",
    .sql = "INSERT INTO journal_parked (id, shard, page, fingerprint, next_us, phase, place, kind,"
           " body)"
           " SELECT * FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[],"
           " $6::text[], $7::bigint[], $8::text[], $9::text[])"
           " ON CONFLICT (id) DO UPDATE SET page = EXCLUDED.page, next_us = EXCLUDED.next_us,"
           " phase = EXCLUDED.phase, kind = coalesce(EXCLUDED.kind, journal_parked.kind),"
           " body = EXCLUDED.body",
    .in = row_columns,
};

static const struct pg_statement parked_delete = {
    .name = "journal_parked_delete",
    .sql = "DELETE FROM journal_parked p USING unnest($1::uuid[]) AS k(id) WHERE p.id = k.id",
    .in = id_in,
};

const struct pg_statement journal_final_save = {
    .name = "journal_final_save",
    .sql = "INSERT INTO journal_final (id, shard, fingerprint, phase, place, body) SELECT * FROM"
           " unnest($1::uuid[], $2::int[], $3::bigint[], $4::text[], $5::bigint[], $6::text[])",
    .in = final_columns,
};

static const struct pg_statement final_replace = {
    .name = "journal_final_replace",
    .sql = "INSERT INTO journal_final (id, shard, fingerprint, phase, place, body) SELECT * FROM"
           " unnest($1::uuid[], $2::int[], $3::bigint[], $4::text[], $5::bigint[], $6::text[])"
           " ON CONFLICT (id) DO UPDATE SET shard = EXCLUDED.shard, phase = EXCLUDED.phase,"
           " place = EXCLUDED.place, body = EXCLUDED.body",
    .in = final_columns,
};

const struct pg_statement *const journal_statements[] = {
    &journal_take,      &next_find,           &owner_find,
    &raise_epoch,       &journal_page_insert, &page_scan,
    &journal_floor_set, &journal_page_delete, &parked_find,
    &final_find,        &final_page,          &parked_save,
    &parked_delete,     &journal_final_save,  &final_replace,
    &shard_make,        &parked_index,        &op_load,
    &op_insert,         &partitions_keep,     NULL,
};

/* ---- */

enum error
journal_shard_count(const char *conninfo, int *ret_count)
{
    struct pg *pg = pg_new(conninfo, "saga-svc", NULL);
    struct arena *arena = arena_new();
    const char *text = "";
    enum error error = pg_text(pg, "SELECT count(*) FROM journal_shard", arena, &text);

    if (error == ERR_OK)
        *ret_count = atoi(text);
    arena_free(arena);
    pg_free(pg);
    return error;
}

struct pg *
journal_pg_new(const char *conninfo, const char *application,
               const struct pg_statement *const *further)
{
    const struct pg_statement *all[STATEMENTS_MAX + 1] = { 0 };
    size_t count = 0;
    struct pg *pg;

    for (const struct pg_statement *const *next = journal_statements; *next != NULL; next++)
        all[count++] = *next;
    for (; further != NULL && *further != NULL; further++) {
        assert(count < STATEMENTS_MAX);
        all[count++] = *further;
    }
    pg = pg_new(conninfo, application, all);
    pg_set_lock_timeout(pg, JOURNAL_LOCK_MS);
    return pg;
}

struct journal *
journal_new(const struct journal_options *options)
{
    struct journal *journal = memory_take(sizeof *journal);

    journal->options = *options;
    journal->pg = options->pg;
    journal->shard = options->shard;
    journal->owner = uuid_v7(clock_now_us());
    journal->arena = arena_new();
    return journal;
}

struct journal *
journal_free(struct journal *journal)
{
    if (journal == NULL)
        return NULL;
    arena_free(journal->arena);
    free(journal);
    return NULL;
}

static enum error
lost(const struct journal *journal)
{
    log_warn("journal=lost shard=%d because=\"another replica owns it now\"", journal->shard);
    return ERR_CONFLICT;
}

enum error
journal_connect(struct journal *journal)
{
    return pg_connect(journal->pg);
}

enum error
journal_shard_make(struct journal *journal)
{
    struct journal_page_row row = { .shard = journal->shard };
    enum error error = pg_ask(journal->pg, &shard_make, &row, journal->arena, NULL);

    arena_reset(journal->arena);
    return error;
}

enum error
journal_own(struct journal *journal, struct journal_owned *ret_owned)
{
    struct own_row row = { .shard = journal->shard, .owner = journal->owner };
    const void *row_pointer = &row;
    struct pg_step steps[2] = {
        { .statement = &journal_take, .rows = &row_pointer, .count = 1 },
        { .statement = &next_find, .rows = &row_pointer, .count = 1 },
    };
    enum error error = pg_connect(journal->pg);

    if (error == ERR_OK)
        error = pg_round(journal->pg, false, steps, 2, journal->arena);
    if (error == ERR_OK && (steps[0].ret_count != 1 || steps[1].ret_count != 1))
        error = ERR_INTERNAL; /* the schema makes the shard rows */
    if (error == ERR_OK) {
        const struct own_row *taken = steps[0].ret_rows, *next = steps[1].ret_rows;

        journal->epoch = taken->epoch;
        *ret_owned = (struct journal_owned){ .floor_page = taken->floor_page,
                                             .next_page = next->next_page,
                                             .now_us = taken->now_us };
    }
    arena_reset(journal->arena);
    return error;
}

enum error
journal_check(struct journal *journal)
{
    struct own_row row = { .shard = journal->shard, .owner = journal->owner };
    struct pg_answer answer;
    enum error error = pg_ask(journal->pg, &owner_find, &row, journal->arena, &answer);

    if (error == ERR_OK && answer.count != 1)
        error = lost(journal);
    arena_reset(journal->arena);
    return error;
}

enum error
journal_pages(struct journal *journal, int64_t from, int max, struct arena *arena,
              struct journal_page **ret_pages, size_t *ret_count)
{
    struct journal_page_row row = { .shard = journal->shard, .page = from, .max = max };
    struct pg_answer answer;
    enum error error = pg_ask(journal->pg, &page_scan, &row, arena, &answer);

    *ret_pages = answer.rows;
    *ret_count = answer.count;
    return error;
}

enum error
journal_parked_index(struct journal *journal, struct arena *arena, struct journal_row **ret_rows,
                     size_t *ret_count)
{
    struct journal_page_row row = { .shard = journal->shard };
    struct pg_answer answer;
    enum error error = pg_ask(journal->pg, &parked_index, &row, arena, &answer);

    *ret_rows = answer.rows;
    *ret_count = answer.count;
    return error;
}

/* One table's row of one id. Of a row that the database itself cannot read, only that it is there. */
static enum error
find_one(struct journal *journal, const struct pg_statement *statement, const struct uuid *id,
         struct arena *arena, struct journal_row *rows, size_t *count)
{
    struct pg_answer answer;
    enum error error = pg_ask(journal->pg, statement, id, arena, &answer);

    if (error == ERR_INTERNAL)
        rows[(*count)++] = (struct journal_row){ .id = *id, .shard = journal->shard };
    else if (error == ERR_OK && answer.count > 0)
        rows[(*count)++] = *(const struct journal_row *)answer.rows;
    return error == ERR_INTERNAL ? ERR_OK : error;
}

/* Id by id, so that one row that cannot be read hides no others. */
static enum error
find_apart(struct journal *journal, const struct uuid *ids, size_t count, struct arena *arena,
           struct journal_row **ret_parked, size_t *ret_parked_count,
           struct journal_row **ret_finals, size_t *ret_final_count)
{
    enum error error = ERR_OK;

    *ret_parked = arena_take(arena, count * sizeof **ret_parked);
    *ret_finals = arena_take(arena, count * sizeof **ret_finals);
    *ret_parked_count = *ret_final_count = 0;
    for (size_t i = 0; i < count && error == ERR_OK; i++) {
        error = find_one(journal, &parked_find, &ids[i], arena, *ret_parked, ret_parked_count);
        if (error == ERR_OK)
            error = find_one(journal, &final_find, &ids[i], arena, *ret_finals, ret_final_count);
    }
    return error;
}

const struct journal_row *
journal_row_find(const struct journal_row *rows, size_t count, struct uuid id)
{
    for (size_t i = 0; i < count; i++) {
        if (uuid_equal(rows[i].id, id))
            return &rows[i];
    }
    return NULL;
}

enum error
journal_find(struct journal *journal, const struct uuid *ids, size_t count, struct arena *arena,
             struct journal_row **ret_parked, size_t *ret_parked_count,
             struct journal_row **ret_finals, size_t *ret_final_count)
{
    const void **keys = arena_take(arena, count * sizeof *keys);
    struct pg_step steps[2] = {
        { .statement = &parked_find, .rows = keys, .count = count },
        { .statement = &final_find, .rows = keys, .count = count },
    };
    enum error error = pg_connect(journal->pg);

    for (size_t i = 0; i < count; i++)
        keys[i] = &ids[i];
    if (error == ERR_OK)
        error = pg_round(journal->pg, false, steps, 2, arena);
    if (error == ERR_INTERNAL)
        return find_apart(journal, ids, count, arena, ret_parked, ret_parked_count, ret_finals,
                          ret_final_count);
    *ret_parked = steps[0].ret_rows;
    *ret_parked_count = steps[0].ret_count;
    *ret_finals = steps[1].ret_rows;
    *ret_final_count = steps[1].ret_count;
    return error;
}

enum error
journal_find_ops(struct journal *journal, const struct uuid *ids, size_t count, struct arena *arena,
                 struct op_row **ret_rows, size_t *ret_count)
{
    const void **keys = arena_take(arena, count * sizeof *keys);
    struct pg_step step = { .statement = &op_load, .rows = keys, .count = count };
    enum error error = pg_connect(journal->pg);

    for (size_t i = 0; i < count; i++)
        keys[i] = &ids[i];
    if (error == ERR_OK)
        error = pg_round(journal->pg, false, &step, 1, arena);
    *ret_rows = step.ret_rows;
    *ret_count = step.ret_count;
    return error;
}

enum error
journal_final_page(struct journal *journal, int64_t before, int max, struct arena *arena,
                   struct journal_row **ret_rows, size_t *ret_count)
{
    struct final_range row = { .shard = journal->shard, .before = before, .max = max };
    struct pg_answer answer;
    enum error error;

    error = pg_ask(journal->pg, &final_page, &row, arena, &answer);
    *ret_rows = answer.rows;
    *ret_count = answer.count;
    return error;
}

/* After a COMMIT in doubt: raise our own epoch, which waits for the old session's end and fences it,
 * and see whether the page is there. */
static enum error
settle(struct journal *journal, int64_t page, bool *ret_is_written)
{
    struct own_row row = { .shard = journal->shard, .owner = journal->owner };
    struct journal_page_row look = { .shard = journal->shard, .page = page, .max = 1 };
    struct pg_answer answer;
    const struct journal_page *found;
    enum error error = pg_ask(journal->pg, &raise_epoch, &row, journal->arena, &answer);

    if (error == ERR_CONFLICT)
        return ERR_STORE_DOWN; /* the old session still holds its lock: again in a moment */
    if (error != ERR_OK)
        return error;
    if (answer.count != 1)
        return ERR_CONFLICT;
    journal->epoch = ((const struct own_row *)answer.rows)->epoch;
    error = pg_ask(journal->pg, &page_scan, &look, journal->arena, &answer);
    if (error != ERR_OK)
        return error == ERR_CONFLICT ? ERR_STORE_DOWN
                                     : error; /* a lock of the table, not a lost epoch */
    found = answer.rows;
    *ret_is_written = answer.count == 1 && found->page == page;
    journal->is_in_doubt = false;
    log_warn("journal=settled shard=%d page=%lld written=%s", journal->shard, (long long)page,
             *ret_is_written ? "yes" : "no");
    return ERR_OK;
}

static void
step_add(struct pg_step *steps, size_t *count, const struct pg_statement *statement,
         const void *const *rows, size_t row_count)
{
    if (row_count > 0)
        steps[(*count)++] =
            (struct pg_step){ .statement = statement, .rows = rows, .count = row_count };
}

static enum error
write_page(struct journal *journal, int64_t page, const struct journal_tick *tick)
{
    struct journal_page_row row = { .shard = journal->shard,
                                    .page = page,
                                    .epoch = journal->epoch,
                                    .body = tick->body,
                                    .floor_page = tick->floor_page,
                                    .now_us = tick->now_us };
    const void *row_pointer = &row;
    struct pg_step steps[7 + JOURNAL_FURTHER_MAX];
    size_t count = 0, floors = tick->floor_page > 0 ? 1 : 0;
    enum error error = pg_connect(journal->pg);

    assert(tick->further_count <= JOURNAL_FURTHER_MAX);
    if (error != ERR_OK)
        return error;
    step_add(steps, &count, &journal_page_insert, &row_pointer, 1);
    step_add(steps, &count, &parked_save, (const void *const *)tick->parked, tick->parked_count);
    step_add(steps, &count, journal->options.replaces_finals ? &final_replace : &journal_final_save,
             (const void *const *)tick->finals, tick->final_count);
    step_add(steps, &count, &parked_delete, (const void *const *)tick->unparked,
             tick->unparked_count);
    step_add(steps, &count, &op_insert, (const void *const *)tick->ops, tick->op_count);
    for (size_t i = 0; i < tick->further_count; i++)
        step_add(steps, &count, tick->further[i].statement, tick->further[i].rows,
                 tick->further[i].count);
    step_add(steps, &count, &journal_floor_set, &row_pointer, floors);
    step_add(steps, &count, &journal_page_delete, &row_pointer, floors);
    error = pg_round(journal->pg, true, steps, count, journal->arena);
    if (error == ERR_OK && steps[0].ret_changed != 1)
        return ERR_TOO_LATE; /* no such epoch any more */
    if (error == ERR_CONFLICT && pg_why(journal->pg) == PG_WHY_DUPLICATE)
        return ERR_INTERNAL; /* under our own epoch, nobody else was first: again would be for ever */
    return error;
}

/* After a clock has jumped, or weeks of a suspended machine, a week has no partition yet. */
static enum error
write_page_anyway(struct journal *journal, int64_t page, const struct journal_tick *tick)
{
    enum error error = write_page(journal, page, tick);

    if (error != ERR_INTERNAL || pg_why(journal->pg) != PG_WHY_NO_PARTITION)
        return error;
    pg_rollback(journal->pg);
    log_warn("journal=write shard=%d event=PARTITION_MISSING", journal->shard);
    error = partitions_make(journal->options.partitions, journal->pg);
    if (error == ERR_CONFLICT)
        return ERR_STORE_DOWN; /* another replica is at it */
    return error == ERR_OK ? write_page(journal, page, tick) : error;
}

/* The last round waited for a lock in vain. Is it what the tick brings along that is locked, and not the
 * journal itself? */
static bool
is_row_locked(const struct journal *journal)
{
    return pg_why(journal->pg) == PG_WHY_ROW_LOCKED &&
           pg_failed_statement(journal->pg) != &journal_page_insert;
}

enum error
journal_write(struct journal *journal, int64_t page, const struct journal_tick *tick)
{
    bool is_written = false;
    enum error error = ERR_OK;

    assert(journal->epoch > 0);
    if (journal->is_in_doubt)
        error = settle(journal, page, &is_written);
    if (error == ERR_OK && !is_written) {
        error = write_page_anyway(journal, page, tick);
        if (error == ERR_CONFLICT && is_row_locked(journal))
            error = ERR_BUSY;
        crash_point("journal.before-commit");
        if (error == ERR_OK)
            error = pg_commit(journal->pg);
        if (error == ERR_OK)
            crash_point("journal.after-commit");
    }
    if (error != ERR_OK)
        pg_rollback(journal->pg);
    arena_reset(journal->arena);
    switch (error) {
    case ERR_UNCERTAIN:
        journal->is_in_doubt = true;
        return ERR_STORE_DOWN;
    case ERR_TOO_LATE:
        return lost(journal);
    case ERR_CONFLICT:
        return journal->is_in_doubt ? lost(journal) : ERR_STORE_DOWN; /* a lock: again */
    default:
        return error;
    }
}
