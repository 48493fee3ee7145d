/* actuator.c -- Components in alphabetical order, as Spring shows them, those of a group together. All are asked once for
 * an answer.
 * https://docs.spring.io/spring-boot/reference/actuator/endpoints.html
 */
#include "mesh/http/actuator.h"
#include "mesh/base/arena.h"
#include "mesh/base/build.h"
#include "mesh/http/accept.h"
#include "mesh/http/health.h"
#include "mesh/http/server.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ACTUATOR_TYPE "application/vnd.spring-boot.actuator.v3+json"

enum { COMMIT_SHORT_BYTES = 7 };

struct actuator {
    const char *program;
    const struct build *build;
    struct health *health;
    pthread_mutex_t lock;
    struct actuator_component *components;
    size_t count;
};

static const struct {
    const char *text;
    int http;
} statuses[] = {
    [ACTUATOR_UNKNOWN] = { "UNKNOWN", 200 },
    [ACTUATOR_UP] = { "UP", 200 },
    [ACTUATOR_OUT_OF_SERVICE] = { "OUT_OF_SERVICE", 503 },
    [ACTUATOR_DOWN] = { "DOWN", 503 },
};

/* ---- what every program has ---- */

/* It could not be asked otherwise. */
static enum actuator_status
live(void *owner)
{
    (void)owner;
    return ACTUATOR_UP;
}

static enum actuator_status
ready(void *owner)
{
    return health_is_ready(owner) ? ACTUATOR_UP : ACTUATOR_OUT_OF_SERVICE;
}

struct actuator *
actuator_new(const char *program, const struct build *build, struct health *health)
{
    struct actuator *actuator = memory_take(sizeof *actuator);

    actuator->program = program;
    actuator->build = build;
    actuator->health = health;
    pthread_mutex_init(&actuator->lock, NULL);
    actuator_add(actuator, &(struct actuator_component){ NULL, "livenessState", live, NULL });
    actuator_add(actuator, &(struct actuator_component){ NULL, "ping", live, NULL });
    actuator_add(actuator, &(struct actuator_component){ NULL, "readinessState", ready, health });
    return actuator;
}

struct actuator *
actuator_free(struct actuator *actuator)
{
    if (actuator == NULL)
        return NULL;
    pthread_mutex_destroy(&actuator->lock);
    free(actuator->components);
    free(actuator);
    return NULL;
}

/* Under its group's name, then its own. */
static bool
is_before(const struct actuator_component *one, const struct actuator_component *other)
{
    const char *own = one->group != NULL ? one->group : one->name;
    const char *its = other->group != NULL ? other->group : other->name;
    int order = strcmp(own, its);

    return order < 0 || (order == 0 && strcmp(one->name, other->name) < 0);
}

void
actuator_add(struct actuator *actuator, const struct actuator_component *component)
{
    size_t at;

    if (actuator == NULL)
        return;
    pthread_mutex_lock(&actuator->lock);
    actuator->components =
        memory_grow(actuator->components, (actuator->count + 1) * sizeof *component);
    for (at = actuator->count++; at > 0 && is_before(component, &actuator->components[at - 1]);
         at--)
        actuator->components[at] = actuator->components[at - 1];
    actuator->components[at] = *component;
    pthread_mutex_unlock(&actuator->lock);
}

/* ---- as JSON ---- */

static void
put_status(struct json_writer *json, enum actuator_status status)
{
    json_put_text(json, "status", statuses[status].text);
}

static void
put_component(struct json_writer *json, const char *name, enum actuator_status status)
{
    json_open_object(json, name);
    put_status(json, status);
    json_close_object(json);
}

static enum actuator_status
worst_of(const enum actuator_status *found, size_t count)
{
    enum actuator_status worst = ACTUATOR_UNKNOWN;

    for (size_t i = 0; i < count; i++)
        worst = found[i] > worst ? found[i] : worst;
    return worst;
}

/* The components of one group, which stand together: one object. Returns how many they are. */
static size_t
put_group(struct json_writer *json, const struct actuator_component *components,
          const enum actuator_status *found, size_t count)
{
    const char *group = components[0].group;
    size_t size = 0;

    while (size < count && components[size].group != NULL &&
           strcmp(components[size].group, group) == 0)
        size++;
    json_open_object(json, group);
    put_status(json, worst_of(found, size));
    json_open_object(json, "components");
    for (size_t i = 0; i < size; i++)
        put_component(json, components[i].name, found[i]);
    json_close_object(json);
    json_close_object(json);
    return size;
}

