/* shard_write.c -- What a tick decided goes to the database: one page and its rows, in one transaction.
 *
 * A page that was decided is written, however long the database is away. Where the database refuses it for
 * what is in it, it is written saga by saga, a page each, so that the others are not held up. A saga whose
 * own page is refused is set aside: memory is ahead of its journal, so what is in memory of it is dropped,
 * nothing that was decided is done, and it is read again from what is written, each minute and whenever a
 * person asks. Where not even an empty page can be written no saga is to blame, and all wait.
 */
#include "mesh/base/clock.h"
#include "mesh/base/die.h"
#include "mesh/base/log.h"
#include "saga/shard_inner.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

void
shard_wait(int64_t us)
{
    const struct timespec pause = { .tv_sec = us / SECOND_US, .tv_nsec = us % SECOND_US * 1000 };

    nanosleep(&pause, NULL);
}

static void
tell_written(struct shard *shard, bool is_written)
{
    const struct shards_options *options = &shard->shards->options;

    if (options->wrote != NULL)
        options->wrote(options->wrote_owner, is_written);
}

/* No caller was promised anything of this page. */
static void
die_when_stopping(const struct shard *shard)
{
    if (atomic_load(&shard->shards->is_stopping))
        die("shard=%d page=%lld because=\"it was told to stop, and the page cannot be written\"",
            shard->number, (long long)shard->next_page);
}

/* ERR_OK, or what is in it cannot be written: ERR_INTERNAL: the database refuses it; ERR_BUSY: another
 * transaction keeps a row of it locked; ERR_CONFLICT: another has the shard, and this memory is its history now. */
static enum error
write_one(struct shard *shard, const struct journal_tick *write)
{
    enum error error;

    while ((error = journal_write(shard->journal, shard->next_page, write)) != ERR_OK) {
        if (error == ERR_BUSY)
            return error; /* the others can be written */
        if (error == ERR_CONFLICT) {
            shard->is_lost = true;
            return error;
        }
        tell_written(shard, false);
        if (error == ERR_INTERNAL)
            return error;
        shard_refuse_waiting(shard);
        die_when_stopping(shard);
        shard_wait(STORE_RETRY_US);
    }
    tell_written(shard, true);
    if (write->floor_page > 0)
        shard->floor_page = write->floor_page;
    if (write->body[0] != '\0')
        shard->last_body_page = shard->next_page;
    shard->next_page++;
    return ERR_OK;
}

/* An empty page: is it the journal that cannot be written, also with nothing in it? Its number may be taken by a
 * page that is none of ours, so each try takes another. */
static void
wait_for_journal(struct shard *shard)
{
    const struct journal_tick empty = { .body = "" };

    while (write_one(shard, &empty) != ERR_OK && !shard->is_lost) {
        log_error(
            "shard=%d page=%lld event=JOURNAL_REFUSED because=\"not even an empty page can be "
            "written; the database says why above\" next=\"all sagas wait for it\"",
            shard->number, (long long)shard->next_page);
        shard->next_page++;
        shard_refuse_waiting(shard);
        die_when_stopping(shard);
        shard_wait(SECOND_US);
    }
}

/* ---- saga by saga ---- */

/* The sagas that the tick writes something of, each once. */
static size_t
list_sagas(const struct tick *tick, struct uuid *ids)
{
    size_t count = 0;

    for (size_t i = 0; i < tick->touched_count; i++)
        ids[count++] = tick->touched[i]->id;
    for (size_t i = 0; i < tick->parked_count; i++)
        ids[count++] = tick->parked[i]->id;
    for (size_t i = 0; i < tick->op_count;
         i++) { /* a decision that changed nothing touches no saga */
        size_t n = 0;

        while (n < count && !uuid_equal(ids[n], tick->op_sagas[i]))
            n++;
        if (n == count)
            ids[count++] = tick->op_sagas[i];
    }
    return count;
}

static void
put_lines(const struct shard *shard, struct uuid id, struct json_writer *lines)
{
    const char *at = shard->page_bytes == 0 ? "" : shard->page;
    struct uuid of;

    while (*at != '\0') {
        size_t bytes = strcspn(at, "\n") + 1; /* each line has its end */

        if (unread_line_id(at, bytes, &of) && uuid_equal(of, id)) {
            json_put_raw(lines, NULL, at, bytes);
            lines->needs_comma = false; /* they are lines, no list */
        }
        at += bytes;
    }
}

static size_t
pick_rows(const struct journal_row *const *rows, size_t count, struct uuid id,
          const struct journal_row **ret_rows)
{
    size_t found = 0;

    for (size_t i = 0; i < count; i++) {
        if (uuid_equal(rows[i]->id, id))
            ret_rows[found++] = rows[i];
    }
    return found;
}

