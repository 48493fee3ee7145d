#include "saga/catalog.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REFUSED_MAX = 64 };

struct entry {
    struct definition *definition;
    bool is_newest;
};

/* A file of the folder that today's checks refuse. It is loaded all the same if it was stored once. */
struct refused {
    char *path;
    struct definition *definition;
};

struct catalog {
    const struct pbjson *pbjson;
    struct entry *entries;
    size_t count, size;
    struct refused refused[REFUSED_MAX];
    size_t refused_count;
    pthread_rwlock_t
        lock; /* of entries: another orchestrator's definitions come when its shards do */
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

static const struct pg_column key_columns[] = { PG_COLUMN(struct definition_row, hash, PG_TEXT),
                                                { 0 } };

static const struct pg_statement definition_keys = {
    .name = "definition_keys",
    .sql = "SELECT hash FROM saga_definition ORDER BY hash",
    .is_single = true,
    .out = key_columns,
    .out_bytes = sizeof(struct definition_row),
};

static const struct pg_statement definition_one = {
    .name = "definition_one",
    .sql = "SELECT hash, name, body, stored_at_us FROM saga_definition WHERE hash = $1",
    .in = key_columns,
    .is_single = true,
    .out = row_columns,
    .out_bytes = sizeof(struct definition_row),
};

static const struct pg_statement *const statements[] = { &definition_save, &definition_all,
                                                         &definition_keys, &definition_one, NULL };

static void
add(struct catalog *catalog, struct definition *definition, bool is_newest)
{
    pthread_rwlock_wrlock(&catalog->lock);
    if (catalog->count == catalog->size) {
        catalog->size = catalog->size == 0 ? 16 : catalog->size * 2;
        catalog->entries = memory_grow(catalog->entries, catalog->size * sizeof *catalog->entries);
    }
    catalog->entries[catalog->count++] = (struct entry){ definition, is_newest };
    pthread_rwlock_unlock(&catalog->lock);
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

/* It may have been accepted by an older program: catalog_store() looks. False: it is nothing at all. */
static bool
keep_refused(struct catalog *catalog, const char *path, const char *text, size_t bytes)
{
    const struct definition_options options = { .must_be_grpc = true, .is_stored = true };
    struct refused *refused = &catalog->refused[catalog->refused_count];
    struct problem problem;

    if (catalog->refused_count == REFUSED_MAX ||
        definition_read(text, bytes, &options, &problem, &refused->definition) != ERR_OK)
        return false;
    refused->path = strdup(path);
    catalog->refused_count++;
    return true;
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
    if (error != ERR_OK)
        log_error("definition=%s field=\"%s\" because=\"%s\"", path, problem.field, problem.text);
    if (error != ERR_OK && bytes <= DEFINITION_BYTES_MAX &&
        keep_refused(catalog, path, text, bytes))
        error = ERR_OK;
    free(text);
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
    pthread_rwlock_init(&catalog->lock, NULL);
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

static enum error
save_all(struct catalog *catalog, struct pg *pg, struct arena *arena)
{
    struct definition_row *rows = arena_take(arena, catalog->count * sizeof *rows);
    const void **items = arena_take(arena, catalog->count * sizeof *items);
    struct pg_step step = { .statement = &definition_save, .rows = items, .count = catalog->count };

    for (size_t i = 0; i < catalog->count; i++) {
        const struct definition *definition = catalog->entries[i].definition;

        rows[i] = (struct definition_row){ definition->hash, definition->name, definition->text,
                                           clock_now_us() };
        items[i] = &rows[i];
    }
    return pg_round(pg, false, &step, 1, arena);
}

/* One by one, so that a row that the database cannot read hides no others. */
static enum error
read_apart(struct pg *pg, struct arena *arena, struct definition_row **ret_rows, size_t *ret_count)
{
    struct pg_answer keys;
    enum error error = pg_ask(pg, &definition_keys, NULL, arena, &keys);
    struct definition_row *rows = arena_take(arena, keys.count * sizeof *rows);

    *ret_rows = rows;
    *ret_count = 0;
    for (size_t i = 0; error == ERR_OK && i < keys.count; i++) {
        const struct definition_row *key = (const struct definition_row *)keys.rows + i;
        struct pg_answer one;

        error = pg_ask(pg, &definition_one, key, arena, &one);
        if (one.count == 1)
            rows[(*ret_count)++] = *(const struct definition_row *)one.rows;
        if (error != ERR_INTERNAL)
            continue;
        log_error("definition hash=%s because=\"the database cannot read it\" "
                  "next=\"its sagas are stuck\"",
                  key->hash);
        error = ERR_OK;
    }
    return error;
}

static enum error
read_all(struct pg *pg, struct arena *arena, struct definition_row **ret_rows, size_t *ret_count)
{
    struct pg_answer all;
    enum error error = pg_ask(pg, &definition_all, NULL, arena, &all);

    *ret_rows = all.rows;
    *ret_count = all.count;
    return error == ERR_INTERNAL ? read_apart(pg, arena, ret_rows, ret_count) : error;
}

static bool
is_stored(const struct definition *definition, const struct definition_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].hash, definition->hash) == 0)
            return true;
    }
    return false;
}

