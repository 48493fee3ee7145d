/* A program over HTTP that is made of mesh/ alone: a table of its own behind a gate, /livez, /readyz and
 * /metrics; what strangers are told there, and what is counted. */
#include "mesh/base/current.h"
#include "mesh/base/log.h"
#include "mesh/http/auth.h"
#include "mesh/http/health.h"
#include "mesh/http/level.h"
#include "mesh/http/metrics.h"
#include "mesh/http/read.h"
#include "mesh/observe/metrics.h"
#include "tests/support/check.h"
#include "tests/support/http/http_harness.h"

#include <cjose/cjose.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define K "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define KEY "{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"" K "\"}"
#define SET "{\"keys\":[" KEY "]}"

static struct auth_gate gate;
static struct current *auths;
static struct metrics *metrics;
static struct health *health;
static atomic_bool is_clock_fit, is_peer_up, is_sure, is_kafka_there; /* the loop looks at them */

static bool
look(void *owner)
{
    return atomic_load((atomic_bool *)owner);
}

/* ---- the program ------------------------------------------------------------------------------ */

struct wish {
    const char *name;
};

/* clang-format off */
static const struct body_field wish_fields[] = {
    { "name", BODY_TEXT, true, offsetof(struct wish, name), .fields = NULL },
    { 0 },
};
/* clang-format on */

static void
answer_name(struct http_exchange *exchange, const char *name)
{
    static const char *const tag[] = { "ETag: \"v1\"", NULL };
    struct json_writer json = { 0 };

    json_open_object(&json, NULL);
    json_put_text(&json, "name", name);
    json_close_object(&json);
    http_answer_json(exchange, 200, &json, tag);
}

static void
handle_wish(struct http_exchange *exchange)
{
    struct wish wish = { 0 };

    if (http_read_key(exchange) != NULL && http_read_body(exchange, wish_fields, &wish))
        answer_name(exchange, wish.name);
}

static void
handle_who(struct http_exchange *exchange)
{
    static const char *const names[] = { "pageSize", NULL };
    const struct principal *principal = exchange->admitted;
    int32_t size;

    if (http_check_query(exchange, names) && http_read_page_size(exchange, &size))
        answer_name(exchange,
                    size > 0 ? arena_print(exchange->arena, "%d", size) : principal->customer_id);
}

static void
handle_cancel(struct http_exchange *exchange)
{
    if (http_ignore_body(exchange))
        answer_name(exchange, "");
}

/* clang-format off */
static const struct http_route own_routes[] = {
    { .method = "POST", .path = "/wishes",             .handler = handle_wish, .body_bytes_max = 4096, .content_type = "application/json" },
    { .method = "GET",  .path = "/who",                .handler = handle_who },
    { .method = "POST", .path = "/wishes/{id}/cancel", .handler = handle_cancel, .body_bytes_max = 64 },
    { 0 },
};
/* clang-format on */

static void
set_up(void)
{
    struct auth *auth;
    struct problem problem;

    is_clock_fit = is_peer_up = is_sure = is_kafka_there = true;
    ck_assert_int_eq(auth_open(SET, strlen(SET), &problem, &auth), ERR_OK);
    auths = current_new(auth_free_value);
    current_set(auths, auth);
    gate = (struct auth_gate){ auths, look, &is_sure };
    metrics = metrics_new();
    health = health_new();
    health_add(health,
               &(struct health_condition){
                   .name = "clock", .bad = "wrong", .holds = look, .owner = &is_clock_fit });
    health_add(health, &(struct health_condition){ .name = "kafka",
                                                   .bad = "away",
                                                   .holds = look,
                                                   .owner = &is_kafka_there,
                                                   .is_beside = true });
    health_add(health, &(struct health_condition){ .group = "services",
                                                   .name = "order",
                                                   .good = "SERVING",
                                                   .bad = "NOT_SERVING",
                                                   .holds = look,
                                                   .owner = &is_peer_up });
    {
        const struct http_table tables[] = { { .routes = own_routes,
                                               .gate = { auth_admit, &gate } },
                                             { .routes = health_routes, .owner = health },
                                             { .routes = metrics_routes, .owner = metrics },
                                             { .routes = level_routes },
                                             { 0 } };
        const struct http_server_options options = { .listen = "127.0.0.1:0",
                                                     .tables = tables,
                                                     .metrics = metrics,
                                                     .name = "api",
                                                     .has_gzip = true };

        ck_assert_int_eq(http_server_open(&options, &server), ERR_OK);
    }
}

static void
tear_down(void)
{
    server = http_server_close(server);
    health = health_free(health);
    metrics = metrics_free(metrics);
    auths = current_free(auths);
}

