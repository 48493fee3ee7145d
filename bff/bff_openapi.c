/* bff_openapi.c -- bff/openapi.json, which is linked into the program. */
#include "bff/bff_openapi.h"
#include "bff/bff_routes.h"

static void
show(struct http_exchange *exchange)
{
    http_answer(exchange, 200, JSON_TYPE, openapi_start, (size_t)(openapi_end - openapi_start),
                NULL);
}

/* clang-format off */
const struct http_route openapi_routes[] = {
    { .method = "GET", .path = "/openapi.json", .handler = show, .without_redis = "works" },
    { 0 },
};
/* clang-format on */
