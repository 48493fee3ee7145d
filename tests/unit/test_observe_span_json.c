/* Spans as OTLP writes them: to the letter, and what a collector's answer says. */
#include "mesh/observe/span_json.h"
#include "tests/support/check.h"

#include <string.h>

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define HEAD                                                                                       \
    "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"     \
    "\"stringValue\":\"order-svc\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"sagamesh\"},"        \
    "\"spans\":["
#define TAIL "]}]}]}"
#define IDS "{\"traceId\":\"" TRACE "\",\"spanId\":\"00f067aa0ba902b7\","
#define TIMES                                                                                      \
    "\"startTimeUnixNano\":\"1700000000000001000\",\"endTimeUnixNano\":\"1700000000000003000\","

/* clang-format off */
static const struct {
    const char *what;
    const char *parent_id;
    struct span_note note;
    const char *json; /* of the span */
} spans[] = {
    { "a root", "",
      { .kind = SPAN_SERVER, .name = "GET /orders" },
      IDS "\"flags\":1,\"name\":\"GET /orders\",\"kind\":2," TIMES "\"attributes\":[],\"status\":{}}" },
    { "a child with everything", "1111111111111111",
      { .kind = SPAN_CLIENT, .name = "p.S/M", .error = "UNAVAILABLE",
        .link = "00-" TRACE "-2222222222222222-01",
        .attributes = { { "rpc.system.name", "grpc", 0 }, { "server.port", NULL, 7401 } } },
      IDS "\"parentSpanId\":\"1111111111111111\",\"flags\":1,\"name\":\"p.S/M\",\"kind\":3," TIMES
      "\"attributes\":[{\"key\":\"rpc.system.name\",\"value\":{\"stringValue\":\"grpc\"}},"
      "{\"key\":\"server.port\",\"value\":{\"intValue\":\"7401\"}},"
      "{\"key\":\"error.type\",\"value\":{\"stringValue\":\"UNAVAILABLE\"}}],"
      "\"links\":[{\"traceId\":\"" TRACE "\",\"spanId\":\"2222222222222222\"}],\"status\":{\"code\":2}}" },
    { "the least number, and a quote", "",
      { .kind = SPAN_CONSUMER, .name = "a \"b\"\n", .attributes = { { "n", NULL, INT64_MIN } } },
      IDS "\"flags\":1,\"name\":\"a \\\"b\\\"\\u000a\",\"kind\":5," TIMES
      "\"attributes\":[{\"key\":\"n\",\"value\":{\"intValue\":\"-9223372036854775808\"}}],\"status\":{}}" },
};

static const struct {
    const char *answer;
    int64_t rejected; /* 0: it took all */
    const char *why;
} answers[] = {
    { "{}", 0, "" },
    { "", 0, "" },
    { "<html>", 0, "" },
    { "[]", 0, "" },
    { "{\"partialSuccess\":{}}", 0, "" },
    { "{\"partialSuccess\":null}", 0, "" },
    { "{\"partialSuccess\":{\"rejectedSpans\":\"0\",\"errorMessage\":\"a hint\"}}", 0, "" },
    { "{\"partialSuccess\":{\"rejectedSpans\":\"3\",\"errorMessage\":\"too old\"}}", 3, "too old" },
    { "{\"partialSuccess\":{\"rejectedSpans\":2}}", 2, "" },
    { "{\"partialSuccess\":{\"rejectedSpans\":\"-1\"}}", 0, "" },
    { "{\"partialSuccess\":{\"rejectedSpans\":-1}}", 0, "" },
    { "{\"partialSuccess\":{\"rejectedSpans\":\"many\"}}", 0, "" },
};
/* clang-format on */

START_TEST(a_span_is_written_to_the_letter)
{
    static struct span_settings settings = { .resource_count = 1,
                                             .resource = { { "service.name", "order-svc" } } };
    struct span_queue *queue = span_queue_open(2);
    struct span span = { .start_us = 1700000000000001 };
    struct json_writer json = { 0 };
    char text[4096];

    strcpy(span.parent_id, spans[_i].parent_id);
    for (int i = 0; i < 2; i++)
        ck_assert(span_queue_put(queue, &span, "00-" TRACE "-00f067aa0ba902b7-01", 1700000000000003,
                                 &spans[_i].note));
    span_json_open(&json, &settings);
    for (int i = 0; i < 2; i++) {
        span_json_put(&json, span_queue_first(queue));
        span_queue_took(queue);
    }
    span_json_close(&json);
    snprintf(text, sizeof text, HEAD "%s,%s" TAIL, spans[_i].json, spans[_i].json);
    ck_assert_str_eq(json.text, text);
    json_writer_free(&json);
    span_queue_close(queue);
}
END_TEST

START_TEST(an_answer_is_read)
{
    char why[8] = "";
    int64_t count = 0;
    bool is_partial =
        span_json_rejected(answers[_i].answer, strlen(answers[_i].answer), &count, why, sizeof why);

    ck_assert_msg(is_partial == (answers[_i].rejected > 0), "%s", answers[_i].answer);
    ck_assert_int_eq(count, answers[_i].rejected);
    ck_assert_str_eq(why, answers[_i].why);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("json");

    tcase_add_loop_test(cases, a_span_is_written_to_the_letter, 0, ROWS(spans));
    tcase_add_loop_test(cases, an_answer_is_read, 0, ROWS(answers));
    return check_run("observe_span_json", cases);
}
