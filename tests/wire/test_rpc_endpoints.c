/* test_rpc_endpoints.c -- A client over several replicas: keys, load, the dead, the deaf, those that drain, and storms. */
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "tests/support/metrics_text.h"
#include "tests/support/rpc/replica.h"

#include "mesh/rpc/server_inner.h"

#include <grpc/byte_buffer.h>
#include <grpc/grpc_security.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { COUNT = 3, ATTEMPTS = 3 };

static struct replica replicas[REPLICAS_MAX];
static struct rpc_client *client;
static struct metrics *metrics;
static char target[REPLICA_TARGET_BYTES];

static void
client_open_to(const char *text)
{
    struct rpc_client_options options = {
        .target = text, .is_mesh = true, .metrics = metrics, .waiting_max = 4096, .envelopes_max = 4
    };

    ck_assert_int_eq(rpc_client_open(&options, &client), ERR_OK);
}

static void
open_all(void)
{
    log_open("test", LOG_ERROR);
    metrics = metrics_new();
    for (int i = 0; i < COUNT; i++)
        replica_open(&replicas[i], i);
    client_open_to(replicas_target(replicas, COUNT, target));
}

static void
close_all(void)
{
    client = rpc_client_close(client);
    for (int i = 0; i < COUNT; i++)
        replica_close(&replicas[i], 0);
    metrics = metrics_free(metrics);
}

static double
shown(const char *name)
{
    char series[256];

    snprintf(series, sizeof series, "sagamesh_rpc_client_%s{peer=\"%s\"}", name, target);
    return metric_shown(metrics, series);
}

static int
asked_in_all(void)
{
    int asked = 0;

    for (int i = 0; i < COUNT; i++)
        asked += atomic_load(&replicas[i].asked);
    return asked;
}

static int
ask(uint64_t key, int attempts)
{
    struct rpc_result result;
    int number = replica_ask(client, key, attempts, &result);

    ck_assert_msg(number >= 0, "%d %s %s", (int)result.code, result.reason, result.message);
    return number;
}

/* A key whose calls go to this replica, while all are well. */
static uint64_t
key_of(int number)
{
    for (int i = 0; i < 1000; i++) {
        uint64_t key = rpc_key(&i, sizeof i);

        if (ask(key, 1) == number)
            return key;
    }
    ck_abort_msg("no key goes to %d", number);
}

START_TEST(a_key_stays_where_it_is)
{
    int places[100], keys_of[COUNT] = { 0 };

    for (int i = 0; i < 100; i++)
        keys_of[places[i] = ask(rpc_key(&i, sizeof i), 1)]++;
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(ask(rpc_key(&i, sizeof i), 1), places[i]);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_gt(keys_of[i], 10);
    ck_assert(shown("endpoints") == COUNT);
    ck_assert(shown("endpoints_left_out") == 0);
}
END_TEST

START_TEST(the_busy_one_is_not_asked)
{
    struct rpc_posts posts = { .max = 1000 };
    int asked_before, by[COUNT] = { 0 };

    for (int i = 0; i < 90; i++)
        by[ask(0, 1)]++;
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_gt(by[i], 5);
    atomic_store(&replicas[0].does_hold, true);
    asked_before = atomic_load(&replicas[0].asked);
    /* Where it is drawn twice in vain it gets a call, which it keeps: from then on the others have less under way. */
    for (int i = 0; i < 60; i++) {
        size_t left;

        ck_assert(
            rpc_post(client, &(struct rpc_post){ .method = "sagamesh.audit.v1.AuditService/Check",
                                                 .timeout_us = 20 * SECOND_US,
                                                 .attempts_max = 1,
                                                 .posts = &posts }));
        AWAIT((left = atomic_load(&posts.under_way)) == 0 ||
                  (left == 1 && atomic_load(&replicas[0].asked) > asked_before),
              10);
    }
    ck_assert_int_le(atomic_load(&replicas[0].asked) - asked_before, 1);
    replica_release(&replicas[0]);
    AWAIT(atomic_load(&posts.under_way) == 0, 10);
}
END_TEST

/* It goes without a word: no call fails, its keys go to others, and come back with it. */
START_TEST(one_dies)
{
    uint64_t key = key_of(1);

    replica_close(&replicas[1], 0);
    for (int i = 0; i < 50; i++)
        ck_assert_int_ne(ask(key, ATTEMPTS), 1);
    AWAIT(shown("endpoints_left_out") == 1, 10);
    for (int i = 0; i < 50; i++)
        ck_assert_int_ne(ask(key, 1), 1); /* and at the first attempt */
    ck_assert(shown("peer_up") == 1);
    replica_open(&replicas[1], 1);
    AWAIT(shown("endpoints_left_out") == 0, 10);
    ck_assert_int_eq(ask(key, ATTEMPTS), 1);
}
END_TEST

