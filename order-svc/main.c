/* order-svc -- Orders: placed by callers, moved on by their sagas.
 *
 *   order_rpc.c          requests as callers see them: the table of methods
 *   order.c              the rules: the life of an order as a table, Place, Cancel, Mark...
 *   order_idempotency.c  keys of HTTP requests: one key, one order, one answer
 *   order_event.c        what the events say, and the order they add up to
 *   order_store.c        the tables, all SQL
 *   order_saga.c         asks the orchestrator for the saga of an order
 *   order_meter.c        what is counted of orders
 *   order_sweep.c        asks again for those that were lost; forgets old keys
 *   schema/              what must hold always
 *
 * After each COMMIT the new orders' sagas are asked for, and reads that wait for an order are answered.
 */
#include "mesh/audit.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/base/utf8.h"
#include "mesh/observe/metrics.h"
#include "mesh/service.h"
#include "order-svc/order_meter.h"
#include "order-svc/order_saga.h"
#include "order-svc/order_sweep.h"

#include "sagamesh/order/v1/order_service.pb-c.h"

#include <stdio.h>
#include <stdlib.h>

/* What the program has beside a service's usual parts. */
struct parts {
    const char *saga_address; /* flags */
    int64_t starts_max, overdue_minutes;
    struct batch *batch;
    struct reader *reader;
    struct order_saga *saga;
    struct order_sweep *sweep; /* the keeper's, as the next */
    int64_t overdue_due_us;
    struct order_meter meter;
};

#define OVERDUE_PERIOD_US (60 * SECOND_US)

/* clang-format off */
static const struct config_key keys[] = {
    { "saga",       CONFIG_TEXT, NULL,   0, 0,       "where the orchestrator is: host:port, several with commas, or dns:///name:port", offsetof(struct parts, saga_address) },
    { "starts-max", CONFIG_INT,  "8192", 1, 1 << 20, "sagas asked for at once; the sweep asks for the others", offsetof(struct parts, starts_max) },
    { "overdue-minutes", CONFIG_INT, "15", 1, 100000, "an order that its saga has not moved for so long is an error in the log", offsetof(struct parts, overdue_minutes) },
    { 0 },
};
/* clang-format on */

/* The store thread, after COMMIT. What cannot be sent now, the sweep sends. */
static void
committed(void *owner, const struct batch_rows *rows)
{
    struct parts *parts = owner;
    enum batch_row_state state;
    const struct order *order;
    size_t cursor = 0, count = 0;
    struct read_saved *saved;

    while (batch_saved_next(rows, ORDER_ORDER, &cursor, &state) != NULL)
        count++;
    saved = memory_take(count * sizeof *saved);
    cursor = count = 0;
    while ((order = batch_saved_next(rows, ORDER_ORDER, &cursor, &state)) != NULL) {
        saved[count++] = (struct read_saved){ order->record.id, order->version, order };
        order_meter_saved(&parts->meter, order, state == BATCH_ROW_NEW);
        if (!order_is_final(order->status) &&
            (state == BATCH_ROW_NEW || order->is_cancel_news || order->is_saga_wanted))
            order_saga_send(parts->saga, order);
    }
    reader_wake(parts->reader, &order_get, saved, count);
    free(saved);
}

/* The client's thread. */
static void
start_refused(void *owner, struct uuid order_id, const char *reason, const char *detail)
{
    struct parts *parts = owner;
    struct fail_start fail = { .op.id = uuid_v7(clock_now_us()), .order_id = order_id };

    snprintf(fail.reason, sizeof fail.reason, "%.*s",
             (int)utf8_cut(reason, FAILURE_REASON_BYTES_MAX), reason);
    snprintf(fail.detail, sizeof fail.detail, "%.*s",
             (int)utf8_cut(detail, FAILURE_DETAIL_BYTES_MAX), detail);
    batch_own_submit(parts->batch, &order_fail_start_method, &fail, NULL);
}

static bool
send_again(void *owner, const struct order *order)
{
    return order_saga_send(((struct parts *)owner)->saga, order);
}

