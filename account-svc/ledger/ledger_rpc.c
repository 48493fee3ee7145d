/* ledger_rpc.c -- The ledger as its callers see it.
 *
 * A row of ledger_methods is the life of one request, left to right:
 *   decode   wire message -> valid op              rpc thread    here
 *   touch    names the rows the op will need       store thread  ledger.c
 *   decide   op + rows -> changed rows             store thread  ledger.c
 *   answer   rows -> what the op reports           store thread  ledger.c
 *   encode   the op -> wire message                after COMMIT  here
 * Reads have no touch, decide and answer; ledger_reads (ledger_store.c) has theirs.
 */
#include "account-svc/ledger/ledger_hold.h"
#include "mesh/base/check.h"
#include "mesh/base/hash.h"

#include "sagamesh/ledger/v1/ledger_service.pb-c.h"

#include <string.h>

/* Methods' fingerprints start apart, so that one id in two methods is a reused id. */
enum {
    SEED_OPEN_ACCOUNT,
    SEED_TRANSFER,
    SEED_OPEN_WALLET,
    SEED_TOPUP,
    SEED_CHARGE,
    SEED_REFUND,
    SEED_HOLD_FUNDS,
    SEED_POST_HOLD,
    SEED_VOID_HOLD,
};

/* ---- names of accounts ---- */

/* "kind/owner", the kind one of the chart's. */
static enum error
check_account(struct problem *problem, const char *field, const char *name)
{
    const char *slash = strchr(name, '/');

    if (check_text(problem, field, name, 1, ACCOUNT_BYTES_MAX) != ERR_OK)
        return problem->error;
    if (slash == NULL || slash[1] == '\0' || strchr(slash + 1, '/') != NULL ||
        strlen(slash + 1) > ACCOUNT_OWNER_BYTES_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, field,
                           "must be 'kind/owner' with one '/' and an owner of 1 to %d bytes",
                           ACCOUNT_OWNER_BYTES_MAX);
    if (account_kind_find(name) == NULL)
        return problem_set(problem, ERR_BAD_REQUEST, field,
                           "'%.*s' is no kind of account in the chart", (int)(slash - name), name);
    return ERR_OK;
}

/* Both halves of an account's key; *ret_key in arena. */
static enum error
account_decode(struct problem *problem, const char *field, const char *name, const char *currency,
               struct arena *arena, const char **ret_key)
{
    if (check_account(problem, field, name) != ERR_OK ||
        check_currency(problem, "currency", currency) != ERR_OK)
        return problem->error;
    *ret_key = arena_print(arena, "%s %s", name, currency);
    return ERR_OK;
}

static enum error
wallet_decode(struct problem *problem, const char *customer_id, const char *currency,
              struct arena *arena, const char **ret_key)
{
    if (check_customer(problem, "customer_id", customer_id) != ERR_OK ||
        check_currency(problem, "currency", currency) != ERR_OK)
        return problem->error;
    if (account_kind_find("wallet") == NULL)
        return problem_set(problem, ERR_BAD_REQUEST, "customer_id",
                           "'wallet' is no kind of account in the chart");
    *ret_key = account_key(arena, "wallet", customer_id, currency);
    return ERR_OK;
}

static Sagamesh__Ledger__V1__Account *
account_message(const struct account *account, struct arena *arena)
{
    Sagamesh__Ledger__V1__Account *message = arena_take(arena, sizeof *message);

    sagamesh__ledger__v1__account__init(message);
    message->account = (char *)account_key_name(arena, account->key);
    message->currency = (char *)account_key_currency(account->key);
    message->debits_minor = account->debits_minor;
    message->credits_minor = account->credits_minor;
    message->balance_minor = account_balance_minor(account);
    message->held_minor = account->held_minor;
    return message;
}

/* An id for the wire; nil is the empty text. */
static char *
id_message(struct uuid id, struct arena *arena)
{
    char *text = arena_take(arena, UUID_TEXT_BYTES + 1);

    return uuid_is_nil(id) ? text : uuid_print(id, text);
}

