/* test_rpc_target.c -- What an address flag may say, and what is said of one that may not. */
#include "mesh/base/arena.h"
#include "mesh/rpc/target.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_50 "a2345678901234567890123456789012345678901234567890"
#define NAME_253 LABEL_50 LABEL_50 LABEL_50 LABEL_50 LABEL_50 "abc"

/* clang-format off */
static const struct {
    const char *text;
    size_t count;
    const char *last; /* of the addresses */
    const char *name;
    int port;
} good[] = {
    { "127.0.0.1:7401",                   1, "127.0.0.1:7401",   "",           0 },
    { "localhost:1",                      1, "localhost:1",      "",           0 },
    { "order_svc.shop-1.svc:65535",       1, "order_svc.shop-1.svc:65535", "", 0 },
    { "[::1]:7401",                       1, "[::1]:7401",       "",           0 },
    { "[::ffff:127.0.0.1]:7401",          1, "[::ffff:127.0.0.1]:7401", "",    0 },
    { "a:1,b:2,[::1]:3",                  3, "[::1]:3",          "",           0 },
    { NAME_253 ":65535",                  1, NAME_253 ":65535",  "",           0 },
    { "dns:///order-svc:7401",            0, "",                 "order-svc",  7401 },
    { "dns:///order.shop.svc.cluster.local.:1", 0, "",           "order.shop.svc.cluster.local.", 1 },
};

static const struct {
    const char *text, *rule;
} bad[] = {
    { "",                    "'' must be host:port" },
    { "localhost",           "'localhost' must be host:port" },
    { ":7401",               "':7401' must be host:port" },
    { "a:0",                 "'a:0' must have a port from 1 to 65535" },
    { "a:65536",             "'a:65536' must have a port from 1 to 65535" },
    { "a:",                  "'a:' must have a port from 1 to 65535" },
    { "a:http",              "'a:http' must have a port from 1 to 65535" },
    { "::1:7401",            "'::1:7401' must have a name, an IPv4 address or an [IPv6 address] as its host" },
    { "[]:7401",             "'[]:7401' must have a name, an IPv4 address or an [IPv6 address] as its host" },
    { "[a.example]:1",       "'[a.example]:1' must have a name, an IPv4 address or an [IPv6 address] as its host" },
    { "a b:1",               "'a b:1' must have a name, an IPv4 address or an [IPv6 address] as its host" },
    { "http://a:1",          "'http://a:1' must have a name, an IPv4 address or an [IPv6 address] as its host" },
    { "a:1,",                "'' must be host:port" },
    { "a:1,,b:1",            "'' must be host:port" },
    { "a:1, b:1",            "' b:1' must have a name, an IPv4 address or an [IPv6 address] as its host" },
    { "a:1,b:1,a:1",         "must have 'a:1' once" },
    { NAME_253 "x:1",        "'a2345678901234567890123456789012345678901234567890a2345678901234' must have a host of 253 bytes at most" },
    { NAME_253 NAME_253 ":1", "must have a host of 253 bytes at most" },
    { "dns:///",             "'dns:///' must be host:port" },
    { "dns:///a",            "'dns:///a' must be host:port" },
    { "dns:///[::1]:1",      "'dns:///[::1]:1' must have a name to look up" },
    { "dns:///a:1,b:1",      "must be one dns:///name:port, without a list" },
    { "a:1,dns:///b:1",      "'dns:///b:1' must have a name, an IPv4 address or an [IPv6 address] as its host" },
    { "dns://8.8.8.8/a:1",   "'dns://8.8.8.8/a:1' must have a name, an IPv4 address or an [IPv6 address] as its host" },
};
/* clang-format on */

START_TEST(a_target_is_read)
{
    struct rpc_target *target = memory_take(sizeof *target);
    struct problem problem = { 0 };

    ck_assert_int_eq(rpc_target_parse("order", good[_i].text, target, &problem), ERR_OK);
    ck_assert_uint_eq(target->count, good[_i].count);
    if (good[_i].count > 0)
        ck_assert_str_eq(target->addresses[target->count - 1], good[_i].last);
    ck_assert_str_eq(target->name, good[_i].name);
    ck_assert_int_eq(target->port, good[_i].port);
    free(target);
}
END_TEST

START_TEST(a_bad_one_names_field_and_rule)
{
    struct rpc_target *target = memory_take(sizeof *target);
    struct problem problem = { 0 };

    ck_assert_int_eq(rpc_target_parse("order", bad[_i].text, target, &problem), ERR_BAD_REQUEST);
    ck_assert_str_eq(problem.field, "order");
    ck_assert_str_eq(problem.text, bad[_i].rule);
    free(target);
}
END_TEST

START_TEST(there_are_not_too_many)
{
    struct rpc_target *target = memory_take(sizeof *target);
    char text[(RPC_ENDPOINTS_MAX + 1) * 8] = "";
    struct problem problem = { 0 };
    size_t bytes = 0;

    for (int i = 0; i < RPC_ENDPOINTS_MAX; i++)
        bytes +=
            (size_t)snprintf(text + bytes, sizeof text - bytes, "%sa:%d", i > 0 ? "," : "", i + 1);
    ck_assert_int_eq(rpc_target_parse("order", text, target, &problem), ERR_OK);
    ck_assert_uint_eq(target->count, RPC_ENDPOINTS_MAX);
    strcat(text, ",b:1");
    ck_assert_int_eq(rpc_target_parse("order", text, target, &problem), ERR_BAD_REQUEST);
    ck_assert_str_eq(problem.text, "must have 64 addresses at most");
    free(target);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("targets");

    tcase_add_loop_test(cases, a_target_is_read, 0, ROWS(good));
    tcase_add_loop_test(cases, a_bad_one_names_field_and_rule, 0, ROWS(bad));
    tcase_add_test(cases, there_are_not_too_many);
    return check_run("rpc target", cases);
}
