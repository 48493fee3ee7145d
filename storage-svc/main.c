/* storage-svc -- What there is to sell, and holds on it.
 *
 *   storage_rpc.c    requests as callers see them: the table of methods
 *   storage.c        the rules: Reserve, Confirm, Release, Extend, expiry
 *   storage_store.c  the tables, all SQL
 *   schema/          what must hold always
 */
#include "mesh/audit.h"
#include "mesh/service.h"
#include "storage-svc/storage.h"

#include "sagamesh/storage/v1/storage_service.pb-c.h"

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
        .schema = schema_steps,
        .descriptor = &sagamesh__storage__v1__storage_service__descriptor,
        .inner = &sagamesh__storage__v1__storage_saga_service__descriptor,
        .methods = storage_methods,
        .batch = &storage_service,
        .reads = storage_reads,
        .statements = storage_statements,
        .tasks = storage_tasks,
        .partitions = partitions,
        .check = &check,
    };

    return service_main(argc, argv, &spec);
}
