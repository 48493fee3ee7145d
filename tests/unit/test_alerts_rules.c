/* test_alerts_rules.c -- Every rule and every boundary, as lives of one order told by its news.
 *
 * A row is the news of an order, by their own times, and what must be raised and resolved. Each row is played as it
 * happens, with clock and heartbeats going along; and its news is fed in every order there is, some of it twice, the
 * watch put on disk and read again between any two: the same alerts must come.
 */
#include "mesh/base/clock.h"
#include "tests/support/alerts/alerts_driver.h"
#include "tests/support/alerts/alerts_feed.h"
#include "tests/support/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define START_US (INT64_C(1763718000) * SECOND_US)
#define END_MS INT64_C(3600000)
#define AT(ms) (START_US + (int64_t)(ms)*1000)

enum { STEPS_MAX = 8, ALL_ORDERS_MAX = 6, TOLD_MAX = 12, TEXT_MAX = 512 };

/* A step is "o2 PAID 301000": whose news (o the order, a and b its payments, w a wallet's), its version, its
 * status, and the milliseconds of its time. Behind it, in any order:
 *   expires=900000   until when the order can be paid
 *   at=900001        when it happened at the provider
 *   back=40          paid back of 100
 *   by=a             the payment that the order was paid by
 *   free             the order costs nothing
 * An alert is "+A a2 2000 SUCCEEDED/PENDING": raised (- resolved), its rule, the news that names it, the time at which
 * it began or ended, and the statuses then. */
