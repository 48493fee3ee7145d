#include "account-svc/ledger/ledger.h"
#include "mesh/base/json.h"
#include "mesh/base/log.h"
#include "mesh/store/event.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* ---- accounts ---- */

const struct account_kind *
account_kind_find(const char *name)
{
    size_t bytes = strcspn(name, "/");

    for (const struct account_kind *kind = ledger_chart; kind->kind != NULL; kind++) {
        if (strlen(kind->kind) == bytes && memcmp(kind->kind, name, bytes) == 0)
            return kind;
    }
    return NULL;
}

const char *
account_key(struct arena *arena, const char *kind, const char *owner, const char *currency)
{
    return arena_print(arena, "%s/%s %s", kind, owner, currency);
}

static size_t
name_bytes(const char *key)
{
    size_t bytes = strlen(key);

    assert(bytes > CURRENCY_BYTES + 1 && key[bytes - CURRENCY_BYTES - 1] == ' ');
    return bytes - CURRENCY_BYTES - 1;
}

const char *
account_key_name(struct arena *arena, const char *key)
{
    return arena_copy(arena, key, name_bytes(key));
}

const char *
account_key_currency(const char *key)
{
    return key + name_bytes(key) + 1;
}

const char *
account_key_owner(struct arena *arena, const char *key)
{
    size_t kind = strcspn(key, "/");

    assert(kind < name_bytes(key));
    return arena_copy(arena, key + kind + 1, name_bytes(key) - kind - 1);
}

int64_t
account_balance_minor(const struct account *account)
{
    /* Both are at least 0, so the difference fits. */
    return account->normal == ACCOUNT_DEBIT ? account->debits_minor - account->credits_minor
                                            : account->credits_minor - account->debits_minor;
}

static struct account *
account_make(struct batch_rows *rows, const char *key)
{
    const struct account_kind *kind = account_kind_find(key);
    struct account *account = batch_add_text(rows, LEDGER_ACCOUNT, key);

    assert(kind != NULL); /* decode looked */
    account->normal = (int32_t)kind->normal;
    account->overdraft = (int32_t)kind->overdraft;
    return account;
}

/* The accounts that the ledger itself needs are there as soon as they are used. */
static struct account *
account_find_or_make(struct batch_rows *rows, const char *key)
{
    struct account *account = batch_find_text(rows, LEDGER_ACCOUNT, key);

    return account != NULL ? account : account_make(rows, key);
}

void
open_account_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_text(touch, LEDGER_ACCOUNT, ((const struct open_account *)op)->key);
}

void
open_account_decide(void *op, struct batch_rows *rows)
{
    struct open_account *open = op;

    account_find_or_make(rows, open->key);
    op_record(rows, &open->op, "OpenAccount");
}

void
open_wallet_decide(void *op, struct batch_rows *rows)
{
    struct open_account *open = op;

    account_find_or_make(rows, open->key);
    op_record(rows, &open->op, "OpenWallet");
}

void
open_account_answer(void *op, struct batch_rows *rows)
{
    struct open_account *open = op;

    open->account = *(struct account *)batch_find_text(rows, LEDGER_ACCOUNT, open->key);
}

/* ---- money moves: Transfer, TopUp, Charge ---- */

void
move_touch(const void *op, struct batch_touch *touch)
{
    const struct move *move = op;

    batch_touch_text(touch, LEDGER_ACCOUNT, move->debit_key);
    batch_touch_text(touch, LEDGER_ACCOUNT, move->credit_key);
}

/* What can be spent of a balance. */
static int64_t
account_free_minor(const struct account *account)
{
    return account_balance_minor(account) - account->held_minor;
}