/* ---- a stranger ------------------------------------------------------------------------------- */

/* The header line of a token that is good, or was good a day ago. */
static const char *
token(bool has_expired)
{
    static char line[1024];
    cjose_err error;
    cjose_jwk_t *key = cjose_jwk_import(KEY, strlen(KEY), &error);
    cjose_header_t *header = cjose_header_new(&error);
    cjose_jws_t *jws;
    const char *text;
    char claims[96];

    snprintf(claims, sizeof claims, "{\"sub\":\"ada\",\"exp\":%lld}",
             (long long)(clock_now_us() / SECOND_US + (has_expired ? -86400 : 86400)));
    cjose_header_set(header, CJOSE_HDR_ALG, "HS256", &error);
    jws = cjose_jws_sign(key, header, (const uint8_t *)claims, strlen(claims), &error);
    ck_assert_ptr_nonnull(jws);
    ck_assert(cjose_jws_export(jws, &text, &error));
    snprintf(line, sizeof line, "Authorization: Bearer %s\r\n", text);
    cjose_jws_release(jws);
    cjose_header_release(header);
    cjose_jwk_release(key);
    return line;
}

/* The whole answer. lines and body may be "". */
static const char *
ask(const char *method, const char *path, const char *lines, const char *body)
{
    static char text[TEXT_BYTES];
    char request[TEXT_BYTES];
    int fd = client_open();

    snprintf(request, sizeof request,
             "%s %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s",
             method, path, lines, strlen(body), body);
    client_say(fd, request);
    ck_assert_msg(client_hear_end(fd, text), "%s %s", method, path);
    close(fd);
    return text;
}

static const char *
ask_as_ada(const char *method, const char *path, const char *lines, const char *body)
{
    char all[2048];

    snprintf(all, sizeof all, "%s%s", token(false), lines);
    return ask(method, path, all, body);
}

static void
expect(const char *text, int status, const char *part)
{
    ck_assert_msg(atoi(text + strlen("HTTP/1.1 ")) == status, "%d is not in: %s", status, text);
    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" is not in: %s", part, text);
}

/* ---- tests ------------------------------------------------------------------------------------ */

START_TEST(health_says_why)
{
    expect(ask("GET", "/livez", "", ""), 200, "{\"status\":\"alive\"}");
    expect(ask("GET", "/readyz", "", ""), 503,
           "{\"status\":\"starting\",\"services\":{\"order\":\"SERVING\"}}");
    health_start(health);
    expect(ask("GET", "/readyz", "", ""), 200,
           "{\"status\":\"ready\",\"services\":{\"order\":\"SERVING\"}}");
    is_kafka_there = false;
    expect(ask("GET", "/readyz", "", ""), 200,
           "{\"status\":\"ready\",\"kafka\":\"away\",\"services\":{\"order\":\"SERVING\"}}");
    ck_assert(health_is_ready(health));
    is_kafka_there = true;
    is_clock_fit = false;
    expect(ask("GET", "/readyz", "", ""), 503,
           "{\"status\":\"not ready\",\"clock\":\"wrong\",\"services\":{\"order\":\"SERVING\"}}");
    is_peer_up = false;
    is_clock_fit = true;
    expect(ask("GET", "/readyz", "", ""), 503,
           "{\"status\":\"not ready\",\"services\":{\"order\":\"NOT_SERVING\"}}");
    expect(ask("GET", "/readyz", "", ""), 503, "Retry-After: 1\r\n");
    is_peer_up = true;
    health_stop(health);
    expect(ask("GET", "/readyz", "", ""), 503, "{\"status\":\"stopping\"}");
    expect(ask("GET", "/livez", "", ""), 200, "alive");
}
END_TEST

START_TEST(gate_asks_for_a_token)
{
    expect(ask("GET", "/who", "", ""), 401, "WWW-Authenticate: Bearer\r\n");
    expect(ask("GET", "/who", "", ""), 401, "a bearer token is required");
    expect(ask_as_ada("GET", "/who", "", ""), 200, "{\"name\":\"ada\"}");
    expect(ask("GET", "/who", token(true), ""), 401, "the token has expired");
}
END_TEST

/* A machine that does not know what time it is refuses nobody for the time. */
START_TEST(nobody_is_refused_by_an_unsure_time)
{
    is_sure = false;
    expect(ask("GET", "/who", token(true), ""), 503, "\"code\":\"UNAVAILABLE\"");
    expect(ask("GET", "/who", "", ""), 401, "a bearer token is required");
    expect(ask_as_ada("GET", "/who", "", ""), 200, "ada");
}
END_TEST

