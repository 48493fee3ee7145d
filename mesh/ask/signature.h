/* signature.h -- Standard Webhooks 1.0.0: keys, and signatures by them.
 *
 * Signed is "id.timestamp.body" by HMAC-SHA256; a signature is "v1," and its base64.
 *
 * Thread    Plain data.
 * Errors    False: the text is no key; or libcrypto could not sign.
 */
#ifndef MESH_ASK_SIGNATURE_H
#define MESH_ASK_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SIGNATURE_KEY_BYTES_MIN = 16,
    SIGNATURE_KEY_BYTES_MAX = 256,
    SIGNATURE_TEXT_BYTES = 3 + 44, /* "v1," and the base64 of 32 bytes */
};

struct signature_key {
    uint8_t bytes[SIGNATURE_KEY_BYTES_MAX];
    size_t count;
};

/* "whsec_" and base64, or base64 alone. False: not that, or not 16 to 256 bytes. */
bool signature_key_read(const char *text, struct signature_key *ret_key);

bool signature_print(const struct signature_key *key, const char *id, const char *timestamp,
                     const void *body, size_t body_bytes, char text[SIGNATURE_TEXT_BYTES + 1]);

#endif
