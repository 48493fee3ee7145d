#include "mesh/base/json.h"
#include "tests/bench/http/http_bench.h"

#include <stdio.h>
#include <string.h>

static const struct bench_program *
program_find(const struct bench_programs *programs, const char *name)
{
    for (size_t i = 0; i < programs->count; i++) {
        if (strcmp(programs->all[i].name, name) == 0)
            return &programs->all[i];
    }
    bench_fail("--programs names no %s", name);
}

static double
cpu_us(const struct bench_program *program, const struct http_span *span)
{
    return span->requests == 0 ? 0 : (double)program->cpu_us / (double)span->requests;
}

static double
memory_mb(const struct bench_program *program)
{
    return (double)program->rss_bytes / 1e6;
}

/* Of everything that is neither the server asked nor ourselves. */
static double
behind_us(const struct http_part *part)
{
    double total = 0;

    for (size_t i = 0; i < part->programs.count; i++) {
        const char *name = part->programs.all[i].name;

        if (strcmp(name, "bff") != 0 && strcmp(name, "bench") != 0)
            total += cpu_us(&part->programs.all[i], &part->span);
    }
    return total;
}

/* ---- for people ---- */

static void
print_row(const char *title, size_t connections, const struct http_span *span,
          const struct bench_program *server, double behind)
{
    printf("%-29s %5zu %10.0f %8.1f %8.1f %8.1f %9.1f %9.1f %7lld\n", title, connections,
           span->requests_per_s, span->p50_ms, span->p99_ms, cpu_us(server, span), behind,
           memory_mb(server), (long long)span->errors);
}

static void
print_rates(const struct http_report *report)
{
    printf("\n%-29s %5s %10s %8s %8s %8s %9s %9s %7s\n", "", "conns", "requests/s", "p50 ms",
           "p99 ms", "CPU us", "behind us", "memory MB", "errors");
    for (size_t i = 0; i < report->count; i++) {
        const struct http_part *part = &report->parts[i];

        print_row(part->kind->title, part->connections, &part->span,
                  program_find(&part->programs, "bff"), behind_us(part));
        print_row("  floor", part->connections, &part->floor_span,
                  program_find(&part->floor_programs, "floor"), 0);
    }
    printf(
        "CPU a request: of bff or the floor, and of all that is behind it. The floor is the same\n"
        "HTTP library answering a constant of the same size. Webhooks are signed, and stored "
        "before\n"
        "their answer: of payments that are not there (a row of the inbox each), and of payments "
        "that\n"
        "orders wait for, once each: those orders are on their way to PAID meanwhile.\n");
}

static void
print_programs(const struct http_report *report)
{
    const struct bench_programs *programs = &report->parts[0].programs;

    printf("\n%-29s %5s", "CPU us a request", "conns");
    for (size_t i = 0; i < programs->count; i++)
        printf(" %8s", programs->all[i].name);
    printf("\n");
    for (size_t i = 0; i < report->count; i++) {
        const struct http_part *part = &report->parts[i];

        printf("%-29s %5zu", part->kind->title, part->connections);
        for (size_t j = 0; j < part->programs.count; j++)
            printf(" %8.1f", cpu_us(&part->programs.all[j], &part->span));
        printf("\n");
    }
}

void
http_report_print(const struct http_report *report)
{
    int64_t later = 0;

    print_rates(report);
    print_programs(report);
    for (size_t i = 0; i < report->count; i++)
        later += report->parts[i].later;
    printf("\n%lld orders placed and PAID (%lld of them answered 202: after bff's 2 s), %lld "
           "webhooks stored (%lld of them paid an order), %lld errors; %s\n",
           (long long)report->placed, (long long)later, (long long)report->stored,
           (long long)report->paid, (long long)report->errors,
           report->is_sound ? "stock, ledger, events, payments and inbox add up"
                            : "the sums are WRONG, see above");
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
put_span(struct json_writer *writer, const struct http_span *span)
{
    put(writer, "requests_per_s", span->requests_per_s);
    put(writer, "p50_ms", span->p50_ms);
    put(writer, "p99_ms", span->p99_ms);
    put(writer, "max_ms", span->max_ms);
    json_put_int(writer, "requests", span->requests);
    json_put_int(writer, "errors", span->errors);
    put(writer, "body_bytes", span->body_bytes);
}

static void
put_programs(struct json_writer *writer, const struct bench_programs *programs,
             const struct http_span *span)
{
    json_open_object(writer, "cpu_us_per_request");
    for (size_t i = 0; i < programs->count; i++)
        put(writer, programs->all[i].name, cpu_us(&programs->all[i], span));
    json_close_object(writer);
    json_open_object(writer, "rss_mb");
    for (size_t i = 0; i < programs->count; i++)
        put(writer, programs->all[i].name, memory_mb(&programs->all[i]));
    json_close_object(writer);
}

static void
put_part(struct json_writer *writer, const struct http_part *part)
{
    json_open_object(writer, NULL);
    json_put_text(writer, "name", part->kind->name);
    json_put_int(writer, "connections", (int64_t)part->connections);
    put_span(writer, &part->span);
    json_put_int(writer, "answered_later", part->later);
    put_programs(writer, &part->programs, &part->span);
    json_open_object(writer, "floor");
    put_span(writer, &part->floor_span);
    put_programs(writer, &part->floor_programs, &part->floor_span);
    json_close_object(writer);
    json_close_object(writer);
}

void
http_report_json(const struct http_report *report)
{
    struct json_writer writer = { 0 };

    json_open_object(&writer, NULL);
    json_open_array(&writer, "parts");
    for (size_t i = 0; i < report->count; i++)
        put_part(&writer, &report->parts[i]);
    json_close_array(&writer);
    json_put_int(&writer, "orders_placed", report->placed);
    json_put_int(&writer, "webhooks_stored", report->stored);
    json_put_int(&writer, "webhooks_that_paid", report->paid);
    json_put_int(&writer, "errors", report->errors);
    json_put_bool(&writer, "is_sound", report->is_sound);
    json_close_object(&writer);
    printf("%s\n", writer.text);
    json_writer_free(&writer);
}
