#include "tests/support/account/payment_fixture.h"

struct payment
payment_created(struct uuid id, int64_t expires_at_us)
{
    return (struct payment){ .record = { .id = id, .fingerprint = 1 },
                             .provider = "sandbox",
                             .amount_minor = 500,
                             .currency = "JPY",
                             .observed = OBSERVED_CREATED,
                             .claim = CLAIM_OPEN,
                             .version = 1,
                             .description = "",
                             .return_url = "",
                             .url = "",
                             .reference = "",
                             .refunds = "",
                             .booked_currency = "",
                             .failure_reason = "",
                             .failure_detail = "",
                             .traceparent = "",
                             .expires_at_us = expires_at_us };
}