/* clang-format off */
static const struct row {
    const char *what, *steps, *told; /* in the order of the texts */
    int64_t took_ms;                 /* -1: no order became PAID by a payment */
    bool is_late;                    /* by the service level */
    int64_t grace_a_ms, grace_b_ms, grace_c_ms; /* 0: the default; -1: none */
} rows[] = {
    /* nothing to say */
    { "nothing was asked yet",        "o1 PENDING 0", "", -1, false, 0, 0, 0 },
    { "paid from a wallet",           "o1 PENDING 0, w1 SUCCEEDED 100, o2 PAID 200", "", 100, false, 0, 0, 0 },
    { "refused by a wallet",          "o1 PENDING 0, w1 FAILED 100, o2 FAILED 200", "", -1, false, 0, 0, 0 },
    { "paid at a provider",           "o1 PENDING 0, a1 CREATED 100, o2 WAITING_PAYMENT 200 expires=900000, a2 SUCCEEDED 60000 at=59000, o3 PAID 60250 by=a", "", 250, false, 0, 0, 0 },
    { "declined at a provider",       "o1 PENDING 0, a1 CREATED 100, o2 WAITING_PAYMENT 200 expires=900000, a3 FAILED 60000, o3 FAILED 60200", "", -1, false, 0, 0, 0 },
    { "nobody paid",                  "o1 PENDING 0, o2 WAITING_PAYMENT 200 expires=900000, a3 EXPIRED 960000, o3 FAILED 960200", "", -1, false, 0, 0, 0 },
    { "it costs nothing",             "o1 PENDING 0, o2 PAID 200 free", "", -1, false, 0, 0, 0 },
    { "a payment for no order",       "a2 SUCCEEDED 100", "", -1, false, 0, 0, 0 },
    { "undone, and paid back before", "o1 PENDING 0, w1 SUCCEEDED 100, w2 REFUNDED 200, o2 FAILED 300", "", -1, false, 0, 0, 0 },
    { "undone by services whose clocks are a second apart", "o1 PENDING 0, w1 SUCCEEDED 100, o2 FAILED 300, w2 REFUNDED 1300", "", -1, false, 0, 0, 0 },
    { "the first try failed",         "o1 PENDING 0, o2 WAITING_PAYMENT 1 expires=900000, a3 FAILED 1000, b3 SUCCEEDED 2000, o3 PAID 2100 by=b", "", 100, false, 0, 0, 0 },
    { "the second try failed",        "o1 PENDING 0, o2 WAITING_PAYMENT 1 expires=900000, a3 SUCCEEDED 1000, o3 PAID 1100 by=a, b3 FAILED 2000", "", 100, false, 0, 0, 0 },
    { "failed, and then succeeded",   "o1 PENDING 0, a2 FAILED 1000, a3 SUCCEEDED 2000, o2 PAID 2100 by=a", "", 100, false, 0, 0, 0 },
    { "the shop paid back later",     "o1 PENDING 0, a2 SUCCEEDED 1000, o2 PAID 1100 by=a, a3 REFUNDED 5000000 back=100", "", 100, false, 0, 0, 0 },
    { "what came back was all that is known of it", "o1 PENDING 0, a4 REFUNDED 1000 back=100, o2 PAID 1100 by=a", "", 100, false, 0, 0, 0 },
    { "paid and paid back in a moment, by a provider", "o1 PENDING 0, o2 FAILED 500, a3 SUCCEEDED 9000 back=100, a4 REFUNDED 9000 back=100", "", -1, false, 0, 0, 0 },
    { "PAID is told before the success, by another clock", "o1 PENDING 0, o2 PAID 1000, w1 SUCCEEDED 1500", "", 0, false, 0, 0, 0 },
    { "each word of success counts",  "o1 PENDING 0, a1 COMPLETED 100, o2 PAID 200", "", 100, false, 0, 0, 0 },
    { "so does SUCCESS",              "o1 PENDING 0, a1 SUCCESS 100, o2 PAID 200", "", 100, false, 0, 0, 0 },
    { "so does CAPTURED",             "o1 PENDING 0, a1 CAPTURED 100, o2 PAID 200", "", 100, false, 0, 0, 0 },

    /* rule A */
    { "A: PAID 1 ms before the end",  "o1 PENDING 0, a2 SUCCEEDED 1000, o2 PAID 300999", "", 299999, true, 0, 0, 0 },
    { "A: PAID at the end",           "o1 PENDING 0, a2 SUCCEEDED 1000, o2 PAID 301000", "", 300000, true, 0, 0, 0 },
    { "A: PAID 1 ms after the end",   "o1 PENDING 0, a2 SUCCEEDED 1000, o2 PAID 301001", "+A a2 1000 SUCCEEDED/PENDING, -A a2 301001 SUCCEEDED/PAID", 300001, true, 0, 0, 0 },
    { "A: never PAID",                "o1 PENDING 0, a2 SUCCEEDED 1000", "+A a2 1000 SUCCEEDED/PENDING", -1, true, 0, 0, 0 },
    { "A: of each word: COMPLETED",   "o1 PENDING 0, a2 COMPLETED 1000", "+A a2 1000 COMPLETED/PENDING", -1, true, 0, 0, 0 },
    { "A: of each word: CAPTURED",    "o1 PENDING 0, a2 CAPTURED 1000", "+A a2 1000 CAPTURED/PENDING", -1, true, 0, 0, 0 },
    { "A: of each word: SUCCESS",     "o1 PENDING 0, a2 SUCCESS 1000", "+A a2 1000 SUCCESS/PENDING", -1, true, 0, 0, 0 },
    { "A: it waited for the payment", "o1 PENDING 0, o2 WAITING_PAYMENT 10 expires=900000, a2 SUCCEEDED 1000 at=900, o3 PAID 400000 by=a", "+A a2 1000 SUCCEEDED/WAITING_PAYMENT, -A a2 400000 SUCCEEDED/PAID", 399000, true, 0, 0, 0 },
    { "A: paid back 1 ms before the end", "o1 PENDING 0, a2 SUCCEEDED 1000, a3 REFUNDED 300999 back=100", "", -1, true, 0, 0, 0 },
    { "A: paid back at the end",      "o1 PENDING 0, a2 SUCCEEDED 1000, a3 REFUNDED 301000 back=100", "", -1, true, 0, 0, 0 },
    { "A: paid back 1 ms after the end", "o1 PENDING 0, a2 SUCCEEDED 1000, a3 REFUNDED 301001 back=100", "+A a2 1000 SUCCEEDED/PENDING, -A a2 301001 REFUNDED/PENDING", -1, true, 0, 0, 0 },
    { "A: a part of it went back",    "o1 PENDING 0, a2 SUCCEEDED 1000, a3 REFUNDED 2000 back=99", "+A a2 1000 SUCCEEDED/PENDING", -1, true, 0, 0, 0 },
    { "A: then FAILED, and paid back", "o1 PENDING 0, a2 SUCCEEDED 1000, o2 FAILED 400000, a3 REFUNDED 500000 back=100", "+A a2 1000 SUCCEEDED/PENDING, +C a2 400000 SUCCEEDED/FAILED, -A a2 500000 REFUNDED/FAILED, -C a2 500000 REFUNDED/FAILED", -1, true, 0, 0, 0 },
    { "A: a success of each of two payments", "o1 PENDING 0, a2 SUCCEEDED 1000, b2 SUCCEEDED 2000, o2 PAID 400000 by=b", "+A a2 1000 SUCCEEDED/PENDING, +A b2 2000 SUCCEEDED/PENDING, -A a2 400000 SUCCEEDED/PAID, -A b2 400000 SUCCEEDED/PAID", 399000, true, 0, 0, 0 },
    { "A: the success is taken back in time", "o1 PENDING 0, a2 SUCCEEDED 1000, a3 FAILED 2000", "", -1, false, 0, 0, 0 },
    { "A: the success is taken back later", "o1 PENDING 0, a2 SUCCEEDED 1000, a3 FAILED 400000", "+A a2 1000 SUCCEEDED/PENDING, -A a2 400000 FAILED/PENDING", -1, true, 0, 0, 0 },
    { "A: said again later by another version", "o1 PENDING 0, a2 SUCCEEDED 1000, a3 SUCCEEDED 250000, o2 PAID 301001", "+A a2 1000 SUCCEEDED/PENDING, -A a2 301001 SUCCEEDED/PAID", 300001, true, 0, 0, 0 },
    { "A: a grace of 2 s, kept",      "o1 PENDING 0, a2 SUCCEEDED 1000, o2 PAID 3000", "", 2000, false, 2000, 0, 0 },
    { "A: a grace of 2 s, missed",    "o1 PENDING 0, a2 SUCCEEDED 1000, o2 PAID 3001", "+A a2 1000 SUCCEEDED/PENDING, -A a2 3001 SUCCEEDED/PAID", 2001, false, 2000, 0, 0 },

    /* rule B */
    { "B: a success 1 ms before the end", "o1 PENDING 0, o2 PAID 1000, w1 SUCCEEDED 300999", "", 0, false, 0, 0, 0 },
    { "B: a success at the end",      "o1 PENDING 0, o2 PAID 1000, w1 SUCCEEDED 301000", "", 0, false, 0, 0, 0 },
    { "B: a success 1 ms after the end", "o1 PENDING 0, o2 PAID 1000, w1 SUCCEEDED 301001", "+B o2 1000 NONE/PAID, -B o2 301001 SUCCEEDED/PAID", 0, false, 0, 0, 0 },
    { "B: no payment at all",         "o1 PENDING 0, o2 PAID 1000", "+B o2 1000 NONE/PAID", -1, false, 0, 0, 0 },
    { "B: a payment that was only made", "o1 PENDING 0, a1 CREATED 500, o2 PAID 1000", "+B o2 1000 CREATED/PAID", -1, false, 0, 0, 0 },
    { "B: the payment FAILED",        "o1 PENDING 0, a2 FAILED 500, o2 PAID 1000", "+B o2 1000 FAILED/PAID", -1, false, 0, 0, 0 },
    { "B: the payment EXPIRED",       "o1 PENDING 0, a2 EXPIRED 500, o2 PAID 1000", "+B o2 1000 EXPIRED/PAID", -1, false, 0, 0, 0 },
    { "B: the payment was CANCELLED", "o1 PENDING 0, a2 CANCELLED 500, o2 PAID 1000", "+B o2 1000 CANCELLED/PAID", -1, false, 0, 0, 0 },
    { "B: the payment was CANCELED",  "o1 PENDING 0, a2 CANCELED 500, o2 PAID 1000", "+B o2 1000 CANCELED/PAID", -1, false, 0, 0, 0 },
    { "B: all of its payments failed", "o1 PENDING 0, a2 FAILED 500, b2 EXPIRED 700, o2 PAID 1000", "+B o2 1000 EXPIRED/PAID", -1, false, 0, 0, 0 },
    { "B: one of them succeeds late", "o1 PENDING 0, a2 FAILED 500, o2 PAID 1000, b2 SUCCEEDED 500000", "+B o2 1000 FAILED/PAID, -B o2 500000 SUCCEEDED/PAID", 0, false, 0, 0, 0 },
    { "B: the success was taken back", "o1 PENDING 0, a2 SUCCEEDED 500, o2 PAID 1000, a3 FAILED 9000", "+B a3 9000 FAILED/PAID", 500, false, 0, 0, 0 },
    { "B: it was taken back before PAID", "o1 PENDING 0, a2 SUCCEEDED 500, a3 FAILED 900, o2 PAID 1000", "+B o2 1000 FAILED/PAID", 500, false, 0, 0, 0 },
    { "B: taken back, and paid again in time", "o1 PENDING 0, a2 SUCCEEDED 500, o2 PAID 1000, a3 FAILED 9000, b1 SUCCEEDED 309000", "", 500, false, 0, 0, 0 },
    { "B: taken back, and paid again", "o1 PENDING 0, a2 SUCCEEDED 500, o2 PAID 1000, a3 FAILED 9000, b1 SUCCEEDED 309001", "+B a3 9000 FAILED/PAID, -B a3 309001 SUCCEEDED/PAID", 500, false, 0, 0, 0 },
    { "B: it comes again with another event", "o1 PENDING 0, o2 PAID 1000, a2 SUCCEEDED 400000, a3 FAILED 500000", "+B a3 500000 FAILED/PAID, +B o2 1000 NONE/PAID, -B o2 400000 SUCCEEDED/PAID", 0, false, 0, 0, 0 },
    { "B: none of it within a grace of 1 s", "o1 PENDING 0, o2 PAID 1000, w1 SUCCEEDED 2001", "+B o2 1000 NONE/PAID, -B o2 2001 SUCCEEDED/PAID", 0, false, 0, 1000, 0 },
    { "B: without a grace",           "o1 PENDING 0, o2 PAID 1000, w1 SUCCEEDED 1001", "+B o2 1000 NONE/PAID, -B o2 1001 SUCCEEDED/PAID", 0, false, 0, -1, 0 },
    { "B: without a grace, in the same moment", "o1 PENDING 0, o2 PAID 1000, w1 SUCCEEDED 1000", "", 0, false, 0, -1, 0 },

    /* rule C */
    { "C: after the order FAILED",    "o1 PENDING 0, o2 FAILED 500, a2 SUCCEEDED 9000", "+C a2 9000 SUCCEEDED/FAILED", -1, false, 0, 0, 0 },
    { "C: before the order FAILED",   "o1 PENDING 0, a2 SUCCEEDED 1000, o2 FAILED 2000", "+C a2 2000 SUCCEEDED/FAILED", -1, false, 0, 0, 0 },
    { "C: paid back a second after FAILED", "o1 PENDING 0, a2 SUCCEEDED 1000, o2 FAILED 2000, a3 REFUNDED 3000 back=100", "", -1, false, 0, 0, 0 },
    { "C: paid back 1 ms later than that", "o1 PENDING 0, a2 SUCCEEDED 1000, o2 FAILED 2000, a3 REFUNDED 3001 back=100", "+C a2 2000 SUCCEEDED/FAILED, -C a2 3001 REFUNDED/FAILED", -1, false, 0, 0, 0 },
    { "C: a late one, paid back at once", "o1 PENDING 0, o2 FAILED 500, a2 SUCCEEDED 9000, a3 REFUNDED 9001 back=100", "+C a2 9000 SUCCEEDED/FAILED, -C a2 9001 REFUNDED/FAILED", -1, false, 0, 0, 0 },
    { "C: FAILED before a success that failed before", "o1 PENDING 0, a2 CANCELED 400, o2 FAILED 500, a3 SUCCEEDED 9000, a4 REFUNDED 60000 back=100", "+C a3 9000 SUCCEEDED/FAILED, -C a3 60000 REFUNDED/FAILED", -1, false, 0, 0, 0 },
    { "C: a part of it went back",    "o1 PENDING 0, o2 FAILED 500, a2 SUCCEEDED 9000, a3 REFUNDED 10000 back=99", "+C a2 9000 SUCCEEDED/FAILED", -1, false, 0, 0, 0 },
    { "C: at the end of its time",    "o1 PENDING 0, o2 WAITING_PAYMENT 1 expires=900000, a2 SUCCEEDED 901000 at=900000, o3 PAID 901100 by=a", "", 100, false, 0, 0, 0 },
    { "C: 1 ms after it",             "o1 PENDING 0, o2 WAITING_PAYMENT 1 expires=900000, a2 SUCCEEDED 901000 at=900001, a3 REFUNDED 950000 back=100, o3 FAILED 960000", "+C a2 901000 SUCCEEDED/WAITING_PAYMENT, -C a2 950000 REFUNDED/WAITING_PAYMENT", -1, false, 0, 0, 0 },
    { "C: after it, and the order took it", "o1 PENDING 0, o2 WAITING_PAYMENT 1 expires=900000, a2 SUCCEEDED 901000 at=900001, o3 PAID 901100 by=a", "+C a2 901000 SUCCEEDED/WAITING_PAYMENT, -C a2 901100 SUCCEEDED/PAID", 100, false, 0, 0, 0 },
    { "C: after it, and the order took another", "o1 PENDING 0, o2 WAITING_PAYMENT 1 expires=900000, b2 SUCCEEDED 800000 at=800000, o3 PAID 800100 by=b, a2 SUCCEEDED 901000 at=900001", "+C a2 901000 SUCCEEDED/PAID", 100, false, 0, 0, 0 },
    { "C: its time was made shorter",  "o1 PENDING 0, o2 WAITING_PAYMENT 1 expires=900000, o3 WAITING_PAYMENT 2 expires=600000, a2 SUCCEEDED 700000 at=700000, o4 PAID 700100 by=a", "+C a2 700000 SUCCEEDED/WAITING_PAYMENT, -C a2 700100 SUCCEEDED/PAID", 100, false, 0, 0, 0 },
    { "C: heard late, and paid in time", "o1 PENDING 0, o2 WAITING_PAYMENT 1 expires=900000, a2 SUCCEEDED 1200000 at=899999, o3 PAID 1200100 by=a", "", 100, false, 0, 0, 0 },
    { "C: the provider gave no time",  "o1 PENDING 0, o2 WAITING_PAYMENT 1 expires=900000, a2 SUCCEEDED 1200000, o3 PAID 1200100 by=a", "", 100, false, 0, 0, 0 },
    { "C: and A, of a late one that nobody takes", "o1 PENDING 0, o2 WAITING_PAYMENT 1 expires=900000, a2 SUCCEEDED 901000 at=900001", "+A a2 901000 SUCCEEDED/WAITING_PAYMENT, +C a2 901000 SUCCEEDED/WAITING_PAYMENT", -1, true, 0, 0, 0 },
    { "C: the success was taken back", "o1 PENDING 0, o2 FAILED 500, a2 SUCCEEDED 9000, a3 FAILED 20000", "+C a2 9000 SUCCEEDED/FAILED, -C a2 20000 FAILED/FAILED", -1, false, 0, 0, 0 },
    { "C: both of its payments",      "o1 PENDING 0, o2 FAILED 500, a2 SUCCEEDED 9000, b2 SUCCEEDED 9000", "+C a2 9000 SUCCEEDED/FAILED, +C b2 9000 SUCCEEDED/FAILED", -1, false, 0, 0, 0 },
    { "C: paid back at the end of a grace of 5 s", "o1 PENDING 0, o2 FAILED 500, a2 SUCCEEDED 9000, a3 REFUNDED 14000 back=100", "", -1, false, 0, 0, 5000 },
    { "C: paid back 1 ms after it",   "o1 PENDING 0, o2 FAILED 500, a2 SUCCEEDED 9000, a3 REFUNDED 14001 back=100", "+C a2 9000 SUCCEEDED/FAILED, -C a2 14001 REFUNDED/FAILED", -1, false, 0, 0, 5000 },

    /* the service level */
    { "PAID at the end of 60 s",      "o1 PENDING 0, a2 SUCCEEDED 1000, o2 PAID 61000", "", 60000, false, 0, 0, 0 },
    { "PAID 1 ms after 60 s",         "o1 PENDING 0, a2 SUCCEEDED 1000, o2 PAID 61001", "", 60001, true, 0, 0, 0 },
    { "FAILED and paid back within 60 s is not late", "o1 PENDING 0, w1 SUCCEEDED 1000, w2 REFUNDED 30000, o2 FAILED 30001", "", -1, false, 0, 0, 0 },
};
/* clang-format on */

