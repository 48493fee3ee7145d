/* expression_text.c -- Texts as Seata's expressions see them: Java's. Their length is counted in UTF-16,
 * and a number that is added to one is written as Java writes it. */
#include "saga/engine/expression_inner.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t
text_length(const char *text)
{
    int64_t length = 0;

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if ((c & 0xc0) != 0x80)          /* the first byte of a letter */
            length += c >= 0xf0 ? 2 : 1; /* of four: a pair */
    }
    return length;
}

/* The fewest digits that are this number and no other, without a point, and its power of ten. */
static int
shortest_digits(double value, char digits[32])
{
    char text[40];
    int exponent = 0;

    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == 'e') {
            exponent = atoi(at + 1);
            break;
        }
        if (*at != '.')
            *digits++ = *at;
    }
    *digits = '\0';
    return exponent;
}

/* "1.5", "1.0E10"; at least one digit on both sides of the point. */
void
real_print(double value, char text[REAL_TEXT_BYTES])
{
    const char *sign = signbit(value) ? "-" : "";
    char digits[32];
    int exponent = shortest_digits(fabs(value), digits), count = (int)strlen(digits);

    if (value == 0)
        snprintf(text, REAL_TEXT_BYTES, "%s0.0", sign);
    else if (exponent < -3 || exponent > 6)
        snprintf(text, REAL_TEXT_BYTES, "%s%c.%sE%d", sign, digits[0],
                 count == 1 ? "0" : digits + 1, exponent);
    else if (exponent < 0)
        snprintf(text, REAL_TEXT_BYTES, "%s0.%.*s%s", sign, -exponent - 1, "00", digits);
    else if (count > exponent + 1)
        snprintf(text, REAL_TEXT_BYTES, "%s%.*s.%s", sign, exponent + 1, digits,
                 digits + exponent + 1);
    else
        snprintf(text, REAL_TEXT_BYTES, "%s%s%.*s.0", sign, digits, exponent + 1 - count, "000000");
}
