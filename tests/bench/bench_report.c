#include "mesh/base/json.h"
#include "tests/bench/bench.h"

#include <stdio.h>
#include <string.h>

static double
floor_ratio(const struct bench_report *report)
{
    return report->saturation.orders_per_s / report->floor.orders_per_s;
}

/* ---- for people ---- */

static void
line(const char *what, double value, int digits, const char *unit, const char *note)
{
    printf("%-26s %10.*f %-9s %s\n", what, digits, value, unit, note);
}

static void
print_programs(const struct bench_programs *programs)
{
    double total = 0;

    printf("\n%-26s %10s %9s\n", "program", "CPU us", "memory MB");
    for (size_t i = 0; i < programs->count; i++) {
        total += (double)programs->all[i].cpu_us;
        printf("%-26s %10.1f %9.1f\n", programs->all[i].name, (double)programs->all[i].cpu_us,
               (double)programs->all[i].rss_bytes / 1e6);
    }
    printf("%-26s %10.1f           per order\n", "all of it", total);
}

void
bench_report_print(const struct bench_report *report)
{
    const struct bench_outcome *outcome = &report->outcome;

    printf("\n%-26s %10s\n", "orders, Place to PAID", "");
    line("saturation", report->saturation.orders_per_s, 0, "orders/s", "");
    line("  median", report->saturation.p50_ms, 1, "ms", "");
    line("  99 %", report->saturation.p99_ms, 1, "ms", "");
    line("floor", report->floor.orders_per_s, 0, "orders/s", "the same rows, no services");
    line("  reached of the floor", floor_ratio(report) * 100, 1, "%", "");
    line("at 60 % of saturation", report->latency.orders_per_s, 0, "orders/s", "");
    line("  median", report->latency.p50_ms, 1, "ms", "");
    line("  99 %", report->latency.p99_ms, 1, "ms", "");
    line("  slowest", report->latency.max_ms, 1, "ms", "");
    line("a lone order", report->lone.p50_ms, 1, "ms", "median");
    printf("\n");
    line("ops in a batch", report->batch_mean, 1, "", "mean of order, storage and account");
    for (size_t i = 0; i < BENCH_DATABASES; i++) {
        char what[32];

        snprintf(what, sizeof what, "  %s", bench_databases[i]);
        line(what, report->orders_per_batch[i], 1, "", "orders a writing transaction");
    }
    line("row writes", report->row_writes_per_order, 1, "an order", "");
    line("  of the floor", (double)report->floor.row_writes / (double)report->floor.orders, 1,
         "an order", "");
    line("  and pieces of long texts", report->toast_writes_per_order, 1, "an order", "TOAST");
    line("commits", report->commits_per_order, 2, "an order", "of reads, too");
    line("  that wrote", report->batches_per_order, 2, "an order", "");
    line("fdatasync", report->fdatasync_us, 0, "us", "median of 8 KiB, beside the database");
    print_programs(&report->programs);
    line("floor: postgres", report->floor.postgres_cpu_us, 1, "CPU us", "an order");
    line("floor: its client", report->floor.own_cpu_us, 1, "CPU us", "an order");
    printf("\n%lld orders PAID, %lld FAILED, %lld without an answer, %lld calls retried; %s\n",
           (long long)outcome->paid, (long long)outcome->failed, (long long)outcome->lost,
           (long long)outcome->retries,
           report->is_sound ? "stock, ledger and events add up" : "the sums are WRONG, see above");
}

/* ---- for programs ---- */

static void
put(struct json_writer *writer, const char *key, double value)
{
    char text[32];
    int bytes = snprintf(text, sizeof text, "%.3f", value);

    json_put_raw(writer, key, text, (size_t)bytes);
}

static void
put_programs(struct json_writer *writer, const struct bench_programs *programs)
{
    json_open_object(writer, "cpu_us_per_order");
    for (size_t i = 0; i < programs->count; i++)
        put(writer, programs->all[i].name, (double)programs->all[i].cpu_us);
    json_close_object(writer);
    json_open_object(writer, "rss_mb");
    for (size_t i = 0; i < programs->count; i++)
        put(writer, programs->all[i].name, (double)programs->all[i].rss_bytes / 1e6);
    json_close_object(writer);
}

static void
put_rates(struct json_writer *writer, const struct bench_report *report)
{
    put(writer, "orders_per_s", report->saturation.orders_per_s);
    put(writer, "floor_orders_per_s", report->floor.orders_per_s);
    put(writer, "floor_ratio", floor_ratio(report));
    put(writer, "p50_ms", report->latency.p50_ms);
    put(writer, "p99_ms", report->latency.p99_ms);
    put(writer, "lone_ms", report->lone.p50_ms);
    put(writer, "saturation_p50_ms", report->saturation.p50_ms);
    put(writer, "saturation_p99_ms", report->saturation.p99_ms);
    put(writer, "paced_orders_per_s", report->latency.orders_per_s);
    json_put_int(writer, "in_flight", report->in_flight);
}

static void
put_counts(struct json_writer *writer, const struct bench_report *report)
{
    put(writer, "batch_mean", report->batch_mean);
    json_open_object(writer, "orders_per_batch");
    for (size_t i = 0; i < BENCH_DATABASES; i++)
        put(writer, bench_databases[i], report->orders_per_batch[i]);
    json_close_object(writer);
    put(writer, "row_writes_per_order", report->row_writes_per_order);
    put(writer, "floor_row_writes_per_order",
        (double)report->floor.row_writes / (double)report->floor.orders);
    put(writer, "toast_writes_per_order", report->toast_writes_per_order);
    put(writer, "commits_per_order", report->commits_per_order);
    put(writer, "write_commits_per_order", report->batches_per_order);
    put(writer, "fdatasync_us", report->fdatasync_us);
    put(writer, "floor_postgres_cpu_us_per_order", report->floor.postgres_cpu_us);
}

void
bench_report_json(const struct bench_report *report)
{
    struct json_writer writer = { 0 };

    json_open_object(&writer, NULL);
    put_rates(&writer, report);
    put_counts(&writer, report);
    put_programs(&writer, &report->programs);
    json_put_int(&writer, "paid", report->outcome.paid);
    json_put_int(&writer, "failed", report->outcome.failed);
    json_put_int(&writer, "lost", report->outcome.lost);
    json_put_int(&writer, "retries", report->outcome.retries);
    json_put_bool(&writer, "is_sound", report->is_sound);
    json_close_object(&writer);
    puts(writer.text);
    json_writer_free(&writer);
}
