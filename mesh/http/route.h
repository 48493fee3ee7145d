/* route.h -- What can be asked over HTTP: tables of routes, one for each subject, joined when a server opens.
 *
 * Thread    Tables are constant. What was joined does not change: any thread.
 * Memory    Routes and owners outlive the server; the list of tables need not.
 * Errors    http_routes_join: ERR_BAD_REQUEST, the problem names the route and the rule.
 * Units     *_ms milliseconds, *_bytes bytes.
 */
#ifndef MESH_HTTP_ROUTE_H
#define MESH_HTTP_ROUTE_H

#include "mesh/http/http1.h"
#include "mesh/http/problem.h"

struct http_exchange;

struct http_route {
    const char *method;
    const char *path; /* "/api/v1/orders/{orderNo}"; GET answers HEAD, OPTIONS answers itself */
    void (*handler)(struct http_exchange *exchange);
    size_t body_bytes_max;     /* 0: no body is accepted */
    const char *content_type;  /* of a request with a body; another is 415. NULL: any */
    int deadline_ms;           /* for the handler; then the server answers 504. 0: 30 s */
    const char *without_redis; /* what happens without Redis: "works", "503" */
    const void *own;           /* what the handler wants to know of its route */
};

/* Who may come in. The server asks on its loop thread when the head is there, before a body is read; what
 * admit() leaves in exchange->admitted is the handler's. A refusal's answer does not wait for the body:
 * where one was announced, the connection ends. */
struct http_gate {
    bool (*admit)(void *owner, struct http_exchange *exchange, struct http_problem *ret_problem);
    void *owner;
};

struct http_table {
    const struct http_route *routes; /* ends with a row of zeros */
    void *owner;                     /* exchange->owner for its handlers */
    struct http_gate gate;           /* of all its routes; zeros: everybody may come in */
    bool has_spans; /* its requests are recorded; not those that are asked each second */
};

enum { HTTP_PARAMETERS_MAX = 4 }; /* {braces} in a path */

/* A route of a server, with its table's owner and gate. */
struct http_place {
    const struct http_route *route;
    void *owner;
    struct http_gate gate;
    bool has_spans;
};

struct http_routes {
    size_t count;
    struct http_place places[];
};

/* tables ends with one of zeros. Refused: no route at all, a route without a handler, a path that does not
 * begin with "/" or has more than HTTP_PARAMETERS_MAX parameters, and a method and path that stand twice
 * (with any names of their parameters). */
enum error http_routes_join(const struct http_table *tables, struct problem *problem,
                            struct http_routes **ret_routes);

/* NULL is fine. Returns NULL. */
struct http_routes *http_routes_free(struct http_routes *routes);

/* The place of the request, its parameters, in the arena, in ret_parameters[HTTP_PARAMETERS_MAX]. NULL:
 * *ret_status (404, 405, or 204 for OPTIONS) answers, with *ret_allow in the arena, NULL for 404. */
const struct http_place *http_route_find(const struct http_routes *routes,
                                         const struct http_request *request, struct arena *arena,
                                         const char **ret_parameters, int *ret_status,
                                         const char **ret_allow);

/* May the body have this type and coding? */
bool http_route_takes_type(const struct http_route *route, const struct http_request *request);

#endif
