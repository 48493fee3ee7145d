/* account-svc -- Who owns what, transfers between accounts, and payments at providers.
 *
 *   ledger_rpc.c      the ledger's requests as callers see them: the table of methods
 *   ledger.c          its rules: Transfer, TopUp, Charge, Refund
 *   ledger_hold.c     two-phase: HoldFunds, PostHold, VoidHold
 *   account_chart.c   the chart of accounts: the ledger is a library and knows none
 *   ledger_store.c    its tables, all SQL
 *   ledger.sql        what must hold always of them, and ledger_check(), which recomputes all balances
 *
 *   payment.c         the registers of a payment and the one reducer that moves them
 *   payment_plan.c    what is to be asked of its provider next: a table of rules
 *   payment_learn.c   leases of such tasks, and what they bring: a table of what follows no answer
 *   payment_trouble.c when an operator is called for a payment
 *   payment_op.c      the ops: rows in, rules, rows out
 *   payment_store.c   its tables, all SQL
 *   payment_signal.c  tells the order's saga how its payment stands
 *   payment_meter.c   what the database is asked of them, for metrics
 *   payment_sweep.c   what time does: Abandons whose time is over, lost signals, old webhooks
 *   provider.c        the providers that are configured
 *   provider_read.c   what adapters read of answers and webhooks
 *   provider_source.c from where their webhooks may come
 *   provider_*.c      their adapters, and Standard Webhooks
 *   provider_thread.c does the tasks: asks providers over HTTP
 *   provider_meter.c  metrics of requests to them
 *   provider_lane.c   how much may be asked of one: its rate, its health
 *
 *   payment_rpc.c     payments' requests: the table of methods; knows payments and providers
 *   account_store.c   all tables in one order: both services share one batch
 *   schema/           what must hold always of payments, behind ledger.sql
 *
 * After each COMMIT the sagas of changed payments are told, and the provider thread is woken when a
 * task has become due.
 */
#include "account-svc/account.h"
#include "account-svc/edge/payment_rpc.h"
#include "account-svc/ledger/ledger_hold.h"
#include "account-svc/payment/payment_meter.h"
#include "account-svc/payment/payment_signal.h"
#include "account-svc/payment/payment_sweep.h"
#include "account-svc/provider/provider_thread.h"
#include "mesh/audit.h"
#include "mesh/base/clock.h"
#include "mesh/http/info.h"
#include "mesh/service.h"

#include "sagamesh/ledger/v1/ledger_service.pb-c.h"
#include "sagamesh/payment/v1/payment_service.pb-c.h"

#include <string.h>

/* What the program has beside a service's usual parts. */
struct parts {
    struct payment_edge payments; /* first: ops go by it, and the ledger's by nothing */
    const char *provider_config, *saga_address; /* flags */
    int64_t signals_max;
    struct batch *batch;
    struct metrics *metrics;
    struct provider_set *providers;
    struct provider_thread *thread;
    struct payment_signal *signal; /* NULL: no orchestrator was named */
};

/* clang-format off */
static const struct config_key keys[] = {
    { "provider-config", CONFIG_TEXT, "",     0, 0,       "JSON file of payment providers; empty: none", offsetof(struct parts, provider_config) },
    { "saga",            CONFIG_TEXT, "",     0, 0,       "where the orchestrator is, which is told of payments: host:port, several with commas, or dns:///name:port; empty: later", offsetof(struct parts, saga_address) },
    { "signals-max",     CONFIG_INT,  "4096", 1, 1 << 20, "signals under way at once; the sweep sends the others", offsetof(struct parts, signals_max) },
    { 0 },
};
/* clang-format on */

/* The store thread, after COMMIT. What cannot be sent now, the sweep sends. */
static void
committed(void *owner, const struct batch_rows *rows)
{
    struct parts *parts = owner;
    enum batch_row_state state;
    const struct payment *payment;
    const struct task *task;
    size_t cursor = 0;
    bool is_due = false;

    while ((payment = batch_saved_next(rows, PAYMENT_PAYMENT, &cursor, &state)) != NULL) {
        if (parts->signal != NULL && payment->version > payment->signaled_version)
            payment_signal_send(parts->signal, payment);
    }
    cursor = 0;
    while ((task = batch_saved_next(rows, PAYMENT_TASK, &cursor, &state)) != NULL)
        is_due = is_due || (!task->is_leased && task->due_us <= clock_now_us());
    if (is_due)
        provider_thread_wake(parts->thread);
}

/* The client's thread. */
static void
acknowledged(void *owner, struct uuid payment_id, int32_t version, int32_t known_version)
{
    struct signaled signaled = { .op.id = uuid_v7(clock_now_us()),
                                 .payment_id = payment_id,
                                 .version = version,
                                 .known_version = known_version };

    batch_own_submit(((struct parts *)owner)->batch, &payment_signaled_method, &signaled, NULL);
}

/* For the provider thread: what it learns is decided as what callers say. */
static void
submit_op(void *owner, const struct method *method, const void *op,
          void (*answered)(const void *op))
{
    batch_own_submit(((struct parts *)owner)->batch, method, op, answered);
}

/* Without an orchestrator no saga is told; payments go on. What is not sent now, for too many are under way, the
 * sweep sends. */
static enum error
open_signal(struct parts *parts)
{
    struct payment_signal_options options = { .address = parts->saga_address,
                                              .metrics = parts->metrics,
                                              .in_flight_max = (size_t)parts->signals_max,
                                              .acknowledged = acknowledged,
                                              .owner = parts };

    return parts->saga_address[0] == '\0' ? ERR_OK : payment_signal_open(&options, &parts->signal);
}

