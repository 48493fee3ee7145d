/* bench-orders -- measures a mesh that ./dev bench has started. */
#include "mesh/base/clock.h"
#include "mesh/base/config.h"
#include "mesh/base/log.h"
#include "mesh/rpc/tls.h"
#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    WARM_PERCENT = 30, /* of the time that counts */
    LONE_ORDERS = 200,
    PACE_PERCENT = 60,
    STATISTICS_US =
        1100 * 1000, /* a backend reports its counts once a second, when it next commits */
};

static const char usage[] =
    "usage: bench-orders [FLAGS]\n"
    "Orders from Place to PAID through a running mesh, and the same rows without it. ./dev bench "
    "orders\n"
    "starts such a mesh, with databases for the floor, and calls this.\n"
    "exit status: 0 measured, and every order was PAID; 1 not; 2 not understood\n"
    "\n"
    "flags:";

/* clang-format off */
static const struct config_key keys[] = {
    { "seconds",      CONFIG_INT,  "10",  1, 600, "of each long part: saturation, latency, floor", offsetof(struct bench, seconds) },
    { "in-flight",    CONFIG_INT,  "256", 1, 8192, "orders at once in saturation", offsetof(struct bench, in_flight) },
    { "products",     CONFIG_INT,  "100", 1, 100000, "in the shop", offsetof(struct bench, products) },
    { "wallets",      CONFIG_INT,  "1000", 1, 100000, "in the shop", offsetof(struct bench, wallets) },
    { "json",         CONFIG_FLAG, NULL,  0, 0, "figures in JSON", offsetof(struct bench, is_json) },
    { "order",        CONFIG_TEXT, NULL,  0, 0, "address of order-svc", offsetof(struct bench, order) },
    { "storage",      CONFIG_TEXT, NULL,  0, 0, "address of storage-svc", offsetof(struct bench, storage) },
    { "account",      CONFIG_TEXT, NULL,  0, 0, "address of account-svc", offsetof(struct bench, account) },
    { "saga",         CONFIG_TEXT, NULL,  0, 0, "address of the orchestrator", offsetof(struct bench, saga) },
    { "programs",     CONFIG_TEXT, NULL,  0, 0, "their processes: storage:PID,account:PID,...", offsetof(struct bench, programs) },
    { "postgres",     CONFIG_TEXT, NULL,  0, 0, "conninfo of the server, without a dbname", offsetof(struct bench, postgres) },
    { "postgres-pid", CONFIG_INT,  "0",   0, INT64_MAX, "its first process", offsetof(struct bench, postgres_pid) },
    { 0 },
};
/* clang-format on */

/* What is read at both ends of the time that counts. */
struct meter {
    const struct bench *bench;
    struct bench_programs programs[2];
    int count;
    struct bench_texts *texts;
};

static void
meter_read(void *owner)
{
    struct meter *meter = owner;

    bench_programs_read(&meter->programs[meter->count++]);
    /* While orders still come: the orchestrator soon forgets its pages. */
    if (meter->count == 2)
        bench_texts_read(meter->bench, meter->texts);
}

/* Backends report what they did at the end of a transaction, at most once a second: so a pause, then
 * an order that passes through all of them, and the counts are whole. */
static void
counts_settle(struct bench_load *load)
{
    bench_load_lone(load, 1, STATISTICS_US);
    bench_pause_us(STATISTICS_US);
    bench_load_lone(load, 1, STATISTICS_US);
}

static void
fill_programs(struct bench_report *report, const struct meter *meter, int64_t orders)
{
    report->programs = meter->programs[1];
    for (size_t i = 0; i < report->programs.count; i++) {
        struct bench_program *program = &report->programs.all[i];

        program->cpu_us = (program->cpu_us - meter->programs[0].all[i].cpu_us) / orders;
    }
}

