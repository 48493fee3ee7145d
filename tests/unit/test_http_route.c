/* Which tables can be joined, and which row a request means. */
#include "mesh/http/route.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

static void
handle(struct http_exchange *exchange)
{
    (void)exchange;
}

static int first, second; /* owners */

static bool
admit(void *owner, struct http_exchange *exchange, struct http_problem *ret_problem)
{
    (void)owner, (void)exchange, (void)ret_problem;
    return true;
}

/* clang-format off */
static const struct http_route orders[] = {
    { .method = "GET",  .path = "/orders",            .handler = handle },
    { .method = "POST", .path = "/orders",            .handler = handle },
    { .method = "GET",  .path = "/orders/{no}",       .handler = handle },
    { .method = "POST", .path = "/orders/{no}/a/{b}", .handler = handle },
    { 0 },
};
static const struct http_route alive[] = {
    { .method = "GET",  .path = "/livez",             .handler = handle },
    { 0 },
};
static const struct http_table tables[] = {
    { .routes = orders, .owner = &first, .gate = { admit, &first } },
    { .routes = alive,  .owner = &second },
    { 0 },
};

/* A second table, after orders[]. */
static const struct {
    const char *what;
    struct http_route route;
    const char *because; /* NULL: it can be joined */
} joins[] = {
    { "another path",                { .method = "GET",    .path = "/orders/{no}/x", .handler = handle }, NULL },
    { "another method",              { .method = "DELETE", .path = "/orders/{no}",   .handler = handle }, NULL },
    { "a longer name",               { .method = "GET",    .path = "/orders2",       .handler = handle }, NULL },
    { "four parameters",             { .method = "GET",    .path = "/{a}/{b}/{c}/{d}", .handler = handle }, NULL },
    { "the same",                    { .method = "GET",    .path = "/orders",        .handler = handle }, "GET /orders stands twice" },
    { "a parameter's other name",    { .method = "GET",    .path = "/orders/{id}",   .handler = handle }, "GET /orders/{id} stands twice" },
    { "two other names",             { .method = "POST",   .path = "/orders/{longer}/a/{x}", .handler = handle }, "POST /orders/{longer}/a/{x} stands twice" },
    { "no handler",                  { .method = "GET",    .path = "/x",             .handler = NULL },   "GET /x has no handler" },
    { "no path",                     { .method = "GET",    .path = NULL,             .handler = handle }, "GET - must have a path that begins with /" },
    { "a path without its slash",    { .method = "GET",    .path = "x",              .handler = handle }, "GET x must have a path that begins with /" },
    { "five parameters",             { .method = "GET",    .path = "/{a}/{b}/{c}/{d}/{e}", .handler = handle }, "GET /{a}/{b}/{c}/{d}/{e} has too many parameters" },
};
/* clang-format on */

START_TEST(tables_are_joined_or_refused)
{
    const struct http_route rows[] = { joins[_i].route, { 0 } };
    const struct http_table both[] = { { .routes = orders }, { .routes = rows }, { 0 } };
    struct problem problem = { .text = "" };
    struct http_routes *routes = NULL;
    enum error error = http_routes_join(both, &problem, &routes);

    ck_assert_msg((error == ERR_OK) == (joins[_i].because == NULL), "%s: %s", joins[_i].what,
                  problem.text);
    ck_assert_msg((routes != NULL) == (error == ERR_OK), "%s", joins[_i].what);
    if (error != ERR_OK)
        ck_assert_str_eq(problem.text, joins[_i].because);
    http_routes_free(routes);
}
END_TEST

START_TEST(no_route_at_all_is_refused)
{
    const struct http_route none[] = { { 0 } };
    const struct http_table empty[] = { { .routes = none }, { 0 } };
    struct http_routes *routes = NULL;
    struct problem problem;

    ck_assert_int_eq(http_routes_join(empty, &problem, &routes), ERR_BAD_REQUEST);
    ck_assert_int_eq(http_routes_join(empty + 1, &problem, &routes), ERR_BAD_REQUEST);
    ck_assert_ptr_null(routes);
}
END_TEST

