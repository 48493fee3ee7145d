#include "account-svc/provider/provider_webhook.h"
#include "mesh/base/text.h"

#include <openssl/crypto.h>

#include <string.h>

/* Is the signature in the header's list? Each is compared in full, in constant time. */
static bool
list_has(const char *list, const char wanted[SIGNATURE_TEXT_BYTES + 1])
{
    bool is_found = false;
    int count = 0;

    while (*list != '\0' && count++ < WEBHOOK_SIGNATURES_MAX) {
        size_t bytes = strcspn(list, " ");

        if (bytes == SIGNATURE_TEXT_BYTES && CRYPTO_memcmp(list, wanted, SIGNATURE_TEXT_BYTES) == 0)
            is_found = true;
        list += bytes;
        list += strspn(list, " ");
    }
    return is_found;
}

/* Digits only, so that the signed content has one reading. */
static bool
timestamp_read(const char *text, int64_t *ret_seconds)
{
    return strlen(text) <= 15 && text_read_int(text, 0, INT64_MAX, ret_seconds);
}

enum error
webhook_verify(const struct signature_key *secrets, size_t secret_count,
               const struct provider_webhook *webhook, int64_t now_us, struct problem *problem,
               const char **ret_id)
{
    const char *id = provider_header_find(webhook, "webhook-id");
    const char *timestamp = provider_header_find(webhook, "webhook-timestamp");
    const char *list = provider_header_find(webhook, "webhook-signature");
    int64_t seconds = 0, now = now_us / SECOND_US;
    char wanted[SIGNATURE_TEXT_BYTES + 1];
    bool is_found = false;

    if (id == NULL || timestamp == NULL || list == NULL)
        return problem_set(
            problem, ERR_BAD_SIGNATURE, "webhook.headers",
            "webhook-id, webhook-timestamp and webhook-signature must be there once");
    if (id[0] == '\0' || strlen(id) > EVENT_ID_BYTES_MAX || strchr(id, '.') != NULL)
        return problem_set(problem, ERR_BAD_SIGNATURE, "webhook.headers",
                           "webhook-id must have 1 to %d bytes without '.'", EVENT_ID_BYTES_MAX);
    if (!timestamp_read(timestamp, &seconds))
        return problem_set(problem, ERR_BAD_SIGNATURE, "webhook.headers",
                           "webhook-timestamp must be seconds since 1970");
    if (seconds < now - WEBHOOK_TOLERANCE_SECONDS || seconds > now + WEBHOOK_TOLERANCE_SECONDS)
        return problem_set(problem, ERR_BAD_SIGNATURE, "webhook.headers",
                           "webhook-timestamp is more than %d seconds away",
                           WEBHOOK_TOLERANCE_SECONDS);
    for (size_t i = 0; i < secret_count; i++) {
        if (signature_print(&secrets[i], id, timestamp, webhook->body, webhook->body_bytes,
                            wanted) &&
            list_has(list, wanted))
            is_found = true;
    }
    OPENSSL_cleanse(wanted, sizeof wanted);
    if (!is_found)
        return problem_set(problem, ERR_BAD_SIGNATURE, "webhook.headers",
                           "no signature in webhook-signature verifies");
    *ret_id = id;
    return ERR_OK;
}
