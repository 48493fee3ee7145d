/* uuid.h -- Ids: UUIDv7 from callers, v8 for a saga's activations, v5 for alerts (RFC 9562).
 *
 * An id carries its own time, which keeps indexes warm and names the partition its row lives in.
 * On the wire and in JSON an id is the 36-character lower-case text; here it is 16 bytes, and byte
 * order is time order.
 *
 * Thread    Any.
 */
#ifndef MESH_BASE_UUID_H
#define MESH_BASE_UUID_H

#include "mesh/base/error.h"

#include <stddef.h>
#include <stdint.h>

enum {
    UUID_TEXT_BYTES = 36,
    ID_FUTURE_SECONDS_MAX = 5 * 60, /* how far a caller's clock may run ahead */
    ID_DAYS_KEPT = 45,              /* R of the design: records, tombstones, final sagas */
};

struct uuid {
    uint8_t bytes[16];
};

/* Ids of different microseconds are in order: rand_a is the millisecond's fraction (RFC 9562, 6.2,
 * method 3). The 62 bits of rand_b are random. */
struct uuid uuid_v7(int64_t now_us);

/* Same time, saga, state and number: same id. seed is hashed; time_us is the activation's. */
struct uuid uuid_v8(int64_t time_us, const void *seed, size_t seed_bytes);

/* Of a name in a name space: the same for the same (RFC 9562, 5.5). It has no time. */
struct uuid uuid_v5(struct uuid space, const void *name, size_t bytes);

/* Exactly 36 lower-case characters, any version. Returns false and leaves *ret_id alone otherwise. */
bool uuid_parse(const char *text, size_t bytes, struct uuid *ret_id);

/* Writes 36 characters and a NUL; returns text. */
char *uuid_print(struct uuid id, char text[UUID_TEXT_BYTES + 1]);

bool uuid_equal(struct uuid a, struct uuid b);
int uuid_compare(const struct uuid *a, const struct uuid *b); /* memcmp order */
bool uuid_is_nil(struct uuid id);
int64_t uuid_time_us(struct uuid id); /* of a v7 or v8 id */

/* A caller's id: text of a v7 or v8 UUID, not from the future. Names field in *problem and says how
 * to make one. Whether it is too old (ERR_ID_TOO_OLD) is asked apart: undoing something that old is
 * no error. */
enum error id_check(const char *text, const char *field, int64_t now_us, struct problem *problem,
                    struct uuid *ret_id);
bool id_is_too_old(struct uuid id, int64_t now_us);

#endif
