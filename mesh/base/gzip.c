/* gzip.c -- Accept-Encoding, and one deflate into a buffer as large as the body: what would not fit is not
 * worth it, and the body goes as it is. The text of gzip_unpack() grows by doubling, up to the caller's limit. */
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
    ANY_FORMAT = 32,
    UNPACKED_LEAST = 256,
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

/* Z_FINISH ends with Z_STREAM_END only if the whole of it has found room. */
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

/* Room for twice as much, and one byte beyond bytes_max, by which a text that is too long shows. */
static void
unpacked_grow(char **text, size_t *room, size_t bytes_max)
{
    *room = *room == 0 ? UNPACKED_LEAST : *room * 2;
    if (*room > bytes_max + 1)
        *room = bytes_max + 1;
    *text = memory_grow(*text, *room);
}

/* inflate() is called until it has no more to give: it ends with Z_BUF_ERROR where the input ends too early, and with
 * Z_DATA_ERROR where a byte or the checksum is wrong. */
static enum gzip_answer
unpack(z_stream *stream, size_t bytes_max, char **text)
{
    size_t room = 0;
    int state = Z_OK;

    while (state == Z_OK) {
        if (stream->total_out == room) {
            if (room > bytes_max)
                return GZIP_IS_LONG;
            unpacked_grow(text, &room, bytes_max);
        }
        stream->next_out = (Bytef *)*text + stream->total_out;
        stream->avail_out = (uInt)(room - stream->total_out);
        state = inflate(stream, Z_NO_FLUSH);
    }
    if (state != Z_STREAM_END || stream->avail_in > 0)
        return GZIP_IS_DAMAGED;
    return stream->total_out > bytes_max ? GZIP_IS_LONG : GZIP_OK;
}

enum gzip_answer
gzip_unpack(const void *packed, size_t packed_bytes, size_t bytes_max, char **ret_text,
            size_t *ret_bytes)
{
    z_stream stream = { .next_in = (Bytef *)(uintptr_t)packed, .avail_in = (uInt)packed_bytes };
    enum gzip_answer answer;
    char *text = NULL;

    if (inflateInit2(&stream, WINDOW_BITS + ANY_FORMAT) != Z_OK)
        return GZIP_IS_DAMAGED;
    answer = unpack(&stream, bytes_max, &text);
    *ret_bytes = stream.total_out;
    inflateEnd(&stream);
    if (answer == GZIP_OK)
        *ret_text = text;
    else
        free(text);
    return answer;
}
