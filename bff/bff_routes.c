/* bff_routes.c -- Which tables each port has, with their owners; those with bff's gate ask for a token.
 *
 * A route that is new is a row in its subject's file and an operation in openapi.json; test_bff_routes
 * says where the two differ. A subject that is new is a table, and a row here.
 */
#include "bff/bff_routes.h"

struct bff_tables
bff_api_tables(struct bff *bff)
{
    const struct http_gate token = { auth_admit, &bff->gate };

    return (struct bff_tables){ {
        { .routes = order_routes, .owner = bff, .gate = token, .has_spans = true },
        { .routes = product_routes, .owner = bff, .gate = token, .has_spans = true },
        { .routes = wallet_routes, .owner = bff, .gate = token, .has_spans = true },
        { .routes = health_routes, .owner = bff->health },
        { .routes = openapi_routes, .has_spans = true },
        { 0 },
    } };
}

/* On a port of its own: the one that providers can reach. */
struct bff_tables
bff_webhook_tables(struct bff *bff)
{
    return (struct bff_tables){ { { .routes = webhook_routes, .owner = bff, .has_spans = true },
                                  { 0 } } };
}
