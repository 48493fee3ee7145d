/* ledger.h -- Who owns what, and the rules by which money moves. No I/O here.
 *
 * Double entry: a transfer adds its amount to the debits of one account and to the credits of another
 * of the same currency, in one op, so debits equal credits at every commit. A transfer has the id of
 * the request that made it. A refund is a second transfer the other way; undoing a charge that never
 * arrived leaves a tombstone.
 *
 * Accounts are found by one key, name and currency: "wallet/alice JPY". The currency is always the
 * last three bytes, whatever the owner is called.
 *
 * It is a library. A program that links it has LEDGER_TABLES behind its table of ops, its own tables from
 * LEDGER_TABLES_END on, ledger/ledger.sql in its schema, and defines its chart of accounts. Wallets, top-ups and
 * charges need the kinds of their accounts in the chart; where one is not, they are refused.
 *
 * Thread    touch, decide, answer: the store thread (mesh/store/batch.h).
 * Units     *_minor minor units of the account's currency; *_us microseconds since 1970 UTC.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include "mesh/store/asked.h"
#include "mesh/store/op.h"
#include "mesh/store/reader.h"

/* The numbers of its tables, in the order of loading, locking and saving. */
enum ledger_table {
    LEDGER_TRANSFER = TABLE_OF_OPS + 1,
    LEDGER_HOLD, /* names accounts */
    LEDGER_ACCOUNT,
    LEDGER_TABLES_END
};

enum {
    ACCOUNT_BYTES_MAX = 96,
    ACCOUNT_OWNER_BYTES_MAX = 64, /* as a customer's id */
    CURRENCY_BYTES = 3,
    LEDGER_REFERENCE_BYTES_MAX = 64,
};
#define AMOUNT_MINOR_MAX INT64_C(1000000000000000)

/* How far the sums of an account may grow by new business. The other half of an int64 is kept for
 * refunds, which are never refused: what they add up to was a sum of charges before, and so below
 * this limit as well. */
#define SUM_MINOR_MAX (INT64_MAX / 2)

/* As in the account table. */
enum account_side { ACCOUNT_DEBIT = 1, ACCOUNT_CREDIT = 2 };
enum account_overdraft {
    OVERDRAFT_NEVER, /* not even to undo something */
    OVERDRAFT_BY_UNDO, /* Transfer is refused, a Refund is not: an undo is never refused for business reasons */
    OVERDRAFT_ALWAYS, /* it stands for what is outside of these books */
};

/* An account takes both with it into its row when it is made, where a constraint reads them; a later
 * change of the chart goes for accounts made later. */
struct account_kind {
    const char
        *kind; /* of 31 bytes at most: with "/" and an owner of 64 that makes the 96 of a name */
    enum account_side normal;
    enum account_overdraft overdraft;
};

/* The program's: it defines this table, which ends with a row of zeros. */
extern const struct account_kind ledger_chart[];

/* The kind of an account by its name or key; NULL: the chart has none such. */
const struct account_kind *account_kind_find(const char *name);

struct account {
    const char *key;
    int32_t normal;    /* enum account_side */
    int32_t overdraft; /* enum account_overdraft */
    int64_t debits_minor, credits_minor;
    int64_t held_minor; /* of the balance, what holds have reserved (ledger_hold.h) */
};

/* On its normal side; below 0 when it is overdrawn. */
int64_t account_balance_minor(const struct account *account);

/* "wallet/alice", "JPY" -> "wallet/alice JPY", and the parts of a key again. */
const char *account_key(struct arena *arena, const char *kind, const char *owner,
                        const char *currency);
const char *account_key_name(struct arena *arena, const char *key);
const char *account_key_currency(const char *key);
const char *account_key_owner(struct arena *arena, const char *key);

/* As in the transfer table. */
enum transfer_state { TRANSFER_REFUSED, TRANSFER_POSTED, TRANSFER_TOMBSTONE };

#define TRANSFER_PLAIN "transfer"
#define TRANSFER_TOPUP "topup"
#define TRANSFER_CHARGE "charge"
#define TRANSFER_REFUND "refund"

