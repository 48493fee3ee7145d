/* http_bench.h -- bench-http: what bff answers in a second, beside what its HTTP library could.
 *
 *     part    one kind of request on so many connections, each with one request under way: orders
 *             placed with the wallet, an order shown, webhooks of unknown payments stored; then orders
 *             that wait for their payment, and the webhook that pays each of them
 *     floor   the same requests to the same library in a small process, which answers a constant of
 *             the same status and size
 *
 *   main.c        flags, the order of things         http_part.c    requests, and what must come back
 *   http_load.c   a client on epoll                  http_floor.c   the small process
 *   http_report.c what is printed                    http_pay.c     payments: which, and their sums
 *   ../bench.h    the shop, processes, sums
 *
 * Thread    main alone: the client is one loop.
 * Errors    A benchmark that cannot go on says why and ends the program with 1. A wrong answer is
 *           counted, and the first of a part is shown.
 * Units     *_us microseconds, *_ms milliseconds, *_bytes bytes.
 */
#ifndef HTTP_BENCH_H
#define HTTP_BENCH_H

#include "tests/bench/bench.h"

#include <netinet/in.h>

enum {
    HTTP_REQUEST_BYTES_MAX = 4096,
    HTTP_ANSWER_BYTES_MAX = 16 * 1024,
    HTTP_ORDERS_KEPT = 10000, /* of those placed, to be shown later */
    HTTP_SECRET_BYTES_MAX = 64,
    HTTP_PARTS = 10,
};

/* ---- http_part.c ---- */

struct http_maker {
    const char *authority; /* the Host of requests: "127.0.0.1:8080" */
    const char *token;
    uint8_t secret[HTTP_SECRET_BYTES_MAX]; /* of webhooks */
    size_t secret_bytes;
    int64_t products, wallets;
    uint64_t written; /* requests made: chooses product, customer and order */
    char (
        *payments)[UUID_TEXT_BYTES + 1]; /* that can be paid, until a webhook says that they are */
    size_t payment_count, payment_next;
    char (*orders)[UUID_TEXT_BYTES + 1];
    size_t order_count;
    int64_t placed;     /* orders that were answered 201 or 202 */
    int64_t later;      /* of them 202: not final within bff's two seconds */
    int64_t stored;     /* webhooks that were answered STORED */
    int64_t paid;       /* of them those of payments of orders */
    int64_t due;        /* orders that become PAID: by a wallet, or by such a webhook */
    int floor_status;   /* what the floor answers */
    size_t floor_bytes; /* how long its body is */
};

struct http_answer {
    int status;
    const char *body; /* ends with a NUL */
    size_t body_bytes;
};

/* A row of the table of kinds. */
struct http_kind {
    const char *name;  /* "post_orders" */
    const char *title; /* "POST /api/v1/orders" */
    int status;        /* the usual one, which the floor answers too */
    bool is_webhook;   /* it goes to the second port */
    bool uses_up;      /* a payment each */
    /* Writes a request; *ret_tag comes back with its answer. */
    size_t (*write)(struct http_maker *maker, char *bytes, uint64_t *ret_tag);
    bool (*is_right)(struct http_maker *maker, const struct http_answer *answer, uint64_t tag);
};

enum { HTTP_POST, HTTP_GET, HTTP_WEBHOOK, HTTP_CHECKOUT, HTTP_PAY, HTTP_KINDS };
extern const struct http_kind http_kinds[HTTP_KINDS];

/* The secret of a file with "whsec_" and base64. */
void http_secret_read(struct http_maker *maker, const char *path);

/* Of the floor: its constant. */
bool http_floor_is_right(struct http_maker *maker, const struct http_answer *answer, uint64_t tag);

/* ---- http_pay.c ---- */

/* Waits until every order placed can be paid or is PAID, and takes the payments that are open. */
void http_payments_read(const struct bench *bench, struct http_maker *maker);

/* Every order is PAID, the taken payments are those that webhooks were stored of, all are in the inbox. */
bool http_payments_are_sound(const struct bench *bench, const struct http_maker *maker);

/* ---- http_load.c ---- */

struct http_load {
    struct sockaddr_in address;
    size_t connections;
    int64_t warm_us, span_us, requests_max; /* the span ends early when so many were sent */
    struct http_maker *maker;
    size_t (*write)(struct http_maker *maker, char *bytes, uint64_t *ret_tag);
    bool (*is_right)(struct http_maker *maker, const struct http_answer *answer, uint64_t tag);
    void (*measured)(void *owner); /* at both ends of the span */
    void *owner;
};

struct http_span {
    double requests_per_s, p50_ms, p99_ms, max_ms;
    int64_t requests;  /* answered within the span */
    int64_t all;       /* answered, rightly or not, with those before and after the span */
    int64_t errors;    /* wrong answers, broken connections, no answer */
    double body_bytes; /* of an answer, the mean */
};

/* False: address is not "127.0.0.1:8080". */
bool http_address_read(const char *text, struct sockaddr_in *ret_address);

/* A closed loop; ends when every request was answered, or has had time enough. */
struct http_span http_load_run(const struct http_load *load);

/* ---- http_floor.c ---- */

struct http_floor {
    pid_t pid;
    int port, input; /* input: closed, it ends */
};

struct http_floor http_floor_open(int status, size_t body_bytes);
void http_floor_close(struct http_floor *floor);

/* The small process itself: bench-http floor STATUS BYTES. */
int http_floor_main(int argc, char **argv);

/* ---- http_report.c ---- */

struct http_part {
    const struct http_kind *kind;
    size_t connections;
    struct http_span span, floor_span;
    struct bench_programs programs, floor_programs; /* cpu_us: of the span, all of it */
    int64_t later;
};

struct http_report {
    struct http_part parts[HTTP_PARTS];
    size_t count;
    int64_t placed, stored, paid, errors;
    bool is_sound;
};

void http_report_print(const struct http_report *report);
void http_report_json(const struct http_report *report);

#endif
