/* info.c -- What was added, in its order, as the members of objects. */
#include "mesh/http/info.h"
#include "mesh/base/arena.h"
#include "mesh/base/build.h"
#include "mesh/base/clock.h"
#include "mesh/base/time.h"
#include "mesh/http/server.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    char *object, *name, *text;
};

struct info {
    const char *program;
    const struct build *build;
    char started[TIME_TEXT_BYTES + 1];
    pthread_mutex_t lock;
    struct entry *entries;
    size_t count;
};

struct info *
info_new(const char *program, const struct build *build)
{
    struct info *info = memory_take(sizeof *info);

    info->program = program;
    info->build = build;
    time_print_seconds(clock_now_us(), info->started);
    pthread_mutex_init(&info->lock, NULL);
    return info;
}

struct info *
info_free(struct info *info)
{
    if (info == NULL)
        return NULL;
    for (size_t i = 0; i < info->count; i++) {
        free(info->entries[i].object);
        free(info->entries[i].name);
        free(info->entries[i].text);
    }
    free(info->entries);
    pthread_mutex_destroy(&info->lock);
    free(info);
    return NULL;
}

void
info_add(struct info *info, const char *object, const char *name, const char *text)
{
    if (info == NULL)
        return;
    pthread_mutex_lock(&info->lock);
    info->entries = memory_grow(info->entries, (info->count + 1) * sizeof *info->entries);
    info->entries[info->count++] = (struct entry){ strdup(object), strdup(name), strdup(text) };
    pthread_mutex_unlock(&info->lock);
}

/* ---- the route ---- */

/* Under the lock. */
static void
write_entries(struct json_writer *json, const struct info *info)
{
    const char *object = NULL;

    for (size_t i = 0; i < info->count; i++) {
        const struct entry *entry = &info->entries[i];

        if (object == NULL || strcmp(object, entry->object) != 0) {
            if (object != NULL)
                json_close_object(json);
            json_open_object(json, entry->object);
        }
        object = entry->object;
        json_put_text(json, entry->name, entry->text);
    }
    if (object != NULL)
        json_close_object(json);
}

static void
show(struct http_exchange *exchange)
{
    struct info *info = exchange->owner;
    struct json_writer json = { 0 };

    json_open_object(&json, NULL);
    json_put_text(&json, "name", info->program);
    json_put_text(&json, "version", info->build->version);
    json_put_text(&json, "commit", info->build->commit);
    json_put_text(&json, "built", info->build->time);
    json_put_text(&json, "started", info->started);
    pthread_mutex_lock(&info->lock);
    write_entries(&json, info);
    pthread_mutex_unlock(&info->lock);
    json_close_object(&json);
    http_answer_json(exchange, 200, &json, NULL);
}

/* clang-format off */
const struct http_route info_routes[] = {
    { .method = "GET", .path = "/info", .handler = show, .without_redis = "works" },
    { 0 },
};
/* clang-format on */
