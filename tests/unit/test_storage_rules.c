/* Storage's rules without a database: what is refused, in which order, and what it leaves. */
#include "mesh/base/clock.h"
#include "mesh/store/batch_rows.h"
#include "storage-svc/storage.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

/* What there is: tea and milk for yen, pie for euro, gold dear, none of ash. */
/* clang-format off */
static const struct product products[] = {
    { "tea",  "JPY", 300,             10,          10,         0, 0 },
    { "milk", "JPY", 150,             10,          5,          3, 2 },
    { "pie",  "EUR", 450,             10,          10,         0, 0 },
    { "gold", "JPY", PRICE_MINOR_MAX, ON_HAND_MAX, ON_HAND_MAX, 0, 0 },
    { "ash",  "JPY", 1,               0,           0,          0, 0 },
    { "coin", "JPY", 1,               ON_HAND_MAX, ON_HAND_MAX, 0, 0 },
    { "free", "JPY", 0,               5,           5,          0, 0 },
};

static const struct {
    const char *what, *currency;
    struct line lines[3];
    const char *reason, *field; /* "": it is held */
    int64_t total_minor;
} reserves[] = {
    { "one piece",              "",    { { "tea", 1, 0 } },                     "", "", 300 },
    { "all there is",           "",    { { "tea", 10, 0 } },                    "", "", 3000 },
    { "one more than is free",  "",    { { "milk", 6, 0 } },                    "NO_STOCK", "lines[0].sku", 0 },
    { "two products",           "",    { { "tea", 2, 0 }, { "milk", 3, 0 } },   "", "", 1050 },
    { "costs nothing",          "",    { { "free", 5, 0 } },                    "", "", 0 },
    { "unknown",                "",    { { "salt", 1, 0 } },                    "UNKNOWN_SKU", "lines[0].sku", 0 },
    { "unknown second",         "",    { { "tea", 1, 0 }, { "salt", 1, 0 } },   "UNKNOWN_SKU", "lines[1].sku", 0 },
    { "short first, unknown second", "", { { "ash", 1, 0 }, { "salt", 1, 0 } }, "NO_STOCK", "lines[0].sku", 0 },
    { "short second: none is held", "", { { "tea", 1, 0 }, { "ash", 1, 0 } },   "NO_STOCK", "lines[1].sku", 0 },
    { "yen and euro",           "",    { { "tea", 1, 0 }, { "pie", 1, 0 } },    "MIXED_CURRENCY", "lines[1].sku", 0 },
    { "the asked currency",     "EUR", { { "pie", 1, 0 } },                     "", "", 450 },
    { "another currency",       "EUR", { { "tea", 1, 0 } },                     "CURRENCY_MISMATCH", "lines[0].sku", 0 },
    { "another, and short",     "EUR", { { "ash", 1, 0 } },                     "CURRENCY_MISMATCH", "lines[0].sku", 0 },
    { "the most that is paid",  "",    { { "gold", 1000, 0 } },                 "", "", TOTAL_MINOR_MAX },
    { "one line is too much",   "",    { { "gold", 1001, 0 } },                 "TOTAL_OVERFLOW", "lines[0].sku", 0 },
    { "a product overflows",    "",    { { "gold", 9223373, 0 } },              "TOTAL_OVERFLOW", "lines[0].sku", 0 },
    { "the sum is just paid",   "",    { { "gold", 999, 0 }, { "coin", 1000000000000, 0 } }, "", "", TOTAL_MINOR_MAX },
    { "the sum is too much",    "",    { { "gold", 999, 0 }, { "coin", 1000000000001, 0 } }, "TOTAL_OVERFLOW", "lines[1].sku", 0 },
};

static const struct {
    const char *what, *sku;
    int64_t quantity;
    const char *reason;
    int64_t on_hand, free; /* afterwards */
} restocks[] = {
    { "more",                      "tea",  5,            "", 15, 15 },
    { "less",                      "tea",  -10,          "", 0, 0 },
    { "one more than is free",     "milk", -6,           "NO_STOCK", 10, 5 },
    { "all that is free",          "milk", -5,           "", 5, 0 },
    { "nothing to take",           "ash",  -1,           "NO_STOCK", 0, 0 },
    { "no more fits",              "gold", 1,            "STOCK_OVERFLOW", ON_HAND_MAX, ON_HAND_MAX },
    { "taken from the most",       "gold", -RESTOCK_MAX, "", ON_HAND_MAX - RESTOCK_MAX, ON_HAND_MAX - RESTOCK_MAX },
    { "unknown",                   "salt", 1,            "UNKNOWN_SKU", 0, 0 },
};

