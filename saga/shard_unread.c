/* shard_unread.c -- Sagas that are set aside: they are stuck and say why, and the others go on.
 *
 * UNREADABLE: a row, a record or a definition of one is not what this program can make sense of. Nothing of it
 * is thrown away: its last state and the records since are kept as text, in a row of its own, so that it
 * pins no pages. A retry has it read again, and so has each start: what was mended, here or there, makes it
 * a saga like others.
 * UNWRITTEN: the database refuses what was decided about one (shard_write.c). Its row and its pages have all
 * that is true of it, and are kept. It is read again each minute, and by a retry; where another
 * transaction keeps its row locked, every few seconds.
 */
#define _GNU_SOURCE /* memmem */
#include "mesh/base/log.h"
#include "saga/shard_inner.h"

#include <stdlib.h>
#include <string.h>

#define BODY_BEGIN "{\"unread\":"

enum { LINE_HEAD_BYTES = 80 }; /* a record begins with its kind and its saga */

enum unread_kind {
    UNREAD_KEPT,      /* all of it is in the row that is made for it */
    UNREAD_PINNED,    /* the database cannot read its row; that and its pages stay */
    UNREAD_UNWRITTEN, /* the same, and the database refuses decisions about it */
};

struct unread {
    enum unread_kind kind;
    char *because;
    char *row; /* an instance's text, whether it can be read or not; NULL: there is none */
    struct json_writer records; /* one a line, each with its end */
    const char *final;          /* of the tick that ends it by hand; NULL: none does */
    bool is_saved;              /* a row of the database has all of it */
};

static char *
text_copy(const char *text, size_t bytes)
{
    char *copy = memory_take(bytes + 1);

    memcpy(copy, text, bytes);
    return copy;
}

void
unread_free(struct shard *shard, struct live *live)
{
    if (live->unread == NULL)
        return;
    if (live->unread->kind != UNREAD_KEPT && --shard->pinned_count == 0)
        shard->pinned_page = 0;
    shard->unread_count--;
    free(live->unread->because);
    free(live->unread->row);
    json_writer_free(&live->unread->records);
    free(live->unread);
    live->unread = NULL;
}

static void
append_lines(struct json_writer *records, const char *text, size_t bytes)
{
    json_put_raw(records, NULL, text, bytes);
    records->needs_comma = false; /* they are lines, no list */
}

/* ---- setting aside ---- */

static void
begin(struct shard *shard, struct live *live, enum unread_kind kind, const char *because)
{
    struct log_trace before =
        log_trace_begin(live->instance == NULL ? NULL : live->instance->traceparent);
    char id[UUID_TEXT_BYTES + 1];

    unread_free(shard, live);
    live->unread = memory_take(sizeof *live->unread);
    shard->unread_count++;
    live->unread->because = text_copy(because, strlen(because));
    live->unread->kind = kind;
    live->phase = PHASE_STUCK;
    timer_stop(shard, live);
    live->is_under_way = false;
    log_error("saga=%s event=%s because=\"%s\" "
              "next=\"mend what it names; sagactl retry has it read again\"",
              uuid_print(live->id, id), unread_code(live), because);
    log_trace_end(&before);
}

void
unread_begin(struct shard *shard, struct live *live, const char *because)
{
    bool has_state = live->instance != NULL && live->instance->definition != NULL;

    begin(shard, live, UNREAD_KEPT, because);
    if (has_state) {
        json_writer_reset(&shard->line);
        instance_write(live->instance, &shard->line);
        live->unread->row = text_copy(shard->line.text, shard->line.bytes);
    }
    if (live->instance != NULL)
        live_rest(shard, live);
    meter_count(shard, live, NULL);
}

static void
pin(struct shard *shard, struct live *live, int64_t again_us)
{
    live->unread->is_saved = true;
    if (live->instance != NULL)
        live_rest(shard, live);
    if (live->first_page < shard->floor_page) /* what came before is in its row */
        live->first_page = shard->floor_page;
    if (shard->pinned_count++ == 0 || live->first_page < shard->pinned_page)
        shard->pinned_page = live->first_page;
    timer_set(shard, live, shard->now_us + again_us);
}

void
unread_unwritten(struct shard *shard, struct live *live, bool is_locked)
{
    begin(
        shard, live, UNREAD_UNWRITTEN,
        is_locked
            ? "another transaction keeps its row locked: pg_stat_activity shows who is idle in one"
            : "what was decided about it cannot be written: the database says why in the log");
    pin(shard, live, is_locked ? LOCKED_AGAIN_US : PINNED_AGAIN_US);
    meter_count(shard, live, NULL);
}

bool
unread_is_unwritten(const struct live *live)
{
    return live->unread != NULL && live->unread->kind == UNREAD_UNWRITTEN;
}

bool
unread_is_pinned(const struct live *live)
{
    return live->unread != NULL && live->unread->kind != UNREAD_KEPT;
}

