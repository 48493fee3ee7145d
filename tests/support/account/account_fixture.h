/* account_fixture.h -- Calls of the ledger, made by a test and decided over a connection.
 *
 * Memory    As in call_fixture.h: a call is the test's to free. ledger_do() frees it.
 */
#ifndef TESTS_SUPPORT_ACCOUNT_ACCOUNT_FIXTURE_H
#define TESTS_SUPPORT_ACCOUNT_ACCOUNT_FIXTURE_H

#include "account-svc/account.h"
#include "account-svc/ledger/ledger.h"
#include "tests/support/check.h"
#include "tests/support/store/call_fixture.h"

#include <string.h>

const struct method *ledger_method(const char *name);
struct uuid ledger_id(void);

/* Names a wallet in JPY by its owner; anything with a "/" is a name already. */
const char *ledger_key(struct test_call *test, const char *name);

struct test_call *ledger_open(struct uuid id, const char *customer);

/* "Transfer", "TopUp" or "Charge". */
struct test_call *ledger_move(const char *method, struct uuid id, const char *debit,
                              const char *credit, int64_t amount_minor);

struct test_call *ledger_topup(struct uuid id, const char *customer, int64_t amount_minor);
struct test_call *ledger_charge(struct uuid id, const char *customer, int64_t amount_minor);
struct test_call *ledger_refund(struct uuid id, struct uuid charge_id);
struct uuid ledger_reversal(const struct test_call *test);
void ledger_run(struct pg *pg, struct test_call **tests, size_t count);

/* Decides one call and frees it. */
struct problem ledger_do(struct pg *pg, struct test_call *test);

/* The same, and asserts the answer's reason; "" is OK. */
#define ledger_expect(pg, test, wanted)                                                            \
    do {                                                                                           \
        struct problem problem_ = ledger_do(pg, test);                                             \
                                                                                                   \
        ck_assert_msg(strcmp(problem_reason(&problem_), wanted) == 0, "got '%s': %s",              \
                      problem_reason(&problem_), problem_.text);                                   \
    } while (0)

/* Runs the named read over the ops. */
enum error ledger_read(struct pg *pg, const char *name, struct op *const *ops, size_t count,
                       struct arena *arena);

#endif
