/* gzip.c -- Accept-Encoding, and one deflate into a buffer as large as the body: what would not fit is not
 * worth it, and the body goes as it is. */
#include "mesh/base/gzip.h"
#include "mesh/base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

enum {
    LEVEL = 1, /* JSON shrinks to a tenth with any; this one costs least */
    WINDOW_BITS = 15,
    GZIP_FORMAT = 16,
    MEMORY_LEVEL = 8,
};

/* ";q=0", ";Q=0.000": whoever names a coding so does not take it. What is no number counts as 1. */
static bool
is_forbidden(const char *parameters, size_t bytes)
{
    const char *end = parameters + bytes, *at = memchr(parameters, ';', bytes);

    if (at == NULL)
        return false;
    at += 1 + strspn(at + 1, " \t");
    if (end - at < 3 || strncasecmp(at, "q=0", 3) != 0)
        return false;
    at += 3;
    if (at < end && *at == '.')
        at++;
    while (at < end && *at == '0')
        at++;
    return at == end || strchr(" \t", *at) != NULL;
}

bool
gzip_is_accepted(const char *accept_encoding)
{
    bool takes_all = false;

    for (const char *at = accept_encoding; *at != '\0';) {
        size_t bytes, name_bytes;

        at += strspn(at, ", \t");
        bytes = strcspn(at, ",");
        name_bytes = strcspn(at, ",; \t");
        if ((name_bytes == 4 && strncasecmp(at, "gzip", 4) == 0) ||
            (name_bytes == 6 && strncasecmp(at, "x-gzip", 6) == 0))
            return !is_forbidden(at, bytes);
        if (name_bytes == 1 && *at == '*')
            takes_all = !is_forbidden(at, bytes);
        at += bytes;
    }
    return takes_all;
}

char *
gzip_pack(const char *body, size_t body_bytes, size_t *ret_bytes)
{
    z_stream stream = { .next_in = (Bytef *)(uintptr_t)body, .avail_in = (uInt)body_bytes };
    char *packed;
    int state;

    if (deflateInit2(&stream, LEVEL, Z_DEFLATED, WINDOW_BITS + GZIP_FORMAT, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return NULL;
    packed = memory_take(body_bytes);
    stream.next_out = (Bytef *)packed;
    stream.avail_out = (uInt)body_bytes;
    state = deflate(&stream, Z_FINISH);
    *ret_bytes = stream.total_out;
    deflateEnd(&stream);
    if (state == Z_STREAM_END)
        return packed;
    free(packed);
    return NULL;
}
