/* bff_routes.h -- What can be asked: a table for each subject, in its own file; and which port has which.
 *
 * Errors    http_server_open() refuses a route that stands twice or has no handler.
 */
#ifndef BFF_ROUTES_H
#define BFF_ROUTES_H

#include "bff/bff.h"

enum {
    BODY_BYTES_MAX = 1 << 20,
    IGNORED_BYTES_MAX = 1024, /* clients that post an empty object where nothing is to be said */
};

#define JSON_TYPE "application/json"

/* For those who show a token. */
extern const struct http_route order_routes[];
extern const struct http_route product_routes[];
extern const struct http_route wallet_routes[];

/* For everybody. */
extern const struct http_route webhook_routes[];
extern const struct http_route openapi_routes[];

enum { BFF_TABLES_MAX = 8 }; /* with the one of zeros: one more does not compile */

/* The tables of a port, ended by one of zeros. */
struct bff_tables {
    struct http_table of[BFF_TABLES_MAX];
};
struct bff_tables bff_api_tables(struct bff *bff);
struct bff_tables bff_webhook_tables(struct bff *bff);

#endif
