/* shard_away.c -- A shard that is not ours: its calls are handed on to the orchestrator that has it, and wait while none has.
 *
 * They stand in the shard's queue as if it were ours. So a call that came while the shard moved is decided by whichever
 * orchestrator has it in the end, and its caller notices only that it took longer. One that was handed on to us already is
 * refused at once, with nothing done: who sent it asks again where the shard is.
 */
#include "mesh/base/clock.h"
#include "saga/forward.h"
#include "saga/members.h"
#include "saga/shard_inner.h"

#include <stdlib.h>

#define HOLD_US (10 * SECOND_US) /* longer than a dead owner is noticed */
#define AGAIN_US (50 * MILLISECOND_US)
#define HELD_LOOK_US (20 * MILLISECOND_US)
#define IDLE_LOOK_US SECOND_US
enum {
    WATCH_ROUND_MS = 1000
}; /* of a Watch that another one waits for: then it is looked where the shard is now */

/* What is known of a call that is not decided here; in its arena. */
struct away {
    struct shard *shard;
    int64_t until_us, again_us, watch_until_us;
};

static struct away *
away_of(struct shard *shard, struct call *call)
{
    int64_t now_us = clock_steady_us();
    struct away *away = call->taken;

    if (away != NULL)
        return away;
    away = call->taken = arena_take(call->arena, sizeof *away);
    away->shard = shard;
    away->until_us = now_us + HOLD_US;
    away->again_us = away->watch_until_us = 0;
    if (saga_method_of(call) == SAGA_WATCH) {
        away->watch_until_us =
            now_us + ((const struct saga_watch *)call->op)->wait_ms * MILLISECOND_US;
        away->until_us += ((const struct saga_watch *)call->op)->wait_ms * MILLISECOND_US;
    }
    return away;
}

static void
refuse(struct call *call, enum error error, const char *because)
{
    problem_set(&call->op->problem, error, NULL, "%s", because);
    call->finish(call);
}

static void
again(struct shard *shard, struct call *call, int64_t later_us)
{
    struct away *away = call->taken;

    away->again_us = clock_steady_us() + later_us;
    if (!queue_push_always(shard->queue, &call->item))
        refuse(call, ERR_STOPPING, error_text(ERR_STOPPING));
}

/* A client's thread. */
static void
handed_on(void *owner, struct call *call, enum forward_end end, const struct forward_part *part)
{
    struct shard *shard = owner;
    const struct away *away = call->taken;

    switch (end) {
    case FORWARD_UNCHANGED:
        if (clock_steady_us() < away->watch_until_us &&
            !atomic_load(&shard->shards->is_watching_over)) {
            call->reply = NULL;
            again(shard, call, 0);
            return;
        }
        break;
    case FORWARD_PART:
        call->taken = NULL; /* of the next shard nothing is known yet */
        list_add_part(shard, call, part);
        return;
    case FORWARD_UNKNOWN:
        call->was_unknown = true;
        again(shard, call, AGAIN_US);
        return;
    case FORWARD_NOT_DONE:
        again(shard, call, AGAIN_US);
        return;
    case FORWARD_ANSWERED:
        break;
    }
    call->finish(call);
}

static int32_t
watch_ms(const struct away *away)
{
    int64_t left_ms = (away->watch_until_us - clock_steady_us()) / MILLISECOND_US;

    return left_ms < 0 ? 0 : left_ms < WATCH_ROUND_MS ? (int32_t)left_ms : WATCH_ROUND_MS;
}

/* True: the call is gone. */
static bool
look_at(struct shard *shard, struct call *call, enum members_place place, const char *address)
{
    struct away *away = away_of(shard, call);
    int64_t now_us = clock_steady_us();
    bool is_watch = saga_method_of(call) == SAGA_WATCH;

    if (now_us >= call->deadline_us)
        refuse(call, ERR_EXPIRED, error_text(ERR_EXPIRED));
    else if (is_watch && atomic_load(&shard->shards->is_watching_over))
        call->finish(call); /* nothing has changed */
    else if (saga_is_forwarded(call))
        refuse(call, ERR_UNREACHABLE, "this orchestrator has not its shard; nothing was done");
    else if (!members_are_seen(shard->shards->members))
        refuse(call, ERR_STORE_DOWN, error_text(ERR_STORE_DOWN));
    else if (now_us >= away->until_us)
        refuse(call, ERR_UNREACHABLE, "no orchestrator has its shard; nothing was done");
    else
        return place == MEMBERS_OTHERS && now_us >= away->again_us &&
               forward_send(shard->shards->forward, address, call, watch_ms(away), handed_on,
                            shard);
    return true;
}

void
shard_away(struct shard *shard)
{
    char address[MEMBERS_ADDRESS_BYTES_MAX];
    int64_t wait_us = shard->held == NULL ? IDLE_LOOK_US : HELD_LOOK_US;
    size_t count;
    struct queue_item *items = queue_take(shard->queue, TICK_EVENTS_MAX, wait_us, &count), *next;
    struct queue_item *held = shard->held, **end = &shard->held;
    enum members_place place = members_look(shard->shards->members, (size_t)shard->number, address);
    bool is_ours = place == MEMBERS_OURS || place == MEMBERS_GIVEN;

    shard->held = NULL;
    for (int round = 0; round < 2; round++) {
        for (struct queue_item *item = round == 0 ? held : items; item != NULL; item = next) {
            struct call *call = (struct call *)item;

            next = item->next;
            item->next = NULL;
            if (call->method == NULL) {
                shard_drop_answer(
                    call); /* it was asked when the shard was ours: its owner asks again */
            } else if (is_ours || !look_at(shard, call, place, address)) {
                *end = item;
                end = &item->next;
            }
        }
    }
}
