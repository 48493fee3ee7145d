/* Two storage services in one process, each with a database of its own; then two with one database. */
#include "mesh/observe/metrics.h"
#include "mesh/rpc/post.h"
#include "mesh/service.h"
#include "tests/support/check.h"
#include "tests/support/metrics_text.h"
#include "tests/support/storage/storage_fixture.h"

#include <stdatomic.h>
#include <unistd.h>

enum { INSTANCES = 2, TIMEOUT_SECONDS = 30 };

/* An instance, and what its callbacks count. */
struct shop {
    struct service *service;
    struct rpc_client *client;
    atomic_int runs, stopped;
    struct ops ops;
};

static struct pg_fixture fixtures[INSTANCES];
static struct shop shops[INSTANCES];

/* ---- the service, as storage-svc/main.c puts it together ---- */

static enum error
run_count(void *owner, struct pg *database, struct arena *arena)
{
    (void)database;
    (void)arena;
    atomic_fetch_add(&((struct shop *)owner)->runs, 1);
    return ERR_OK;
}

static void
stop(void *owner)
{
    atomic_fetch_add(&((struct shop *)owner)->stopped, 1);
}

static struct keeper_task tasks[] = {
    { 0 }, /* its own: see main() */
    { .name = "count", .period_us = SECOND_US / 100, .run = run_count, .has_own_thread = true },
    { 0 },
};
static const struct partitions partitions[] = {
    { .table = "op", .fill = 100, .open = "false" },
    { .table = "hold", .fill = 80, .open = "state = 1" },
    { 0 },
};

static void
open_shop(struct shop *shop, struct service_spec *spec, const char *conninfo)
{
    const struct service_settings settings = { .listen = "127.0.0.1:0",
                                               .peers = "",
                                               .database = conninfo,
                                               .kafka = "",
                                               .calls_max = 64,
                                               .queue_max = 64,
                                               .batch_max = 16,
                                               .parked_max = 16 };
    struct rpc_client_options client = { .is_mesh = true, .waiting_max = 16, .envelopes_max = 1 };
    char address[32];

    *shop = (struct shop){ 0 };
    *spec = (struct service_spec){
        .name = "storage-svc",
        .usage = "storage-svc: is tested",
        .owner = shop,
        .descriptor = &sagamesh__storage__v1__storage_service__descriptor,
        .inner = &sagamesh__storage__v1__storage_saga_service__descriptor,
        .methods = storage_methods,
        .batch = &storage_service,
        .reads = storage_reads,
        .statements = storage_statements,
        .tasks = tasks,
        .partitions = partitions,
        .stop = stop,
    };
    shop->ops.metrics = metrics_new();
    ck_assert_int_eq(service_open(spec, &settings, &shop->ops, &shop->service), ERR_OK);
    snprintf(address, sizeof address, "127.0.0.1:%d", service_port(shop->service));
    client.target = address;
    ck_assert_int_eq(rpc_client_open(&client, &shop->client), ERR_OK);
}

static void
close_shop(struct shop *shop)
{
    shop->client = rpc_client_close(shop->client);
    shop->service = service_close(shop->service, 1000);
    shop->ops.metrics = metrics_free(shop->ops.metrics);
    ck_assert_int_eq(shop->stopped, 1);
}

/* ---- its callers ---- */

static struct rpc_result
call(struct shop *shop, const char *method, const ProtobufCMessage *message)
{
    const struct rpc_post post = { .method = method,
                                   .message = message,
                                   .timeout_us = patient_us(TIMEOUT_SECONDS * SECOND_US),
                                   .attempts_max = 1 };
    struct arena *arena = arena_new();
    struct rpc_result result;

    rpc_ask(shop->client, &post, 1, arena, &result);
    arena_free(arena);
    return result;
}

static void
put(struct shop *shop, const char *sku)
{
    STORAGE(PutProductRequest) request = STORAGE_INIT(PUT_PRODUCT_REQUEST);
    char id[UUID_TEXT_BYTES + 1];
    struct rpc_result result;

    request.request_id = uuid_print(new_id(), id);
    request.sku = (char *)(uintptr_t)sku;
    request.unit_price_minor = 500;
    request.currency = (char *)(uintptr_t) "JPY";
    result = call(shop, "sagamesh.storage.v1.StorageService/PutProduct", &request.base);
    ck_assert_msg(result.code == WIRE_OK, "%s", result.message);
}