static Sagamesh__Ledger__V1__Transfer *
transfer_message(const struct transfer *transfer, struct arena *arena)
{
    Sagamesh__Ledger__V1__Transfer *message = arena_take(arena, sizeof *message);

    sagamesh__ledger__v1__transfer__init(message);
    message->transfer_id = id_message(transfer->record.id, arena);
    message->debit_account = (char *)account_key_name(arena, transfer->debit_key);
    message->credit_account = (char *)account_key_name(arena, transfer->credit_key);
    message->amount_minor = transfer->amount_minor;
    message->currency = (char *)account_key_currency(transfer->debit_key);
    message->kind = (char *)transfer->kind;
    message->reference = (char *)transfer->reference;
    message->reverses_id = id_message(transfer->reverses_id, arena);
    message->posted_at_us = transfer->posted_at_us;
    message->reversed_by_id = id_message(transfer->reversed_by, arena);
    return message;
}

/* ---- OpenAccount, OpenWallet ---- */

static enum error
open_account_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Ledger__V1__OpenAccountRequest *request =
        (const Sagamesh__Ledger__V1__OpenAccountRequest *)message;
    struct open_account *open = op;
    struct problem *problem = &open->op.problem;

    if (check_id(problem, "request_id", request->request_id, &open->op.id) != ERR_OK ||
        account_decode(problem, "account", request->account, request->currency, arena,
                       &open->key) != ERR_OK)
        return problem->error;
    open->op.fingerprint = hash_end(hash_text(HASH_SEED + SEED_OPEN_ACCOUNT, open->key));
    return ERR_OK;
}

static ProtobufCMessage *
open_account_encode(const void *op, struct arena *arena)
{
    Sagamesh__Ledger__V1__OpenAccountResponse *response = arena_take(arena, sizeof *response);

    sagamesh__ledger__v1__open_account_response__init(response);
    response->account = account_message(&((const struct open_account *)op)->account, arena);
    return &response->base;
}

static enum error
open_wallet_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Ledger__V1__OpenWalletRequest *request =
        (const Sagamesh__Ledger__V1__OpenWalletRequest *)message;
    struct open_account *open = op;
    struct problem *problem = &open->op.problem;

    if (check_id(problem, "request_id", request->request_id, &open->op.id) != ERR_OK ||
        wallet_decode(problem, request->customer_id, request->currency, arena, &open->key) !=
            ERR_OK)
        return problem->error;
    open->op.fingerprint = hash_end(hash_text(HASH_SEED + SEED_OPEN_WALLET, open->key));
    return ERR_OK;
}

static ProtobufCMessage *
open_wallet_encode(const void *op, struct arena *arena)
{
    Sagamesh__Ledger__V1__OpenWalletResponse *response = arena_take(arena, sizeof *response);

    sagamesh__ledger__v1__open_wallet_response__init(response);
    response->account = account_message(&((const struct open_account *)op)->account, arena);
    return &response->base;
}

/* ---- Transfer, TopUp, Charge ---- */

/* It is stored: each field joins in the order of ever (hash.h). */
static uint64_t
move_fingerprint(const struct move *move, uint64_t seed)
{
    uint64_t hash = hash_text(hash_text(HASH_SEED + seed, move->debit_key), move->credit_key);

    return hash_end(hash_text(hash_int(hash, move->amount_minor), move->reference));
}

static enum error
transfer_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Ledger__V1__TransferRequest *request =
        (const Sagamesh__Ledger__V1__TransferRequest *)message;
    struct move *move = op;
    struct problem *problem = &move->op.problem;

    move->amount_minor = request->amount_minor;
    move->reference = request->reference;
    if (check_id(problem, "request_id", request->request_id, &move->op.id) != ERR_OK ||
        account_decode(problem, "debit_account", request->debit_account, request->currency, arena,
                       &move->debit_key) != ERR_OK ||
        account_decode(problem, "credit_account", request->credit_account, request->currency, arena,
                       &move->credit_key) != ERR_OK ||
        check_range(problem, "amount_minor", move->amount_minor, 1, AMOUNT_MINOR_MAX) != ERR_OK ||
        check_text(problem, "reference", move->reference, 0, LEDGER_REFERENCE_BYTES_MAX) != ERR_OK)
        return problem->error;
    if (strcmp(move->debit_key, move->credit_key) == 0)
        return problem_set(problem, ERR_BAD_REQUEST, "credit_account",
                           "must be another account than debit_account");
    move->op.fingerprint = move_fingerprint(move, SEED_TRANSFER);
    return ERR_OK;
}

