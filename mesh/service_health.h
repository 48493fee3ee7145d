/* service_health.h -- May clients be sent here? A thread that asks, and does nothing else.
 *
 * Health follows the database: a service that cannot reach it, or whose writes are refused
 * (store/write_health.h), is NOT_SERVING. It follows the clock too: one whose clock is wrong is NOT_SERVING.
 * And the thread calls the program's own ports (PORT_SILENT): one that does not answer for half a minute ends
 * the process, so that a supervisor starts a program that listens.
 *
 * The thread has a connection of its own, so that no task of the keeper delays it, however slow. What it found
 * last are the conditions of /readyz (mesh/http/health.h), which all hold when the program is SERVING. The parts "database" and
 * "kafka" can be asked for by grpc.health.v1. Kafka is shown by /readyz and decides nothing: without it the program serves, its
 * news waits, and so does what it would have heard.
 *
 * Thread    service_health_open/close, service_health_hear: one. The others: any.
 * Memory    The options' texts and parts must outlive it.
 * Errors    Each change of health is a line (serving=yes|no).
 */
#ifndef MESH_SERVICE_HEALTH_H
#define MESH_SERVICE_HEALTH_H

#include "mesh/kafka/relay.h"
#include "mesh/rpc/clock_watch.h"
#include "mesh/rpc/server.h"
#include "mesh/store/schema.h"
#include "mesh/store/write_health.h"

enum { SERVICE_SERVERS = 2 };

struct service_health_options {
    struct rpc_server *servers[SERVICE_SERVERS]; /* told of each change; NULL: there is none */
    struct clock_watch *clock;
    /* All statements of the program, so that a database without one of them is found now; those of
     * write_health and store_clock among them. */
    const struct pg_statement *const *statements;
    const char *conninfo, *application; /* conninfo NULL: there is no database */
    /* Held and looked at on each new connection: a database that was changed beyond this program ends it. NULL: not. */
    const struct schema_step *schema;
    struct write_health *writes;      /* NULL without a database */
    const struct relay *relay;        /* NULL: its news goes nowhere, and it hears none */
    bool (*hears_kafka)(void *owner); /* NULL: it reads nothing there */
    struct metrics *metrics;          /* NULL: nothing is counted, as the next */
    struct health *health;            /* gets a condition for each thing that is looked at */
    /* Whether the program can decide calls; asked until it first says yes. NULL: at once. */
    bool (*is_ready)(void *owner);
    void *owner;
};

struct service_health;

struct service_health *service_health_open(const struct service_health_options *options);

/* The database is there and writes work, and the program is ready. */
bool service_health_is_up(const struct service_health *health);

/* It has been up at least once. */
bool service_health_was_up(const struct service_health *health);

/* NULL is fine. Returns NULL. */
struct service_health *service_health_close(struct service_health *health);

/* Asks the database what its clock says, and tells the watch. */
enum error service_health_hear(struct pg *pg, struct clock_watch *clock);

#endif
