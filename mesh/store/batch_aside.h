/* batch_aside.h -- Calls whose rows another transaction keeps locked. Inside mesh/store/batch only.
 *
 * A person's open transaction in psql, a replica that hangs: the row may be locked for hours. The calls
 * that need it wait here, without a thread and out of the way of all others, and are tried again with
 * the next batch, or every BATCH_ASIDE_AGAIN_US where none comes. Each waits until shortly before its
 * deadline, so that its caller still hears that nothing was done, and BATCH_ASIDE_US_MAX at most.
 *
 * A call that is stuck behind a row that cannot be seen yet (an INSERT of the same key that is not
 * committed) can only be found by trying it alone: it is apart, and is tried alone, one such call in BATCH_APART_AGAIN_US.
 *
 * Thread    The store thread's.
 * Memory    Holds pointers to calls, which are its to finish or to give back.
 * Units     *_us of the steady clock.
 */
#ifndef MESH_STORE_BATCH_ASIDE_H
#define MESH_STORE_BATCH_ASIDE_H

#include "mesh/base/call.h"

enum {
    BATCH_ASIDE_MAX = 4096, /* calls; one more is BUSY at once */
    BATCH_ASIDE_AGAIN_US = 50 * 1000,
    BATCH_APART_AGAIN_US = 100 * 1000,  /* one call each time: a try takes BATCH_HURRY_MS */
    BATCH_ASIDE_MARGIN_US = 200 * 1000, /* before the deadline: time for the answer to arrive */
    BATCH_ASIDE_US_MAX = 10 * 1000 * 1000,
    BATCH_ASIDE_OWN_US = 500 * 1000, /* the keeper waits for the ops of its sweeps */
};

struct aside;

struct aside *aside_new(void);
struct aside *aside_free(struct aside *aside); /* empty. NULL is fine. Returns NULL. */

/* Takes the call; refuses it when it is one too many or has no time left. */
void aside_add(struct aside *aside, struct call *call, bool is_apart);

/* How long the store thread may wait for other work; -1: nothing is set aside. */
int64_t aside_wait_us(const struct aside *aside);

/* Gives up to max calls back, to be tried with the next batch; those for which it was in vain are added
 * again. Refuses those whose time is over. */
size_t aside_take(struct aside *aside, struct call **calls, size_t max);

/* The next of those that are tried alone; NULL: none is due. */
struct call *aside_take_apart(struct aside *aside);

size_t aside_count(const struct aside *aside);

/* The program stops: all that are here are refused. */
void aside_refuse_all(struct aside *aside);

#endif
