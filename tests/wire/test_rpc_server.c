/* Unary calls to the server over loopback: answered, refused with a reason, too many, given up. */
#include "tests/support/check.h"
#include "tests/support/rpc/server_harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_TOTAL "sagamesh_rpc_server_busy_total{listener=\"public\"}"

START_TEST(a_call_is_answered)
{
    struct answer answer;
    Sagamesh__Storage__V1__RestockResponse *response;

    unary_await(
        restock_start("apple", 7, 5000, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        &answer);
    ck_assert_msg(answer.code == GRPC_STATUS_OK, "%s", answer.message);
    response = response_of(answer.reply, answer.reply_bytes);
    ck_assert_str_eq(response->product->sku, "apple");
    ck_assert_int_eq(response->product->sold, 7);
    ck_assert_int_eq(response->product->on_hand, TRACEPARENT_BYTES);
    /* The deadline travelled; gRPC rounds what is left of it up. */
    ck_assert_int_gt(response->product->free, 0);
    ck_assert_int_le(response->product->free, 6 * SECOND_US);
    sagamesh__storage__v1__restock_response__free_unpacked(response, NULL);
}
END_TEST

START_TEST(a_bad_traceparent_is_as_good_as_none)
{
    struct answer answer;
    Sagamesh__Storage__V1__RestockResponse *response;

    unary_await(restock_start("apple", 7, 5000, "00-nonsense"), &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_OK);
    response = response_of(answer.reply, answer.reply_bytes);
    ck_assert_int_eq(response->product->on_hand, 0);
    sagamesh__storage__v1__restock_response__free_unpacked(response, NULL);
}
END_TEST

/* clang-format off */
#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1
static const struct {
    const char *what, *method;
    const uint8_t *bytes;
    size_t count;
    grpc_status_code code;
    struct rpc_error_info info;
} refusals[] = {
    { "decode refuses", STORAGE "Restock", BYTES("\x12\x01" "a"), GRPC_STATUS_INVALID_ARGUMENT,
      { .reason = "BAD_REQUEST", .field = "quantity", .rule = "quantity must not be 0" } },
    { "a rule refuses, recorded", STORAGE "Restock",
      BYTES("\x12\x01" "a" "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
      GRPC_STATUS_FAILED_PRECONDITION,
      { .reason = "NO_STOCK", .field = "quantity", .rule = "only 2 are free", .is_stored = true } },
    { "text that is not UTF-8", STORAGE "Restock", BYTES("\x12\x02\xc3\x28\x18\x01"),
      GRPC_STATUS_INVALID_ARGUMENT,
      { .reason = "BAD_REQUEST", .field = "sku", .rule = "text must be valid UTF-8" } },
    { "a NUL", STORAGE "Restock", BYTES("\x12\x03" "a\0b\x18\x01"), GRPC_STATUS_INVALID_ARGUMENT,
      { .reason = "BAD_REQUEST", .field = "sku", .rule = "text must not contain a NUL" } },
    { "cut short", STORAGE "Restock", BYTES("\x12\x09" "abc"), GRPC_STATUS_INVALID_ARGUMENT,
      { .reason = "BAD_REQUEST",
        .rule = "the request is cut short or is no sagamesh.storage.v1.RestockRequest" } },
    { "no such method", STORAGE "Steal", BYTES(""), GRPC_STATUS_UNIMPLEMENTED,
      { .reason = "UNIMPLEMENTED", .nothing_done = true } },
    { "of the mesh alone", STORAGE_SAGA "Release", BYTES(""), GRPC_STATUS_UNIMPLEMENTED,
      { .reason = "UNIMPLEMENTED", .nothing_done = true } },
    { "the same by its name before", STORAGE "Release", BYTES(""), GRPC_STATUS_UNIMPLEMENTED,
      { .reason = "UNIMPLEMENTED", .nothing_done = true } },
    { "no such service", "a.B/C", BYTES("x"), GRPC_STATUS_UNIMPLEMENTED,
      { .reason = "UNIMPLEMENTED", .nothing_done = true } },
    { "health of an unknown service", "grpc.health.v1.Health/Check", BYTES("\x0a\x01" "x"),
      GRPC_STATUS_NOT_FOUND,
      { .reason = "NOT_FOUND", .field = "service", .rule = "no such service here" } },
    { "a garbled envelope", "sagamesh.batch.v1.BatchService/Call", BYTES("\x0a\x05\x0a"),
      GRPC_STATUS_INVALID_ARGUMENT,
      { .reason = "BAD_REQUEST",
        .rule = "the request is cut short or is no sagamesh.batch.v1.CallRequest" } },
};
/* clang-format on */

START_TEST(a_refusal_says_why)
{
    struct answer answer;

    unary(refusals[_i].method, refusals[_i].bytes, refusals[_i].count, &answer);
    ck_assert_msg(answer.code == refusals[_i].code, "%s: %d %s", refusals[_i].what, answer.code,
                  answer.message);
    ck_assert_int_eq(answer.detail_code, (int)answer.code);
    ck_assert_str_eq(answer.info.domain, "sagamesh");
    ck_assert_str_eq(answer.info.reason, refusals[_i].info.reason);
    ck_assert_str_eq(answer.info.field, refusals[_i].info.field);
    ck_assert_str_eq(answer.info.rule, refusals[_i].info.rule);
    ck_assert_int_eq(answer.info.is_stored, refusals[_i].info.is_stored);
    ck_assert_int_eq(answer.info.nothing_done, refusals[_i].info.nothing_done);
    /* Who decided: the service of the method; no service of one that is not here. */
    ck_assert(refusals[_i].info.nothing_done == (answer.info.service[0] == '\0'));
    ck_assert(strncmp(refusals[_i].method, answer.info.service, strlen(answer.info.service)) == 0);
}
END_TEST

/* Of a server that serves the mesh, beside what all may call. */
START_TEST(the_inner_port_serves_all)
{
    static const uint8_t bad_line[] = "\x1a\x03\x0a\x01"
                                      "a"
                                      "\x1a\x03\x0a\x01\xff";
    struct answer answer;

    unary(STORAGE_SAGA "Reserve", bad_line, sizeof bad_line - 1, &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_INVALID_ARGUMENT);
    ck_assert_str_eq(answer.info.field, "lines[1].sku");
    ck_assert_str_eq(answer.info.rule, "text must be valid UTF-8");
    ck_assert_str_eq(answer.info.service, "sagamesh.storage.v1.StorageSagaService");
    unary_await(restock_start("apple", 7, 5000, NULL), &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_OK);
    unary(STORAGE "Reserve", NULL, 0, &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_UNIMPLEMENTED);
}
END_TEST

START_TEST(a_message_over_the_limit_is_refused_and_the_next_is_served)
{
    struct answer answer;
    char *sku = arena_take(arena, RPC_MESSAGE_BYTES_MAX + 1);

    memset(sku, 'a', RPC_MESSAGE_BYTES_MAX);
    unary_await(restock_start(sku, 1, 10000, NULL), &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_RESOURCE_EXHAUSTED);
    sku[RPC_MESSAGE_BYTES_MAX - 16] = '\0';
    unary_await(restock_start(sku, 1, 10000, NULL), &answer);
    ck_assert_msg(answer.code == GRPC_STATUS_OK, "%d %s", answer.code, answer.message);
}
END_TEST

START_TEST(a_call_beyond_the_limit_is_told_busy)
{
    struct client_call *calls[CALLS_MAX];
    struct answer answer;

    pthread_mutex_lock(&gate);
    for (int i = 0; i < CALLS_MAX; i++)
        calls[i] = restock_start("apple", 1, 10000, NULL);
    wait_submitted(CALLS_MAX);
    unary_await(restock_start("apple", 1, 10000, NULL), &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_RESOURCE_EXHAUSTED);
    ck_assert_str_eq(answer.info.reason, "BUSY");
    ck_assert(answer.info.nothing_done);
    ck_assert(metric_shown(server_metrics, BUSY_TOTAL) == 1);
    unary("grpc.health.v1.Health/Check", NULL, 0, &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_OK); /* busy is not ill */
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < CALLS_MAX; i++) {
        unary_await(calls[i], &answer);
        ck_assert_int_eq(answer.code, GRPC_STATUS_OK);
    }
    unary_await(restock_start("apple", 1, 10000, NULL), &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_OK);
}
END_TEST

START_TEST(a_client_that_gives_up_leaves_nothing_behind)
{
    struct client_call *call;
    struct answer answer;

    pthread_mutex_lock(&gate);
    call = restock_start("apple", 1, 50, NULL);
    wait_submitted(1);
    unary_await(call, &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_DEADLINE_EXCEEDED);
    call = restock_start("apple", 1, 10000, NULL);
    wait_submitted(2);
    grpc_call_cancel(call->grpc, NULL);
    unary_await(call, &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_CANCELLED);
    pthread_mutex_unlock(&gate);
    unary_await(restock_start("apple", 1, 10000, NULL), &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_OK);
    ck_assert(calls_counted(STORAGE "Restock", "OK") == 3);
    ck_assert(metric_shown(server_metrics, BUSY_TOTAL) == 0);
}
END_TEST

/* A call that is held for a while, and what is shown meanwhile. */
START_TEST(a_call_is_counted_by_its_answer_and_how_long_it_took)
{
    static const char sum[] =
        "rpc_server_call_duration_seconds_sum{method=\"" STORAGE "Restock\",code=\"OK\"}";
    static const char in_flight[] = "sagamesh_rpc_server_calls_in_flight{listener=\"public\"}";
    int64_t from_us = clock_steady_us(), held_us;
    struct client_call *call;
    struct answer answer;

    pthread_mutex_lock(&gate);
    call = restock_start("apple", 1, 20000, NULL);
    wait_submitted(1);
    held_us = clock_steady_us();
    ck_assert(calls_counted(STORAGE "Restock", "OK") == 0);
    ck_assert(metric_shown(server_metrics, sum) == 0);
    ck_assert(metric_shown(server_metrics, in_flight) == 1);
    held_us = clock_steady_us() - held_us;
    pthread_mutex_unlock(&gate);
    unary_await(call, &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_OK);
    ck_assert(calls_counted(STORAGE "Restock", "OK") == 1);
    ck_assert(metric_shown(server_metrics, sum) * SECOND_US >= (double)held_us);
    ck_assert(metric_shown(server_metrics, sum) * SECOND_US <=
              (double)(clock_steady_us() - from_us));
    AWAIT(metric_shown(server_metrics, in_flight) == 0, 10);
    unary(STORAGE "Steal", NULL, 0, &answer);
    ck_assert(calls_counted("_OTHER", "UNIMPLEMENTED") == 1);
    ck_assert(metric_shown(server_metrics, "sagamesh_rpc_server_connections_total{listener="
                                           "\"public\",outcome=\"accepted\"}") == 1);
}
END_TEST

START_TEST(a_taken_port_is_an_error)
{
    struct rpc_server_options options = { .calls_max = 1 };
    struct rpc_server *second = NULL;
    char listen[32];

    snprintf(listen, sizeof listen, "127.0.0.1:%d", rpc_server_port(server));
    options.listen = listen;
    log_open("test", LOG_ERROR + 1);
    ck_assert_int_eq(rpc_server_open(&options, &second), ERR_UNREACHABLE);
    ck_assert_ptr_null(second);
}
END_TEST

#define WHOLE sagamesh__storage__v1__storage_service__descriptor
#define INNER sagamesh__storage__v1__storage_saga_service__descriptor
#define BATCH sagamesh__batch__v1__batch_service__descriptor

/* Each row: a table that a program must not start with. */
/* clang-format off */
#define ROW(method) \
    { .name = (method), .op_bytes = 1000, .decode = stub_decode, .encode = stub_encode }
static const struct method one_row[] = { ROW("Call"), { 0 } };
static const struct method row_without_method[] = { ROW("Call"), ROW("Steal"), { 0 } };
static const struct method two_rows[] = { ROW("Call"), ROW("Call"), { 0 } };
static const struct method no_encode[] = {
    { .name = "Call", .op_bytes = 1000, .decode = stub_decode },
    { 0 },
};
static const struct {
    const char *what;
    const ProtobufCServiceDescriptor *descriptor;
    const struct method *methods;
    const ProtobufCServiceDescriptor *inner;
} wrong_tables[] = {
    { "a method without a row",     &WHOLE, stub_methods + 1, &INNER },
    { "an inner one without a row", &WHOLE, stub_methods, &BATCH },
    { "rows of no inner service",   &WHOLE, stub_methods, NULL },
    { "a row without a method",     &BATCH, row_without_method, NULL },
    { "two rows",                   &BATCH, two_rows, NULL },
    { "a row that is not complete", &BATCH, no_encode, NULL },
    { "served by the mesh already", &BATCH, one_row, NULL },
};
/* clang-format on */

START_TEST(a_wrong_table_ends_the_program)
{
    struct rpc_service service = { .descriptor = wrong_tables[_i].descriptor,
                                   .inner = wrong_tables[_i].inner,
                                   .methods = wrong_tables[_i].methods,
                                   .submit = stub_submit };
    struct rpc_server_options options = {
        .listen = "127.0.0.1:0", .calls_max = 1, .services = &service, .service_count = 1
    };
    struct rpc_server *wrong;

    log_open("test", LOG_ERROR + 1);
    rpc_server_open(&options, &wrong);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("unary");
    TCase *inner = check_case("inner");
    TCase *tables = check_case("tables");

    tcase_add_checked_fixture(cases, set_up, take_down);
    tcase_add_test(cases, a_call_is_answered);
    tcase_add_test(cases, a_bad_traceparent_is_as_good_as_none);
    tcase_add_loop_test(cases, a_refusal_says_why, 0, ROWS(refusals));
    tcase_add_test(cases, a_message_over_the_limit_is_refused_and_the_next_is_served);
    tcase_add_test(cases, a_call_beyond_the_limit_is_told_busy);
    tcase_add_test(cases, a_client_that_gives_up_leaves_nothing_behind);
    tcase_add_test(cases, a_call_is_counted_by_its_answer_and_how_long_it_took);
    tcase_add_test(cases, a_taken_port_is_an_error);
    tcase_add_checked_fixture(inner, set_up_inner, take_down);
    tcase_add_test(inner, the_inner_port_serves_all);
    if (check_forks()) {
        tcase_add_loop_test_raise_signal(tables, a_wrong_table_ends_the_program, SIGABRT, 0,
                                         ROWS(wrong_tables));
    }
    return check_run("wire_server", cases, inner, tables);
}
