/* accept.h -- Which media type does a client want? (RFC 9110, 12.5.1)
 *
 * Thread    Plain data.
 */
#ifndef MESH_HTTP_ACCEPT_H
#define MESH_HTTP_ACCEPT_H

#include "mesh/http/http1.h"

enum { ACCEPT_QUALITY_MAX = 1000 };

/* How much, from 0, not at all, to ACCEPT_QUALITY_MAX; by the most specific range of the Accept header that has the
 * type. version: a range that says another one (;version=) is not this type; NULL: it has none. Without the header
 * everything is wanted. */
int accept_quality(const struct http_request *request, const char *type, const char *version);

#endif
