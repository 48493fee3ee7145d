/* What was applied is read as one text, a line a step: the table may not be there, and a statement that names it
 * could not be prepared then. */
#include "mesh/store/schema.h"

#include "mesh/base/log.h"
#include "mesh/base/text.h"
#include "mesh/store/pg.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char rows_sql[] = "SELECT string_agg(concat_ws(' ', version, kind, digest, name,"
                               " to_char(applied_at AT TIME ZONE 'UTC', "
                               "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')), E'\\n' ORDER BY version)"
                               " FROM schema_version";

void
schema_digest(const struct schema_step *step, char digest[SCHEMA_DIGEST_BYTES + 1])
{
    unsigned char bytes[SCHEMA_DIGEST_BYTES / 2];

    if (EVP_Digest(step->text, strlen(step->text), bytes, NULL, EVP_sha256(), NULL) != 1)
        abort(); /* memory only */
    *text_print_hex(bytes, sizeof bytes, digest) = '\0';
}

int
schema_last(const struct schema_step *steps)
{
    int last = 0;

    for (; steps->version != 0; steps++)
        last = steps->version;
    return last;
}

const struct schema_row *
schema_find(const struct schema_rows *applied, int version)
{
    for (size_t i = 0; i < applied->count; i++) {
        if (applied->rows[i].version == version)
            return &applied->rows[i];
    }
    return NULL;
}

const struct schema_step *
schema_next(const struct schema_step *steps, const struct schema_rows *applied, bool with_contract)
{
    for (; steps->version != 0; steps++) {
        if ((with_contract || !steps->is_contract) && schema_find(applied, steps->version) == NULL)
            return steps;
    }
    return NULL;
}

/* It had a contract step that these programs do not know: what they read or write may be gone. */
static bool
is_too_new(const struct schema_step *steps, const struct schema_rows *applied,
           char words[SCHEMA_WORDS_BYTES])
{
    int last = schema_last(steps);

    for (size_t i = 0; i < applied->count; i++) {
        const struct schema_row *row = &applied->rows[i];

        if (row->version <= last || !row->is_contract)
            continue;
        snprintf(words, SCHEMA_WORDS_BYTES,
                 "the database is too new: it had contract step %d (%s), and this program knows "
                 "steps up to %d",
                 row->version, row->name, last);
        return true;
    }
    return false;
}

bool
schema_fits(const struct schema_step *steps, const struct schema_rows *applied,
            char words[SCHEMA_WORDS_BYTES])
{
    const struct schema_step *missing = schema_next(steps, applied, false);

    if (missing == NULL)
        return !is_too_new(steps, applied, words);
    snprintf(words, SCHEMA_WORDS_BYTES,
             "the database is too old: it lacks step %d (%s), which --migrate=expand of this "
             "program applies",
             missing->version, missing->name);
    return false;
}

bool
schema_agrees(const struct schema_step *steps, const struct schema_rows *applied,
              char words[SCHEMA_WORDS_BYTES])
{
    for (const struct schema_step *step = steps; step->version != 0; step++) {
        const struct schema_row *row = schema_find(applied, step->version);
        char digest[SCHEMA_DIGEST_BYTES + 1];

        schema_digest(step, digest);
        if (row == NULL || strcmp(row->digest, digest) == 0)
            continue;
        snprintf(words, SCHEMA_WORDS_BYTES,
                 "step %d is not what was applied at %s: that was %s with digest %.12s, this is %s "
                 "with %.12s;"
                 " a step that was applied is never edited, a new one changes what it made",
                 step->version, row->at, row->name, row->digest, step->name, digest);
        return false;
    }
    return !is_too_new(steps, applied, words);
}

/* "3 contract DIGEST gift_note 2026-11-21T10:00:00Z" */
static bool
read_line(const char *line, struct schema_row *row)
{
    char kind[16];

    if (sscanf(line, "%d %15s %64s %63s %31s", &row->version, kind, row->digest, row->name,
               row->at) != 5)
        return false;
    row->is_contract = strcmp(kind, "contract") == 0;
    return true;
}

static size_t
count_lines(const char *text)
{
    size_t count = text[0] != '\0';

    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

enum error
schema_read(struct pg *pg, struct arena *arena, struct schema_rows *ret_applied)
{
    struct schema_rows applied = { 0 };
    const char *text = "";
    enum error error = pg_text(pg, "SELECT to_regclass('schema_version')", arena, &text);

    applied.is_there = text[0] != '\0';
    if (error == ERR_OK && applied.is_there)
        error = pg_text(pg, rows_sql, arena, &text);
    if (error != ERR_OK)
        return error;
    if (applied.is_there) {
        applied.rows = arena_take(arena, count_lines(text) * sizeof *applied.rows);
        for (; *text != '\0'; text += strcspn(text, "\n"), text += *text == '\n') {
            if (!read_line(text, &applied.rows[applied.count])) {
                log_error("table=schema_version row=\"%.80s\" because=\"it is not as this program "
                          "writes it\"",
                          text);
                return ERR_INTERNAL;
            }
            applied.count++;
        }
    }
    *ret_applied = applied;
    return ERR_OK;
}

enum error
schema_look(struct pg *pg, const struct schema_step *steps)
{
    struct arena *arena = arena_new();
    struct schema_rows applied;
    char words[SCHEMA_WORDS_BYTES];
    enum error error = schema_read(pg, arena, &applied);

    if (error == ERR_OK) {
        int found = applied.count == 0 ? 0 : applied.rows[applied.count - 1].version;

        if (schema_fits(steps, &applied, words))
            log_info("schema=fits needs=%d found=%d", schema_last(steps), found);
        else {
            log_error("schema=misfit needs=%d found=%d because=\"%s\"", schema_last(steps), found,
                      words);
            error = ERR_REFUSED;
        }
    }
    arena_free(arena);
    return error;
}

enum error
schema_hold(struct pg *pg, const struct schema_step *steps)
{
    struct arena *arena = arena_new();
    const char *sql = arena_print(arena, "SELECT pg_try_advisory_lock_shared(%d, %d)", SCHEMA_LOCK,
                                  schema_last(steps));
    const char *text = "";
    enum error error = pg_text(pg, sql, arena, &text);

    if (error == ERR_OK && strcmp(text, "t") != 0)
        error = ERR_BUSY;
    arena_free(arena);
    return error;
}