static ProtobufCMessage *
transfer_encode(const void *op, struct arena *arena)
{
    Sagamesh__Ledger__V1__TransferResponse *response = arena_take(arena, sizeof *response);

    sagamesh__ledger__v1__transfer_response__init(response);
    response->transfer = transfer_message(&((const struct move *)op)->transfer, arena);
    return &response->base;
}

static enum error
topup_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Ledger__V1__TopUpRequest *request =
        (const Sagamesh__Ledger__V1__TopUpRequest *)message;
    struct move *topup = op;
    struct problem *problem = &topup->op.problem;

    topup->amount_minor = request->amount_minor;
    topup->reference = request->reference;
    if (check_id(problem, "request_id", request->request_id, &topup->op.id) != ERR_OK ||
        wallet_decode(problem, request->customer_id, request->currency, arena,
                      &topup->credit_key) != ERR_OK ||
        check_range(problem, "amount_minor", topup->amount_minor, 1, AMOUNT_MINOR_MAX) != ERR_OK ||
        check_text(problem, "reference", topup->reference, 0, LEDGER_REFERENCE_BYTES_MAX) !=
            ERR_OK ||
        account_decode(problem, "", "world/topups", request->currency, arena, &topup->debit_key) !=
            ERR_OK)
        return problem->error;
    topup->op.fingerprint = move_fingerprint(topup, SEED_TOPUP);
    return ERR_OK;
}

static ProtobufCMessage *
topup_encode(const void *op, struct arena *arena)
{
    Sagamesh__Ledger__V1__TopUpResponse *response = arena_take(arena, sizeof *response);

    sagamesh__ledger__v1__top_up_response__init(response);
    response->transfer_id = id_message(((const struct move *)op)->op.id, arena);
    return &response->base;
}

static enum error
charge_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Ledger__V1__ChargeRequest *request =
        (const Sagamesh__Ledger__V1__ChargeRequest *)message;
    struct move *charge = op;
    struct problem *problem = &charge->op.problem;

    charge->amount_minor = request->amount_minor;
    charge->reference = request->order_id;
    if (check_id(problem, "request_id", request->request_id, &charge->op.id) != ERR_OK ||
        wallet_decode(problem, request->customer_id, request->currency, arena,
                      &charge->debit_key) != ERR_OK ||
        check_range(problem, "amount_minor", charge->amount_minor, 0, AMOUNT_MINOR_MAX) != ERR_OK ||
        check_text(problem, "order_id", charge->reference, 0, LEDGER_REFERENCE_BYTES_MAX) !=
            ERR_OK ||
        account_decode(problem, "", "clearing/orders", request->currency, arena,
                       &charge->credit_key) != ERR_OK)
        return problem->error;
    charge->op.fingerprint = move_fingerprint(charge, SEED_CHARGE);
    return ERR_OK;
}

static ProtobufCMessage *
charge_encode(const void *op, struct arena *arena)
{
    Sagamesh__Ledger__V1__ChargeResponse *response = arena_take(arena, sizeof *response);

    sagamesh__ledger__v1__charge_response__init(response);
    response->transfer_id = id_message(((const struct move *)op)->op.id, arena);
    return &response->base;
}

/* ---- Refund ---- */

static enum error
refund_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Ledger__V1__RefundRequest *request =
        (const Sagamesh__Ledger__V1__RefundRequest *)message;
    struct refund *refund = op;
    struct problem *problem = &refund->op.problem;

    (void)arena;
    if (check_id(problem, "request_id", request->request_id, &refund->op.id) != ERR_OK ||
        check_id(problem, "charge_id", request->charge_id, &refund->charge_id) != ERR_OK)
        return problem->error;
    if (uuid_equal(refund->op.id, refund->charge_id))
        return problem_set(problem, ERR_BAD_REQUEST, "request_id",
                           "must not be the charge_id: a refund is a transfer of its own");
    refund->op.fingerprint = hash_end(hash_text(HASH_SEED + SEED_REFUND, request->charge_id));
    return ERR_OK;
}

static ProtobufCMessage *
refund_encode(const void *op, struct arena *arena)
{
    Sagamesh__Ledger__V1__RefundResponse *response = arena_take(arena, sizeof *response);

    sagamesh__ledger__v1__refund_response__init(response);
    response->transfer_id = id_message(((const struct refund *)op)->reversal_id, arena);
    return &response->base;
}

