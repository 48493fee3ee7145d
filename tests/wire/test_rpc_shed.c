/* test_rpc_shed.c -- A server that is asked more than it can do: a flood leaves others their share; and a connection's age. */
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/base/queue.h"
#include "mesh/rpc/caller.h"
#include "tests/support/metrics_text.h"
#include "tests/support/rpc/replica.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define METHOD "sagamesh.audit.v1.AuditService/Check"

enum { QUEUE_MAX = 128, BATCH = 8, FLOOD = 1024, OTHERS = 3, CALLS = 50, ATTEMPTS = 3 };

static struct replica replica;
static atomic_bool is_over;
static atomic_int flood_busy, flood_done;
static struct rpc_posts flood = { .max = FLOOD };

static struct rpc_client *
client_open(void)
{
    char target[REPLICA_TARGET_BYTES];
    struct rpc_client_options options = { .target = replicas_target(&replica, 1, target),
                                          .is_mesh = true,
                                          .waiting_max = 4096,
                                          .envelopes_max = 4 };
    struct rpc_client *client;

    ck_assert_int_eq(rpc_client_open(&options, &client), ERR_OK);
    return client;
}

/* A store that takes its time: a batch in a millisecond. */
static void *
decide(void *argument)
{
    struct queue_item *item;
    size_t count;

    (void)argument;
    while ((item = queue_take(replica.queue, BATCH, -1, &count)) != NULL) {
        poll(NULL, 0, 1);
        while (item != NULL) {
            struct call *call = (struct call *)item;

            item = item->next;
            call->finish(call);
        }
    }
    return NULL;
}

static void flood_send(struct rpc_client *client);

static void
flood_answered(void *owner, const void *context, const struct rpc_result *result,
               const ProtobufCMessage *reply)
{
    (void)context, (void)reply;
    atomic_fetch_add(result->code == WIRE_OK ? &flood_done : &flood_busy, 1);
    if (!atomic_load(&is_over))
        flood_send(owner);
}

static void
flood_send(struct rpc_client *client)
{
    rpc_post(client, &(struct rpc_post){ .method = METHOD,
                                         .timeout_us = 60 * SECOND_US,
                                         .attempts_max = 1,
                                         .posts = &flood,
                                         .owner = client,
                                         .done = flood_answered });
}

/* Three others, since each may fall on the flood's lane (1 of 63), and then fares as it does. */
START_TEST(a_flood_leaves_others_their_share)
{
    struct rpc_client *flooder, *others[OTHERS];
    int well = 0;
    pthread_t thread;

    log_open("test", LOG_ERROR);
    replica.queue = queue_new(QUEUE_MAX);
    replica_open(&replica, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, decide, NULL), 0);
    flooder = client_open();
    for (int i = 0; i < FLOOD; i++)
        flood_send(flooder);
    AWAIT(atomic_load(&flood_busy) > 0, 20);
    for (int i = 0; i < OTHERS; i++) {
        int answered = 0;

        others[i] = client_open();
        for (int call = 0; call < CALLS; call++) {
            struct rpc_result result;

            answered += replica_ask(others[i], 0, 1, &result) == 0;
        }
        well += answered == CALLS;
    }
    ck_assert_int_gt(well, 0);
    atomic_store(&is_over, true);
    AWAIT(atomic_load(&flood.under_way) == 0, 20);
    ck_assert_int_gt(atomic_load(&flood_done), 0);
    rpc_client_close(flooder);
    for (int i = 0; i < OTHERS; i++)
        rpc_client_close(others[i]);
    queue_close(replica.queue);
    pthread_join(thread, NULL);
    replica_close(&replica, 0);
    replica.queue = queue_free(replica.queue);
}
END_TEST

static double
connections_after_a_call(struct rpc_client *client, struct metrics *metrics)
{
    struct rpc_result result;

    ck_assert_msg(replica_ask(client, 0, ATTEMPTS, &result) == 0, "code %d, %s, nothing done: %d",
                  (int)result.code, result.message, result.nothing_done);
    return metric_shown(
        metrics, "sagamesh_rpc_server_connections_total{listener=\"public\",outcome=\"accepted\"}");
}

/* The client goes to a new connection, and no call fails that may be made a second time: one that the client writes just when the
 * server closes may be lost with the connection. */
START_TEST(a_connection_ends_for_its_age)
{
    struct metrics *metrics = metrics_new();
    struct rpc_client *client;

    log_open("test", LOG_ERROR);
    replica.connection_age_ms = 300;
    replica.metrics = metrics;
    replica_open(&replica, 0);
    client = client_open();
    AWAIT(connections_after_a_call(client, metrics) >= 4, 20);
    rpc_client_close(client);
    replica_close(&replica, 0);
    metrics_free(metrics);
}
END_TEST

START_TEST(callers_have_lanes)
{
    unsigned lane = rpc_caller_lane("", "ipv4:10.0.0.1:1234");
    int sockets[2], others = 0;
    char peer[16];

    ck_assert_uint_eq(rpc_caller_lane("", "ipv4:10.0.0.1:1234"), lane);
    for (int i = 0; i < 1000; i++) {
        snprintf(peer, sizeof peer, "fd:%d", 100000 + i); /* none of ours */
        ck_assert_uint_gt(rpc_caller_lane("", peer), 0);
        ck_assert_uint_lt(rpc_caller_lane("", peer), QUEUE_LANES);
        others += rpc_caller_lane("", peer) != lane;
    }
    ck_assert_int_gt(others, 900);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    snprintf(peer, sizeof peer, "fd:%d", sockets[0]); /* has no host: by its name */
    ck_assert_uint_gt(rpc_caller_lane("", peer), 0);
    /* By identity, wherever it calls from. */
    lane = rpc_caller_lane("spiffe://mesh.test/bff", "fd:100000");
    ck_assert_uint_eq(rpc_caller_lane("spiffe://mesh.test/bff", "fd:100001"), lane);
    ck_assert_uint_eq(rpc_caller_lane("spiffe://mesh.test/bff", "ipv4:10.0.0.1:1234"), lane);
    others = 0;
    for (int i = 0; i < 1000; i++) {
        char identity[64];

        snprintf(identity, sizeof identity, "spiffe://mesh.test/program-%d", i);
        others += rpc_caller_lane(identity, "fd:100000") != lane;
    }
    ck_assert_int_gt(others, 900);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("shed");

    tcase_add_test(tests, a_flood_leaves_others_their_share);
    tcase_add_test(tests, a_connection_ends_for_its_age);
    tcase_add_test(tests, callers_have_lanes);
    return check_run("rpc shed", tests);
}