/* A hold of 4 milk (5 are free) in each state, and what is asked of it. */
static const struct {
    const char *what;
    int state; /* -1: there is none */
    int64_t free;
    const char *confirm; /* the reason of its refusal, or "" */
    int confirmed, released; /* the state after Confirm, after Release */
} ends[] = {
    { "held",                     HOLD_HELD,      5, "",           HOLD_CONFIRMED, HOLD_RELEASED },
    { "confirmed",                HOLD_CONFIRMED, 5, "",           HOLD_CONFIRMED, HOLD_RELEASED },
    { "released",                 HOLD_RELEASED,  5, "HOLD_ENDED", HOLD_RELEASED,  HOLD_RELEASED },
    { "expired, can be had",      HOLD_EXPIRED,   4, "",           HOLD_CONFIRMED, HOLD_RELEASED },
    { "expired, one is missing",  HOLD_EXPIRED,   3, "NO_STOCK",   HOLD_EXPIRED,   HOLD_RELEASED },
    { "refused",                  HOLD_REFUSED,   5, "HOLD_ENDED", HOLD_REFUSED,   HOLD_REFUSED },
    { "never asked for",          -1,             5, "HOLD_ENDED", -1,             HOLD_RELEASED },
};
/* clang-format on */

static struct arena *arena;
static struct batch_rows *rows;
static int64_t now_us;

static void
open_rows(void)
{
    arena = arena_new();
    rows = batch_rows_new(&storage_service, arena);
    now_us = clock_now_us();
}

static void
close_rows(void)
{
    arena = arena_free(arena);
}

/* Every product of the table, as if it had been loaded, and one that is not there. */
static void
put_products(void)
{
    batch_touch_text(batch_rows_touch(rows), STORAGE_PRODUCT, "salt");
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        struct product *product;
        const char *sku;

        batch_touch_text(batch_rows_touch(rows), STORAGE_PRODUCT, products[i].sku);
        product = batch_add_text(rows, STORAGE_PRODUCT, products[i].sku);
        sku = product->sku;
        *product = products[i];
        product->sku = sku;
    }
}

static struct uuid
begin(struct op *op)
{
    op->id = uuid_v7(now_us);
    op->fingerprint = 1;
    op->now_us = now_us;
    batch_rows_touch_records(rows, op->id);
    return op->id;
}

static void
expect_sums(void)
{
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        const struct product *product = batch_find_text(rows, STORAGE_PRODUCT, products[i].sku);

        ck_assert_int_eq(product->on_hand, product->free + product->held + product->sold);
    }
}

START_TEST(reserve_holds_or_refuses)
{
    struct reserve reserve = { .reference = "", .currency = reserves[_i].currency };
    struct line lines[3];
    const char *what = reserves[_i].what;
    const struct hold *hold;

    put_products();
    memcpy(lines, reserves[_i].lines, sizeof lines);
    while (reserve.line_count < 3 && lines[reserve.line_count].sku[0] != '\0')
        reserve.line_count++;
    reserve.lines = lines;
    reserve.hold_seconds = 60;
    begin(&reserve.op);
    reserve_touch(&reserve, batch_rows_touch(rows));
    reserve_decide(&reserve, rows);
    ck_assert_msg(strcmp(problem_reason(&reserve.op.problem), reserves[_i].reason) == 0,
                  "%s: got '%s'", what, reserve.op.problem.reason);
    ck_assert_str_eq(reserve.op.problem.field, reserves[_i].field);
    hold = batch_find_uuid(rows, STORAGE_HOLD, reserve.op.id);
    ck_assert_str_eq(hold->record.reason, reserves[_i].reason);
    ck_assert_int_eq(hold->total_minor, reserves[_i].total_minor);
    ck_assert_int_eq(hold->state, reserves[_i].reason[0] == '\0' ? HOLD_HELD : HOLD_REFUSED);
    if (hold->state == HOLD_HELD)
        ck_assert_int_eq(hold->until_us, now_us + 60 * SECOND_US);
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) { /* all of it or nothing */
        const struct product *product = batch_find_text(rows, STORAGE_PRODUCT, products[i].sku);
        int64_t asked = 0;

        for (size_t j = 0; hold->state == HOLD_HELD && j < reserve.line_count; j++)
            asked += strcmp(lines[j].sku, product->sku) == 0 ? lines[j].quantity : 0;
        ck_assert_int_eq(product->free, products[i].free - asked);
        ck_assert_int_eq(product->held, products[i].held + asked);
    }
    expect_sums();
}
END_TEST

START_TEST(restock_adds_or_refuses)
{
    struct restock restock = { .sku = restocks[_i].sku, .quantity = restocks[_i].quantity };
    const struct product *product;

    put_products();
    begin(&restock.op);
    restock_touch(&restock, batch_rows_touch(rows));
    restock_decide(&restock, rows);
    ck_assert_msg(strcmp(problem_reason(&restock.op.problem), restocks[_i].reason) == 0,
                  "%s: got '%s'", restocks[_i].what, restock.op.problem.reason);
    ck_assert_ptr_nonnull(batch_rows_record(rows, restock.op.id)); /* refusals are kept too */
    product = batch_find_text(rows, STORAGE_PRODUCT, restocks[_i].sku);
    if (product != NULL) {
        ck_assert_int_eq(product->on_hand, restocks[_i].on_hand);
        ck_assert_int_eq(product->free, restocks[_i].free);
    }
    expect_sums();
}
END_TEST

