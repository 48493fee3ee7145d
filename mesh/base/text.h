/* text.h -- Texts of ASCII: sets of characters, whole numbers, hexadecimal digits, base64.
 *
 * Thread    Plain data.
 * Memory    Functions print where the caller has room.
 * Errors    Readers answer false and leave what they return alone.
 */
#ifndef MESH_BASE_TEXT_H
#define MESH_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_DIGITS "0123456789"
#define TEXT_LETTERS_AND_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" TEXT_DIGITS

/* One character at least, and all of the set; NULL is not. */
bool text_is_of(const char *text, const char *set);

/* Decimal digits alone, behind a '-' where min is below 0, for a number from min to max. */
bool text_read_int(const char *text, int64_t min, int64_t max, int64_t *ret_value);

/* Of a digit or a lower-case letter; else -1. */
int text_hex_digit(char digit);

/* Two lower-case digits for each byte, and no NUL; returns where they end. */
char *text_print_hex(const void *data, size_t bytes, char *text);

/* TEXT_BASE64_BYTES(bytes) characters and a NUL; returns text. */
#define TEXT_BASE64_BYTES(bytes) (((bytes) + 2) / 3 * 4)
char *text_print_base64(const void *data, size_t bytes, char *text);

/* Either alphabet of RFC 4648, with or without padding. data has room for bytes / 4 * 3 + 2. */
bool text_read_base64(const char *text, size_t bytes, uint8_t *data, size_t *ret_count);

#endif
