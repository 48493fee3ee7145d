/* Services without a database, several in one process: each has its own port, calls, owner and health. */
#include "mesh/base/clock.h"
#include "mesh/observe/metrics.h"
#include "mesh/rpc/post.h"
#include "mesh/service.h"
#include "tests/support/check.h"
#include "tests/support/metrics_text.h"

#include <sagamesh/audit/v1/audit_service.pb-c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { INSTANCES = 2, TIMEOUT_SECONDS = 20 };

/* A service's owner: says its name to callers. */
struct teller {
    const char *name;
    atomic_int calls, asked_ready, started, drained, stopped;
    atomic_bool is_ready;
};

static struct teller tellers[INSTANCES];
static struct service *services[INSTANCES];
static struct ops shown[INSTANCES];

/* ---- the tiny service: one method, which Check's messages fit ---- */

struct tell {
    struct op op;
    const char *answer;
};

static enum error
tell_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    (void)message;
    (void)arena;
    ((struct tell *)op)->answer = ((struct teller *)((struct op *)op)->owner)->name;
    return ERR_OK;
}

static ProtobufCMessage *
tell_encode(const void *op, struct arena *arena)
{
    Sagamesh__Audit__V1__CheckResponse *response = arena_take(arena, sizeof *response);

    sagamesh__audit__v1__check_response__init(response);
    response->problem = (char *)(uintptr_t)((const struct tell *)op)->answer;
    return &response->base;
}

static const struct method methods[] = {
    { .name = "Check",
      .op_bytes = sizeof(struct tell),
      .decode = tell_decode,
      .encode = tell_encode },
    { 0 },
};

static void
submit(void *owner, struct call *call)
{
    struct teller *teller = owner;

    atomic_fetch_add(&teller->calls, 1);
    call->finish(call);
}

static bool
is_ready(void *owner)
{
    struct teller *teller = owner;

    atomic_fetch_add(&teller->asked_ready, 1);
    return atomic_load(&teller->is_ready);
}

static enum error
start(void *owner, struct service *service)
{
    ck_assert_ptr_nonnull(service);
    atomic_fetch_add(&((struct teller *)owner)->started, 1);
    return ERR_OK;
}

static void
drain(void *owner)
{
    atomic_fetch_add(&((struct teller *)owner)->drained, 1);
}

static void
stop(void *owner)
{
    atomic_fetch_add(&((struct teller *)owner)->stopped, 1);
}

static struct service_spec
spec_of(struct teller *teller)
{
    return (struct service_spec){
        .name = "teller",
        .usage = "teller: tells its name",
        .owner = teller,
        .descriptor = &sagamesh__audit__v1__audit_service__descriptor,
        .methods = methods,
        .submit = submit,
        .is_ready = is_ready,
        .start = start,
        .drain = drain,
        .stop = stop,
    };
}

/* ---- the tests ---- */

static bool
was_up(size_t i)
{
    return service_was_up(services[i]);
}

static bool
was_asked(size_t i)
{
    return atomic_load(&tellers[i].asked_ready) > 0;
}

static void
open_one(const struct service_spec *spec, size_t i)
{
    const struct service_settings settings = { .listen = "127.0.0.1:0",
                                               .peers = "",
                                               .calls_max = 16 };

    ck_assert_int_eq(service_open(spec, &settings, &shown[i], &services[i]), ERR_OK);
}

/* The name that answers at the port. */
static void
ask(int port, const char *expected)
{
    const struct rpc_post post = { .method = "sagamesh.audit.v1.AuditService/Check",
                                   .timeout_us = patient_us(TIMEOUT_SECONDS * SECOND_US),
                                   .attempts_max = 1 };
    struct rpc_client_options options = { .is_mesh = true, .waiting_max = 4, .envelopes_max = 1 };
    Sagamesh__Audit__V1__CheckResponse *response;
    struct arena *arena = arena_new();
    struct rpc_client *client;
    struct rpc_result result;
    char address[32];

    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    options.target = address;
    ck_assert_int_eq(rpc_client_open(&options, &client), ERR_OK);
    rpc_ask(client, &post, 1, arena, &result);
    ck_assert_msg(result.code == WIRE_OK, "%s", result.message);
    response = sagamesh__audit__v1__check_response__unpack(NULL, result.reply_bytes, result.reply);
    ck_assert_str_eq(response->problem, expected);
    sagamesh__audit__v1__check_response__free_unpacked(response, NULL);
    rpc_client_close(client);
    arena_free(arena);
}

