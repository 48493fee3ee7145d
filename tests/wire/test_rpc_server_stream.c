/* Streams and the server's end: health, reflection, draining. */
#include "tests/support/check.h"
#include "tests/support/rpc/server_harness.h"

#include <google/protobuf/descriptor.pb-c.h>

#define V1 "sagamesh.storage.v1."
#define WATCH "grpc.health.v1.Health/Watch"
#define CHECK "grpc.health.v1.Health/Check"

enum {
    SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING,
    NOT_SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING,
    SERVICE_UNKNOWN = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN,
};

typedef Grpc__Reflection__V1__ServerReflectionRequest Question;
typedef Grpc__Reflection__V1__ServerReflectionResponse Reply;

/* ---- health ---- */

static size_t
health_pack(const char *service, uint8_t **ret_bytes)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;

    request.service = (char *)(uintptr_t)service;
    *ret_bytes =
        arena_take(arena, grpc__health__v1__health_check_request__get_packed_size(&request));
    return grpc__health__v1__health_check_request__pack(&request, *ret_bytes);
}

static int
health_read(const uint8_t *bytes, size_t count)
{
    Grpc__Health__V1__HealthCheckResponse *response =
        grpc__health__v1__health_check_response__unpack(NULL, count, bytes);
    int status;

    ck_assert_ptr_nonnull(response);
    status = (int)response->status;
    grpc__health__v1__health_check_response__free_unpacked(response, NULL);
    return status;
}

static int
health_check(const char *service)
{
    uint8_t *bytes;
    size_t count = health_pack(service, &bytes);
    struct answer answer;

    unary(CHECK, bytes, count, &answer);
    ck_assert_msg(answer.code == GRPC_STATUS_OK, "%s: %s", service, answer.message);
    return health_read(answer.reply, answer.reply_bytes);
}

static struct client_call *
watch(const char *service)
{
    uint8_t *bytes;
    size_t count = health_pack(service, &bytes);

    return stream_open(WATCH, bytes, count);
}

static int
watch_next(struct client_call *call)
{
    size_t count;
    uint8_t *bytes = stream_receive(call, &count);

    ck_assert_ptr_nonnull(bytes);
    return health_read(bytes, count);
}

START_TEST(health_is_checked)
{
    static const char *const services[] = { "", V1 "StorageService",
                                            "sagamesh.batch.v1.BatchService",
                                            "grpc.health.v1.Health" };

    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        rpc_server_set_serving(server, false);
        ck_assert_int_eq(health_check(services[i]), NOT_SERVING);
        rpc_server_set_serving(server, true);
        ck_assert_int_eq(health_check(services[i]), SERVING);
    }
}
END_TEST

START_TEST(health_is_watched)
{
    struct client_call *whole = watch(""), *unknown = watch("no.such.Service");

    ck_assert_int_eq(watch_next(whole), NOT_SERVING);
    ck_assert_int_eq(watch_next(unknown), SERVICE_UNKNOWN);
    rpc_server_set_serving(server, true);
    ck_assert_int_eq(watch_next(whole), SERVING);
    rpc_server_set_serving(server, true); /* no news */
    rpc_server_set_serving(server, false);
    ck_assert_int_eq(watch_next(whole), NOT_SERVING);
    stream_cancel(whole);
    stream_cancel(unknown);
}
END_TEST

/* A part is known from its first word on, and is no service: it changes nothing for "". */
START_TEST(health_of_a_part)
{
    struct client_call *part;

    rpc_server_set_serving(server, true);
    rpc_server_set_part(server, "database", false);
    ck_assert_int_eq(health_check("database"), NOT_SERVING);
    ck_assert_int_eq(health_check(""), SERVING);
    part = watch("database");
    ck_assert_int_eq(watch_next(part), NOT_SERVING);
    rpc_server_set_part(server, "kafka", false);
    rpc_server_set_part(server, "database", true);
    ck_assert_int_eq(watch_next(part), SERVING);
    rpc_server_set_serving(server, false);
    ck_assert_int_eq(health_check("database"), SERVING);
    ck_assert_int_eq(health_check("kafka"), NOT_SERVING);
    stream_cancel(part);
}
END_TEST

START_TEST(a_garbled_watch_is_refused)
{
    struct client_call *call = stream_open(WATCH, (const uint8_t *)"\x0a\x05x", 3);
    struct answer answer;

    stream_await(call, &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_INVALID_ARGUMENT);
    ck_assert_str_eq(answer.info.reason, "BAD_REQUEST");
}
END_TEST

/* ---- reflection ---- */

/* clang-format off */
static const char *const versions[] = {
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
};