/* ---- reads ---- */

static enum error
get_account_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Ledger__V1__GetAccountRequest *request =
        (const Sagamesh__Ledger__V1__GetAccountRequest *)message;
    struct get_account *get = op;

    get->field = "account";
    return account_decode(&get->op.problem, "account", request->account, request->currency, arena,
                          &get->key);
}

static ProtobufCMessage *
get_account_encode(const void *op, struct arena *arena)
{
    Sagamesh__Ledger__V1__GetAccountResponse *response = arena_take(arena, sizeof *response);

    sagamesh__ledger__v1__get_account_response__init(response);
    response->account = account_message(&((const struct get_account *)op)->account, arena);
    return &response->base;
}

static enum error
get_transfer_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    struct get_transfer *get = op;

    (void)arena;
    return check_id(&get->op.problem, "transfer_id",
                    ((const Sagamesh__Ledger__V1__GetTransferRequest *)message)->transfer_id,
                    &get->op.id);
}

static ProtobufCMessage *
get_transfer_encode(const void *op, struct arena *arena)
{
    Sagamesh__Ledger__V1__GetTransferResponse *response = arena_take(arena, sizeof *response);

    sagamesh__ledger__v1__get_transfer_response__init(response);
    response->transfer = transfer_message(&((const struct get_transfer *)op)->transfer, arena);
    return &response->base;
}

static enum error
balance_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Ledger__V1__BalanceRequest *request =
        (const Sagamesh__Ledger__V1__BalanceRequest *)message;
    struct get_account *get = op;

    get->field = "customer_id";
    return wallet_decode(&get->op.problem, request->customer_id, request->currency, arena,
                         &get->key);
}

static ProtobufCMessage *
balance_encode(const void *op, struct arena *arena)
{
    const struct account *account = &((const struct get_account *)op)->account;
    Sagamesh__Ledger__V1__BalanceResponse *response = arena_take(arena, sizeof *response);

    sagamesh__ledger__v1__balance_response__init(response);
    response->balance_minor = account_balance_minor(account);
    response->currency = (char *)account_key_currency(account->key);
    return &response->base;
}

static enum error
statement_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Ledger__V1__StatementRequest *request =
        (const Sagamesh__Ledger__V1__StatementRequest *)message;
    struct statement *statement = op;
    struct problem *problem = &statement->op.problem;

    if (wallet_decode(problem, request->customer_id, request->currency, arena, &statement->key) !=
            ERR_OK ||
        check_page_size(problem, request->page_size, &statement->page_size) != ERR_OK ||
        check_page_id(problem, request->page_token, &statement->before_id) != ERR_OK)
        return problem->error;
    return ERR_OK;
}

static ProtobufCMessage *
statement_encode(const void *op, struct arena *arena)
{
    const struct statement *statement = op;
    Sagamesh__Ledger__V1__StatementResponse *response = arena_take(arena, sizeof *response);

    sagamesh__ledger__v1__statement_response__init(response);
    response->transfers = arena_take(arena, statement->count * sizeof *response->transfers);
    response->n_transfers = statement->count;
    for (size_t i = 0; i < statement->count; i++)
        response->transfers[i] = transfer_message(&statement->transfers[i], arena);
    if (statement->has_more)
        response->next_page_token = response->transfers[statement->count - 1]->transfer_id;
    return &response->base;
}

static enum error
list_charges_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Ledger__V1__ListChargesRequest *request =
        (const Sagamesh__Ledger__V1__ListChargesRequest *)message;
    struct list_charges *list = op;

    (void)arena;
    return check_page_before(&list->op.problem, request->page_token, request->page_size,
                             &list->before_id, &list->page_size);
}

static bool
is_standing_charge(const struct transfer *transfer)
{
    return transfer->state == TRANSFER_POSTED && strcmp(transfer->kind, "charge") == 0 &&
           uuid_is_nil(transfer->reversed_by);
}

