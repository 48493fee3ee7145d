#include "account-svc/payment/payment_sweep.h"
#include "mesh/base/log.h"

enum error
payment_sweep_abandons(void *batch, struct pg *pg, struct arena *arena)
{
    const int64_t program_us = clock_now_us();
    struct pg_answer answer;
    enum error error = pg_ask(pg, &payment_give_ups_due, &program_us, arena, &answer);
    const struct task_due *due = answer.rows;
    struct give_up *ops = arena_take(arena, answer.count * sizeof *ops);

    if (error != ERR_OK)
        return error;
    for (size_t i = 0; i < answer.count; i++) {
        ops[i].op.id = uuid_v7(clock_now_us());
        ops[i].payment_id = due[i].payment_id;
    }
    if (answer.count > 0)
        batch_own_run(batch, &payment_give_up_method, ops, answer.count);
    return ERR_OK;
}

/* The COMMIT of the ops sends them. */
enum error
payment_sweep_signals(void *batch, struct pg *pg, struct arena *arena)
{
    const int64_t program_us = clock_now_us();
    struct pg_answer answer;
    enum error error = pg_ask(pg, &payment_signals_due, &program_us, arena, &answer);
    const struct signal_due *due = answer.rows;
    struct signal_again *ops = arena_take(arena, answer.count * sizeof *ops);

    if (error != ERR_OK)
        return error;
    for (size_t i = 0; i < answer.count; i++) {
        ops[i].op.id = uuid_v7(clock_now_us());
        ops[i].payment_id = due[i].payment_id;
        ops[i].version = due[i].version;
    }
    if (answer.count > 0)
        batch_own_run(batch, &payment_signal_again_method, ops, answer.count);
    return ERR_OK;
}

/* Each minute, while it lasts. The oldest is named; there may be more than are counted. */
enum error
payment_sweep_late_signals(void *batch, struct pg *pg, struct arena *arena)
{
    const int64_t program_us = clock_now_us();
    struct pg_answer answer;
    enum error error = pg_ask(pg, &payment_signals_late, &program_us, arena, &answer);
    const struct signal_late *late = answer.rows;
    char id[UUID_TEXT_BYTES + 1], order_id[UUID_TEXT_BYTES + 1];

    (void)batch;
    if (answer.count > 0)
        log_error(
            "event=SIGNALS_UNHEARD payments=%zu%s payment=%s order=%s minutes=%lld "
            "because=\"the sagas of these payments have not said that they know how they stand\" "
            "next=\"they are told again, for ever; signal=unheard in this log says what was "
            "answered, sagactl show ORDER where the saga is\"",
            answer.count, answer.count == SIGNALS_LATE_MAX ? "+" : "",
            uuid_print(late->payment_id, id), uuid_print(late->order_id, order_id),
            (long long)(late->late_us / (60 * SECOND_US)));
    return error;
}

enum error
payment_sweep_unserved(struct pg *pg, struct arena *arena,
                       bool (*is_served)(void *owner, const char *provider), void *owner)
{
    struct pg_answer answer;
    enum error error = pg_ask(pg, &payment_overdue_providers, NULL, arena, &answer);
    const struct overdue_provider *overdue = answer.rows;

    if (error != ERR_OK)
        return error;
    for (size_t i = 0; i < answer.count; i++) {
        if (!is_served(owner, overdue[i].provider))
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
payment_sweep_inbox(void *batch, struct pg *pg, struct arena *arena)
{
    struct inbox_range range = { .received_before_us = clock_now_us() - ID_DAYS_KEPT * DAY_US };
    struct pg_answer answer;
    enum error error;

    (void)batch;
    do {
        error = pg_ask(pg, &payment_inbox_purge, &range, arena, &answer);
    } while (answer.changed > 0);
    return error;
}