#define KEY_LINE "Idempotency-Key: 1\r\n"
#define JSON_LINE "Content-Type: application/json\r\n"

/* clang-format off */
static const struct {
    const char *method, *path, *lines, *body;
    int status;
    const char *part;
} requests[] = {
    { "POST", "/wishes",            KEY_LINE JSON_LINE, "{\"name\":\"x\"}", 200, "{\"name\":\"x\"}" },
    { "POST", "/wishes",            JSON_LINE,          "{\"name\":\"x\"}", 400, "\"code\":\"IDEMPOTENCY_KEY_MISSING\"" },
    { "POST", "/wishes",            "Idempotency-Key: \"\r\n" JSON_LINE, "{\"name\":\"x\"}", 400, "begins with a quote and does not end with one" },
    { "POST", "/wishes",            KEY_LINE JSON_LINE, "{\"nam\":\"x\"}",  400, "\"errors\":[{\"pointer\":\"/nam\"" },
    { "POST", "/wishes",            KEY_LINE JSON_LINE, "{",                400, "\"pointer\":\"\"" },
    { "POST", "/wishes",            KEY_LINE,           "{}",               415, "the body must be application/json" },
    { "GET",  "/who?pageSize=7",    "",                 "",                 200, "{\"name\":\"7\"}" },
    { "GET",  "/who?pageSize=0",    "",                 "",                 400, "the parameter pageSize must be 1 to 1000" },
    { "GET",  "/who?pageSize=1001", "",                 "",                 400, "the parameter pageSize must be 1 to 1000" },
    { "GET",  "/who?pageSize=7x",   "",                 "",                 400, "the parameter pageSize must be 1 to 1000" },
    { "GET",  "/who?pagesize=7",    "",                 "",                 400, "the parameter pagesize is not known here" },
    { "GET",  "/who?pageSize=",     "",                 "",                 400, "the parameter pageSize has no value" },
    { "GET",  "/who?pageSize=%zz",  "",                 "",                 400, "the parameter pageSize is not well escaped UTF-8" },
    { "GET",  "/who?pageSize=1&pageSize=1", "",         "",                 400, "the parameter pageSize is there twice" },
    { "POST", "/wishes/1/cancel",   "",                 "",                 200, "{\"name\":\"\"}" },
    { "POST", "/wishes/1/cancel",   "",                 "{\"a\":1}",        200, "{\"name\":\"\"}" },
    { "POST", "/wishes/1/cancel",   "",                 "[]",               400, "must be an object, or no body at all" },
    { "POST", "/wishes/1/cancel",   "",                 "\xff",             400, "\"pointer\":\"\"" },
};
/* clang-format on */

START_TEST(request_is_read_strictly)
{
    expect(
        ask_as_ada(requests[_i].method, requests[_i].path, requests[_i].lines, requests[_i].body),
        requests[_i].status, requests[_i].part);
}
END_TEST

/* clang-format off */
static const struct {
    const char *lines, *body;
    int status;
    const char *part;
} levels[] = {
    { JSON_LINE, "{\"level\":\"debug\"}",                      200, "{\"level\":\"debug\",\"usual\":\"debug\"}" },
    { JSON_LINE, "{\"level\":\"warn\",\"seconds\":86400}",     200, "{\"level\":\"warn\",\"usual\":\"info\",\"secondsLeft\":86400}" },
    { JSON_LINE, "{\"level\":\"warn\",\"seconds\":86401}",     400, "\"pointer\":\"/seconds\"" },
    { JSON_LINE, "{\"level\":\"warn\",\"seconds\":-1}",        400, "must be 1 to 86400" },
    { JSON_LINE, "{\"level\":\"warn\",\"seconds\":\"1\"}",     400, "\"pointer\":\"/seconds\"" },
    { JSON_LINE, "{\"level\":\"loud\"}",                       400, "must be debug, info, warn or error" },
    { JSON_LINE, "{\"seconds\":5}",                            400, "\"pointer\":\"/level\"" },
    { JSON_LINE, "{\"level\":\"warn\",\"for\":5}",             400, "\"pointer\":\"/for\"" },
    { JSON_LINE, "",                                           400, "\"code\":\"BAD_REQUEST\"" },
    { "",        "{\"level\":\"warn\"}",                       415, "the body must be application/json" },
};
/* clang-format on */

/* What is refused changes nothing. */
START_TEST(level_of_the_log_is_changed)
{
    log_open("test", LOG_INFO);
    expect(ask("PUT", "/log-level", levels[_i].lines, levels[_i].body), levels[_i].status,
           levels[_i].part);
    expect(ask("GET", "/log-level", "", ""), 200,
           levels[_i].status == 200 ? levels[_i].part : "{\"level\":\"info\",\"usual\":\"info\"}");
}
END_TEST

