#include "saga/catalog.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct definition *definition;
    bool is_newest;
};

struct catalog {
    const struct pbjson *pbjson;
    struct entry *entries;
    size_t count, size;
};

/* A stored version. */
struct definition_row {
    const char *hash, *name, *body;
    int64_t stored_at_us;
};

static const struct pg_column row_columns[] = {
    PG_COLUMN(struct definition_row, hash, PG_TEXT),
    PG_COLUMN(struct definition_row, name, PG_TEXT),
    PG_COLUMN(struct definition_row, body, PG_TEXT),
    PG_COLUMN(struct definition_row, stored_at_us, PG_INT8),
    { 0 },
};

static const struct pg_statement definition_save = {
    .name = "definition_save",
    .sql = "INSERT INTO saga_definition (hash, name, body, stored_at_us)"
           " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])"
           " ON CONFLICT DO NOTHING",
    .in = row_columns,
};

static const struct pg_statement definition_all = {
    .name = "definition_all",
    .sql = "SELECT hash, name, body, stored_at_us FROM saga_definition ORDER BY hash",
    .is_single = true,
    .out = row_columns,
    .out_bytes = sizeof(struct definition_row),
};

static const struct pg_statement *const statements[] = { &definition_save, &definition_all, NULL };

static void
add(struct catalog *catalog, struct definition *definition, bool is_newest)
{
    if (catalog->count == catalog->size) {
        catalog->size = catalog->size == 0 ? 16 : catalog->size * 2;
        catalog->entries = memory_grow(catalog->entries, catalog->size * sizeof *catalog->entries);
    }
    catalog->entries[catalog->count++] = (struct entry){ definition, is_newest };
}

/* Does every call of the definition exist in the descriptors? */
static enum error
check_calls(const struct definition *definition, const struct pbjson *pbjson,
            struct problem *problem)
{
    for (size_t i = 0; i < definition->state_count; i++) {
        const struct state *state = &definition->states[i];
        struct pbjson_method method;
        char field[64];

        if (state->kind != STATE_SERVICE_TASK)
            continue;
        snprintf(field, sizeof field, "States.%s.ServiceMethod", state->name);
        if (!pbjson_method_find(pbjson, state->service, state->method, &method))
            return problem_set(problem, ERR_BAD_REQUEST, field,
                               "there is no method %s/%s in the descriptors", state->service,
                               state->method);
        if (method.is_streaming)
            return problem_set(problem, ERR_BAD_REQUEST, field, "a streaming method has no answer");
        if (!pbjson_message_has(method.request, "request_id") && !state->is_read)
            return problem_set(problem, ERR_BAD_REQUEST, field,
                               "its request has no request_id, so repeating it would not be safe "
                               "(one that only reads says \"IsForUpdate\": false)");
    }
    return ERR_OK;
}

static void
log_broken(const struct definition *definition)
{
    for (size_t i = 0; i < definition->state_count; i++) {
        const struct state *state = &definition->states[i];

        if (state->broken != NULL)
            log_warn("definition=%s hash=%.12s state=%s event=STATE_BROKEN because=\"%s\" "
                     "next=\"a saga that comes there is stuck\"",
                     definition->name, definition->hash, state->name, state->broken);
    }
}

/* Of the folder, or a version that was stored: that one was checked in its time, and sagas stand in it. */
static enum error
read_text(struct catalog *catalog, const char *text, size_t bytes, bool is_newest,
          struct problem *problem)
{
    const struct definition_options options = { .must_be_grpc = true, .is_stored = !is_newest };
    struct definition *definition;
    enum error error = definition_read(text, bytes, &options, problem, &definition);

    if (error != ERR_OK)
        return error;
    if (is_newest)
        error = check_calls(definition, catalog->pbjson, problem);
    if (error == ERR_OK && is_newest && catalog_newest(catalog, definition->name) != NULL)
        error =
            problem_set(problem, ERR_BAD_REQUEST, "Name",
                        "'%s' is the name of another definition in this folder", definition->name);
    if (error != ERR_OK) {
        definition_free(definition);
        return error;
    }
    for (size_t i = 0; i < definition->warning_count; i++)
        log_warn("definition=%s warning=\"%s\"", definition->name, definition->warnings[i]);
    log_broken(definition);
    add(catalog, definition, is_newest);
    return ERR_OK;
}

