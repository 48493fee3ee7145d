#include "tests/bench/bench_lane.h"
#include "mesh/base/clock.h"
#include "mesh/base/hash.h"

#include <stdio.h>
#include <string.h>

/* ---- a transaction ---- */

static const struct pg_statement begin = { .name = "begin", .sql = "BEGIN", .is_single = true };
static const struct pg_statement commit = { .name = "commit", .sql = "COMMIT", .is_single = true };

void
lane_step(struct lane *lane, const struct pg_statement *statement, const void *rows,
          size_t row_bytes, int64_t count)
{
    const void **pointers = arena_take(lane->arena, (size_t)count * sizeof *pointers);

    if (count == 0)
        return;
    for (int64_t i = 0; i < count; i++)
        pointers[i] = (const char *)rows + (size_t)i * row_bytes;
    lane->steps[lane->step_count++] =
        (struct pg_step){ .statement = statement, .rows = pointers, .count = (size_t)count };
}

int64_t
lane_range_count(struct lane_range range)
{
    return range.to - range.from;
}

uint64_t
lane_random_below(struct lane *lane, int64_t limit)
{
    lane->random ^= lane->random << 13;
    lane->random ^= lane->random >> 7;
    lane->random ^= lane->random << 17;
    return (lane->random >> 16) % (uint64_t)limit;
}

const char *
lane_pick_name(struct lane *lane, const char *format, int64_t limit, const char *const *names,
               int64_t count)
{
    const char *name = arena_print(lane->arena, format, (int)lane_random_below(lane, limit));

    for (int64_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return NULL;
    }
    return name;
}

void
lane_event(struct lane *lane, struct event *event, const char *aggregate, struct uuid id,
           int32_t version, const char *payload)
{
    *event = (struct event){ .id = uuid_v7(clock_now_us()),
                             .aggregatetype = aggregate,
                             .aggregateid = id,
                             .version = version,
                             .type = version == 1 ? "order.placed" : "order.paid",
                             .payload = payload,
                             .time_us = clock_now_us(),
                             .traceparent = lane->texts->traceparent };
}

struct batch_record
lane_record(struct uuid id)
{
    return (struct batch_record){
        .id = id, .fingerprint = LANE_FINGERPRINT, .reason = "", .detail = ""
    };
}

void
lane_op(struct op_row *row, const char *method)
{
    row->record = lane_record(uuid_v7(clock_now_us()));
    row->method = method;
}

/* ---- lanes ---- */

static const struct lane_plan *const plans[BENCH_DATABASES] = {
    [BENCH_ORDERS] = &lane_orders,
    [BENCH_STORAGE] = &lane_storage,
    [BENCH_ACCOUNT] = &lane_account,
    [BENCH_SAGA] = &lane_saga,
};

static void
lane_round(struct lane *lane)
{
    enum error error = pg_round(lane->pg, false, lane->steps, lane->step_count, lane->arena);

    if (error != ERR_OK)
        bench_fail("the floor cannot write: %s", error_text(error));
    for (size_t i = 0; i < lane->step_count; i++)
        lane->row_writes += (int64_t)lane->steps[i].ret_changed;
    lane->step_count = 0;
    arena_reset(lane->arena);
}

void
lane_write(struct lane *lane, struct lane_range begun, struct lane_range gone_on)
{
    lane->number++;
    lane_step(lane, &begin, lane, 0, 1);
    lane->plan->fill(lane, begun, gone_on);
    lane_step(lane, &commit, lane, 0, 1);
    lane_round(lane);
}

static struct pg *
lane_pg_new(const struct lane_plan *plan, const char *conninfo)
{
    const struct pg_statement *statements[4 * BATCH_TABLES_MAX] = { &begin, &commit };
    size_t count = 2;

    for (size_t i = 0; plan->service != NULL && i < plan->service->table_count; i++) {
        const struct batch_table *table = &plan->service->tables[i];

        if (table->insert != NULL)
            statements[count++] = table->insert;
        if (table->update != NULL)
            statements[count++] = table->update;
    }
    if (plan->service != NULL && plan->service->has_events)
        statements[count++] = &event_append;
    for (size_t i = 0; plan->others != NULL && plan->others[i] != NULL; i++)
        statements[count++] = plan->others[i];
    return pg_new(conninfo, "floor", statements);
}

void
lane_open(struct lane *lane, const struct bench *bench, size_t database,
          const struct bench_texts *texts, double orders_per_batch)
{
    memset(lane, 0, sizeof *lane);
    lane->bench = bench;
    lane->texts = texts;
    lane->plan = plans[database];
    lane->arena = arena_new();
    lane->orders_per_batch = orders_per_batch;
    lane->random = hash_int(HASH_SEED, (int64_t)database) | 1;
    lane->pg = lane_pg_new(lane->plan, bench_conninfo(bench, "floor_", database));
    if (pg_connect(lane->pg) != ERR_OK)
        bench_fail("there is no database floor_%s; ./dev bench makes it",
                   bench_databases[database]);
    if (lane->plan->stock != NULL) {
        lane->plan->stock(lane);
        lane_round(lane);
        lane->row_writes = 0;
    }
}

void
lane_close(struct lane *lane)
{
    pg_free(lane->pg);
    arena_free(lane->arena);
}
