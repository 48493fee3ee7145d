/* account-svc -- Who owns what, transfers between accounts, and payments at providers.
 *
 *   ledger_rpc.c      the ledger's requests as callers see them: the table of methods
 *   ledger.c          its rules: Transfer, TopUp, Charge, Refund
 *   ledger_chart.def  the chart of accounts
 *   ledger_store.c    its tables, all SQL
 *
 *   payment_rpc.c     payments' requests: the table of methods
 *   payment.c         the registers of a payment and the one reducer that moves them
 *   payment_plan.c    what is to be asked of its provider next: a table of rules
 *   payment_op.c      the ops: rows in, rules, rows out
 *   payment_store.c   its tables, all SQL
 *   provider.c        the providers that are configured
 *   provider_*.c      their adapters, and Standard Webhooks
 *
 *   account_store.c   all tables in one order: both services share one batch
 *   schema.sql        what must hold always, and ledger_check(), which recomputes all balances
 */
#include "account-svc/ledger.h"
#include "account-svc/payment_rpc.h"
#include "mesh/service.h"

#include "sagamesh/ledger/v1/ledger_service.pb-c.h"
#include "sagamesh/payment/v1/payment_service.pb-c.h"

/* What the program has beside a service's usual parts. */
struct parts {
    const char *provider_config; /* flags */
    struct provider_set *providers;
};

/* clang-format off */
static const struct config_key keys[] = {
    { "provider-config", CONFIG_TEXT, "", 0, 0, "JSON file of payment providers; empty: none", offsetof(struct parts, provider_config) },
    { 0 },
};
/* clang-format on */

/* A start is told the service only. */
static struct parts parts;

static enum error
start(struct service *service)
{
    enum error error = provider_set_open(parts.provider_config, &parts.providers);

    (void)service;
    if (error == ERR_OK)
        payment_rpc_open(parts.providers);
    return error;
}

static void
stop(struct service *service)
{
    (void)service;
    parts.providers = provider_set_free(parts.providers);
}

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

static const struct service_also also[] = {
    { .descriptor = &sagamesh__payment__v1__payment_service__descriptor,
      .methods = payment_methods,
      .reads = payment_reads,
      .statements = payment_statements },
    { 0 },
};

int
main(int argc, char **argv)
{
    const struct service_spec spec = {
        .name = "account-svc",
        .usage = "account-svc: accounts, wallets, transfers and payments over gRPC"
                 " (sagamesh.ledger.v1.LedgerService, sagamesh.payment.v1.PaymentService)",
        .keys = keys,
        .values = &parts,
        .descriptor = &sagamesh__ledger__v1__ledger_service__descriptor,
        .methods = ledger_methods,
        .batch = &account_service,
        .reads = ledger_reads,
        .statements = ledger_statements,
        .also = also,
        .partitions = partitions,
        .routes = routes,
        .start = start,
        .stop = stop,
    };

    return service_main(argc, argv, &spec);
}
