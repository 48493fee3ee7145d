/* What order-svc says to the orchestrator, and what it makes of the answers: over a loopback socket,
 * with an orchestrator that answers by the name of the definition. No database. */
#include "mesh/rpc/server.h"
#include "order-svc/order_saga.h"
#include "tests/support/check.h"
#include "tests/support/store/call_fixture.h"

#include <sagamesh/saga/v1/saga_service.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- the orchestrator ---- */

struct said {
    struct op op;
    const char *saga_id, *definition, *input, *request_id;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int starts, cancels, refusals; /* under lock, as all below */
static char last_saga_id[64], last_input[512], last_cancel[2][64], last_reason[64],
    last_detail[256], last_trace[TRACEPARENT_BYTES + 1];
static struct uuid last_refused;
static struct call *held;

static enum error
start_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Saga__V1__StartRequest *request =
        (const Sagamesh__Saga__V1__StartRequest *)message;
    struct said *said = op;

    (void)arena;
    said->saga_id = request->saga_id;
    said->definition = request->definition;
    said->input = request->input_json;
    return ERR_OK;
}

static enum error
cancel_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Saga__V1__CancelRequest *request =
        (const Sagamesh__Saga__V1__CancelRequest *)message;
    struct said *said = op;

    (void)arena;
    said->saga_id = request->saga_id;
    said->request_id = request->request_id;
    return ERR_OK;
}

static enum error
other_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    (void)message;
    (void)arena;
    return problem_set(&((struct op *)op)->problem, ERR_UNIMPLEMENTED, NULL, "not asked here");
}

static ProtobufCMessage *
start_encode(const void *op, struct arena *arena)
{
    Sagamesh__Saga__V1__StartResponse *response = arena_take(arena, sizeof *response);

    (void)op;
    sagamesh__saga__v1__start_response__init(response);
    return &response->base;
}

static ProtobufCMessage *
cancel_encode(const void *op, struct arena *arena)
{
    Sagamesh__Saga__V1__CancelResponse *response = arena_take(arena, sizeof *response);

    (void)op;
    sagamesh__saga__v1__cancel_response__init(response);
    return &response->base;
}

/* clang-format off */
static const struct method saga_methods[] = {
    { "Start",           sizeof(struct said), start_decode,  NULL, NULL, NULL, start_encode  },
    { "Cancel",          sizeof(struct said), cancel_decode, NULL, NULL, NULL, cancel_encode },
    { "Get",             sizeof(struct said), other_decode,  NULL, NULL, NULL, cancel_encode },
    { "Watch",           sizeof(struct said), other_decode,  NULL, NULL, NULL, cancel_encode },
    { "Settle",          sizeof(struct said), other_decode,  NULL, NULL, NULL, cancel_encode },
    { "Signal",          sizeof(struct said), other_decode,  NULL, NULL, NULL, cancel_encode },
    { "List",            sizeof(struct said), other_decode,  NULL, NULL, NULL, cancel_encode },
    { "Retry",           sizeof(struct said), other_decode,  NULL, NULL, NULL, cancel_encode },
    { "Compensate",      sizeof(struct said), other_decode,  NULL, NULL, NULL, cancel_encode },
    { "Forward",         sizeof(struct said), other_decode,  NULL, NULL, NULL, cancel_encode },
    { "ListShard",       sizeof(struct said), other_decode,  NULL, NULL, NULL, cancel_encode },
    { "ListDefinitions", sizeof(struct said), other_decode,  NULL, NULL, NULL, cancel_encode },
    { 0 },
};
/* clang-format on */

static void
answer_start(struct call *call)
{
    struct said *said = (struct said *)call->op;

    starts++;
    snprintf(last_saga_id, sizeof last_saga_id, "%s", said->saga_id);
    snprintf(last_input, sizeof last_input, "%s", said->input);
    snprintf(last_trace, sizeof last_trace, "%s", call->traceparent);
    if (strcmp(said->definition, "unknown") == 0) {
        problem_set(&call->op->problem, ERR_NOT_FOUND, "definition", "no such definition");
        snprintf(call->op->problem.reason, sizeof call->op->problem.reason, "UNKNOWN_DEFINITION");
    } else if (strcmp(said->definition, "away") == 0) {
        problem_set(&call->op->problem, ERR_STORE_DOWN, NULL, "no database");
    } else if (strcmp(said->definition, "reused") == 0) {
        problem_set(&call->op->problem, ERR_ID_REUSED, NULL, "another saga has this id");
    }
}

