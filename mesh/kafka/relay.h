/* relay.h -- From the event table to Kafka: everything, at least once, in the order of seq.
 *
 * A thread with a connection of its own. It holds an advisory lock, so that one relay runs per
 * database, and a cursor: everything up to it has been acknowledged by Kafka. One round:
 *   find the horizon S, and with it a time T (event_horizon.h)
 *   wait until all transactions that write events and may have drawn a number up to S have ended
 *   send (cursor, S] in seq order; then a heartbeat with T to every partition; the cursor follows
 * Reading the rows that are visible, by seq alone, would lose events: a transaction can draw a low seq
 * and commit late.
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
};

struct relay;

/* What a relay prepares. */
extern const struct pg_statement *const relay_statements[];

struct relay *relay_open(const struct relay_options *options);
void relay_wake(struct relay *relay); /* events were committed */
struct relay *relay_close(struct relay *relay);

#endif