/* For /info. A URL may have a password in it, which is in front of an @. */
static void
show_providers(const struct provider_set *providers, struct info *info)
{
    for (size_t i = 0; i < providers->count; i++) {
        const char *url = providers->providers[i].base_url;

        info_add(info, "talks_to", providers->providers[i].name,
                 strchr(url, '@') == NULL ? url : "a URL with a user in it");
    }
}

/* The provider thread last: it asks at once for what is due. Metrics go on with all that is opened here; a service
 * without an ops port has none. */
static enum error
start(void *owner, struct service *service)
{
    struct parts *parts = owner;
    struct provider_thread_options options = { .conninfo = service_database(service),
                                               .metrics = service_ops(service)->metrics,
                                               .submit = submit_op,
                                               .owner = parts };
    enum error error = provider_set_open(parts->provider_config, options.metrics,
                                         service_ops(service)->files, &parts->providers);

    parts->batch = service_batch(service);
    parts->metrics = options.metrics;
    if (error == ERR_OK)
        error = open_signal(parts);
    if (error != ERR_OK)
        return error;
    show_providers(parts->providers, service_ops(service)->info);
    payment_edge_init(&parts->payments, parts->providers);
    payment_edge_meter(&parts->payments, parts->metrics);
    asked_show(ledger_asked, parts->metrics);
    options.providers = parts->providers;
    parts->thread = provider_thread_open(&options);
    return ERR_OK;
}

/* No op comes any more, so what threads have under way is given up. */
static void
stop(void *owner)
{
    struct parts *parts = owner;

    parts->thread = provider_thread_close(parts->thread);
    parts->signal = payment_signal_close(parts->signal);
    payment_edge_meter_end(&parts->payments, parts->metrics);
    parts->providers = provider_set_free(parts->providers);
}

/* Debits and credits of all accounts, which no index holds: seconds, where there are many. So the sum has a thread
 * of its own and is rare; what it finds stays in the metrics until the next one. It must be 0, and an audit says
 * more (ledger_check). */
static enum error
sum_ledger(void *owner, struct pg *pg, struct arena *arena)
{
    return asked_run(ledger_asked, ((struct parts *)owner)->metrics, pg, arena);
}

/* Without an orchestrator no saga is told, and no signal is late. */
static bool
has_signal(const void *owner)
{
    return ((const struct parts *)owner)->signal != NULL;
}

static const struct keeper_task tasks[] = {
    { .name = "expire-holds",
      .period_us = SECOND_US / 2,
      .sweep = { SWEEP_OPS(&funds_due, &ledger_expire_method, struct expire_funds, hold_id),
                 .due_offset = offsetof(struct walk_row, at_us) } },
    { .name = "end-abandons",
      .period_us = SECOND_US,
      .sweep = { SWEEP_OPS(&payment_give_ups_due, &payment_give_up_method, struct give_up,
                           payment_id),
                 .due_offset = offsetof(struct walk_row, at_us) } },
    { .name = "signal-sagas", /* by the COMMIT of the ops */
      .period_us = SECOND_US,
      .sweep = { SWEEP_OPS(&payment_signals_due, &payment_signal_again_method, struct signal_again,
                           due),
                 .due_offset = offsetof(struct signal_due, due_us), .is_wanted = has_signal,
                 .is_paced = true } },
    { .name = "late-signals",
      .period_us = 60 * SECOND_US,
      .sweep = { .statement = &payment_signals_late,
                 .report = payment_report_late,
                 .is_wanted = has_signal } },
    { .name = "find-unserved",
      .period_us = 600 * SECOND_US,
      .sweep = { .statement = &payment_overdue_providers, .report = payment_report_unserved } },
    { .name = "sum-ledger",
      .period_us = 600 * SECOND_US,
      .run = sum_ledger,
      .has_own_thread = true },
    { .name = "forget-webhooks",
      .period_us = 10 * SECOND_US,
      .sweep.statement = &payment_inbox_purge,
      .has_own_thread = true },
    { 0 },
};

/* A charge of any age can be refunded, which is news of its own: events stay as long as transfers. */
static const struct partitions partitions[] = {
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
      .inner = &sagamesh__payment__v1__payment_saga_service__descriptor,
      .methods = payment_methods,
      .reads = payment_reads,
      .statements = payment_statements },
    { 0 },
};

static const struct pg_statement check = AUDIT_STATEMENT("ledger_check", "ledger_check()");

int
main(int argc, char **argv)
{
    struct parts parts = { 0 };
    struct batch_service batch = account_service;
    /* All nouns of it, over one batch and one database. */
    const struct service_spec spec = {
        .name = "account-svc",
        .usage = "account-svc: accounts, wallets, transfers and payments over gRPC"
                 " (sagamesh.ledger.v1.LedgerService, sagamesh.payment.v1.PaymentService)",
        .schema = schema_steps,
        .keys = keys,
        .values = &parts,
        .owner = &parts,
        .descriptor = &sagamesh__ledger__v1__ledger_service__descriptor,
        /* A saga's steps move money: the mesh alone may ask for them. */
        .inner = &sagamesh__ledger__v1__ledger_saga_service__descriptor,
        .methods = ledger_methods,
        .batch = &batch,
        .reads = ledger_reads,
        .statements = ledger_statements,
        .also = also,
        .tasks = tasks,
        .asked = payment_asked,
        .partitions = partitions,
        .check = &check,
        .routes = routes,
        .peers = &parts.saga_address,
        .start = start,
        .stop = stop,
    };

    batch.committed = committed;
    batch.owner = &parts;
    return service_main(argc, argv, &spec);
}
