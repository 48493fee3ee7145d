/* accept.c -- One walk through the ranges; a range is cut at its semicolons where it stands. */
#include "mesh/http/accept.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* A stretch of the header without blanks around it. */
struct piece {
    const char *at;
    size_t bytes;
};

/* The next piece before the separator. *at moves behind that, to NULL behind the last one. A comma or semicolon in
 * quotes is none of what is asked here, and cuts like others. */
static struct piece
piece_next(const char **at, const char *end, char separator)
{
    const char *stop = memchr(*at, separator, (size_t)(end - *at));
    struct piece piece = { *at, 0 };
    const char *last = stop == NULL ? end : stop;

    *at = stop == NULL ? NULL : stop + 1;
    while (piece.at < last && isspace((unsigned char)*piece.at))
        piece.at++;
    while (last > piece.at && isspace((unsigned char)last[-1]))
        last--;
    piece.bytes = (size_t)(last - piece.at);
    return piece;
}

static bool
piece_is(struct piece piece, const char *text)
{
    return piece.bytes == strlen(text) && strncasecmp(piece.at, text, piece.bytes) == 0;
}

/* The value behind "name="; false: the piece is another parameter. */
static bool
piece_value(struct piece piece, const char *name, struct piece *ret_value)
{
    size_t bytes = strlen(name);

    if (piece.bytes <= bytes || strncasecmp(piece.at, name, bytes) != 0 || piece.at[bytes] != '=')
        return false;
    *ret_value = (struct piece){ piece.at + bytes + 1, piece.bytes - bytes - 1 };
    return true;
}

/* "0.25" is 250. What is no such number counts as 1. */
static int
quality_read(struct piece value)
{
    int quality = 0, digit = ACCEPT_QUALITY_MAX;

    for (size_t i = 0; i < value.bytes; i++) {
        if (i == 1 && value.at[i] == '.')
            continue;
        if (!isdigit((unsigned char)value.at[i]) || digit == 0)
            return ACCEPT_QUALITY_MAX;
        quality += (value.at[i] - '0') * digit;
        digit /= 10;
    }
    return value.bytes == 0 || quality > ACCEPT_QUALITY_MAX ? ACCEPT_QUALITY_MAX : quality;
}

/* 3: the type itself, 2: all of its kind, 1: all there is; 0: it is not in this range. */
static int
range_fits(struct piece range, const char *type)
{
    size_t main_bytes = (size_t)(strchr(type, '/') - type) + 1;

    if (piece_is(range, type))
        return 3;
    if (range.bytes == main_bytes + 1 && strncasecmp(range.at, type, main_bytes) == 0 &&
        range.at[main_bytes] == '*')
        return 2;
    return piece_is(range, "*/*") ? 1 : 0;
}

/* What the most specific range so far says. */
struct verdict {
    int fits, quality;
};

static void
range_read(struct piece range, const char *type, const char *version, struct verdict *verdict)
{
    const char *inside = range.at, *end = range.at + range.bytes;
    int fits = range_fits(piece_next(&inside, end, ';'), type), quality = ACCEPT_QUALITY_MAX;
    struct piece value;

    while (inside != NULL) {
        struct piece parameter = piece_next(&inside, end, ';');

        if (piece_value(parameter, "q", &value))
            quality = quality_read(value);
        else if (version != NULL && piece_value(parameter, "version", &value) &&
                 !piece_is(value, version))
            return;
    }
    if (fits > verdict->fits || (fits == verdict->fits && quality > verdict->quality))
        *verdict = (struct verdict){ fits, fits == 0 ? 0 : quality };
}

int
accept_quality(const struct http_request *request, const char *type, const char *version)
{
    struct verdict verdict = { 0 };
    bool has_header = false;

    for (size_t i = 0; i < request->header_count; i++) {
        const char *at = request->headers[i].value, *end = at + strlen(at);

        if (strcmp(request->headers[i].name, "accept") != 0)
            continue;
        has_header = true;
        while (at != NULL)
            range_read(piece_next(&at, end, ','), type, version, &verdict);
    }
    return has_header ? verdict.quality : ACCEPT_QUALITY_MAX;
}