/* Under the lock. */
static enum actuator_status
put_all(struct json_writer *json, const struct actuator *actuator, struct arena *arena)
{
    enum actuator_status *found = arena_take(arena, actuator->count * sizeof *found), worst;

    for (size_t i = 0; i < actuator->count; i++)
        found[i] = actuator->components[i].status(actuator->components[i].owner);
    worst = worst_of(found, actuator->count);
    put_status(json, worst);
    json_open_object(json, "components");
    for (size_t i = 0; i < actuator->count;) {
        const struct actuator_component *component = &actuator->components[i];

        if (component->group != NULL) {
            i += put_group(json, component, &found[i], actuator->count - i);
        } else {
            put_component(json, component->name, found[i]);
            i++;
        }
    }
    json_close_object(json);
    return worst;
}

/* ---- routes ---- */

/* In Spring's own type for those who take it; its tools and browsers do. */
static void
answer(struct http_exchange *exchange, int status, struct json_writer *json)
{
    static const char *const vary[] = { "Vary: Accept", NULL };
    const struct http_request *request = exchange->request;
    int spring = accept_quality(request, ACTUATOR_TYPE, NULL);
    int plain = accept_quality(request, "application/json", NULL);

    json_close_object(json);
    http_answer(exchange, status,
                spring > 0 && spring >= plain ? ACTUATOR_TYPE : "application/json", json->text,
                json->bytes, vary);
    json_writer_free(json);
}

static void
show_health(struct http_exchange *exchange)
{
    struct actuator *actuator = exchange->owner;
    struct json_writer json = { 0 };
    enum actuator_status worst;

    json_open_object(&json, NULL);
    pthread_mutex_lock(&actuator->lock);
    worst = put_all(&json, actuator, exchange->arena);
    pthread_mutex_unlock(&actuator->lock);
    json_open_array(&json, "groups");
    json_put_text(&json, NULL, "liveness");
    json_put_text(&json, NULL, "readiness");
    json_close_array(&json);
    answer(exchange, statuses[worst].http, &json);
}

static void
show_one(struct http_exchange *exchange, const char *name, enum actuator_status status)
{
    struct json_writer json = { 0 };

    json_open_object(&json, NULL);
    put_status(&json, status);
    json_open_object(&json, "components");
    put_component(&json, name, status);
    json_close_object(&json);
    answer(exchange, statuses[status].http, &json);
}

static void
show_liveness(struct http_exchange *exchange)
{
    show_one(exchange, "livenessState", live(NULL));
}

static void
show_readiness(struct http_exchange *exchange)
{
    struct actuator *actuator = exchange->owner;

    show_one(exchange, "readinessState", ready(actuator->health));
}

/* Of git there is nothing where the build knew nothing. */
static void
show_info(struct http_exchange *exchange)
{
    const struct actuator *actuator = exchange->owner;
    const struct build *build = actuator->build;
    struct json_writer json = { 0 };

    json_open_object(&json, NULL);
    json_open_object(&json, "build");
    json_put_text(&json, "artifact", actuator->program);
    json_put_text(&json, "group", "sagamesh");
    json_put_text(&json, "name", actuator->program);
    json_put_text(&json, "time", build->time);
    json_put_text(&json, "version", build->version);
    json_close_object(&json);
    if (strcmp(build->commit, "unknown") != 0) {
        char commit[COMMIT_SHORT_BYTES + 1] = "";

        json_open_object(&json, "git");
        json_open_object(&json, "commit");
        json_put_text(&json, "id", strncat(commit, build->commit, COMMIT_SHORT_BYTES));
        json_put_text(&json, "time", build->time);
        json_close_object(&json);
        json_close_object(&json);
    }
    answer(exchange, 200, &json);
}

/* clang-format off */
const struct http_route actuator_routes[] = {
    { .method = "GET", .path = "/actuator/health",           .handler = show_health,    .without_redis = "works" },
    { .method = "GET", .path = "/actuator/health/liveness",  .handler = show_liveness,  .without_redis = "works" },
    { .method = "GET", .path = "/actuator/health/readiness", .handler = show_readiness, .without_redis = "works" },
    { .method = "GET", .path = "/actuator/info",             .handler = show_info,      .without_redis = "works" },
    { 0 },
};
/* clang-format on */