/* A strong tag is of one form only, so it is weak where the answer is coded. */
START_TEST(large_json_is_coded_for_those_who_take_it)
{
    char body[2048];
    const char *text;

    snprintf(body, sizeof body, "{\"name\":\"%01500d\"}", 0);
    text = ask_as_ada("POST", "/wishes", KEY_LINE JSON_LINE "Accept-Encoding: gzip\r\n", body);
    expect(text, 200, "Content-Encoding: gzip\r\n");
    expect(text, 200, "ETag: W/\"v1\"\r\n");
    expect(text, 200, "Vary: Accept-Encoding\r\n");
    text = ask_as_ada("POST", "/wishes", KEY_LINE JSON_LINE, body);
    ck_assert_ptr_null(strstr(text, "Content-Encoding"));
    expect(text, 200, "ETag: \"v1\"\r\n");
    expect(text, 200, "Vary: Accept-Encoding\r\n");
    text = ask_as_ada("GET", "/who", "Accept-Encoding: gzip\r\n", "");
    ck_assert_ptr_null(strstr(text, "Content-Encoding"));
}
END_TEST

START_TEST(answers_are_counted)
{
    const char *text;

    ask_as_ada("GET", "/who", "", "");
    ask_as_ada("GET", "/who", "", "");
    ask_as_ada("GET", "/who?x=1", "", "");
    ask("GET", "/who", "", "");
    ask("GET", "/nowhere", "", "");
    text = ask("GET", "/metrics", "", "");
    expect(text, 200, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    expect(text, 200, "\r\nVary: Accept\r\n");
    ck_assert_ptr_null(strstr(text, "# EOF"));
    expect(text, 200,
           "sagamesh_http_answers_total{method=\"GET\",route=\"/who\",status=\"200\"} 2\n");
    expect(text, 200,
           "sagamesh_http_answers_total{method=\"GET\",route=\"/who\",status=\"400\"} 1\n");
    expect(text, 200, "sagamesh_http_own_answers_total{port=\"api\",status=\"401\"} 1\n");
    expect(text, 200, "sagamesh_http_own_answers_total{port=\"api\",status=\"404\"} 1\n");
    expect(text, 200, "sagamesh_http_requests_total{port=\"api\"} 6\n");
    expect(text, 200, "sagamesh_http_refused_total{port=\"api\"} 2\n");
    expect(text, 200,
           "http_server_request_duration_seconds_count{method=\"GET\",route=\"/who\"} 3\n");
    expect(text, 200,
           "http_server_request_duration_seconds_count{method=\"GET\",route=\"/readyz\"} 0\n");
}
END_TEST

/* As Prometheus asks; what it gets ends with the mark. */
START_TEST(metrics_come_in_the_format_that_is_wanted)
{
    const char *text =
        ask("GET", "/metrics",
            "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n",
            "");

    expect(text, 200,
           "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n");
    ck_assert_str_eq(text + strlen(text) - 6, "# EOF\n");
    expect(ask("GET", "/metrics", "Accept: */*\r\n", ""), 200,
           "Content-Type: text/plain; version=0.0.4;");
}
END_TEST

START_TEST(tables_that_do_not_fit_end_the_start)
{
    const struct http_table twice[] = { { .routes = own_routes }, { .routes = own_routes }, { 0 } };
    const struct http_server_options options = { .listen = "127.0.0.1:0", .tables = twice };
    struct http_server *other = NULL;
    int null = open("/dev/null", O_RDONLY);

    ck_assert_int_ge(dup2(null, STDIN_FILENO), 0);
    ck_assert_int_eq(http_server_open(&options, &other), ERR_BAD_REQUEST);
    ck_assert_ptr_null(other);
    ck_assert_int_ge(fcntl(STDIN_FILENO, F_GETFD), 0); /* what is not the server's stays open */
    if (null != STDIN_FILENO)
        close(null);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("all");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, health_says_why);
    tcase_add_test(tests, gate_asks_for_a_token);
    tcase_add_test(tests, nobody_is_refused_by_an_unsure_time);
    tcase_add_loop_test(tests, request_is_read_strictly, 0, ROWS(requests));
    tcase_add_loop_test(tests, level_of_the_log_is_changed, 0, ROWS(levels));
    tcase_add_test(tests, large_json_is_coded_for_those_who_take_it);
    tcase_add_test(tests, answers_are_counted);
    tcase_add_test(tests, metrics_come_in_the_format_that_is_wanted);
    tcase_add_test(tests, tables_that_do_not_fit_end_the_start);
    return check_run("http_program", tests);
}