/* ---- steps ---- */

struct step {
    char who;
    int32_t version;
    char status[32];
    int64_t ms, expires_ms, occurred_ms, back;
    char by;
    bool is_free;
};

struct story {
    struct step steps[STEPS_MAX];
    size_t count;
};

static void
read_option(struct step *step, const char *word)
{
    long long number = strchr(word, '=') == NULL ? 0 : atoll(strchr(word, '=') + 1);

    if (strncmp(word, "expires=", 8) == 0)
        step->expires_ms = number;
    else if (strncmp(word, "at=", 3) == 0)
        step->occurred_ms = number;
    else if (strncmp(word, "back=", 5) == 0)
        step->back = number;
    else if (strncmp(word, "by=", 3) == 0)
        step->by = word[3];
    else
        step->is_free = strcmp(word, "free") == 0;
}

static void
read_story(const char *text, struct story *story)
{
    char copy[TEXT_MAX], *rest = copy, *part;

    memset(story, 0, sizeof *story);
    snprintf(copy, sizeof copy, "%s", text);
    while ((part = strsep(&rest, ",")) != NULL) {
        struct step *step = &story->steps[story->count++];
        char *word = strtok(part, " ");

        ck_assert_uint_le(story->count, STEPS_MAX);
        step->who = word[0];
        step->version = (int32_t)atoi(word + 1);
        snprintf(step->status, sizeof step->status, "%s", strtok(NULL, " "));
        step->ms = atoll(strtok(NULL, " "));
        while ((word = strtok(NULL, " ")) != NULL)
            read_option(step, word);
    }
}

