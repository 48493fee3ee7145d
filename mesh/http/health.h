/* health.h -- /livez and /readyz: is this program alive, may requests be sent to it, and why not?
 *
 *     {"status":"not ready","clock":"wrong","services":{"order":"SERVING","storage":"NOT_SERVING"}}
 *
 * /livez is 200 as long as the server's loop turns. /readyz is 503 with Retry-After until the program has
 * started, while a condition does not hold, and once the program is stopping.
 *
 * Thread    Any. Conditions are asked on the loop threads of servers, one at a time: they look at a number and
 *           never wait, for a database least of all.
 * Memory    Conditions are copied; their texts outlive the health, and their owners health_stop().
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
    bool is_beside; /* it is shown, and /readyz does not depend on it */
};

struct health *health_new(void);

/* After the servers with its routes have closed. NULL is fine. Returns NULL. */
struct health *health_free(struct health *health);

/* NULL is fine for the three below. Those of a group one after another. */
void health_add(struct health *health, const struct health_condition *condition);

/* What /readyz says; for metrics. */
bool health_is_ready(struct health *health);

/* /readyz says "starting" no more. */
void health_start(struct health *health);

/* From now on /readyz says "stopping", and no condition is asked any more. */
void health_stop(struct health *health);

/* Their table's owner is the struct health. */
extern const struct http_route health_routes[];

#endif
