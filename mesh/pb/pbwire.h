/* pbwire.h -- The bytes of protobuf: varints, tags and lengths, read and written by hand.
 *
 * For messages whose type is not known at build time (pbjson), and for the envelope, where making
 * protobuf-c's structs first would cost more than the bytes themselves.
 *
 * Thread    Plain data.
 * Memory    What is read points into the bytes that were given.
 * Errors    Reading answers false for anything cut short or garbled, and moves no further.
 */
#ifndef MESH_PB_PBWIRE_H
#define MESH_PB_PBWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pbwire_type {
    PBWIRE_VARINT = 0,
    PBWIRE_FIXED64 = 1,
    PBWIRE_BYTES = 2,
    PBWIRE_FIXED32 = 5,
};

enum { PBWIRE_VARINT_BYTES_MAX = 10, PBWIRE_NUMBER_MAX = (1 << 29) - 1 };

/* What is left to read. */
struct pbwire {
    const uint8_t *at, *end;
};

struct pbwire_field {
    uint32_t number;
    enum pbwire_type type;
    uint64_t value;      /* of the three number types */
    const uint8_t *data; /* of PBWIRE_BYTES */
    size_t bytes;
};

struct pbwire pbwire_of(const uint8_t *bytes, size_t count);

/* The next field, its tag included. False at the end too: ask pbwire_is_done() which it was. Groups
 * (proto2) are garbled here. */
bool pbwire_next(struct pbwire *wire, struct pbwire_field *ret_field);
bool pbwire_is_done(const struct pbwire *wire);

/* Values without tags, for packed fields. */
bool pbwire_read_varint(struct pbwire *wire, uint64_t *ret_value);
bool pbwire_read_fixed(struct pbwire *wire, size_t bytes, uint64_t *ret_value); /* 4 or 8 */

size_t pbwire_varint_bytes(uint64_t value);

/* Write and return the place after it; the caller has made room. */
uint8_t *pbwire_put_varint(uint8_t *at, uint64_t value);
uint8_t *pbwire_put_tag(uint8_t *at, uint32_t number, enum pbwire_type type);
uint8_t *pbwire_put_fixed(uint8_t *at, uint64_t value, size_t bytes); /* 4 or 8 */
uint8_t *pbwire_put_bytes(uint8_t *at, uint32_t number, const void *data, size_t bytes);

#endif
