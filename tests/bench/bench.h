/* bench.h -- bench-orders: what a mesh does in a second, beside what its database could.
 *
 *     load    products and wallets, then orders from Place to PAID: as many as it takes (saturation), then
 *             60 % of that on a fixed schedule (latency), then one after the other (lone)
 *     floor   the same rows into databases of the same schemas, by bare set-based statements: same
 *             session settings, connections and batch sizes, no RPC, no logic, no reads
 *
 *   main.c         flags, the order of things         bench_proc.c   CPU, memory, the disk
 *   bench_shop.c   products and wallets               bench_store.c  what PostgreSQL has counted
 *   bench_load.c   orders                             bench_floor.c  the floor
 *   bench_report.c what is printed                    bench_lane*.c  its rows
 *
 * Thread    main, unless said otherwise.
 * Errors    A benchmark that cannot go on says why and ends the program with 1.
 * Units     *_us microseconds, *_ms milliseconds. Figures that are only printed are doubles.
 */
#ifndef BENCH_H
#define BENCH_H

#include "mesh/base/arena.h"
#include "mesh/base/uuid.h"
#include "mesh/rpc/post.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_DATABASES = 4, BENCH_PROGRAMS_MAX = 48, BENCH_NAME_BYTES = 24 };
#define BENCH_CURRENCY "JPY"
#define BENCH_PRICE_MINOR 100

struct bench {
    const char *order, *storage, *account, *saga; /* addresses */
    const char *programs;                         /* "storage:PID,account:PID,..." */
    const char *postgres;                         /* conninfo without dbname */
    int64_t postgres_pid, seconds, in_flight, products, wallets;
    bool is_json;
    struct arena *arena; /* of the whole run */
};

/* Ends the program with 1. */
void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A line of progress, for whoever waits. */
void bench_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Until a time of clock_steady_us(), or for a while. The schedule of a load is by the clock. */
void bench_pause_until_us(int64_t until_us);
void bench_pause_us(int64_t span_us);

/* ---- bench_shop.c ---- */

void bench_product_name(int64_t index, char name[BENCH_NAME_BYTES]);
void bench_customer_name(int64_t index, char name[BENCH_NAME_BYTES]);

/* Makes products with stock and wallets with money, more than any run can use up. */
void bench_shop_fill(const struct bench *bench);

/* ---- bench_load.c ---- */

struct bench_load;

/* What became of orders. */
struct bench_outcome {
    int64_t paid;
    int64_t failed;  /* FAILED: the shop has plenty of everything, so none should */
    int64_t lost;    /* no answer after all retries */
    int64_t retries; /* calls that were sent once more: BUSY, a connection lost */
};

/* What one order took, and how many there were of them. */
struct bench_span {
    double orders_per_s, p50_ms, p99_ms, max_ms;
    int64_t count;
};

struct bench_load *bench_load_open(const struct bench *bench);
struct bench_load *bench_load_close(struct bench_load *load);
void bench_load_count(const struct bench_load *load, struct bench_outcome *ret_outcome);

/* A closed loop of bench->in_flight orders; measured() is called at both ends of the time that counts,
 * which begins after warm_us. */
struct bench_span bench_load_saturate(struct bench_load *load, int64_t warm_us, int64_t span_us,
                                      void (*measured)(void *owner), void *owner);

/* An open loop: orders fall due on a fixed schedule, and their time counts from then. */
struct bench_span bench_load_pace(struct bench_load *load, double orders_per_s, int64_t span_us);

/* One after the other. */
struct bench_span bench_load_lone(struct bench_load *load, int64_t count_max, int64_t span_us);

/* ---- bench_proc.c ---- */

/* CPU and memory of a program, PostgreSQL with all its processes, and ourselves ("bench"). */
struct bench_program {
    char name[16];
    int64_t pid;
    bool is_tree; /* with its children */
    int64_t cpu_us, rss_bytes;
};

struct bench_programs {
    struct bench_program all[BENCH_PROGRAMS_MAX];
    size_t count;
};

void bench_programs_find(const struct bench *bench, struct bench_programs *ret_programs);
void bench_programs_read(struct bench_programs *programs);

/* What it takes to write 8 KiB and have it on disk, beside the database: the median of some. */
double bench_disk_sync_us(const char *directory);

/* ---- bench_store.c ---- */

/* What the databases have counted, in the order of bench_databases. */
struct bench_counts {
    struct {
        int64_t row_writes;   /* of our tables: inserted, updated, deleted */
        int64_t toast_writes; /* of PostgreSQL's own, for long texts */
        int64_t commits;      /* of reads, too */
        int64_t batches;      /* transactions that wrote an order's rows */
    } database[BENCH_DATABASES];
};

enum { BENCH_ORDERS, BENCH_STORAGE, BENCH_ACCOUNT, BENCH_SAGA };
extern const char *const bench_databases[BENCH_DATABASES]; /* "orders", "storage", ... */

void bench_counts_read(const struct bench *bench, const char *prefix,
                       struct bench_counts *ret_counts);

/* Texts as the services really write them, so that the floor writes the same. */
struct bench_texts {
    const char *order_placed, *order_paid, *payment, *traceparent; /* events */
    const char *lines, *hold_lines;
    const char *page, *final; /* the journal: a page of the mean size, a final row */
};
void bench_texts_read(const struct bench *bench, struct bench_texts *ret_texts);

/* Sums that must be right when no order is under way. Says what is wrong; true: nothing is. */
bool bench_store_is_sound(const struct bench *bench, int64_t paid);

/* dbname of database `index`, with "floor_" before it or not. */
const char *bench_conninfo(const struct bench *bench, const char *prefix, size_t index);

/* For psql's kind of question: the first column of the first row. */
const char *bench_ask(const struct bench *bench, const char *conninfo, const char *sql);

/* ---- bench_floor.c ---- */

struct bench_floor {
    double orders_per_s;
    int64_t orders, row_writes;
    double postgres_cpu_us, own_cpu_us; /* per order */
};

/* orders_per_batch[i]: how many orders' rows one transaction of a database held. */
struct bench_floor bench_floor_run(const struct bench *bench,
                                   const double orders_per_batch[BENCH_DATABASES],
                                   const struct bench_texts *texts);

/* ---- bench_report.c ---- */

struct bench_report {
    struct bench_span saturation, latency, lone;
    struct bench_outcome outcome;
    struct bench_floor floor;
    double fdatasync_us, batch_mean;
    double row_writes_per_order, toast_writes_per_order, commits_per_order, batches_per_order;
    double orders_per_batch[BENCH_DATABASES];
    struct bench_programs programs; /* cpu_us: per order; rss_bytes: at the end of saturation */
    int64_t in_flight;
    bool is_sound;
};

void bench_report_print(const struct bench_report *report);
void bench_report_json(const struct bench_report *report);

#endif
