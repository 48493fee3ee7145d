/* One call that is waited for, on top of rpc_client_send(). */
#include "mesh/rpc/client.h"

#include <pthread.h>

struct waiter {
    struct rpc_request request; /* first */
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool is_done;
    struct arena *arena;
    struct rpc_result *result;
};

static void
waiter_done(struct rpc_request *request, const struct rpc_result *result)
{
    struct waiter *waiter = (struct waiter *)request;

    *waiter->result = *result;
    if (result->code == WIRE_OK)
        waiter->result->reply = (const uint8_t *)arena_copy(
            waiter->arena, (const char *)result->reply, result->reply_bytes);
    pthread_mutex_lock(&waiter->lock);
    waiter->is_done = true;
    pthread_cond_signal(&waiter->answered); /* under lock: afterwards the waiter may be gone */
    pthread_mutex_unlock(&waiter->lock);
}

void
rpc_client_call(struct rpc_client *client, const char *method, const uint8_t *message,
                size_t message_bytes, int64_t timeout_us, struct arena *arena,
                struct rpc_result *ret_result)
{
    struct waiter waiter = {
        .request = { .method = method,
                     .message = message,
                     .message_bytes = message_bytes,
                     .timeout_us = timeout_us,
                     .attempts_max = 1,
                     .must_go_alone = true,
                     .done = waiter_done },
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .answered = PTHREAD_COND_INITIALIZER,
        .arena = arena,
        .result = ret_result,
    };

    rpc_client_send(client, &waiter.request);
    pthread_mutex_lock(&waiter.lock);
    while (!waiter.is_done)
        pthread_cond_wait(&waiter.answered, &waiter.lock);
    pthread_mutex_unlock(&waiter.lock);
    pthread_cond_destroy(&waiter.answered);
    pthread_mutex_destroy(&waiter.lock);
}