/* This is where debits stay equal to credits. */
void
ledger_post(struct batch_rows *rows, struct account *debit, struct account *credit,
            int64_t amount_minor)
{
    bool is_over;

    assert(debit != credit && amount_minor >= 0);
    assert(strcmp(account_key_currency(debit->key), account_key_currency(credit->key)) == 0);
    is_over = __builtin_add_overflow(debit->debits_minor, amount_minor, &debit->debits_minor) ||
              __builtin_add_overflow(credit->credits_minor, amount_minor, &credit->credits_minor);
    assert(!is_over); /* SUM_MINOR_MAX */
    assert(debit->overdraft != OVERDRAFT_NEVER || account_free_minor(debit) >= 0);
    assert(credit->overdraft != OVERDRAFT_NEVER || account_free_minor(credit) >= 0);
    batch_changed(rows, debit);
    batch_changed(rows, credit);
}

/* Does the account cover an amount on this side? A normal-side entry only adds to it. */
static bool
account_covers(const struct account *account, enum account_side side, int64_t amount_minor)
{
    return account->overdraft == OVERDRAFT_ALWAYS || account->normal == (int32_t)side ||
           amount_minor == 0 || account_free_minor(account) >= amount_minor;
}

/* One side of a move, whose field it was named in: of the reasons to refuse, the first is the
 * answer. A system account (made on first use) that is not there yet has nothing in it. */
static enum error
side_check(struct move *move, const struct account *account, const char *key,
           enum account_side side, const char *field, bool is_system)
{
    const struct account nothing = { .normal = (int32_t)account_kind_find(key)->normal,
                                     .overdraft = (int32_t)account_kind_find(key)->overdraft };
    struct problem *problem = &move->op.problem;
    int64_t sum_minor;

    if (account == NULL && !is_system)
        return problem_refuse(problem, "NO_ACCOUNT", field, "there is no account '%s'", key);
    if (account == NULL)
        account = &nothing;
    if (!account_covers(account, side, move->amount_minor))
        return problem_refuse(problem, "NO_FUNDS", field,
                              "the balance of '%s' does not cover %" PRId64, key,
                              move->amount_minor);
    sum_minor = side == ACCOUNT_DEBIT ? account->debits_minor : account->credits_minor;
    if (sum_minor > SUM_MINOR_MAX - move->amount_minor)
        return problem_refuse(problem, "BALANCE_OVERFLOW", field,
                              "the sums of '%s' would grow past %" PRId64, key,
                              (int64_t)SUM_MINOR_MAX);
    return ERR_OK;
}

/* Each function that makes a transfer ends here. Accounts stay out of the line: a key names its customer. */
void
transfer_log(const struct transfer *transfer)
{
    static const char *const words[] = { "REFUSED", "POSTED", "TOMBSTONE" };
    char id[UUID_TEXT_BYTES + 1];

    log_debug("transfer=%s kind=%s to=%s reference=\"%s\"", uuid_print(transfer->record.id, id),
              transfer->kind, words[transfer->state], transfer->reference);
}

/* The transfer that the op makes, posted or refused: it is the op's record as well. */
static struct transfer *
transfer_record(struct move *move, struct batch_rows *rows, const char *kind)
{
    struct transfer *transfer = batch_add_uuid(rows, LEDGER_TRANSFER, move->op.id);

    batch_record_fill(rows, &transfer->record, &move->op);
    transfer->state = move->op.problem.error == ERR_OK ? TRANSFER_POSTED : TRANSFER_REFUSED;
    transfer->kind = kind;
    transfer->debit_key = batch_keep(rows, move->debit_key);
    transfer->credit_key = batch_keep(rows, move->credit_key);
    transfer->amount_minor = move->amount_minor;
    transfer->reference = batch_keep(rows, move->reference);
    transfer->posted_at_us = move->op.now_us;
    transfer_log(transfer);
    return transfer;
}

enum error
move_check(struct move *move, struct batch_rows *rows, struct side debit_side,
           struct side credit_side)
{
    const struct account *debit = batch_find_text(rows, LEDGER_ACCOUNT, move->debit_key);
    const struct account *credit = batch_find_text(rows, LEDGER_ACCOUNT, move->credit_key);

