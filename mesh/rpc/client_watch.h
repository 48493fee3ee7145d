/* client_watch.h -- One replica's own word about itself: a stream of grpc.health.v1.Health/Watch. Inside mesh/rpc/client only.
 *
 * The stream is opened again whenever it ends, after 50 ms to 1 s where it had nothing to say; so its
 * first word is also the probe that brings a replica back. A service that knows no health, or has
 * no place for one more stream, answers too: it serves.
 *
 * Thread    The client's.
 * Memory    A watch stands in its endpoint, which must stay until client_watch_is_over().
 * Units     *_us microseconds by clock_steady_us().
 */
#ifndef MESH_RPC_CLIENT_WATCH_H
#define MESH_RPC_CLIENT_WATCH_H

#include "mesh/rpc/client_parcel.h"

enum watch_word {
    WATCH_NOTHING,
    WATCH_SERVES,
    WATCH_REFUSES, /* NOT_SERVING */
    WATCH_LOST,    /* it cannot be asked */
};

struct client_watch {
    struct client_tag begun, heard, ended; /* of its three batches */
    struct parcel_way *way;
    bool is_on;
    grpc_call *call; /* NULL: none */
    int pending;     /* batches under way */
    bool has_spoken; /* in this call */
    bool is_doubted; /* this call's end is no news */
    int64_t due_us;  /* when it is opened, or given up for its silence; INT64_MAX: neither */
    int64_t wait_us; /* before it is opened again */
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *message;
    grpc_status_code code;
    grpc_slice text;
};

/* Opens the stream, if it is not on already. owner: for the tags. */
void client_watch_on(struct client_watch *watch, struct parcel_way *way, void *owner,
                     int64_t now_us);

/* A batch is back; what the replica has said. */
enum watch_word client_watch_step(struct client_watch *watch, const struct client_tag *tag,
                                  int64_t now_us);

/* What is due by the time. */
void client_watch_turn(struct client_watch *watch, int64_t now_us);

/* A call failed: what it said before holds no more, and it is asked anew. */
void client_watch_doubt(struct client_watch *watch, int64_t now_us);

/* Calls are answered: the next doubt is cleared up soon. */
void client_watch_trust(struct client_watch *watch);

/* For good. It is over when the last batch is back. */
void client_watch_off(struct client_watch *watch);
bool client_watch_is_over(const struct client_watch *watch);

#endif
