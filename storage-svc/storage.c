/* storage.c -- The rules of stock: ops and rows in, changed rows or a refusal out. No I/O here.
 *
 * Every piece of a product is free, held or sold, and on_hand is their sum. A hold has its pieces counted where
 * its state says (pieces_of), and every move between two states moves all of its lines or none.
 */
#include "storage-svc/storage.h"

#include "mesh/base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- lines: kept with the hold as text, so that a hold is one row ---- */

enum { LINE_TEXT_BYTES_MAX = SKU_BYTES_MAX + 2 * 20 + 3 };

bool
line_next(const char **at, struct line *ret_line)
{
    int used = 0;

    if (**at == '\0')
        return false;
    /* Written by lines_print() below; anything else is a damaged row. */
    if (sscanf(*at, "%" SCNd64 " %" SCNd64 " %64s%n", &ret_line->quantity,
               &ret_line->unit_price_minor, ret_line->sku, &used) != 3)
        abort();
    *at += used;
    assert(**at == '\n');
    (*at)++;
    return true;
}

static const char *
lines_print(struct arena *arena, const struct line *lines, size_t count)
{
    char *text = arena_take(arena, count * LINE_TEXT_BYTES_MAX + 1), *at = text;

    for (size_t i = 0; i < count; i++)
        at += sprintf(at, "%" PRId64 " %" PRId64 " %s\n", lines[i].quantity,
                      lines[i].unit_price_minor, lines[i].sku);
    return text;
}

/* What must hold after each change; the schema says the same. */
static void
product_check(const struct product *product)
{
    assert(product->free >= 0 && product->held >= 0 && product->sold >= 0);
    assert(product->on_hand == product->free + product->held + product->sold);
}

/* ---- products ---- */

void
put_product_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_text(touch, STORAGE_PRODUCT, ((const struct put_product *)op)->sku);
}

/* Makes a product or changes its price. Its currency stays: holds and orders were priced in it. */
void
put_product_decide(void *op, struct batch_rows *rows)
{
    struct put_product *put = op;
    struct product *product = batch_find_text(rows, STORAGE_PRODUCT, put->sku);

    if (product != NULL && strcmp(product->currency, put->currency) != 0) {
        problem_refuse(&put->op.problem, "CURRENCY_FIXED", "currency",
                       "is %s already and cannot be changed", product->currency);
    } else if (product != NULL) {
        product->unit_price_minor = put->unit_price_minor;
        batch_changed(rows, product);
    } else {
        product = batch_add_text(rows, STORAGE_PRODUCT, put->sku);
        product->currency = batch_keep(rows, put->currency);
        product->unit_price_minor = put->unit_price_minor;
    }
    op_record(rows, &put->op, "PutProduct");
}

void
put_product_answer(void *op, struct batch_rows *rows)
{
    struct put_product *put = op;

    put->product = *(struct product *)batch_find_text(rows, STORAGE_PRODUCT, put->sku);
}

void
restock_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_text(touch, STORAGE_PRODUCT, ((const struct restock *)op)->sku);
}

/* Pieces come in, or go out when quantity is below 0; only free ones can go. */
void
restock_decide(void *op, struct batch_rows *rows)
{
    struct restock *restock = op;
    struct product *product = batch_find_text(rows, STORAGE_PRODUCT, restock->sku);

    if (product == NULL) {
        problem_refuse(&restock->op.problem, "UNKNOWN_SKU", "sku", "there is no product '%s'",
                       restock->sku);
    } else if (restock->quantity < -product->free) {
        problem_refuse(&restock->op.problem, "NO_STOCK", "quantity",
                       "only %" PRId64 " pieces of '%s' are free", product->free, restock->sku);
    } else if (product->on_hand > ON_HAND_MAX - restock->quantity) {
        problem_refuse(&restock->op.problem, "STOCK_OVERFLOW", "quantity",
                       "there would be more than %" PRId64 " pieces of '%s'", ON_HAND_MAX,
                       restock->sku);
    } else {
        product->on_hand += restock->quantity;
        product->free += restock->quantity;
        product_check(product);
        batch_changed(rows, product);
    }
    op_record(rows, &restock->op, "Restock");
}