static ProtobufCMessage *
list_charges_encode(const void *op, struct arena *arena)
{
    const struct list_charges *list = op;
    Sagamesh__Ledger__V1__ListChargesResponse *response = arena_take(arena, sizeof *response);

    sagamesh__ledger__v1__list_charges_response__init(response);
    response->charges = arena_take(arena, list->count * sizeof *response->charges);
    for (size_t i = 0; i < list->count; i++) {
        if (is_standing_charge(&list->transfers[i]))
            response->charges[response->n_charges++] = transfer_message(&list->transfers[i], arena);
    }
    if (list->has_more)
        response->next_page_token = id_message(list->transfers[list->count - 1].record.id, arena);
    return &response->base;
}

/* ---- holds ---- */

static enum error
hold_funds_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Ledger__V1__HoldFundsRequest *request =
        (const Sagamesh__Ledger__V1__HoldFundsRequest *)message;
    struct hold_funds *hold = op;
    struct move *move = &hold->move;
    struct problem *problem = &move->op.problem;

    move->amount_minor = request->amount_minor;
    move->reference = request->reference;
    hold->hold_seconds = request->hold_seconds;
    if (check_id(problem, "request_id", request->request_id, &move->op.id) != ERR_OK ||
        account_decode(problem, "debit_account", request->debit_account, request->currency, arena,
                       &move->debit_key) != ERR_OK ||
        account_decode(problem, "credit_account", request->credit_account, request->currency, arena,
                       &move->credit_key) != ERR_OK ||
        check_range(problem, "amount_minor", move->amount_minor, 1, AMOUNT_MINOR_MAX) != ERR_OK ||
        check_range(problem, "hold_seconds", hold->hold_seconds, 1, FUNDS_SECONDS_MAX) != ERR_OK ||
        check_text(problem, "reference", move->reference, 0, LEDGER_REFERENCE_BYTES_MAX) != ERR_OK)
        return problem->error;
    if (strcmp(move->debit_key, move->credit_key) == 0)
        return problem_set(problem, ERR_BAD_REQUEST, "credit_account",
                           "must be another account than debit_account");
    move->op.fingerprint =
        hash_end(hash_int(move_fingerprint(move, SEED_HOLD_FUNDS), hold->hold_seconds));
    return ERR_OK;
}

static ProtobufCMessage *
hold_funds_encode(const void *op, struct arena *arena)
{
    const struct hold_funds *hold = op;
    Sagamesh__Ledger__V1__HoldFundsResponse *response = arena_take(arena, sizeof *response);

    sagamesh__ledger__v1__hold_funds_response__init(response);
    response->hold_id = id_message(hold->move.op.id, arena);
    response->until_us = hold->until_us;
    return &response->base;
}

static enum error
end_funds_decode(struct end_funds *end, const char *request_id, const char *hold_id,
                 int64_t amount_minor, int seed)
{
    struct problem *problem = &end->op.problem;
    uint64_t hash = HASH_SEED + (uint64_t)seed;

    end->amount_minor = amount_minor;
    if (check_id(problem, "request_id", request_id, &end->op.id) != ERR_OK ||
        check_id(problem, "hold_id", hold_id, &end->hold_id) != ERR_OK ||
        check_range(problem, "amount_minor", amount_minor, 0, AMOUNT_MINOR_MAX) != ERR_OK)
        return problem->error;
    hash = hash_bytes(hash, &end->hold_id, sizeof end->hold_id);
    end->op.fingerprint = hash_end(hash_int(hash, amount_minor));
    return ERR_OK;
}

static enum error
post_hold_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Ledger__V1__PostHoldRequest *request =
        (const Sagamesh__Ledger__V1__PostHoldRequest *)message;

    (void)arena;
    return end_funds_decode(op, request->request_id, request->hold_id, request->amount_minor,
                            SEED_POST_HOLD);
}

static ProtobufCMessage *
post_hold_encode(const void *op, struct arena *arena)
{
    const struct end_funds *end = op;
    Sagamesh__Ledger__V1__PostHoldResponse *response = arena_take(arena, sizeof *response);

    sagamesh__ledger__v1__post_hold_response__init(response);
    response->transfer_id = id_message(end->funds.posted_by, arena);
    response->posted_minor = end->funds.posted_minor;
    return &response->base;
}

static enum error
void_hold_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Ledger__V1__VoidHoldRequest *request =
        (const Sagamesh__Ledger__V1__VoidHoldRequest *)message;

    (void)arena;
    return end_funds_decode(op, request->request_id, request->hold_id, 0, SEED_VOID_HOLD);
}

