/* metrics.c -- The route that Prometheus asks. It says which format it would rather have; who says nothing gets the
 * older one. */
#include "mesh/http/metrics.h"
#include "mesh/http/accept.h"
#include "mesh/http/server.h"
#include "mesh/observe/metrics.h"

#include <stdlib.h>

static void
show(struct http_exchange *exchange)
{
    static const char *const vary[] = { "Vary: Accept", NULL };
    int open = accept_quality(exchange->request, "application/openmetrics-text", "1.0.0");
    int plain = accept_quality(exchange->request, "text/plain", "0.0.4");
    enum metrics_format format = open > plain ? METRICS_OPEN : METRICS_TEXT;
    size_t bytes;
    char *text = metrics_show(exchange->owner, format, &bytes);

    http_answer(exchange, 200, metrics_content_types[format], text, bytes, vary);
    free(text);
}

/* clang-format off */
const struct http_route metrics_routes[] = {
    { .method = "GET", .path = "/metrics", .handler = show, .without_redis = "works" },
    { 0 },
};
/* clang-format on */
