/* Errors as RFC 9457 has them. */
#include "mesh/http/problem.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

#define TRACE "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"

/* clang-format off */
static const struct {
    const char *what;
    struct http_problem problem;
    const char *traceparent, *text;
} problems[] = {
    { "all of it",  { .status = 400, .code = "BAD", .detail = "must be \"x\"", .pointer = "/a/0" }, TRACE,
      "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"detail\":\"a[0] must be \\\"x\\\"\",\"code\":\"BAD\","
      "\"trace_id\":\"0123456789abcdef0123456789abcdef\",\"errors\":[{\"pointer\":\"/a/0\",\"detail\":\"must be \\\"x\\\"\"}]" },
    { "a long way",   { .status = 400, .code = "BAD", .detail = "is", .pointer = "/a~1b/10/c~0/0/2x" }, "",
      "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"detail\":\"a/b[10].c~[0].2x is\",\"code\":\"BAD\","
      "\"errors\":[{\"pointer\":\"/a~1b/10/c~0/0/2x\",\"detail\":\"is\"}]" },
    { "no rule of a member", { .status = 403, .code = "NOT_YOURS", .detail = "no", .pointer = "/a" }, "",
      "{\"type\":\"about:blank\",\"title\":\"Forbidden\",\"status\":403,\"detail\":\"no\",\"code\":\"NOT_YOURS\","
      "\"errors\":[{\"pointer\":\"/a\",\"detail\":\"no\"}]" },
    { "no code",    { .status = 404, .code = NULL, .detail = "no", .pointer = NULL }, NULL,
      "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\"detail\":\"no\",\"code\":\"NOT_FOUND\"" },
    { "no trace",   { .status = 503, .code = "BUSY", .detail = "later", .pointer = NULL }, "",
      "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"later\",\"code\":\"BUSY\"" },
    { "the whole body", { .status = 400, .code = "BAD", .detail = "is none", .pointer = "" }, "",
      "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"detail\":\"the body is none\",\"code\":\"BAD\","
      "\"errors\":[{\"pointer\":\"\",\"detail\":\"is none\"}]" },
};
/* clang-format on */

START_TEST(problem_is_written)
{
    struct json_writer json = { 0 };

    http_problem_open(&json, &problems[_i].problem, problems[_i].traceparent);
    ck_assert_str_eq(json.text, problems[_i].text);
    json_put_text(&json, "mine", "too");
    json_close_object(&json);
    ck_assert_ptr_nonnull(strstr(json.text, ",\"mine\":\"too\"}"));
    json_writer_free(&json);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("all");

    tcase_add_loop_test(tests, problem_is_written, 0, ROWS(problems));
    return check_run("http_problem", tests);
}