static void
expect_product(struct shop *shop, const char *sku, bool is_there)
{
    STORAGE(GetProductRequest) request = STORAGE_INIT(GET_PRODUCT_REQUEST);
    struct rpc_result result;

    request.sku = (char *)(uintptr_t)sku;
    result = call(shop, "sagamesh.storage.v1.StorageService/GetProduct", &request.base);
    ck_assert_str_eq(result.reason, is_there ? "" : "NOT_FOUND");
}

static bool
was_up(const struct shop *shop)
{
    return service_was_up(shop->service);
}

static bool
has_swept(const struct shop *shop)
{
    return atomic_load(&shop->runs) > 2 &&
           pg_fixture_int(service_database(shop->service),
                          "SELECT count(*) FROM sweep WHERE floor_us > 0") == 1;
}

#define PUTS                                                                                       \
    "rpc_server_call_duration_seconds_count{method=\"sagamesh.storage.v1.StorageService/"          \
    "PutProduct\",code=\"OK\"}"
#define RUNS "sagamesh_task_duration_seconds_count{task=\"count\"}"

START_TEST(two_with_a_database_each)
{
    struct service_spec specs[INSTANCES];
    int runs;

    for (size_t i = 0; i < INSTANCES; i++)
        open_shop(&shops[i], &specs[i], fixtures[i].conninfo);
    for (size_t i = 0; i < INSTANCES; i++)
        AWAIT(was_up(&shops[i]), TIMEOUT_SECONDS);
    put(&shops[0], "tea");
    put(&shops[1], "cup");
    for (size_t i = 0; i < INSTANCES; i++) {
        expect_product(&shops[i], "tea", i == 0);
        expect_product(&shops[i], "cup", i == 1);
        AWAIT(has_swept(&shops[i]), TIMEOUT_SECONDS);
    }
    put(&shops[1], "cup"); /* each counts its own */
    ck_assert(metric_shown(shops[0].ops.metrics, PUTS) == 1);
    ck_assert(metric_shown(shops[1].ops.metrics, PUTS) == 2);
    ck_assert(metric_shown(shops[0].ops.metrics, "sagamesh_database_connections{user=\"batch\"}") ==
              1);
    AWAIT(metric_shown(shops[0].ops.metrics, "sagamesh_partition_ahead_seconds{table=\"hold\"}") >
              0,
          TIMEOUT_SECONDS);
    AWAIT(metric_shown(shops[0].ops.metrics, RUNS) > 2, TIMEOUT_SECONDS);

    close_shop(&shops[0]);
    ck_assert_int_eq(shops[1].stopped, 0);
    runs = shops[0].runs;
    atomic_store(&shops[1].runs, 0);
    AWAIT(has_swept(&shops[1]), TIMEOUT_SECONDS);
    ck_assert_int_eq(shops[0].runs, runs);
    expect_product(&shops[1], "cup", true);
    close_shop(&shops[1]);
}
END_TEST

START_TEST(two_with_one_database)
{
    struct service_spec specs[INSTANCES];

    for (size_t i = 0; i < INSTANCES; i++)
        open_shop(&shops[i], &specs[i], fixtures[0].conninfo);
    for (size_t i = 0; i < INSTANCES; i++)
        AWAIT(was_up(&shops[i]), TIMEOUT_SECONDS);
    put(&shops[0], "pot");
    expect_product(&shops[1], "pot", true);
    for (size_t i = 0; i < INSTANCES; i++)
        AWAIT(has_swept(&shops[i]), TIMEOUT_SECONDS);
    for (size_t i = 0; i < INSTANCES; i++)
        close_shop(&shops[i]);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("instances");
    int status;

    tasks[0] = storage_tasks[0];
    pg_fixture_open(&fixtures[1], "storage_instances_too", "storage-svc/schema");
    tcase_add_test(cases, two_with_a_database_each);
    tcase_add_test(cases, two_with_one_database);
    status = pg_fixture_check(&fixtures[0], "storage_instances", "storage-svc/schema", cases);
    pg_fixture_close(&fixtures[1]);
    return status;
}
