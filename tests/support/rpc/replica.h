/* replica.h -- Servers of one small service in the test's own process, which can die, drain, refuse and hold.
 *
 * The service is AuditService: its one method tells by which replica it was answered, in `problem`.
 *
 * Thread    The test's. The counts: any.
 */
#ifndef TESTS_SUPPORT_RPC_REPLICA_H
#define TESTS_SUPPORT_RPC_REPLICA_H

#include "mesh/rpc/post.h"
#include "mesh/rpc/server.h"
#include "tests/support/check.h"

#include <pthread.h>
#include <stdatomic.h>

enum { REPLICAS_MAX = 4, REPLICA_TARGET_BYTES = 32 * REPLICAS_MAX };

struct replica {
    struct rpc_server *server; /* NULL: it is not there */
    struct rpc_service service;
    int number, port;
    atomic_int asked;
    atomic_int answer; /* enum error; ERR_OK: its number */
    atomic_bool does_hold;
    pthread_mutex_t lock;
    struct call *held;         /* under lock */
    struct queue *queue;       /* not NULL: calls wait in it, as for a store; a full one is BUSY */
    int64_t connection_age_ms; /* of its server, as the next */
    struct metrics *metrics;
};

/* On 127.0.0.1, 127.0.0.2 ... by its number, on the port that it had, or a free one; serving. */
void replica_open(struct replica *replica, int number);
void replica_close(struct replica *replica, int grace_ms);

/* What it holds is answered, and it holds no more. */
void replica_release(struct replica *replica);

/* Where they are, as a comma list. */
const char *replicas_target(const struct replica *replicas, size_t count,
                            char target[REPLICA_TARGET_BYTES]);

/* Sends a call, waits, and says which replica has answered; -1: it failed, and *ret_result says how. attempts of 2 s. */
int replica_ask(struct rpc_client *client, uint64_t key, int attempts,
                struct rpc_result *ret_result);

#endif
