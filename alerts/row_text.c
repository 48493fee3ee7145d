/* row_text.c -- Written by hand and not by printf: a line is written for each piece of news. */
#include "alerts/row_text.h"
#include "mesh/base/text.h"

#include <string.h>

char *
row_put_id(char *at, struct uuid id)
{
    *at++ = ' ';
    if (!uuid_is_nil(id))
        return text_print_hex(&id, sizeof id, at);
    *at++ = '-';
    return at;
}

char *
row_put_int(char *at, int64_t value)
{
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    char digits[20], *first = digits + sizeof digits;
    size_t count;

    *at++ = ' ';
    if (value < 0)
        *at++ = '-';
    do {
        *--first = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    count = (size_t)(digits + sizeof digits - first);
    memcpy(at, first, count);
    return at + count;
}

char *
row_put_text(char *at, const char *text)
{
    size_t bytes = strlen(text);

    *at++ = ' ';
    if (bytes == 0)
        *at++ = '-';
    memcpy(at, text, bytes);
    return at + bytes;
}

/* ---- and back ---- */

/* The next part; its bytes. */
static const char *
take(struct row_reader *reader, size_t *ret_bytes)
{
    const char *begin = reader->at, *end;

    if (begin < reader->end && *begin == ' ')
        begin++;
    end = memchr(begin, ' ', (size_t)(reader->end - begin));
    if (end == NULL)
        end = reader->end;
    reader->at = end;
    *ret_bytes = (size_t)(end - begin);
    reader->is_good = reader->is_good && end > begin;
    return begin;
}

struct uuid
row_take_id(struct row_reader *reader)
{
    struct uuid id = { { 0 } };
    size_t bytes;
    const char *part = take(reader, &bytes);

    if (bytes == 1 && part[0] == '-')
        return id;
    reader->is_good = reader->is_good && bytes == 2 * sizeof id;
    for (size_t i = 0; reader->is_good && i < sizeof id; i++) {
        int high = text_hex_digit(part[2 * i]), low = text_hex_digit(part[2 * i + 1]);

        reader->is_good = high >= 0 && low >= 0;
        id.bytes[i] = (uint8_t)((unsigned)high << 4 | (unsigned)low);
    }
    return id;
}

int64_t
row_take_int(struct row_reader *reader, int64_t min, int64_t max)
{
    size_t bytes;
    const char *part = take(reader, &bytes);
    char digits[ROW_INT_BYTES];
    int64_t value = min;

    reader->is_good = reader->is_good && bytes < sizeof digits;
    if (!reader->is_good)
        return min;
    memcpy(digits, part, bytes);
    digits[bytes] = '\0';
    reader->is_good = text_read_int(digits, min, max, &value);
    return value;
}

void
row_take_text(struct row_reader *reader, char *text, size_t size)
{
    size_t bytes;
    const char *part = take(reader, &bytes);

    reader->is_good = reader->is_good && bytes < size;
    if (!reader->is_good || (bytes == 1 && part[0] == '-'))
        bytes = 0;
    memcpy(text, part, bytes);
    text[bytes] = '\0';
}

bool
row_is_over(const struct row_reader *reader)
{
    return reader->is_good && reader->at == reader->end;
}
