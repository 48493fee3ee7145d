/* bff_routes.c -- What can be asked over HTTP: a row for each. */
#include "bff/bff.h"

enum {
    BODY_BYTES_MAX = 1 << 20,
    WEBHOOK_BYTES_MAX = 256 * 1024,
    IGNORED_BYTES_MAX = 1024, /* clients that post an empty object where nothing is to be said */
    PLACE_MS = 25000, /* three attempts to place, the wait, three attempts to store the answer */
    WEBHOOK_MS = 10000,
};

#define JSON "application/json"

/* clang-format off */
const struct http_route bff_routes[] = {
    /* method  path                                      handler         body bytes       its type deadline    without Redis  who may come in */
    { "POST",  "/api/v1/orders",                         order_place,    BODY_BYTES_MAX,  JSON,    PLACE_MS,   "works",       bearer_admit },
    { "GET",   "/api/v1/orders",                         order_list,     0,               NULL,    0,          "works",       bearer_admit },
    { "GET",   "/api/v1/orders/{orderNo}",               order_get,      0,               NULL,    0,          "works",       bearer_admit },
    { "POST",  "/api/v1/orders/{orderNo}/cancel",        order_cancel,   IGNORED_BYTES_MAX, JSON,  0,          "works",       bearer_admit },
    { "POST",  "/api/v1/orders/{orderNo}/returned",      order_returned, IGNORED_BYTES_MAX, JSON,  0,          "works",       bearer_admit },
    { "GET",   "/api/v1/products",                       product_list,   0,               NULL,    0,          "works",       bearer_admit },
    { "GET",   "/api/v1/wallets/{customerId}",           wallet_get,     0,               NULL,    0,          "works",       bearer_admit },
    { "POST",  "/api/v1/wallets/{customerId}/topups",    wallet_top_up,  BODY_BYTES_MAX,  JSON,    0,          "works",       bearer_admit },
    { "GET",   "/livez",                                 health_live,    0,               NULL,    0,          "works",       NULL },
    { "GET",   "/readyz",                                health_ready,   0,               NULL,    0,          "works",       NULL },
    { "GET",   "/metrics",                               metrics_show,   0,               NULL,    0,          "works",       NULL },
    { "GET",   "/openapi.json",                          openapi_show,   0,               NULL,    0,          "works",       NULL },
    { 0 },
};

/* On a port of its own: the one that providers can reach. */
const struct http_route bff_webhook_routes[] = {
    { "POST",  "/webhooks/{provider}",                   webhook_take,   WEBHOOK_BYTES_MAX, NULL,  WEBHOOK_MS, "works",       NULL },
    { 0 },
};
/* clang-format on */
