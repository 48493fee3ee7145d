/* actuator.h -- Health and build as programs of Spring Boot show them, for those whose tools know that alone.
 *
 *     GET /actuator/health             {"status":"UP","components":{"db":{"status":"UP","components":{"order":{...}}},
 *                                      "kafka":{"status":"UP"},...},"groups":["liveness","readiness"]}
 *     GET /actuator/health/liveness    {"status":"UP","components":{"livenessState":{"status":"UP"}}}
 *     GET /actuator/health/readiness   {"status":"OUT_OF_SERVICE","components":{"readinessState":{...}}}
 *     GET /actuator/info               {"build":{...},"git":{...}}
 *
 * The status of the whole is the worst of its components; DOWN and OUT_OF_SERVICE are 503. Readiness is that of /readyz
 * (health.h), and what only /actuator/health shows keeps no request away.
 *
 * Thread    Any. Components are asked on loop threads: they look at a number and never wait.
 * Memory    Components are copied; their texts and owners outlive the actuator.
 */
#ifndef MESH_HTTP_ACTUATOR_H
#define MESH_HTTP_ACTUATOR_H

#include "mesh/http/route.h"

struct actuator;
struct build;
struct health;

/* From the best to the worst; it is UNKNOWN where no program could be asked, which makes nothing worse. */
enum actuator_status {
    ACTUATOR_UNKNOWN,
    ACTUATOR_UP,
    ACTUATOR_OUT_OF_SERVICE,
    ACTUATOR_DOWN,
};

struct actuator_component {
    const char *group; /* the component that it is a part of; NULL: none */
    const char *name;
    enum actuator_status (*status)(void *owner);
    void *owner;
};

struct actuator *actuator_new(const char *program, const struct build *build,
                              struct health *health);

/* After the servers with its routes have closed. NULL is fine. Returns NULL. */
struct actuator *actuator_free(struct actuator *actuator);

/* NULL is fine. */
void actuator_add(struct actuator *actuator, const struct actuator_component *component);

/* Their table's owner is the struct actuator. */
extern const struct http_route actuator_routes[];

#endif
