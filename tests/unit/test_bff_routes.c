/* The routes that bff's ports have, against openapi.json: each stands in the other, and says the same. */
#include "bff/bff_openapi.h"
#include "bff/bff_routes.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static struct bff bff;
static json_t *document;
static struct http_routes *ports[2]; /* the API's, the webhooks' */

static struct http_routes *
join(struct bff_tables tables)
{
    struct http_routes *routes = NULL;
    struct problem problem = { .text = "" };

    ck_assert_msg(http_routes_join(tables.of, &problem, &routes) == ERR_OK, "%s", problem.text);
    return routes;
}

static void
open_both(void)
{
    document = json_loadb(openapi_start, (size_t)(openapi_end - openapi_start),
                          JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(document);
    ports[0] = join(bff_api_tables(&bff));
    ports[1] = join(bff_webhook_tables(&bff));
}

static void
close_both(void)
{
    json_decref(document);
    for (size_t i = 0; i < 2; i++)
        ports[i] = http_routes_free(ports[i]);
}

static const json_t *
operation_of(const struct http_route *route)
{
    const json_t *path = json_object_get(json_object_get(document, "paths"), route->path);
    const char *method;
    json_t *operation;

    json_object_foreach((json_t *)path, method, operation)
    {
        if (strcasecmp(method, route->method) == 0)
            return operation;
    }
    return NULL;
}

static bool
has_status(const json_t *operation, const char *status)
{
    return json_object_get(json_object_get(operation, "responses"), status) != NULL;
}

/* A token is asked for: by the operation, or by all that do not say otherwise. */
static bool
is_secured(const json_t *operation)
{
    const json_t *own = json_object_get(operation, "security");

    return json_array_size(own != NULL ? own : json_object_get(document, "security")) > 0;
}

/* As many {parameters} in the path as the operation lists, by the same names. */
static void
check_parameters(const struct http_route *route, const json_t *operation)
{
    const json_t *parameters = json_object_get(operation, "parameters");
    size_t listed = 0, in_path = 0;

    for (size_t i = 0; i < json_array_size(parameters); i++) {
        const json_t *parameter = json_array_get(parameters, i);
        char name[64];

        if (strcmp(json_string_value(json_object_get(parameter, "in")), "path") != 0)
            continue;
        listed++;
        snprintf(name, sizeof name, "{%s}", json_string_value(json_object_get(parameter, "name")));
        ck_assert_msg(strstr(route->path, name) != NULL, "%s has no %s", route->path, name);
    }
    for (const char *at = route->path; (at = strchr(at, '{')) != NULL; at++)
        in_path++;
    ck_assert_msg(listed == in_path, "%s: %zu parameters are described", route->path, listed);
}

static void
check_body(const struct http_route *route, const json_t *operation)
{
    const json_t *body = json_object_get(operation, "requestBody");
    const json_t *types = json_object_get(body, "content");
    bool takes_one = route->body_bytes_max > 0;

    ck_assert_msg(takes_one == (body != NULL), "%s %s: a body, or none", route->method,
                  route->path);
    ck_assert_msg(takes_one == has_status(operation, "415"), "%s %s: 415", route->method,
                  route->path);
    if (!takes_one)
        return;
    ck_assert_msg(json_integer_value(json_object_get(body, "x-body-bytes-max")) ==
                      (json_int_t)route->body_bytes_max,
                  "%s %s: x-body-bytes-max is %zu", route->method, route->path,
                  route->body_bytes_max);
    ck_assert_uint_eq(json_object_size(types), 1);
    ck_assert_msg(
        json_object_get(types, route->content_type == NULL ? "*/*" : route->content_type) != NULL,
        "%s %s: the body's type", route->method, route->path);
}

START_TEST(each_route_is_described)
{
    for (size_t port = 0; port < 2; port++) {
        for (size_t i = 0; i < ports[port]->count; i++) {
            const struct http_place *place = &ports[port]->places[i];
            const struct http_route *route = place->route;
            const json_t *operation = operation_of(route);

            ck_assert_msg(operation != NULL, "%s %s is not in openapi.json", route->method,
                          route->path);
            ck_assert_msg((place->gate.admit != NULL) == is_secured(operation),
                          "%s %s: for everybody, or not", route->method, route->path);
            ck_assert_msg(place->gate.admit == NULL || has_status(operation, "401"), "%s %s: 401",
                          route->method, route->path);
            ck_assert_msg(has_status(operation, "413") && has_status(operation, "504"),
                          "%s %s: 413 and 504", route->method, route->path);
            check_parameters(route, operation);
            check_body(route, operation);
        }
    }
}
END_TEST

static bool
is_routed(const char *method, const char *path)
{
    for (size_t port = 0; port < 2; port++) {
        for (size_t i = 0; i < ports[port]->count; i++) {
            const struct http_route *route = ports[port]->places[i].route;

            if (strcasecmp(route->method, method) == 0 && strcmp(route->path, path) == 0)
                return true;
        }
    }
    return false;
}

START_TEST(each_operation_is_a_route)
{
    const char *path, *method;
    json_t *item, *operation;
    size_t count = 0;

    json_object_foreach(json_object_get(document, "paths"), path, item)
    {
        json_object_foreach(item, method, operation)
        {
            ck_assert_msg(is_routed(method, path), "%s %s is no route", method, path);
            count++;
        }
    }
    ck_assert_uint_eq(count, ports[0]->count + ports[1]->count);
}
END_TEST

/* What happens without Redis is decided for each route. */
START_TEST(each_route_says_what_happens_without_redis)
{
    for (size_t port = 0; port < 2; port++) {
        for (size_t i = 0; i < ports[port]->count; i++)
            ck_assert_ptr_nonnull(ports[port]->places[i].route->without_redis);
    }
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("all");

    tcase_add_checked_fixture(tests, open_both, close_both);
    tcase_add_test(tests, each_route_is_described);
    tcase_add_test(tests, each_operation_is_a_route);
    tcase_add_test(tests, each_route_says_what_happens_without_redis);
    return check_run("bff_routes", tests);
}