#define STORAGE_FILE "sagamesh/storage/v1/storage_service.proto"
#define ASK(kind) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##kind
#define ANSWER(kind) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##kind
enum {
    SYMBOL = ASK(FILE_CONTAINING_SYMBOL),
    EXTENSIONS = ASK(ALL_EXTENSION_NUMBERS_OF_TYPE),
    NOTHING = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST__NOT_SET,
};
static const struct {
    const char *what;
    int kind;
    const char *text;
    int error_code;   /* 0: a file */
    const char *file; /* the first of the answer */
    size_t files;     /* with all that it imports */
} questions[] = {
    { "a file",            ASK(FILE_BY_FILENAME), STORAGE_FILE, 0, STORAGE_FILE, 1 },
    { "a file of a stranger", ASK(FILE_BY_FILENAME), "no/such.proto", 5, NULL, 0 },
    { "a service",         SYMBOL, V1 "StorageService", 0, STORAGE_FILE, 1 },
    { "a method",          SYMBOL, V1 "StorageService.Restock", 0, STORAGE_FILE, 1 },
    { "a message",         SYMBOL, V1 "ReserveLine", 0, STORAGE_FILE, 1 },
    { "a field",           SYMBOL, V1 "ReserveLine.sku", 0, STORAGE_FILE, 1 },
    { "an enum",           SYMBOL, V1 "HoldState", 0, STORAGE_FILE, 1 },
    { "an enum's value",   SYMBOL, V1 "HOLD_STATE_HELD", 0, STORAGE_FILE, 1 },
    { "a nested enum",     SYMBOL, "grpc.health.v1.HealthCheckResponse.ServingStatus", 0,
      "grpc/health/v1/health.proto", 1 },
    { "what imports what imports", SYMBOL, "sagamesh.batch.v1.BatchService", 0,
      "sagamesh/batch/v1/batch_service.proto", 3 },
    { "nobody's symbol",   SYMBOL, V1 "Nothing", 5, NULL, 0 },
    { "no symbol",         SYMBOL, "", 5, NULL, 0 },
    { "extensions of nothing", EXTENSIONS, "no.Such", 5, NULL, 0 },
    { "extensions of a service", EXTENSIONS, V1 "StorageService", 5, NULL, 0 },
    { "nothing",           NOTHING, "", 3, NULL, 0 },
};
/* clang-format on */

static size_t
question_pack(int kind, const char *text, uint8_t **ret_bytes)
{
    Question question = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;

    question.host = (char *)(uintptr_t) "here";
    question.message_request_case = kind;
    question.list_services = (char *)(uintptr_t)text; /* all but one are a text, in a union */
    *ret_bytes = arena_take(
        arena, grpc__reflection__v1__server_reflection_request__get_packed_size(&question));
    return grpc__reflection__v1__server_reflection_request__pack(&question, *ret_bytes);
}

static Reply *
reply_receive(struct client_call *call)
{
    size_t count;
    uint8_t *bytes = stream_receive(call, &count);
    Reply *reply;

    ck_assert_ptr_nonnull(bytes);
    reply = grpc__reflection__v1__server_reflection_response__unpack(NULL, count, bytes);
    ck_assert_ptr_nonnull(reply);
    ck_assert_str_eq(reply->valid_host, "here");
    return reply;
}

static void
files_check(const Reply *reply, size_t row)
{
    const Grpc__Reflection__V1__FileDescriptorResponse *list = reply->file_descriptor_response;

    for (size_t i = 0; i < list->n_file_descriptor_proto; i++) {
        Google__Protobuf__FileDescriptorProto *file =
            google__protobuf__file_descriptor_proto__unpack(
                NULL, list->file_descriptor_proto[i].len, list->file_descriptor_proto[i].data);

        ck_assert_ptr_nonnull(file);
        if (i == 0)
            ck_assert_str_eq(file->name, questions[row].file);
        google__protobuf__file_descriptor_proto__free_unpacked(file, NULL);
    }
    ck_assert_msg(list->n_file_descriptor_proto == questions[row].files, "%s: %zu files",
                  questions[row].what, list->n_file_descriptor_proto);
}

/* All questions on one stream: an error does not end it. */
START_TEST(reflection_answers)
{
    uint8_t *bytes;
    size_t count = question_pack(questions[0].kind, questions[0].text, &bytes);
    struct client_call *call = stream_open(versions[_i], bytes, count);
    struct answer answer;

    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        Reply *reply;

        if (i > 0) {
            count = question_pack(questions[i].kind, questions[i].text, &bytes);
            stream_send(call, bytes, count);
        }
        reply = reply_receive(call);
        if (questions[i].error_code != 0) {
            ck_assert_msg(reply->message_response_case == ANSWER(ERROR_RESPONSE), "%s",
                          questions[i].what);
            ck_assert_int_eq(reply->error_response->error_code, questions[i].error_code);
        } else {
            ck_assert_msg(reply->message_response_case == ANSWER(FILE_DESCRIPTOR_RESPONSE), "%s",
                          questions[i].what);
            files_check(reply, i);
        }
        grpc__reflection__v1__server_reflection_response__free_unpacked(reply, NULL);
    }
    stream_half_close(call);
    stream_await(call, &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_OK);
}
END_TEST

