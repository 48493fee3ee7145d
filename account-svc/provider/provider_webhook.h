/* provider_webhook.h -- Standard Webhooks 1.0.0: headers, signatures, time.
 *
 * Signed is "id.timestamp.body", HMAC-SHA256, base64, with "v1," before it; the header may hold several
 * signatures (a secret being replaced), and several secrets may be active here. Versions that are not
 * v1 are skipped. A timestamp more than 300 seconds away, past or future, is refused.
 *
 * Thread    Plain data.
 * Errors    ERR_BAD_SIGNATURE with *problem filled; it does not say which secret was tried.
 */
#ifndef PROVIDER_WEBHOOK_H
#define PROVIDER_WEBHOOK_H

#include "account-svc/provider/provider.h"

enum { WEBHOOK_TOLERANCE_SECONDS = 300, WEBHOOK_SIGNATURES_MAX = 32 };

/* *ret_id is the webhook-id, in the headers. */
enum error webhook_verify(const struct signature_key *secrets, size_t secret_count,
                          const struct provider_webhook *webhook, int64_t now_us,
                          struct problem *problem, const char **ret_id);

#endif
