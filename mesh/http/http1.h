/* http1.h -- HTTP/1.1 requests out of bytes, and responses into bytes. No I/O: tested and fuzzed alone.
 *
 * llhttp in strict mode behind a prescan of the header block, so that what smuggles requests past
 * lenient parsers is refused: bare CR or LF, control characters, folded lines, two Hosts, both
 * lengths, transfer codings other than chunked.
 *
 * Thread    A parser belongs to one thread.
 * Memory    The request's texts live in the arena given to http1_new(), the body in memory of the
 *           parser's own, both until http1_next(). A body ends with a NUL that is not counted.
 * Errors    A refused request has the HTTP status to answer with (400, 413, 414, 417, 431, 501, 505),
 *           after which the connection must be closed.
 * Units     *_bytes bytes.
 */
#ifndef MESH_HTTP_HTTP1_H
#define MESH_HTTP_HTTP1_H

#include "mesh/base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP1_METHODS "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH" /* others are 405 */

enum {
    HTTP1_HEAD_BYTES_MAX = 16 * 1024,
    HTTP1_HEADERS_MAX = 64,
    HTTP1_TARGET_BYTES_MAX = 4096,
    HTTP1_CHUNK_EXTENSION_BYTES_MAX = 4096,
};

struct http1;

struct http_header {
    const char *name; /* lower case */
    const char *value;
};

struct http_request {
    const char *method; /* "GET" */
    const char *path;   /* decoded, UTF-8, no %-escapes left; starts with "/", or OPTIONS's "*" */
    const char *query;  /* as it came, without "?"; "" */
    struct http_header headers[HTTP1_HEADERS_MAX];
    size_t header_count;
    const uint8_t *body;
    size_t body_bytes;
    bool has_body;       /* the head announces one: Content-Length above 0, or chunked */
    bool is_chunked;     /* whether there is a byte in its body only the body says */
    bool keeps_alive;    /* the client allows another request */
    bool wants_continue; /* Expect: 100-continue */
    bool is_http10;
    bool wants_upgrade; /* Connection: upgrade, with an Upgrade header */
};

/* "" when there is none. name in lower case. */
const char *http_header_find(const struct http_request *request, const char *name);

/* A query parameter, %-decoded, in the arena; NULL when it is not there, badly escaped or no UTF-8. */
const char *http_query_find(const struct http_request *request, const char *name,
                            struct arena *arena);

struct http_parameter {
    const char *name;  /* as it came: ASCII, escapes and all */
    const char *value; /* decoded; NULL: badly escaped or no UTF-8; "" also without a "=" */
};

/* The next parameter at *at, which begins at request->query and moves on; false at its end. */
bool http_query_next(const char **at, struct arena *arena, struct http_parameter *ret_parameter);

enum http1_state {
    HTTP1_NEEDS_MORE,
    HTTP1_HAS_HEAD, /* headers are complete: decide on the limit, send 100 Continue; then go on */
    HTTP1_HAS_REQUEST,
    HTTP1_REFUSED,
};

struct http1 *http1_new(struct arena *arena, size_t body_bytes_max);
struct http1 *http1_free(struct http1 *http1);

/* Reads up to count bytes; *ret_used says how many were of this request (the rest is the next one's).
 * Stops at HTTP1_HAS_HEAD once per request. */
enum http1_state http1_read(struct http1 *http1, const char *bytes, size_t count, size_t *ret_used);

/* Valid from HTTP1_HAS_HEAD (without a body) and HTTP1_HAS_REQUEST on. */
const struct http_request *http1_request(const struct http1 *http1);

/* At HTTP1_HAS_HEAD: this route's own limit. False: a longer Content-Length was refused (413). */
bool http1_set_body_max(struct http1 *http1, size_t body_bytes_max);

/* After HTTP1_REFUSED: the status and a sentence that names the rule. */
int http1_status(const struct http1 *http1, const char **ret_because);

/* Forgets the request (and resets the arena), ready for the next on the same connection. */
void http1_next(struct http1 *http1);

const char *http_status_text(int status);

#endif
