#include "mesh/pb/pbwire.h"

#include <string.h>

struct pbwire
pbwire_of(const uint8_t *bytes, size_t count)
{
    return (struct pbwire){ .at = bytes, .end = count == 0 ? bytes : bytes + count };
}

bool
pbwire_is_done(const struct pbwire *wire)
{
    return wire->at == wire->end;
}

bool
pbwire_read_varint(struct pbwire *wire, uint64_t *ret_value)
{
    const uint8_t *at = wire->at;
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && at < wire->end; shift += 7) {
        uint8_t byte = *at++;

        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            wire->at = at;
            *ret_value = value;
            return true;
        }
    }
    return false;
}

bool
pbwire_read_fixed(struct pbwire *wire, size_t bytes, uint64_t *ret_value)
{
    uint64_t value = 0;

    if ((size_t)(wire->end - wire->at) < bytes)
        return false;
    for (size_t i = bytes; i > 0; i--)
        value = value << 8 | wire->at[i - 1];
    wire->at += bytes;
    *ret_value = value;
    return true;
}

static bool
read_bytes(struct pbwire *wire, struct pbwire_field *field)
{
    uint64_t bytes;

    if (!pbwire_read_varint(wire, &bytes) || bytes > (uint64_t)(wire->end - wire->at))
        return false;
    field->data = wire->at;
    field->bytes = (size_t)bytes;
    wire->at += bytes;
    return true;
}

static bool
read_value(struct pbwire *wire, struct pbwire_field *field)
{
    switch (field->type) {
    case PBWIRE_VARINT:
        return pbwire_read_varint(wire, &field->value);
    case PBWIRE_FIXED64:
        return pbwire_read_fixed(wire, 8, &field->value);
    case PBWIRE_FIXED32:
        return pbwire_read_fixed(wire, 4, &field->value);
    case PBWIRE_BYTES:
        return read_bytes(wire, field);
    }
    return false;
}

bool
pbwire_next(struct pbwire *wire, struct pbwire_field *ret_field)
{
    struct pbwire ahead = *wire;
    struct pbwire_field field = { 0 };
    uint64_t tag;

    if (!pbwire_read_varint(&ahead, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
        return false;
    field.number = (uint32_t)(tag >> 3);
    field.type = (enum pbwire_type)(tag & 7);
    if (!read_value(&ahead, &field))
        return false;
    *wire = ahead;
    *ret_field = field;
    return true;
}

size_t
pbwire_varint_bytes(uint64_t value)
{
    size_t bytes = 1;

    while (value >= 0x80) {
        value >>= 7;
        bytes++;
    }
    return bytes;
}

uint8_t *
pbwire_put_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

uint8_t *
pbwire_put_tag(uint8_t *at, uint32_t number, enum pbwire_type type)
{
    return pbwire_put_varint(at, (uint64_t)number << 3 | (uint64_t)type);
}

uint8_t *
pbwire_put_fixed(uint8_t *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

uint8_t *
pbwire_put_bytes(uint8_t *at, uint32_t number, const void *data, size_t bytes)
{
    at = pbwire_put_tag(at, number, PBWIRE_BYTES);
    at = pbwire_put_varint(at, bytes);
    if (bytes > 0)
        memcpy(at, data, bytes);
    return at + bytes;
}