void
restock_answer(void *op, struct batch_rows *rows)
{
    struct restock *restock = op;

    restock->product = *(struct product *)batch_find_text(rows, STORAGE_PRODUCT, restock->sku);
}

/* ---- Reserve ---- */

void
reserve_touch(const void *op, struct batch_touch *touch)
{
    const struct reserve *reserve = op;

    for (size_t i = 0; i < reserve->line_count; i++)
        batch_touch_text(touch, STORAGE_PRODUCT, reserve->lines[i].sku);
}

/* Adds quantity times price to *total; false when that is more than can be paid. */
static bool
add_price(int64_t quantity, int64_t price, int64_t *total)
{
    int64_t sum;

    return !__builtin_mul_overflow(quantity, price, &sum) &&
           !__builtin_add_overflow(*total, sum, total) && *total <= TOTAL_MINOR_MAX;
}

/* Looks at line i: of the reasons to refuse, the first below is the answer. */
static enum error
price_line(struct reserve *reserve, size_t i, struct batch_rows *rows, const char **currency,
           int64_t *total_minor)
{
    struct line *line = &reserve->lines[i];
    struct problem *problem = &reserve->op.problem;
    const struct product *product = batch_find_text(rows, STORAGE_PRODUCT, line->sku);
    char field[64];

    snprintf(field, sizeof field, "lines[%zu].sku", i);
    if (product == NULL)
        return problem_refuse(problem, "UNKNOWN_SKU", field, "there is no product '%s'", line->sku);
    if (*currency == NULL && reserve->currency[0] != '\0' &&
        strcmp(product->currency, reserve->currency) != 0)
        return problem_refuse(problem, "CURRENCY_MISMATCH", field, "'%s' is sold in %s, not in %s",
                              line->sku, product->currency, reserve->currency);
    if (*currency != NULL && strcmp(product->currency, *currency) != 0)
        return problem_refuse(problem, "MIXED_CURRENCY", field,
                              "'%s' is sold in %s, the lines before it in %s", line->sku,
                              product->currency, *currency);
    *currency = product->currency;
    line->unit_price_minor = product->unit_price_minor;
    if (!add_price(line->quantity, product->unit_price_minor, total_minor))
        return problem_refuse(problem, "TOTAL_OVERFLOW", field,
                              "the total would be more than %" PRId64, TOTAL_MINOR_MAX);
    if (product->free < line->quantity)
        return problem_refuse(problem, "NO_STOCK", field,
                              "%" PRId64 " of '%s' are free, %" PRId64 " were asked for",
                              product->free, line->sku, line->quantity);
    return ERR_OK;
}

/* price_line() has seen that they are free. */
static void
hold_lines(struct reserve *reserve, struct batch_rows *rows)
{
    for (size_t i = 0; i < reserve->line_count; i++) {
        struct product *product = batch_find_text(rows, STORAGE_PRODUCT, reserve->lines[i].sku);

        product->free -= reserve->lines[i].quantity;
        product->held += reserve->lines[i].quantity;
        product_check(product);
        batch_changed(rows, product);
    }
}

/* Each function that changes a hold's state ends here, so that a log at debug has every state it was in. */
static void
hold_log(const struct hold *hold)
{
    static const char *const words[] = { "REFUSED", "HELD", "CONFIRMED", "RELEASED", "EXPIRED" };
    char id[UUID_TEXT_BYTES + 1];

    log_debug("hold=%s to=%s reference=\"%s\"", uuid_print(hold->record.id, id), words[hold->state],
              hold->reference);
}

