/* provider_thread.h -- Does the tasks of payments: asks providers over HTTP, and brings back what they say.
 *
 *   due rows -> lease (an op) -> request -> answer -> learn (an op)
 *
 * The thread reads which tasks are due, and changes no row: leases and what was learned are ops like
 * everybody else's. A crash anywhere leaves a lease that runs out, after which the outcome is unknown
 * and is asked for. How much may be asked of a provider is its lane's to say (provider_lane.h), by this
 * process: with N replicas give each an Nth of the provider's rate.
 *
 * Thread    One of its own, with its own connection to the database and its own curl multi handle.
 *           provider_thread_wake: any.
 * Memory    At most PROVIDER_JOBS_MAX tasks at once. The set of providers must outlive it.
 * Units     *_us microseconds.
 */
#ifndef PROVIDER_THREAD_H
#define PROVIDER_THREAD_H

#include "account-svc/payment/payment_op.h"
#include "account-svc/provider/provider.h"

struct provider_thread;

enum {
    PROVIDER_JOBS_MAX = PROVIDERS_MAX * 32, /* LANE_IN_FLIGHT_MAX */
    PROVIDER_CONNECT_MS = 3000,
    PROVIDER_REQUEST_MS = 10000,       /* TASK_LEASE_US is longer */
    PROVIDER_LOOK_US = 500 * 1000,     /* what other replicas made due is found this late */
    PROVIDER_LOOK_BUSY_US = 50 * 1000, /* when there was more to do than was allowed */
};

struct provider_thread_options {
    const struct provider_set *providers;
    const char *conninfo;
    struct metrics *metrics; /* NULL: nothing is counted */
    /* Submits an op of the program itself; answered() may be called on any thread. */
    void (*submit)(void *owner, const struct method *method, const void *op,
                   void (*answered)(const void *op));
    void *owner;
};

/* Starts the thread. */
struct provider_thread *provider_thread_open(const struct provider_thread_options *options);

/* A task has become due: it is looked for at once. */
void provider_thread_wake(struct provider_thread *thread);

/* After the last op was answered. What is under way is given up; its leases run out. NULL is fine.
 * Returns NULL. */
struct provider_thread *provider_thread_close(struct provider_thread *thread);

#endif
