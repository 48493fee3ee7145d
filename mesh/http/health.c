/* health.c -- Conditions in the order they were added; each is asked once for an answer, so that status and
 * reasons are of one moment. The lock is held while they are asked, so that what a condition looks at can go
 * when health_stop() has returned. */
#include "mesh/http/health.h"
#include "mesh/base/arena.h"
#include "mesh/http/server.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct health {
    pthread_mutex_t lock;
    struct health_condition *conditions;
    size_t count;
    bool is_started, is_stopping;
};

struct health *
health_new(void)
{
    struct health *health = memory_take(sizeof *health);

    pthread_mutex_init(&health->lock, NULL);
    return health;
}

struct health *
health_free(struct health *health)
{
    if (health == NULL)
        return NULL;
    pthread_mutex_destroy(&health->lock);
    free(health->conditions);
    free(health);
    return NULL;
}

void
health_add(struct health *health, const struct health_condition *condition)
{
    if (health == NULL)
        return;
    pthread_mutex_lock(&health->lock);
    health->conditions =
        memory_grow(health->conditions, (health->count + 1) * sizeof *health->conditions);
    health->conditions[health->count++] = *condition;
    pthread_mutex_unlock(&health->lock);
}

static void
set(struct health *health, bool *what)
{
    pthread_mutex_lock(&health->lock);
    *what = true;
    pthread_mutex_unlock(&health->lock);
}

void
health_start(struct health *health)
{
    if (health != NULL)
        set(health, &health->is_started);
}

void
health_stop(struct health *health)
{
    if (health != NULL)
        set(health, &health->is_stopping);
}

/* ---- routes ---- */

static void
show_live(struct http_exchange *exchange)
{
    struct json_writer json = { 0 };

    json_open_object(&json, NULL);
    json_put_text(&json, "status", "alive");
    json_close_object(&json);
    http_answer_json(exchange, 200, &json, NULL);
}

/* Two that have none are in the same: the answer itself. */
static bool
is_same_group(const char *group, const char *other)
{
    return group == other || (group != NULL && other != NULL && strcmp(group, other) == 0);
}

/* Asks each condition once. True when all hold that it depends on. */
static bool
ask_all(const struct health *health, bool *ret_holds)
{
    bool all_hold = true;

    for (size_t i = 0; i < health->count; i++) {
        ret_holds[i] = health->conditions[i].holds(health->conditions[i].owner);
        all_hold = all_hold && (ret_holds[i] || health->conditions[i].is_beside);
    }
    return all_hold;
}

bool
health_is_ready(struct health *health)
{
    bool is_ready;

    pthread_mutex_lock(&health->lock);
    is_ready = health->is_started && !health->is_stopping;
    for (size_t i = 0; is_ready && i < health->count; i++)
        is_ready = health->conditions[i].is_beside ||
                   health->conditions[i].holds(health->conditions[i].owner);
    pthread_mutex_unlock(&health->lock);
    return is_ready;
}

static void
write_all(struct json_writer *json, const struct health *health, const bool *holds)
{
    const char *group = NULL;

    for (size_t i = 0; i < health->count; i++) {
        const struct health_condition *condition = &health->conditions[i];
        const char *said = holds[i] ? condition->good : condition->bad;
        bool is_another = !is_same_group(group, condition->group);

        if (is_another && group != NULL)
            json_close_object(json);
        if (is_another && condition->group != NULL)
            json_open_object(json, condition->group);
        group = condition->group;
        if (said != NULL)
            json_put_text(json, condition->name, said);
    }
    if (group != NULL)
        json_close_object(json);
}

/* Under the lock. True: ready. */
static bool
write_ready(struct json_writer *json, const struct health *health, struct arena *arena)
{
    bool *holds = arena_take(arena, health->count * sizeof *holds);
    bool is_ready;

    if (health->is_stopping) {
        json_put_text(json, "status", "stopping");
        return false;
    }
    is_ready = ask_all(health, holds) && health->is_started;
    json_put_text(json, "status",
                  is_ready             ? "ready"
                  : health->is_started ? "not ready"
                                       : "starting");
    write_all(json, health, holds);
    return is_ready;
}

static void
show_ready(struct http_exchange *exchange)
{
    struct health *health = exchange->owner;
    struct json_writer json = { 0 };
    bool is_ready;

    json_open_object(&json, NULL);
    pthread_mutex_lock(&health->lock);
    is_ready = write_ready(&json, health, exchange->arena);
    pthread_mutex_unlock(&health->lock);
    json_close_object(&json);
    http_answer_json(exchange, is_ready ? 200 : 503, &json, is_ready ? NULL : http_retry_soon);
}

/* clang-format off */
const struct http_route health_routes[] = {
    { .method = "GET", .path = "/livez",  .handler = show_live,  .without_redis = "works" },
    { .method = "GET", .path = "/readyz", .handler = show_ready, .without_redis = "works" },
    { 0 },
};
/* clang-format on */