/* Definition "held": answered by release(). */
static void
submit(void *owner, struct call *call)
{
    struct said *said = (struct said *)call->op;
    bool is_held = false;

    (void)owner;
    pthread_mutex_lock(&lock);
    if (strcmp(call->method->name, "Cancel") == 0) {
        snprintf(last_cancel[cancels % 2], sizeof last_cancel[0], "%s", said->request_id);
        snprintf(last_saga_id, sizeof last_saga_id, "%s", said->saga_id);
        cancels++;
    } else {
        answer_start(call);
        is_held = strcmp(said->definition, "held") == 0;
        if (is_held)
            held = call;
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    if (!is_held)
        call->finish(call);
}

/* Waits until *count is at least so much; false after 10 seconds. */
static bool
await(const int *count, int least)
{
    struct timespec until;
    bool is_there;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&lock);
    while (*count < least && pthread_cond_timedwait(&changed, &lock, &until) == 0)
        ;
    is_there = *count >= least;
    pthread_mutex_unlock(&lock);
    return is_there;
}

static void
refused(void *owner, struct uuid order_id, const char *reason, const char *detail)
{
    (void)owner;
    pthread_mutex_lock(&lock);
    refusals++;
    last_refused = order_id;
    snprintf(last_reason, sizeof last_reason, "%s", reason);
    snprintf(last_detail, sizeof last_detail, "%s", detail);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* ---- the tests ---- */

static struct rpc_server *server;
static struct order_saga *saga;

static void
set_up(void)
{
    static const struct rpc_service service = {
        .descriptor = &sagamesh__saga__v1__saga_service__descriptor,
        .inner = &sagamesh__saga__v1__saga_control_service__descriptor,
        .methods = saga_methods,
        .submit = submit
    };
    const struct rpc_server_options options = { .listen = "127.0.0.1:0",
                                                .calls_max = 100,
                                                .services = &service,
                                                .service_count = 1,
                                                .serves_inner = true };
    struct order_saga_options client = { .in_flight_max = 1, .refused = refused };
    static char address[32];

    starts = cancels = refusals = 0; /* tests may share a process (CK_FORK=no) */
    held = NULL;
    ck_assert_int_eq(rpc_server_open(&options, &server), ERR_OK);
    snprintf(address, sizeof address, "127.0.0.1:%d", rpc_server_port(server));
    client.address = address;
    ck_assert_int_eq(order_saga_open(&client, &saga), ERR_OK);
}

static void
tear_down(void)
{
    saga = order_saga_close(saga);
    if (server != NULL)
        rpc_server_stop(server, 1000);
    server = rpc_server_close(server);
}

static struct order
order_of(const char *flow, bool cancel_wanted)
{
    return (struct order){ .record.id = uuid_v7(clock_now_us()),
                           .customer_id = "alice",
                           .currency = "JPY",
                           .lines = "3 pen\n",
                           .status = ORDER_PENDING,
                           .version = 1,
                           .cancel_wanted = cancel_wanted,
                           .flow = flow,
                           .payment_method = "wallet",
                           .provider = "",
                           .return_url = "",
                           .traceparent =
                               "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" };
}

/* A place is given back a moment after the answer. */
static void
send_soon(const struct order *order)
{
    int64_t until_us = clock_steady_us() + patient_us(10 * SECOND_US);
    const struct timespec moment = { .tv_nsec = 1000 * 1000 };

    while (!order_saga_send(saga, order)) {
        ck_assert_int_lt(clock_steady_us(), until_us);
        nanosleep(&moment, NULL);
    }
}

START_TEST(a_start_says_what_was_ordered)
{
    struct order order = order_of("flow", false);
    char id[UUID_TEXT_BYTES + 1];

    send_soon(&order);
    ck_assert(await(&starts, 1));
    ck_assert_str_eq(last_saga_id, uuid_print(order.record.id, id));
    ck_assert_ptr_nonnull(strstr(last_input, "\"lines\":[{\"sku\":\"pen\",\"quantity\":3}]"));
    ck_assert_ptr_nonnull(strstr(last_trace, "4bf92f3577b34da6a3ce929d0e0e4736"));
    send_soon(&order); /* the first is over: its place is free */
    ck_assert(await(&starts, 2));
    ck_assert_int_eq(cancels, 0);
    ck_assert_int_eq(refusals, 0);
}
END_TEST

START_TEST(a_cancel_follows_its_start_and_is_one_wish)
{
    struct order order = order_of("flow", true);

    for (int i = 1; i <= 2; i++) {
        send_soon(&order);
        ck_assert(await(&cancels, i));
        ck_assert_int_eq(starts, i);
    }
    ck_assert_str_eq(last_cancel[0], last_cancel[1]);
}
END_TEST

START_TEST(a_refused_start_is_told)
{
    struct order order = order_of("unknown", true);

    send_soon(&order);
    ck_assert(await(&refusals, 1));
    ck_assert(uuid_equal(last_refused, order.record.id));
    ck_assert_str_eq(last_reason, "UNKNOWN_DEFINITION");
    ck_assert_str_eq(last_detail, "no such definition");
    ck_assert_int_eq(cancels, 0);
}
END_TEST

START_TEST(trouble_is_tried_again_and_refuses_nothing)
{
    static const char *const flows[] = { "away", "reused" };
    static const int attempts[] = { SAGA_CALL_ATTEMPTS, 1 };
    struct order order = order_of(flows[_i], false), after = order_of("flow", false);

    send_soon(&order);
    ck_assert(await(&starts, attempts[_i]));
    send_soon(&after);
    ck_assert(await(&starts, attempts[_i] + 1));
    ck_assert_int_eq(starts, attempts[_i] + 1);
    ck_assert_int_eq(refusals, 0);
}
END_TEST

START_TEST(one_more_than_may_be_under_way_is_not_sent)
{
    struct order order = order_of("held", false), more = order_of("flow", false);

    send_soon(&order);
    ck_assert(await(&starts, 1));
    ck_assert(!order_saga_send(saga, &more));
    held->finish(held);
    send_soon(&more);
    ck_assert(await(&starts, 2));
}
END_TEST

START_TEST(closing_ends_what_is_under_way)
{
    struct order order = order_of("held", true);

    send_soon(&order);
    ck_assert(await(&starts, 1));
    saga = order_saga_close(saga);
    held->finish(held);
    ck_assert_int_eq(refusals, 0);
    ck_assert_int_eq(cancels, 0);
}
END_TEST

START_TEST(an_orchestrator_that_is_away_is_no_refusal)
{
    struct order order = order_of("flow", false);

    rpc_server_stop(server, 1000);
    server = rpc_server_close(server);
    send_soon(&order);
    send_soon(&order); /* only after the first was given up */
    ck_assert_int_eq(refusals, 0);
    ck_assert_int_eq(starts, 0);
}
END_TEST

int
main(void)
{
    TCase *calls = check_case("calls");

    tcase_add_checked_fixture(calls, set_up, tear_down);
    tcase_add_test(calls, a_start_says_what_was_ordered);
    tcase_add_test(calls, a_cancel_follows_its_start_and_is_one_wish);
    tcase_add_test(calls, a_refused_start_is_told);
    tcase_add_loop_test(calls, trouble_is_tried_again_and_refuses_nothing, 0, 2);
    tcase_add_test(calls, one_more_than_may_be_under_way_is_not_sent);
    tcase_add_test(calls, closing_ends_what_is_under_way);
    tcase_add_test(calls, an_orchestrator_that_is_away_is_no_refusal);
    return check_run("order saga", calls);
}