    if (side_check(move, debit, move->debit_key, ACCOUNT_DEBIT, debit_side.field,
                   debit_side.is_system) != ERR_OK)
        return move->op.problem.error;
    return side_check(move, credit, move->credit_key, ACCOUNT_CREDIT, credit_side.field,
                      credit_side.is_system);
}

/* Decides a move of any kind and records it. NULL: a tombstone, its undo came first. */
static struct transfer *
move_decide(struct move *move, struct batch_rows *rows, const char *kind, struct side debit_side,
            struct side credit_side)
{
    if (batch_find_uuid(rows, LEDGER_TRANSFER, move->op.id) != NULL) {
        problem_refuse(&move->op.problem, "CHARGE_UNDONE", NULL,
                       "this was undone before it arrived");
        return NULL;
    }
    if (move_check(move, rows, debit_side, credit_side) == ERR_OK)
        ledger_post(rows, account_find_or_make(rows, move->debit_key),
                    account_find_or_make(rows, move->credit_key), move->amount_minor);
    return transfer_record(move, rows, kind);
}

void
transfer_decide(void *op, struct batch_rows *rows)
{
    move_decide(op, rows, TRANSFER_PLAIN, (struct side){ .field = "debit_account" },
                (struct side){ .field = "credit_account" });
}

void
topup_decide(void *op, struct batch_rows *rows)
{
    move_decide(op, rows, TRANSFER_TOPUP, (struct side){ .is_system = true },
                (struct side){ .field = "customer_id" });
}

void
move_answer(void *op, struct batch_rows *rows)
{
    struct move *move = op;

    move->transfer = *(struct transfer *)batch_find_uuid(rows, LEDGER_TRANSFER, move->op.id);
}

/* ---- Charge and Refund: payments out of a wallet, so they are news ---- */

/* Versions of a payment's events: a charge is news once, and its refund once. */
enum { PAYMENT_CHARGED = 1, PAYMENT_REFUNDED = 2 };

static void
payment_event(struct batch_rows *rows, const struct op *op, const struct transfer *charge,
              int32_t version, const char *type, const char *status)
{
    struct json_writer json = { 0 };
    char id[UUID_TEXT_BYTES + 1];
    struct event event = { .aggregatetype = "payment",
                           .aggregateid = charge->record.id,
                           .version = version,
                           .type = type,
                           .time_us = op->now_us,
                           .traceparent = op->traceparent };

    json_open_object(&json, NULL);
    json_put_text(&json, "paymentId", uuid_print(charge->record.id, id));
    json_put_text(&json, "orderId", charge->reference);
    json_put_text(&json, "customerId", account_key_owner(batch_arena(rows), charge->debit_key));
    json_put_int(&json, "amountMinor", charge->amount_minor);
    json_put_text(&json, "currency", account_key_currency(charge->debit_key));
    json_put_text(&json, "status", status);
    json_put_text(&json, "reason", charge->record.reason);
    json_close_object(&json);
    event.payload = json.text;
    batch_event(rows, &event);
    json_writer_free(&json);
}

void
charge_decide(void *op, struct batch_rows *rows)
{
    struct move *charge = op;
    const struct transfer *transfer =
        move_decide(charge, rows, TRANSFER_CHARGE, (struct side){ .field = "customer_id" },
                    (struct side){ .is_system = true });

    if (transfer == NULL)
        return; /* nothing was paid and nothing will be: no news */
    if (transfer->state == TRANSFER_POSTED)
        payment_event(rows, &charge->op, transfer, PAYMENT_CHARGED, "payment.succeeded",
                      "SUCCEEDED");
    else
        payment_event(rows, &charge->op, transfer, PAYMENT_CHARGED, "payment.failed", "FAILED");
}

void
refund_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, LEDGER_TRANSFER, ((const struct refund *)op)->charge_id);
}

