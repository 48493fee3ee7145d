/* provider_paypay.h -- PayPay's request signature, for the adapter and for its tests. */
#ifndef PROVIDER_PAYPAY_H
#define PROVIDER_PAYPAY_H

#include "account-svc/provider/provider.h"

/* What is signed. No body: body and content_type are NULL. */
struct paypay_content {
    const char *method, *path; /* without the query */
    const char *content_type, *body;
    const char *nonce;
    int64_t epoch_seconds;
};

/* The value of the Authorization header, in arena: "hmac OPA-Auth:key:mac:nonce:epoch:hash". */
const char *paypay_sign(const char *api_key, const struct signature_key *secret,
                        const struct paypay_content *content, struct arena *arena);

#endif
