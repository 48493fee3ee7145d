/* route.c -- Tables joined into one, and which of its rows a request means. */
#include "mesh/http/route.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- joining ---- */

static size_t
parameters_of(const char *path)
{
    size_t count = 0;

    while ((path = strchr(path, '{')) != NULL) {
        path++;
        count++;
    }
    return count;
}

/* The names of parameters make no difference: "/a/{b}" and "/a/{c}" are asked by the same requests. */
static bool
is_same_path(const char *path, const char *other)
{
    while (*path != '\0' && *path == *other) {
        if (*path == '{') {
            path += strcspn(path, "}");
            other += strcspn(other, "}");
        } else {
            path++;
            other++;
        }
    }
    return *path == *other;
}

static enum error
check_route(const struct http_routes *routes, const struct http_route *route,
            struct problem *problem)
{
    const char *rule = NULL;

    if (route->handler == NULL)
        rule = "has no handler";
    else if (route->path == NULL || route->path[0] != '/')
        rule = "must have a path that begins with /";
    else if (parameters_of(route->path) > HTTP_PARAMETERS_MAX)
        rule = "has too many parameters";
    for (size_t i = 0; rule == NULL && i < routes->count; i++) {
        const struct http_route *other = routes->places[i].route;

        if (strcmp(other->method, route->method) == 0 && is_same_path(other->path, route->path))
            rule = "stands twice";
    }
    if (rule == NULL)
        return ERR_OK;
    return problem_set(problem, ERR_BAD_REQUEST, "routes", "%s %s %s", route->method,
                       route->path == NULL ? "-" : route->path, rule);
}

/* All tables together, so that they are joined into one block. */
static size_t
rows_of(const struct http_table *tables)
{
    size_t count = 0;

    for (; tables->routes != NULL; tables++) {
        for (const struct http_route *route = tables->routes; route->method != NULL; route++)
            count++;
    }
    return count;
}

enum error
http_routes_join(const struct http_table *tables, struct problem *problem,
                 struct http_routes **ret_routes)
{
    size_t count = rows_of(tables);
    struct http_routes *routes = memory_take(sizeof *routes + count * sizeof(struct http_place));
    enum error error = ERR_OK;

    if (count == 0)
        error = problem_set(problem, ERR_BAD_REQUEST, "routes", "there are none");
    for (; error == ERR_OK && tables->routes != NULL; tables++) {
        for (const struct http_route *route = tables->routes;
             error == ERR_OK && route->method != NULL; route++) {
            error = check_route(routes, route, problem);
            routes->places[routes->count++] =
                (struct http_place){ route, tables->owner, tables->gate, tables->has_spans };
        }
    }
    if (error == ERR_OK)
        *ret_routes = routes;
    else
        http_routes_free(routes);
    return error;
}

struct http_routes *
http_routes_free(struct http_routes *routes)
{
    free(routes);
    return NULL;
}

/* ---- finding ---- */

/* A parameter is one segment and never empty. The path is decoded already and has no %2F. */
static bool
path_matches(const char *pattern, const char *path, struct arena *arena, const char **parameters)
{
    size_t count = 0;

    while (*pattern != '\0') {
        if (*pattern == '{') {
            size_t bytes = strcspn(path, "/");

            if (bytes == 0)
                return false;
            parameters[count++] = arena_copy(arena, path, bytes);
            path += bytes;
            pattern += strcspn(pattern, "}") + 1;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

/* HEAD is GET without the body (RFC 9110, 9.3.2): the server leaves it out. */
static bool
method_matches(const char *route, const char *request)
{
    return strcmp(route, request) == 0 ||
           (strcmp(route, "GET") == 0 && strcmp(request, "HEAD") == 0);
}

static const char *
allow_add(const char *allow, const char *method, struct arena *arena)
{
    const char *head = strcmp(method, "GET") == 0 ? ", HEAD" : "";

    return arena_print(arena, "%s%s%s%s", allow == NULL ? "" : allow, allow == NULL ? "" : ", ",
                       method, head);
}

const struct http_place *
http_route_find(const struct http_routes *routes, const struct http_request *request,
                struct arena *arena, const char **ret_parameters, int *ret_status,
                const char **ret_allow)
{
    const char *allow = NULL;
    bool is_options = strcmp(request->method, "OPTIONS") == 0;

    if (strcmp(request->path, "*") == 0)
        allow = "GET, HEAD, POST, PUT, PATCH, DELETE";
    for (size_t i = 0; i < routes->count; i++) {
        const struct http_route *route = routes->places[i].route;

        if (!path_matches(route->path, request->path, arena, ret_parameters))
            continue;
        if (method_matches(route->method, request->method))
            return &routes->places[i];
        allow = allow_add(allow, route->method, arena);
    }
    *ret_allow = allow == NULL ? NULL : allow_add(allow, "OPTIONS", arena);
    *ret_status = allow == NULL ? 404 : is_options ? 204 : 405;
    return NULL;
}

bool
http_route_takes_type(const struct http_route *route, const struct http_request *request)
{
    const char *type = http_header_find(request, "content-type");
    const char *coding = http_header_find(request, "content-encoding");
    size_t bytes;

    if (coding[0] != '\0' && strcasecmp(coding, "identity") != 0)
        return false;
    if (route->content_type == NULL)
        return true;
    bytes = strlen(route->content_type);
    return strncasecmp(type, route->content_type, bytes) == 0 &&
           (type[bytes] == '\0' || strchr("; \t", type[bytes]) != NULL);
}