/* What the tick writes of one saga. */
static enum error
write_saga(struct shard *shard, const struct tick *tick, struct uuid id)
{
    const struct journal_row *parked[2], *finals[2]; /* one saga has one row at most of each */
    const struct uuid *unparked[1] = { &id };
    const struct op_row **ops = arena_take(tick->arena, tick->op_count * sizeof *ops);
    struct json_writer lines = { 0 };
    struct journal_tick write = {
        .parked = parked, .finals = finals, .unparked = unparked, .ops = ops
    };
    enum error error;

    put_lines(shard, id, &lines);
    write.body = lines.bytes == 0 ? "" : lines.text;
    write.parked_count = pick_rows(tick->parked, tick->parked_count, id, parked);
    write.final_count = pick_rows(tick->finals, tick->final_count, id, finals);
    for (size_t i = 0; i < tick->unparked_count; i++)
        write.unparked_count = write.unparked_count || uuid_equal(*tick->unparked[i], id);
    for (size_t i = 0; i < tick->op_count; i++) {
        if (uuid_equal(tick->op_sagas[i], id))
            ops[write.op_count++] = tick->ops[i];
    }
    error = write_one(shard, &write);
    json_writer_free(&lines);
    return error;
}

/* Nothing of what was decided about it happened, for this error. */
static void
take_back(struct shard *shard, struct tick *tick, struct uuid id, int64_t first_page,
          enum error error)
{
    struct live *live = live_find(shard, id);
    bool is_new;

    for (size_t i = 0; i < tick->answer_count; i++) {
        struct op *op = tick->answers[i]->op;

        if (!uuid_equal(saga_id_of(tick->answers[i]), id))
            continue;
        if (error == ERR_BUSY)
            problem_set(&op->problem, ERR_CONFLICT, "saga_id",
                        "another transaction keeps its row locked");
        else
            problem_set(&op->problem, ERR_INTERNAL, "saga_id",
                        "what was decided cannot be written");
        op->problem.is_stored = false;
    }
    if (live == NULL)
        return; /* an op about a saga that has ended */
    for (size_t i = 0; i < tick->touched_count; i++) {
        if (tick->touched[i] == live)
            tick->touched[i--] = tick->touched[--tick->touched_count];
    }
    live->is_touched = false;
    is_new = live->parked_page == 0 && live->first_page >= first_page;
    if (unread_final(live) != NULL) {
        unread_go_on(live);
    } else if (is_new && live->unread == NULL) { /* it has not begun */
        watch_end(shard, live);
        live_remove(shard, live);
    } else {
        unread_unwritten(shard, live, error == ERR_BUSY);
    }
}

/* error: why they cannot be written together. */
static void
write_apart(struct shard *shard, struct tick *tick, enum error error)
{
    size_t size = tick->touched_count + tick->parked_count + tick->op_count;
    struct uuid *ids = arena_take(tick->arena, size * sizeof *ids);
    size_t count = list_sagas(tick, ids);
    int64_t first_page = shard->next_page;

    log_warn("shard=%d page=%lld sagas=%zu event=%s next=\"it is written saga by saga\"",
             shard->number, (long long)shard->next_page, count,
             error == ERR_BUSY ? "ROWS_LOCKED" : "PAGE_REFUSED");
    wait_for_journal(shard);
    for (size_t i = 0; i < count && !shard->is_lost; i++) {
        error = write_saga(shard, tick, ids[i]);
        if (error != ERR_OK && !shard->is_lost)
            take_back(shard, tick, ids[i], first_page, error);
    }
}

void
shard_write(struct shard *shard, struct tick *tick)
{
    struct journal_tick write = {
        .body = shard->page_bytes == 0 ? "" : shard->page,
        .parked = tick->parked,
        .parked_count = tick->parked_count,
        .finals = tick->finals,
        .final_count = tick->final_count,
        .unparked = tick->unparked,
        .unparked_count = tick->unparked_count,
        .ops = (const struct op_row *const *)tick->ops,
        .op_count = tick->op_count,
        .floor_page = tick->floor_is_due ? shard_floor(shard) : 0,
        .now_us = shard->now_us,
    };

    enum error error = write_one(shard, &write);

    if (error == ERR_BUSY && write.floor_page > 0) { /* that can wait */
        write.floor_page = 0;
        error = write_one(shard, &write);
    }
    if (error != ERR_OK && !shard->is_lost)
        write_apart(shard, tick, error);
}