void
unread_add(struct live *live, const char *line, size_t bytes)
{
    if (live->unread->kind != UNREAD_KEPT)
        return; /* it stays in its page */
    live->unread->is_saved = false;
    append_lines(&live->unread->records, line, bytes);
    append_lines(&live->unread->records, "\n", 1);
}

/* The saga that a line is of, though it is no record: by the text that every record begins with. */
bool
unread_line_id(const char *line, size_t bytes, struct uuid *ret_id)
{
    static const char key[] = "\"i\":\"";
    const char *at =
        memmem(line, bytes < LINE_HEAD_BYTES ? bytes : LINE_HEAD_BYTES, key, sizeof key - 1);
    size_t left;

    if (at == NULL)
        return false;
    at += sizeof key - 1;
    left = bytes - (size_t)(at - line);
    return left >= UUID_TEXT_BYTES && uuid_parse(at, UUID_TEXT_BYTES, ret_id);
}

/* ---- rows ---- */

static bool
is_unread(const char *body)
{
    return strncmp(body, BODY_BEGIN, strlen(BODY_BEGIN)) == 0;
}

bool
unread_is_to_be_saved(const struct live *live)
{
    return live->unread != NULL && !live->unread->is_saved;
}

/* A row like any other's, whose time has always come: at each start it is tried again. */
void
unread_park(struct shard *shard, struct tick *tick, struct live *live)
{
    struct journal_row *row = arena_take(tick->arena, sizeof *row);
    struct unread *unread = live->unread;

    json_writer_reset(&shard->line);
    json_open_object(&shard->line, NULL);
    json_open_object(&shard->line, "unread");
    json_put_text(&shard->line, "because", unread->because);
    if (unread->row != NULL)
        json_put_text(&shard->line, "row", unread->row);
    if (unread->records.bytes > 0)
        json_put_text(&shard->line, "records", unread->records.text);
    json_close_object(&shard->line);
    json_close_object(&shard->line);
    *row = (struct journal_row){ .id = live->id,
                                 .shard = shard->number,
                                 .page = shard->next_page,
                                 .place = live->place,
                                 .fingerprint = live->fingerprint,
                                 .next_us = 1,
                                 .phase = phase_text(PHASE_STUCK),
                                 .kind = meter_kind(live),
                                 .body =
                                     arena_copy(tick->arena, shard->line.text, shard->line.bytes) };
    tick->parked[tick->parked_count++] = row;
    live->parked_page = shard->next_page;
    free(unread->row); /* the row has them now */
    unread->row = NULL;
    json_writer_free(&unread->records);
    unread->is_saved = true;
}

void
unread_take_row(struct shard *shard, struct live *live, const char *body, const char *because)
{
    json_t *json;
    const json_t *known;
    const char *row, *records;

    begin(shard, live, body == NULL ? UNREAD_PINNED : UNREAD_KEPT, because);
    meter_count(shard, live, NULL);
    if (body == NULL) { /* the database itself cannot read it */
        pin(shard, live, PINNED_AGAIN_US);
        return;
    }
    json = is_unread(body) ? json_loads(body, 0, NULL) : NULL;
    known = json_object_get(json, "unread");
    row = json == NULL ? body : json_string_value(json_object_get(known, "row"));
    records = json_string_value(json_object_get(known, "records"));
    if (row != NULL)
        live->unread->row = text_copy(row, strlen(row));
    if (records != NULL)
        append_lines(&live->unread->records, records, strlen(records));
    live->unread->is_saved = true;
    json_decref(json);
}

/* ---- trying again ---- */

bool
unread_fold(const char *at, definition_find find, void *find_context, struct problem *problem,
            struct instance *instance)
{
    const char *because = NULL;
    struct uuid id;

    while (*at != '\0' && because == NULL) {
        size_t bytes = strcspn(at, "\n");
        struct records records = { 0 };

        if (!unread_line_id(at, bytes, &id) || uuid_equal(id, instance->id)) {
            if (record_read(&records, at, bytes, find, find_context, problem) != ERR_OK)
                because = problem->text;
            else
                because = instance_refuses(instance, &records.items[0]);
            if (because == NULL)
                instance_fold(instance, &records.items[0]);
        }
        records_free(&records);
        at += bytes + (at[bytes] == '\n');
    }
    if (because != NULL && because != problem->text)
        problem_set(problem, ERR_BAD_REQUEST, "record", "%s", because);
    return because == NULL;
}

static enum error
read_unread(struct uuid id, const char *body, definition_find find, void *find_context,
            struct problem *problem, struct instance **ret_instance)
{
    json_t *json = json_loads(body, 0, NULL);
    const json_t *known = json_object_get(json, "unread");
    const char *row = json_string_value(json_object_get(known, "row"));
    const char *records = json_string_value(json_object_get(known, "records"));
    enum error error = ERR_OK;

