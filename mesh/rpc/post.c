/* A post is one block of memory: the request that the client works with, then the context, then the
 * message. It is taken by rpc_post() and freed by post_done(), which the client calls once for every
 * request. rpc_ask() is posts whose done() counts down for a thread that waits. */
#include "mesh/rpc/post.h"

#include <assert.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct posted {
    struct rpc_request request; /* first */
    struct rpc_posts *posts;
    const ProtobufCMessageDescriptor *reply_type;
    void *owner;
    void (*done)(void *owner, const void *context, const struct rpc_result *result,
                 const ProtobufCMessage *reply);
    _Alignas(max_align_t) uint8_t context[];
};

/* The client's thread. */
static void
post_done(struct rpc_request *request, const struct rpc_result *result)
{
    struct posted *posted = (struct posted *)request;
    ProtobufCMessage *reply = NULL;

    if (posted->posts != NULL)
        atomic_fetch_sub(&posted->posts->under_way, 1);
    if (posted->reply_type != NULL && result->code == WIRE_OK)
        reply =
            protobuf_c_message_unpack(posted->reply_type, NULL, result->reply_bytes, result->reply);
    if (posted->done != NULL)
        posted->done(posted->owner, posted->context, result, reply);
    protobuf_c_message_free_unpacked(reply, NULL);
    free(posted);
}

bool
rpc_posts_are_full(const struct rpc_posts *posts)
{
    return atomic_load(&posts->under_way) >= posts->max;
}

static bool
take_place(struct rpc_posts *posts)
{
    if (posts == NULL || atomic_fetch_add(&posts->under_way, 1) < posts->max)
        return true;
    atomic_fetch_sub(&posts->under_way, 1);
    return false;
}

bool
rpc_post(struct rpc_client *client, const struct rpc_post *post)
{
    size_t bytes = post->message == NULL ? post->packed_bytes
                                         : protobuf_c_message_get_packed_size(post->message);
    struct posted *posted;
    uint8_t *message;

    assert(post->context != NULL || post->context_bytes == 0);
    if (!take_place(post->posts))
        return false;
    posted = memory_take(sizeof *posted + post->context_bytes + bytes);
    message = posted->context + post->context_bytes;
    if (post->context_bytes > 0)
        memcpy(posted->context, post->context, post->context_bytes);
    if (post->message != NULL)
        protobuf_c_message_pack(post->message, message);
    else if (bytes > 0)
        memcpy(message, post->packed, bytes);
    posted->posts = post->posts;
    posted->reply_type = post->reply_type;
    posted->owner = post->owner;
    posted->done = post->done;
    posted->request.method = post->method;
    posted->request.message = message;
    posted->request.message_bytes = bytes;
    posted->request.key = post->key;
    posted->request.timeout_us = post->timeout_us;
    posted->request.attempts_max = post->attempts_max;
    posted->request.must_go_alone = post->must_go_alone;
    if (post->traceparent != NULL)
        snprintf(posted->request.traceparent, sizeof posted->request.traceparent, "%s",
                 post->traceparent);
    posted->request.done = post_done;
    rpc_client_send(client, &posted->request);
    return true;
}

/* ---- waiting ---- */

struct asked {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    size_t left;
    struct arena *arena; /* until all is answered, only the client's thread takes of it */
};

static void
answer_keep(void *owner, const void *context, const struct rpc_result *result,
            const ProtobufCMessage *reply)
{
    struct rpc_result *answer = *(struct rpc_result *const *)context;
    struct asked *asked = owner;

    (void)reply;
    *answer = *result;
    answer->reply = NULL;
    if (result->code == WIRE_OK)
        answer->reply = (const uint8_t *)arena_copy(asked->arena, (const char *)result->reply,
                                                    result->reply_bytes);
    pthread_mutex_lock(&asked->lock);
    if (--asked->left == 0)
        pthread_cond_signal(&asked->answered); /* under lock: afterwards the waiter may be gone */
    pthread_mutex_unlock(&asked->lock);
}

void
rpc_ask(struct rpc_client *client, const struct rpc_post *posts, size_t count, struct arena *arena,
        struct rpc_result *results)
{
    struct asked asked = { .lock = PTHREAD_MUTEX_INITIALIZER,
                           .answered = PTHREAD_COND_INITIALIZER,
                           .left = count,
                           .arena = arena };

    for (size_t i = 0; i < count; i++) {
        struct rpc_result *result = &results[i];
        struct rpc_post post = posts[i];

        post.owner = &asked;
        post.context = &result;
        post.context_bytes = sizeof result;
        post.done = answer_keep;
        rpc_post(client, &post);
    }
    pthread_mutex_lock(&asked.lock);
    while (asked.left > 0)
        pthread_cond_wait(&asked.answered, &asked.lock);
    pthread_mutex_unlock(&asked.lock);
    pthread_cond_destroy(&asked.answered);
    pthread_mutex_destroy(&asked.lock);
}