static void
fill_counts(struct bench_report *report, const struct bench_counts *before,
            const struct bench_counts *after, int64_t orders)
{
    /* Place and MarkPaid; Reserve and Confirm; Charge. The saga's events are not ops of a batch. */
    static const int ops[BENCH_DATABASES] = {
        [BENCH_ORDERS] = 2, [BENCH_STORAGE] = 2, [BENCH_ACCOUNT] = 1
    };
    double rows = 0, toast = 0, commits = 0, batches = 0, op_batches = 0, op_count = 0;

    for (size_t i = 0; i < BENCH_DATABASES; i++) {
        double own = (double)(after->database[i].batches - before->database[i].batches);

        if (own <= 0)
            bench_fail("the database %s has counted no batch", bench_databases[i]);
        rows += (double)(after->database[i].row_writes - before->database[i].row_writes);
        toast += (double)(after->database[i].toast_writes - before->database[i].toast_writes);
        commits += (double)(after->database[i].commits - before->database[i].commits);
        batches += own;
        report->orders_per_batch[i] = (double)orders / own;
        op_count += ops[i] * (double)orders;
        op_batches += ops[i] > 0 ? own : 0;
    }
    report->row_writes_per_order = rows / (double)orders;
    report->toast_writes_per_order = toast / (double)orders;
    report->commits_per_order = commits / (double)orders;
    report->batches_per_order = batches / (double)orders;
    report->batch_mean = op_count / op_batches;
}

static void
measure_load(const struct bench *bench, struct bench_report *report, struct bench_texts *ret_texts)
{
    int64_t span_us = bench->seconds * SECOND_US;
    struct bench_load *load = bench_load_open(bench);
    struct bench_counts before, after;
    struct bench_outcome first, last;
    struct meter meter = { .bench = bench, .texts = ret_texts };

    bench_programs_find(bench, &meter.programs[0]);
    meter.programs[1] = meter.programs[0];
    counts_settle(load);
    bench_counts_read(bench, "", &before);
    bench_load_count(load, &first);
    bench_say("saturation: %lld orders in flight, for %lld s after warming up",
              (long long)bench->in_flight, (long long)bench->seconds);
    report->saturation =
        bench_load_saturate(load, span_us * WARM_PERCENT / 100, span_us, meter_read, &meter);
    counts_settle(load);
    bench_counts_read(bench, "", &after);
    bench_load_count(load, &last);
    fill_programs(report, &meter, report->saturation.count);
    fill_counts(report, &before, &after, last.paid - first.paid);
    bench_say("latency: %d %% of that, on a fixed schedule, for %lld s", PACE_PERCENT,
              (long long)bench->seconds);
    report->latency =
        bench_load_pace(load, report->saturation.orders_per_s * PACE_PERCENT / 100, span_us);
    bench_say("lone orders, one after the other");
    report->lone = bench_load_lone(load, LONE_ORDERS, span_us);
    bench_load_count(load, &report->outcome);
    bench_load_close(load);
    report->is_sound = bench_store_is_sound(bench, report->outcome.paid);
}

static void
measure(const struct bench *bench, struct bench_report *report)
{
    const char *directory =
        bench_ask(bench, bench_conninfo(bench, "", BENCH_ORDERS), "SHOW data_directory");
    struct bench_texts texts;

    report->in_flight = bench->in_flight;
    report->fdatasync_us = bench_disk_sync_us(directory);
    bench_shop_fill(bench);
    measure_load(bench, report, &texts);
    bench_say("floor: the same rows without services, for about %lld s", (long long)bench->seconds);
    report->floor = bench_floor_run(bench, report->orders_per_batch, &texts);
}

int
main(int argc, char **argv)
{
    struct bench bench = { 0 };
    struct bench_report report = { 0 };
    struct rpc_tls_settings tls;
    const struct config_table tables[] = { { keys, &bench }, { rpc_tls_keys, &tls } };
    bool is_right;

    log_open("bench-orders", LOG_WARN);
    if (config_read(argc, argv, usage, tables, 2) != 0) {
        fprintf(stderr, "bench-orders: '%s' is no flag; --help lists the flags\n", argv[0]);
        return 2;
    }
    if (rpc_tls_open(&tls, NULL, NULL) != ERR_OK)
        return 2;
    bench.arena = arena_new();
    measure(&bench, &report);
    rpc_tls_close();
    if (bench.is_json)
        bench_report_json(&report);
    else
        bench_report_print(&report);
    arena_free(bench.arena);
    is_right = report.is_sound && report.outcome.failed == 0 && report.outcome.lost == 0;
    return is_right ? 0 : 1;
}
