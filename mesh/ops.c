/* ops.c -- A small HTTP server of its own, so that a crowd at the program's other ports does not keep a probe
 * waiting. Its table of routes is the sum of its parts'. */
#include "mesh/ops.h"

#include "mesh/base/arena.h"
#include "mesh/base/build.h"
#include "mesh/http/actuator.h"
#include "mesh/http/health.h"
#include "mesh/http/info.h"
#include "mesh/http/level.h"
#include "mesh/http/metrics.h"
#include "mesh/http/server.h"
#include "mesh/observe/file_watch.h"
#include "mesh/observe/metrics.h"
#include "mesh/observe/process.h"

#include <stdlib.h>

/* Beyond the share, who comes takes the place of one that is idle: a scraper that forgets its connections keeps no
 * probe out. */
enum { CONNECTIONS_MAX = 64, SHARE_MAX = 32 };

struct ops_server {
    struct ops parts;
    struct http_server *http;
};

/* clang-format off */
static const struct metric_row ready_row = { "sagamesh_ready", METRIC_GAUGE, METRIC_NUMBER, "1: /readyz is 200.", { NULL } };
/* clang-format on */

static void
ready_read(void *owner, struct metrics *metrics)
{
    metric_set(metrics_series(metrics, &ready_row, NULL), health_is_ready(owner) ? 1 : 0);
}

enum error
ops_open(const struct ops_options *options, struct ops_server **ret_server)
{
    struct ops_server *server = memory_take(sizeof *server);
    struct ops *parts = &server->parts;
    enum error error;

    *parts = (struct ops){ .metrics = metrics_new(),
                           .health = health_new(),
                           .info = info_new(options->program, &mesh_build) };
    parts->files = file_watch_new(parts->metrics);
    parts->actuator = actuator_new(options->program, &mesh_build, parts->health);
    process_metrics_open(parts->metrics, &mesh_build);
    {
        const struct http_table tables[] = {
            { .routes = health_routes, .owner = parts->health },
            { .routes = metrics_routes, .owner = parts->metrics },
            { .routes = info_routes, .owner = parts->info },
            { .routes = level_routes },
            { .routes = options->has_actuator ? actuator_routes : NULL, .owner = parts->actuator },
            { 0 },
        };
        const struct http_server_options http = { .listen = options->listen,
                                                  .tables = tables,
                                                  .metrics = parts->metrics,
                                                  .name = "ops",
                                                  .has_gzip = true,
                                                  .connections_max = CONNECTIONS_MAX,
                                                  .share_max = SHARE_MAX };

        error = http_server_open(&http, &server->http);
    }
    metrics_read(parts->metrics, ready_read, parts->health);
    if (error != ERR_OK)
        server = ops_close(server);
    *ret_server = server;
    return error;
}

int
ops_port(const struct ops_server *server)
{
    return http_server_port(server->http);
}

const struct ops *
ops_parts(const struct ops_server *server)
{
    return &server->parts;
}

struct ops_server *
ops_close(struct ops_server *server)
{
    if (server == NULL)
        return NULL;
    server->http = http_server_close(server->http);
    metrics_read_end(server->parts.metrics, server->parts.health);
    server->parts.files = file_watch_free(server->parts.files);
    server->parts.actuator = actuator_free(server->parts.actuator);
    server->parts.info = info_free(server->parts.info);
    server->parts.health = health_free(server->parts.health);
    server->parts.metrics = metrics_free(server->parts.metrics);
    free(server);
    return NULL;
}