/* More routes than any table of one program has had. */
START_TEST(there_is_no_limit_to_routes)
{
    enum { MANY = 500 };
    struct http_route *rows = calloc(MANY + 1, sizeof *rows);
    const struct http_table table[] = { { .routes = rows }, { 0 } };
    struct http_routes *routes = NULL;
    struct problem problem;
    char paths[MANY][16];

    for (size_t i = 0; i < MANY; i++) {
        snprintf(paths[i], sizeof paths[i], "/%zu", i);
        rows[i] = (struct http_route){ .method = "GET", .path = paths[i], .handler = handle };
    }
    ck_assert_int_eq(http_routes_join(table, &problem, &routes), ERR_OK);
    ck_assert_uint_eq(routes->count, MANY);
    http_routes_free(routes);
    free(rows);
}
END_TEST

/* clang-format off */
static const struct {
    const char *method, *path;
    const struct http_route *route; /* or NULL: */
    int status;
    const char *allow, *first, *second;
} requests[] = {
    { "GET",     "/orders",       &orders[0], 0,   NULL, NULL, NULL },
    { "HEAD",    "/orders",       &orders[0], 0,   NULL, NULL, NULL },
    { "POST",    "/orders",       &orders[1], 0,   NULL, NULL, NULL },
    { "GET",     "/orders/7",     &orders[2], 0,   NULL, "7",  NULL },
    { "POST",    "/orders/7/a/8", &orders[3], 0,   NULL, "7",  "8" },
    { "GET",     "/livez",        &alive[0],  0,   NULL, NULL, NULL },
    { "GET",     "/orders/",      NULL,       404, NULL, NULL, NULL },
    { "GET",     "/orders/7/a/",  NULL,       404, NULL, NULL, NULL },
    { "GET",     "/order",        NULL,       404, NULL, NULL, NULL },
    { "GET",     "/livez/x",      NULL,       404, NULL, NULL, NULL },
    { "DELETE",  "/orders",       NULL,       405, "GET, HEAD, POST, OPTIONS", NULL, NULL },
    { "OPTIONS", "/livez",        NULL,       204, "GET, HEAD, OPTIONS", NULL, NULL },
};
/* clang-format on */

START_TEST(request_finds_its_route)
{
    const struct http_request request = { .method = requests[_i].method,
                                          .path = requests[_i].path };
    const char *parameters[HTTP_PARAMETERS_MAX] = { NULL }, *allow = NULL;
    struct arena *arena = arena_new();
    struct http_routes *routes = NULL;
    const struct http_place *place;
    struct problem problem;
    int status = 0;

    ck_assert_int_eq(http_routes_join(tables, &problem, &routes), ERR_OK);
    place = http_route_find(routes, &request, arena, parameters, &status, &allow);
    if (requests[_i].route == NULL) {
        ck_assert_ptr_null(place);
        ck_assert_int_eq(status, requests[_i].status);
        ck_assert_pstr_eq(allow, requests[_i].allow);
    } else {
        bool is_alive = requests[_i].route == &alive[0];

        ck_assert_ptr_eq(place->route, requests[_i].route);
        ck_assert_ptr_eq(place->owner, is_alive ? &second : &first);
        ck_assert((place->gate.admit == NULL) == is_alive);
        ck_assert_pstr_eq(parameters[0], requests[_i].first);
        ck_assert_pstr_eq(parameters[1], requests[_i].second);
    }
    http_routes_free(routes);
    arena_free(arena);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("all");

    tcase_add_loop_test(tests, tables_are_joined_or_refused, 0, ROWS(joins));
    tcase_add_test(tests, no_route_at_all_is_refused);
    tcase_add_test(tests, there_is_no_limit_to_routes);
    tcase_add_loop_test(tests, request_finds_its_route, 0, ROWS(requests));
    return check_run("http_route", tests);
}
