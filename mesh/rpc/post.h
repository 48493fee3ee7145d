/* post.h -- A message is posted, and its sender goes on: packed, counted, answered, freed.
 *
 * What client.h sends belongs to its caller until it is answered. A post has no owner: the message and
 * what done() needs to know are copied in, and freed when the answer was read. Who sends so often that a
 * copy costs too much keeps requests of its own and calls rpc_client_send() (the bench).
 *
 * Thread    rpc_post, rpc_ask: any. done() is called on the client's own thread and must not block; it may
 *           post again. rpc_ask waits, so it is not called from done().
 * Memory    Everything in struct rpc_post is read during the call only, but method, posts and owner, which
 *           live until done(). Context, result and reply are valid during done() only.
 * Errors    Full (rpc_posts.max) is false, and nothing is sent. Everything else is told to done(), once:
 *           client.h says what a result means. A reply that cannot be unpacked is NULL, its code still OK.
 * Units     timeout_us microseconds, of one attempt.
 */
#ifndef MESH_RPC_POST_H
#define MESH_RPC_POST_H

#include "mesh/rpc/client.h"

#include <protobuf-c/protobuf-c.h>
#include <stdatomic.h>

/* Those of one kind that are under way, and how many may be. A post gives its place back before done() is
 * called. */
struct rpc_posts {
    size_t max;
    atomic_size_t under_way;
};

struct rpc_post {
    const char *method;              /* "sagamesh.saga.v1.SagaControlService/Start" */
    const ProtobufCMessage *message; /* or NULL: it is packed already, */
    const uint8_t *packed;           /* so; */
    size_t packed_bytes;             /* 0: the empty message */
    int64_t timeout_us;
    int attempts_max;
    bool must_go_alone;
    uint64_t key;                                 /* of client.h */
    const char *traceparent;                      /* or NULL */
    struct rpc_posts *posts;                      /* or NULL: not counted */
    const ProtobufCMessageDescriptor *reply_type; /* NULL: done() is given the bytes only */
    void *owner;
    const void *context; /* copied for done(); or NULL */
    size_t context_bytes;
    /* reply: a message of reply_type, when the code is OK. NULL for done: no answer matters. */
    void (*done)(void *owner, const void *context, const struct rpc_result *result,
                 const ProtobufCMessage *reply);
};

/* Is no place left? For a caller whose message costs something to make. */
bool rpc_posts_are_full(const struct rpc_posts *posts);

/* False when posts->max are under way. */
bool rpc_post(struct rpc_client *client, const struct rpc_post *post);

/* For tools: sends count of them at once, waits for every answer, copies the replies' bytes into arena.
 * Of a post only what goes out matters here: no posts, reply_type, owner, context or done. */
void rpc_ask(struct rpc_client *client, const struct rpc_post *posts, size_t count,
             struct arena *arena, struct rpc_result *results);

#endif
