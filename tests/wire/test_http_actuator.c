/* Health as Spring Boot shows it: the worst of all counts, and readiness is that of /readyz. */
#include "mesh/base/build.h"
#include "mesh/http/actuator.h"
#include "mesh/http/health.h"
#include "mesh/http/server.h"
#include "tests/support/check.h"
#include "tests/support/http/http_ask.h"

#include <string.h>

#define SPRING "application/vnd.spring-boot.actuator.v3+json"
#define UP "\":{\"status\":\"UP\"}"

static const struct build build = { "1.2.3", "c0ffee00c0ffee", "2026-11-30T16:00:00Z" };

static struct http_server *http;
static struct health *health;
static struct actuator *actuator;
static enum actuator_status order, storage, kafka;

static enum actuator_status
look(void *owner)
{
    return *(enum actuator_status *)owner;
}

static void
set_up(void)
{
    order = storage = kafka = ACTUATOR_UP;
    health = health_new();
    actuator = actuator_new("shop", &build, health);
    actuator_add(actuator, &(struct actuator_component){ "db", "storage", look, &storage });
    actuator_add(actuator, &(struct actuator_component){ NULL, "kafka", look, &kafka });
    actuator_add(actuator, &(struct actuator_component){ "db", "order", look, &order });
    {
        const struct http_table tables[] = { { .routes = actuator_routes, .owner = actuator },
                                             { 0 } };
        const struct http_server_options options = { .listen = "127.0.0.1:0", .tables = tables };

        ck_assert_int_eq(http_server_open(&options, &http), ERR_OK);
    }
}

static void
tear_down(void)
{
    http = http_server_close(http);
    actuator = actuator_free(actuator);
    health = health_free(health);
}

static void
expect(const char *path, const char *accept, const char *status, const char *type, const char *body)
{
    const char *answer = http_ask(http_server_port(http), path, accept);
    char line[128];

    ck_assert_int_eq(strncmp(answer + strlen("HTTP/1.1 "), status, 3), 0);
    snprintf(line, sizeof line, "\r\nContent-Type: %s\r\n", type);
    ck_assert_ptr_nonnull(strstr(answer, line));
    ck_assert_str_eq(strstr(answer, "\r\n\r\n") + 4, body);
}

START_TEST(all_components_are_shown)
{
    static const char all[] =
        "{\"status\":\"UP\",\"components\":{"
        "\"db\":{\"status\":\"UP\",\"components\":{\"order" UP ",\"storage" UP "}},"
        "\"kafka" UP ",\"livenessState" UP ",\"ping" UP ",\"readinessState" UP "},"
        "\"groups\":[\"liveness\",\"readiness\"]}";

    health_start(health);
    expect("/actuator/health", "", "200", SPRING, all);
    expect("/actuator/health", "Accept: */*\r\n", "200", SPRING, all);
    expect("/actuator/health", "Accept: application/json\r\n", "200", "application/json", all);
    expect("/actuator/health", "Accept: " SPRING ", application/json;q=0.5\r\n", "200", SPRING,
           all);
    expect("/actuator/health/liveness", "", "200", SPRING,
           "{\"status\":\"UP\",\"components\":{\"livenessState" UP "}}");
    expect("/actuator/health/readiness", "", "200", SPRING,
           "{\"status\":\"UP\",\"components\":{\"readinessState" UP "}}");
}
END_TEST

static const struct {
    enum actuator_status order, storage, kafka;
    bool is_ready;
    const char *http, *begins;
} wholes[] = {
    { ACTUATOR_UP, ACTUATOR_UP, ACTUATOR_UP, true, "200",
      "{\"status\":\"UP\",\"components\":{\"db\":{\"status\":\"UP\"," },
    { ACTUATOR_UNKNOWN, ACTUATOR_UNKNOWN, ACTUATOR_UP, true, "200",
      "{\"status\":\"UP\",\"components\":{\"db\":{\"status\":\"UNKNOWN\"," },
    { ACTUATOR_UNKNOWN, ACTUATOR_DOWN, ACTUATOR_UP, true, "503",
      "{\"status\":\"DOWN\",\"components\":{\"db\":{\"status\":\"DOWN\"," },
    { ACTUATOR_UP, ACTUATOR_UP, ACTUATOR_DOWN, true, "503",
      "{\"status\":\"DOWN\",\"components\":{\"db\":{\"status\":\"UP\"," },
    { ACTUATOR_UP, ACTUATOR_UP, ACTUATOR_UP, false, "503",
      "{\"status\":\"OUT_OF_SERVICE\",\"components\":{\"db\":{\"status\":\"UP\"," },
    { ACTUATOR_DOWN, ACTUATOR_UP, ACTUATOR_UP, false, "503",
      "{\"status\":\"DOWN\",\"components\":{\"db\":{\"status\":\"DOWN\"," },
};

START_TEST(the_worst_counts)
{
    const char *answer;

    order = wholes[_i].order;
    storage = wholes[_i].storage;
    kafka = wholes[_i].kafka;
    if (wholes[_i].is_ready)
        health_start(health);
    answer = http_ask(http_server_port(http), "/actuator/health", "");
    ck_assert_int_eq(strncmp(answer + strlen("HTTP/1.1 "), wholes[_i].http, 3), 0);
    answer = strstr(answer, "\r\n\r\n") + 4;
    ck_assert_int_eq(strncmp(answer, wholes[_i].begins, strlen(wholes[_i].begins)), 0);
}
END_TEST

/* What is no condition of /readyz keeps no request away. */
START_TEST(readiness_is_its_own)
{
    kafka = ACTUATOR_DOWN;
    expect("/actuator/health/readiness", "", "503", SPRING,
           "{\"status\":\"OUT_OF_SERVICE\",\"components\":{\"readinessState\":{\"status\":\"OUT_OF_"
           "SERVICE\"}}}");
    health_start(health);
    expect("/actuator/health/readiness", "", "200", SPRING,
           "{\"status\":\"UP\",\"components\":{\"readinessState" UP "}}");
    health_stop(health);
    expect("/actuator/health/readiness", "", "503", SPRING,
           "{\"status\":\"OUT_OF_SERVICE\",\"components\":{\"readinessState\":{\"status\":\"OUT_OF_"
           "SERVICE\"}}}");
    expect("/actuator/health/liveness", "", "200", SPRING,
           "{\"status\":\"UP\",\"components\":{\"livenessState" UP "}}");
}
END_TEST

START_TEST(the_build_is_shown)
{
    expect("/actuator/info", "Accept: application/json\r\n", "200", "application/json",
           "{\"build\":{\"artifact\":\"shop\",\"group\":\"sagamesh\",\"name\":\"shop\","
           "\"time\":\"2026-11-30T16:00:00Z\",\"version\":\"1.2.3\"},"
           "\"git\":{\"commit\":{\"id\":\"c0ffee0\",\"time\":\"2026-11-30T16:00:00Z\"}}}");
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("actuator");

    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, all_components_are_shown);
    tcase_add_loop_test(cases, the_worst_counts, 0, ROWS(wholes));
    tcase_add_test(cases, readiness_is_its_own);
    tcase_add_test(cases, the_build_is_shown);
    return check_run("http_actuator", cases);
}
