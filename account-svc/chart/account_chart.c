/* The chart of accounts of this shop: what kinds there are, which side is normal, and whether more may be
 * taken out than is in. The ledger is a library and knows of no kind but by this table; another program
 * that links it has a table of its own. */
#include "account-svc/ledger/ledger.h"

/* clang-format off */
const struct account_kind ledger_chart[] = {
    /* kind       normal          overdraft */
    { "wallet",   ACCOUNT_CREDIT, OVERDRAFT_NEVER },   /* what we owe a customer */
    { "clearing", ACCOUNT_CREDIT, OVERDRAFT_BY_UNDO }, /* paid for what is not final yet */
    { "revenue",  ACCOUNT_CREDIT, OVERDRAFT_NEVER },   /* ours */
    { "expense",  ACCOUNT_DEBIT,  OVERDRAFT_NEVER },   /* spent */
    { "world",    ACCOUNT_DEBIT,  OVERDRAFT_ALWAYS },  /* outside money: banks, providers */
    { 0 },
};
/* clang-format on */
