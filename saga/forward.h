/* forward.h -- Calls handed on to the orchestrator that has their shard: within the call's deadline, under its ids and trace,
 * to the other's inner port.
 *
 * A call that is handed on says so (SagaControlService/Forward, ListShard), and is not handed on again: two that do not agree
 * whose a shard is would send it to and fro.
 *
 * Thread    forward_open, forward_close: main. forward_send: any. done() is called on a client's thread, and must not block.
 * Memory    The call stays the caller's. What it is answered with lies in its arena.
 * Errors    enum forward_end.
 */
#ifndef SAGA_FORWARD_H
#define SAGA_FORWARD_H

#include "mesh/base/call.h"
#include "mesh/observe/metrics.h"

enum forward_end {
    FORWARD_ANSWERED,  /* call->reply, or op->problem */
    FORWARD_UNCHANGED, /* of a Watch: nothing has changed yet */
    FORWARD_PART,      /* of a List: the part */
    FORWARD_NOT_DONE,  /* the other one is away, or has not the shard: ask again */
    FORWARD_UNKNOWN,   /* the same, and it may have been done */
};

/* What a shard adds to a List. */
struct forward_part {
    size_t count;
    char *const *histories;
    const int64_t *places;
    bool has_more;
};

struct forward;

struct forward *forward_open(struct metrics *metrics);

/* Those under way end as FORWARD_UNKNOWN or FORWARD_NOT_DONE. NULL is fine. Returns NULL. */
struct forward *forward_close(struct forward *forward);

typedef void forward_done(void *owner, struct call *call, enum forward_end end,
                          const struct forward_part *part);

/* wait_ms: of a Watch, how long the other one may wait. False: it was not sent, done() is not called. */
bool forward_send(struct forward *forward, const char *address, struct call *call, int32_t wait_ms,
                  forward_done *done, void *owner);

#endif
