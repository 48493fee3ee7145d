#include "mesh/ask/signature.h"
#include "mesh/base/arena.h"
#include "mesh/base/text.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <stdlib.h>
#include <string.h>

enum { DIGEST_BYTES = 32 };

bool
signature_key_read(const char *text, struct signature_key *ret_key)
{
    struct signature_key key = { .count = 0 };
    size_t bytes;

    if (strncmp(text, "whsec_", 6) == 0)
        text += 6;
    bytes = strlen(text);
    if (bytes % 4 != 0 || bytes / 4 * 3 > sizeof key.bytes ||
        !text_read_base64(text, bytes, key.bytes, &key.count) ||
        key.count < SIGNATURE_KEY_BYTES_MIN)
        return false;
    *ret_key = key;
    return true;
}

bool
signature_print(const struct signature_key *key, const char *id, const char *timestamp,
                const void *body, size_t body_bytes, char text[SIGNATURE_TEXT_BYTES + 1])
{
    size_t head_bytes = strlen(id) + strlen(timestamp) + 2, bytes = head_bytes + body_bytes;
    unsigned char digest[DIGEST_BYTES];
    unsigned int digest_bytes = 0;
    char *content = memory_take(bytes + 1);
    bool is_signed;

    memcpy(content, id, strlen(id));
    content[strlen(id)] = '.';
    memcpy(content + strlen(id) + 1, timestamp, strlen(timestamp));
    content[head_bytes - 1] = '.';
    if (body_bytes > 0)
        memcpy(content + head_bytes, body, body_bytes);
    is_signed = HMAC(EVP_sha256(), key->bytes, (int)key->count, (unsigned char *)content, bytes,
                     digest, &digest_bytes) != NULL;
    free(content);
    if (!is_signed || digest_bytes != sizeof digest)
        return false;
    memcpy(text, "v1,", 3);
    text_print_base64(digest, sizeof digest, text + 3);
    OPENSSL_cleanse(digest, sizeof digest);
    return true;
}