static struct uuid
put_hold(int state, int64_t free)
{
    struct uuid id = uuid_v7(now_us);
    struct product *milk = batch_find_text(rows, STORAGE_PRODUCT, "milk");
    struct hold *hold;

    milk->free = free;
    milk->held = state == HOLD_HELD ? 4 : 0;
    milk->sold = state == HOLD_CONFIRMED ? 4 : 0;
    milk->on_hand = milk->free + milk->held + milk->sold;
    batch_touch_uuid(batch_rows_touch(rows), STORAGE_HOLD, id);
    if (state == -1)
        return id;
    hold = batch_add_uuid(rows, STORAGE_HOLD, id);
    hold->record.fingerprint = 1;
    hold->state = state;
    hold->lines = state == HOLD_REFUSED ? "" : "4 150 milk\n";
    return id;
}

static void
expect_hold(struct uuid id, int state, const char *what)
{
    const struct hold *hold = batch_find_uuid(rows, STORAGE_HOLD, id);
    const struct product *milk = batch_find_text(rows, STORAGE_PRODUCT, "milk");

    ck_assert_msg((hold == NULL ? -1 : hold->state) == state, "%s: state", what);
    ck_assert_int_eq(milk->held, 0); /* every end gives up what was held */
    ck_assert_int_eq(milk->sold, state == HOLD_CONFIRMED ? 4 : 0);
    expect_sums();
}

START_TEST(confirm_sells_or_refuses)
{
    struct confirm confirm = { 0 };

    put_products();
    confirm.hold_id = put_hold(ends[_i].state, ends[_i].free);
    begin(&confirm.op);
    confirm_touch(&confirm, batch_rows_touch(rows));
    confirm_decide(&confirm, rows);
    ck_assert_msg(strcmp(problem_reason(&confirm.op.problem), ends[_i].confirm) == 0,
                  "%s: got '%s'", ends[_i].what, confirm.op.problem.reason);
    expect_hold(confirm.hold_id, ends[_i].confirmed, ends[_i].what);
}
END_TEST

START_TEST(release_is_never_refused)
{
    struct release release = { 0 };

    put_products();
    release.hold_id = put_hold(ends[_i].state, ends[_i].free);
    for (int i = 0; i < 2; i++) { /* and a second release, by another id, changes nothing */
        begin(&release.op);
        release_touch(&release, batch_rows_touch(rows));
        release_decide(&release, rows);
        ck_assert_int_eq(release.op.problem.error, ERR_OK);
        expect_hold(release.hold_id, ends[_i].released, ends[_i].what);
    }
}
END_TEST

START_TEST(currency_of_a_product_is_fixed)
{
    struct put_product put = { .sku = "tea", .currency = "EUR", .unit_price_minor = 1 };

    put_products();
    begin(&put.op);
    put_product_decide(&put, rows);
    ck_assert_str_eq(put.op.problem.reason, "CURRENCY_FIXED");
    put = (struct put_product){ .sku = "tea", .currency = "JPY", .unit_price_minor = 1 };
    begin(&put.op);
    put_product_decide(&put, rows);
    ck_assert_int_eq(put.op.problem.error, ERR_OK);
    put_product_answer(&put, rows);
    ck_assert_int_eq(put.product.unit_price_minor, 1);
    ck_assert_int_eq(put.product.on_hand, 10);
}
END_TEST

START_TEST(lines_are_read_as_they_were_written)
{
    const char *at = "1 0 a\n1000000 1000000000000 "
                     "0123456789012345678901234567890123456789012345678901234567890123\n";
    struct line line;

    ck_assert(line_next(&at, &line));
    ck_assert_str_eq(line.sku, "a");
    ck_assert(line_next(&at, &line));
    ck_assert_uint_eq(strlen(line.sku), SKU_BYTES_MAX);
    ck_assert_int_eq(line.quantity, QUANTITY_MAX);
    ck_assert_int_eq(line.unit_price_minor, PRICE_MINOR_MAX);
    ck_assert(!line_next(&at, &line));
}
END_TEST

int
main(void)
{
    TCase *test = check_case("rules");

    tcase_add_checked_fixture(test, open_rows, close_rows);
    tcase_add_loop_test(test, reserve_holds_or_refuses, 0, ROWS(reserves));
    tcase_add_loop_test(test, restock_adds_or_refuses, 0, ROWS(restocks));
    tcase_add_loop_test(test, confirm_sells_or_refuses, 0, ROWS(ends));
    tcase_add_loop_test(test, release_is_never_refused, 0, ROWS(ends));
    tcase_add_test(test, currency_of_a_product_is_fixed);
    tcase_add_test(test, lines_are_read_as_they_were_written);
    return check_run("storage_rules", test);
}
