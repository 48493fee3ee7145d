/* server_route.c -- Which row of the table a request means. */
#include "mesh/http/server_inner.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

enum { PARAMETERS_MAX = sizeof((struct http_exchange *)0)->parameters / sizeof(char *) };

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
            assert(count < PARAMETERS_MAX);
            parameters[count++] = arena_copy(arena, path, bytes);
            path += bytes;
            pattern += strcspn(pattern, "}") + 1;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

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

const struct http_route *
route_find(const struct http_route *routes, const struct http_request *request, struct arena *arena,
           const char **ret_parameters, int *ret_status, const char **ret_allow)
{
    const char *allow = NULL;
    bool is_options = strcmp(request->method, "OPTIONS") == 0;

    if (strcmp(request->path, "*") == 0)
        allow = "GET, HEAD, POST, PUT, PATCH, DELETE";
    for (const struct http_route *route = routes; route->method != NULL; route++) {
        if (!path_matches(route->path, request->path, arena, ret_parameters))
            continue;
        if (method_matches(route->method, request->method))
            return route;
        allow = allow_add(allow, route->method, arena);
    }
    *ret_allow = allow == NULL ? NULL : allow_add(allow, "OPTIONS", arena);
    *ret_status = allow == NULL ? 404 : is_options ? 204 : 405;
    return NULL;
}

bool
route_takes_type(const struct http_route *route, const struct http_request *request)
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
