/* test_rpc_resolve.c -- A name's addresses, by a name server that changes its mind, is late, knows nothing, or is gone; and a
 * client over the replicas that it names. */
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/rpc/resolve.h"
#include "tests/support/metrics_text.h"
#include "tests/support/rpc/dns_server.h"
#include "tests/support/rpc/replica.h"

#include <stdio.h>
#include <string.h>

enum { COUNT = 3 };

static struct dns_server dns;
static struct rpc_resolver *resolver;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char list[256]; /* what was found last; under lock, as told */
static int told;

static void
found(void *owner, const struct rpc_target *addresses)
{
    size_t bytes = 0;

    ck_assert_ptr_eq(owner, &dns);
    pthread_mutex_lock(&lock);
    told++;
    list[0] = '\0';
    for (size_t i = 0; i < addresses->count; i++)
        bytes += (size_t)snprintf(list + bytes, sizeof list - bytes, "%s%s", i > 0 ? " " : "",
                                  addresses->addresses[i]);
    pthread_mutex_unlock(&lock);
}

static bool
is_found(const char *expected)
{
    bool is_so;

    pthread_mutex_lock(&lock);
    is_so = told > 0 && strcmp(list, expected) == 0;
    pthread_mutex_unlock(&lock);
    return is_so;
}

static void
resolver_open(const char *name)
{
    const struct rpc_resolver_options options = {
        .name = name, .port = 7401, .servers = dns.address, .found = found, .owner = &dns
    };

    resolver = rpc_resolver_open(&options);
}

static void
open_dns(void)
{
    log_open("test", LOG_ERROR);
    dns_open(&dns, "10.0.0.1 10.0.0.2");
}

static void
close_all(void)
{
    resolver = rpc_resolver_close(resolver);
    dns_close(&dns);
}

/* One look-up more, begun and over after this; it asks twice where there is no answer. */
static void
look_again(void)
{
    for (int i = 0; i < 4; i++) {
        int asked = atomic_load(&dns.asked);

        AWAIT((rpc_resolver_hurry(resolver), atomic_load(&dns.asked) > asked), 20);
    }
}

START_TEST(all_addresses_are_found)
{
    dns_set(&dns, "10.0.0.2 fd00::7 10.0.0.1 10.0.0.2");
    resolver_open("orders.test.");
    AWAIT(is_found("10.0.0.1:7401 10.0.0.2:7401 [fd00::7]:7401"), 20);
}
END_TEST

START_TEST(it_changes_its_mind)
{
    resolver_open("orders.test.");
    AWAIT(is_found("10.0.0.1:7401 10.0.0.2:7401"), 20);
    dns_set(&dns, "10.0.0.2 10.0.0.1"); /* the same */
    look_again();
    ck_assert_int_eq(told, 1);
    dns_set(&dns, "10.0.0.3 10.0.0.2");
    rpc_resolver_hurry(resolver);
    AWAIT(is_found("10.0.0.2:7401 10.0.0.3:7401"), 20);
    dns_set(&dns, "10.0.0.9"); /* nobody hurries it: within 5 s */
    AWAIT(is_found("10.0.0.9:7401"), 20);
}
END_TEST

/* clang-format off */
static const struct {
    enum dns_manner manner;
    const char *addresses;
} ill[] = {
    { DNS_NO_SUCH_NAME, "10.0.0.7" },
    { DNS_SILENT,       "10.0.0.7" },
    { DNS_ANSWERS,      "" },
};
/* clang-format on */

START_TEST(the_last_good_list_stands)
{
    resolver_open("orders.test.");
    AWAIT(is_found("10.0.0.1:7401 10.0.0.2:7401"), 20);
    dns_set(&dns, ill[_i].addresses);
    atomic_store(&dns.manner, (int)ill[_i].manner);
    look_again();
    ck_assert(is_found("10.0.0.1:7401 10.0.0.2:7401"));
    ck_assert_int_eq(told, 1);
    dns_set(&dns, "10.0.0.3");
    atomic_store(&dns.manner, DNS_ANSWERS);
    AWAIT(is_found("10.0.0.3:7401"), 20);
}
END_TEST

START_TEST(it_is_told_that_there_is_none)
{
    atomic_store(&dns.manner, DNS_NO_SUCH_NAME);
    resolver_open("orders.test.");
    AWAIT(is_found(""), 20);
    atomic_store(&dns.manner, DNS_ANSWERS);
    AWAIT(is_found("10.0.0.1:7401 10.0.0.2:7401"), 20);
}
END_TEST

START_TEST(a_late_answer_is_one)
{
    atomic_store(&dns.late_ms, 150);
    resolver_open("orders.test.");
    AWAIT(is_found("10.0.0.1:7401 10.0.0.2:7401"), 20);
}
END_TEST

/* A look-up under way holds up neither those that hurry it nor its end. */
START_TEST(nobody_waits_for_it)
{
    int64_t began_us;

    atomic_store(&dns.manner, DNS_SILENT);
    resolver_open("orders.test.");
    AWAIT(atomic_load(&dns.asked) > 0, 20);
    began_us = clock_steady_us();
    for (int i = 0; i < 1000; i++)
        rpc_resolver_hurry(resolver);
    resolver = rpc_resolver_close(resolver);
    ck_assert_int_lt(clock_steady_us() - began_us, patient_us(SECOND_US / 2));
    ck_assert_int_eq(told, 0);
}
END_TEST

/* ---- a client over them ---- */

static struct replica replicas[COUNT];
static struct rpc_client *client;
static struct metrics *metrics;
static char target[64];