/* All lines or none. The hold is the record of its op, so a refused one is a row too. */
void
reserve_decide(void *op, struct batch_rows *rows)
{
    struct reserve *reserve = op;
    struct hold *hold = batch_find_uuid(rows, STORAGE_HOLD, reserve->op.id);
    const char *currency = NULL;
    int64_t total_minor = 0;

    if (hold != NULL) { /* a tombstone: Release came first */
        problem_refuse(&reserve->op.problem, "HOLD_ENDED", NULL,
                       "this hold was released before it arrived");
        return;
    }
    for (size_t i = 0; i < reserve->line_count; i++) {
        if (price_line(reserve, i, rows, &currency, &total_minor) != ERR_OK)
            break;
    }
    hold = batch_add_uuid(rows, STORAGE_HOLD, reserve->op.id);
    batch_record_fill(rows, &hold->record, &reserve->op);
    hold->state = reserve->op.problem.error == ERR_OK ? HOLD_HELD : HOLD_REFUSED;
    hold->reference = batch_keep(rows, reserve->reference);
    hold->lines = hold->currency = "";
    hold_log(hold);
    if (hold->state == HOLD_REFUSED)
        return;
    hold_lines(reserve, rows);
    hold->lines = lines_print(batch_arena(rows), reserve->lines, reserve->line_count);
    hold->currency = batch_keep(rows, currency);
    hold->total_minor = total_minor;
    hold->until_us = reserve->op.now_us + reserve->hold_seconds * 1000000;
}

void
reserve_answer(void *op, struct batch_rows *rows)
{
    struct reserve *reserve = op;

    reserve->hold = *(struct hold *)batch_find_uuid(rows, STORAGE_HOLD, reserve->op.id);
}

/* ---- the ends of a hold ---- */

/* A loaded hold names the products of its lines, which its end will change. */
void
hold_follow(const void *row, struct batch_touch *touch)
{
    const struct hold *hold = row;
    const char *at = hold->lines;
    struct line line;

    while (line_next(&at, &line))
        batch_touch_text(touch, STORAGE_PRODUCT, line.sku);
}

/* Where the pieces of a hold are counted, by its state. */
static int64_t *
pieces_of(struct product *product, enum hold_state state)
{
    switch (state) {
    case HOLD_HELD:
        return &product->held;
    case HOLD_CONFIRMED:
        return &product->sold;
    default:
        return &product->free; /* released and expired pieces are anybody's */
    }
}

/* Moves every line of the hold from where its state has it to where the next state has it. */
static void
hold_move(struct hold *hold, enum hold_state next, struct batch_rows *rows)
{
    const char *at = hold->lines;
    struct line line;

    while (line_next(&at, &line)) {
        struct product *product = batch_find_text(rows, STORAGE_PRODUCT, line.sku);

        *pieces_of(product, (enum hold_state)hold->state) -= line.quantity;
        *pieces_of(product, next) += line.quantity;
        product_check(product);
        batch_changed(rows, product);
    }
    hold->state = (int32_t)next;
    hold_log(hold);
    batch_changed(rows, hold);
}

/* Is what an expired hold held still free? */
static bool
hold_can_be_had(const struct hold *hold, struct batch_rows *rows)
{
    const char *at = hold->lines;
    struct line line;

    while (line_next(&at, &line)) {
        const struct product *product = batch_find_text(rows, STORAGE_PRODUCT, line.sku);

        if (product->free < line.quantity)
            return false;
    }
    return true;
}

void
confirm_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, STORAGE_HOLD, ((const struct confirm *)op)->hold_id);
}

/* One that expired is confirmed all the same while its pieces are still free. */
void
confirm_decide(void *op, struct batch_rows *rows)
{
    struct confirm *confirm = op;
    struct hold *hold = batch_find_uuid(rows, STORAGE_HOLD, confirm->hold_id);
    struct problem *problem = &confirm->op.problem;

    if (hold == NULL || hold->state == HOLD_REFUSED)
        problem_refuse(problem, "HOLD_ENDED", "hold_id", "nothing was ever held under this id");
    else if (hold->state == HOLD_RELEASED)
        problem_refuse(problem, "HOLD_ENDED", "hold_id", "this hold was released");
    else if (hold->state == HOLD_EXPIRED && !hold_can_be_had(hold, rows))
        problem_refuse(problem, "NO_STOCK", "hold_id",
                       "this hold expired, and what it held was taken since");
    else if (hold->state != HOLD_CONFIRMED)
        hold_move(hold, HOLD_CONFIRMED, rows);
    op_record(rows, &confirm->op, "Confirm");
}

