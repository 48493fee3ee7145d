#include "account-svc/payment/payment_sweep.h"
#include "mesh/base/log.h"

enum error
payment_sweep_abandons(struct service *service, struct pg *pg, struct arena *arena)
{
    const int64_t program_us = clock_now_us();
    const void *row = &program_us;
    struct pg_step step = { .statement = &payment_give_ups_due, .rows = &row, .count = 1 };
    enum error error = pg_round(pg, false, &step, 1, arena);
    const struct task_due *due = step.ret_rows;
    struct give_up *ops = arena_take(arena, step.ret_count * sizeof *ops);

    if (error != ERR_OK)
        return error;
    for (size_t i = 0; i < step.ret_count; i++) {
        ops[i].op.id = uuid_v7(clock_now_us());
        ops[i].payment_id = due[i].payment_id;
    }
    if (step.ret_count > 0)
        service_run_ops(service, &payment_give_up_method, ops, step.ret_count, NULL);
    return ERR_OK;
}

/* The COMMIT of the ops sends them. */
enum error
payment_sweep_signals(struct service *service, struct pg *pg, struct arena *arena)
{
    const int64_t program_us = clock_now_us();
    const void *row = &program_us;
    struct pg_step step = { .statement = &payment_signals_due, .rows = &row, .count = 1 };
    enum error error = pg_round(pg, false, &step, 1, arena);
    const struct signal_due *due = step.ret_rows;
    struct signal_again *ops = arena_take(arena, step.ret_count * sizeof *ops);

    if (error != ERR_OK)
        return error;
    for (size_t i = 0; i < step.ret_count; i++) {
        ops[i].op.id = uuid_v7(clock_now_us());
        ops[i].payment_id = due[i].payment_id;
        ops[i].version = due[i].version;
    }
    if (step.ret_count > 0)
        service_run_ops(service, &payment_signal_again_method, ops, step.ret_count, NULL);
    return ERR_OK;
}

/* Each minute, while it lasts. The oldest is named; there may be more than are counted. */
enum error
payment_sweep_late_signals(struct service *service, struct pg *pg, struct arena *arena)
{
    const int64_t program_us = clock_now_us();
    const void *row = &program_us;
    struct pg_step step = { .statement = &payment_signals_late, .rows = &row, .count = 1 };
    enum error error = pg_round(pg, false, &step, 1, arena);
    const struct signal_late *late = step.ret_rows;
    char id[UUID_TEXT_BYTES + 1], order_id[UUID_TEXT_BYTES + 1];

    (void)service;
    if (error == ERR_OK && step.ret_count > 0)
        log_error(
            "event=SIGNALS_UNHEARD payments=%zu%s payment=%s order=%s minutes=%lld "
            "because=\"the sagas of these payments have not said that they know how they stand\" "
            "next=\"they are told again, for ever; signal=unheard in this log says what was "
            "answered, sagactl show ORDER where the saga is\"",
            step.ret_count, step.ret_count == SIGNALS_LATE_MAX ? "+" : "",
            uuid_print(late->payment_id, id), uuid_print(late->order_id, order_id),
            (long long)(late->late_us / (60 * SECOND_US)));
    return error;
}

enum error
payment_sweep_unserved(struct pg *pg, struct arena *arena, bool (*is_served)(const char *provider))
{
    static const char nothing;
    const void *row = &nothing;
    struct pg_step step = { .statement = &payment_overdue_providers, .rows = &row, .count = 1 };
    enum error error = pg_round(pg, false, &step, 1, arena);
    const struct overdue_provider *overdue = step.ret_rows;

    if (error != ERR_OK)
        return error;
    for (size_t i = 0; i < step.ret_count; i++) {
        if (!is_served(overdue[i].provider))
            log_error("provider=%s event=PROVIDER_NOT_CONFIGURED"
                      " because=\"its payments are overdue to be asked about, and this program "
                      "does not know it\""
                      " next=\"have it in --provider-config until they are over\"",
                      overdue[i].provider);
    }
    return ERR_OK;
}

/* A page at a time: nobody waits for it. */
enum error
payment_sweep_inbox(struct service *service, struct pg *pg, struct arena *arena)
{
    struct inbox_range range = { .received_before_us = clock_now_us() - ID_DAYS_KEPT * DAY_US };
    const void *row = &range;
    struct pg_step step = { .statement = &payment_inbox_purge, .rows = &row, .count = 1 };
    enum error error;

    (void)service;
    do {
        error = pg_round(pg, false, &step, 1, arena);
    } while (error == ERR_OK && step.ret_changed > 0);
    return error;
}