#define CALLS                                                                                      \
    "rpc_server_call_duration_seconds_count{method=\"sagamesh.audit.v1.AuditService/Check\","      \
    "code=\"OK\"}"

START_TEST(two_live_in_one_process)
{
    struct service_spec specs[INSTANCES];
    int port;

    for (size_t i = 0; i < INSTANCES; i++) {
        tellers[i] = (struct teller){ .name = i == 0 ? "first" : "second", .is_ready = i == 0 };
        specs[i] = spec_of(&tellers[i]);
        shown[i].metrics = metrics_new();
        open_one(&specs[i], i);
    }
    ck_assert_int_ne(service_port(services[0]), service_port(services[1]));
    AWAIT(was_up(0), TIMEOUT_SECONDS);
    AWAIT(was_asked(1), TIMEOUT_SECONDS);
    ck_assert(!service_was_up(services[1])); /* it is not ready, whatever the other one is */
    atomic_store(&tellers[1].is_ready, true);
    AWAIT(was_up(1), TIMEOUT_SECONDS);
    for (int i = 0; i < 3; i++)
        ask(service_port(services[0]), "first");
    ask(service_port(services[1]), "second");
    ck_assert_int_eq(tellers[0].calls, 3);
    ck_assert_int_eq(tellers[1].calls, 1);
    ck_assert(metric_shown(shown[0].metrics, CALLS) == 3);
    ck_assert(metric_shown(shown[1].metrics, CALLS) == 1);

    port = service_port(services[1]);
    services[0] = service_close(services[0], 1000);
    ck_assert_int_eq(tellers[0].drained, 1);
    ck_assert_int_eq(tellers[0].stopped, 1);
    ck_assert_int_eq(tellers[1].drained + tellers[1].stopped, 0);
    ask(port, "second");
    services[1] = service_close(services[1], 1000);
    ck_assert_int_eq(tellers[1].stopped, 1);
    for (size_t i = 0; i < INSTANCES; i++)
        shown[i].metrics = metrics_free(shown[i].metrics);
}
END_TEST

START_TEST(what_cannot_open_leaves_nothing_behind)
{
    struct service_spec spec = spec_of(&tellers[0]), spec_too = spec_of(&tellers[1]);
    struct service_settings settings = { .peers = "", .calls_max = 16 };
    char address[32];

    tellers[0] = (struct teller){ .name = "first", .is_ready = true };
    tellers[1] = (struct teller){ .name = "second", .is_ready = true };
    open_one(&spec, 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", service_port(services[0]));
    settings.listen = address;
    ck_assert_int_eq(service_open(&spec_too, &settings, NULL, &services[1]), ERR_UNREACHABLE);
    ck_assert_ptr_null(services[1]);
    ck_assert_int_eq(tellers[1].started, 1);
    ck_assert_int_eq(tellers[1].stopped, 1);
    ck_assert_int_eq(tellers[1].drained, 0);
    ask(service_port(services[0]), "first");
    services[0] = service_close(services[0], 1000);
}
END_TEST

/* Without certificates callers have no identities: no call could ever be let. */
START_TEST(a_policy_needs_certificates)
{
    struct service_spec spec = spec_of(&tellers[0]);
    const struct service_settings settings = {
        .listen = "127.0.0.1:0", .peers = "", .calls_max = 16, .policy = "packaging/policy.json"
    };

    tellers[0] = (struct teller){ .name = "first", .is_ready = true };
    ck_assert_int_eq(service_open(&spec, &settings, NULL, &services[0]), ERR_BAD_REQUEST);
    ck_assert_ptr_null(services[0]);
    ck_assert_int_eq(tellers[0].started, 0);
}
END_TEST

START_TEST(without_grpc_it_has_no_port)
{
    struct service_spec spec = { .name = "quiet",
                                 .usage = "quiet: listens to nobody",
                                 .owner = &tellers[0],
                                 .is_ready = is_ready,
                                 .start = start,
                                 .stop = stop };

    tellers[0] = (struct teller){ .is_ready = true };
    open_one(&spec, 0);
    ck_assert_int_eq(service_port(services[0]), 0);
    AWAIT(was_up(0), TIMEOUT_SECONDS);
    services[0] = service_close(services[0], 1000);
    ck_assert_int_eq(tellers[0].started, 1);
    ck_assert_int_eq(tellers[0].stopped, 1);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("service");

    tcase_add_test(cases, two_live_in_one_process);
    tcase_add_test(cases, what_cannot_open_leaves_nothing_behind);
    tcase_add_test(cases, a_policy_needs_certificates);
    tcase_add_test(cases, without_grpc_it_has_no_port);
    return check_run("mesh_service", cases);
}