/* Once a minute: what should have moved long ago, and has not, is for a person. */
static void
look_for_overdue(struct parts *parts)
{
    struct order_overdue overdue;
    char id[UUID_TEXT_BYTES + 1];

    if (clock_steady_us() < parts->overdue_due_us)
        return;
    parts->overdue_due_us = clock_steady_us() + OVERDUE_PERIOD_US;
    order_sweep_overdue(parts->sweep, clock_steady_us(), clock_now_us(),
                        parts->overdue_minutes * 60 * SECOND_US, &overdue);
    metric_set(parts->meter.overdue, (int64_t)overdue.count);
    if (overdue.count == 0)
        return;
    log_error(
        "event=ORDERS_OVERDUE orders=%zu order=%s minutes=%lld because=\"they wait to be moved"
        " by their sagas\" next=\"is saga-svc there? sagactl show says what the oldest waits"
        " for\"",
        overdue.count, uuid_print(overdue.oldest, id),
        (long long)(overdue.age_us / (60 * SECOND_US)));
}

static enum error
start_sagas(void *owner, struct pg *pg, struct arena *arena)
{
    struct parts *parts = owner;
    struct floor_move move = { .op.id = uuid_v7(clock_now_us()),
                               .table = ORDER_FLOOR,
                               .name = ORDER_SWEEP_NAME };
    enum error error =
        order_sweep_run(parts->sweep, pg, arena, clock_steady_us(), send_again, parts);

    if (error == ERR_OK && order_sweep_floor(parts->sweep, &move.floor_seq, &move.is_lower))
        batch_own_run(parts->batch, &floor_move_method, &move, 1);
    metric_set(parts->meter.unheard, (int64_t)order_sweep_open_count(parts->sweep));
    look_for_overdue(parts);
    return error;
}

static enum error
start(void *owner, struct service *service)
{
    struct parts *parts = owner;
    struct order_saga_options options = { .address = parts->saga_address,
                                          .metrics = service_ops(service)->metrics,
                                          .in_flight_max = (size_t)parts->starts_max,
                                          .refused = start_refused,
                                          .owner = parts };

    parts->batch = service_batch(service);
    parts->reader = service_reader(service);
    parts->sweep = order_sweep_new(SWEEP_OPEN_MAX);
    order_meter_open(&parts->meter, options.metrics);
    return order_saga_open(&options, &parts->saga);
}

static void
stop(void *owner)
{
    struct parts *parts = owner;

    parts->saga = order_saga_close(parts->saga);
    parts->sweep = order_sweep_free(parts->sweep);
}

static const struct keeper_task tasks[] = {
    { .name = "start-sagas", .period_us = SWEEP_PERIOD_US, .run = start_sagas },
    { .name = "forget-keys",
      .period_us = SECOND_US,
      .sweep.statement = &idempotency_forget,
      .has_own_thread = true },
    { 0 },
};

/* Events live as long as their orders. */
static const struct partitions partitions[] = {
    { .table = "op", .fill = 100, .open = "false" },
    { .table = "event", .fill = 100, .open = NULL },
    { 0 },
};

static const struct relay_route routes[] = {
    { "order", "order-status-changed", "orderId" },
    { 0 },
};

static const struct pg_statement check = AUDIT_STATEMENT("order_check", "order_check()");

int
main(int argc, char **argv)
{
    struct parts parts = { 0 };
    struct batch_service batch = order_service;
    const struct service_spec spec = {
        .name = "order-svc",
        .usage = "order-svc: orders over gRPC (sagamesh.order.v1.OrderService)",
        .schema = schema_steps,
        .keys = keys,
        .values = &parts,
        .owner = &parts,
        .descriptor = &sagamesh__order__v1__order_service__descriptor,
        .inner = &sagamesh__order__v1__order_saga_service__descriptor,
        .methods = order_methods,
        .batch = &batch,
        .reads = order_reads,
        .statements = order_statements,
        .tasks = tasks,
        .asked = order_asked,
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