START_TEST(reflection_lists_what_is_served)
{
    static const char *const served[] = { V1 "StorageService",
                                          "grpc.health.v1.Health",
                                          "grpc.reflection.v1.ServerReflection",
                                          "grpc.reflection.v1alpha.ServerReflection",
                                          "sagamesh.batch.v1.BatchService",
                                          "sagamesh.clock.v1.ClockService" };
    uint8_t *bytes;
    size_t count = question_pack(ASK(LIST_SERVICES), "*", &bytes);
    struct client_call *call = stream_open(versions[_i], bytes, count);
    Reply *reply = reply_receive(call);
    const Grpc__Reflection__V1__ListServiceResponse *list = reply->list_services_response;

    ck_assert_int_eq(reply->message_response_case, ANSWER(LIST_SERVICES_RESPONSE));
    ck_assert_uint_eq(list->n_service, sizeof served / sizeof served[0]);
    for (size_t i = 0; i < list->n_service; i++)
        ck_assert_str_eq(list->service[i]->name, served[i]);
    grpc__reflection__v1__server_reflection_response__free_unpacked(reply, NULL);
    stream_cancel(call);
}
END_TEST

/* ---- the end ---- */

static void *
stop_server(void *grace_ms)
{
    rpc_server_stop(server, *(int *)grace_ms);
    return NULL;
}

START_TEST(stopping_answers_what_is_in_flight)
{
    static int grace_ms = 10000;
    struct client_call *watcher, *question, *call;
    struct answer answer;
    pthread_t stopper;
    uint8_t *bytes;
    size_t count = question_pack(ASK(LIST_SERVICES), "", &bytes);

    rpc_server_set_serving(server, true);
    watcher = watch("");
    ck_assert_int_eq(watch_next(watcher), SERVING);
    question = stream_open(versions[0], bytes, count);
    grpc__reflection__v1__server_reflection_response__free_unpacked(reply_receive(question), NULL);
    pthread_mutex_lock(&gate);
    call = restock_start("apple", 1, 20000, NULL);
    wait_submitted(1);

    pthread_create(&stopper, NULL, stop_server, &grace_ms);
    ck_assert_int_eq(watch_next(watcher), NOT_SERVING); /* stopping has begun */
    unary_await(restock_start("late", 1, 20000, NULL), &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_UNAVAILABLE);
    ck_assert_str_eq(answer.info.reason, "STOPPING");
    ck_assert(answer.info.nothing_done);
    ck_assert_int_eq(health_check(""), NOT_SERVING);

    pthread_mutex_unlock(&gate);
    unary_await(call, &answer);
    ck_assert_msg(answer.code == GRPC_STATUS_OK, "%d %s", answer.code, answer.message);
    stream_await(watcher, &answer);
    ck_assert_str_eq(answer.info.reason, "STOPPING");
    stream_await(question, &answer);
    ck_assert_str_eq(answer.info.reason, "STOPPING");
    pthread_join(stopper, NULL);

    unary_await(restock_start("gone", 1, 2000, NULL), &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_UNAVAILABLE); /* nobody listens */
    queue_close(queue);
    pthread_join(decider, NULL);
    server = rpc_server_close(server);
}
END_TEST

START_TEST(stopping_does_not_wait_for_ever)
{
    struct client_call *call;
    struct answer answer;
    int64_t from_us = clock_steady_us();

    log_open("test", LOG_ERROR);
    pthread_mutex_lock(&gate);
    call = restock_start("apple", 1, 20000, NULL);
    wait_submitted(1);
    rpc_server_stop(server, 100);
    ck_assert_int_lt(clock_steady_us() - from_us, 5 * SECOND_US);
    unary_await(call, &answer);
    ck_assert_int_ne(answer.code, GRPC_STATUS_OK);
    pthread_mutex_unlock(&gate); /* it is decided after all, and nobody hears of it */
    queue_close(queue);
    pthread_join(decider, NULL);
    server = rpc_server_close(server);
}
END_TEST

int
main(void)
{
    enum { VERSIONS = sizeof versions / sizeof versions[0] };
    TCase *cases = check_case("streams");

    tcase_add_checked_fixture(cases, set_up, take_down);
    tcase_add_test(cases, health_is_checked);
    tcase_add_test(cases, health_is_watched);
    tcase_add_test(cases, health_of_a_part);
    tcase_add_test(cases, a_garbled_watch_is_refused);
    tcase_add_loop_test(cases, reflection_answers, 0, VERSIONS);
    tcase_add_loop_test(cases, reflection_lists_what_is_served, 0, VERSIONS);
    tcase_add_test(cases, stopping_answers_what_is_in_flight);
    tcase_add_test(cases, stopping_does_not_wait_for_ever);
    return check_run("wire_server_stream", cases);
}