    if (row != NULL)
        error = instance_read(row, strlen(row), find, find_context, problem, ret_instance);
    if (error == ERR_OK && row == NULL)
        *ret_instance = instance_new(id);
    if (error == ERR_OK && records != NULL &&
        !unread_fold(records, find, find_context, problem, *ret_instance))
        error = problem->error;
    if (error == ERR_OK && (*ret_instance)->definition == NULL)
        error = problem_set(problem, ERR_BAD_REQUEST, "row", "holds nothing of it");
    json_decref(json);
    return error;
}

struct instance *
unread_row_read(const struct journal_row *row, definition_find find, void *find_context,
                struct problem *problem)
{
    struct instance *instance = NULL;
    const char *because = NULL;
    enum error error;

    if (row->body == NULL) {
        problem_set(problem, ERR_INTERNAL, "row",
                    "the database cannot read it: it says why in the log");
        return NULL;
    }
    error =
        is_unread(row->body)
            ? read_unread(row->id, row->body, find, find_context, problem, &instance)
            : instance_read(row->body, strlen(row->body), find, find_context, problem, &instance);

    if (error == ERR_OK)
        because = !uuid_equal(instance->id, row->id) ? "it is another saga's"
                  : instance->is_ended               ? "it has ended"
                                                     : instance_limbo(instance);
    if (because != NULL)
        error = problem_set(problem, ERR_BAD_REQUEST, "row", "%s", because);
    return error == ERR_OK ? instance : instance_free(instance);
}

void
unread_end(struct shard *shard, struct live *live)
{
    struct log_trace before =
        log_trace_begin(live->instance == NULL ? NULL : live->instance->traceparent);
    char id[UUID_TEXT_BYTES + 1];

    if (live->unread != NULL)
        log_info("saga=%s event=READ_AGAIN", uuid_print(live->id, id));
    log_trace_end(&before);
    unread_free(shard, live);
}

/* ---- ending by hand ---- */

void
unread_settle(struct shard *shard, struct tick *tick, struct live *live,
              const struct journal_row *row, const char *comment)
{
    const char *body = row == NULL || row->body == NULL ? "" : row->body;
    char id[UUID_TEXT_BYTES + 1];

    json_writer_reset(&shard->line);
    json_open_object(&shard->line, NULL);
    json_put_text(&shard->line, "sagaId", uuid_print(live->id, id));
    json_put_text(&shard->line, "phase", phase_text(PHASE_ENDED));
    json_put_text(&shard->line, "status", status_text(STATUS_UN));
    json_put_text(&shard->line, "errorCode", unread_code(live));
    json_put_text(&shard->line, "errorMessage", unread_because(live));
    json_open_array(&shard->line, "audit");
    json_open_object(&shard->line, NULL);
    json_put_int(&shard->line, "at", shard->now_us);
    json_put_text(&shard->line, "action", "settle ended");
    json_put_text(&shard->line, "comment", comment);
    json_close_object(&shard->line);
    json_close_array(&shard->line);
    json_put_text(&shard->line, "row", body); /* for who wants to know later */
    json_close_object(&shard->line);
    live->unread->final = arena_copy(tick->arena, shard->line.text, shard->line.bytes);
    tick_touch(shard, tick, live);
}

const char *
unread_final(const struct live *live)
{
    return live->unread == NULL ? NULL : live->unread->final;
}

void
unread_go_on(struct live *live)
{
    live->unread->final = NULL;
}

/* ---- showing ---- */

static void
put_known(struct json_writer *writer, const char *row)
{
    json_t *json = row == NULL ? NULL : json_loads(row, 0, NULL);
    static const char *const pairs[][2] = { { "definition", "definition" },
                                            { "hash", "definitionHash" } };

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const char *value = json_string_value(json_object_get(json, pairs[i][0]));

        if (value != NULL)
            json_put_text(writer, pairs[i][1], value);
    }
    if (json_is_object(json_object_get(json, "context")))
        json_put_tree(writer, "context", json_object_get(json, "context"));
    json_decref(json);
}

const char *
unread_history(struct uuid id, const char *body, const char *code, const char *because,
               struct arena *arena)
{
    json_t *json = is_unread(body) ? json_loads(body, 0, NULL) : NULL;
    const json_t *known = json_object_get(json, "unread");
    struct json_writer writer = { 0 };
    char text[UUID_TEXT_BYTES + 1];
    const char *history;

    json_open_object(&writer, NULL);
    json_put_text(&writer, "sagaId", uuid_print(id, text));
    json_put_text(&writer, "phase", phase_text(PHASE_STUCK));
    json_put_text(&writer, "errorCode", code);
    json_put_text(&writer, "errorMessage", because);
    put_known(&writer, json == NULL ? body : json_string_value(json_object_get(known, "row")));
    json_close_object(&writer);
    json_decref(json);
    history = arena_copy(arena, writer.text, writer.bytes);
    json_writer_free(&writer);
    return history;
}

const char *
unread_code(const struct live *live)
{
    return unread_is_unwritten(live) ? "UNWRITTEN" : "UNREADABLE";
}

const char *
unread_because(const struct live *live)
{
    return live->unread == NULL ? "its row is gone" : live->unread->because;
}
