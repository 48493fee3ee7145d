/* account-svc -- Who owns what, and the transfers between accounts.
 *
 *   ledger_rpc.c      requests as callers see them: the table of methods
 *   ledger.c          the rules: Transfer, TopUp, Charge, Refund
 *   ledger_chart.def  the chart of accounts
 *   ledger_store.c    the tables, all SQL
 *   schema.sql        what must hold always, and ledger_check(), which recomputes all balances
 */
#include "account-svc/ledger.h"
#include "mesh/service.h"

#include "sagamesh/ledger/v1/ledger_service.pb-c.h"

/* A charge of any age can be refunded, which is news of its own: events stay as long as transfers. */
static const struct service_partitions partitions[] = {
    { .table = "op", .fill = 100, .open = "false" },
    { .table = "event", .fill = 100, .open = NULL },
    { 0 },
};

static const struct relay_route routes[] = {
    { "payment", "payment-status-observed", "orderId" },
    { 0 },
};

int
main(int argc, char **argv)
{
    const struct service_spec spec = {
        .name = "account-svc",
        .usage = "account-svc: accounts, wallets and transfers over gRPC"
                 " (sagamesh.ledger.v1.LedgerService)",
        .descriptor = &sagamesh__ledger__v1__ledger_service__descriptor,
        .methods = ledger_methods,
        .batch = &ledger_service,
        .reads = ledger_reads,
        .statements = ledger_statements,
        .partitions = partitions,
        .routes = routes,
    };

    return service_main(argc, argv, &spec);
}