/* What an older program accepted, to the byte, goes on by the checks of its time: a program that is made
 * stricter must not leave all sagas standing. A file that no program ever accepted is refused. */
static enum error
take_refused(struct catalog *catalog, const struct definition_row *rows, size_t count)
{
    enum error error = ERR_OK;

    for (size_t i = 0; i < catalog->refused_count; i++) {
        struct refused *refused = &catalog->refused[i];
        struct definition *definition = refused->definition;

        if (definition == NULL) /* taken by an earlier try */
            continue;
        if (!is_stored(definition, rows, count) ||
            catalog_newest(catalog, definition->name) != NULL) {
            error = ERR_BAD_REQUEST; /* why was said when it was read */
            continue;
        }
        log_warn(
            "definition=%s hash=%.12s event=STORED_BEFORE because=\"it would be refused today\" "
            "next=\"mend %s\"",
            definition->name, definition->hash, refused->path);
        log_broken(definition);
        add(catalog, definition, true);
        refused->definition = NULL;
    }
    return error;
}

/* What cannot be stored is told, and no reason not to start. */
static enum error
save_new(struct catalog *catalog, struct pg *pg, struct arena *arena)
{
    enum error error = save_all(catalog, pg, arena);

    if (error != ERR_INTERNAL)
        return error;
    log_error("definitions because=\"what is new cannot be stored: the database says why above\" "
              "next=\"keep the files: sagas that start on them need them\"");
    return ERR_OK;
}

/* The stored versions; at the start those of our files are stored before, and then are among them. */
static enum error
load(struct catalog *catalog, const char *conninfo, bool is_start)
{
    struct arena *arena = arena_new();
    struct pg *pg = pg_new(conninfo, "saga-svc", statements);
    struct definition_row *rows = NULL;
    size_t count = 0;
    enum error error = pg_connect(pg);

    if (error == ERR_OK && is_start)
        error = save_new(catalog, pg, arena);
    if (error == ERR_OK)
        error = read_all(pg, arena, &rows, &count);
    if (error == ERR_OK && is_start)
        error = take_refused(catalog, rows, count);
    for (size_t i = 0; error == ERR_OK && i < count; i++)
        add_stored(catalog, &rows[i]);
    pg_free(pg);
    arena_free(arena);
    return error;
}

enum error
catalog_store(struct catalog *catalog, const char *conninfo)
{
    return load(catalog, conninfo, true);
}

enum error
catalog_refresh(struct catalog *catalog, const char *conninfo)
{
    return load(catalog, conninfo, false);
}

struct catalog *
catalog_free(struct catalog *catalog)
{
    if (catalog == NULL)
        return NULL;
    pthread_rwlock_destroy(&catalog->lock);
    for (size_t i = 0; i < catalog->count; i++)
        definition_free(catalog->entries[i].definition);
    for (size_t i = 0; i < catalog->refused_count; i++) {
        definition_free(catalog->refused[i].definition);
        free(catalog->refused[i].path);
    }
    free(catalog->entries);
    free(catalog);
    return NULL;
}

const struct definition *
catalog_newest(struct catalog *catalog, const char *name)
{
    const struct definition *found = NULL;

    pthread_rwlock_rdlock(&catalog->lock);
    for (size_t i = 0; found == NULL && i < catalog->count; i++) {
        if (catalog->entries[i].is_newest &&
            strcmp(catalog->entries[i].definition->name, name) == 0)
            found = catalog->entries[i].definition;
    }
    pthread_rwlock_unlock(&catalog->lock);
    return found;
}

const struct definition *
catalog_find(void *context, const char *name, const char *hash)
{
    struct catalog *catalog = context;
    const struct definition *found = NULL;

    pthread_rwlock_rdlock(&catalog->lock);
    for (size_t i = 0; found == NULL && i < catalog->count; i++) {
        const struct definition *definition = catalog->entries[i].definition;

        if (strcmp(definition->hash, hash) == 0 && strcmp(definition->name, name) == 0)
            found = definition;
    }
    pthread_rwlock_unlock(&catalog->lock);
    return found;
}

const struct definition *
catalog_next(struct catalog *catalog, size_t *cursor, bool *ret_is_newest)
{
    const struct definition *found = NULL;

    pthread_rwlock_rdlock(&catalog->lock);
    if (*cursor < catalog->count) {
        *ret_is_newest = catalog->entries[*cursor].is_newest;
        found = catalog->entries[(*cursor)++].definition;
    }
    pthread_rwlock_unlock(&catalog->lock);
    return found;
}
