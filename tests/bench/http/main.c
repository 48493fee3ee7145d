/* bench-http -- measures bff of a mesh that ./dev bench has started. */
#include "mesh/base/clock.h"
#include "mesh/base/config.h"
#include "mesh/base/log.h"
#include "tests/bench/http/http_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
    WARM_PERCENT = 30,       /* of the time that counts */
    REQUESTS_MAX = 2000000,  /* of a part, however fast it is */
    FLOOR_SECONDS_MAX = 3,   /* it is steady soon */
    PAY_SECONDS_MAX = 60,    /* of a part that ends when all payments are used up */
    SETTLE_SECONDS_MAX = 60, /* for orders that nobody waits for */
    SETTLE_TURN_US = 100 * 1000,
    TOKEN_BYTES_MAX = 2048,
};

static const char usage[] =
    "usage: bench-http [FLAGS]\n"
    "Requests to bff of a running mesh over connections that stay, and to the same HTTP library\n"
    "answering a constant. ./dev bench http starts such a mesh and calls this.\n"
    "exit status: 0 measured, every answer was right; 1 not; 2 not understood\n"
    "\n"
    "flags:";

struct settings {
    struct bench bench;
    const char *bff, *webhook, *token_file, *webhook_secret;
};

/* clang-format off */
static const struct config_key keys[] = {
    { "seconds",        CONFIG_INT,  "5",    1, 600, "of each part", offsetof(struct settings, bench.seconds) },
    { "products",       CONFIG_INT,  "100",  1, 100000, "in the shop", offsetof(struct settings, bench.products) },
    { "wallets",        CONFIG_INT,  "1000", 1, 100000, "in the shop", offsetof(struct settings, bench.wallets) },
    { "json",           CONFIG_FLAG, NULL,   0, 0, "figures in JSON", offsetof(struct settings, bench.is_json) },
    { "bff",            CONFIG_TEXT, NULL,   0, 0, "address of bff", offsetof(struct settings, bff) },
    { "webhook",        CONFIG_TEXT, NULL,   0, 0, "its address for webhooks", offsetof(struct settings, webhook) },
    { "token-file",     CONFIG_TEXT, NULL,   0, 0, "file with an operator's bearer token", offsetof(struct settings, token_file) },
    { "webhook-secret", CONFIG_TEXT, NULL,   0, 0, "file with the secret of the provider 'sandbox'", offsetof(struct settings, webhook_secret) },
    { "order",          CONFIG_TEXT, NULL,   0, 0, "address of order-svc", offsetof(struct settings, bench.order) },
    { "storage",        CONFIG_TEXT, NULL,   0, 0, "address of storage-svc", offsetof(struct settings, bench.storage) },
    { "account",        CONFIG_TEXT, NULL,   0, 0, "address of account-svc", offsetof(struct settings, bench.account) },
    { "saga",           CONFIG_TEXT, NULL,   0, 0, "address of the orchestrator", offsetof(struct settings, bench.saga) },
    { "programs",       CONFIG_TEXT, NULL,   0, 0, "their processes: bff:PID,account:PID,...", offsetof(struct settings, bench.programs) },
    { "postgres",       CONFIG_TEXT, NULL,   0, 0, "conninfo of the server, without a dbname", offsetof(struct settings, bench.postgres) },
    { "postgres-pid",   CONFIG_INT,  "0",    0, INT64_MAX, "its first process", offsetof(struct settings, bench.postgres_pid) },
    { 0 },
};

/* What is measured, in this order: the orders that are shown are those placed before. */
static const struct {
    int kind;
    size_t connections;
} rows[HTTP_PARTS] = {
    { HTTP_POST,    64 }, { HTTP_POST,    1000 },
    { HTTP_GET,     64 }, { HTTP_GET,     1000 },
    { HTTP_WEBHOOK, 64 }, { HTTP_WEBHOOK, 1000 },
    { HTTP_CHECKOUT, 64 }, { HTTP_PAY, 64 }, { HTTP_CHECKOUT, 1000 }, { HTTP_PAY, 1000 },
};
/* clang-format on */

static const char *
token_read(struct arena *arena, const char *path)
{
    char *text = arena_take(arena, TOKEN_BYTES_MAX);
    FILE *file = fopen(path, "r");

    if (file == NULL || fgets(text, TOKEN_BYTES_MAX, file) == NULL)
        bench_fail("%s cannot be read", path);
    fclose(file);
    text[strcspn(text, "\r\n")] = '\0';
    return text;
}

/* A thousand connections and what else is open. */
static void
allow_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* ---- one part ---- */

/* What is read at both ends of the span. */
struct meter {
    struct bench_programs programs[2];
    int count;
};

static void
meter_open(struct meter *meter, const struct bench *bench)
{
    meter->count = 0;
    bench_programs_find(bench, &meter->programs[0]);
    meter->programs[1] = meter->programs[0];
}

static void
meter_read(void *owner)
{
    struct meter *meter = owner;

    bench_programs_read(&meter->programs[meter->count++]);
}

static struct bench_programs
meter_difference(const struct meter *meter)
{
    struct bench_programs programs = meter->programs[1];

    for (size_t i = 0; i < programs.count; i++)
        programs.all[i].cpu_us -= meter->programs[0].all[i].cpu_us;
    return programs;
}

