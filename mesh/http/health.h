/* health.h -- /livez and /readyz: is this program alive, may requests be sent to it, and why not?
 *
 *     {"status":"not ready","clock":"wrong","services":{"order":"SERVING","storage":"NOT_SERVING"}}
 *
 * /livez is 200 as long as the server's loop turns. /readyz is 503 with Retry-After once the program is
 * stopping, or while a condition does not hold.
 *
 * Thread    health_new/add/free: main, before the server opens and after it has closed. health_stop: any.
 *           Conditions are asked on the server's loop thread: they look at a number and never wait.
 * Memory    Conditions are copied; their texts and owners outlive the health.
 */
#ifndef MESH_HTTP_HEALTH_H
#define MESH_HTTP_HEALTH_H

#include "mesh/http/route.h"

struct health;

struct health_condition {
    const char *group;      /* the object that it is shown in; NULL: the answer itself */
    const char *name;       /* in a group, where good and bad are texts, or not */
    const char *good, *bad; /* what is said of it; NULL: nothing */
    bool (*holds)(void *owner);
    void *owner;
};

struct health *health_new(void);

/* NULL is fine. Returns NULL. */
struct health *health_free(struct health *health);

/* Those of a group one after another. */
void health_add(struct health *health, const struct health_condition *condition);

/* From now on /readyz says "stopping". */
void health_stop(struct health *health);

/* Their table's owner is the struct health. */
extern const struct http_route health_routes[];

#endif
