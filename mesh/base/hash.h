/* hash.h -- Two hashes, which must not be mistaken for each other. Neither is for security.
 *
 *   hash_bytes() ... hash_end()    the same for ever, on every machine: fingerprints of requests, activations'
 *                                  ids and a saga's shard are made of it, and stand in databases. A change
 *                                  of one bit would call repeated requests of before ID_REUSED.
 *   hash_in_memory()               another one in each process, so that callers, who choose most keys, cannot
 *                                  choose such as all fall together. It must not leave the process.
 *
 * Thread    Any.
 */
#ifndef MESH_BASE_HASH_H
#define MESH_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* 64-bit FNV-1a, then a final mix. Chain by passing the last result as seed; start with HASH_SEED. */
#define HASH_SEED UINT64_C(0xcbf29ce484222325)
uint64_t hash_bytes(uint64_t seed, const void *data, size_t bytes);
uint64_t hash_text(uint64_t seed, const char *text); /* with its NUL, so "ab","c" is not "a","bc" */
uint64_t hash_int(uint64_t seed, int64_t value);
uint64_t hash_end(uint64_t hash);

/* XXH3 by a random seed of the process: for maps (map.h) and caches. */
uint64_t hash_in_memory(const void *data, size_t bytes);

#endif