static void
open_replicas(void)
{
    open_dns();
    dns_set(&dns, "127.0.0.1 127.0.0.2");
    metrics = metrics_new();
    for (int i = 0; i < COUNT; i++) {
        if (i > 0)
            replicas[i].port = replicas[0].port; /* of another address: 127.0.0.2, 127.0.0.3 */
        replica_open(&replicas[i], i);
    }
    snprintf(target, sizeof target, "dns:///audit.test.:%d", replicas[0].port);
}

static void
client_open(void)
{
    struct rpc_client_options options = { .target = target,
                                          .name_servers = dns.address,
                                          .is_mesh = true,
                                          .metrics = metrics,
                                          .waiting_max = 64,
                                          .envelopes_max = 4 };

    ck_assert_int_eq(rpc_client_open(&options, &client), ERR_OK);
}

static void
close_replicas(void)
{
    client = rpc_client_close(client);
    for (int i = 0; i < COUNT; i++)
        replica_close(&replicas[i], 0);
    metrics = metrics_free(metrics);
    dns_close(&dns);
}

static double
shown(const char *name)
{
    char series[256];

    snprintf(series, sizeof series, "sagamesh_rpc_client_%s{peer=\"%s\"}", name, target);
    return metric_shown(metrics, series);
}

/* Who answers thirty keys: "yy-", the first two. */
static bool
who_answer(const char *expected)
{
    char who[] = "---";
    struct rpc_result result;

    for (int key = 1; key <= 30; key++) {
        int number = replica_ask(client, rpc_key(&key, sizeof key), 3, &result);

        ck_assert_msg(number >= 0, "%d %s", (int)result.code, result.message);
        who[number] = 'y';
    }
    return strcmp(who, expected) == 0;
}

START_TEST(replicas_come_and_go)
{
    client_open();
    ck_assert(who_answer("yy-")); /* the first call waits for the first look-up */
    ck_assert(shown("endpoints") == 2);
    dns_set(&dns, "127.0.0.3 127.0.0.2");
    AWAIT(who_answer("-yy"), 20);
    dns_set(&dns, "127.0.0.3");
    AWAIT(shown("endpoints") == 1, 20);
    ck_assert(who_answer("--y"));
}
END_TEST

/* One dies, and its name goes with it: it is looked up at once, and another takes its place. */
START_TEST(a_failure_makes_it_look)
{
    int64_t began_us;

    client_open();
    ck_assert(who_answer("yy-"));
    dns_set(&dns, "127.0.0.1 127.0.0.3");
    replica_close(&replicas[1], 0);
    began_us = clock_steady_us();
    AWAIT(who_answer("y-y"), 20);
    ck_assert_int_lt(clock_steady_us() - began_us, patient_us(3 * SECOND_US)); /* not each 5 s */
}
END_TEST

/* What is with a replica when its name goes is still answered by it. */
START_TEST(what_is_under_way_is_answered)
{
    struct rpc_posts posts = { .max = 10 };
    struct rpc_result result;

    dns_set(&dns, "127.0.0.1");
    client_open();
    atomic_store(&replicas[0].does_hold, true);
    ck_assert(rpc_post(client, &(struct rpc_post){ .method = "sagamesh.audit.v1.AuditService/Check",
                                                   .timeout_us = 60 * SECOND_US,
                                                   .attempts_max = 1,
                                                   .posts = &posts }));
    AWAIT(atomic_load(&replicas[0].asked) == 1, 20);
    dns_set(&dns, "127.0.0.2");
    AWAIT(replica_ask(client, 0, 1, &result) == 1, 20);
    ck_assert_uint_eq(atomic_load(&posts.under_way), 1);
    replica_release(&replicas[0]);
    AWAIT(atomic_load(&posts.under_way) == 0, 20);
    ck_assert(metric_shown(metrics,
                           "rpc_client_call_duration_seconds_count{method=\"sagamesh.audit.v1."
                           "AuditService/Check\",code=\"OK\"}") > 1);
}
END_TEST

START_TEST(a_name_that_is_not_there_is_said_at_once)
{
    struct rpc_result result;

    atomic_store(&dns.manner, DNS_NO_SUCH_NAME);
    client_open();
    ck_assert_int_eq(replica_ask(client, 0, 1, &result), -1);
    ck_assert_int_eq(result.code, WIRE_UNAVAILABLE);
    ck_assert_str_eq(result.reason, "UNREACHABLE");
    ck_assert(result.nothing_done);
    atomic_store(&dns.manner, DNS_ANSWERS);
    ck_assert_int_ge(replica_ask(client, 0, 100, &result), 0);
}
END_TEST

int
main(void)
{
    TCase *names = check_case("names"), *clients = check_case("clients");

    tcase_add_checked_fixture(names, open_dns, close_all);
    tcase_add_test(names, all_addresses_are_found);
    tcase_add_test(names, it_changes_its_mind);
    tcase_add_loop_test(names, the_last_good_list_stands, 0, ROWS(ill));
    tcase_add_test(names, it_is_told_that_there_is_none);
    tcase_add_test(names, a_late_answer_is_one);
    tcase_add_test(names, nobody_waits_for_it);
    tcase_add_checked_fixture(clients, open_replicas, close_replicas);
    tcase_add_test(clients, replicas_come_and_go);
    tcase_add_test(clients, a_failure_makes_it_look);
    tcase_add_test(clients, what_is_under_way_is_answered);
    tcase_add_test(clients, a_name_that_is_not_there_is_said_at_once);
    return check_run("rpc resolve", names, clients);
}
