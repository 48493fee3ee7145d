#include "account-svc/ledger/ledger_hold.h"

#include "mesh/base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static bool
funds_is_tombstone(const struct funds *funds)
{
    return funds->debit_key[0] == '\0';
}

void
funds_follow(const void *row, struct batch_touch *touch)
{
    const struct funds *funds = row;

    if (funds_is_tombstone(funds))
        return;
    batch_touch_text(touch, LEDGER_ACCOUNT, funds->debit_key);
    batch_touch_text(touch, LEDGER_ACCOUNT, funds->credit_key);
}

/* Where a debit only adds to a balance there is nothing to reserve. */
static void
account_reserve(struct batch_rows *rows, const char *key, int64_t amount_minor)
{
    struct account *account = batch_find_text(rows, LEDGER_ACCOUNT, key);

    assert(account != NULL);
    if (account->normal == ACCOUNT_DEBIT)
        return;
    account->held_minor += amount_minor;
    assert(account->held_minor >= 0);
    batch_changed(rows, account);
}

/* ---- HoldFunds ---- */

void
hold_funds_touch(const void *op, struct batch_touch *touch)
{
    const struct hold_funds *hold = op;

    batch_touch_uuid(touch, LEDGER_HOLD, hold->move.op.id);
    move_touch(&hold->move, touch);
}

/* Each function that changes the state of held funds ends here; as with transfers, without the keys. */
static void
funds_log(const struct funds *funds)
{
    static const char *const words[] = { "NONE", "HELD", "POSTED", "VOIDED", "EXPIRED" };
    char id[UUID_TEXT_BYTES + 1];

    log_debug("funds=%s to=%s reference=\"%s\"", uuid_print(funds->id, id), words[funds->state],
              funds->reference);
}

static void
funds_make(struct hold_funds *hold, struct batch_rows *rows)
{
    struct funds *funds = batch_add_uuid(rows, LEDGER_HOLD, hold->move.op.id);

    funds->state = FUNDS_HELD;
    funds->debit_key = batch_keep(rows, hold->move.debit_key);
    funds->credit_key = batch_keep(rows, hold->move.credit_key);
    funds->amount_minor = hold->move.amount_minor;
    funds->reference = batch_keep(rows, hold->move.reference);
    funds->until_us = hold->move.op.now_us + hold->hold_seconds * INT64_C(1000000);
    funds_log(funds);
    account_reserve(rows, funds->debit_key, funds->amount_minor);
}

void
hold_funds_decide(void *op, struct batch_rows *rows)
{
    struct hold_funds *hold = op;
    struct move *move = &hold->move;

    if (batch_find_uuid(rows, LEDGER_HOLD, move->op.id) != NULL)
        problem_refuse(&move->op.problem, "HOLD_ENDED", NULL, "this was voided before it arrived");
    else if (move_check(move, rows, (struct side){ .field = "debit_account" },
                        (struct side){ .field = "credit_account" }) == ERR_OK)
        funds_make(hold, rows);
    op_record(rows, &move->op, "HoldFunds");
}

void
hold_funds_answer(void *op, struct batch_rows *rows)
{
    struct hold_funds *hold = op;
    const struct funds *funds = batch_find_uuid(rows, LEDGER_HOLD, hold->move.op.id);

    hold->until_us = funds->until_us;
}

/* ---- PostHold ---- */

void
end_funds_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, LEDGER_HOLD, ((const struct end_funds *)op)->hold_id);
}

static enum error
post_check(struct end_funds *post, const struct funds *funds, int64_t amount_minor)
{
    struct problem *problem = &post->op.problem;

    if (funds == NULL)
        return problem_refuse(problem, "HOLD_ENDED", "hold_id",
                              "nothing was ever held under this id");
    if (funds->state == FUNDS_VOIDED)
        return problem_refuse(problem, "HOLD_ENDED", "hold_id", "this hold was voided");
    if (funds->state == FUNDS_POSTED)
        return problem_refuse(problem, "HOLD_ENDED", "hold_id",
                              "this hold was posted before, by another request");
    if (amount_minor > funds->amount_minor)
        return problem_refuse(problem, "OVER_HOLD", "amount_minor",
                              "no more than %" PRId64 " is held", funds->amount_minor);
    return ERR_OK;
}

static void
transfer_make(struct batch_rows *rows, const struct end_funds *post, const struct funds *funds,
              int64_t amount_minor)
{
    struct transfer *transfer = batch_add_uuid(rows, LEDGER_TRANSFER, post->op.id);

    batch_record_fill(rows, &transfer->record, &post->op);
    transfer->state = TRANSFER_POSTED;
    transfer->kind = TRANSFER_PLAIN;
    transfer->debit_key = funds->debit_key;
    transfer->credit_key = funds->credit_key;
    transfer->amount_minor = amount_minor;
    transfer->reference = funds->reference;
    transfer->posted_at_us = post->op.now_us;
    transfer_log(transfer);
}

