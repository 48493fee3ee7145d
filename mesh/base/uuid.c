#include "mesh/base/uuid.h"
#include "mesh/base/clock.h"
#include "mesh/base/hash.h"
#include "mesh/base/random.h"
#include "mesh/base/text.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static void
stamp(struct uuid *id, int64_t time_us, unsigned version)
{
    uint64_t ms = (uint64_t)(time_us / 1000);

    for (int i = 0; i < 6; i++)
        id->bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    id->bytes[6] = (uint8_t)((id->bytes[6] & 0x0f) | version << 4);
    id->bytes[8] = (uint8_t)((id->bytes[8] & 0x3f) | 0x80);
}

struct uuid
uuid_v7(int64_t now_us)
{
    unsigned fraction = (unsigned)(now_us % 1000 * 4096 / 1000);
    struct uuid id;

    random_bytes(&id, sizeof id);
    id.bytes[6] = (uint8_t)(fraction >> 8);
    id.bytes[7] = (uint8_t)fraction;
    stamp(&id, now_us, 7);
    return id;
}

struct uuid
uuid_v8(int64_t time_us, const void *seed, size_t seed_bytes)
{
    struct uuid id;
    uint64_t high = hash_end(hash_bytes(HASH_SEED, seed, seed_bytes));
    uint64_t low = hash_end(hash_bytes(high, seed, seed_bytes));

    memcpy(id.bytes, &high, 8);
    memcpy(id.bytes + 8, &low, 8);
    memcpy(id.bytes + 6, &high, 2);
    stamp(&id, time_us, 8);
    return id;
}

struct uuid
uuid_v5(struct uuid space, const void *name, size_t bytes)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    struct uuid id;
    int is_good = context != NULL && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1 &&
                  EVP_DigestUpdate(context, &space, sizeof space) == 1 &&
                  EVP_DigestUpdate(context, name, bytes) == 1 &&
                  EVP_DigestFinal_ex(context, digest, NULL) == 1;

    assert(is_good);
    EVP_MD_CTX_free(context);
    memcpy(&id, digest, sizeof id);
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x50);
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    return id;
}

bool
uuid_parse(const char *text, size_t bytes, struct uuid *ret_id)
{
    struct uuid id;
    size_t at = 0;

    if (bytes != UUID_TEXT_BYTES)
        return false;
    for (size_t i = 0; i < sizeof id.bytes; i++) {
        int high, low;

        if (i == 4 || i == 6 || i == 8 || i == 10) {
            if (text[at++] != '-')
                return false;
        }
        high = text_hex_digit(text[at]);
        low = text_hex_digit(text[at + 1]);
        if (high < 0 || low < 0)
            return false;
        id.bytes[i] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    *ret_id = id;
    return true;
}

char *
uuid_print(struct uuid id, char text[UUID_TEXT_BYTES + 1])
{
    char *at = text;

    for (size_t i = 0; i < sizeof id.bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        at = text_print_hex(&id.bytes[i], 1, at);
    }
    *at = '\0';
    return text;
}

bool
uuid_equal(struct uuid a, struct uuid b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

int
uuid_compare(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a, b, sizeof *a);
}

bool
uuid_is_nil(struct uuid id)
{
    static const struct uuid nil;

    return uuid_equal(id, nil);
}

int64_t
uuid_time_us(struct uuid id)
{
    int64_t ms = 0;

    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id.bytes[i];
    return ms * 1000;
}

enum error
id_check(const char *text, const char *field, int64_t now_us, struct problem *problem,
         struct uuid *ret_id)
{
    struct uuid id;
    unsigned version;

    if (text[0] == '\0')
        return problem_set(problem, ERR_BAD_REQUEST, field,
                           "is missing: send a UUIDv7 of your own (`sagactl id` makes one)");
    if (!uuid_parse(text, strlen(text), &id))
        return problem_set(problem, ERR_BAD_REQUEST, field,
                           "must be the 36-character lower-case text of a UUIDv7 "
                           "(`sagactl id` makes one)");
    version = id.bytes[6] >> 4;
    if ((version != 7 && version != 8) || id.bytes[8] >> 6 != 2)
        return problem_set(problem, ERR_BAD_REQUEST, field,
                           "must be a UUIDv7, whose first 48 bits are the time "
                           "(`sagactl id` makes one)");
    if (uuid_time_us(id) > now_us + ID_FUTURE_SECONDS_MAX * SECOND_US)
        return problem_set(
            problem, ERR_TOO_EARLY, field,
            "is from the future by more than 5 minutes: a clock is wrong, here or there");
    *ret_id = id;
    return ERR_OK;
}

bool
id_is_too_old(struct uuid id, int64_t now_us)
{
    return uuid_time_us(id) < now_us - ID_DAYS_KEPT * DAY_US;
}
