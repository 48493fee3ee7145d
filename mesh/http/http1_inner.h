/* http1_inner.h -- What http1.c and http1_text.c share: texts of the request line, and fields. */
#ifndef MESH_HTTP_HTTP1_INNER_H
#define MESH_HTTP_HTTP1_INNER_H

#include "mesh/http/http1.h"

#define HTTP1_LINE_RULE "the request line is not METHOD target HTTP/1.1"

enum { HTTP1_VERSION_BYTES = 8 }; /* HTTP/1.1 */

/* Cuts "GET /path HTTP/1.1" into its parts, in place: method and is_http10 of the request, and the
 * target. 200, or the status of the refusal and its reason. */
int http1_line_split(char *line, size_t method_bytes, struct http_request *request,
                     char **ret_target, const char **ret_because);

/* The field's (last) value, "" when there is none, and how often it is there. */
const char *http1_header_only(const struct http_request *request, const char *name,
                              size_t *ret_count);

/* Lists that came as several fields become one field of the request. NULL, or the rule that a field broke which came twice. */
const char *http1_fields_join(struct http_request *request, struct arena *arena);

/* Is token in any of the Connection fields? */
bool http1_connection_has(const struct http_request *request, const char *token);

/* A request target (ended by NUL, changed in place) into path and query. NULL, or the broken rule. */
const char *http1_target_split(char *target, struct http_request *request, struct arena *arena);

#endif
