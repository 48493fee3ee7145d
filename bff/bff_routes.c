#include "bff/bff_routes.h"
#include "mesh/http/metrics.h"

struct bff_tables
bff_api_tables(struct bff *bff)
{
    const struct http_gate token = { auth_admit, &bff->gate };

    return (struct bff_tables){ {
        { .routes = order_routes, .owner = bff, .gate = token },
        { .routes = product_routes, .owner = bff, .gate = token },
        { .routes = wallet_routes, .owner = bff, .gate = token },
        { .routes = health_routes, .owner = bff->health },
        { .routes = metrics_routes, .owner = bff->metrics },
        { .routes = openapi_routes },
    } };
}

/* On a port of its own: the one that providers can reach. */
struct bff_tables
bff_webhook_tables(struct bff *bff)
{
    return (struct bff_tables){ { { .routes = webhook_routes, .owner = bff } } };
}