struct transfer {
    struct batch_record record; /* first */
    int32_t state;              /* enum transfer_state */
    const char *kind;
    const char *debit_key, *credit_key;
    int64_t amount_minor;
    const char *reference;
    struct uuid reverses_id; /* a refund: its charge; else nil */
    struct uuid reversed_by; /* a charge: its refund, once there is one; else nil */
    int64_t posted_at_us;
};

/* Its state, at debug. */
void transfer_log(const struct transfer *transfer);

/* ---- ops ---- */

/* OpenAccount and OpenWallet. */
struct open_account {
    struct op op;
    const char *key;
    struct account account; /* result */
};

/* Transfer, TopUp and Charge. */
struct move {
    struct op op;
    const char *debit_key, *credit_key;
    int64_t amount_minor;
    const char *reference;
    struct transfer transfer; /* result */
};

struct refund {
    struct op op;
    struct uuid charge_id;
    struct uuid reversal_id; /* result; nil: there was nothing to reverse */
};

void open_account_touch(const void *op, struct batch_touch *touch);
void open_account_decide(void *op, struct batch_rows *rows);
void open_wallet_decide(void *op, struct batch_rows *rows);
void open_account_answer(void *op, struct batch_rows *rows);
void move_touch(const void *op, struct batch_touch *touch);
void transfer_decide(void *op, struct batch_rows *rows);
void topup_decide(void *op, struct batch_rows *rows);
void charge_decide(void *op, struct batch_rows *rows);
void move_answer(void *op, struct batch_rows *rows);
void refund_touch(const void *op, struct batch_touch *touch);
void refund_decide(void *op, struct batch_rows *rows);
void refund_answer(void *op, struct batch_rows *rows);

/* A charge that was loaded names its accounts: a refund will want them. */
void transfer_follow(const void *row, struct batch_touch *touch);

/* ---- reads ---- */

/* GetAccount and Balance. */
struct get_account {
    struct op op;
    const char *key;
    const char *field;      /* of the request, named when there is no such account */
    struct account account; /* result */
};

struct get_transfer {
    struct op op;             /* op.id is the transfer's */
    struct transfer transfer; /* result */
};

struct statement {
    struct op op;
    const char *key;
    struct uuid before_id; /* nil: from the newest */
    int32_t page_size;
    struct transfer *transfers; /* result */
    size_t count;
    bool has_more;
};

struct list_charges {
    struct op op;
    struct uuid before_id; /* all bits set: from the newest */
    int32_t page_size;
    struct transfer *transfers; /* result: all that were looked at */
    size_t count;
    bool has_more;
};

extern const struct read ledger_reads[]; /* ledger_store.c */
extern const struct pg_statement *const ledger_statements[];
extern const struct asked_row ledger_asked[]; /* of a whole table: not often */
extern const struct method ledger_methods[];  /* ledger_rpc.c */

/* ---- for ledger_hold.c ---- */

/* A side of a move: the field that a refusal names, and whether the ledger makes the account itself
 * on first use. */
struct side {
    const char *field;
    bool is_system;
};

/* Of the reasons to refuse a move, the first; both accounts were touched. */
enum error move_check(struct move *move, struct batch_rows *rows, struct side debit_side,
                      struct side credit_side);

/* Both sides of one transfer, or nothing. */
void ledger_post(struct batch_rows *rows, struct account *debit, struct account *credit,
                 int64_t amount_minor);

/* ---- tables, for the program's list ---- */

extern const struct pg_statement transfer_load, transfer_locked, transfer_insert, transfer_update;
extern const struct pg_statement account_load, account_locked, account_insert, account_update;

/* clang-format off */
#define TRANSFER_TABLE { \
    .name = "transfer", .row_bytes = sizeof(struct transfer), .key = BATCH_KEY_UUID, \
    .key_offset = 0, .load = &transfer_load, .locked = &transfer_locked, .insert = &transfer_insert, \
    .update = &transfer_update, .is_record = true, .follow = transfer_follow, \
}
#define ACCOUNT_TABLE { \
    .name = "account", .row_bytes = sizeof(struct account), .key = BATCH_KEY_TEXT, \
    .key_offset = offsetof(struct account, key), .load = &account_load, .locked = &account_locked, \
    .insert = &account_insert, .update = &account_update, \
}
/* clang-format on */

#endif
