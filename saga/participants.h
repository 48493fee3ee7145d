/* participants.h -- The services that sagas call: JSON in, gRPC out, JSON back.
 *
 * Knows no domain: requests and responses are mapped by the descriptor set (mesh/pb/pbjson.h).
 *
 * Thread    participants_open/close: main. participants_call: any shard's thread. done() runs on the
 *           thread of the participant's connection and must only pass the answer on.
 * Memory    A struct participant_call is the caller's from done() on (participant_call_free).
 */
#ifndef SAGA_PARTICIPANTS_H
#define SAGA_PARTICIPANTS_H

#include "mesh/pb/pbjson.h"
#include "mesh/rpc/post.h"
#include "saga/engine/engine.h"

struct participants;

/* targets: "pkg.Service=target,...", a target as in mesh/rpc/target.h: "a.B=host:1,host:2,a.C=dns:///host:3";
 * services of one target share its connections. A service whose
 * package is not sagamesh's is called without envelopes. metrics NULL: nothing is counted. */
enum error participants_open(const char *targets, const struct pbjson *pbjson,
                             struct metrics *metrics, struct participants **ret_participants);
struct participants *participants_close(struct participants *participants);

/* An attempt under way, and its answer. */
struct participant_call {
    struct queue_item item; /* for whoever passes it on */
    struct uuid saga_id;
    struct uuid activation;
    void *owner;
    unsigned term; /* the owner's */
    void (*done)(struct participant_call *call);
    /* the answer */
    enum outcome outcome;
    json_t *result; /* owned; OUTCOME_OK */
    char reason[32], message[256];
    bool is_stored;
    /* inside */
    const struct pbjson_message *response;
    char method[160];
};

/* Sends one attempt; done() is always called, once, perhaps before this returns. What it needs while it
 * does comes from arena. */
void participants_call(struct participants *participants, const struct call_due *due,
                       const char *traceparent, struct arena *arena, struct participant_call *call);

struct participant_call *participant_call_new(struct uuid saga_id, void *owner,
                                              void (*done)(struct participant_call *call));
void participant_call_free(struct participant_call *call);

#endif
