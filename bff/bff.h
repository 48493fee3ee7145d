/* bff.h -- What a frontend and payment providers talk to: HTTP and JSON in front of the services.
 *
 *     bff_routes.c     which tables each port has     bff_job.c      one request at work
 *     bff_orders.c     orders that there are          bff_place.c    placing one
 *     bff_products.c, bff_wallets.c, bff_openapi.c    bff_webhook.c  what providers say
 *     bff_fail.c       failed calls as HTTP has them  bff_observe.c  what /metrics and /readyz show
 *     bff_watch.c      hints that an order is being looked at
 *
 * Nothing is kept here: what must outlive this process is in the services before a 2xx leaves.
 */
#ifndef BFF_H
#define BFF_H

#include "mesh/http/actuator.h"
#include "mesh/http/auth.h"
#include "mesh/http/health.h"
#include "mesh/http/server.h"
#include "mesh/rpc/clock_watch.h"
#include "mesh/rpc/peer_health.h"

/* The services behind. */
enum { BFF_ORDER, BFF_STORAGE, BFF_ACCOUNT, BFF_SAGA, BFF_SERVICE_COUNT };

struct watchers;

struct bff {
    struct rpc_client *clients[BFF_SERVICE_COUNT];
    struct peer_health peers[BFF_SERVICE_COUNT], databases[BFF_SERVICE_COUNT];
    struct peer_health kafka[BFF_SERVICE_COUNT]; /* as the services reach it that send news */
    struct current *auths;                       /* what tokens are checked by: struct auth */
    struct auth_gate gate;                       /* of customers and operators */
    struct metrics *metrics;                     /* of the process, as the next two */
    struct health *health;
    struct actuator *actuator;
    struct watchers *watchers;
    struct http_server *server, *webhooks;
    struct clock_watch *clock;
    int64_t place_wait_ms;
};

#endif