/* The same for the same. */
static struct uuid
id_of(char who, int32_t version)
{
    char seed[16];
    int bytes = snprintf(seed, sizeof seed, "%c%d", who, (int)version);

    return uuid_v8(START_US, seed, (size_t)bytes);
}

static struct uuid
order_id(void)
{
    return id_of('o', 0);
}

static void
build(const struct step *step, struct feed_record *record)
{
    if (step->who == 'o')
        feed_order(record,
                   &(struct feed_order){
                       .order_id = order_id(),
                       .event_id = id_of('o', step->version),
                       .version = step->version,
                       .status = step->status,
                       .total_minor = step->is_free ? 0 : 100,
                       .expires_at_us = step->expires_ms == 0 ? 0 : AT(step->expires_ms),
                       .paid_by = step->by == '\0' ? (struct uuid){ { 0 } } : id_of(step->by, 0),
                       .time_us = AT(step->ms) });
    else
        feed_payment(record,
                     &(struct feed_payment){ .order_id = order_id(),
                                             .payment_id = id_of(step->who, 0),
                                             .event_id = id_of(step->who, step->version),
                                             .version = step->version,
                                             .status = step->status,
                                             .is_wallet = step->who == 'w',
                                             .occurred_at_us =
                                                 step->occurred_ms == 0 ? 0 : AT(step->occurred_ms),
                                             .refunded_minor = step->back,
                                             .amount_minor = 100,
                                             .time_us = AT(step->ms) });
}