START_TEST(one_does_not_serve)
{
    uint64_t key = key_of(2);
    int asked_before;

    rpc_server_set_serving(replicas[2].server, false);
    AWAIT(shown("endpoints_left_out") == 1, 10);
    asked_before = atomic_load(&replicas[2].asked);
    for (int i = 0; i < 50; i++)
        ck_assert_int_ne(ask(i % 2 == 0 ? key : 0, 1), 2);
    ck_assert_int_eq(atomic_load(&replicas[2].asked), asked_before);
    rpc_server_set_serving(replicas[2].server, true);
    AWAIT(shown("endpoints_left_out") == 0, 10);
    ck_assert_int_eq(ask(key, 1), 2);
}
END_TEST

/* All say so: then it is more likely that they are asked too much of than that none is there. */
START_TEST(at_most_half_is_left_out)
{
    for (int i = 0; i < COUNT; i++)
        rpc_server_set_serving(replicas[i].server, false);
    AWAIT(shown("endpoints_left_out") == COUNT / 2, 10);
    for (int i = 0; i < 20; i++)
        ask(0, 1);
    ck_assert(shown("endpoints_left_out") == COUNT / 2);
}
END_TEST

/* A call has a single attempt, and is done all the same: what was not done there is no attempt. */
START_TEST(what_was_not_done_is_asked_elsewhere_at_once)
{
    uint64_t key = key_of(0);
    double before = shown("moves_total");

    atomic_store(&replicas[0].answer, ERR_STORE_DOWN);
    for (int i = 0; i < 20; i++)
        ck_assert_int_ne(ask(key, 1), 0);
    ck_assert(shown("moves_total") - before == 20);
    ck_assert(shown("retries_total") == 0);
    atomic_store(&replicas[0].answer, ERR_OK);
    ck_assert_int_eq(ask(key, 1), 0);
}
END_TEST

static void *
drain(void *argument)
{
    replica_close(argument, 2000);
    return NULL;
}

/* Calls go on while each of them is restarted in turn. */
START_TEST(a_rolling_restart_costs_no_call)
{
    for (int i = 0; i < COUNT; i++) {
        pthread_t thread;

        ck_assert_int_eq(pthread_create(&thread, NULL, drain, &replicas[i]), 0);
        for (int key = 0; key < 200; key++)
            ask(key % 2 == 0 ? rpc_key(&key, sizeof key) : 0, ATTEMPTS);
        pthread_join(thread, NULL);
        replica_open(&replicas[i], i);
        AWAIT(shown("endpoints_left_out") == 0, 10);
    }
}
END_TEST

/* ---- a crowd that watches ---- */

struct crowd {
    grpc_channel_credentials *plain;
    grpc_channel *channel;
    grpc_completion_queue *queue;
    struct watcher {
        grpc_call *call;
        grpc_metadata_array initial;
        grpc_byte_buffer *word;
    } watchers[RPC_STREAMS_MAX];
};

static void
crowd_await(struct crowd *crowd)
{
    gpr_timespec until =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                     gpr_time_from_micros(patient_us(10 * SECOND_US), GPR_TIMESPAN));

    ck_assert_int_eq(grpc_completion_queue_next(crowd->queue, until, NULL).type, GRPC_OP_COMPLETE);
}