static bool
charge_is_reversible(const struct transfer *transfer)
{
    return transfer->state == TRANSFER_POSTED && strcmp(transfer->kind, TRANSFER_CHARGE) == 0 &&
           uuid_is_nil(transfer->reversed_by);
}

void
transfer_follow(const void *row, struct batch_touch *touch)
{
    const struct transfer *transfer = row;

    if (!charge_is_reversible(transfer))
        return;
    batch_touch_text(touch, LEDGER_ACCOUNT, transfer->debit_key);
    batch_touch_text(touch, LEDGER_ACCOUNT, transfer->credit_key);
}

/* The undo of what never arrived: a late Charge with this id is refused. */
static void
charge_bury(struct batch_rows *rows, const struct refund *refund)
{
    struct transfer *transfer = batch_add_uuid(rows, LEDGER_TRANSFER, refund->charge_id);

    transfer->state = TRANSFER_TOMBSTONE;
    transfer->record.reason = "CHARGE_UNDONE";
    transfer->record.detail = "refunded before it arrived";
    transfer->kind = TRANSFER_CHARGE;
    transfer->debit_key = transfer->credit_key = transfer->reference = "";
    transfer->posted_at_us = refund->op.now_us;
    transfer_log(transfer);
}

/* The same amount the other way. It may overdraw clearing, if somebody drained it: an undo is not
 * refused for that. */
static void
charge_reverse(struct batch_rows *rows, struct refund *refund, struct transfer *charge)
{
    struct transfer *reversal = batch_add_uuid(rows, LEDGER_TRANSFER, refund->op.id);

    batch_record_fill(rows, &reversal->record, &refund->op);
    reversal->state = TRANSFER_POSTED;
    reversal->kind = TRANSFER_REFUND;
    reversal->debit_key = charge->credit_key;
    reversal->credit_key = charge->debit_key;
    reversal->amount_minor = charge->amount_minor;
    reversal->reference = charge->reference;
    reversal->reverses_id = charge->record.id;
    reversal->posted_at_us = refund->op.now_us;
    transfer_log(reversal);
    ledger_post(rows, batch_find_text(rows, LEDGER_ACCOUNT, reversal->debit_key),
                batch_find_text(rows, LEDGER_ACCOUNT, reversal->credit_key),
                reversal->amount_minor);
    charge->reversed_by = refund->op.id;
    batch_changed(rows, charge);
    payment_event(rows, &refund->op, charge, PAYMENT_REFUNDED, "payment.refunded", "REFUNDED");
}

void
refund_decide(void *op, struct batch_rows *rows)
{
    struct refund *refund = op;
    struct transfer *charge = batch_find_uuid(rows, LEDGER_TRANSFER, refund->charge_id);
    struct problem *problem = &refund->op.problem;

    if (batch_find_uuid(rows, LEDGER_TRANSFER, refund->op.id) != NULL) {
        problem_set(problem, ERR_ID_REUSED, NULL,
                    "this id was used before, as that of a charge: make a new one");
        return;
    }
    if (charge != NULL && charge_is_reversible(charge)) {
        charge_reverse(rows, refund, charge); /* which is the record */
        return;
    }
    if (charge != NULL && strcmp(charge->kind, TRANSFER_CHARGE) != 0)
        problem_refuse(problem, "NOT_A_CHARGE", "charge_id", "this id is that of a %s",
                       charge->kind);
    else if (charge == NULL && !id_is_too_old(refund->charge_id, refund->op.now_us))
        charge_bury(rows, refund);
    op_record(rows, &refund->op, "Refund");
}

void
refund_answer(void *op, struct batch_rows *rows)
{
    struct refund *refund = op;
    const struct transfer *charge = batch_find_uuid(rows, LEDGER_TRANSFER, refund->charge_id);

    if (charge != NULL)
        refund->reversal_id = charge->reversed_by;
}
