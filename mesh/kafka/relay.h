/* relay.h -- From the event table to Kafka: everything, at least once, in the order of seq.
 *
 * A thread with a connection of its own, that follows the events (mesh/store/horizon.h): it reads a page, sends
 * it, and its cursor follows when Kafka has acknowledged all of it; after a round, a heartbeat with the horizon's
 * time goes to every partition. It holds an advisory lock, so that one relay runs per database.
 *
 * Of several replicas one has the lock. Where it is silent for 8 s (it hangs, its host is gone) another
 * one ends its session and takes over.
 *
 * Records are CloudEvents 1.0 in binary mode with JSON bodies; the key is a member of the payload, so
 * that all news of an order, whoever's, is in one partition. A heartbeat (ce_type
 * "sagamesh.relay.heartbeat.v1") says: all news of this source before its time is out.
 *
 * Thread    relay_open/close: main. relay_wake: any.
 * Errors    Kafka away: news waits, nothing else does. The lag is logged when it grows.
 */
#ifndef MESH_KAFKA_RELAY_H
#define MESH_KAFKA_RELAY_H

#include "mesh/store/event.h"

/* How often it tells each partition up to when all its news is there. */
enum { RELAY_HEARTBEAT_US = 500 * 1000 };

/* Where the events of an aggregate type go; a table ends with a row of zeros. */
struct relay_route {
    const char *aggregatetype; /* "order" */
    const char *topic;         /* "order-status-changed" */
    const char *key_member;    /* of the payload: "orderId" */
};

struct relay_options {
    const char *conninfo;
    const char *brokers; /* "host:port,..." */
    const char *source;  /* "order-svc"; ce_source is "/sagamesh/order-svc" */
    const struct relay_route *routes;
    struct metrics *metrics; /* NULL: nothing is counted */
};

struct relay;

/* What a relay prepares. */
extern const struct pg_statement *const relay_statements[];

struct relay *relay_open(const struct relay_options *options);
void relay_wake(struct relay *relay); /* events were committed */

/* False: it could not send what it had to. Any thread. One that another replica sends for has nothing to send. */
bool relay_reaches_kafka(const struct relay *relay);

struct relay *relay_close(struct relay *relay);

#endif