/* Opens as many watches as a server takes, and hears of each. */
static void
crowd_watch(struct crowd *crowd, const struct replica *replica)
{
    char address[32];

    snprintf(address, sizeof address, "127.0.0.%d:%d", replica->number + 1, replica->port);
    crowd->plain = grpc_insecure_credentials_create();
    crowd->channel = grpc_channel_create(address, crowd->plain, NULL);
    crowd->queue = grpc_completion_queue_create_for_next(NULL);
    for (int i = 0; i < RPC_STREAMS_MAX; i++) {
        struct watcher *watcher = &crowd->watchers[i];
        grpc_slice nothing = grpc_empty_slice();
        grpc_byte_buffer *question = grpc_raw_byte_buffer_create(&nothing, 1);
        const grpc_op ops[] = {
            { .op = GRPC_OP_SEND_INITIAL_METADATA },
            { .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = question },
            { .op = GRPC_OP_RECV_INITIAL_METADATA,
              .data.recv_initial_metadata.recv_initial_metadata = &watcher->initial },
            { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &watcher->word },
        };

        grpc_metadata_array_init(&watcher->initial);
        watcher->call =
            grpc_channel_create_call(crowd->channel, NULL, GRPC_PROPAGATE_DEFAULTS, crowd->queue,
                                     grpc_slice_from_static_string("/grpc.health.v1.Health/Watch"),
                                     NULL, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        ck_assert_int_eq(grpc_call_start_batch(watcher->call, ops, 4, watcher, NULL), GRPC_CALL_OK);
        grpc_byte_buffer_destroy(question);
        crowd_await(crowd);
        ck_assert_ptr_nonnull(watcher->word);
    }
}

static void
crowd_leave(struct crowd *crowd)
{
    for (int i = 0; i < RPC_STREAMS_MAX; i++) {
        grpc_call_cancel(crowd->watchers[i].call, NULL);
        grpc_call_unref(crowd->watchers[i].call);
        grpc_metadata_array_destroy(&crowd->watchers[i].initial);
        grpc_byte_buffer_destroy(crowd->watchers[i].word);
    }
    grpc_channel_destroy(crowd->channel);
    grpc_channel_credentials_release(crowd->plain);
    grpc_completion_queue_shutdown(crowd->queue);
    while (
        grpc_completion_queue_next(crowd->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
        GRPC_QUEUE_SHUTDOWN)
        continue;
    grpc_completion_queue_destroy(crowd->queue);
}

/* Strangers who watch a replica's health take all places there are: it is asked all the same. The one that goes and comes
 * back is left out alone, and none is at the end. */
START_TEST(a_crowd_that_watches_leaves_nobody_out)
{
    static struct crowd crowd;

    rpc_client_close(client);
    crowd_watch(&crowd, &replicas[0]);
    client_open_to(target);
    replica_close(&replicas[1], 0);
    AWAIT(shown("endpoints_left_out") == 1, 10);
    replica_open(&replicas[1], 1);
    AWAIT(shown("endpoints_left_out") == 0, 10);
    key_of(0);
    crowd_leave(&crowd);
}
END_TEST

/* It takes connections and says nothing, as a process that hangs. */
START_TEST(one_is_deaf)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t bytes = sizeof address;

    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, bytes), 0);
    ck_assert_int_eq(listen(fd, 128), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    rpc_client_close(client);
    snprintf(target, sizeof target, "127.0.0.1:%d,127.0.0.1:%d", replicas[0].port,
             ntohs(address.sin_port));
    client_open_to(target);
    AWAIT(shown("endpoints_left_out") == 1, 10);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(ask(rpc_key(&i, sizeof i), 1), 0);
    close(fd);
}
END_TEST

/* Every call fails and has four attempts. Without a budget that were 2,000. */
START_TEST(a_budget_ends_a_storm)
{
    enum { CALLS = 500 };
    int64_t began_us = clock_steady_us();
    struct rpc_posts posts = { .max = CALLS };
    int asked;

    for (int i = 0; i < COUNT; i++)
        atomic_store(&replicas[i].answer, ERR_UNCERTAIN);
    for (int i = 0; i < CALLS; i++)
        ck_assert(
            rpc_post(client, &(struct rpc_post){ .method = "sagamesh.audit.v1.AuditService/Check",
                                                 .timeout_us = 20 * SECOND_US,
                                                 .attempts_max = 4,
                                                 .posts = &posts }));
    AWAIT(atomic_load(&posts.under_way) == 0, 20);
    asked = asked_in_all();
    ck_assert_int_ge(asked, CALLS);
    ck_assert_int_le(asked, CALLS + CALLS / 5 + 100 +
                                10 * (int)((clock_steady_us() - began_us) / SECOND_US + 1));
    ck_assert(shown("retries_total") == asked - CALLS);
    ck_assert(shown("retries_forgone_total") > 0);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("endpoints");

    tcase_add_checked_fixture(tests, open_all, close_all);
    tcase_add_test(tests, a_key_stays_where_it_is);
    tcase_add_test(tests, the_busy_one_is_not_asked);
    tcase_add_test(tests, one_dies);
    tcase_add_test(tests, one_does_not_serve);
    tcase_add_test(tests, at_most_half_is_left_out);
    tcase_add_test(tests, what_was_not_done_is_asked_elsewhere_at_once);
    tcase_add_test(tests, a_rolling_restart_costs_no_call);
    tcase_add_test(tests, a_crowd_that_watches_leaves_nobody_out);
    tcase_add_test(tests, one_is_deaf);
    tcase_add_test(tests, a_budget_ends_a_storm);
    return check_run("rpc endpoints", tests);
}
