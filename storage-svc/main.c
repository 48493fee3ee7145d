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
#include "storage-svc/storage.h"
#include "storage-svc/storage_sweep.h"

#include "sagamesh/storage/v1/storage_service.pb-c.h"

static const struct service_task tasks[] = {
    { .name = "expire-holds", .period_us = SECOND_US / 2, .run = storage_sweep_run },
    { 0 },
};

static const struct partitions partitions[] = {
    { .table = "op", .fill = 100, .open = "false" },
    { .table = "hold", .fill = 80, .open = "state = 1" },
    { 0 },
};

static const struct pg_statement check = AUDIT_STATEMENT("stock_check", "stock_check()");

int
main(int argc, char **argv)
{
    const struct service_spec spec = {
        .name = "storage-svc",
        .usage = "storage-svc: products and holds over gRPC (sagamesh.storage.v1.StorageService)",
        .descriptor = &sagamesh__storage__v1__storage_service__descriptor,
        .methods = storage_methods,
        .batch = &storage_service,
        .reads = storage_reads,
        .statements = storage_statements,
        .tasks = tasks,
        .partitions = partitions,
        .check = &check,
    };

    return service_main(argc, argv, &spec);
}