static enum error
read_file(struct catalog *catalog, const char *path)
{
    struct problem problem = { 0 };
    char *text = memory_take(DEFINITION_BYTES_MAX + 1);
    FILE *file = fopen(path, "rb");
    size_t bytes = file == NULL ? 0 : fread(text, 1, DEFINITION_BYTES_MAX + 1, file);
    enum error error;

    if (file == NULL || ferror(file) != 0)
        error = problem_set(&problem, ERR_BAD_REQUEST, NULL, "cannot be read");
    else if (bytes > DEFINITION_BYTES_MAX)
        error = problem_set(&problem, ERR_BAD_REQUEST, NULL, "is larger than %d bytes",
                            DEFINITION_BYTES_MAX);
    else
        error = read_text(catalog, text, bytes, true, &problem);
    if (file != NULL)
        fclose(file);
    free(text);
    if (error != ERR_OK)
        log_error("definition=%s field=\"%s\" because=\"%s\"", path, problem.field, problem.text);
    return error;
}

static int
is_definition(const struct dirent *entry)
{
    size_t bytes = strlen(entry->d_name);

    return bytes > 5 && strcmp(entry->d_name + bytes - 5, ".json") == 0;
}

enum error
catalog_read(const char *folder, const struct pbjson *pbjson, struct catalog **ret_catalog)
{
    struct catalog *catalog = memory_take(sizeof *catalog);
    struct dirent **files;
    int count = scandir(folder, &files, is_definition, alphasort);
    enum error error = ERR_OK;

    catalog->pbjson = pbjson;
    if (count <= 0) {
        log_error("definitions=%s because=\"no *.json files there\"", folder);
        error = ERR_BAD_REQUEST;
    }
    for (int i = 0; i < count; i++) {
        char path[4096];

        snprintf(path, sizeof path, "%s/%s", folder, files[i]->d_name);
        if (read_file(catalog, path) != ERR_OK)
            error = ERR_BAD_REQUEST;
        free(files[i]);
    }
    if (count >= 0)
        free(files);
    if (error != ERR_OK) {
        catalog_free(catalog);
        return error;
    }
    *ret_catalog = catalog;
    return ERR_OK;
}

static void
add_stored(struct catalog *catalog, const struct definition_row *row)
{
    struct problem problem;

    if (catalog_find(catalog, row->name, row->hash) != NULL)
        return;
    if (read_text(catalog, row->body, strlen(row->body), false, &problem) != ERR_OK)
        log_error("definition=%s hash=%s because=\"a stored version cannot be read: %s %s\" "
                  "next=\"its sagas are stuck\"",
                  row->name, row->hash, problem.field, problem.text);
}

enum error
catalog_store(struct catalog *catalog, const char *conninfo)
{
    struct arena *arena = arena_new();
    struct pg *pg = pg_new(conninfo, "saga-svc", statements);
    struct definition_row *rows = arena_take(arena, catalog->count * sizeof *rows);
    const void **items = arena_take(arena, catalog->count * sizeof *items);
    const void *no_row = "";
    struct pg_step steps[2] = {
        { .statement = &definition_save, .rows = items, .count = catalog->count },
        { .statement = &definition_all, .rows = &no_row, .count = 1 },
    };
    enum error error = pg_connect(pg);

    for (size_t i = 0; i < catalog->count; i++) {
        const struct definition *definition = catalog->entries[i].definition;

        rows[i] = (struct definition_row){ definition->hash, definition->name, definition->text,
                                           clock_now_us() };
        items[i] = &rows[i];
    }
    if (error == ERR_OK)
        error = pg_round(pg, false, steps, 2, arena);
    for (size_t i = 0; error == ERR_OK && i < steps[1].ret_count; i++)
        add_stored(catalog, (const struct definition_row *)steps[1].ret_rows + i);
    pg_free(pg);
    arena_free(arena);
    return error;
}

struct catalog *
catalog_free(struct catalog *catalog)
{
    if (catalog == NULL)
        return NULL;
    for (size_t i = 0; i < catalog->count; i++)
        definition_free(catalog->entries[i].definition);
    free(catalog->entries);
    free(catalog);
    return NULL;
}

const struct definition *
catalog_newest(const struct catalog *catalog, const char *name)
{
    for (size_t i = 0; i < catalog->count; i++) {
        if (catalog->entries[i].is_newest &&
            strcmp(catalog->entries[i].definition->name, name) == 0)
            return catalog->entries[i].definition;
    }
    return NULL;
}

const struct definition *
catalog_find(void *context, const char *name, const char *hash)
{
    const struct catalog *catalog = context;

    for (size_t i = 0; i < catalog->count; i++) {
        const struct definition *definition = catalog->entries[i].definition;

        if (strcmp(definition->hash, hash) == 0 && strcmp(definition->name, name) == 0)
            return definition;
    }
    return NULL;
}

const struct definition *
catalog_next(const struct catalog *catalog, size_t *cursor, bool *ret_is_newest)
{
    if (*cursor >= catalog->count)
        return NULL;
    *ret_is_newest = catalog->entries[*cursor].is_newest;
    return catalog->entries[(*cursor)++].definition;
}
