/* payment_fixture.h -- A payment of 500 JPY at the provider "sandbox", just created.
 *
 * Memory    Its texts are literals.
 */
#ifndef TESTS_SUPPORT_ACCOUNT_PAYMENT_FIXTURE_H
#define TESTS_SUPPORT_ACCOUNT_PAYMENT_FIXTURE_H

#include "account-svc/payment/payment.h"

/* All texts are empty. */
struct payment payment_created(struct uuid id, int64_t expires_at_us);

#endif
