/* account_fixture.h -- Calls of the ledger, made by a test and decided over a connection.
 *
 * Memory    As in service_fixture.h: a call is the test's to free. service_do() frees it.
 */
#ifndef TESTS_SUPPORT_ACCOUNT_ACCOUNT_FIXTURE_H
#define TESTS_SUPPORT_ACCOUNT_ACCOUNT_FIXTURE_H

#include "account-svc/account.h"
#include "account-svc/ledger/ledger.h"
#include "tests/support/check.h"
#include "tests/support/store/service_fixture.h"

#include <string.h>

extern const struct service_parts ledger_parts;

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

/* Decides one call, asserts the reason of its answer ("" is OK), and frees it. */
#define ledger_expect(over, test, wanted)                                                          \
    do {                                                                                           \
        struct problem problem_;                                                                   \
                                                                                                   \
        service_do(over, test, &problem_);                                                         \
        ck_assert_msg(strcmp(problem_reason(&problem_), wanted) == 0, "got '%s': %s",              \
                      problem_reason(&problem_), problem_.text);                                   \
    } while (0)

#endif