/* The reserve goes first, so that the transfer finds its money; if it is refused for another reason
 * the money is reserved again. */
static bool
funds_post(struct end_funds *post, struct funds *funds, int64_t amount_minor,
           struct batch_rows *rows)
{
    struct move move = { .op = post->op,
                         .debit_key = funds->debit_key,
                         .credit_key = funds->credit_key,
                         .amount_minor = amount_minor };
    int64_t reserved_minor = funds->state == FUNDS_HELD ? funds->amount_minor : 0;

    account_reserve(rows, funds->debit_key, -reserved_minor);
    if (move_check(&move, rows, (struct side){ .field = "hold_id" },
                   (struct side){ .field = "hold_id" }) != ERR_OK) {
        account_reserve(rows, funds->debit_key, reserved_minor);
        post->op.problem = move.op.problem;
        return false;
    }
    ledger_post(rows, batch_find_text(rows, LEDGER_ACCOUNT, funds->debit_key),
                batch_find_text(rows, LEDGER_ACCOUNT, funds->credit_key), amount_minor);
    return true;
}

void
post_funds_decide(void *op, struct batch_rows *rows)
{
    struct end_funds *post = op;
    struct funds *funds = batch_find_uuid(rows, LEDGER_HOLD, post->hold_id);
    int64_t amount_minor =
        post->amount_minor != 0 || funds == NULL ? post->amount_minor : funds->amount_minor;

    if (batch_find_uuid(rows, LEDGER_TRANSFER, post->op.id) != NULL) {
        problem_set(&post->op.problem, ERR_ID_REUSED, NULL,
                    "this id was used before, as that of a charge: make a new one");
        return;
    }
    if (post_check(post, funds, amount_minor) != ERR_OK ||
        !funds_post(post, funds, amount_minor, rows)) {
        op_record(rows, &post->op, "PostHold");
        return;
    }
    transfer_make(rows, post, funds, amount_minor); /* which is the record */
    funds->state = FUNDS_POSTED;
    funds->posted_minor = amount_minor;
    funds->posted_by = post->op.id;
    funds_log(funds);
    batch_changed(rows, funds);
}

/* ---- VoidHold, and expiry ---- */

static void
funds_free(struct funds *funds, enum funds_state state, struct batch_rows *rows)
{
    if (funds->state == FUNDS_HELD)
        account_reserve(rows, funds->debit_key, -funds->amount_minor);
    funds->state = (int32_t)state;
    funds_log(funds);
    batch_changed(rows, funds);
}

/* The undo of what never arrived: a late HoldFunds with this id is refused. */
static void
funds_bury(struct batch_rows *rows, struct uuid id)
{
    struct funds *funds = batch_add_uuid(rows, LEDGER_HOLD, id);

    funds->state = FUNDS_VOIDED;
    funds->debit_key = funds->credit_key = funds->reference = "";
    funds_log(funds);
}

void
void_funds_decide(void *op, struct batch_rows *rows)
{
    struct end_funds *end = op;
    struct funds *funds = batch_find_uuid(rows, LEDGER_HOLD, end->hold_id);

    if (funds == NULL && !id_is_too_old(end->hold_id, end->op.now_us))
        funds_bury(rows, end->hold_id);
    else if (funds != NULL && funds->state == FUNDS_POSTED)
        problem_refuse(&end->op.problem, "HOLD_POSTED", "hold_id",
                       "the money has moved: a Transfer moves it back");
    else if (funds != NULL && funds->state != FUNDS_VOIDED)
        funds_free(funds, FUNDS_VOIDED, rows);
    op_record(rows, &end->op, "VoidHold");
}

void
end_funds_answer(void *op, struct batch_rows *rows)
{
    struct end_funds *end = op;
    const struct funds *funds = batch_find_uuid(rows, LEDGER_HOLD, end->hold_id);

    if (funds != NULL)
        end->funds = *funds;
    else
        end->funds.state = FUNDS_VOIDED; /* too old to arrive any more */
}

static void
expire_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, LEDGER_HOLD, ((const struct expire_funds *)op)->hold_id);
}

static void
expire_decide(void *op, struct batch_rows *rows)
{
    const struct expire_funds *expire = op;
    struct funds *funds = batch_find_uuid(rows, LEDGER_HOLD, expire->hold_id);

    if (funds != NULL && funds->state == FUNDS_HELD && funds->until_us <= expire->op.now_us)
        funds_free(funds, FUNDS_EXPIRED, rows);
}

const struct method ledger_expire_method = { .name = "ExpireHold",
                                             .op_bytes = sizeof(struct expire_funds),
                                             .touch = expire_touch,
                                             .decide = expire_decide };