static ProtobufCMessage *
void_hold_encode(const void *op, struct arena *arena)
{
    Sagamesh__Ledger__V1__VoidHoldResponse *response = arena_take(arena, sizeof *response);

    sagamesh__ledger__v1__void_hold_response__init(response);
    response->state = (Sagamesh__Ledger__V1__HoldState)((const struct end_funds *)op)->funds.state;
    return &response->base;
}

static enum error
get_hold_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    struct get_funds *get = op;

    (void)arena;
    return check_id(&get->op.problem, "hold_id",
                    ((const Sagamesh__Ledger__V1__GetHoldRequest *)message)->hold_id, &get->op.id);
}

static ProtobufCMessage *
get_hold_encode(const void *op, struct arena *arena)
{
    const struct funds *funds = &((const struct get_funds *)op)->funds;
    Sagamesh__Ledger__V1__GetHoldResponse *response = arena_take(arena, sizeof *response);
    Sagamesh__Ledger__V1__Hold *hold = arena_take(arena, sizeof *hold);

    sagamesh__ledger__v1__get_hold_response__init(response);
    sagamesh__ledger__v1__hold__init(hold);
    hold->hold_id = id_message(funds->id, arena);
    hold->state = (Sagamesh__Ledger__V1__HoldState)funds->state;
    hold->debit_account = (char *)account_key_name(arena, funds->debit_key);
    hold->credit_account = (char *)account_key_name(arena, funds->credit_key);
    hold->currency = (char *)account_key_currency(funds->debit_key);
    hold->amount_minor = funds->amount_minor;
    hold->posted_minor = funds->posted_minor;
    hold->transfer_id = id_message(funds->posted_by, arena);
    hold->reference = (char *)funds->reference;
    hold->until_us = funds->until_us;
    response->hold = hold;
    return &response->base;
}

/* clang-format off */
const struct method ledger_methods[] = {
    /* name          op                           decode               touch               decide               answer               encode */
    { "OpenAccount", sizeof(struct open_account), open_account_decode, open_account_touch, open_account_decide, open_account_answer, open_account_encode },
    { "Transfer",    sizeof(struct move),         transfer_decode,     move_touch,         transfer_decide,     move_answer,         transfer_encode     },
    { "GetAccount",  sizeof(struct get_account),  get_account_decode,  NULL,               NULL,                NULL,                get_account_encode  },
    { "GetTransfer", sizeof(struct get_transfer), get_transfer_decode, NULL,               NULL,                NULL,                get_transfer_encode },
    { "HoldFunds",   sizeof(struct hold_funds),   hold_funds_decode,   hold_funds_touch,   hold_funds_decide,   hold_funds_answer,   hold_funds_encode   },
    { "PostHold",    sizeof(struct end_funds),    post_hold_decode,    end_funds_touch,    post_funds_decide,   end_funds_answer,    post_hold_encode    },
    { "VoidHold",    sizeof(struct end_funds),    void_hold_decode,    end_funds_touch,    void_funds_decide,   end_funds_answer,    void_hold_encode    },
    { "GetHold",     sizeof(struct get_funds),    get_hold_decode,     NULL,               NULL,                NULL,                get_hold_encode     },
    { "OpenWallet",  sizeof(struct open_account), open_wallet_decode,  open_account_touch, open_wallet_decide,  open_account_answer, open_wallet_encode  },
    { "TopUp",       sizeof(struct move),         topup_decode,        move_touch,         topup_decide,        NULL,                topup_encode        },
    { "Charge",      sizeof(struct move),         charge_decode,       move_touch,         charge_decide,       NULL,                charge_encode       },
    { "Refund",      sizeof(struct refund),       refund_decode,       refund_touch,       refund_decide,       refund_answer,       refund_encode       },
    { "Balance",     sizeof(struct get_account),  balance_decode,      NULL,               NULL,                NULL,                balance_encode      },
    { "Statement",   sizeof(struct statement),    statement_decode,    NULL,               NULL,                NULL,                statement_encode    },
    { "ListCharges", sizeof(struct list_charges), list_charges_decode, NULL,               NULL,                NULL,                list_charges_encode },
    { 0 },
};
/* clang-format on */
