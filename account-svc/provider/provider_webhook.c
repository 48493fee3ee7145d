#include "account-svc/provider/provider_webhook.h"
#include "mesh/base/text.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <stdlib.h>
#include <string.h>

enum { DIGEST_BYTES = 32, DIGEST_TEXT_BYTES = 44, SECRET_BYTES_MIN = 16 };

bool
webhook_secret_read(const char *text, struct provider_secret *ret_secret)
{
    struct provider_secret secret = { .count = 0 };
    size_t bytes;

    if (strncmp(text, "whsec_", 6) == 0)
        text += 6;
    bytes = strlen(text);
    if (bytes % 4 != 0 || bytes / 4 * 3 > sizeof secret.bytes ||
        !text_read_base64(text, bytes, secret.bytes, &secret.count) ||
        secret.count < SECRET_BYTES_MIN)
        return false;
    *ret_secret = secret;
    return true;
}

/* What a secret makes of the content, as base64. */
static bool
sign(const struct provider_secret *secret, const char *id, const char *timestamp,
     const struct provider_webhook *webhook, char text[DIGEST_TEXT_BYTES + 1])
{
    size_t head_bytes = strlen(id) + strlen(timestamp) + 2,
           bytes = head_bytes + webhook->body_bytes;
    unsigned char digest[DIGEST_BYTES];
    unsigned int digest_bytes = 0;
    char *content = memory_take(bytes + 1);
    bool is_signed;

    memcpy(content, id, strlen(id));
    content[strlen(id)] = '.';
    memcpy(content + strlen(id) + 1, timestamp, strlen(timestamp));
    content[head_bytes - 1] = '.';
    if (webhook->body_bytes > 0)
        memcpy(content + head_bytes, webhook->body, webhook->body_bytes);
    is_signed = HMAC(EVP_sha256(), secret->bytes, (int)secret->count, (unsigned char *)content,
                     bytes, digest, &digest_bytes) != NULL;
    free(content);
    if (!is_signed || digest_bytes != sizeof digest)
        return false;
    text_print_base64(digest, sizeof digest, text);
    return true;
}

/* Is the signature in the header's list? Each is compared in full, in constant time. */
static bool
list_has(const char *list, const char wanted[DIGEST_TEXT_BYTES + 1])
{
    bool is_found = false;
    int count = 0;

    while (*list != '\0' && count++ < WEBHOOK_SIGNATURES_MAX) {
        size_t bytes = strcspn(list, " ");

        if (bytes == 3 + DIGEST_TEXT_BYTES && memcmp(list, "v1,", 3) == 0 &&
            CRYPTO_memcmp(list + 3, wanted, DIGEST_TEXT_BYTES) == 0)
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
webhook_verify(const struct provider_secret *secrets, size_t secret_count,
               const struct provider_webhook *webhook, int64_t now_us, struct problem *problem,
               const char **ret_id)
{
    const char *id = provider_header_find(webhook, "webhook-id");
    const char *timestamp = provider_header_find(webhook, "webhook-timestamp");
    const char *list = provider_header_find(webhook, "webhook-signature");
    int64_t seconds = 0, now = now_us / SECOND_US;
    char wanted[DIGEST_TEXT_BYTES + 1];
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
        if (sign(&secrets[i], id, timestamp, webhook, wanted) && list_has(list, wanted))
            is_found = true;
    }
    OPENSSL_cleanse(wanted, sizeof wanted);
    if (!is_found)
        return problem_set(problem, ERR_BAD_SIGNATURE, "webhook.headers",
                           "no signature in webhook-signature verifies");
    *ret_id = id;
    return ERR_OK;
}
