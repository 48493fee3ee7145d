/* Each op is a call whose finish() counts it, or hands it back, instead of sending an answer. */
#include "mesh/store/batch_own.h"

#include "mesh/base/clock.h"

#include <pthread.h>
#include <string.h>

enum { OWN_SECONDS_MAX = 30 };

/* Those that one thread waits for. */
struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t done;
    size_t left, failed; /* under lock */
};

struct own_call {
    struct call call;        /* first */
    struct waiting *waiting; /* NULL: no thread waits */
    void (*answered)(const void *op);
};

static void
own_call_finish(struct call *call)
{
    struct own_call *own = (struct own_call *)call;
    struct waiting *waiting = own->waiting;
    bool is_failed = call->op->problem.error != ERR_OK;

    if (own->answered != NULL)
        own->answered(call->op);
    arena_free(call->arena);
    if (waiting == NULL)
        return;
    pthread_mutex_lock(&waiting->lock);
    waiting->failed += is_failed;
    if (--waiting->left == 0)
        pthread_cond_signal(&waiting->done);
    pthread_mutex_unlock(&waiting->lock);
}

static struct own_call *
own_call_new(const struct method *method, const void *op)
{
    struct arena *arena = arena_new();
    struct own_call *own = arena_take(arena, sizeof *own);

    own->call.arena = arena;
    own->call.method = method;
    own->call.deadline_us = clock_steady_us() + OWN_SECONDS_MAX * SECOND_US;
    own->call.finish = own_call_finish;
    own->call.is_own = true;
    own->call.op = arena_take(arena, method->op_bytes);
    memcpy(own->call.op, op, method->op_bytes);
    if (own->call.op->traceparent == NULL)
        own->call.op->traceparent = "";
    return own;
}

size_t
batch_own_run(struct batch *batch, const struct method *method, const void *ops, size_t count)
{
    struct waiting waiting = { .left = count };

    pthread_mutex_init(&waiting.lock, NULL);
    pthread_cond_init(&waiting.done, NULL);
    for (size_t i = 0; i < count; i++) {
        struct own_call *own = own_call_new(method, (const char *)ops + i * method->op_bytes);

        own->waiting = &waiting;
        batch_submit_always(batch, &own->call);
    }
    pthread_mutex_lock(&waiting.lock);
    while (waiting.left > 0)
        pthread_cond_wait(&waiting.done, &waiting.lock);
    pthread_mutex_unlock(&waiting.lock);
    pthread_cond_destroy(&waiting.done);
    pthread_mutex_destroy(&waiting.lock);
    return waiting.failed;
}

void
batch_own_submit(struct batch *batch, const struct method *method, const void *op,
                 void (*answered)(const void *op))
{
    struct own_call *own = own_call_new(method, op);

    own->answered = answered;
    batch_submit_always(batch, &own->call);
}
