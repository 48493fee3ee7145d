#include "mesh/base/hash.h"
#include "mesh/base/random.h"

#include <string.h>

/* Keys are mostly ids of 16 bytes: a call into a shared library would take longer than their hash does. */
#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t process_seed;

/* Before main(), so that no thread can be early. */
static void __attribute__((constructor)) seed_make(void)
{
    random_bytes(&process_seed, sizeof process_seed);
}

uint64_t
hash_in_memory(const void *data, size_t bytes)
{
    return XXH3_64bits_withSeed(data, bytes, process_seed);
}

uint64_t
hash_bytes(uint64_t seed, const void *data, size_t bytes)
{
    const unsigned char *at = data;

    for (size_t i = 0; i < bytes; i++)
        seed = (seed ^ at[i]) * UINT64_C(0x100000001b3);
    return seed;
}

uint64_t
hash_text(uint64_t seed, const char *text)
{
    return hash_bytes(seed, text, strlen(text) + 1);
}

uint64_t
hash_int(uint64_t seed, int64_t value)
{
    return hash_bytes(seed, &value, sizeof value);
}

uint64_t
hash_end(uint64_t hash)
{
    hash ^= hash >> 33;
    hash *= UINT64_C(0xff51afd7ed558ccd);
    hash ^= hash >> 33;
    hash *= UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ hash >> 33;
}