static struct http_span
load_run(const struct bench *bench, struct http_load *load, int64_t seconds,
         struct bench_programs *ret_programs)
{
    struct meter meter;
    struct http_span span;

    meter_open(&meter, bench);
    load->span_us = seconds * SECOND_US;
    load->warm_us = load->requests_max > 0 ? 0 : load->span_us * WARM_PERCENT / 100;
    if (load->requests_max == 0)
        load->requests_max = REQUESTS_MAX;
    load->measured = meter_read;
    load->owner = &meter;
    span = http_load_run(load);
    *ret_programs = meter_difference(&meter);
    return span;
}

static void
measure_floor(const struct settings *settings, struct http_load *load, struct http_part *part)
{
    struct http_maker *maker = load->maker;
    struct bench bench = settings->bench;
    struct http_floor floor;

    maker->floor_status = part->kind->status;
    maker->floor_bytes = (size_t)(part->span.body_bytes + 0.5);
    floor = http_floor_open(maker->floor_status, maker->floor_bytes);
    bench.programs = arena_print(bench.arena, "floor:%d", (int)floor.pid);
    bench.postgres_pid = 0;
    load->address.sin_port = htons((uint16_t)floor.port);
    load->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    load->is_right = http_floor_is_right;
    load->requests_max = 0;
    part->floor_span = load_run(
        &bench, load, bench.seconds < FLOOR_SECONDS_MAX ? bench.seconds : FLOOR_SECONDS_MAX,
        &part->floor_programs);
    http_floor_close(&floor);
}

/* Orders that were answered 202, or that a webhook has paid, become PAID without anybody waiting; the
 * next part begins after them. */
static void
orders_settle(const struct bench *bench, int64_t due)
{
    int64_t until_us = clock_steady_us() + SETTLE_SECONDS_MAX * SECOND_US;

    while (atoll(bench_ask(bench, bench_conninfo(bench, "", BENCH_ORDERS),
                           "SELECT count(*) FROM orders WHERE status = 3")) < due &&
           clock_steady_us() < until_us)
        bench_pause_us(SETTLE_TURN_US);
}

static void
measure_part(const struct settings *settings, struct http_maker *maker, struct http_part *part)
{
    const struct http_kind *kind = part->kind;
    struct http_load load = { .connections = part->connections,
                              .maker = maker,
                              .write = kind->write,
                              .is_right = kind->is_right };
    int64_t later = maker->later, seconds = settings->bench.seconds;

    if (kind->uses_up) {
        load.requests_max = (int64_t)maker->payment_count;
        seconds = PAY_SECONDS_MAX;
    }
    bench_say("%s on %zu connections, and its floor", kind->title, part->connections);
    maker->authority = kind->is_webhook ? settings->webhook : settings->bff;
    if (!http_address_read(maker->authority, &load.address))
        bench_fail("%s is no address", maker->authority);
    part->span = load_run(&settings->bench, &load, seconds, &part->programs);
    part->later = maker->later - later;
    orders_settle(&settings->bench, maker->due);
    if (kind == &http_kinds[HTTP_CHECKOUT])
        http_payments_read(&settings->bench, maker);
    measure_floor(settings, &load, part);
}

/* ---- all of them ---- */

static void
measure(const struct settings *settings, struct http_report *report)
{
    const struct bench *bench = &settings->bench;
    struct http_maker maker = { .token = token_read(bench->arena, settings->token_file),
                                .products = bench->products,
                                .wallets = bench->wallets };

    maker.orders = memory_take(HTTP_ORDERS_KEPT * sizeof *maker.orders);
    http_secret_read(&maker, settings->webhook_secret);
    bench_shop_fill(bench);
    report->is_sound = true;
    for (size_t i = 0; i < HTTP_PARTS; i++) {
        struct http_part *part = &report->parts[report->count++];

        part->kind = &http_kinds[rows[i].kind];
        part->connections = rows[i].connections;
        if (rows[i].kind == HTTP_GET && maker.order_count == 0)
            bench_fail("no order was placed that could be shown");
        /* The first of them: from here on, not every order has a charge. */
        if (rows[i].kind == HTTP_CHECKOUT && maker.paid == 0)
            report->is_sound = bench_store_is_sound(bench, maker.placed);
        measure_part(settings, &maker, part);
        report->errors += part->span.errors + part->floor_span.errors;
    }
    report->placed = maker.placed;
    report->stored = maker.stored;
    report->paid = maker.paid;
    report->is_sound = http_payments_are_sound(bench, &maker) && report->is_sound;
    free(maker.orders);
    free(maker.payments);
}

int
main(int argc, char **argv)
{
    struct settings settings = { 0 };
    struct http_report report = { 0 };
    const struct config_table table = { keys, &settings };

    log_open("bench-http", LOG_WARN);
    allow_files();
    if (argc > 1 && strcmp(argv[1], "floor") == 0)
        return http_floor_main(argc - 2, argv + 2);
    if (config_read(argc, argv, usage, &table, 1) != 0) {
        fprintf(stderr, "bench-http: '%s' is no flag; --help lists the flags\n", argv[0]);
        return 2;
    }
    settings.bench.arena = arena_new();
    measure(&settings, &report);
    if (settings.bench.is_json)
        http_report_json(&report);
    else
        http_report_print(&report);
    arena_free(settings.bench.arena);
    return report.errors == 0 && report.is_sound ? 0 : 1;
}
