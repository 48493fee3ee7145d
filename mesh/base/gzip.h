/* gzip.h -- Bodies made smaller for clients that take gzip (RFC 9110, 8.4.1.3), and messages that came so.
 *
 * Memory    What a function returns is the caller's to free().
 * Thread    Plain data.
 */
#ifndef MESH_BASE_GZIP_H
#define MESH_BASE_GZIP_H

#include <stdbool.h>
#include <stddef.h>

enum { GZIP_BYTES_MIN = 1024 }; /* below it nothing is won */

/* Accept-Encoding, or "": is gzip named with a q above 0, or everything and gzip not forbidden? */
bool gzip_is_accepted(const char *accept_encoding);

/* The body as gzip has it. NULL: it would not be smaller. */
char *gzip_pack(const char *body, size_t body_bytes, size_t *ret_bytes);

enum gzip_answer { GZIP_OK, GZIP_IS_DAMAGED, GZIP_IS_LONG };

/* Unpacks what is gzip (RFC 1952) or zlib (RFC 1950), by its first bytes. At most bytes_max bytes are unpacked: a longer one is
 * GZIP_IS_LONG, and what has no end, or something behind its end, is GZIP_IS_DAMAGED. *ret_bytes and *ret_text are set with GZIP_OK. */
enum gzip_answer gzip_unpack(const void *packed, size_t packed_bytes, size_t bytes_max,
                             char **ret_text, size_t *ret_bytes);

#endif
