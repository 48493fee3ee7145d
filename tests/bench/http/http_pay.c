/* Payments that orders wait for: which there are, and whether all of it adds up in the end. */
#include "mesh/base/clock.h"
#include "tests/bench/http/http_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READY_SECONDS_MAX = 60, READY_TURN_US = 100 * 1000 };

/* What is open: its checkout is there, and no webhook has said anything. */
#define OPEN_SQL " FROM payment WHERE claim = 1 AND url <> ''"

static int64_t
count(const struct bench *bench, size_t database, const char *sql)
{
    return atoll(bench_ask(bench, bench_conninfo(bench, "", database), sql));
}

void
http_payments_read(const struct bench *bench, struct http_maker *maker)
{
    int64_t until_us = clock_steady_us() + READY_SECONDS_MAX * SECOND_US;
    int64_t open = maker->placed - maker->due;
    const char *at;

    while (count(bench, BENCH_ORDERS, "SELECT count(*) FROM orders WHERE status = 2") < open &&
           clock_steady_us() < until_us)
        bench_pause_us(READY_TURN_US);
    at = bench_ask(bench, bench_conninfo(bench, "", BENCH_ACCOUNT),
                   "SELECT coalesce(string_agg(id::text, ' '), '')" OPEN_SQL);
    maker->payment_count = maker->payment_next = 0;
    maker->payments = memory_grow(maker->payments, ((size_t)open + 1) * sizeof *maker->payments);
    for (; *at != '\0' && maker->payment_count < (size_t)open; at += strspn(at, " ")) {
        snprintf(maker->payments[maker->payment_count++], UUID_TEXT_BYTES + 1, "%.*s",
                 UUID_TEXT_BYTES, at);
        at += strcspn(at, " ");
    }
    if (maker->payment_count == 0)
        bench_fail("no order waits for a payment");
}

bool
http_payments_are_sound(const struct bench *bench, const struct http_maker *maker)
{
    /* clang-format off */
    const struct { size_t database; const char *what, *sql; int64_t expected; } sums[] = {
        { BENCH_ORDERS, "orders that are PAID", "SELECT count(*) FROM orders WHERE status = 3", maker->placed },
        { BENCH_ORDERS, "orders that are not", "SELECT count(*) FROM orders WHERE status <> 3", 0 },
        { BENCH_STORAGE, "pieces sold", "SELECT sum(sold) FROM product", maker->placed },
        { BENCH_ACCOUNT, "payments that are taken", "SELECT count(*) FROM payment WHERE claim = 2", maker->paid },
        { BENCH_ACCOUNT, "webhooks in the inbox", "SELECT count(*) FROM payment_inbox", maker->stored },
    };
    /* clang-format on */
    bool is_sound = true;

    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        int64_t found = count(bench, sums[i].database, sums[i].sql);

        if (found == sums[i].expected)
            continue;
        is_sound = false;
        bench_say("WRONG: %s are %lld, not %lld", sums[i].what, (long long)found,
                  (long long)sums[i].expected);
    }
    return is_sound;
}