void
release_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, STORAGE_HOLD, ((const struct release *)op)->hold_id);
}

/* The undo of what never arrived: a late Reserve with this id is refused. */
static void
hold_bury(struct batch_rows *rows, struct uuid id)
{
    struct hold *hold = batch_add_uuid(rows, STORAGE_HOLD, id);

    hold->state = HOLD_RELEASED;
    hold->record.reason = "HOLD_ENDED";
    hold->record.detail = "released before it arrived";
    hold->reference = hold->lines = hold->currency = "";
    hold_log(hold);
}

/* Also of a confirmed hold: the order was undone. One that is too old to arrive needs no tombstone. */
void
release_decide(void *op, struct batch_rows *rows)
{
    struct release *release = op;
    struct hold *hold = batch_find_uuid(rows, STORAGE_HOLD, release->hold_id);

    if (hold == NULL && !id_is_too_old(release->hold_id, release->op.now_us))
        hold_bury(rows, release->hold_id);
    else if (hold != NULL && hold->state != HOLD_RELEASED && hold->state != HOLD_REFUSED)
        hold_move(hold, HOLD_RELEASED, rows);
    op_record(rows, &release->op, "Release");
}

/* ---- Extend ---- */

void
extend_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, STORAGE_HOLD, ((const struct extend *)op)->hold_id);
}

/* A hold whose time is over is extended all the same, until the sweep has ended it. */
void
extend_decide(void *op, struct batch_rows *rows)
{
    struct extend *extend = op;
    struct hold *hold = batch_find_uuid(rows, STORAGE_HOLD, extend->hold_id);
    struct problem *problem = &extend->op.problem;

    if (hold == NULL || hold->state == HOLD_REFUSED)
        problem_refuse(problem, "HOLD_ENDED", "hold_id", "nothing was ever held under this id");
    else if (hold->state == HOLD_RELEASED || hold->state == HOLD_EXPIRED)
        problem_refuse(problem, "HOLD_ENDED", "hold_id", "this hold %s",
                       hold->state == HOLD_RELEASED ? "was released" : "expired");
    else if (extend->until_us - extend->op.now_us > HOLD_SECONDS_MAX * INT64_C(1000000))
        problem_refuse(problem, "UNTIL_TOO_FAR", "until_us",
                       "a hold may end %d seconds from now at the latest", HOLD_SECONDS_MAX);
    else if (hold->state == HOLD_HELD && extend->until_us > hold->until_us) {
        hold->until_us = extend->until_us;
        batch_changed(rows, hold);
    }
    op_record(rows, &extend->op, "Extend");
}

void
extend_answer(void *op, struct batch_rows *rows)
{
    struct extend *extend = op;

    extend->hold = *(struct hold *)batch_find_uuid(rows, STORAGE_HOLD, extend->hold_id);
}

/* ---- expiry ---- */

static void
expire_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, STORAGE_HOLD, ((const struct expire *)op)->hold_id);
}

/* A hold is expired when this says so, not by a clock in between. */
static void
expire_decide(void *op, struct batch_rows *rows)
{
    struct expire *expire = op;
    struct hold *hold = batch_find_uuid(rows, STORAGE_HOLD, expire->hold_id);

    if (hold != NULL && hold->state == HOLD_HELD && hold->until_us <= expire->op.now_us)
        hold_move(hold, HOLD_EXPIRED, rows);
}

const struct method storage_expire_method = {
    .name = "Expire",
    .op_bytes = sizeof(struct expire),
    .touch = expire_touch,
    .decide = expire_decide,
};
