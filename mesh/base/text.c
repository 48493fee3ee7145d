#include "mesh/base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool
text_is_of(const char *text, const char *set)
{
    return text != NULL && text[0] != '\0' && text[strspn(text, set)] == '\0';
}

bool
text_read_int(const char *text, int64_t min, int64_t max, int64_t *ret_value)
{
    long long value;

    if (!text_is_of(text + (text[0] == '-' && min < 0), TEXT_DIGITS))
        return false;
    errno = 0;
    value = strtoll(text, NULL, 10);
    if (errno != 0 || value < min || value > max)
        return false;
    *ret_value = value;
    return true;
}

int
text_hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

char *
text_print_hex(const void *data, size_t bytes, char *text)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *at = data;

    for (size_t i = 0; i < bytes; i++) {
        *text++ = digits[at[i] >> 4];
        *text++ = digits[at[i] & 15];
    }
    return text;
}

char *
text_print_base64(const void *data, size_t bytes, char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *in = data;
    char *at = text;

    for (size_t i = 0; i < bytes; i += 3) {
        size_t left = bytes - i;
        uint32_t bits = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                        (left > 2 ? in[i + 2] : 0);

        *at++ = digits[bits >> 18];
        *at++ = digits[bits >> 12 & 63];
        *at++ = left > 1 ? digits[bits >> 6 & 63] : '=';
        *at++ = left > 2 ? digits[bits & 63] : '=';
    }
    *at = '\0';
    return text;
}

static int
base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

bool
text_read_base64(const char *text, size_t bytes, uint8_t *data, size_t *ret_count)
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t count = 0, digits = bytes;

    while (digits > 0 && bytes - digits < 2 && text[digits - 1] == '=')
        digits--;
    if (digits % 4 == 1 || (digits < bytes && bytes % 4 != 0))
        return false;
    for (size_t i = 0; i < digits; i++) {
        int digit = base64_digit(text[i]);

        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        held += 6;
        if (held >= 8) {
            held -= 8;
            data[count++] = (uint8_t)(bits >> held);
        }
    }
    *ret_count = count;
    return true;
}
