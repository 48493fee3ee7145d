/* storage-svc -- What there is to sell, and holds on it.
 *
 *   storage_rpc.c    requests as callers see them: the table of methods
 *   storage.c        the rules: Reserve, Confirm, Release, Extend, expiry
 *   storage_store.c  the tables, all SQL
 *   storage_sweep.c  ends holds whose time is over
 *   schema.sql       what must hold always
 */
#include "mesh/audit.h"
#include "mesh/base/clock.h"
#include "mesh/service.h"
#include "storage-svc/storage.h"
#include "storage-svc/storage_sweep.h"

#include "sagamesh/storage/v1/storage_service.pb-c.h"

static const struct keeper_task tasks[] = {
    { .name = "expire-holds", .period_us = SECOND_US / 2, .run = storage_sweep_run },
    { 0 },
};

static const struct partitions partitions[] = {
    { .table = "op", .fill = 100, .open = "false" },
    { .table = "hold", .fill = 80, .open = "state = 1" },
    { 0 },
};

static const struct pg_statement check = AUDIT_STATEMENT("stock_check", "stock_check()");

/* The sweep's ops go through the batch, as those of callers do. */
static enum error
start(void *owner, struct service *service)
{
    ((struct storage_sweep *)owner)->batch = service_batch(service);
    return ERR_OK;
}

int
main(int argc, char **argv)
{
    struct storage_sweep sweep = { 0 };
    const struct service_spec spec = {
        .name = "storage-svc",
        .usage = "storage-svc: products and holds over gRPC (sagamesh.storage.v1.StorageService)",
        .owner = &sweep,
        .has_database = true,
        .descriptor = &sagamesh__storage__v1__storage_service__descriptor,
        .methods = storage_methods,
        .batch = &storage_service,
        .reads = storage_reads,
        .statements = storage_statements,
        .tasks = tasks,
        .partitions = partitions,
        .check = &check,
        .start = start,
    };

    return service_main(argc, argv, &spec);
}
