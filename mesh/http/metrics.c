/* metrics.c -- The route that Prometheus asks. */
#include "mesh/http/metrics.h"
#include "mesh/http/server.h"
#include "mesh/observe/metrics.h"

#include <stdlib.h>

static void
show(struct http_exchange *exchange)
{
    size_t bytes;
    char *text = metrics_show(exchange->owner, &bytes);

    http_answer(exchange, 200, METRICS_CONTENT_TYPE, text, bytes, NULL);
    free(text);
}

/* clang-format off */
const struct http_route metrics_routes[] = {
    { .method = "GET", .path = "/metrics", .handler = show, .without_redis = "works" },
    { 0 },
};
/* clang-format on */
