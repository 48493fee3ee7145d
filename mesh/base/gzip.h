/* gzip.h -- Bodies made smaller for those who take gzip (RFC 9110, 8.4.1.3).
 *
 * Thread    Plain data.
 */
#ifndef MESH_BASE_GZIP_H
#define MESH_BASE_GZIP_H

#include <stdbool.h>
#include <stddef.h>

enum { GZIP_BYTES_MIN = 1024 }; /* below it nothing is won */

/* Accept-Encoding, or "": is gzip named with a q above 0, or everything and gzip not forbidden? */
bool gzip_is_accepted(const char *accept_encoding);

/* The body as gzip has it; the caller frees. NULL: it would not be smaller. */
char *gzip_pack(const char *body, size_t body_bytes, size_t *ret_bytes);

#endif