static void
feed(struct alerts_driver *driver, const struct step *step)
{
    struct feed_record record;

    build(step, &record);
    ck_assert_msg(driver_feed(driver, &record.message) == NEWS_READ, "%s: %s",
                  driver->problem.field, driver->problem.text);
}

/* ---- what was told ---- */

static int
compare_texts(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The news that the alert is named by, as a row has it. */
static void
print_name(const struct story *story, const struct watch_alert *alert, char text[16])
{
    snprintf(text, 16, "?");
    for (size_t i = 0; i < story->count; i++) {
        const struct step *step = &story->steps[i];

        if (uuid_equal(rule_alert_id(alert->rule, order_id(), id_of(step->who, step->version)),
                       alert->id))
            snprintf(text, 16, "%c%d", step->who, (int)step->version);
    }
}

static void
print_told(const struct story *story, const struct alerts_driver *driver, char text[TEXT_MAX])
{
    char lines[TOLD_MAX][80], name[16];

    ck_assert_uint_le(driver->told_count, TOLD_MAX);
    for (size_t i = 0; i < driver->told_count; i++) {
        const struct watch_alert *alert = &driver->told[i].alert;

        print_name(story, alert, name);
        snprintf(lines[i], sizeof lines[i], "%c%s %s %" PRId64 " %s/%s",
                 alert->is_resolved ? '-' : '+', rules[alert->rule].name + strlen("RULE_"), name,
                 (alert->occurred_us - START_US) / 1000, news_word_text(alert->payment_word),
                 news_word_text(alert->order_word));
        ck_assert_int_eq(alert->version, (int32_t)i + 1);
    }
    qsort(lines, driver->told_count, sizeof lines[0], compare_texts);
    text[0] = '\0';
    for (size_t i = 0; i < driver->told_count; i++) {
        strcat(text, i == 0 ? "" : ", ");
        strcat(text, lines[i]);
    }
}

static struct alerts_driver *
row_driver(const struct row *row)
{
    struct alerts_driver *driver = driver_new(AT(0));
    const int64_t graces_ms[] = { row->grace_a_ms, row->grace_b_ms, row->grace_c_ms };

    for (size_t i = 0; i < 3; i++) {
        if (graces_ms[i] != 0)
            driver->graces.us[i] = graces_ms[i] < 0 ? 0 : graces_ms[i] * 1000;
    }
    return driver;
}

/* The row's end: what must have been told, and how it stays. */
static void
check_row(const struct row *row, const struct story *story, struct alerts_driver *driver,
          const char *how)
{
    char told[TEXT_MAX];

    print_told(story, driver, told);
    ck_assert_msg(strcmp(told, row->told) == 0, "%s, %s:\n  %s\nnot\n  %s", row->what, how, told,
                  row->told);
    ck_assert_msg(driver->took_us == (row->took_ms < 0 ? -1 : row->took_ms * 1000),
                  "%s, %s: took %" PRId64 " us", row->what, how, driver->took_us);
    ck_assert_msg(driver->counts.late == row->is_late, "%s, %s: late %d times", row->what, how,
                  (int)driver->counts.late);
    ck_assert_int_eq(driver->counts.took, row->took_ms >= 0);
}

/* ---- ways to tell it ---- */

/* Clock and heartbeats are at each step as it comes; nothing is told before it is due. */
START_TEST(a_row_as_it_happens)
{
    const struct row *row = &rows[_i];
    struct alerts_driver *driver = row_driver(row);
    struct story story;

    read_story(row->steps, &story);
    for (size_t i = 0; i < story.count; i++) {
        driver_clock(driver, AT(story.steps[i].ms));
        driver_beat(driver, AT(story.steps[i].ms));
        feed(driver, &story.steps[i]);
        feed(driver, &story.steps[i]);
    }
    driver_clock(driver, AT(END_MS * 2));
    driver_beat(driver, AT(END_MS * 2));
    check_row(row, &story, driver, "as it happens");
    for (size_t i = 0; i < story.count; i++)
        feed(driver, &story.steps[i]);
    check_row(row, &story, driver, "and all of it again");
    driver_free(driver);
}
END_TEST

static void
play(const struct row *row, const struct story *story, const size_t *order, const char *how)
{
    struct alerts_driver *driver = row_driver(row);

    driver_clock(driver, AT(END_MS * 2));
    for (size_t i = 0; i < story->count; i++) {
        feed(driver, &story->steps[order[i]]);
        driver_commit(driver, (i + order[0]) % 2 == 0);
        feed(driver, &story->steps[order[i / 2]]); /* one of before */
    }
    driver_crash(driver);
    driver_beat(driver, AT(END_MS * 2));
    check_row(row, story, driver, how);
    driver_commit(driver, true);
    driver_crash(driver);
    driver_beat(driver, AT(END_MS * 2) + 1);
    check_row(row, story, driver, "and after a crash");
    driver_free(driver);
}

/* Each order of the rest behind what is chosen. */
static void
play_orders(const struct row *row, const struct story *story, size_t *order, size_t chosen)
{
    char how[STEPS_MAX * 4] = "in the order";

    if (chosen == story->count) {
        for (size_t i = 0; i < chosen; i++)
            snprintf(how + strlen(how), sizeof how - strlen(how), " %zu", order[i] + 1);
        play(row, story, order, how);
        return;
    }
    for (size_t i = chosen; i < story->count; i++) {
        size_t other = order[i];

        order[i] = order[chosen];
        order[chosen] = other;
        play_orders(row, story, order, chosen + 1);
        order[chosen] = order[i];
        order[i] = other;
    }
}

START_TEST(a_row_in_every_order)
{
    size_t order[STEPS_MAX] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    struct story story;

    read_story(rows[_i].steps, &story);
    ck_assert_uint_le(story.count, ALL_ORDERS_MAX);
    play_orders(&rows[_i], &story, order, 0);
}
END_TEST

/* ---- when ---- */

/* A at 1000 + 300000 ms: clock and both heartbeats must have passed it. */
START_TEST(nothing_is_raised_before_all_have_passed_the_end)
{
    struct alerts_driver *driver = driver_new(AT(0));
    const int64_t end_us = AT(301000);
    struct feed_record record;
    struct story story;

    read_story("o1 PENDING 0, a2 SUCCEEDED 1000", &story);
    feed(driver, &story.steps[0]);
    feed(driver, &story.steps[1]);
    driver_clock(driver, end_us + DAY_US);
    driver_beat(driver, end_us);
    ck_assert_uint_eq(driver->told_count, 0);
    feed_heartbeat(&record, "order-svc", end_us + 1);
    driver_feed(driver, &record.message);
    ck_assert_uint_eq(driver->told_count, 0);
    feed_heartbeat(&record, "stranger", end_us + DAY_US);
    driver_feed(driver, &record.message);
    ck_assert_uint_eq(driver->told_count, 0);
    feed_heartbeat(&record, "account-svc", end_us + 1);
    driver_feed(driver, &record.message);
    ck_assert_uint_eq(driver->told_count, 1);
    driver_free(driver);
}
END_TEST

START_TEST(heartbeats_ahead_wait_for_the_clock)
{
    struct alerts_driver *driver = driver_new(AT(2000));
    const int64_t end_us = AT(301000);
    struct story story;

    read_story("o1 PENDING 0, a2 SUCCEEDED 1000", &story);
    feed(driver, &story.steps[0]);
    feed(driver, &story.steps[1]);
    driver_beat(driver, end_us + DAY_US);
    driver_clock(driver, end_us);
    ck_assert_uint_eq(driver->told_count, 0);
    driver_clock(driver, end_us + 1);
    ck_assert_uint_eq(driver->told_count, 1);
    ck_assert_int_eq(driver->told[0].detected_us, end_us + 1);
    driver_free(driver);
}
END_TEST

/* A refund that a person makes after two months: the alert is still there, and ends. New news of an order that old begins none. */
START_TEST(an_old_alert_ends)
{
    const int64_t later_us = AT(9000) + 60 * DAY_US;
    struct alerts_driver *driver = driver_new(AT(0));
    struct feed_record record;
    struct story story;

    read_story("o1 PENDING 0, o2 FAILED 500, a2 SUCCEEDED 9000, a3 REFUNDED 60000 back=100",
               &story);
    for (size_t i = 0; i < 3; i++)
        feed(driver, &story.steps[i]);
    driver_clock(driver, AT(9000));
    driver_beat(driver, AT(9000) + 1);
    driver_clock(driver, later_us);
    driver_beat(driver, later_us);
    driver_commit(driver, true);
    driver_crash(driver);
    ck_assert_uint_eq(driver->told_count, 1);
    feed(driver, &story.steps[3]);
    driver_beat(driver, later_us + 1);
    ck_assert_uint_eq(driver->told_count, 2);
    ck_assert(driver->told[1].alert.is_resolved);
    driver_free(driver);

    driver = driver_new(later_us);
    build(&story.steps[0], &record);
    driver_feed(driver, &record.message);
    ck_assert_int_eq(driver->answers[NEWS_FOREIGN], 1);
    ck_assert_uint_eq(driver_slot_count(driver), 0);
    driver_free(driver);
}
END_TEST

/* One more failure is no other alert while that of the one before is open, so no time is waited for. */
START_TEST(an_open_rule_b_waits_for_news_alone)
{
    struct alerts_driver *driver = driver_new(AT(END_MS));
    struct story story;

    read_story("o1 PENDING 0, a2 SUCCEEDED 500, o2 PAID 1000, a3 FAILED 9000, a4 CANCELED 10000",
               &story);
    for (size_t i = 0; i < 4; i++)
        feed(driver, &story.steps[i]);
    driver_beat(driver, AT(400000));
    ck_assert_uint_eq(driver->told_count, 1);
    feed(driver, &story.steps[4]);
    driver_beat(driver, AT(END_MS));
    ck_assert_uint_eq(driver->told_count, 1);
    ck_assert_uint_eq(driver->due.count, 0);
    driver_free(driver);
}
END_TEST

/* An hour's outage of the relays: nothing is raised, though the clock has passed all graces. */
START_TEST(an_outage_raises_nothing)
{
    struct alerts_driver *driver = driver_new(AT(0));
    struct story story;

    read_story("o1 PENDING 0, a2 SUCCEEDED 1000, o2 PAID 1500", &story);
    driver_beat(driver, AT(900));
    feed(driver, &story.steps[0]);
    feed(driver, &story.steps[1]);
    for (int64_t ms = 1000; ms <= END_MS; ms += 1000)
        driver_clock(driver, AT(ms));
    ck_assert_uint_eq(driver->told_count, 0);
    feed(driver, &story.steps[2]);
    driver_beat(driver, AT(END_MS));
    ck_assert_uint_eq(driver->told_count, 0);
    ck_assert_int_eq(driver->counts.late, 0);
    driver_free(driver);
}
END_TEST

/* News that comes in spite of a heartbeat that was past it ends what it should have prevented. */
START_TEST(news_past_its_heartbeat_resolves)
{
    struct alerts_driver *driver = driver_new(AT(END_MS));
    struct story story;
    char told[TEXT_MAX];

    read_story("o1 PENDING 0, a2 SUCCEEDED 1000, o2 PAID 1500", &story);
    feed(driver, &story.steps[0]);
    feed(driver, &story.steps[1]);
    driver_beat(driver, AT(END_MS));
    ck_assert_uint_eq(driver->told_count, 1);
    driver_commit(driver, true);
    feed(driver, &story.steps[2]);
    print_told(&story, driver, told);
    ck_assert_str_eq(told, "+A a2 1000 SUCCEEDED/PENDING, -A a2 1500 SUCCEEDED/PAID");
    driver_free(driver);
}
END_TEST

/* The same for rule B, whose begin is corrected: PAID was said earlier than what was heard first. */
START_TEST(a_begin_that_is_corrected_is_the_same_alert)
{
    struct alerts_driver *driver = driver_new(AT(END_MS));
    struct story story;
    char told[TEXT_MAX];

    read_story("o1 PENDING 0, o3 PAID 2000, o2 PAID 1000, w1 SUCCEEDED 2500", &story);
    feed(driver, &story.steps[0]);
    feed(driver, &story.steps[1]);
    driver_beat(driver, AT(END_MS));
    feed(driver, &story.steps[2]);
    ck_assert_uint_eq(driver->told_count, 1);
    driver_commit(driver, true);
    feed(driver, &story.steps[3]);
    print_told(&story, driver, told);
    ck_assert_str_eq(told, "+B o3 2000 NONE/PAID, -B o3 2500 SUCCEEDED/PAID");
    driver_free(driver);
}
END_TEST

/* The same for a payment: its success was said by an earlier version than the one that the alert is named by. */
START_TEST(a_success_that_is_corrected_is_the_same_alert)
{
    struct alerts_driver *driver = driver_new(AT(END_MS));
    struct story story;
    char told[TEXT_MAX];

    read_story("o1 PENDING 0, a3 SUCCEEDED 2000, a2 SUCCEEDED 1000, o2 PAID 400000", &story);
    feed(driver, &story.steps[0]);
    feed(driver, &story.steps[1]);
    driver_beat(driver, AT(END_MS));
    feed(driver, &story.steps[2]);
    driver_commit(driver, true);
    feed(driver, &story.steps[3]);
    print_told(&story, driver, told);
    ck_assert_str_eq(told, "+A a3 2000 SUCCEEDED/PENDING, -A a3 400000 SUCCEEDED/PAID");
    driver_free(driver);
}
END_TEST

START_TEST(a_double_is_old)
{
    struct alerts_driver *driver = driver_new(AT(END_MS));
    struct story story;

    read_story("o1 PENDING 0, a2 SUCCEEDED 1000, a3 FAILED 2000, a4 REFUNDED 3000 back=100, o2 "
               "FAILED 1500",
               &story);
    for (size_t i = 0; i < story.count * 2; i++)
        feed(driver, &story.steps[i / 2]);
    ck_assert_int_eq(driver->old, (int64_t)story.count);
    driver_free(driver);
}
END_TEST

/* ---- bounds ---- */

static void
feed_try(struct alerts_driver *driver, int number, const char *status, int32_t version)
{
    struct feed_record record;

    feed_payment(&record, &(struct feed_payment){ .order_id = order_id(),
                                                  .payment_id = id_of('z', number + 1),
                                                  .event_id = id_of('y', number * 10 + version),
                                                  .version = version,
                                                  .status = status,
                                                  .is_wallet = true,
                                                  .amount_minor = 100,
                                                  .time_us = AT(1000 + number) });
    ck_assert_int_eq(driver_feed(driver, &record.message), NEWS_READ);
}

/* Any number of payments that fail displace each other, and no success. */
START_TEST(payments_without_end_are_bounded)
{
    struct alerts_driver *driver = driver_new(AT(END_MS));
    struct story story;

    read_story("o1 PENDING 0, o2 PAID 2000", &story);
    feed(driver, &story.steps[0]);
    feed_try(driver, 0, "SUCCEEDED", 1);
    for (int i = 1; i < 1000; i++)
        feed_try(driver, i, "FAILED", 1);
    feed(driver, &story.steps[1]);
    ck_assert_int_eq(driver->full, 0);
    driver_beat(driver, AT(END_MS));
    ck_assert_uint_eq(driver->told_count, 0);
    driver_commit(driver, true);
    for (int i = 2000; i < 2000 + WATCH_PAYMENTS_MAX; i++)
        feed_try(driver, i, "SUCCEEDED", 1);
    ck_assert_int_eq(driver->full, 1);
    driver_commit(driver, true);
    driver_free(driver);
}
END_TEST

/* The longest line there is, and back. */
START_TEST(a_full_watch_has_a_line)
{
    struct alerts_driver *driver = driver_new(AT(END_MS));
    struct story story;

    read_story("o2147483645 PENDING 0 expires=900000, o2147483646 FAILED 2000", &story);
    feed(driver, &story.steps[0]);
    feed(driver, &story.steps[1]);
    for (int i = 0; i < WATCH_PAYMENTS_MAX; i++) {
        feed_try(driver, i, "SUCCEEDED", 1);
        feed_try(driver, i, "REFUNDED", 2);
    }
    driver_beat(driver, AT(END_MS));
    driver_commit(driver, true); /* which reads it again */
    ck_assert_uint_lt(driver_line_bytes(driver), WATCH_LINE_BYTES_MAX);
    driver_free(driver);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what, *steps;
    bool is_over;
} ends[] = {
    { "nothing was paid",        "o1 PENDING 0", false },
    { "paid, not PAID",          "o1 PENDING 0, a2 SUCCEEDED 1000", false },
    { "PAID, and no payment",    "o1 PENDING 0, o2 PAID 1000", false },
    { "PAID",                    "o1 PENDING 0, a2 SUCCEEDED 1000, o2 PAID 2000", true },
    { "PAID for nothing",        "o1 PENDING 0, o2 PAID 2000 free", true },
    { "FAILED",                  "o1 PENDING 0, o2 FAILED 2000", true },
    { "FAILED, money is here",   "o1 PENDING 0, a2 SUCCEEDED 1000, o2 FAILED 2000", false },
    { "FAILED, money went back", "o1 PENDING 0, a2 SUCCEEDED 1000, o2 FAILED 2000, a3 REFUNDED 9000 back=100", true },
    { "payments alone",          "a2 SUCCEEDED 1000, a3 REFUNDED 9000 back=100", false },
};
/* clang-format on */

/* Only a watch that is over leaves memory by itself, and is forgotten for good only by its age. */
START_TEST(an_order_is_over_or_not)
{
    struct alerts_driver *driver = driver_new(AT(END_MS));
    struct story story;

    read_story(ends[_i].steps, &story);
    for (size_t i = 0; i < story.count; i++)
        feed(driver, &story.steps[i]);
    driver_beat(driver, AT(END_MS));
    driver_commit(driver, false);
    ck_assert_msg(driver_watch_count(driver) == (ends[_i].is_over ? 0 : 1), "%s", ends[_i].what);
    ck_assert_uint_eq(driver_slot_count(driver), 1);
    driver_free(driver);
}
END_TEST

START_TEST(a_watch_is_forgotten_by_age)
{
    struct watch *watch = watch_new(order_id());

    ck_assert_int_eq(watch_forget_us(watch), AT(0) + ID_DAYS_KEPT * DAY_US);
    watch->is_unpaid_open = true;
    ck_assert_int_eq(watch_forget_us(watch), 0);
    watch_free(watch);
}
END_TEST

START_TEST(what_is_no_line_is_no_watch)
{
    struct alerts_driver *driver = driver_new(AT(END_MS));
    char line[WATCH_LINE_BYTES_MAX];
    struct watch *watch = watch_new(order_id());
    size_t bytes = watch_print(watch, line);

    for (size_t less = 0; less < bytes; less++)
        ck_assert_ptr_null(watch_parse(line, less));
    line[1] = '0'; /* of a version that is not read */
    ck_assert_ptr_null(watch_parse(line, bytes));
    watch_free(watch);
    driver_free(driver);
}
END_TEST

/* Has docs/OPERATING.md a heading of that name, which GitHub links by its small letters? */
static bool
has_runbook(const struct rule *rule)
{
    char path[CHECK_PATH_BYTES], line[256], heading[64];
    bool is_there = false;
    FILE *file;

    check_path("docs/OPERATING.md", path);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    snprintf(heading, sizeof heading, "### %s\n", rule->name);
    while (!is_there && fgets(line, sizeof line, file) != NULL)
        is_there = strcmp(line, heading) == 0;
    fclose(file);
    return is_there && strncmp(rule->runbook, "docs/OPERATING.md#", 18) == 0 &&
           strcasecmp(rule->runbook + 18, rule->name) == 0;
}

/* Each rule says what people need. */
START_TEST(a_rule_is_whole)
{
    const struct rule *rule = &rules[_i];

    ck_assert(rule->name != NULL && rule->severity != NULL && rule->because != NULL &&
              rule->action != NULL);
    ck_assert_ptr_eq(rule_find(rule->name), rule);
    ck_assert_msg(has_runbook(rule), "%s", rule->runbook);
    for (int i = 0; i < STANDING_COUNT; i++)
        ck_assert_msg((rule->raises[i] & ~rule->keeps[i]) == 0, "%s", rule->name);
}
END_TEST

int
main(void)
{
    TCase *test = check_case("rules");

    tcase_add_loop_test(test, a_row_as_it_happens, 0, ROWS(rows));
    tcase_add_loop_test(test, a_row_in_every_order, 0, ROWS(rows));
    tcase_add_test(test, nothing_is_raised_before_all_have_passed_the_end);
    tcase_add_test(test, heartbeats_ahead_wait_for_the_clock);
    tcase_add_test(test, an_outage_raises_nothing);
    tcase_add_test(test, an_old_alert_ends);
    tcase_add_test(test, an_open_rule_b_waits_for_news_alone);
    tcase_add_test(test, news_past_its_heartbeat_resolves);
    tcase_add_test(test, a_begin_that_is_corrected_is_the_same_alert);
    tcase_add_test(test, a_success_that_is_corrected_is_the_same_alert);
    tcase_add_test(test, a_double_is_old);
    tcase_add_test(test, payments_without_end_are_bounded);
    tcase_add_test(test, a_full_watch_has_a_line);
    tcase_add_loop_test(test, an_order_is_over_or_not, 0, ROWS(ends));
    tcase_add_test(test, a_watch_is_forgotten_by_age);
    tcase_add_test(test, what_is_no_line_is_no_watch);
    tcase_add_loop_test(test, a_rule_is_whole, 0, RULE_COUNT);
    return check_run("alerts_rules", test);
}
